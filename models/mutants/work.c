/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of a device at work. */
#include "../nic.h"
#include "rule.h"

static void writes_in_stop(struct mutant *m, uint32_t *state)
{
	uint8_t *memory = mutant_memory(m, false);

	if (*state == VMIG_STATE_STOP && memory)
		memory[0]++;
}

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

const struct mutant_rule mutant_work_rules[] = {
	{ "writes-in-stop", .look = writes_in_stop },
	{ "idle-in-pre-copy", .before = idle_in_pre_copy },
	{ "idle-after-stop", .before = idle_after_stop },
	{ NULL },
};
