/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls as a device would report them. Two VMMs with two devices each, of which one migrates to the other; a loading that
 * fails; transitions that fail; and the same by the region of v1. Whatever is not called by a mutant's name is as the
 * texts have it.
 */
#include "user-script.h"

#include <errno.h>
#include <string.h>

#include <vmig/state.h>
#include <vmig/uapi.h>

#include "check/user/user.h"

#define STREAM  1000u /* bytes of each */
#define INITIAL 100u
#define V1      9u /* the index of its region */
#define DEVICES 16u
#define LATER   10u /* from this on they have a flag that nobody knows */

struct device {
	int pid;
	uint32_t state, number, n_ranges;
	uint64_t at, digest; /* of the session */
	unsigned int seed;   /* of its data */
};

struct script {
	struct check_user *user;
	const char *mutant;
	uint64_t n, data; /* data: the digest of what is in the section of v1 */
	struct device devices[DEVICES];
};

static bool is(const struct script *s, const char *mutant)
{
	return !strcmp(s->mutant, mutant);
}

/* --- calls ------------------------------------------------------------------------------------- */

static struct vmig_kabi_call call_of(struct script *s, unsigned int d, enum vmig_kabi_kind kind,
				     enum vmig_kabi_op op)
{
	return (struct vmig_kabi_call){
		.kind = (uint8_t)kind, .op = (uint8_t)op, .device = (uint16_t)d, .pid = s->devices[d].pid
	};
}

static void tell(struct script *s, const struct vmig_kabi_call *call)
{
	check_user_call(s->user, s->n++, call);
}

static void request(struct script *s, unsigned int d, uint32_t number)
{
	struct vmig_kabi_call call = call_of(s, d, VMIG_KABI_DEVICE, VMIG_KABI_IOCTL);

	call.request = number;
	tell(s, &call);
}

static struct vmig_kabi_call feature(struct script *s, unsigned int d, uint32_t flags)
{
	struct vmig_kabi_call call = call_of(s, d, VMIG_KABI_DEVICE, VMIG_KABI_IOCTL);

	call.request = VMIG_UAPI_DEVICE_FEATURE;
	call.offset = flags;
	return call;
}

static void begin(struct script *s, unsigned int d, int pid)
{
	s->devices[d] = (struct device){ .pid = pid, .state = VMIG_STATE_RUNNING, .seed = d };
	request(s, d, VMIG_UAPI_DEVICE_GET_INFO);
}

static void ask_flags(struct script *s, unsigned int d)
{
	struct vmig_kabi_call call =
		feature(s, d, VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_MIGRATION);

	call.v[0] = VMIG_UAPI_MIGRATION_STOP_COPY | VMIG_UAPI_MIGRATION_P2P | VMIG_UAPI_MIGRATION_PRE_COPY;
	call.v[0] |= d >= LATER ? UINT64_C(1) << 40 : 0;
	tell(s, &call);
}

static void reset(struct script *s, unsigned int d)
{
	s->devices[d].state = VMIG_STATE_RUNNING;
	request(s, d, VMIG_UAPI_DEVICE_RESET);
}

static void get(struct script *s, unsigned int d)
{
	struct vmig_kabi_call call =
		feature(s, d, VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE);

	call.v[0] = s->devices[d].state;
	tell(s, &call);
}

static bool has_session(uint32_t state)
{
	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P ||
	       state == VMIG_STATE_STOP_COPY || state == VMIG_STATE_RESUMING;
}

/* @error 0: it succeeds; else the device is in @now afterwards. */
static void set_or_fail(struct script *s, unsigned int d, uint32_t to, int error, uint32_t now)
{
	struct device *device = &s->devices[d];
	struct vmig_kabi_call call =
		feature(s, d, VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE);

	call.v[0] = device->state;
	call.v[1] = to;
	call.v[2] = UINT64_MAX;
	call.v[3] = error ? now : to;
	if (!error && has_session(to) && !has_session(device->state)) {
		device->at = device->digest = 0;
		call.v[2] = 100 + d;
		call.v[3] |= (uint64_t)++device->number << 32;
	}
	call.result = error;
	device->state = error ? now : to;
	tell(s, &call);
}

static void set(struct script *s, unsigned int d, uint32_t to)
{
	set_or_fail(s, d, to, 0, to);
}

