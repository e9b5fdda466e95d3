/* SPDX-License-Identifier: BSD-3-Clause */
#include "common.h"

#include <errno.h>
#include <stdio.h>

#include "bytes.h"

/* Changes that one tick makes at most: a rate beyond what the processor can do falls short. */
#define CHANGES_MAX 4096u

static enum worker_level level_of(uint32_t state)
{
	switch (state) {
	case VMIG_STATE_RUNNING:
	case VMIG_STATE_PRE_COPY:
		return WORKER_FULL;
	case VMIG_STATE_RUNNING_P2P:
	case VMIG_STATE_PRE_COPY_P2P:
		return WORKER_INTERNAL;
	default:
		return WORKER_PARKED;
	}
}

static bool is_precopy(uint32_t state)
{
	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P;
}

/* --- arcs ------------------------------------------------------------------------------------- */

static void save_final(struct model_base *base)
{
	uint8_t registers[IMAGE_REGISTERS_MAX];

	image_save_final(&base->image, registers, base->kind->save(base->opaque, registers));
}

static int finish_load(struct model_base *base, uint32_t *ret_state)
{
	const uint8_t *registers;
	bool error = false;
	size_t len;
	int r = fault_check(&base->options.fault, FAULT_LOAD, 0, &error);

	if (error)
		*ret_state = VMIG_STATE_ERROR;
	if (!r)
		r = image_load_finish(&base->image, &registers, &len);
	if (!r)
		base->kind->load(base->opaque, registers);
	return r;
}

/* The worker is at the new state's level, or parked on the way there. */
static int step_data(struct model_base *base, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	if (from == VMIG_STATE_RESUMING)
		return finish_load(base, ret_state);
	if (to == VMIG_STATE_RESUMING) {
		base->written = 0;
		image_load_start(&base->image);
	} else if (to == VMIG_STATE_STOP_COPY) {
		if (!is_precopy(from)) {
			base->read = 0;
			image_save_start(&base->image, false);
		}
		save_final(base);
	} else if (is_precopy(to) && !is_precopy(from)) {
		base->read = 0;
		image_save_start(&base->image, true);
	} else if (from == VMIG_STATE_STOP_COPY || (is_precopy(from) && !is_precopy(to))) {
		image_save_end(&base->image);
	}
	return 0;
}

static int base_step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	struct model_base *base = opaque;
	bool error = false;
	int r = fault_check_arc(&base->options.fault, from, to, &error);

	if (error) {
		worker_set(&base->worker, WORKER_PARKED);
		*ret_state = VMIG_STATE_ERROR;
	}
	if (r)
		return r;
	/* Down before the data are touched, up only after. */
	if (level_of(to) < level_of(from))
		worker_set(&base->worker, level_of(to));
	r = step_data(base, from, to, ret_state);
	if (!r)
		worker_set(&base->worker, level_of(to));
	return r;
}

static int base_reset(void *opaque)
{
	struct model_base *base = opaque;
	int r = fault_check(&base->options.fault, FAULT_RESET, 0, NULL);

	if (r)
		return r;
	worker_set(&base->worker, WORKER_PARKED);
	image_reset(&base->image);
	base->kind->reset(base->opaque);
	worker_set(&base->worker, WORKER_FULL);
	return 0;
}

/* --- data ------------------------------------------------------------------------------------- */

static ssize_t base_lend(void *opaque, size_t max, struct iovec *ret_iov, int *ret_n)
{
	struct model_base *base = opaque;
	int r = fault_check(&base->options.fault, FAULT_READ, base->read, NULL);

	return r ? r : image_lend(&base->image, max, ret_iov, ret_n);
}

static void base_give_back(void *opaque, size_t used)
{
	struct model_base *base = opaque;

	base->read += used;
	image_give_back(&base->image, used);
}

static ssize_t base_room(void *opaque, size_t want, struct iovec *ret_iov, int *ret_n)
{
	struct model_base *base = opaque;

	return image_room(&base->image, want, ret_iov, ret_n);
}

static int base_filled(void *opaque, size_t len)
{
	struct model_base *base = opaque;
	int r = fault_check(&base->options.fault, FAULT_WRITE, base->written, NULL);

	base->written += len;
	return r ? r : image_filled(&base->image, len);
}

static int base_precopy_sizes(void *opaque, struct vmig_precopy *ret)
{
	struct model_base *base = opaque;
	int r = fault_check(&base->options.fault, FAULT_PRECOPY_INFO, 0, NULL);

	if (!r)
		image_precopy_sizes(&base->image, ret);
	return r;
}

static int base_stop_copy_size(void *opaque, uint64_t *ret_bytes)
{
	struct model_base *base = opaque;

	*ret_bytes = image_stop_copy_size(&base->image, base->kind->registers_len);
	return 0;
}

/* --- the rest --------------------------------------------------------------------------------- */

static int base_region_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	struct model_base *base = opaque;

	return base->kind->region_read(base->opaque, index, offset, buf, len);
}

static int base_region_write(void *opaque, uint32_t index, uint64_t offset, const void *buf, size_t len)
{
	struct model_base *base = opaque;
	int r = base->kind->region_write(base->opaque, index, offset, buf, len);

	worker_kick(&base->worker);
	return r;
}

static void base_close(void *opaque)
{
	struct model_base *base = opaque;

	worker_done(&base->worker);
	image_done(&base->image);
	base->kind->free(base->opaque);
}

