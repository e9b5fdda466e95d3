/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiny.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))

static int step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	struct tiny *tiny = opaque;
	int number = tiny->n_arcs;

	ck_assert_uint_eq(*ret_state, from);
	ck_assert_uint_eq(vmig_model_state(tiny->model), from);
	ck_assert_int_lt(number, TINY_ARCS);
	tiny->arcs[number].from = from;
	tiny->arcs[number].to = to;
	tiny->n_arcs++;
	if (number != tiny->fail_at && !(tiny->fail_next && number == tiny->fail_at + 1))
		return 0;
	if (tiny->fail_to)
		*ret_state = tiny->fail_to;
	if (tiny->fail_to_error)
		*ret_state = VMIG_STATE_ERROR;
	return -EXDEV;
}

static size_t ready(const struct tiny *tiny, size_t max)
{
	size_t n = MIN(max, tiny->out_end - tiny->out_at);

	return tiny->piece ? MIN(n, tiny->piece) : n;
}

static ssize_t read_data(void *opaque, void *buf, size_t len)
{
	struct tiny *tiny = opaque;
	size_t n = ready(tiny, len);

	if (n)
		memcpy(buf, tiny->out + tiny->out_at, n);
	tiny->out_at += n;
	return (ssize_t)n;
}

/** Lends in two pieces where there is enough for two. */
static ssize_t lend(void *opaque, size_t max, struct iovec *ret_iov, int *ret_n)
{
	struct tiny *tiny = opaque;
	size_t n = ready(tiny, max), half = n / 2;

	if (!n)
		return 0;
	ret_iov[0] = (struct iovec){ (void *)(tiny->out + tiny->out_at), n - half };
	ret_iov[1] = (struct iovec){ (void *)(tiny->out + tiny->out_at + n - half), half };
	*ret_n = half ? 2 : 1;
	return (ssize_t)n;
}

static void give_back(void *opaque, size_t used)
{
	struct tiny *tiny = opaque;

	tiny->given_back++;
	tiny->out_at += used;
}

static int write_data(void *opaque, const void *buf, size_t len)
{
	struct tiny *tiny = opaque;

	if (tiny->load_fault)
		return tiny->load_fault;
	if (len > tiny->in_size - tiny->in_at)
		return -ENOSPC;
	memcpy(tiny->in + tiny->in_at, buf, len);
	tiny->in_at += len;
	return 0;
}

static ssize_t room(void *opaque, size_t want, struct iovec *ret_iov, int *ret_n)
{
	struct tiny *tiny = opaque;
	size_t n = MIN(want, tiny->in_size - tiny->in_at), half;

	if (tiny->load_fault)
		return tiny->load_fault;
	if (tiny->piece)
		n = MIN(n, tiny->piece);
	half = n / 2;
	ret_iov[0] = (struct iovec){ tiny->in + tiny->in_at, n - half };
	ret_iov[1] = (struct iovec){ tiny->in + tiny->in_at + n - half, half };
	*ret_n = half ? 2 : 1;
	return n ? (ssize_t)n : -ENOSPC;
}

static int filled(void *opaque, size_t len)
{
	ck_assert_uint_gt(len, 0);
	((struct tiny *)opaque)->in_at += len;
	return 0;
}

static int precopy_sizes(void *opaque, struct vmig_precopy *ret)
{
	struct tiny *tiny = opaque;

	ret->initial_bytes = tiny->out_end - tiny->out_at;
	ret->dirty_bytes = 5;
	return 0;
}

static int stop_copy_size(void *opaque, uint64_t *ret_bytes)
{
	*ret_bytes = ((struct tiny *)opaque)->out_end;
	return 0;
}

static int reset(void *opaque)
{
	struct tiny *tiny = opaque;

	tiny->resets++;
	return tiny->reset_fault;
}

static int region_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	memset(buf, (int)offset, len);
	return 0;
}

static int region_write(void *opaque, uint32_t index, uint64_t offset, const void *buf, size_t len)
{
	return *(const uint8_t *)buf == 0xee ? -EIO : 0;
}

static void end(void *opaque)
{
	((struct tiny *)opaque)->closes++;
}

void tiny_open(struct tiny *tiny, uint64_t migration_flags, enum tiny_kind kind)
{
	static const struct vmig_region regions[] = {
		{ .flags = VMIG_REGION_READ | VMIG_REGION_WRITE, .size = 64, .fd = -1 },
		{ .flags = VMIG_REGION_READ, .size = 16, .fd = -1 },
		{ .fd = -1 },
	};
	static const struct vmig_irq irqs[] = {
		{ .flags = 1 | 2 | 4, .count = 1 }, /* as INTx */
		{ .flags = 1 | 2, .count = 8 },     /* as MSI-X with masks */
		{ .flags = 1, .count = 2 },         /* not maskable */
		{ .count = 0 },
	};
	struct vmig_model_ops ops = {
		.step = step,
		.precopy_sizes = precopy_sizes,
		.stop_copy_size = stop_copy_size,
		.reset = reset,
		.region_read = region_read,
		.region_write = region_write,
		.close = end,
	};
	const struct vmig_model_config config = {
		.name = "tiny",
		.identity = "test:tiny",
		.migration_flags = migration_flags,
		.has = VMIG_HAS_DMA_LOG,
		.n_regions = 3,
		.regions = regions,
		.n_irqs = 4,
		.irqs = irqs,
	};

	if (kind == TINY_LENDS) {
		ops.lend = lend;
		ops.give_back = give_back;
		ops.room = room;
		ops.filled = filled;
	} else {
		ops.read = read_data;
		ops.write = write_data;
	}
	*tiny = (struct tiny){ .fail_at = -1 };
	ck_assert_int_eq(vmig_model_new(&ops, tiny, &config, &tiny->model, &tiny->dev), 0);
}

void tiny_close(struct tiny *tiny)
{
	vmig_device_close(tiny->dev);
	ck_assert_int_eq(tiny->closes, 1);
}

void tiny_forget(struct tiny *tiny)
{
	tiny->n_arcs = 0;
}

uint32_t tiny_state(struct tiny *tiny)
{
	uint32_t state;

	ck_assert_int_eq(vmig_device_query_state(tiny->dev, &state), 0);
	return state;
}

void tiny_go(struct tiny *tiny, uint32_t state)
{
	ck_assert_int_eq(vmig_device_set_state(tiny->dev, state, VMIG_STATE_NONE, NULL), 0);
}

void tiny_reach(struct tiny *tiny, uint32_t state)
{
	int fail_at = tiny->fail_at;

	tiny->fail_at = -1;
	ck_assert_int_eq(vmig_device_reset(tiny->dev), 0);
	tiny_go(tiny, state);
	tiny->fail_at = fail_at;
	tiny_forget(tiny);
}
