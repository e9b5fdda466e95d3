/* SPDX-License-Identifier: BSD-3-Clause */
/* The migration region of v1, as a user has it: registers, states, and the data section. */
#include "v1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool find(struct vmig_device *dev, struct vmig_region *ret)
{
	struct vmig_device_info info;

	vmig_device_query_info(dev, &info);
	for (uint32_t i = 0; i < info.n_regions; i++)
		if (!vmig_device_query_region(dev, i, ret) && ret->size &&
		    ret->cap_type == VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED &&
		    ret->cap_subtype == VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED)
			return true;
	return false;
}

void check_v1_find(struct check_context *c, struct vmig_region *ret)
{
	if (!find(c->dev, ret))
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has no migration region");
}

const char *check_v1_name(uint32_t bits)
{
	static const char *const names[] = { "_STOP",     "_RUNNING", "stop-and-copy",   "pre-copy",
					     "_RESUMING", "5",        "the error state", "7" };

	return names[bits & V1_BITS];
}

/* --- registers ------------------------------------------------------------------------------------ */

static int get(struct vmig_device *dev, uint64_t offset, void *ret, size_t width)
{
	struct vmig_region region;

	return find(dev, &region) ? vmig_device_region_read(dev, region.index, offset, ret, width) : -ENODEV;
}

static int put(struct vmig_device *dev, uint64_t offset, const void *value, size_t width)
{
	struct vmig_region region;

	return find(dev, &region) ? vmig_device_region_write(dev, region.index, offset, value, width)
				  : -ENODEV;
}

int check_v1_get(struct check_context *c, uint64_t offset, void *ret, size_t width)
{
	return get(c->dev, offset, ret, width);
}

int check_v1_put(struct check_context *c, uint64_t offset, const void *value, size_t width)
{
	return put(c->dev, offset, value, width);
}

uint64_t check_v1_read(struct check_context *c, uint32_t offset)
{
	static const char *const names[] = { "device_state", "pending_bytes", "data_offset", "data_size" };
	uint64_t value = 0;
	int r = get(c->dev, offset, &value, sizeof(value));

	if (r)
		check_fail(c, "the register can be read", "%s: %s", names[offset / 8 % 4], strerror(-r));
	return value;
}

uint32_t check_v1_state(struct check_context *c)
{
	uint32_t state = 0;
	int r = get(c->dev, V1_DEVICE_STATE, &state, sizeof(state));

	if (r)
		check_fail(c, "device_state can be read at any time", "%s", strerror(-r));
	return state;
}

/* --- states --------------------------------------------------------------------------------------- */

/* For the report's graph, which is of v2. */
static uint32_t as_v2(uint32_t bits)
{
	static const uint32_t states[V1_BITS + 1] = {
		[V1_STOP] = VMIG_STATE_STOP,         [V1_RUNNING] = VMIG_STATE_RUNNING,
		[V1_SAVING] = VMIG_STATE_STOP_COPY,  [V1_PRE_COPY] = VMIG_STATE_PRE_COPY,
		[V1_RESUMING] = VMIG_STATE_RESUMING, [5] = VMIG_STATE_NONE,
		[V1_ERROR] = VMIG_STATE_ERROR,       [7] = VMIG_STATE_NONE,
	};

	return states[bits & V1_BITS];
}

static int state_of(struct vmig_device *dev, uint32_t *ret)
{
	*ret = 0;
	return get(dev, V1_DEVICE_STATE, ret, sizeof(*ret));
}

/* What is no state of v2's is not in the graph. */
static struct check_arc *begin(struct check_context *c, uint32_t from, uint32_t to)
{
	struct check_arc *arc;

	if (as_v2(from) == VMIG_STATE_NONE || as_v2(to) == VMIG_STATE_NONE)
		return NULL;
	arc = check_arc_begin(c, as_v2(to));
	arc->from = as_v2(from);
	arc->second = c->second;
	return arc;
}

static void end(struct check_context *c, struct check_arc *arc, enum check_want want, int r)
{
	uint32_t state;

	if (!arc)
		return;
	check_arc_back(c, arc);
	check_arc_end(c, arc, want, r, state_of(c->dev, &state) ? VMIG_STATE_NONE : as_v2(state));
}

int check_v1_ask(struct check_context *c, uint32_t bits, enum check_want want)
{
	struct check_arc *arc;
	uint32_t state;
	int r = state_of(c->dev, &state);

	if (r)
		return r;
	arc = begin(c, state, bits);
	state = (state & ~V1_BITS) | bits;
	r = put(c->dev, V1_DEVICE_STATE, &state, sizeof(state));
	end(c, arc, want, r);
	return r;
}

int check_v1_reset(struct check_context *c)
{
	struct check_arc *arc;
	uint32_t state;
	int r = state_of(c->dev, &state);

	arc = begin(c, r ? 5 : state, V1_RUNNING);
	if (arc)
		arc->reset = true;
	r = vmig_device_reset(c->dev);
	end(c, arc, CHECK_WANT_EITHER, r);
	return r;
}

