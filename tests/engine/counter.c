/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stream: all the memory as it lies; then pages that changed since, each 16 bytes (page number, 0) and the page;
 * at the end 16 bytes (all ones, the count of what was done).
 */
#include "counter.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))

struct counter_arc counter_arcs[COUNTER_ARCS];
int counter_n_arcs;
static int next_id;
static pthread_mutex_t arcs_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t n_pages(const struct counter *counter)
{
	return counter->config.size / COUNTER_PAGE;
}

/* Under the lock. */
static bool work_once(struct counter *counter, unsigned int *seed)
{
	size_t page = (size_t)rand_r(seed) % n_pages(counter), at = page * COUNTER_PAGE;

	if (!counter->running || (at + COUNTER_PAGE > counter->loan_from && at < counter->loan_to))
		return false;
	counter->memory[at / 8 + (size_t)rand_r(seed) % (COUNTER_PAGE / 8)]++;
	counter->done++;
	if (at < counter->out_at && !counter->dirty[page]) {
		counter->dirty[page] = 1;
		counter->n_dirty++;
	}
	return true;
}

static void *workload(void *opaque)
{
	const struct timespec nap = { .tv_nsec = 200000 };
	struct counter *counter = opaque;
	unsigned int seed = (unsigned int)counter->id;
	bool quit = false;

	while (!quit) {
		pthread_mutex_lock(&counter->lock);
		for (int i = 0; i < 4; i++)
			work_once(counter, &seed);
		quit = counter->quit;
		pthread_mutex_unlock(&counter->lock);
		nanosleep(&nap, NULL);
	}
	return NULL;
}

void counter_work(struct counter *counter, int times)
{
	unsigned int seed = 7;

	pthread_mutex_lock(&counter->lock);
	while (times)
		times -= work_once(counter, &seed);
	pthread_mutex_unlock(&counter->lock);
}

bool counter_is_whole(struct counter *counter)
{
	uint64_t sum = 0;
	bool whole;

	pthread_mutex_lock(&counter->lock);
	for (size_t i = 0; i < counter->config.size / 8; i++)
		sum += counter->memory[i];
	whole = sum == counter->done;
	pthread_mutex_unlock(&counter->lock);
	return whole;
}

uint64_t counter_done(struct counter *counter)
{
	uint64_t done;

	pthread_mutex_lock(&counter->lock);
	done = counter->done;
	pthread_mutex_unlock(&counter->lock);
	return done;
}

uint32_t counter_state(struct counter *counter)
{
	uint32_t state;

	ck_assert_int_eq(vmig_device_query_state(counter->dev, &state), 0);
	return state;
}

/* --- arcs --- */

static void note_arc(struct counter *counter, uint32_t from, uint32_t to)
{
	pthread_mutex_lock(&arcs_lock);
	if (counter_n_arcs < COUNTER_ARCS)
		counter_arcs[counter_n_arcs++] = (struct counter_arc){ counter->id, from, to };
	pthread_mutex_unlock(&arcs_lock);
}

static void begin_saving(struct counter *counter)
{
	counter->out_at = 0;
	counter->out_bytes = 0;
	counter->n_dirty = 0;
	counter->stage_len = 0;
	counter->stage_at = 0;
	counter->out_end_made = false;
	memset(counter->dirty, 0, n_pages(counter));
}

static int end_loading(struct counter *counter)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < counter->config.size / 8; i++)
		sum += counter->memory[i];
	return counter->in_end_seen && sum == counter->done ? 0 : -EINVAL;
}

static int step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	struct counter *counter = opaque;
	int r = 0;

	note_arc(counter, from, to);
	if (from == counter->fail_from && to == counter->fail_to && counter->fail_times) {
		counter->fail_times--;
		if (counter->fail_to_error)
			*ret_state = VMIG_STATE_ERROR;
		return -EIO;
	}
	pthread_mutex_lock(&counter->lock);
	if (to == VMIG_STATE_PRE_COPY && from == VMIG_STATE_RUNNING)
		begin_saving(counter);
	if (to == VMIG_STATE_STOP_COPY && from == VMIG_STATE_STOP)
		begin_saving(counter);
	if (to == VMIG_STATE_RESUMING) {
		counter->in_bytes = 0;
		counter->in_have = 0;
		counter->in_end_seen = false;
	}
	if (from == VMIG_STATE_RESUMING)
		r = end_loading(counter);
	if (!r)
		counter->running = to == VMIG_STATE_RUNNING || to == VMIG_STATE_RUNNING_P2P ||
				   to == VMIG_STATE_PRE_COPY || to == VMIG_STATE_PRE_COPY_P2P;
	pthread_mutex_unlock(&counter->lock);
	if (r)
		*ret_state = VMIG_STATE_ERROR;
	return r;
}

/* --- saving --- */

