/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stream: all the memory as it lies; then pages that changed since, each 16 bytes (page number, 0) and the page;
 * at the end 16 bytes (all ones, the count of what was done).
 */
#include "toy.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))

struct toy_arc toy_arcs[TOY_ARCS];
int toy_n_arcs;
static int next_id;
static pthread_mutex_t arcs_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t n_pages(const struct toy *toy)
{
	return toy->config.size / TOY_PAGE;
}

/* Under the lock. */
static bool work_once(struct toy *toy, unsigned int *seed)
{
	size_t page = (size_t)rand_r(seed) % n_pages(toy), at = page * TOY_PAGE;

	if (!toy->running || (at + TOY_PAGE > toy->loan_from && at < toy->loan_to))
		return false;
	toy->memory[at / 8 + (size_t)rand_r(seed) % (TOY_PAGE / 8)]++;
	toy->done++;
	if (at < toy->out_at && !toy->dirty[page]) {
		toy->dirty[page] = 1;
		toy->n_dirty++;
	}
	return true;
}

static void *workload(void *opaque)
{
	const struct timespec nap = { .tv_nsec = 200000 };
	struct toy *toy = opaque;
	unsigned int seed = (unsigned int)toy->id;
	bool quit = false;

	while (!quit) {
		pthread_mutex_lock(&toy->lock);
		for (int i = 0; i < 4; i++)
			work_once(toy, &seed);
		quit = toy->quit;
		pthread_mutex_unlock(&toy->lock);
		nanosleep(&nap, NULL);
	}
	return NULL;
}

void toy_work(struct toy *toy, int times)
{
	unsigned int seed = 7;

	pthread_mutex_lock(&toy->lock);
	while (times)
		times -= work_once(toy, &seed);
	pthread_mutex_unlock(&toy->lock);
}

bool toy_is_whole(struct toy *toy)
{
	uint64_t sum = 0;

	pthread_mutex_lock(&toy->lock);
	for (size_t i = 0; i < toy->config.size / 8; i++)
		sum += toy->memory[i];
	pthread_mutex_unlock(&toy->lock);
	return sum == toy->done;
}

uint32_t toy_state(struct toy *toy)
{
	uint32_t state;

	ck_assert_int_eq(vmig_device_query_state(toy->dev, &state), 0);
	return state;
}

/* --- arcs --- */

static void note_arc(struct toy *toy, uint32_t from, uint32_t to)
{
	pthread_mutex_lock(&arcs_lock);
	ck_assert_int_lt(toy_n_arcs, TOY_ARCS);
	toy_arcs[toy_n_arcs++] = (struct toy_arc){ toy->id, from, to };
	pthread_mutex_unlock(&arcs_lock);
}

static void begin_saving(struct toy *toy)
{
	toy->out_at = 0;
	toy->out_bytes = 0;
	toy->n_dirty = 0;
	toy->stage_len = 0;
	toy->stage_at = 0;
	toy->out_end_made = false;
	memset(toy->dirty, 0, n_pages(toy));
}

static int end_loading(struct toy *toy)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < toy->config.size / 8; i++)
		sum += toy->memory[i];
	return toy->in_end_seen && sum == toy->done ? 0 : -EINVAL;
}