void check_v1_in(struct check_context *c, uint32_t bits)
{
	uint32_t is = check_v1_state(c);
	char expected[64];

	snprintf(expected, sizeof(expected), "device_state is %s", check_v1_name(bits));
	if ((is & V1_BITS) != bits)
		check_fail(c, expected, "%s (%#x)", check_v1_name(is), is);
}

void check_v1_go(struct check_context *c, uint32_t bits)
{
	uint32_t from = check_v1_state(c);
	char expected[64];
	int r = check_v1_ask(c, bits, CHECK_WANT_SUCCESS);

	snprintf(expected, sizeof(expected), "%s to %s succeeds", check_v1_name(from), check_v1_name(bits));
	if (r)
		check_fail(c, expected, "%s", strerror(-r));
	check_v1_in(c, bits);
}

static bool runs(struct vmig_device *dev)
{
	uint32_t state;

	return !state_of(dev, &state) && (state & V1_BITS) == V1_RUNNING;
}

bool check_v1_to_running(struct check_context *c)
{
	uint32_t state;

	if (runs(c->dev))
		return true;
	/* What is half loaded must not run. */
	if (!state_of(c->dev, &state) && !(state & V1_RESUMING) &&
	    !check_v1_ask(c, V1_RUNNING, CHECK_WANT_EITHER) && runs(c->dev))
		return true;
	if (check_v1_reset(c))
		return false;
	/* A reset that leaves the register where it is (libvfio-user) is for a write to make good. */
	return runs(c->dev) || (!check_v1_ask(c, V1_RUNNING, CHECK_WANT_EITHER) && runs(c->dev));
}

void check_v1_put_back(struct check_context *c)
{
	struct vmig_device *first = c->second;

	(void)check_v1_to_running(c);
	if (!first)
		return;
	/* The second one was c->dev. */
	c->second = c->dev;
	c->dev = first;
	(void)check_v1_to_running(c);
}

void check_v1_reopen(struct check_context *c)
{
	const struct check_target *t = c->target;
	char why[CHECK_TEXT_MAX] = "";

	vmig_device_close(c->dev);
	c->dev = NULL;
	if (t->open_region(t->opaque, false, &c->dev, why, sizeof(why)))
		check_fail(c, "the next user can open the device", "%s", why);
}

/* Of a device that has no other way: the diagram has none that leads from _STOP to _RUNNING. */
static bool as_new_user(struct check_context *c)
{
	if (c->work)
		return false;
	check_v1_reopen(c);
	return check_v1_to_running(c);
}

void check_v1_bring(struct check_context *c, uint32_t bits)
{
	if (!check_v1_to_running(c) && !as_new_user(c))
		check_end(c, CHECK_ERROR, "the device can be brought to _RUNNING", "it cannot, from %s",
			  check_v1_name(check_v1_state(c)));
	if (bits != V1_RUNNING)
		check_v1_go(c, bits);
}

/* --- what is mapped ------------------------------------------------------------------------------- */

static uint8_t *map(const struct vmig_region *region, const struct vmig_area *area)
{
	uint8_t *at = mmap(NULL, (size_t)area->size, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd,
			   (off_t)(region->fd_offset + area->offset));

	return at == MAP_FAILED ? NULL : at;
}

void check_v1_map(struct check_context *c, struct check_v1_maps *ret)
{
	struct vmig_region *region = &ret->region;

	*ret = (struct check_v1_maps){ 0 };
	check_v1_find(c, region);
	if (!(region->flags & VMIG_REGION_MMAP) || region->fd < 0)
		check_end(c, CHECK_NOT_APPLICABLE, "", "the data section is trapped");
	if (!region->n_areas) {
		region->n_areas = 1;
		region->areas[0] = (struct vmig_area){ 0, region->size };
	}
	for (; ret->n < region->n_areas; ret->n++) {
		ret->at[ret->n] = map(region, &region->areas[ret->n]);
		if (!ret->at[ret->n])
			check_fail(c, "what the region says can be mapped can be mapped", "area %u: %s",
				   ret->n, strerror(errno));
	}
}

void check_v1_unmap(struct check_v1_maps *maps)
{
	for (uint32_t i = 0; i < maps->n; i++)
		munmap(maps->at[i], (size_t)maps->region.areas[i].size);
}

uint8_t *check_v1_mapped(const struct check_v1_maps *maps, uint64_t offset, size_t *len)
{
	for (uint32_t i = 0; i < maps->n; i++) {
		const struct vmig_area *area = &maps->region.areas[i];

		if (offset >= area->offset && offset - area->offset < area->size) {
			if (*len > area->size - (offset - area->offset))
				*len = (size_t)(area->size - (offset - area->offset));
			return maps->at[i] + (offset - area->offset);
		}
		if (area->offset > offset && *len > area->offset - offset)
			*len = (size_t)(area->offset - offset);
	}
	return NULL;
}