static void put_pair(uint8_t *to, uint64_t a, uint64_t b)
{
	memcpy(to, &a, 8);
	memcpy(to + 8, &b, 8);
}

/* Fill the stage with what comes after the first pass: a changed page, or in STOP_COPY the end. */
static void fill_stage(struct counter *counter)
{
	size_t page;

	counter->stage_at = 0;
	counter->stage_len = 0;
	if (!counter->n_dirty) {
		if (vmig_model_state(counter->model) != VMIG_STATE_STOP_COPY || counter->out_end_made)
			return;
		put_pair(counter->stage, UINT64_MAX, counter->done);
		counter->stage_len = 16;
		counter->out_end_made = true;
		return;
	}
	for (page = counter->dirty_at; !counter->dirty[page];)
		page = (page + 1) % n_pages(counter);
	counter->dirty[page] = 0;
	counter->n_dirty--;
	counter->dirty_at = page;
	put_pair(counter->stage, page, 0);
	memcpy(counter->stage + 16, (uint8_t *)counter->memory + page * COUNTER_PAGE, COUNTER_PAGE);
	counter->stage_len = 16 + COUNTER_PAGE;
}

/* Under the lock: the next bytes and where they lie. */
static ssize_t next_out(struct counter *counter, size_t max, const void **ret)
{
	if (counter->config.fail_read_at && counter->out_bytes >= counter->config.fail_read_at)
		return -EIO;
	if (counter->config.most)
		max = MIN(max, counter->config.most);
	if (counter->out_at < counter->config.size) {
		*ret = (uint8_t *)counter->memory + counter->out_at;
		return (ssize_t)MIN(max, counter->config.size - counter->out_at);
	}
	if (counter->stage_at == counter->stage_len)
		fill_stage(counter);
	*ret = counter->stage + counter->stage_at;
	return (ssize_t)MIN(max, counter->stage_len - counter->stage_at);
}

static void took(struct counter *counter, size_t used)
{
	counter->out_bytes += used;
	if (counter->out_at < counter->config.size)
		counter->out_at += used;
	else
		counter->stage_at += used;
}

static ssize_t lend(void *opaque, size_t max, struct iovec *ret_iov, int *ret_n)
{
	struct counter *counter = opaque;
	const void *at = NULL;
	ssize_t n;

	pthread_mutex_lock(&counter->lock);
	n = next_out(counter, max, &at);
	if (n > 0) {
		ret_iov[0] = (struct iovec){ (void *)(uintptr_t)at, (size_t)n };
		*ret_n = 1;
		if (counter->out_at < counter->config.size) {
			counter->loan_from = counter->out_at;
			counter->loan_to = counter->out_at + (size_t)n;
		}
	}
	pthread_mutex_unlock(&counter->lock);
	return n;
}

static void give_back(void *opaque, size_t used)
{
	struct counter *counter = opaque;

	pthread_mutex_lock(&counter->lock);
	took(counter, used);
	counter->loan_from = 0;
	counter->loan_to = 0;
	pthread_mutex_unlock(&counter->lock);
}

static ssize_t read_data(void *opaque, void *buf, size_t len)
{
	struct counter *counter = opaque;
	const void *at = NULL;
	ssize_t n;

	pthread_mutex_lock(&counter->lock);
	n = next_out(counter, len, &at);
	if (n > 0) {
		memcpy(buf, at, (size_t)n);
		took(counter, (size_t)n);
	}
	pthread_mutex_unlock(&counter->lock);
	return n;
}

/* --- loading --- */

static ssize_t room(void *opaque, size_t want, struct iovec *ret_iov, int *ret_n)
{
	struct counter *counter = opaque;
	uint8_t *at = counter->in + counter->in_have;
	size_t n = sizeof(counter->in) - counter->in_have;

	if (counter->config.fail_write_at && counter->in_bytes >= counter->config.fail_write_at)
		return -EIO;
	if (counter->in_bytes < counter->config.size) {
		at = (uint8_t *)counter->memory + counter->in_bytes;
		n = counter->config.size - counter->in_bytes;
	} else if (counter->in_have < 16) {
		n = 16 - counter->in_have;
	}
	if (counter->config.most)
		n = MIN(n, counter->config.most);
	ret_iov[0] = (struct iovec){ at, MIN(n, want) };
	*ret_n = 1;
	return (ssize_t)ret_iov[0].iov_len;
}

/* A header or a page has come in whole. */
static int take_in(struct counter *counter)
{
	uint64_t page, done;

	memcpy(&page, counter->in, 8);
	memcpy(&done, counter->in + 8, 8);
	if (counter->in_end_seen || (page != UINT64_MAX && page >= n_pages(counter)))
		return -EINVAL;
	if (page == UINT64_MAX) {
		counter->done = done;
		counter->in_end_seen = true;
		counter->in_have = 0;
	} else if (counter->in_have == sizeof(counter->in)) {
		memcpy((uint8_t *)counter->memory + page * COUNTER_PAGE, counter->in + 16, COUNTER_PAGE);
		counter->in_have = 0;
	}
	return 0;
}

