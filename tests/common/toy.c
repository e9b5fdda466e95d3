/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/toy.h"

#include <check.h>
#include <endian.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

struct toy {
	struct vmig_model *model;
	struct toy_config config;
	uint8_t *state;
	size_t given, loaded, fail_load_at, fail_save_at;
	bool reinit, broken;
	uint32_t trace[32];
	unsigned int n_trace;
	uint8_t registers[TOY_REGISTERS_SIZE];
	uint8_t pci_config[256];
	uint8_t *buffer;
	int doorbells[TOY_N_DOORBELLS];
	atomic_uint dma_changes;

	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t command; /* TOY_COMMAND_*_LATER that is under way, or 0 */
	uint64_t address, length;
	int64_t status;
	bool ending;
};

/* --- DMA --------------------------------------------------------------------------------------- */

static int64_t transfer(struct toy *toy, uint64_t command, uint64_t address, uint64_t length)
{
	if (length > TOY_BUFFER_SIZE)
		return -EINVAL;
	if (command == TOY_COMMAND_READ || command == TOY_COMMAND_READ_LATER)
		return vmig_model_dma_read(toy->model, address, toy->buffer, length);
	return vmig_model_dma_write(toy->model, address, toy->buffer, length);
}

static void *work(void *arg)
{
	struct toy *toy = arg;

	pthread_mutex_lock(&toy->lock);
	while (!toy->ending) {
		int64_t status;

		if (!toy->command) {
			pthread_cond_wait(&toy->changed, &toy->lock);
			continue;
		}
		pthread_mutex_unlock(&toy->lock);
		status = transfer(toy, toy->command, toy->address, toy->length);
		pthread_mutex_lock(&toy->lock);
		toy->status = status;
		toy->command = 0;
		pthread_cond_broadcast(&toy->changed);
	}
	pthread_mutex_unlock(&toy->lock);
	return NULL;
}

int64_t toy_wait(struct toy *toy)
{
	int64_t status;

	pthread_mutex_lock(&toy->lock);
	while (toy->command)
		pthread_cond_wait(&toy->changed, &toy->lock);
	status = toy->status;
	pthread_mutex_unlock(&toy->lock);
	return status;
}

static void start(struct toy *toy, uint64_t command, uint64_t address, uint64_t length)
{
	int64_t status;

	if (command == TOY_COMMAND_READ || command == TOY_COMMAND_WRITE) {
		status = transfer(toy, command, address, length);
		pthread_mutex_lock(&toy->lock);
		toy->status = status;
		pthread_mutex_unlock(&toy->lock);
		return;
	}
	toy_wait(toy);
	pthread_mutex_lock(&toy->lock);
	toy->command = command;
	toy->address = address;
	toy->length = length;
	toy->status = TOY_BUSY;
	pthread_cond_broadcast(&toy->changed);
	pthread_mutex_unlock(&toy->lock);
}

static void dma_changed(void *opaque)
{
	struct toy *toy = opaque;

	toy->dma_changes++;
}

unsigned int toy_dma_changes(struct toy *toy)
{
	return toy->dma_changes;
}

/* --- regions ------------------------------------------------------------------------------------ */

static uint64_t get_register(struct toy *toy, uint32_t at)
{
	uint64_t v;

	memcpy(&v, toy->registers + at, sizeof(v));
	return le64toh(v);
}

static uint8_t *memory_of(struct toy *toy, uint32_t index)
{
	switch (index) {
	case TOY_REGISTERS:
		return toy->registers;
	case TOY_BUFFER:
		return toy->buffer;
	case VMIG_REGION_PCI_CONFIG:
		return toy->pci_config;
	default:
		return NULL;
	}
}