static void pass(struct script *s, unsigned int d, enum vmig_kabi_op op, int64_t result)
{
	struct device *device = &s->devices[d];
	struct vmig_kabi_call call = call_of(s, d, VMIG_KABI_DATA, op);

	call.len = 4096;
	call.result = result;
	call.v[0] = device->digest;
	call.v[1] = device->at;
	call.v[2] = device->number;
	tell(s, &call);
}

/* @n bytes more of the data of @seed, from @from on. */
static void digest(struct device *device, unsigned int seed, uint64_t from, uint64_t n)
{
	for (uint64_t i = from; i < from + n; i++)
		device->digest = device->digest * 31 + (i * 7 + seed + 1) % 251;
	device->at += n;
}

static void take(struct script *s, unsigned int d, uint64_t n)
{
	digest(&s->devices[d], s->devices[d].seed, s->devices[d].at, n);
	pass(s, d, VMIG_KABI_READ, (int64_t)n);
}

static void put(struct script *s, unsigned int d, unsigned int seed, uint64_t from, uint64_t n)
{
	digest(&s->devices[d], seed, from, n);
	pass(s, d, VMIG_KABI_WRITE, (int64_t)n);
}

static void sizes(struct script *s, unsigned int d, uint64_t initial, int error)
{
	struct vmig_kabi_call call = call_of(s, d, VMIG_KABI_DATA, VMIG_KABI_IOCTL);

	call.request = VMIG_UAPI_MIG_GET_PRECOPY_INFO;
	call.v[0] = initial;
	call.v[3] = error ? 0 : s->devices[d].number;
	call.result = error;
	tell(s, &call);
}

static void touch(struct script *s, unsigned int d)
{
	struct vmig_kabi_call call = call_of(s, d, VMIG_KABI_DEVICE, VMIG_KABI_WRITE);

	call.len = call.result = 4;
	tell(s, &call);
}

static void close_fd(struct script *s, unsigned int d)
{
	struct vmig_kabi_call call = call_of(s, d, VMIG_KABI_DATA, VMIG_KABI_CLOSE);

	call.v[2] = s->devices[d].number;
	tell(s, &call);
}

static void close_device(struct script *s, unsigned int d)
{
	struct vmig_kabi_call call = call_of(s, d, VMIG_KABI_DEVICE, VMIG_KABI_CLOSE);

	tell(s, &call);
}

/* --- the log ------------------------------------------------------------------------------------ */

static void log_start(struct script *s, unsigned int d, uint64_t n_ranges, int error)
{
	struct vmig_kabi_call call =
		feature(s, d, VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START);

	call.v[0] = 4096;
	call.v[1] = n_ranges;
	call.result = error;
	tell(s, &call);
}

static void log_stop(struct script *s, unsigned int d)
{
	struct vmig_kabi_call call =
		feature(s, d, VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP);

	tell(s, &call);
}

static void log_report(struct script *s, unsigned int d, uint64_t within, int error)
{
	struct vmig_kabi_call call =
		feature(s, d, VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT);

	call.v[1] = 65536;
	call.v[2] = 4096;
	call.len = within;
	call.result = error;
	tell(s, &call);
}

static void begin_log(struct script *s, unsigned int d)
{
	if (is(s, "reports-before-the-start"))
		log_report(s, d, 0, -EINVAL);
	log_start(s, d, 300, -E2BIG);
	if (is(s, "insists-on-ranges"))
		log_start(s, d, 300, -E2BIG);
	log_start(s, d, 1, 0);
	if (is(s, "starts-the-log-twice"))
		log_start(s, d, 1, -EBUSY);
	log_report(s, d, is(s, "reports-other-ranges") ? 4096 : 65536, 0);
}

/* --- a migration of v2 -------------------------------------------------------------------------- */

enum { SOURCE = 0, DESTINATION = 1, SOURCE_2 = 2, DESTINATION_2 = 3 };

static void open_device(struct script *s, unsigned int d, int pid)
{
	begin(s, d, pid);
	ask_flags(s, d);
	if (d != SOURCE || !is(s, "does-not-know-the-state"))
		reset(s, d);
}

static void odd_targets(struct script *s, unsigned int d)
{
	if (is(s, "asks-for-error"))
		set_or_fail(s, d, VMIG_STATE_ERROR, -EINVAL, VMIG_STATE_RUNNING);
	else if (is(s, "asks-for-an-unknown-state"))
		set_or_fail(s, d, 9, -EINVAL, VMIG_STATE_RUNNING);
	else
		return;
	get(s, d);
}

