/* SPDX-License-Identifier: BSD-3-Clause */
/* The ends of a stream, the temporary one and the permanent one, and the sizes of pre-copy, by read(), poll() and ioctl(). */
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void must_info(struct check_context *c, int fd, struct vmig_uapi_precopy_info *info)
{
	int r = kernel_info(c, fd, info);

	if (r)
		check_fail(c, "VFIO_MIG_GET_PRECOPY_INFO succeeds in PRE_COPY states", "%s", strerror(-r));
}

void check_kernel_drained(struct check_context *c)
{
	for (uint32_t state = VMIG_STATE_PRE_COPY; state <= VMIG_STATE_PRE_COPY_P2P; state++) {
		int fd, r;

		if (!check_has_state(c, state))
			continue;
		fd = kernel_bring(c, state);
		check_did(c, "read() in %s until there was no more", check_state_name(state));
		r = kernel_drain(c, fd, NULL);
		kernel_in_state(c, state);
		if (r != -ENOMSG)
			check_fail(c, "ENOMSG from read() where there is nothing for now",
				   "0, which is the end of the stream");
		kernel_close(c, fd);
	}
}

#define ROUNDS_MAX 64

/* Both sizes zero is the temporary end; asking may begin a round, so that what is read belongs to the last answer. */
void check_kernel_both_zero(struct check_context *c)
{
	int fd = kernel_bring(c, VMIG_STATE_PRE_COPY), i;
	uint8_t byte;
	ssize_t got;

	for (i = 0; i < ROUNDS_MAX; i++) {
		struct vmig_uapi_precopy_info info = { 0 };

		must_info(c, fd, &info);
		if (!info.initial_bytes && !info.dirty_bytes)
			break;
		kernel_drain(c, fd, NULL);
	}
	if (i == ROUNDS_MAX)
		check_end(c, CHECK_SKIPPED, "",
			  "the device changes all the time: its sizes do not come to zero");
	check_did(c, "read() in PRE_COPY when initial_bytes and dirty_bytes were both zero");
	got = kernel_read(c, fd, &byte, 1);
	if (got > 0)
		check_observe(c, "ENOMSG (a busy device may have changed since)", "there are data");
	if (got != -ENOMSG)
		check_fail(c, "ENOMSG, as both sizes are zero", "%s", got ? strerror((int)-got) : "0");
	kernel_close(c, fd);
}

#define READS 3

static void at_the_end(struct check_context *c, int fd)
{
	uint8_t buf[512];

	for (int i = 0; i < READS; i++) {
		ssize_t got = kernel_read(c, fd, buf, sizeof(buf));

		if (got)
			check_fail(c, "0 from read(), always", "%s",
				   got < 0 ? strerror((int)-got) : "more data");
		if (!kernel_readable(c, fd))
			check_fail(c, "poll() says that it is readable, always", "it does not");
	}
}

/* The session of STOP_COPY, and the one that began in PRE_COPY. */
void check_kernel_end(struct check_context *c)
{
	static const uint32_t first[] = { VMIG_STATE_STOP, VMIG_STATE_PRE_COPY };

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		int fd, fresh;

		if (!check_has_state(c, first[i]))
			continue;
		fd = kernel_bring(c, first[i]);
		fresh = kernel_enter(c, VMIG_STATE_STOP_COPY);
		fd = fd < 0 ? fresh : fd;
		check_did(c, "read to the end in STOP_COPY, entered from %s, and %d times more",
			  check_state_name(first[i]), READS);
		if (kernel_drain(c, fd, NULL))
			check_fail(c, "0 from read() at the end", "ENOMSG, in STOP_COPY");
		at_the_end(c, fd);
		kernel_close(c, fd);
	}
}

/* --- poll() --------------------------------------------------------------------------------------------- */

void check_kernel_poll(struct check_context *c)
{
	int fd = kernel_bring(c, VMIG_STATE_PRE_COPY);

	check_did(c, "read() in PRE_COPY until there was no more, and poll()");
	kernel_drain(c, fd, NULL);
	if (kernel_readable(c, fd))
		check_observe(c, "it is not readable, so that a user can wait for more data",
			      "it says readable, at once");
	kernel_close(c, fd);
}

/* --- PRECOPY_INFO --------------------------------------------------------------------------------------- */

#define NO_FLAG 0xffff0000u /* what no kernel knows; it comes back of those that leave the field alone */

