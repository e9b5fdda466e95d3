/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * counter - the smallest migratable device: one 64-bit counter that a running device increments.
 *
 *	cc counter.c $(pkg-config --cflags --libs vmig) -o counter
 *	./counter /tmp/a.sock &  ./counter /tmp/b.sock &
 *	vmig migrate vfio-user:/tmp/a.sock --to vfio-user:/tmp/b.sock
 *
 * What an author writes: single arcs, the data, the regions. The walk along the arcs, the session, the
 * socket, the errors in wrong states and the rollback are the library's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vmig/vmig.h>

struct counter {
	_Atomic uint64_t value;
	_Atomic bool running, closing;
	pthread_t thread;
	pthread_mutex_t lock; /* held for each increment, so that a step can wait for the last one */
	uint8_t buffer[8];    /* the migration data, and how much of it has gone out or come in */
	size_t done;
};

static void *count(void *opaque)
{
	struct counter *c = opaque;

	while (!c->closing) {
		pthread_mutex_lock(&c->lock);
		if (c->running)
			c->value++;
		pthread_mutex_unlock(&c->lock);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return NULL;
}

static int step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	struct counter *c = opaque;

	(void)ret_state;
	if (from == VMIG_STATE_RESUMING) {
		uint64_t value;

		if (c->done != sizeof(c->buffer))
			return -EINVAL; /* incomplete */
		memcpy(&value, c->buffer, sizeof(value));
		c->value = value;
	}
	pthread_mutex_lock(&c->lock);
	c->running = to == VMIG_STATE_RUNNING;
	pthread_mutex_unlock(&c->lock);
	if (to == VMIG_STATE_STOP_COPY) {
		uint64_t value = c->value;

		memcpy(c->buffer, &value, sizeof(value));
	}
	c->done = 0;
	return 0;
}

static ssize_t read_data(void *opaque, void *buf, size_t len)
{
	struct counter *c = opaque;
	size_t left = sizeof(c->buffer) - c->done;

	if (len > left)
		len = left;
	memcpy(buf, c->buffer + c->done, len);
	c->done += len;
	return (ssize_t)len;
}

static int write_data(void *opaque, const void *buf, size_t len)
{
	struct counter *c = opaque;

	if (len > sizeof(c->buffer) - c->done)
		return -EINVAL; /* too much */
	memcpy(c->buffer + c->done, buf, len);
	c->done += len;
	return 0;
}

static int reset(void *opaque)
{
	struct counter *c = opaque;

	c->value = 0;
	c->running = true;
	return 0;
}

static int region_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	struct counter *c = opaque;
	uint64_t value = c->value;

	(void)index;
	memcpy(buf, (char *)&value + offset, len); /* within the region: the library has checked */
	return 0;
}

static void end(void *opaque)
{
	struct counter *c = opaque;

	c->closing = true;
	pthread_join(c->thread, NULL);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static const struct vmig_model_ops ops = {
	.step = step,
	.read = read_data,
	.write = write_data,
	.reset = reset,
	.region_read = region_read,
	.close = end,
};

int main(int argc, char **argv)
{
	static const struct vmig_region regions[] = { { .flags = VMIG_REGION_READ, .size = 8, .fd = -1 } };
	const struct vmig_model_config config = {
		.name = "counter",
		.identity = "example:counter",
		.migration_flags = VMIG_MIGRATION_STOP_COPY,
		.n_regions = 1,
		.regions = regions,
	};
	struct counter *c = calloc(1, sizeof(*c));
	struct vmig_model *model;
	struct vmig_device *dev;
	struct vmig_server *server;
	int r;

	if (argc != 2 || !c) {
		fprintf(stderr, "usage: counter SOCKET\n");
		return 2;
	}
	pthread_mutex_init(&c->lock, NULL);
	c->running = true;
	if (pthread_create(&c->thread, NULL, count, c))
		return 2;
	r = vmig_model_new(&ops, c, &config, &model, &dev);
	if (r < 0) {
		fprintf(stderr, "counter: %s\n", strerror(-r));
		return 2;
	}
	r = vmig_server_new(dev, &(struct vmig_server_config){ .socket_path = argv[1] }, &server);
	if (!r) {
		r = vmig_server_run(server); /* until it is killed */
		vmig_server_free(server);
	}
	if (r < 0)
		fprintf(stderr, "counter: %s: %s\n", argv[1], strerror(-r));
	vmig_device_close(dev);
	return r < 0;
}