static bool base_tick(void *opaque, enum worker_level level, uint64_t elapsed_ns)
{
	struct model_base *base = opaque;
	uint64_t due = worker_due(base->options.dirty_rate, elapsed_ns, &base->rest, IMAGE_PAGE);
	bool busy = base->options.dirty_rate;

	due = MIN(due, CHANGES_MAX);
	if (due && image_may_change(&base->image, (unsigned int)due))
		image_change(&base->image, 0, (unsigned int)due);
	if (base->kind->tick)
		busy |= base->kind->tick(base->opaque, level, elapsed_ns);
	return busy;
}

/* --- what it is --------------------------------------------------------------------------------- */

static ssize_t base_opaque(void *opaque, void *buf)
{
	struct model_base *base = opaque;

	return (ssize_t)image_head(&base->image, buf);
}

static int base_check_opaque(void *opaque, const void *data, size_t len, char *why, size_t why_size)
{
	struct model_base *base = opaque;
	const char *reason = NULL;
	int r = image_check_head(&base->image, data, len, &reason);

	if (r)
		snprintf(why, why_size, "%s", reason);
	return r;
}
_Static_assert(IMAGE_HEAD_MAX <= VMIG_DEVICE_OPAQUE_MAX, "the head is the version data");

static const struct vmig_model_ops base_ops = {
	.step = base_step,
	.lend = base_lend,
	.give_back = base_give_back,
	.room = base_room,
	.filled = base_filled,
	.precopy_sizes = base_precopy_sizes,
	.stop_copy_size = base_stop_copy_size,
	.opaque = base_opaque,
	.check_opaque = base_check_opaque,
	.reset = base_reset,
	.region_read = base_region_read,
	.region_write = base_region_write,
	.close = base_close,
};

static int check_registers(void *opaque, const uint8_t *registers, size_t len)
{
	struct model_base *base = opaque;

	return base->kind->check(base->opaque, registers, len);
}

static const struct image_ops image_ops = { .check = check_registers };

/* What its loader takes: the same in all, but for the version. */
static const char *describe(const struct model_setup *setup, const struct model_options *o, char *buf,
			    size_t size)
{
	char attributes[200];

	/* Says too little, so that it seems to take what it does not. */
	if (o->fault.where == FAULT_DESCRIPTOR) {
		snprintf(buf, size,
			 "{\"self\": [{\"driver\": \"vmig-%s\"}], \"compatible\": [{\"driver\": "
			 "\"vmig-%s\"}]}",
			 setup->name, setup->name);
		return buf;
	}
	snprintf(attributes, sizeof(attributes),
		 "\"pciid\": \"%04x%04x\", \"driver\": \"vmig-%s\", \"version\": \"%u.%u.%u\", "
		 "\"state\": %llu, \"queues\": %u",
		 (unsigned int)(setup->device & 0xffff), (unsigned int)(setup->device >> 16 & 0xffff),
		 setup->name, o->version[0], o->version[1], o->version[2], (unsigned long long)o->state,
		 setup->lanes - 1);
	snprintf(buf, size, "{\"self\": [{%s}], \"compatible\": [{%s}]}", attributes, attributes);
	return buf;
}

static int open_model(struct model_base *base, const struct model_setup *setup, struct vmig_device **ret)
{
	const struct model_options *o = &base->options;
	/* What is saved late has no rounds. */
	bool rounds = o->precopy && !setup->late;
	char made[512];
	const char *descriptor =
		setup->descriptor ? setup->descriptor : describe(setup, o, made, sizeof(made));
	struct vmig_model_config config = {
		.name = setup->name,
		.identity = setup->identity,
		.descriptor = descriptor,
		.migration_flags = VMIG_MIGRATION_STOP_COPY | (o->p2p ? VMIG_MIGRATION_P2P : 0) |
				   (o->precopy ? VMIG_MIGRATION_PRE_COPY : 0),
		.traits = VMIG_TRAIT_NO_POLL | (rounds ? VMIG_TRAIT_INFO_STARTS_ROUND : 0),
		.has = setup->log | (rounds ? VMIG_HAS_REINIT : 0),
		.n_regions = PCI_N_REGIONS,
		.n_irqs = PCI_N_IRQS,
		.regions = setup->regions,
		.irqs = setup->irqs,
	};

	return vmig_model_new(&base_ops, base, &config, &base->model, ret);
}

int model_base_open(struct model_base *base, const struct model_kind *kind, void *opaque,
		    const struct model_options *options, const struct model_setup *setup,
		    struct vmig_device **ret)
{
	int r;

	base->kind = kind;
	base->opaque = opaque;
	base->options = *options;
	r = image_init(&base->image, setup->device, options->state, setup->lanes, &image_ops, base);
	if (r)
		return r;
	image_set_release(&base->image,
			  setup->release.major || setup->release.minor
				  ? &setup->release
				  : &(struct image_release){ .major = (uint16_t)options->version[0],
							     .minor = (uint16_t)options->version[1] });
	image_set_match(&base->image, setup->match, setup->match_len, setup->late);
	r = worker_init(&base->worker, base_tick, base);
	if (r)
		goto free_image;
	r = open_model(base, setup, ret);
	if (r)
		goto free_worker;
	worker_set(&base->worker, WORKER_FULL);
	return 0;

free_worker:
	worker_done(&base->worker);
free_image:
	image_done(&base->image);
	return r;
}

void model_no_regions(struct vmig_region *regions, struct vmig_irq *irqs)
{
	for (uint32_t i = 0; i < PCI_N_REGIONS; i++)
		regions[i] = (struct vmig_region){ .index = i, .fd = -1 };
	for (uint32_t i = 0; i < PCI_N_IRQS; i++)
		irqs[i] = (struct vmig_irq){ .index = i };
}

void model_region(struct vmig_region *region, uint64_t size)
{
	region->size = size;
	region->flags = VMIG_REGION_READ | VMIG_REGION_WRITE;
}