void check_kernel_info_argsz(struct check_context *c)
{
	static const uint32_t shorter[] = { 0, 4, 8, 16, 23 };
	int fd = kernel_bring(c, VMIG_STATE_PRE_COPY), r;
	struct {
		struct vmig_uapi_precopy_info info;
		uint64_t more[2];
	} longer = { .info.argsz = sizeof(longer) };

	for (size_t i = 0; i < sizeof(shorter) / sizeof(shorter[0]); i++) {
		struct vmig_uapi_precopy_info info = { .argsz = shorter[i] };

		check_did(c, "PRECOPY_INFO with an argsz of %u", shorter[i]);
		r = kernel_ioctl(c, fd, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info);
		if (!r)
			check_fail(c, "an error: there is no room for what it says", "it succeeds");
	}
	check_did(c, "PRECOPY_INFO with an argsz of %u, more than it needs", (unsigned int)sizeof(longer));
	r = kernel_ioctl(c, fd, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &longer);
	if (r)
		check_fail(c, "it succeeds: argsz may be larger", "%s", strerror(-r));
	kernel_close(c, fd);
}

/* 0: EINVAL. Success fails. */
static int info_refused(struct check_context *c, int fd)
{
	struct vmig_uapi_precopy_info info = { 0 };
	int r = kernel_info(c, fd, &info);

	if (!r)
		check_fail(c, "EINVAL", "it succeeds");
	return r == -EINVAL ? 0 : r;
}

/* Where another error than EINVAL is odd, and no more: the first such is what is told. */
static void info_odd(struct check_context *c, int fd, const char *where, int *odd)
{
	if (*odd)
		return;
	check_did(c, "PRECOPY_INFO in %s", where);
	*odd = info_refused(c, fd);
}

/* In STOP_COPY, where the session goes on; and with one that has ended, or that loads, where others have the first word. */
void check_kernel_info_states(struct check_context *c)
{
	int fd = kernel_bring(c, VMIG_STATE_PRE_COPY), odd = 0, r;

	kernel_enter(c, VMIG_STATE_STOP_COPY);
	check_did(c, "PRECOPY_INFO in STOP_COPY, entered from PRE_COPY");
	r = info_refused(c, fd);
	if (r)
		check_fail(c, "EINVAL", "%s", strerror(-r));
	kernel_enter(c, VMIG_STATE_STOP);
	info_odd(c, fd, "STOP, with data_fd of before", &odd);
	kernel_enter(c, VMIG_STATE_RUNNING);
	info_odd(c, fd, "RUNNING, with data_fd of before", &odd);
	kernel_close(c, fd);
	fd = kernel_bring(c, VMIG_STATE_RESUMING);
	info_odd(c, fd, "RESUMING", &odd);
	kernel_close(c, fd);
	if (odd)
		check_observe(c, "EINVAL from any state but the PRE_COPY ones", "%s", strerror(-odd));
}

/* A driver that does not assign flags gives back what came: 0, and no harm is done; then something else. */
void check_kernel_info_flags(struct check_context *c)
{
	struct vmig_uapi_precopy_info odd = { .flags = NO_FLAG };
	int fd = kernel_bring(c, VMIG_STATE_PRE_COPY);

	check_did(c, "PRECOPY_INFO before and behind all data, without having asked for the new flags");
	for (int i = 0; i < 2; i++) {
		struct vmig_uapi_precopy_info info = { .flags = 0 };

		must_info(c, fd, &info);
		if (info.flags)
			check_fail(c, "flags are reserved: 0 as they came", "%#x", info.flags);
		kernel_drain(c, fd, NULL);
	}
	check_did(c, "PRECOPY_INFO with flags that came as %#x", NO_FLAG);
	must_info(c, fd, &odd);
	kernel_close(c, fd);
	if (odd.flags == NO_FLAG)
		check_observe(
			c, "flags are assigned: it is for drivers that do not that Linux 7.1 has an opt-in",
			"%#x still", odd.flags);
}

void check_kernel_info_v2(struct check_context *c)
{
	const uint32_t number = VMIG_UAPI_DEVICE_FEATURE_MIG_PRECOPY_INFOv2;
	struct vmig_uapi_precopy_info info = { .flags = NO_FLAG };
	int fd, r;

	if (kernel_feature(c, number | PROBE, NULL, 0))
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has no PRECOPY_INFOv2 (Linux 7.1)");
	fd = kernel_bring(c, VMIG_STATE_PRE_COPY);
	r = kernel_feature(c, number | SET, NULL, 0);
	if (r)
		check_fail(c, "SET PRECOPY_INFOv2 succeeds, as PROBE does", "%s", strerror(-r));
	check_did(c, "SET PRECOPY_INFOv2, and PRECOPY_INFO with flags that came as %#x", NO_FLAG);
	must_info(c, fd, &info);
	if (info.flags & ~VMIG_UAPI_PRECOPY_INFO_REINIT)
		check_fail(c, "flags are assigned: 0, or REINIT", "%#x", info.flags);
	kernel_close(c, fd);
}
