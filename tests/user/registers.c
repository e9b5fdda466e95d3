/* SPDX-License-Identifier: BSD-3-Clause */
#include "registers.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "handle/provider.h"

#define LOG_SIZE (1u << 20)

/* --- notes -------------------------------------------------------------------------------- */

/* 0, or what this access is to fail with. */
__attribute__((format(printf, 2, 3))) static int note(struct registers *r, const char *format, ...)
{
	char word[64];
	va_list ap;

	va_start(ap, format);
	vsnprintf(word, sizeof(word), format, ap);
	va_end(ap);
	if (r->log && r->used + sizeof(word) < LOG_SIZE)
		r->used += (size_t)snprintf(r->log + r->used, sizeof(word), "%s%s", r->used ? " " : "", word);
	if (!r->fail_at || strcmp(word, r->fail_at) != 0 || r->fail_after-- > 0)
		return 0;
	if (r->fail_to_error)
		r->state = (r->state & ~7u) | 6;
	return r->fail_with;
}

const char *registers_log(struct registers *r)
{
	r->log[r->used] = '\0';
	r->used = 0;
	return r->log;
}

uint8_t registers_byte(uint32_t number, uint64_t at)
{
	return (uint8_t)(number * 31 + at * 7 + (at >> 8) + 1);
}

/* --- the data section ----------------------------------------------------------------------- */

static uint32_t end_of(const struct registers *r)
{
	return (r->state & 7) == 3 ? r->n_early : r->n_sizes;
}

static void offer(struct registers *r)
{
	_autofree_ uint8_t *data = NULL;

	r->offered = r->at < end_of(r);
	if (!r->offered || r->fd < 0)
		return;
	data = malloc(r->sizes[r->at]);
	for (uint32_t i = 0; i < r->sizes[r->at]; i++)
		data[i] = registers_byte(r->at, i);
	ck_assert_int_eq(pwrite(r->fd, data, r->sizes[r->at], REGISTERS_DATA), r->sizes[r->at]);
}

static uint64_t pending(struct registers *r)
{
	uint64_t sum = 0;

	if (r->offered)
		r->at++;
	r->offered = false;
	for (uint32_t i = r->at; i < end_of(r); i++)
		sum += r->sizes[i];
	return r->lie_pending ? r->lie_pending : sum;
}

/* Where the data of a load are when they are trapped. */
static uint8_t trapped[1u << 20];

static void consume(struct registers *r, uint64_t size)
{
	uint8_t byte;

	ck_assert_uint_lt(r->n_loaded, REGISTERS_MAX);
	for (uint64_t i = 0; i < size && i < sizeof(trapped); i++) {
		byte = trapped[i];
		if (r->fd >= 0 && (!r->config.mapped_size || i < r->config.mapped_size))
			ck_assert_int_eq(pread(r->fd, &byte, 1, (off_t)(REGISTERS_DATA + i)), 1);
		r->loaded_right = r->loaded_right && byte == registers_byte(r->n_loaded, i);
	}
	r->loaded[r->n_loaded++] = (uint32_t)size;
}

/* --- accesses ------------------------------------------------------------------------------- */

static int read_register(struct registers *r, uint64_t offset, void *buf, size_t len)
{
	uint64_t value = 0;
	int failed = 0;

	if (offset == 0 && len == 4) {
		failed = note(r, "S");
		value = r->state;
	} else if (offset == 8 && len == 8) {
		failed = note(r, "P");
		value = failed ? 0 : pending(r);
	} else if (offset == 16 && len == 8) {
		failed = note(r, "O");
		offer(r);
		value = r->lie_offset ? r->lie_offset : REGISTERS_DATA;
	} else if (offset == 24 && len == 8) {
		failed = note(r, "Z");
		value = r->lie_size ? r->lie_size : r->at < r->n_sizes && !r->zero_size ? r->sizes[r->at] : 0;
	} else {
		note(r, "BAD");
		failed = -EINVAL;
	}
	memcpy(buf, &value, len);
	return failed;
}

static int region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
		       struct vmig_error *error)
{
	struct registers *r = p;
	uint8_t *to = buf;

	if (index != r->config.index) {
		memset(buf, 0x5a, len);
		r->other_calls++;
		return 0;
	}
	if (offset < 32)
		return read_register(r, offset, buf, len);
	for (size_t i = 0; i < len && len < 1u << 20; i++)
		to[i] = registers_byte(r->at, offset - REGISTERS_DATA + i);
	return note(r, "D%zu", len);
}

static void enter(struct registers *r, uint32_t state)
{
	if ((state & 7) == 3 || ((state & 7) == 2 && (r->state & 7) != 3))
		r->at = 0;
	if ((state & 7) == 4) {
		r->n_loaded = 0;
		r->loaded_right = true;
	}
	r->offered = false;
	r->state = state;
}

