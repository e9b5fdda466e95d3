/* SPDX-License-Identifier: BSD-3-Clause */
/* What checks by the kernel's calls share: the calls, states, data. */
#include "kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 65536u

/* --- calls -------------------------------------------------------------------------------------------- */

int kernel_ioctl(struct check_context *c, int fd, unsigned long request, void *arg)
{
	const struct check_calls *calls = c->kernel.calls;
	int r = calls->ioctl(calls->opaque, fd, request, arg);

	return r < 0 ? -errno : r;
}

ssize_t kernel_read(struct check_context *c, int fd, void *buf, size_t len)
{
	const struct check_calls *calls = c->kernel.calls;
	ssize_t r = calls->read(calls->opaque, fd, buf, len);

	return r < 0 ? -errno : r;
}

ssize_t kernel_write(struct check_context *c, int fd, const void *buf, size_t len)
{
	const struct check_calls *calls = c->kernel.calls;
	ssize_t r = calls->write(calls->opaque, fd, buf, len);

	return r < 0 ? -errno : r;
}

bool kernel_readable(struct check_context *c, int fd)
{
	const struct check_calls *calls = c->kernel.calls;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r = calls->poll(calls->opaque, &p, 1, 0);

	if (r < 0)
		check_fail(c, "poll() of a data_fd succeeds", "%s", strerror(errno));
	return r && (p.revents & POLLIN);
}

void kernel_close(struct check_context *c, int fd)
{
	const struct check_calls *calls = c->kernel.calls;

	if (fd >= 0 && fd != KERNEL_NO_FD_GIVEN)
		calls->close(calls->opaque, fd);
}

int kernel_feature_sized(struct check_context *c, uint32_t argsz, uint32_t flags, void *data, size_t len)
{
	struct {
		struct vmig_uapi_device_feature head;
		uint8_t data[KERNEL_FEATURE_MAX];
	} __attribute__((aligned(8))) arg = { .head = { argsz, flags } };
	int r;

	if (len)
		memcpy(arg.data, data, len);
	r = kernel_ioctl(c, c->kernel.device, VMIG_UAPI_DEVICE_FEATURE, &arg);
	if (len)
		memcpy(data, arg.data, len);
	return r;
}

int kernel_feature(struct check_context *c, uint32_t flags, void *data, size_t len)
{
	return kernel_feature_sized(c, (uint32_t)(sizeof(struct vmig_uapi_device_feature) + len), flags, data,
				    len);
}

int kernel_info(struct check_context *c, int fd, struct vmig_uapi_precopy_info *info)
{
	info->argsz = sizeof(*info);
	return kernel_ioctl(c, fd, VMIG_UAPI_MIG_GET_PRECOPY_INFO, info);
}

/* --- what it has -------------------------------------------------------------------------------------- */

static bool probe(struct check_context *c, uint32_t number)
{
	return !kernel_feature(c, number | PROBE, NULL, 0);
}

void kernel_look(struct check_context *c)
{
	struct vmig_uapi_device_info info = { .argsz = sizeof(info) };
	struct vmig_uapi_device_feature_migration migration = { 0 };
	int r = kernel_ioctl(c, c->kernel.device, VMIG_UAPI_DEVICE_GET_INFO, &info);

	if (r)
		check_end(c, CHECK_ERROR, "VFIO_DEVICE_GET_INFO succeeds", "%s", strerror(-r));
	c->info.flags = info.flags & VMIG_UAPI_DEVICE_FLAGS_RESET ? VMIG_DEVICE_FLAG_RESET : 0;
	if (!kernel_feature(c, VMIG_UAPI_DEVICE_FEATURE_MIGRATION | GET, &migration, sizeof(migration)))
		c->info.migration_flags = migration.flags;
	/* One that migrates must have it, as the way out of ERROR; mtty has, and does not say so. */
	if (c->info.migration_flags)
		c->info.flags |= VMIG_DEVICE_FLAG_RESET;
	if (probe(c, VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START))
		c->info.has |= VMIG_HAS_DMA_LOG;
	if (probe(c, VMIG_UAPI_DEVICE_FEATURE_MIG_DATA_SIZE))
		c->info.has |= VMIG_HAS_STOP_COPY_SIZE;
	if (c->info.migration_flags & VMIG_MIGRATION_PRE_COPY)
		c->info.has |= VMIG_HAS_PRECOPY_INFO;
}

/* --- states ------------------------------------------------------------------------------------------- */

int kernel_get(struct check_context *c, struct vmig_uapi_device_feature_mig_state *ret)
{
	*ret = (struct vmig_uapi_device_feature_mig_state){ 0x5a5a, KERNEL_NO_FD_GIVEN };
	return kernel_feature(c, VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE | GET, ret, sizeof(*ret));
}

/* It has come back. */
static void end_arc(struct check_context *c, struct check_arc *arc, enum check_want want, int r)
{
	struct vmig_uapi_device_feature_mig_state m;

	check_arc_back(c, arc);
	check_arc_end(c, arc, want, r, kernel_get(c, &m) ? VMIG_STATE_NONE : m.device_state);
}

int kernel_set(struct check_context *c, uint32_t state, enum check_want want, int *ret_fd)
{
	struct vmig_uapi_device_feature_mig_state m = { state, KERNEL_NO_FD_GIVEN };
	struct check_arc *arc = check_arc_begin(c, state);
	int r = kernel_feature(c, VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE | SET, &m, sizeof(m));

	end_arc(c, arc, want, r);
	*ret_fd = m.data_fd;
	return r;
}

