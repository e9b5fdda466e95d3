/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of a device at work. */
#include <unistd.h>

#include "../nic.h"
#include "rule.h"

static void write_to(uint8_t *memory)
{
	if (memory)
		memory[0]++;
}

void mutant_interrupt(struct mutant *m)
{
	uint64_t one = 1;

	for (size_t i = 0; i < MUTANT_IRQS_MAX; i++)
		if (m->irqs[i] >= 0)
			(void)!write(m->irqs[i], &one, sizeof(one));
}

/* --- STOP and STOP_COPY -------------------------------------------------------------------------- */

static void writes_in_stop(struct mutant *m, uint32_t *state)
{
	if (*state == VMIG_STATE_STOP && !m->loaded)
		write_to(mutant_memory(m, false));
}

static void interrupts_in_stop(struct mutant *m, uint32_t *state)
{
	if (*state == VMIG_STATE_STOP && !m->loaded)
		mutant_interrupt(m);
}

static void interrupts_in_stop_copy(struct mutant *m, uint32_t *state)
{
	if (*state == VMIG_STATE_STOP_COPY)
		mutant_interrupt(m);
}

static void writes_when_loaded(struct mutant *m, uint32_t *state)
{
	if (*state == VMIG_STATE_STOP && m->loaded)
		write_to(mutant_memory(m, false));
}

static void interrupts_when_loaded(struct mutant *m, uint32_t *state)
{
	if (*state == VMIG_STATE_STOP && m->loaded)
		mutant_interrupt(m);
}

/* --- peer-to-peer DMA ---------------------------------------------------------------------------- */

static void peer_dma_in_running_p2p(struct mutant *m, uint32_t *state)
{
	if (*state == VMIG_STATE_RUNNING_P2P)
		write_to(mutant_memory(m, true));
}

static void peer_dma_in_pre_copy_p2p(struct mutant *m, uint32_t *state)
{
	if (*state == VMIG_STATE_PRE_COPY_P2P)
		write_to(mutant_memory(m, true));
}

/* What was begun before is done a little later. */
static void peer_dma_ends_late(struct mutant *m, uint32_t *state)
{
	if ((*state == VMIG_STATE_RUNNING_P2P || *state == VMIG_STATE_PRE_COPY_P2P) && m->n_looks == 4)
		write_to(mutant_memory(m, true));
}

/* A device that tells peer-to-peer DMA from other: this it may do. */
static void memory_dma_in_p2p(struct mutant *m, uint32_t *state)
{
	if (*state != VMIG_STATE_RUNNING_P2P && *state != VMIG_STATE_PRE_COPY_P2P)
		return;
	write_to(mutant_memory(m, false));
	mutant_interrupt(m);
}

/* --- RUNNING and PRE_COPY ------------------------------------------------------------------------ */

/* All queues are disabled. */
void mutant_idle(struct mutant *m)
{
	uint64_t off = 0;

	for (uint32_t q = 0; mutant_memory(m, false) && q < NIC_QUEUES_MAX; q++)
		(void)vmig_device_region_write(m->inner, NIC_BAR_REGISTERS, NIC_QUEUE(q) + NIC_QUEUE_CONTROL,
					       &off, sizeof(off));
}

static int idle_in_pre_copy(struct mutant *m, uint32_t from, uint32_t to)
{
	if (to == VMIG_STATE_PRE_COPY)
		mutant_idle(m);
	return 0;
}

static int idle_after_stop(struct mutant *m, uint32_t from, uint32_t to)
{
	if (m->was_stopped && to == VMIG_STATE_RUNNING)
		mutant_idle(m);
	return 0;
}

static int idle_after_p2p(struct mutant *m, uint32_t from, uint32_t to)
{
	if (from == VMIG_STATE_PRE_COPY_P2P && to == VMIG_STATE_PRE_COPY)
		mutant_idle(m);
	return 0;
}

const struct mutant_rule mutant_work_rules[] = {
	{ "writes-in-stop", .look = writes_in_stop },
	{ "interrupts-in-stop", .look = interrupts_in_stop },
	{ "interrupts-in-stop-copy", .look = interrupts_in_stop_copy },
	{ "writes-when-loaded", .look = writes_when_loaded },
	{ "interrupts-when-loaded", .look = interrupts_when_loaded },
	{ "peer-dma-in-running-p2p", .look = peer_dma_in_running_p2p },
	{ "peer-dma-in-pre-copy-p2p", .look = peer_dma_in_pre_copy_p2p },
	{ "peer-dma-ends-late", .look = peer_dma_ends_late },
	{ "memory-dma-in-p2p", .look = memory_dma_in_p2p },
	{ "idle-after-p2p", .before = idle_after_p2p },
	{ "idle-in-pre-copy", .before = idle_in_pre_copy },
	{ "idle-after-stop", .before = idle_after_stop },
	{ NULL },
};