static int write_register(struct registers *r, uint64_t offset, const void *buf, size_t len)
{
	uint64_t value = 0;
	int failed;

	memcpy(&value, buf, len < 8 ? len : 8);
	if (offset == 0 && len == 4) {
		failed = note(r, "S=%x", (unsigned int)value);
		if (!failed)
			enter(r, (uint32_t)value);
		return failed;
	}
	if (offset == 24 && len == 8) {
		failed = note(r, "Z=%llu", (unsigned long long)value);
		if (!failed)
			consume(r, value);
		return failed;
	}
	note(r, "BAD");
	return -EINVAL;
}

static int region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			struct vmig_error *error)
{
	struct registers *r = p;
	int failed;

	if (index != r->config.index) {
		r->other_calls++;
		return 0;
	}
	if (offset < 32)
		return write_register(r, offset, buf, len);
	failed = note(r, "D=%zu", len);
	if (offset >= REGISTERS_DATA && offset - REGISTERS_DATA + len <= sizeof(trapped))
		memcpy(trapped + offset - REGISTERS_DATA, buf, len);
	return failed;
}

static int query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error)
{
	struct registers *r = p;

	*ret = (struct vmig_region){
		.index = index, .flags = VMIG_REGION_READ | VMIG_REGION_WRITE, .size = 64, .fd = -1
	};
	if (index != r->config.index)
		return 0;
	ret->flags = r->config.flags;
	ret->size = r->config.size;
	ret->cap_type = r->config.type;
	ret->cap_subtype = r->config.subtype;
	ret->fd = r->fd;
	if (r->fd >= 0) {
		ret->flags |= VMIG_REGION_MMAP;
		ret->n_areas = 1;
		ret->areas[0] = (struct vmig_area){ REGISTERS_DATA,
						    r->config.mapped_size ? r->config.mapped_size
									  : r->config.size - REGISTERS_DATA };
	}
	return 0;
}

/* --- all else ------------------------------------------------------------------------------- */

static int reset(void *p, struct vmig_error *error)
{
	struct registers *r = p;

	r->resets++;
	enter(r, (r->state & ~7u) | 1);
	return 0;
}

static int other(void *p, struct vmig_error *error)
{
	((struct registers *)p)->other_calls++;
	return 0;
}

static int query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error)
{
	*ret = (struct vmig_irq){ .index = index, .count = 3 };
	return other(p, error);
}

static int set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error)
{
	return other(p, error);
}

static int map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error)
{
	return other(p, error);
}

static int unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	return vmig_fault(error, -ENOENT, "UNMAP", "there is no such mapping");
}

static void provider_close(void *p)
{
	((struct registers *)p)->closes++;
}

static const struct vmig_provider_ops ops = {
	.close = provider_close,
	.reset = reset,
	.query_region = query_region,
	.region_read = region_read,
	.region_write = region_write,
	.query_irq = query_irq,
	.set_irqs = set_irqs,
	.map_dma = map_dma,
	.unmap_dma = unmap_dma,
};

static int make_file(const struct registers_config *config)
{
	int fd = memfd_create("registers", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)config->size), 0);
	if (config->sealed)
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

void registers_open(struct registers *r, const struct registers_config *config)
{
	static const struct registers_config none;
	struct vmig_device_info info = { .n_irqs = 1,
					 .dma_kinds = VMIG_DMA_KIND_ADDRESS,
					 .identity = "test:registers",
					 .name = "registers" };

	*r = (struct registers){
		.config = config ? *config : none, .state = 1, .fd = -1, .loaded_right = true
	};
	r->config.type = r->config.type ? r->config.type : 3;
	r->config.subtype = r->config.subtype ? r->config.subtype : 1;
	r->config.flags = r->config.flags ? r->config.flags : VMIG_REGION_READ | VMIG_REGION_WRITE;
	r->config.size = r->config.size ? r->config.size : 65536;
	r->config.n_regions = MAX(r->config.n_regions, r->config.index + 1);
	r->log = malloc(LOG_SIZE);
	ck_assert_ptr_nonnull(r->log);
	if (r->config.mapped)
		r->fd = make_file(&r->config);
	info.n_regions = r->config.n_regions;
	info.flags = r->config.no_reset ? 0 : VMIG_DEVICE_FLAG_RESET;
	ck_assert_int_eq(vmig_device_new(&ops, r, &info, &r->dev), 0);
}

void registers_close(struct registers *r)
{
	ck_assert_int_eq(r->closes, 1);
	if (r->fd >= 0)
		close(r->fd);
	free(r->log);
}