static int step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	struct toy *toy = opaque;
	int r = 0;

	note_arc(toy, from, to);
	if (from == toy->fail_from && to == toy->fail_to && toy->fail_times) {
		toy->fail_times--;
		if (toy->fail_to_error)
			*ret_state = VMIG_STATE_ERROR;
		return -EIO;
	}
	pthread_mutex_lock(&toy->lock);
	if (to == VMIG_STATE_PRE_COPY && from == VMIG_STATE_RUNNING)
		begin_saving(toy);
	if (to == VMIG_STATE_STOP_COPY && from == VMIG_STATE_STOP)
		begin_saving(toy);
	if (to == VMIG_STATE_RESUMING) {
		toy->in_bytes = 0;
		toy->in_have = 0;
		toy->in_end_seen = false;
	}
	if (from == VMIG_STATE_RESUMING)
		r = end_loading(toy);
	if (!r)
		toy->running = to == VMIG_STATE_RUNNING || to == VMIG_STATE_RUNNING_P2P ||
			       to == VMIG_STATE_PRE_COPY || to == VMIG_STATE_PRE_COPY_P2P;
	pthread_mutex_unlock(&toy->lock);
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
static void fill_stage(struct toy *toy)
{
	size_t page;

	toy->stage_at = 0;
	toy->stage_len = 0;
	if (!toy->n_dirty) {
		if (vmig_model_state(toy->model) != VMIG_STATE_STOP_COPY || toy->out_end_made)
			return;
		put_pair(toy->stage, UINT64_MAX, toy->done);
		toy->stage_len = 16;
		toy->out_end_made = true;
		return;
	}
	for (page = toy->dirty_at; !toy->dirty[page];)
		page = (page + 1) % n_pages(toy);
	toy->dirty[page] = 0;
	toy->n_dirty--;
	toy->dirty_at = page;
	put_pair(toy->stage, page, 0);
	memcpy(toy->stage + 16, (uint8_t *)toy->memory + page * TOY_PAGE, TOY_PAGE);
	toy->stage_len = 16 + TOY_PAGE;
}

/* Under the lock: the next bytes and where they lie. */
static ssize_t next_out(struct toy *toy, size_t max, const void **ret)
{
	if (toy->config.fail_read_at && toy->out_bytes >= toy->config.fail_read_at)
		return -EIO;
	if (toy->config.most)
		max = MIN(max, toy->config.most);
	if (toy->out_at < toy->config.size) {
		*ret = (uint8_t *)toy->memory + toy->out_at;
		return (ssize_t)MIN(max, toy->config.size - toy->out_at);
	}
	if (toy->stage_at == toy->stage_len)
		fill_stage(toy);
	*ret = toy->stage + toy->stage_at;
	return (ssize_t)MIN(max, toy->stage_len - toy->stage_at);
}

static void took(struct toy *toy, size_t used)
{
	toy->out_bytes += used;
	if (toy->out_at < toy->config.size)
		toy->out_at += used;
	else
		toy->stage_at += used;
}

static ssize_t lend(void *opaque, size_t max, struct iovec *ret_iov, int *ret_n)
{
	struct toy *toy = opaque;
	const void *at = NULL;
	ssize_t n;

	pthread_mutex_lock(&toy->lock);
	n = next_out(toy, max, &at);
	if (n > 0) {
		ret_iov[0] = (struct iovec){ (void *)(uintptr_t)at, (size_t)n };
		*ret_n = 1;
		if (toy->out_at < toy->config.size) {
			toy->loan_from = toy->out_at;
			toy->loan_to = toy->out_at + (size_t)n;
		}
	}
	pthread_mutex_unlock(&toy->lock);
	return n;
}

static void give_back(void *opaque, size_t used)
{
	struct toy *toy = opaque;

	pthread_mutex_lock(&toy->lock);
	took(toy, used);
	toy->loan_from = 0;
	toy->loan_to = 0;
	pthread_mutex_unlock(&toy->lock);
}

static ssize_t read_data(void *opaque, void *buf, size_t len)
{
	struct toy *toy = opaque;
	const void *at = NULL;
	ssize_t n;

	pthread_mutex_lock(&toy->lock);
	n = next_out(toy, len, &at);
	if (n > 0) {
		memcpy(buf, at, (size_t)n);
		took(toy, (size_t)n);
	}
	pthread_mutex_unlock(&toy->lock);
	return n;
}

/* --- loading --- */

static ssize_t room(void *opaque, size_t want, struct iovec *ret_iov, int *ret_n)
{
	struct toy *toy = opaque;
	uint8_t *at = toy->in + toy->in_have;
	size_t n = sizeof(toy->in) - toy->in_have;

	if (toy->config.fail_write_at && toy->in_bytes >= toy->config.fail_write_at)
		return -EIO;
	if (toy->in_bytes < toy->config.size) {
		at = (uint8_t *)toy->memory + toy->in_bytes;
		n = toy->config.size - toy->in_bytes;
	} else if (toy->in_have < 16) {
		n = 16 - toy->in_have;
	}
	if (toy->config.most)
		n = MIN(n, toy->config.most);
	ret_iov[0] = (struct iovec){ at, MIN(n, want) };
	*ret_n = 1;
	return (ssize_t)ret_iov[0].iov_len;
}

