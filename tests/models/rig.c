/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "models/bytes.h"
#include "models/nic.h"

void bytes_add(struct bytes *b, const void *data, size_t len)
{
	if (!len)
		return;
	if (b->len + len > b->room) {
		b->room = (b->len + len) * 2;
		b->data = realloc(b->data, b->room);
		ck_assert_ptr_nonnull(b->data);
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void bytes_free(struct bytes *b)
{
	free(b->data);
	*b = (struct bytes){ 0 };
}

/* A device that migrates by v1 only is driven through its region. */
static struct vmig_device *drive(struct vmig_device *dev)
{
	struct vmig_device_info info;
	struct vmig_error error = { 0 };
	struct vmig_device *driven = NULL;

	vmig_device_query_info(dev, &info);
	if (info.migration_flags)
		return dev;
	ck_assert_msg(!vmig_drive_v1(dev, NULL, &driven, &error), "%s", error.text);
	return driven;
}

struct vmig_device *rig_open(const char *spec)
{
	struct vmig_device *dev = NULL;
	struct vmig_error error = { 0 };
	int r = models_open(spec, &dev, &error);

	ck_assert_msg(!r, "%s: %d: %s", spec, r, error.text);
	return drive(dev);
}

struct vmig_session *rig_start(struct vmig_device *dev, uint32_t state)
{
	struct vmig_session *session = NULL;
	struct vmig_error error;
	int r = vmig_device_set_state(dev, state, VMIG_STATE_NONE, &session);

	vmig_device_query_error(dev, &error);
	ck_assert_msg(!r, "to %s: %d: %s", vmig_state_name(state), r, error.text);
	return session;
}

void rig_set(struct vmig_device *dev, uint32_t state)
{
	vmig_session_close(rig_start(dev, state));
}

uint32_t rig_state(struct vmig_device *dev)
{
	uint32_t state;

	ck_assert_int_eq(vmig_device_query_state(dev, &state), 0);
	return state;
}

static size_t random_size(size_t most)
{
	static uint64_t n;

	if (!n)
		n = harness_seed();
	return 1 + mix64(n++) % most;
}

static ssize_t save_by_lend(struct vmig_session *session, struct bytes *to, size_t most)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	size_t used, at = 0;
	ssize_t got;
	int n;

	got = vmig_session_lend(session, random_size(most), iov, &n);
	if (got <= 0)
		return got;
	/* Less than was lent may be used; the rest must come again. */
	used = random_size((size_t)got);
	for (int i = 0; i < n && at < used; i++) {
		size_t len = MIN(iov[i].iov_len, used - at);

		bytes_add(to, iov[i].iov_base, len);
		at += len;
	}
	vmig_session_return(session, used);
	return (ssize_t)used;
}

static ssize_t save_by_read(struct vmig_session *session, struct bytes *to, size_t most)
{
	size_t len = random_size(most);
	uint8_t *buf = malloc(len);
	struct iovec iov[2] = { { buf, len / 3 }, { buf + len / 3, len - len / 3 } };
	ssize_t got = vmig_session_readv(session, iov, 2);

	if (got > 0)
		bytes_add(to, buf, (size_t)got);
	free(buf);
	return got;
}

int rig_save(struct vmig_session *session, struct bytes *to, size_t most)
{
	ssize_t got;

	for (int i = 0;; i++) {
		got = (i & 1 ? save_by_lend : save_by_read)(session, to, most);
		if (got <= 0)
			return (int)got;
	}
}

static ssize_t load_by_room(struct vmig_session *session, const uint8_t *data, size_t want)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	ssize_t got;
	size_t at = 0, len;
	int n, r;

	got = vmig_session_room(session, want, iov, &n);
	if (got < 0)
		return got;
	len = random_size((size_t)got);
	for (int i = 0; i < n && at < len; i++) {
		size_t part = MIN(iov[i].iov_len, len - at);

		memcpy(iov[i].iov_base, data + at, part);
		at += part;
	}
	r = vmig_session_filled(session, len);
	return r ? r : (ssize_t)len;
}

