/* SPDX-License-Identifier: BSD-3-Clause */
/* The migration region of the v1 text and its registers, but for what they say of data. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "v1.h"

#define PAGE 4096ull

static void look_at_area(struct check_context *c, const struct vmig_region *region, uint32_t i)
{
	const struct vmig_area *area = &region->areas[i];

	if (!area->size || area->offset > region->size || area->size > region->size - area->offset)
		check_fail(c, "what can be mapped is a part of the region", "%#llx bytes at %#llx of %#llx",
			   (unsigned long long)area->size, (unsigned long long)area->offset,
			   (unsigned long long)region->size);
	if (area->offset < V1_REGISTERS)
		check_fail(c, "the registers are trapped", "they can be mapped: %#llx bytes at %#llx",
			   (unsigned long long)area->size, (unsigned long long)area->offset);
	for (uint32_t n = 0; n < i; n++)
		if (area->offset < region->areas[n].offset + region->areas[n].size &&
		    region->areas[n].offset < area->offset + area->size)
			check_fail(c, "the areas are apart", "areas %u and %u have bytes in common", n, i);
}

void check_v1_region(struct check_context *c)
{
	const uint32_t both = VMIG_REGION_READ | VMIG_REGION_WRITE;
	struct vmig_region region;

	check_did(c, "looked for the region of type 3, subtype 1, and read device_state");
	check_v1_find(c, &region);
	if (region.size <= V1_REGISTERS)
		check_fail(c, "the registers, and a data section behind them", "a region of %llu bytes",
			   (unsigned long long)region.size);
	if ((region.flags & both) != both)
		check_fail(c, "a region to read and to write", "its flags are %#x", region.flags);
	for (uint32_t i = 0; i < region.n_areas; i++)
		look_at_area(c, &region, i);
	check_v1_bring(c, V1_RUNNING);
}

void check_v1_reserved(struct check_context *c)
{
	uint32_t value = 0xffffffff;
	int r;

	check_did(c, "read the field reserved, wrote ones to it, and read it again");
	check_v1_bring(c, V1_RUNNING);
	for (int i = 0; i < 2; i++) {
		r = check_v1_get(c, V1_RESERVED, &value, sizeof(value));
		if (r)
			check_fail(c, "reads return zero", "%s", strerror(-r));
		if (value)
			check_fail(c, "reads return zero", "%#x", value);
		value = 0xffffffff;
		r = i ? 0 : check_v1_put(c, V1_RESERVED, &value, sizeof(value));
		if (r)
			check_fail(c, "writes are ignored", "%s", strerror(-r));
	}
	check_v1_in(c, V1_RUNNING);
}

/* A write may be refused, or have no effect; and a register be refused where it says nothing. */
static void keeps(struct check_context *c, uint32_t offset, const char *name)
{
	uint64_t is = 0, odd;

	if (check_v1_get(c, offset, &is, sizeof(is)))
		return;
	odd = is ^ 0x5a5a5a5a5a5aull;
	(void)check_v1_put(c, offset, &odd, sizeof(odd));
	if (check_v1_read(c, offset) == odd)
		check_fail(c, "a write does not change it", "%s is %#llx, as was written", name,
			   (unsigned long long)odd);
}

void check_v1_read_only(struct check_context *c)
{
	static const uint32_t states[] = { V1_STOP, V1_SAVING, V1_RESUMING };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		check_v1_bring(c, states[i]);
		check_did(c, "wrote to pending_bytes and data_offset in %s", check_v1_name(states[i]));
		keeps(c, V1_PENDING_BYTES, "pending_bytes");
		keeps(c, V1_DATA_OFFSET, "data_offset");
	}
}

/* What is no field: width and place. */
static const struct odd {
	uint32_t offset, width;
} odd[] = { { 0, 1 }, { 0, 2 }, { 0, 8 },  { 1, 1 },  { 2, 2 },  { 2, 4 },  { 4, 8 },
	    { 8, 4 }, { 8, 2 }, { 12, 4 }, { 16, 4 }, { 20, 8 }, { 24, 1 }, { 24, 4 } };