/* A header or a page has come in whole. */
static int take_in(struct toy *toy)
{
	uint64_t page, done;

	memcpy(&page, toy->in, 8);
	memcpy(&done, toy->in + 8, 8);
	if (toy->in_end_seen || (page != UINT64_MAX && page >= n_pages(toy)))
		return -EINVAL;
	if (page == UINT64_MAX) {
		toy->done = done;
		toy->in_end_seen = true;
		toy->in_have = 0;
	} else if (toy->in_have == sizeof(toy->in)) {
		memcpy((uint8_t *)toy->memory + page * TOY_PAGE, toy->in + 16, TOY_PAGE);
		toy->in_have = 0;
	}
	return 0;
}

static int filled(void *opaque, size_t len)
{
	struct toy *toy = opaque;
	bool first = toy->in_bytes < toy->config.size;

	toy->in_bytes += len;
	if (first || !len)
		return 0;
	toy->in_have += len;
	return toy->in_have == 16 || toy->in_have == sizeof(toy->in) ? take_in(toy) : 0;
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
	struct toy *toy = opaque;

	pthread_mutex_lock(&toy->lock);
	ret->initial_bytes = toy->config.size - toy->out_at;
	ret->dirty_bytes = toy->n_dirty * sizeof(toy->stage) + (toy->stage_len - toy->stage_at);
	pthread_mutex_unlock(&toy->lock);
	return 0;
}

static int stop_copy_size(void *opaque, uint64_t *ret)
{
	struct toy *toy = opaque;

	*ret = toy->config.size + 16;
	return 0;
}

static int reset(void *opaque)
{
	struct toy *toy = opaque;

	pthread_mutex_lock(&toy->lock);
	if (!toy->reset_fault) {
		memset(toy->memory, 0, toy->config.size);
		toy->done = 0;
		toy->running = true;
		toy->resets++;
	}
	pthread_mutex_unlock(&toy->lock);
	return toy->reset_fault;
}

static void close_toy(void *opaque)
{
	struct toy *toy = opaque;

	if (toy->config.busy) {
		pthread_mutex_lock(&toy->lock);
		toy->quit = true;
		pthread_mutex_unlock(&toy->lock);
		pthread_join(toy->thread, NULL);
	}
	free(toy->memory);
	free(toy->dirty);
	pthread_mutex_destroy(&toy->lock);
}

static struct vmig_model_ops ops_for(const struct toy_config *config)
{
	struct vmig_model_ops ops = {
		.step = step,
		.precopy_sizes = precopy_sizes,
		.stop_copy_size = stop_copy_size,
		.reset = config->no_reset ? NULL : reset,
		.close = close_toy,
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

void toy_open(struct toy *toy, const struct toy_config *config)
{
	struct vmig_model_config model = {
		.name = "toy",
		.identity = config->identity ? config->identity : "toy",
		.migration_flags = config->flags ? config->flags : TOY_ALL_FLAGS,
	};
	struct vmig_model_ops ops;

	memset(toy, 0, sizeof(*toy));
	toy->config = *config;
	if (!toy->config.size)
		toy->config.size = 64 * TOY_PAGE;
	toy->id = next_id++;
	toy->running = true;
	toy->fail_from = VMIG_STATE_NONE;
	toy->memory = calloc(1, toy->config.size);
	toy->dirty = calloc(1, n_pages(toy));
	ck_assert(toy->memory && toy->dirty);
	pthread_mutex_init(&toy->lock, NULL);
	ops = ops_for(config);
	ck_assert_int_eq(vmig_model_new(&ops, toy, &model, &toy->model, &toy->dev), 0);
	if (toy->config.busy)
		ck_assert_int_eq(pthread_create(&toy->thread, NULL, workload, toy), 0);
}

void toy_close(struct toy *toy)
{
	vmig_device_close(toy->dev);
}