static int region_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	struct toy *toy = opaque;
	uint64_t status;

	if (index == TOY_READ_ONLY) {
		for (size_t i = 0; i < len; i++)
			((uint8_t *)buf)[i] = (uint8_t)(offset + i);
		return 0;
	}
	if (!memory_of(toy, index)) {
		memset(buf, 0, len);
		return 0;
	}
	pthread_mutex_lock(&toy->lock);
	status = htole64((uint64_t)toy->status);
	pthread_mutex_unlock(&toy->lock);
	memcpy(toy->registers + TOY_REG_STATUS, &status, sizeof(status));
	memcpy(toy->registers + TOY_REG_SCRATCH, toy->state + toy->config.state_size - 8, 8);
	memcpy(buf, memory_of(toy, index) + offset, len);
	return 0;
}

static int region_write(void *opaque, uint32_t index, uint64_t offset, const void *buf, size_t len)
{
	struct toy *toy = opaque;
	uint64_t v;

	if (!memory_of(toy, index))
		return 0;
	memcpy(memory_of(toy, index) + offset, buf, len);
	if (index != TOY_REGISTERS || len != 8)
		return 0;
	v = get_register(toy, (uint32_t)offset);
	if (offset == TOY_REG_SCRATCH)
		memcpy(toy->state + toy->config.state_size - 8, buf, 8);
	else if (offset == TOY_REG_COMMAND)
		start(toy, v, get_register(toy, TOY_REG_ADDRESS), get_register(toy, TOY_REG_LENGTH));
	else if (offset == TOY_REG_RAISE)
		vmig_model_raise(toy->model, (uint32_t)(v >> 32), (uint32_t)v);
	return 0;
}

/* --- migration ---------------------------------------------------------------------------------- */

static bool saves(uint32_t state)
{
	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P ||
	       state == VMIG_STATE_STOP_COPY;
}

static int step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	struct toy *toy = opaque;

	if (toy->broken) {
		toy->broken = false;
		*ret_state = VMIG_STATE_ERROR;
		return -EIO;
	}
	if (from == VMIG_STATE_RESUMING && toy->loaded != toy->config.state_size)
		return -EINVAL;
	if (to == VMIG_STATE_STOP || to == VMIG_STATE_STOP_COPY)
		toy_wait(toy); /* no DMA from here on */
	if (saves(to) && !saves(from))
		toy->given = 0;
	if (to == VMIG_STATE_RESUMING)
		toy->loaded = 0;
	if (toy->n_trace < ARRAY_SIZE(toy->trace))
		toy->trace[toy->n_trace++] = to;
	return 0;
}

void toy_break(struct toy *toy)
{
	toy->broken = true;
}

unsigned int toy_trace(struct toy *toy, uint32_t *ret_states, unsigned int max)
{
	unsigned int n = MIN(toy->n_trace, max);

	memcpy(ret_states, toy->trace, n * sizeof(*ret_states));
	toy->n_trace = 0;
	return n;
}

/* Two pieces where it can be done, so that both sides must gather. */
static int pieces(uint8_t *at, size_t len, struct iovec *ret_iov)
{
	size_t first = len > 1 ? len / 3 + 1 : len;

	ret_iov[0] = (struct iovec){ at, first };
	ret_iov[1] = (struct iovec){ at + first, len - first };
	return len > first ? 2 : 1;
}

static ssize_t lend(void *opaque, size_t max, struct iovec *ret_iov, int *ret_n)
{
	struct toy *toy = opaque;
	size_t end = toy->config.state_size;
	size_t len;

	if (vmig_model_state(toy->model) != VMIG_STATE_STOP_COPY)
		end /= 2;
	if (toy->given >= toy->fail_save_at)
		return -EIO;
	if (toy->given >= end)
		return 0;
	len = MIN(end - toy->given, max);
	if (toy->config.piece)
		len = MIN(len, toy->config.piece);
	*ret_n = pieces(toy->state + toy->given, len, ret_iov);
	return (ssize_t)len;
}

static void give_back(void *opaque, size_t used)
{
	struct toy *toy = opaque;

	toy->given += used;
}

