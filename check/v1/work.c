/* SPDX-License-Identifier: BSD-3-Clause */
/* A device of v1 at work: it writes to memory while it runs, and not while it is stopped. */
#include "v1.h"
#include "check/watch.h"

static void silent_in(struct check_context *c, struct check_memory *memory, uint32_t state)
{
	const uint32_t ms = check_watch_ms(c);

	check_v1_go(c, state);
	check_did(c, "watched the memory of a device at work for %u ms in %s", ms, check_v1_name(state));
	check_memory_look(memory);
	for (uint32_t n = 0; n < ms; n++) {
		check_pause_ms();
		check_v1_in(c, state);
		if (check_memory_changed(memory))
			check_fail(c, "nothing changes", "memory has changed");
	}
}

void check_v1_silent(struct check_context *c)
{
	struct check_memory memory;

	check_did(c, "gave the device work");
	check_v1_bring(c, V1_RUNNING);
	check_work_begin(c, &memory);
	check_work_must(c, &memory);
	check_work_pause(c);
	silent_in(c, &memory, V1_SAVING);
	check_v1_iterate(c, SIZE_MAX, NULL);
	silent_in(c, &memory, V1_STOP);
	check_v1_bring(c, V1_RUNNING);
	silent_in(c, &memory, V1_STOP);
	check_v1_bring(c, V1_RUNNING);
	silent_in(c, &memory, V1_RESUMING);
	check_memory_done(&memory);
}

static void no_interrupt_in(struct check_context *c, uint32_t state)
{
	const uint32_t ms = check_watch_ms(c);

	check_v1_go(c, state);
	check_did(c, "watched for interrupts of a device at work for %u ms in %s", ms, check_v1_name(state));
	/* One that was raised before may be on its way still. */
	check_pause_ms();
	(void)check_interrupts(c);
	for (uint32_t n = 0; n < ms; n++) {
		check_pause_ms();
		check_v1_in(c, state);
		/* The text has no word of interrupts. */
		if (check_interrupts(c))
			check_observe(c, "a stopped device raises no interrupt", "one came");
	}
}

void check_v1_no_interrupts(struct check_context *c)
{
	struct check_memory memory;

	check_did(c, "gave the device work");
	check_v1_bring(c, V1_RUNNING);
	check_work_begin(c, &memory);
	check_work_must(c, &memory);
	check_interrupts_must(c);
	/* So that there is room again for what it has to give. */
	check_work_resume(c);
	check_work_pause(c);
	no_interrupt_in(c, V1_SAVING);
	check_v1_iterate(c, SIZE_MAX, NULL);
	no_interrupt_in(c, V1_STOP);
	check_memory_done(&memory);
}

void check_v1_works(struct check_context *c)
{
	struct check_memory memory;

	check_did(c, "gave the device work");
	check_v1_bring(c, V1_RUNNING);
	check_work_begin(c, &memory);
	check_work_must(c, &memory);
	check_v1_go(c, V1_PRE_COPY);
	check_did(c, "watched the memory of a device at work in pre-copy");
	if (!check_work_seen(c, &memory))
		check_fail(c, "the device goes on writing to memory", "nothing within %u ms",
			   check_patience(c));
	check_memory_done(&memory);
}