void counter_stall(struct counter *counter, bool stalls)
{
	pthread_mutex_lock(&counter->lock);
	counter->stalls = stalls;
	pthread_cond_broadcast(&counter->stalled);
	pthread_mutex_unlock(&counter->lock);
}

static void wait_while_stalled(struct counter *counter)
{
	pthread_mutex_lock(&counter->lock);
	while (counter->stalls)
		pthread_cond_wait(&counter->stalled, &counter->lock);
	pthread_mutex_unlock(&counter->lock);
}

static int filled(void *opaque, size_t len)
{
	struct counter *counter = opaque;
	bool first = counter->in_bytes < counter->config.size;

	wait_while_stalled(counter);
	counter->in_bytes += len;
	if (first || !len)
		return 0;
	counter->in_have += len;
	return counter->in_have == 16 || counter->in_have == sizeof(counter->in) ? take_in(counter) : 0;
}

static int write_data(void *opaque, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		struct iovec iov;
		ssize_t n;
		int one, r;

		n = room(opaque, len, &iov, &one);
		if (n < 0)
			return (int)n;
		memcpy(iov.iov_base, p, (size_t)n);
		r = filled(opaque, (size_t)n);
		if (r)
			return r;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* --- sizes, reset, life --- */

static int precopy_sizes(void *opaque, struct vmig_precopy *ret)
{
	struct counter *counter = opaque;

	pthread_mutex_lock(&counter->lock);
	ret->initial_bytes = counter->config.size - counter->out_at;
	ret->dirty_bytes =
		counter->n_dirty * sizeof(counter->stage) + (counter->stage_len - counter->stage_at);
	pthread_mutex_unlock(&counter->lock);
	return 0;
}

static int stop_copy_size(void *opaque, uint64_t *ret)
{
	struct counter *counter = opaque;

	*ret = counter->config.size + 16;
	return 0;
}

static int reset(void *opaque)
{
	struct counter *counter = opaque;

	pthread_mutex_lock(&counter->lock);
	if (!counter->reset_fault) {
		memset(counter->memory, 0, counter->config.size);
		counter->done = 0;
		counter->running = true;
		counter->resets++;
	}
	pthread_mutex_unlock(&counter->lock);
	return counter->reset_fault;
}

static void close_counter(void *opaque)
{
	struct counter *counter = opaque;

	if (counter->config.busy) {
		pthread_mutex_lock(&counter->lock);
		counter->quit = true;
		pthread_mutex_unlock(&counter->lock);
		pthread_join(counter->thread, NULL);
	}
	free(counter->memory);
	free(counter->dirty);
	pthread_cond_destroy(&counter->stalled);
	pthread_mutex_destroy(&counter->lock);
}

static struct vmig_model_ops ops_for(const struct counter_config *config)
{
	struct vmig_model_ops ops = {
		.step = step,
		.precopy_sizes = precopy_sizes,
		.stop_copy_size = stop_copy_size,
		.reset = config->no_reset ? NULL : reset,
		.close = close_counter,
	};

	if (config->copies) {
		ops.read = read_data;
		ops.write = write_data;
	} else {
		ops.lend = lend;
		ops.give_back = give_back;
		ops.room = room;
		ops.filled = filled;
	}
	return ops;
}

void counter_open(struct counter *counter, const struct counter_config *config)
{
	struct vmig_model_config model = {
		.name = "counter",
		.identity = config->identity ? config->identity : "counter",
		.migration_flags = config->flags ? config->flags : COUNTER_ALL_FLAGS,
	};
	struct vmig_model_ops ops;

	memset(counter, 0, sizeof(*counter));
	counter->config = *config;
	if (!counter->config.size)
		counter->config.size = 64 * COUNTER_PAGE;
	counter->id = next_id++;
	counter->running = true;
	counter->fail_from = VMIG_STATE_NONE;
	counter->memory = calloc(1, counter->config.size);
	counter->dirty = calloc(1, n_pages(counter));
	ck_assert(counter->memory && counter->dirty);
	pthread_mutex_init(&counter->lock, NULL);
	pthread_cond_init(&counter->stalled, NULL);
	ops = ops_for(config);
	ck_assert_int_eq(vmig_model_new(&ops, counter, &model, &counter->model, &counter->dev), 0);
	if (counter->config.busy)
		ck_assert_int_eq(pthread_create(&counter->thread, NULL, workload, counter), 0);
}

void counter_close(struct counter *counter)
{
	vmig_device_close(counter->dev);
}
