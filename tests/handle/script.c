/* SPDX-License-Identifier: BSD-3-Clause */
#include "script.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void note(struct script *script, const char *format, ...)
{
	size_t used = strlen(script->asked);
	va_list ap;

	ck_assert_uint_lt(used + 32, sizeof(script->asked));
	if (used)
		script->asked[used++] = ' ';
	va_start(ap, format);
	vsnprintf(script->asked + used, sizeof(script->asked) - used, format, ap);
	va_end(ap);
}

static int failed(struct script *script, int r, struct vmig_error *error)
{
	return r < 0 && script->fault ? vmig_fault(error, r, "PROVIDER", "%s", script->fault) : r;
}

/* --- sessions ------------------------------------------------------------------------------ */

static ssize_t next_read(struct script *script, struct vmig_error *error)
{
	ssize_t got = script->at_read < script->n_reads ? script->reads[script->at_read] : 0;

	script->at_read++;
	if (script->state_after)
		script->state = script->state_after;
	script->state_after = 0;
	return got < 0 ? failed(script, (int)got, error) : got;
}

static ssize_t half_readv(void *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	note(s, "read");
	return next_read(s, error);
}

static char memory[64];

static ssize_t half_lend(void *s, size_t max, struct iovec *ret_iov, int *ret_n, struct vmig_error *error)
{
	struct script *script = s;
	ssize_t got = next_read(s, error);

	note(s, "lend");
	if (got > 0) {
		ret_iov[0] = (struct iovec){ memory, (size_t)got - script->lies };
		*ret_n = 1;
	}
	return got;
}

static void half_give_back(void *s, size_t used)
{
	((struct script *)s)->given_back++;
}

static int half_writev(void *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct script *script = s;

	note(s, "write");
	return failed(script, script->r, error);
}

static ssize_t half_room(void *s, size_t want, struct iovec *ret_iov, int *ret_n, struct vmig_error *error)
{
	struct script *script = s;
	ssize_t got = next_read(s, error);

	if (got > 0) {
		ret_iov[0] = (struct iovec){ memory, (size_t)got - script->lies };
		*ret_n = 1;
	}
	return got;
}

static int half_filled(void *s, size_t len, struct vmig_error *error)
{
	note(s, "filled:%zu", len);
	return failed(s, ((struct script *)s)->r, error);
}

static int half_flush(void *s, struct vmig_error *error)
{
	note(s, "flush");
	return failed(s, ((struct script *)s)->r, error);
}

static int half_query_precopy(void *s, struct vmig_precopy *ret, struct vmig_error *error)
{
	note(s, "sizes");
	return failed(s, ((struct script *)s)->r, error);
}

static void half_close(void *s)
{
	((struct script *)s)->halves--;
}

static const struct vmig_session_ops saves = { .readv = half_readv,
					       .query_precopy = half_query_precopy,
					       .close = half_close };
static const struct vmig_session_ops lends = { .lend = half_lend,
					       .give_back = half_give_back,
					       .close = half_close };
static const struct vmig_session_ops loads = { .writev = half_writev,
					       .flush = half_flush,
					       .close = half_close };
static const struct vmig_session_ops rooms = { .room = half_room,
					       .filled = half_filled,
					       .close = half_close };

/* --- the device ---------------------------------------------------------------------------- */

static void provider_close(void *p)
{
	struct script *script = p;

	ck_assert_int_eq(script->halves, 0);
	script->closes++;
}

static void set_timeout(void *p, uint32_t ms)
{
	note(p, "timeout:%u", ms);
}

static int query_state(void *p, uint32_t *ret_state, struct vmig_error *error)
{
	struct script *script = p;

	note(p, "get");
	*ret_state = script->state;
	return failed(p, script->state_r, error);
}

