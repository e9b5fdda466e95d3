/* SPDX-License-Identifier: BSD-3-Clause */
/* relay - the device itself, by vmig/model.h. It migrates by STOP_COPY and P2P; its state is small. */
#include "relay.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <vmig/model.h>
#include <vmig/server.h>

#define BATCH 8

/* What is saved. Both ends are this program, so it is saved as it lies. */
struct saved {
	uint64_t registers[RELAY_REGISTERS];
	uint8_t inbox[RELAY_RING_SIZE];
};

struct relay {
	struct vmig_model *model;
	uint8_t *inbox; /* BAR 2 */
	uint8_t config[256];
	pthread_mutex_t lock; /* held for each batch: a step waits for the last one */
	uint64_t registers[RELAY_REGISTERS];
	bool running, closing;
	uint64_t still; /* hash of the inbox as the device has stopped */
	pthread_t thread;
	struct saved saved;
	size_t done; /* of @saved, out or in */
};

static uint64_t hash(const uint8_t *bytes, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * 0x100000001b3ull;
	return h;
}

/* --- at work ------------------------------------------------------------------------------- */

/* Where record @seq comes from; false: it is not there yet. */
static bool fetch(struct relay *relay, uint64_t seq, uint64_t record[RELAY_RECORD / 8])
{
	if (relay->registers[RELAY_ROLE / 8] == RELAY_GENERATES) {
		relay_record(seq, record);
		return true;
	}
	if (__atomic_load_n((uint64_t *)(void *)relay->inbox, __ATOMIC_ACQUIRE) <= seq)
		return false;
	memcpy(record, relay->inbox + RELAY_RING_AT(seq), RELAY_RECORD);
	return true;
}

/* With the lock. Records, then the index, then the interrupt. */
static void work(struct relay *relay)
{
	uint64_t *produced = &relay->registers[RELAY_PRODUCED / 8], first = *produced;
	uint64_t target = relay->registers[RELAY_TARGET / 8], record[RELAY_RECORD / 8];

	for (int i = 0; i < BATCH && *produced - relay->registers[RELAY_CONSUMER / 8] < RELAY_SLOTS; i++) {
		if (!fetch(relay, *produced, record) ||
		    vmig_model_dma_write(relay->model, target + RELAY_RING_AT(*produced), record,
					 sizeof(record)))
			break;
		++*produced;
	}
	if (*produced == first)
		return;
	__sync_synchronize();
	if (!vmig_model_dma_write(relay->model, target, produced, sizeof(*produced)))
		vmig_model_raise(relay->model, RELAY_IRQ, 0);
}

static void *run(void *opaque)
{
	struct relay *relay = opaque;
	bool closing = false;

	while (!closing) {
		pthread_mutex_lock(&relay->lock);
		if (relay->running && relay->registers[RELAY_ROLE / 8] &&
		    (relay->config[RELAY_COMMAND] & RELAY_MASTER))
			work(relay);
		closing = relay->closing;
		pthread_mutex_unlock(&relay->lock);
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	}
	return NULL;
}

/* --- migration ----------------------------------------------------------------------------- */

static void take_loaded(struct relay *relay)
{
	memcpy(relay->registers, relay->saved.registers, sizeof(relay->registers));
	memcpy(relay->inbox, relay->saved.inbox, RELAY_RING_SIZE);
}

/* A peer may write to the inbox until all are in a P2P state, and again when all are in one: never while this one stands. */
static void look_for_intruder(struct relay *relay)
{
	if (hash(relay->inbox, RELAY_RING_SIZE) != relay->still)
		relay->registers[RELAY_INTRUDED / 8]++;
}

static int step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	struct relay *relay = opaque;
	bool stood = from == VMIG_STATE_STOP || from == VMIG_STATE_STOP_COPY;
	int r = 0;

	(void)ret_state;
	/* As with real ones, it takes a while until it writes no more. A peer that stands still by then would notice. */
	if (from == VMIG_STATE_RUNNING && relay->registers[RELAY_ROLE / 8] == RELAY_GENERATES)
		nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);
	pthread_mutex_lock(&relay->lock);
	relay->running = to == VMIG_STATE_RUNNING; /* in RUNNING_P2P it does no DMA at all */
	if (from == VMIG_STATE_RESUMING && relay->done != sizeof(relay->saved))
		r = -EINVAL;
	else if (from == VMIG_STATE_RESUMING)
		take_loaded(relay);
	if (stood)
		look_for_intruder(relay);
	if (to == VMIG_STATE_STOP_COPY) {
		memcpy(relay->saved.registers, relay->registers, sizeof(relay->registers));
		memcpy(relay->saved.inbox, relay->inbox, RELAY_RING_SIZE);
	}
	if (to == VMIG_STATE_STOP || to == VMIG_STATE_STOP_COPY)
		relay->still = hash(relay->inbox, RELAY_RING_SIZE);
	relay->done = 0;
	pthread_mutex_unlock(&relay->lock);
	return r;
}

static ssize_t save(void *opaque, void *buf, size_t len)
{
	struct relay *relay = opaque;
	size_t left = sizeof(relay->saved) - relay->done;

	/* What would be left behind is not saved as if nothing had been. */
	if (hash(relay->inbox, RELAY_RING_SIZE) != relay->still)
		return -EIO;
	len = len < left ? len : left;
	memcpy(buf, (uint8_t *)&relay->saved + relay->done, len);
	relay->done += len;
	return (ssize_t)len;
}

