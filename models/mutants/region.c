/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of the migration region of v1: its layout, device_state, and the other registers. */
#include "region.h"

/* --- the region ----------------------------------------------------------------------------------- */

static void registers_mapped(struct mutant *m, struct vmig_region *region)
{
	region->areas[0].size += region->areas[0].offset;
	region->areas[0].offset = 0;
}

static int reserved_is_one(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	int r = mutant_v1_read(m, offset, buf, len);

	if (!r && offset == V1_RESERVED)
		*(uint8_t *)buf = 1;
	return r;
}

static int halves(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	uint64_t value;
	int r;

	if (offset != V1_PENDING_BYTES || len != 4)
		return mutant_v1_read(m, offset, buf, len);
	r = mutant_v1_read(m, offset, &value, sizeof(value));
	memcpy(buf, &value, len);
	return r;
}

static int offset_was_written(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	int r = mutant_v1_read(m, offset, buf, len);

	if (!r && offset == V1_DATA_OFFSET && m->region.flag)
		memcpy(buf, &m->region.offset, len);
	return r;
}

static int offset_is_written(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	if (offset == V1_DATA_OFFSET && len == 8) {
		memcpy(&m->region.offset, buf, len);
		m->region.flag = true;
	}
	if (offset == V1_DEVICE_STATE)
		m->region.flag = false;
	return mutant_v1_write(m, offset, buf, len);
}

/* --- device_state --------------------------------------------------------------------------------- */

static int needs_a_look_read(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	m->region.flag |= offset == V1_PENDING_BYTES && mutant_v1_state(m) == V1_PRE_COPY;
	return mutant_v1_read(m, offset, buf, len);
}

static int needs_a_look_write(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	uint32_t to = mutant_v1_asked(offset, buf, len), from = mutant_v1_state(m);

	if (to == V1_STOP && from == V1_SAVING && m->region.other && !m->region.flag)
		return -EBUSY;
	if (to == V1_PRE_COPY)
		m->region.flag = false;
	if (to != V1_NONE)
		m->region.other = to == V1_SAVING && from == V1_PRE_COPY;
	return mutant_v1_write(m, offset, buf, len);
}

static int moves_though_refused(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	if (mutant_v1_asked(offset, buf, len) != V1_PRE_COPY || mutant_v1_state(m) != V1_SAVING)
		return mutant_v1_write(m, offset, buf, len);
	(void)mutant_v1_go(m, V1_RUNNING);
	return -EINVAL;
}

static int takes_5(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	return mutant_v1_asked(offset, buf, len) == 5 ? 0 : mutant_v1_write(m, offset, buf, len);
}

static int takes_6(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	return mutant_v1_asked(offset, buf, len) == V1_ERROR ? 0 : mutant_v1_write(m, offset, buf, len);
}

static int ignores_reserved_bits(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	uint32_t value = 0;

	if (offset == V1_DEVICE_STATE && len == 4)
		memcpy(&value, buf, len);
	return value & ~V1_BITS ? 0 : mutant_v1_write(m, offset, buf, len);
}

static int reset_stops(struct mutant *m)
{
	return mutant_v1_go(m, V1_STOP);
}

static int notes_pre_copy(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	int r = mutant_v1_write(m, offset, buf, len);

	if (!r && offset == V1_DEVICE_STATE)
		m->region.flag = mutant_v1_state(m) == V1_PRE_COPY;
	return r;
}

static int reset_keeps_pre_copy(struct mutant *m)
{
	return m->region.flag ? mutant_v1_go(m, V1_PRE_COPY) : 0;
}

/* The state that a user finds who comes later. */
static uint32_t kept_state = V1_RUNNING;

static void find_state(struct mutant *m)
{
	(void)mutant_v1_go(m, kept_state);
}

static void keep_state(struct mutant *m)
{
	kept_state = mutant_v1_state(m);
}

/* --- a device at work ----------------------------------------------------------------------------- */

static int writes_in_stop(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	uint8_t *memory = mutant_memory(m, false);

	if (offset == V1_DEVICE_STATE && mutant_v1_state(m) == V1_STOP && memory)
		memory[0]++;
	return mutant_v1_read(m, offset, buf, len);
}

static int interrupts_in_stop(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	if (offset == V1_DEVICE_STATE && mutant_v1_state(m) == V1_STOP)
		mutant_interrupt(m);
	return mutant_v1_read(m, offset, buf, len);
}

static int idle_in_pre_copy(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	if (mutant_v1_asked(offset, buf, len) == V1_PRE_COPY)
		mutant_idle(m);
	return mutant_v1_write(m, offset, buf, len);
}

const struct mutant_rule mutant_region_rules[] = {
	{ "v1-registers-mapped", .v1_region = registers_mapped },
	{ "v1-reserved-is-one", .v1_read = reserved_is_one },
	{ "v1-takes-halves", .v1_read = halves },
	{ "v1-offset-is-written", .v1_read = offset_was_written, .v1_write = offset_is_written },
	{ "v1-pre-copy-needs-a-look", .v1_read = needs_a_look_read, .v1_write = needs_a_look_write },
	{ "v1-moves-though-refused", .v1_write = moves_though_refused },
	{ "v1-takes-5", .v1_write = takes_5 },
	{ "v1-takes-6", .v1_write = takes_6 },
	{ "v1-ignores-reserved-bits", .v1_write = ignores_reserved_bits },
	{ "v1-reset-stops", .reset = reset_stops },
	{ "v1-reset-keeps-pre-copy", .v1_write = notes_pre_copy, .reset = reset_keeps_pre_copy },
	{ "v1-keeps-state", .open = find_state, .close = keep_state },
	{ "v1-writes-in-stop", .v1_read = writes_in_stop },
	{ "v1-interrupts-in-stop", .v1_read = interrupts_in_stop },
	{ "v1-idle-in-pre-copy", .v1_write = idle_in_pre_copy },
	{ NULL },
};