static int set_state(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error)
{
	struct script *script = p;
	int r = script->set_r[script->n_sets];
	struct vmig_device_info info;

	note(p, "set:%u", target);
	script->state = r < 0 ? script->set_to[script->n_sets] : target;
	script->n_sets++;
	if (r < 0)
		return failed(p, r, error);
	vmig_device_query_info(script->dev, &info);
	if (script->starts_session) {
		bool by_memory = info.traits & (VMIG_TRAIT_LENDS | VMIG_TRAIT_ROOMS);

		script->halves++;
		ret->s = p;
		ret->ops = script->loading ? by_memory ? &rooms : &loads : by_memory ? &lends : &saves;
	}
	return 0;
}

static int reset(void *p, struct vmig_error *error)
{
	note(p, "reset");
	return failed(p, ((struct script *)p)->r, error);
}

static int query_stop_copy_size(void *p, uint64_t *ret, struct vmig_error *error)
{
	*ret = 77;
	return failed(p, ((struct script *)p)->r, error);
}

static int query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error)
{
	note(p, "region:%u", index);
	return failed(p, ((struct script *)p)->r, error);
}

static int region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
		       struct vmig_error *error)
{
	note(p, "in:%u", index);
	return failed(p, ((struct script *)p)->r, error);
}

static int region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			struct vmig_error *error)
{
	note(p, "out:%u", index);
	return failed(p, ((struct script *)p)->r, error);
}

static int query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error)
{
	note(p, "irq:%u", index);
	return failed(p, ((struct script *)p)->r, error);
}

static int set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error)
{
	note(p, "irqs");
	return failed(p, ((struct script *)p)->r, error);
}

static int map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error)
{
	note(p, "map");
	return failed(p, ((struct script *)p)->r, error);
}

static int unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	note(p, "unmap");
	return failed(p, ((struct script *)p)->r, error);
}

static int dma_log_start(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
			 struct vmig_error *error)
{
	note(p, "start");
	*page_size = 65536;
	return failed(p, ((struct script *)p)->r, error);
}

static int dma_log_stop(void *p, struct vmig_error *error)
{
	note(p, "stop");
	return failed(p, ((struct script *)p)->r, error);
}

static int dma_log_report(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
			  struct vmig_error *error)
{
	note(p, "report");
	return failed(p, ((struct script *)p)->r, error);
}

static const struct vmig_provider_ops all_ops = {
	.close = provider_close,
	.set_timeout = set_timeout,
	.query_state = query_state,
	.set_state = set_state,
	.reset = reset,
	.query_stop_copy_size = query_stop_copy_size,
	.query_region = query_region,
	.region_read = region_read,
	.region_write = region_write,
	.query_irq = query_irq,
	.set_irqs = set_irqs,
	.map_dma = map_dma,
	.unmap_dma = unmap_dma,
	.dma_log_start = dma_log_start,
	.dma_log_stop = dma_log_stop,
	.dma_log_report = dma_log_report,
};

static const struct vmig_provider_ops bare_ops = { .close = provider_close };

void script_open_info(struct script *script, const struct vmig_device_info *info)
{
	*script = (struct script){ .state = VMIG_STATE_RUNNING };
	ck_assert_int_eq(vmig_device_new(&all_ops, script, info, &script->dev), 0);
}

void script_open_bare(struct script *script, const struct vmig_device_info *info)
{
	*script = (struct script){ .state = VMIG_STATE_RUNNING };
	ck_assert_int_eq(vmig_device_new(&bare_ops, script, info, &script->dev), 0);
}

void script_open(struct script *script, uint32_t traits)
{
	const struct vmig_device_info info = {
		.flags = VMIG_DEVICE_FLAG_RESET,
		.n_regions = 2,
		.n_irqs = 2,
		.migration_flags = 7,
		.traits = traits,
		.has = VMIG_HAS_PRECOPY_INFO | VMIG_HAS_STOP_COPY_SIZE | VMIG_HAS_DMA_LOG,
		.dma_kinds = VMIG_DMA_KIND_ADDRESS,
		.name = "script",
	};

	script_open_info(script, &info);
}

void script_close(struct script *script)
{
	vmig_device_close(script->dev);
	ck_assert_int_eq(script->closes, 1);
}

void script_forget(struct script *script)
{
	script->asked[0] = '\0';
	memset(script->set_r, 0, sizeof(script->set_r));
	script->n_sets = 0;
}