static int load(void *opaque, const void *buf, size_t len)
{
	struct relay *relay = opaque;

	if (len > sizeof(relay->saved) - relay->done)
		return -EINVAL;
	memcpy((uint8_t *)&relay->saved + relay->done, buf, len);
	relay->done += len;
	return 0;
}

static int stop_copy_size(void *opaque, uint64_t *ret_bytes)
{
	(void)opaque;
	*ret_bytes = sizeof(struct saved);
	return 0;
}

static int reset(void *opaque)
{
	struct relay *relay = opaque;

	pthread_mutex_lock(&relay->lock);
	memset(relay->registers, 0, sizeof(relay->registers));
	memset(relay->config + 4, 0, sizeof(relay->config) - 4);
	memset(relay->inbox, 0, RELAY_RING_SIZE);
	relay->running = true;
	pthread_mutex_unlock(&relay->lock);
	return 0;
}

/* --- regions ------------------------------------------------------------------------------- */

static uint8_t *bytes_of(struct relay *relay, uint32_t index)
{
	if (index == RELAY_BAR_REGISTERS)
		return (uint8_t *)relay->registers;
	return index == RELAY_BAR_INBOX ? relay->inbox : relay->config;
}

static int region_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	struct relay *relay = opaque;

	pthread_mutex_lock(&relay->lock);
	memcpy(buf, bytes_of(relay, index) + offset, len);
	pthread_mutex_unlock(&relay->lock);
	return 0;
}

static int region_write(void *opaque, uint32_t index, uint64_t offset, const void *buf, size_t len)
{
	struct relay *relay = opaque;

	if (index == RELAY_BAR_REGISTERS && offset + len > RELAY_PRODUCED)
		return 0; /* read only */
	pthread_mutex_lock(&relay->lock);
	memcpy(bytes_of(relay, index) + offset, buf, len);
	pthread_mutex_unlock(&relay->lock);
	return 0;
}

/* --- life ---------------------------------------------------------------------------------- */

static void end(void *opaque)
{
	struct relay *relay = opaque;

	pthread_mutex_lock(&relay->lock);
	relay->closing = true;
	pthread_mutex_unlock(&relay->lock);
	pthread_join(relay->thread, NULL);
	pthread_mutex_destroy(&relay->lock);
	munmap(relay->inbox, RELAY_RING_SIZE);
	free(relay);
}

static const struct vmig_model_ops ops = {
	.step = step,
	.read = save,
	.write = load,
	.stop_copy_size = stop_copy_size,
	.reset = reset,
	.region_read = region_read,
	.region_write = region_write,
	.close = end,
};

/* @fd passes to the model. */
static int new_model(struct relay *relay, int fd, struct vmig_device **ret)
{
	const uint32_t rw = VMIG_REGION_READ | VMIG_REGION_WRITE;
	struct vmig_region regions[VMIG_REGION_PCI_CONFIG + 1] = {
		[RELAY_BAR_REGISTERS] = { .flags = rw, .size = RELAY_REGISTERS * 8 },
		[RELAY_BAR_INBOX] = { .flags = rw | VMIG_REGION_MMAP, .size = RELAY_RING_SIZE, .fd = fd },
		[VMIG_REGION_PCI_CONFIG] = { .flags = rw, .size = sizeof(relay->config) },
	};
	const struct vmig_irq irqs[] = { { .index = 0 }, { .index = RELAY_IRQ, .flags = 9, .count = 1 } };
	const struct vmig_model_config config = {
		.name = "relay",
		.identity = "example:relay",
		.migration_flags = VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P,
		.has = VMIG_HAS_DMA_LOG,
		.n_regions = VMIG_REGION_PCI_CONFIG + 1,
		.regions = regions,
		.n_irqs = 2,
		.irqs = irqs,
	};

	return vmig_model_new(&ops, relay, &config, &relay->model, ret);
}

int relay_open(struct vmig_device **ret)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int fd = memfd_create("inbox", MFD_CLOEXEC), r;

	if (!relay || fd < 0 || ftruncate(fd, RELAY_RING_SIZE))
		return -ENOMEM;
	relay->inbox = mmap(NULL, RELAY_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (relay->inbox == MAP_FAILED)
		return -ENOMEM;
	pthread_mutex_init(&relay->lock, NULL);
	relay->running = true;
	r = new_model(relay, fd, ret);
	return r ? r : -pthread_create(&relay->thread, NULL, run, relay);
}

int relay_serve(const char *socket)
{
	struct vmig_server *server;
	struct vmig_device *dev;
	int r = relay_open(&dev);

	if (r)
		return 2;
	r = vmig_server_new(dev, &(struct vmig_server_config){ .socket_path = socket }, &server);
	if (!r) {
		printf("ready: %s\n", socket);
		fflush(stdout);
		r = vmig_server_run(server); /* until it is killed */
		vmig_server_free(server);
	}
	if (r < 0)
		fprintf(stderr, "mini-vmm: %s: %s\n", socket, strerror(-r));
	vmig_device_close(dev);
	return r < 0;
}