static ssize_t load_by_write(struct vmig_session *session, const uint8_t *data, size_t len)
{
	struct iovec iov = { (uint8_t *)(uintptr_t)data, len };
	int r = vmig_session_writev(session, &iov, 1);

	return r ? r : (ssize_t)len;
}

int rig_load(struct vmig_session *session, const uint8_t *data, size_t len, size_t most)
{
	for (int i = 0; len; i++) {
		size_t want = random_size(most), n = MIN(want, len);
		ssize_t done = (i & 1 ? load_by_room : load_by_write)(session, data, n);

		if (done < 0)
			return (int)done;
		data += done;
		len -= (size_t)done;
	}
	return vmig_session_flush(session);
}

void rig_save_all(struct vmig_device *dev, struct bytes *to)
{
	struct vmig_session *session = rig_start(dev, VMIG_STATE_STOP_COPY);

	ck_assert_int_eq(rig_save(session, to, 1 << 20), 0);
	vmig_session_close(session);
	rig_set(dev, VMIG_STATE_STOP);
}

int rig_load_all(struct vmig_device *dev, const uint8_t *data, size_t len)
{
	struct vmig_session *session = rig_start(dev, VMIG_STATE_RESUMING);
	int r = rig_load(session, data, len, 1 << 20);

	vmig_session_close(session);
	return r ? r : vmig_device_set_state(dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL);
}

/* --- the nic -------------------------------------------------------------------------------------- */

uint64_t rig_register(struct vmig_device *dev, uint32_t offset)
{
	uint8_t buf[8];

	ck_assert_int_eq(vmig_device_region_read(dev, NIC_BAR_REGISTERS, offset, buf, sizeof(buf)), 0);
	return get_le64(buf);
}

void rig_write_register(struct vmig_device *dev, uint32_t offset, uint64_t value)
{
	uint8_t buf[8];

	put_le64(buf, value);
	ck_assert_int_eq(vmig_device_region_write(dev, NIC_BAR_REGISTERS, offset, buf, sizeof(buf)), 0);
}

uint64_t rig_digest(struct vmig_device *dev)
{
	rig_write_register(dev, NIC_CONTROL, NIC_CONTROL_DIGEST);
	return rig_register(dev, NIC_RESULT);
}

uint64_t rig_wrong(struct vmig_device *dev)
{
	rig_write_register(dev, NIC_CONTROL, NIC_CONTROL_CHECK);
	return rig_register(dev, NIC_RESULT);
}

void rig_init(struct rig *rig, const char *spec)
{
	rig->dev = rig_open(spec);
	ck_assert_int_eq(vmig_space_new(&rig->space), 0);
	ck_assert_int_eq(workload_new(rig->space, &rig->w), 0);
	ck_assert_int_eq(workload_bind(rig->w, rig->dev), 0);
	ck_assert_int_eq(workload_start(rig->w), 0);
}

void rig_done(struct rig *rig)
{
	workload_free(rig->w);
	vmig_space_free(rig->space);
	vmig_device_close(rig->dev);
}

struct workload_report rig_report(struct workload *w)
{
	struct workload_report report;

	workload_report(w, &report);
	return report;
}

void rig_wait(struct workload *w, uint64_t n)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	struct workload_report report = rig_report(w);
	uint64_t goal = report.records + n;

	/* A device that never sends them ends in the test's timeout. */
	for (; report.records < goal && !report.error; report = rig_report(w))
		nanosleep(&ms, NULL);
	ck_assert_int_eq(report.error, 0);
}

void rig_made(struct vmig_device *dev, uint64_t n)
{
	uint64_t goal = rig_register(dev, NIC_RECORDS) + n;

	while (rig_register(dev, NIC_RECORDS) < goal)
		rig_ticks();
}

struct workload_report rig_inject(struct rig *rig, uint64_t what)
{
	rig_write_register(rig->dev, NIC_INJECT, what);
	/* What lies in the ring already, however many records, comes first. */
	while (rig_report(rig->w).whole)
		rig_wait(rig->w, 1);
	rig_wait(rig->w, 500);
	return rig_report(rig->w);
}

void rig_ticks(void)
{
	const struct timespec t = { .tv_nsec = 20000000 };

	nanosleep(&t, NULL);
}