static void pre_copy(struct script *s)
{
	set(s, SOURCE, VMIG_STATE_PRE_COPY);
	set(s, SOURCE_2, VMIG_STATE_PRE_COPY);
	if (!is(s, "never-asks-for-sizes"))
		sizes(s, SOURCE, INITIAL, 0);
	take(s, SOURCE, INITIAL / 2);
	if (!is(s, "leaves-pre-copy-early"))
		take(s, SOURCE, INITIAL / 2);
	pass(s, SOURCE, VMIG_KABI_READ, -ENOMSG);
	sizes(s, SOURCE_2, INITIAL, 0);
	take(s, SOURCE_2, INITIAL);
}

static void stop_both(struct script *s)
{
	set(s, SOURCE, VMIG_STATE_PRE_COPY_P2P);
	if (is(s, "touches-in-p2p"))
		touch(s, SOURCE);
	if (!is(s, "stops-one-by-one"))
		set(s, SOURCE_2, VMIG_STATE_PRE_COPY_P2P);
	set(s, SOURCE, VMIG_STATE_STOP_COPY);
	if (is(s, "stops-one-by-one"))
		set(s, SOURCE_2, VMIG_STATE_PRE_COPY_P2P);
	set(s, SOURCE_2, VMIG_STATE_STOP_COPY);
	if (is(s, "touches-when-stopped"))
		touch(s, SOURCE);
	if (is(s, "asks-for-sizes-late"))
		sizes(s, SOURCE, 0, -EINVAL);
	if (is(s, "goes-back-to-pre-copy")) {
		set_or_fail(s, SOURCE, VMIG_STATE_PRE_COPY, -EINVAL, VMIG_STATE_STOP_COPY);
		get(s, SOURCE);
	}
}

/* Of the first device, whose stream is not always read. */
static bool source_is_read(const struct script *s)
{
	return !is(s, "takes-drained-for-the-end") && !is(s, "does-not-read-to-the-end");
}

static void stop_copy(struct script *s, unsigned int d)
{
	if (d != SOURCE || source_is_read(s)) {
		take(s, d, STREAM - s->devices[d].at);
		pass(s, d, VMIG_KABI_READ, 0);
	} else if (is(s, "does-not-read-to-the-end")) {
		take(s, d, 10);
	}
	set(s, d, VMIG_STATE_STOP);
	if (d == SOURCE && is(s, "uses-an-ended-session"))
		pass(s, d, VMIG_KABI_READ, -ENODEV);
	if (d != SOURCE || !is(s, "leaves-data-fd-open"))
		close_fd(s, d);
}

static void load(struct script *s, unsigned int d, unsigned int seed)
{
	bool first = d == DESTINATION;
	uint64_t half = STREAM / 2;

	set(s, d, VMIG_STATE_RESUMING);
	put(s, d, seed, first && is(s, "changes-the-order") ? half : 0, half);
	put(s, d, seed, first && is(s, "changes-the-order") ? 0 : half,
	    first && is(s, "leaves-out-the-end") ? half - 1 : half);
	set(s, d, VMIG_STATE_RUNNING_P2P);
	set(s, d, VMIG_STATE_RUNNING);
	touch(s, d);
	close_fd(s, d);
}

static void migrate(struct script *s)
{
	for (unsigned int d = SOURCE; d <= DESTINATION_2; d++)
		open_device(s, d, d % 2 ? 2 : 1);
	odd_targets(s, SOURCE);
	begin_log(s, SOURCE);
	pre_copy(s);
	stop_both(s);
	if (!is(s, "no-last-report"))
		log_report(s, SOURCE, 65536, 0);
	stop_copy(s, SOURCE);
	stop_copy(s, SOURCE_2);
	if (source_is_read(s))
		load(s, DESTINATION, SOURCE);
	load(s, DESTINATION_2, SOURCE_2);
	if (!is(s, "leaves-the-log-on"))
		log_stop(s, SOURCE);
	if (is(s, "stops-the-log-twice"))
		log_stop(s, SOURCE);
	for (unsigned int d = SOURCE; d <= DESTINATION_2; d++)
		close_device(s, d);
}

/* --- failures ------------------------------------------------------------------------------------ */

enum { LOSER = 8, FAILS = 9, FALTERS = 10 };

