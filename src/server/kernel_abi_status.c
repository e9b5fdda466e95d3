/* SPDX-License-Identifier: BSD-3-Clause */
/* What is observed of a device, and what goes wrong on purpose. The status may lie in shared memory: it is written only. */
#include <string.h>

#include "base/clock.h"
#include "server/kernel_abi.h"

#define V1 (1u << 31) /* of a state: the register of a device of v1 */

void vmig_kabi_note_open(struct vmig_kabi_slot *slot, bool open)
{
	if (slot->config.status)
		__atomic_store_n(&slot->config.status->opened, open, __ATOMIC_RELAXED);
}

/**
 * The state that is known now. A device of v2 is asked: it may have moved otherwise than it was told. The register of
 * one of v1 is the program's to read, and each access may have been given a fault: what was written last is known.
 */
static uint32_t state_now(struct vmig_kabi_slot *slot)
{
	uint32_t state = VMIG_STATE_NONE;

	if (slot->info.migration_flags) {
		if (vmig_device_query_state(slot->dev, &state) < 0)
			return VMIG_STATE_NONE;
	} else if (slot->v1_region != VMIG_KABI_NONE) {
		pthread_mutex_lock(&slot->lock);
		state = slot->v1_state | V1;
		pthread_mutex_unlock(&slot->lock);
	}
	return state;
}

int vmig_kabi_fault(struct vmig_kabi_slot *slot, enum vmig_kabi_fault where, uint32_t to, uint64_t bytes)
{
	if (!slot->config.fault)
		return 0;
	return slot->config.fault(slot->config.opaque, where, state_now(slot), to, bytes);
}

void vmig_kabi_note_data(struct vmig_kabi_slot *slot, bool loaded, uint64_t bytes)
{
	struct vmig_kabi_status *status = slot->config.status;

	if (status)
		__atomic_fetch_add(loaded ? &status->loaded : &status->saved, bytes, __ATOMIC_RELAXED);
}

/* --- data of v1 --------------------------------------------------------------------------- */

/** In the saving states only: when loading, data_size reads as what was written last. */
static void offer(struct vmig_kabi_slot *slot, uint64_t bytes)
{
	pthread_mutex_lock(&slot->lock);
	slot->v1_offered = slot->v1_state & VMIG_UAPI_DEVICE_STATE_V1_SAVING ? bytes : 0;
	pthread_mutex_unlock(&slot->lock);
}

static void take_offered(struct vmig_kabi_slot *slot)
{
	uint64_t bytes;

	pthread_mutex_lock(&slot->lock);
	bytes = slot->v1_offered;
	slot->v1_offered = 0;
	pthread_mutex_unlock(&slot->lock);
	vmig_kabi_note_data(slot, false, bytes);
}

/**
 * By the registers, since one sees no more than them of a section that is mapped. Saving: data_size may be read
 * again; that the data has been taken is told by the next read of pending_bytes, or by moving on. Loading: data_size
 * is written when the data is there.
 */
void vmig_kabi_note_v1(struct vmig_kabi_slot *slot, uint64_t pos, bool is_write, uint64_t value)
{
	if (pos == offsetof(struct vmig_uapi_device_migration_info, data_size) && is_write)
		vmig_kabi_note_data(slot, true, value);
	else if (pos == offsetof(struct vmig_uapi_device_migration_info, data_size))
		offer(slot, value);
	else if (pos == offsetof(struct vmig_uapi_device_migration_info, pending_bytes) && !is_write)
		take_offered(slot);
}

/* --- transitions -------------------------------------------------------------------------- */

void vmig_kabi_note_state(struct vmig_kabi_slot *slot, uint32_t state, int result)
{
	struct vmig_kabi_status *status = slot->config.status;
	uint32_t now, n;

	if (state != VMIG_STATE_NONE && (state & V1) && !result) {
		take_offered(slot);
		pthread_mutex_lock(&slot->lock);
		slot->v1_state = state & ~V1;
		pthread_mutex_unlock(&slot->lock);
	}
	if (!status)
		return;
	now = state_now(slot);
	pthread_mutex_lock(&slot->lock);
	__atomic_store_n(&status->state, now, __ATOMIC_RELAXED);
	if (state != VMIG_STATE_NONE) {
		n = status->n_states % VMIG_KABI_STATES;
		status->states[n].time_ns = vmig_now_ns();
		status->states[n].state = state;
		status->states[n].result = result;
		/* Whoever looks on sees an entry when it is whole. */
		__atomic_store_n(&status->n_states, status->n_states + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&slot->lock);
}

void vmig_kabi_note_reset(struct vmig_kabi_slot *slot)
{
	if (slot->config.status)
		__atomic_fetch_add(&slot->config.status->n_resets, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&slot->lock);
	slot->v1_state = VMIG_UAPI_DEVICE_STATE_V1_RUNNING;
	slot->v1_offered = 0;
	pthread_mutex_unlock(&slot->lock);
	vmig_kabi_note_state(slot, VMIG_STATE_NONE, 0);
}

void vmig_kabi_note_report(struct vmig_kabi_slot *slot, uint64_t dirty)
{
	struct vmig_kabi_status *status = slot->config.status;

	if (!status)
		return;
	__atomic_fetch_add(&status->n_reports, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&status->dirty_pages, dirty, __ATOMIC_RELAXED);
}