static ssize_t room(void *opaque, size_t want, struct iovec *ret_iov, int *ret_n)
{
	struct toy *toy = opaque;
	size_t len = MIN(want, toy->config.state_size - toy->loaded);

	if (!len)
		return -ENOSPC;
	if (toy->config.piece)
		len = MIN(len, toy->config.piece);
	*ret_n = pieces(toy->state + toy->loaded, len, ret_iov);
	return (ssize_t)len;
}

static int filled(void *opaque, size_t len)
{
	struct toy *toy = opaque;

	toy->loaded += len;
	return toy->loaded >= toy->fail_load_at ? -EIO : 0;
}

static int precopy_sizes(void *opaque, struct vmig_precopy *ret)
{
	struct toy *toy = opaque;
	size_t half = toy->config.state_size / 2;

	ret->initial_bytes = toy->given < half ? half - toy->given : 0;
	ret->dirty_bytes = 0;
	ret->flags = toy->reinit ? VMIG_PRECOPY_REINIT : 0;
	toy->reinit = false;
	return 0;
}

static int stop_copy_size(void *opaque, uint64_t *ret_bytes)
{
	struct toy *toy = opaque;

	*ret_bytes = toy->config.state_size;
	return 0;
}

static int reset(void *opaque)
{
	struct toy *toy = opaque;

	memset(toy->state, 0, toy->config.state_size);
	toy->given = toy->loaded = 0;
	toy->fail_load_at = toy->fail_save_at = SIZE_MAX;
	return 0;
}

/* --- birth and end ------------------------------------------------------------------------------- */

static void close_toy(void *opaque)
{
	struct toy *toy = opaque;

	pthread_mutex_lock(&toy->lock);
	toy->ending = true;
	pthread_cond_broadcast(&toy->changed);
	pthread_mutex_unlock(&toy->lock);
	pthread_join(toy->thread, NULL);
	pthread_cond_destroy(&toy->changed);
	pthread_mutex_destroy(&toy->lock);
	free(toy->buffer);
	free(toy->state);
	free(toy);
}

