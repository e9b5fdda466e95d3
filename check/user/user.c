/* SPDX-License-Identifier: BSD-3-Clause */
/* Which call is what, and what comes of it all. */
#include "judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <vmig/state.h>

/* --- results ---------------------------------------------------------------------------------- */

void user_keeps(struct check_user *u, enum user_rule rule)
{
	if (u->results[rule].verdict == CHECK_NOT_APPLICABLE)
		u->results[rule].verdict = CHECK_PASS;
}

static void say_did(struct check_user *u, struct check_user_result *result)
{
	if (u->call)
		vmig_kabi_call_text(u->call, result->did, sizeof(result->did));
	else
		snprintf(result->did, sizeof(result->did), "the end");
}

void user_breaks(struct check_user *u, enum user_rule rule, uint64_t earlier, const char *expected,
		 const char *saw, ...)
{
	struct check_user_result *result = &u->results[rule];
	va_list args;

	result->verdict = check_user_rules[rule].broken;
	if (result->n_broken++)
		return;
	if (earlier != USER_NOBODY)
		result->calls[result->n_calls++] = earlier;
	if (u->call && u->number != earlier)
		result->calls[result->n_calls++] = u->number;
	say_did(u, result);
	snprintf(result->expected, sizeof(result->expected), "%s", expected);
	va_start(args, saw);
	vsnprintf(result->saw, sizeof(result->saw), saw, args);
	va_end(args);
}

const char *user_state_name(uint32_t state)
{
	const char *name = vmig_state_name(state);

	return name ? name : "an unknown state";
}

bool user_saves_in(uint32_t state)
{
	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P ||
	       state == VMIG_STATE_STOP_COPY;
}

bool user_is_p2p(uint32_t state)
{
	return state == VMIG_STATE_RUNNING_P2P || state == VMIG_STATE_PRE_COPY_P2P;
}

/* --- calls on a device ------------------------------------------------------------------------ */

static void get_flags(struct check_user *u, struct user_device *d)
{
	if (u->call->result < 0)
		return;
	d->knows_flags = true;
	d->flags = u->call->v[0];
}

static void feature(struct check_user *u, struct user_device *d)
{
	uint32_t flags = (uint32_t)u->call->offset;
	bool set = flags & VMIG_UAPI_DEVICE_FEATURE_SET;

	if (flags & VMIG_UAPI_DEVICE_FEATURE_PROBE)
		return;
	switch (flags & VMIG_UAPI_DEVICE_FEATURE_MASK) {
	case VMIG_UAPI_DEVICE_FEATURE_MIGRATION:
		return get_flags(u, d);
	case VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE:
		return set ? user_set_state(u, d) : user_get_state(u, d);
	case VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START:
		return user_log_start(u, d);
	case VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP:
		return user_log_stop(u, d);
	case VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		return user_log_report(u, d);
	}
}

static void request(struct check_user *u, struct user_device *d)
{
	const struct vmig_kabi_call *call = u->call;

	if (call->request == VMIG_UAPI_DEVICE_FEATURE) {
		feature(u, d);
	} else if (call->request == VMIG_UAPI_DEVICE_RESET && call->result >= 0) {
		user_reset(u, d);
		user_v1_reset(u, d);
	} else if (call->request == VMIG_UAPI_DEVICE_GET_REGION_INFO && call->result >= 0 && call->v[3]) {
		d->v1.region = (uint32_t)call->v[0];
	}
}

#define REGION_SHIFT 40

static void access(struct check_user *u, struct user_device *d)
{
	uint64_t region = u->call->offset >> REGION_SHIFT;

	if (d->v1.region && region == d->v1.region)
		user_v1_access(u, d);
	else if (region != VMIG_UAPI_PCI_CONFIG_REGION_INDEX)
		user_touch(u, d);
}

/* A new user of the device, or the first one. The player resets a device before it has another user. */
static void opened(struct check_user *u, struct user_device *d)
{
	if (d->used)
		return;
	user_data_end(u, d);
	*d = (struct user_device){ .used = true, .state = VMIG_STATE_RUNNING, .state_at = USER_NOBODY };
	u->sum.n_devices++;
}

static void device_closed(struct check_user *u, struct user_device *d)
{
	if (!d->used)
		return;
	user_data_device_closed(u, d);
	user_device_closed(u, d);
	user_v1_closed(u, d);
	user_log_closed(u, d);
	d->used = false;
}

static void on_device(struct check_user *u, struct user_device *d)
{
	const struct vmig_kabi_call *call = u->call;

	if (call->op == VMIG_KABI_CLOSE)
		return device_closed(u, d);
	opened(u, d);
	user_data_alive(d);
	d->pid = call->pid;
	if (call->op == VMIG_KABI_IOCTL)
		request(u, d);
	else if (call->op == VMIG_KABI_READ || call->op == VMIG_KABI_WRITE)
		access(u, d);
}

static void on_data(struct check_user *u, struct user_device *d)
{
	switch (u->call->op) {
	case VMIG_KABI_READ:
		return user_data_read(u, d);
	case VMIG_KABI_WRITE:
		return user_data_written(u, d);
	case VMIG_KABI_IOCTL:
		return user_data_sizes(u, d);
	case VMIG_KABI_CLOSE:
		return user_data_closed(u, d);
	}
}

/* --- the judge -------------------------------------------------------------------------------- */

size_t check_user_size(void)
{
	return sizeof(struct check_user);
}

struct check_user *check_user_start(void *room)
{
	struct check_user *u = memset(room, 0, sizeof(*u));

	for (int i = 0; i < USER_N_RULES; i++)
		u->results[i].verdict = CHECK_NOT_APPLICABLE;
	return u;
}

void check_user_call(struct check_user *u, uint64_t number, const struct vmig_kabi_call *call)
{
	u->sum.n_calls++;
	if (call->device >= USER_DEVICES)
		return;
	u->number = number;
	u->call = call;
	if (call->kind == VMIG_KABI_DEVICE)
		on_device(u, &u->devices[call->device]);
	else if (call->kind == VMIG_KABI_DATA)
		on_data(u, &u->devices[call->device]);
	u->call = NULL;
}

void check_user_end(struct check_user *u, bool whole)
{
	for (uint32_t i = 0; i < USER_DEVICES; i++) {
		if (u->devices[i].used)
			device_closed(u, &u->devices[i]);
		user_data_end(u, &u->devices[i]);
	}
	user_states_end(u);
	for (int i = 0; i < USER_N_RULES && !whole; i++) {
		struct check_user_result *result = &u->results[i];

		if (result->verdict != CHECK_PASS && result->verdict != CHECK_NOT_APPLICABLE)
			continue;
		result->verdict = CHECK_ERROR;
		snprintf(result->saw, sizeof(result->saw), "calls came too fast and were lost");
		snprintf(result->expected, sizeof(result->expected), "all of them");
	}
}

const struct check_user_result *check_user_results(const struct check_user *u)
{
	return u->results;
}

const struct check_user_sum *check_user_sum(const struct check_user *u)
{
	return &u->sum;
}