static int reset(struct check_context *c)
{
	struct check_arc *arc = check_arc_begin(c, VMIG_STATE_RUNNING);
	int r;

	arc->reset = true;
	r = kernel_ioctl(c, c->kernel.device, VMIG_UAPI_DEVICE_RESET, NULL);
	end_arc(c, arc, CHECK_WANT_SUCCESS, r);
	return r;
}

uint32_t kernel_state(struct check_context *c)
{
	struct vmig_uapi_device_feature_mig_state m;
	int r = kernel_get(c, &m);

	if (r)
		check_fail(c, "the state can be asked for at any time", "%s", strerror(-r));
	c->at = m.device_state < VMIG_STATE_NR ? m.device_state : VMIG_STATE_NONE;
	return m.device_state;
}

void kernel_in_state(struct check_context *c, uint32_t state)
{
	uint32_t is = kernel_state(c);
	char expected[64];

	snprintf(expected, sizeof(expected), "the device is in %s", check_state_name(state));
	if (is != state)
		check_fail(c, expected, "it is in %s (%u)", check_state_name(is), is);
}

int kernel_enter(struct check_context *c, uint32_t state)
{
	char expected[64];
	int fd, r = kernel_set(c, state, CHECK_WANT_SUCCESS, &fd);

	snprintf(expected, sizeof(expected), "the device goes to %s", check_state_name(state));
	if (r)
		check_fail(c, expected, "%s", strerror(-r));
	kernel_in_state(c, state);
	return fd >= 0 && fd != KERNEL_NO_FD_GIVEN ? fd : -1;
}

static bool starts(uint32_t state)
{
	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P ||
	       state == VMIG_STATE_STOP_COPY || state == VMIG_STATE_RESUMING;
}

/* RESUMING that was found, of whoever was here before, is left by a reset only: there is a driver whose kernel dies else. */
static int to_running(struct check_context *c)
{
	struct vmig_uapi_device_feature_mig_state m;
	int fd, r = kernel_get(c, &m);

	c->at = !r && m.device_state < VMIG_STATE_NR ? m.device_state : VMIG_STATE_NONE;
	if (r || m.device_state == VMIG_STATE_RUNNING)
		return r;
	if (m.device_state != VMIG_STATE_RESUMING && m.device_state != VMIG_STATE_ERROR &&
	    !kernel_set(c, VMIG_STATE_RUNNING, CHECK_WANT_EITHER, &fd))
		return 0;
	return reset(c);
}

int kernel_bring(struct check_context *c, uint32_t state)
{
	int r = to_running(c), fd;

	if (!r && kernel_state(c) != VMIG_STATE_RUNNING)
		r = -EIO;
	if (r)
		check_end(c, CHECK_ERROR, "the device comes to RUNNING", "%s", strerror(-r));
	if (state == VMIG_STATE_RUNNING)
		return -1;
	fd = kernel_enter(c, state);
	if (fd < 0 && starts(state))
		check_fail(c, "a new data_fd", "none");
	return fd;
}

void kernel_reset(struct check_context *c)
{
	int r = reset(c);

	if (r)
		check_fail(c, "VFIO_DEVICE_RESET succeeds", "%s", strerror(-r));
	kernel_in_state(c, VMIG_STATE_RUNNING);
}

void kernel_leave(struct check_context *c)
{
	if (c->info.migration_flags)
		(void)to_running(c);
	check_kernel_close(&c->kernel);
}

/* --- data --------------------------------------------------------------------------------------------- */

static void append(struct check_context *c, struct check_bytes *to, const void *data, size_t len)
{
	uint8_t *more = realloc(to->data, to->len + len);

	if (!more)
		check_end(c, CHECK_ERROR, "", "no memory");
	memcpy(more + to->len, data, len);
	to->data = more;
	to->len += len;
}

int kernel_drain(struct check_context *c, int fd, struct check_bytes *to)
{
	static uint8_t buf[PIECE];
	size_t sum = 0;
	ssize_t got;

	while ((got = kernel_read(c, fd, buf, sizeof(buf))) > 0) {
		if ((size_t)got > sizeof(buf))
			check_fail(c, "read() gives no more than was asked for", "%zd of %zu bytes", got,
				   sizeof(buf));
		sum += (size_t)got;
		if (sum > CHECK_STREAM_MAX)
			check_end(c, CHECK_SKIPPED, "", "the stream has more than %u MiB: too much to keep",
				  CHECK_STREAM_MAX >> 20);
		if (to)
			append(c, to, buf, (size_t)got);
	}
	if (got && got != -ENOMSG)
		check_fail(c, "the device's data can be read", "%s after %zu bytes", strerror((int)-got),
			   sum);
	return (int)got;
}

void kernel_save(struct check_context *c, struct check_bytes *to)
{
	int fd = kernel_bring(c, VMIG_STATE_STOP_COPY);

	*to = (struct check_bytes){ 0 };
	if (kernel_drain(c, fd, to))
		check_fail(c, "in STOP_COPY the stream ends by 0", "ENOMSG after %zu bytes", to->len);
	if (!to->len)
		check_fail(c, "the device's state", "a stream of no bytes");
	kernel_enter(c, VMIG_STATE_STOP);
	kernel_close(c, fd);
}

int kernel_write_all(struct check_context *c, int fd, const void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t put = kernel_write(c, fd, (const uint8_t *)data + at, len - at);

		if (put <= 0)
			return put ? (int)put : -EIO;
		if ((size_t)put > len - at)
			check_fail(c, "write() takes no more than it was given", "%zd of %zu bytes", put,
				   len - at);
		at += (size_t)put;
	}
	return 0;
}