static void fail_to_load(struct script *s)
{
	set(s, FAILS, VMIG_STATE_RESUMING);
	put(s, FAILS, LOSER, 0, STREAM / 2);
	pass(s, FAILS, VMIG_KABI_WRITE, -EIO);
	if (is(s, "writes-on-after-a-failure"))
		put(s, FAILS, LOSER, STREAM / 2, STREAM / 2);
	if (is(s, "leaves-a-failed-load"))
		set(s, FAILS, VMIG_STATE_STOP);
	reset(s, FAILS);
	if (is(s, "works-with-nothing"))
		touch(s, FAILS);
	close_fd(s, FAILS);
	close_device(s, FAILS);
}

static void a_load_that_fails(struct script *s)
{
	open_device(s, LOSER, 3);
	open_device(s, FAILS, 4);
	set(s, LOSER, VMIG_STATE_STOP_COPY);
	take(s, LOSER, STREAM);
	pass(s, LOSER, VMIG_KABI_READ, 0);
	fail_to_load(s);
	set(s, LOSER, VMIG_STATE_STOP);
	close_fd(s, LOSER);
	if (!is(s, "gives-up-the-source"))
		set(s, LOSER, VMIG_STATE_RUNNING);
	close_device(s, LOSER);
}

static void transitions_that_fail(struct script *s)
{
	open_device(s, FALTERS, 5);
	set(s, FALTERS, VMIG_STATE_PRE_COPY);
	set_or_fail(s, FALTERS, VMIG_STATE_STOP_COPY, -EIO, VMIG_STATE_PRE_COPY);
	if (is(s, "goes-on-after-a-failure"))
		take(s, FALTERS, 10);
	get(s, FALTERS);
	if (is(s, "resets-at-once"))
		reset(s, FALTERS);
	else
		set(s, FALTERS, VMIG_STATE_RUNNING);
	close_fd(s, FALTERS);
	set(s, FALTERS, VMIG_STATE_PRE_COPY);
	set_or_fail(s, FALTERS, VMIG_STATE_STOP_COPY, -EIO, VMIG_STATE_ERROR);
	get(s, FALTERS);
	if (is(s, "asks-in-error"))
		set_or_fail(s, FALTERS, VMIG_STATE_RUNNING, -EIO, VMIG_STATE_ERROR);
	reset(s, FALTERS);
	close_fd(s, FALTERS);
	close_device(s, FALTERS);
}

/* --- v1 ------------------------------------------------------------------------------------------ */

enum { SAVES_V1 = 4, LOADS_V1 = 5, FAILS_V1 = 6 };
enum { STATE = 0, PENDING = 8, OFFSET = 16, SIZE = 24 };

static void v1(struct script *s, unsigned int d, enum vmig_kabi_op op, uint64_t at, uint64_t value, int error)
{
	struct vmig_kabi_call call = call_of(s, d, VMIG_KABI_DEVICE, op);

	call.offset = (uint64_t)V1 << 40 | at;
	call.len = at == STATE ? 4 : 8;
	call.v[0] = value;
	call.v[1] = at == SIZE ? s->data : 0;
	call.result = error ? error : (int64_t)call.len;
	tell(s, &call);
}

static void v1_get(struct script *s, unsigned int d, uint64_t at, uint64_t value)
{
	v1(s, d, VMIG_KABI_READ, at, value, 0);
}

static void v1_put(struct script *s, unsigned int d, uint64_t at, uint64_t value)
{
	v1(s, d, VMIG_KABI_WRITE, at, value, 0);
}

static void v1_open(struct script *s, unsigned int d, int pid)
{
	struct vmig_kabi_call call;

	begin(s, d, pid);
	call = call_of(s, d, VMIG_KABI_DEVICE, VMIG_KABI_IOCTL);
	call.request = VMIG_UAPI_DEVICE_GET_REGION_INFO;
	call.v[0] = V1;
	call.v[3] = 1;
	tell(s, &call);
	reset(s, d);
	v1_get(s, d, STATE, 1);
}

/* @data: what its digest is. */
static void v1_iterate(struct script *s, unsigned int d, uint64_t pending, uint64_t size, uint64_t data)
{
	s->data = data;
	if (!is(s, "v1-offset-without-pending") || pending < 300)
		v1_get(s, d, PENDING, pending);
	if (!is(s, "v1-size-without-offset"))
		v1_get(s, d, OFFSET, 4096);
	v1_get(s, d, SIZE, size);
}