static int memory_file(size_t size)
{
	int fd = memfd_create("toy", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void make_regions(struct vmig_region *regions)
{
	uint32_t rw = VMIG_REGION_READ | VMIG_REGION_WRITE;

	for (uint32_t i = 0; i < TOY_N_REGIONS; i++)
		regions[i] = (struct vmig_region){ .index = i, .fd = -1 };
	regions[TOY_REGISTERS].size = TOY_REGISTERS_SIZE;
	regions[TOY_REGISTERS].flags = rw;
	regions[TOY_MAPPED] = (struct vmig_region){ .index = TOY_MAPPED,
						    .flags = rw | VMIG_REGION_MMAP,
						    .size = TOY_MAPPED_SIZE,
						    .fd = memory_file(2 * TOY_MAPPED_SIZE),
						    .fd_offset = TOY_MAPPED_SIZE,
						    .n_areas = 2,
						    .areas = { { 0, 4096 }, { 8192, 16384 } } };
	regions[TOY_BUFFER].size = TOY_BUFFER_SIZE;
	regions[TOY_BUFFER].flags = rw;
	regions[TOY_READ_ONLY].size = 64;
	regions[TOY_READ_ONLY].flags = VMIG_REGION_READ;
	regions[TOY_TYPED] = (struct vmig_region){ .index = TOY_TYPED,
						   .flags = rw | VMIG_REGION_MMAP,
						   .size = 4096,
						   .fd = memory_file(4096),
						   .cap_type = TOY_TYPE,
						   .cap_subtype = TOY_SUBTYPE };
	regions[VMIG_REGION_PCI_CONFIG].size = 256;
	regions[VMIG_REGION_PCI_CONFIG].flags = rw;
}

static const struct vmig_irq irqs[TOY_N_IRQS] = {
	{ 0, 7, 1 }, /* INTx: eventfd, maskable, automasked */
	{ 1, 9, 32 }, { 2, 9, TOY_N_MSIX }, { 3, 9, 1 }, { 4, 9, 1 },
};

static struct vmig_model_ops ops_for(const struct toy_config *c)
{
	struct vmig_model_ops ops = {
		.region_read = region_read,
		.region_write = region_write,
		.dma_changed = dma_changed,
		.close = close_toy,
	};

	if (!c->no_reset)
		ops.reset = reset;
	if (!c->features)
		return ops;
	ops.step = step;
	ops.lend = lend;
	ops.give_back = give_back;
	ops.room = room;
	ops.filled = filled;
	ops.stop_copy_size = stop_copy_size;
	if (c->features & VMIG_MIGRATION_PRE_COPY)
		ops.precopy_sizes = precopy_sizes;
	return ops;
}

static struct toy *make_toy(const struct toy_config *config)
{
	struct toy *toy = calloc(1, sizeof(*toy));

	ck_assert_ptr_nonnull(toy);
	if (config)
		toy->config = *config;
	if (!toy->config.features)
		toy->config.features =
			VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P | VMIG_MIGRATION_PRE_COPY;
	toy->config.features &= ~TOY_STAYS;
	if (!toy->config.state_size)
		toy->config.state_size = 1u << 20;
	toy->fail_load_at = toy->fail_save_at = SIZE_MAX;
	toy->state = calloc(1, toy->config.state_size);
	toy->buffer = calloc(1, TOY_BUFFER_SIZE);
	ck_assert(toy->state && toy->buffer);
	for (unsigned int i = 0; i < TOY_N_DOORBELLS; i++) {
		toy->doorbells[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ck_assert_int_ge(toy->doorbells[i], 0);
	}
	pthread_mutex_init(&toy->lock, NULL);
	pthread_cond_init(&toy->changed, NULL);
	return toy;
}

struct toy *toy_new(const struct toy_config *config, struct vmig_device **ret_dev)
{
	struct toy *toy = make_toy(config);
	struct vmig_model_ops ops = ops_for(&toy->config);
	struct vmig_region regions[TOY_N_REGIONS];
	struct vmig_ioeventfd doorbells[TOY_N_DOORBELLS];
	uint32_t doorbell_regions[TOY_N_DOORBELLS] = { TOY_REGISTERS, TOY_REGISTERS, TOY_REGISTERS };
	struct vmig_model_config mc = {
		.name = "toy",
		.identity = "pci:1af4:7e57/toy",
		.migration_flags = toy->config.features,
		.has = (toy->config.no_log ? 0 : VMIG_HAS_DMA_LOG) |
		       (toy->config.features & VMIG_MIGRATION_PRE_COPY ? VMIG_HAS_REINIT : 0),
		.n_regions = TOY_N_REGIONS,
		.n_irqs = TOY_N_IRQS,
		.regions = regions,
		.irqs = irqs,
		.n_ioeventfds = TOY_N_DOORBELLS,
		.ioeventfds = doorbells,
		.ioeventfd_regions = doorbell_regions,
	};

	make_regions(regions);
	for (unsigned int i = 0; i < TOY_N_DOORBELLS; i++)
		doorbells[i] = (struct vmig_ioeventfd){ TOY_DOORBELL + 4 * i, 4, i, 0, toy->doorbells[i] };
	ck_assert_int_eq(vmig_model_new(&ops, toy, &mc, &toy->model, ret_dev), 0);
	ck_assert_int_eq(pthread_create(&toy->thread, NULL, work, toy), 0);
	return toy;
}

struct vmig_model *toy_model(struct toy *toy)
{
	return toy->model;
}

uint8_t *toy_state(struct toy *toy)
{
	return toy->state;
}

size_t toy_state_size(const struct toy *toy)
{
	return toy->config.state_size;
}

int toy_doorbell(struct toy *toy, unsigned int i)
{
	return toy->doorbells[i];
}

void toy_fail_load_at(struct toy *toy, size_t at)
{
	toy->fail_load_at = at;
}

void toy_fail_save_at(struct toy *toy, size_t at)
{
	toy->fail_save_at = at;
}

void toy_reinit(struct toy *toy)
{
	toy->reinit = true;
}