void check_v1_width(struct check_context *c)
{
	char taken[CHECK_TEXT_MAX / 2] = "";
	size_t len = 0;

	check_did(c, "read and wrote registers at other widths and places than their own");
	check_v1_bring(c, V1_RUNNING);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		uint8_t bytes[8] = { 0 };
		bool reads = !check_v1_get(c, odd[i].offset, bytes, odd[i].width);
		bool writes = !check_v1_put(c, odd[i].offset, bytes, odd[i].width);

		if ((reads || writes) && len < sizeof(taken))
			len += (size_t)snprintf(taken + len, sizeof(taken) - len, "%s%u at %u%s",
						len ? ", " : "", odd[i].width, odd[i].offset,
						!writes  ? " (read)"
						: !reads ? " (written)"
							 : "");
		(void)check_v1_to_running(c);
	}
	if (len)
		check_observe(c, "an error", "these bytes are taken: %s", taken);
}

/* --- data_offset ---------------------------------------------------------------------------------- */

/* Where there are no data a device may refuse the question. False: it does. */
static bool good_offset(struct check_context *c, const struct vmig_region *region, bool must)
{
	uint64_t offset = 0;
	int r = check_v1_get(c, V1_DATA_OFFSET, &offset, sizeof(offset));

	if (r && must)
		check_fail(c, "data_offset can be read", "%s", strerror(-r));
	if (!r && (offset < V1_REGISTERS || offset >= region->size))
		check_fail(c, "an offset in the data section, behind the registers",
			   "%#llx of a region of %#llx bytes", (unsigned long long)offset,
			   (unsigned long long)region->size);
	return !r;
}

void check_v1_offset(struct check_context *c)
{
	struct vmig_region region;

	check_v1_find(c, &region);
	for (uint32_t state = 0; state <= V1_RESUMING; state++) {
		check_v1_bring(c, state);
		check_did(c, "read data_offset in %s", check_v1_name(state));
		for (int i = 0; (state & V1_SAVING) && i < 3 && check_v1_read(c, V1_PENDING_BYTES); i++) {
			good_offset(c, &region, true);
			check_v1_iterate(c, 1, NULL);
		}
		good_offset(c, &region, state == V1_RESUMING);
	}
}

static bool can_be_mapped(const struct vmig_region *region, uint64_t offset)
{
	if (region->flags & VMIG_REGION_MMAP && !region->n_areas)
		return true;
	for (uint32_t i = 0; region->flags & VMIG_REGION_MMAP && i < region->n_areas; i++)
		if (offset >= region->areas[i].offset &&
		    offset - region->areas[i].offset < region->areas[i].size)
			return true;
	return false;
}

/* Is the offset of now one that can be mapped? */
static bool aligned(struct check_context *c, const struct vmig_region *region)
{
	uint64_t offset = check_v1_read(c, V1_DATA_OFFSET);

	if (can_be_mapped(region, offset) && offset % PAGE)
		check_fail(c, "an offset that can be mapped is one of a page", "%#llx",
			   (unsigned long long)offset);
	return can_be_mapped(region, offset);
}

void check_v1_aligned(struct check_context *c)
{
	struct vmig_region region;
	size_t mapped = 0;

	check_v1_find(c, &region);
	check_did(c, "read data_offset of each transaction in stop-and-copy, and in _RESUMING");
	check_v1_bring(c, V1_SAVING);
	while (check_v1_read(c, V1_PENDING_BYTES)) {
		mapped += aligned(c, &region);
		free(check_v1_take(c, check_v1_buffer(c)));
	}
	check_v1_bring(c, V1_RESUMING);
	mapped += aligned(c, &region);
	if (!mapped)
		check_end(c, CHECK_NOT_APPLICABLE, "", "no data lie in what can be mapped");
}