static void v1_save(struct script *s, unsigned int d)
{
	if (is(s, "v1-from-running-to-error"))
		v1(s, d, VMIG_KABI_WRITE, STATE, 6, -EINVAL), v1_get(s, d, STATE, 1);
	v1_put(s, d, STATE, is(s, "v1-changes-reserved-bits") ? 3 | 8 : 3);
	v1_iterate(s, d, 300, 100, 11);
	v1_get(s, d, PENDING, 0);
	if (is(s, "v1-iterates-at-zero"))
		v1_get(s, d, OFFSET, 4096);
	if (is(s, "v1-writes-size-when-saving"))
		v1_put(s, d, SIZE, 0);
	v1_put(s, d, STATE, 2);
	v1_iterate(s, d, 200, 100, 22);
	v1_iterate(s, d, 100, 100, 33);
	if (!is(s, "v1-stops-early"))
		v1_get(s, d, PENDING, 0);
	v1_put(s, d, STATE, 0);
	close_device(s, d);
}

static void v1_load_one(struct script *s, unsigned int d, uint64_t size, uint64_t data)
{
	s->data = data;
	if (!is(s, "v1-loads-without-offset"))
		v1_get(s, d, OFFSET, 4096);
	v1_put(s, d, SIZE, size);
}

static void v1_load(struct script *s, unsigned int d)
{
	v1_put(s, d, STATE, 4);
	if (is(s, "v1-halves-a-transaction"))
		v1_load_one(s, d, 50, 11), v1_load_one(s, d, 50, 11);
	else
		v1_load_one(s, d, 100, 11);
	v1_load_one(s, d, 100, is(s, "v1-changes-the-order") ? 33 : 22);
	if (!is(s, "v1-leaves-out-the-end"))
		v1_load_one(s, d, 100, is(s, "v1-changes-the-order") ? 22 : 33);
	v1_put(s, d, STATE, 1);
	if (is(s, "v1-leaves-the-table"))
		v1_put(s, d, STATE, 4), v1_put(s, d, STATE, 0);
	close_device(s, d);
}

static void v1_failures(struct script *s, unsigned int d)
{
	v1(s, d, VMIG_KABI_WRITE, STATE, 3, -EIO);
	if (is(s, "v1-writes-after-a-failure"))
		v1_put(s, d, STATE, 3);
	v1_get(s, d, STATE, is(s, "v1-writes-after-a-failure") ? 3 : 1);
	v1_put(s, d, STATE, 3);
	v1(s, d, VMIG_KABI_READ, PENDING, 0, -EIO);
	if (is(s, "v1-goes-on-after-an-error"))
		v1_get(s, d, PENDING, 10);
	v1_put(s, d, STATE, 1);
	v1_put(s, d, STATE, 3);
	v1(s, d, VMIG_KABI_WRITE, STATE, 2, -EIO);
	v1_get(s, d, STATE, 6);
	if (is(s, "v1-writes-in-the-error-state"))
		v1(s, d, VMIG_KABI_WRITE, STATE, 1, -EIO), v1_get(s, d, STATE, 6);
	reset(s, d);
	close_device(s, d);
}

static void migrate_v1(struct script *s)
{
	v1_open(s, SAVES_V1, 6);
	v1_open(s, LOADS_V1, 7);
	v1_open(s, FAILS_V1, 8);
	if (is(s, "v1-half-a-register")) {
		struct vmig_kabi_call call = call_of(s, SAVES_V1, VMIG_KABI_DEVICE, VMIG_KABI_READ);

		call.offset = (uint64_t)V1 << 40 | PENDING;
		call.len = call.result = 4;
		tell(s, &call);
	}
	v1_save(s, SAVES_V1);
	if (!is(s, "v1-stops-early"))
		v1_load(s, LOADS_V1);
	v1_failures(s, FAILS_V1);
}

/* --- all of it ------------------------------------------------------------------------------------ */

void user_script(struct check_user *user, const char *mutant)
{
	struct script s = { .user = user, .mutant = mutant };

	migrate(&s);
	migrate_v1(&s);
	transitions_that_fail(&s);
	a_load_that_fails(&s);
	if (is(&s, "gives-up-at-a-future-flag")) {
		open_device(&s, LATER + 1, 9);
		close_device(&s, LATER + 1);
	}
	check_user_end(user, true);
}
