/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The version data of memory: where it lies. Judged at the offer, so that two that do not fit are refused before anything
 * moves: u32 magic, u32 regions, u64 bytes, u64 XXH3-64 of all (iova, size, page size), then as many of these as there is room for.
 */
#include <errno.h>
#include <stdio.h>

#include "memory/pages.h"
#include "wire/cursor.h"
#include "wire/digest.h"

#define LAYOUT_MAGIC 0x314c4d56u /* "VML1" */
#define ROW_LEN      24u

struct layout {
	uint32_t n_regions;
	uint64_t bytes, digest;
};

static void put_region(struct vmig_cursor *c, const struct memory_region *region)
{
	vmig_cursor_put_u64(c, region->iova);
	vmig_cursor_put_u64(c, region->size);
	vmig_cursor_put_u64(c, 1ull << region->shift);
}

static struct layout layout_of(const struct memory *memory)
{
	struct layout layout = { .n_regions = memory->n_regions };
	struct vmig_digest digest;

	vmig_digest_start(&digest);
	for (uint32_t i = 0; i < memory->n_regions; i++) {
		uint8_t row[ROW_LEN];
		struct vmig_cursor c = vmig_cursor_into(row, sizeof(row));

		put_region(&c, &memory->regions[i]);
		vmig_digest_add(&digest, row, sizeof(row));
		layout.bytes += memory->regions[i].size;
	}
	layout.digest = vmig_digest_value(&digest);
	return layout;
}

ssize_t memory_layout(void *opaque, void *buf)
{
	struct memory *memory = opaque;
	struct vmig_cursor c = vmig_cursor_into(buf, VMIG_DEVICE_OPAQUE_MAX);
	struct layout layout = layout_of(memory);

	vmig_cursor_put_u32(&c, LAYOUT_MAGIC);
	vmig_cursor_put_u32(&c, layout.n_regions);
	vmig_cursor_put_u64(&c, layout.bytes);
	vmig_cursor_put_u64(&c, layout.digest);
	for (uint32_t i = 0; i < memory->n_regions && c.left >= ROW_LEN; i++)
		put_region(&c, &memory->regions[i]);
	return (ssize_t)(VMIG_DEVICE_OPAQUE_MAX - c.left);
}

/* The first region that differs, in words. */
static void say_where(const struct memory *memory, struct vmig_cursor *c, char *why, size_t size)
{
	for (uint32_t i = 0; i < memory->n_regions && c->left >= ROW_LEN; i++) {
		const struct memory_region *region = &memory->regions[i];
		unsigned long long iova = vmig_cursor_u64(c), length = vmig_cursor_u64(c);
		unsigned long long page_size = vmig_cursor_u64(c);

		if (iova == region->iova && length == region->size && page_size != 1ull << region->shift) {
			snprintf(why, size,
				 "the source's memory at %#llx has pages of %llu bytes, that here of %llu",
				 iova, page_size, 1ull << region->shift);
			return;
		}
		if (iova == region->iova && length == region->size)
			continue;
		snprintf(why, size,
			 "the source's memory has %#llx bytes at %#llx where %#llx at %#llx are here", length,
			 iova, (unsigned long long)region->size, (unsigned long long)region->iova);
		return;
	}
	snprintf(why, size, "the source's memory lies elsewhere than that here");
}

int memory_check_layout(void *opaque, const void *data, size_t len, char *why, size_t why_size)
{
	const struct memory *memory = opaque;
	struct vmig_cursor c = vmig_cursor_over(data, len);
	struct layout here = layout_of(memory), there;

	if (vmig_cursor_u32(&c) != LAYOUT_MAGIC) {
		snprintf(why, why_size, "it does not say where its memory lies");
		return -EINVAL;
	}
	there.n_regions = vmig_cursor_u32(&c);
	there.bytes = vmig_cursor_u64(&c);
	there.digest = vmig_cursor_u64(&c);
	if (vmig_cursor_ok(&c) && there.n_regions == here.n_regions && there.bytes == here.bytes &&
	    there.digest == here.digest)
		return 0;
	if (!vmig_cursor_ok(&c) || there.n_regions != here.n_regions)
		snprintf(why, why_size, "the source's memory has %u regions, that here %u", there.n_regions,
			 here.n_regions);
	else
		say_where(memory, &c, why, why_size);
	return -EINVAL;
}
