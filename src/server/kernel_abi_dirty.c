/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dirty tracking of an address space: as an IOMMU that marks pages. It is made of the devices' own logs, each asked to
 * log everything; a device without one may have written to every page, and that is said aloud, once.
 *
 * A log gives each bit once. What is taken from it and is not to be forgotten yet (a report that keeps the bits, a
 * device that leaves) is kept with the mapping. A log that a program runs by itself (DMA_LOGGING_START) is not shared:
 * whoever comes second is told -EBUSY.
 */
#include <string.h>

#include "base/log.h"
#include "server/kernel_abi.h"

/* Pages that are looked at at a time: 64 KiB of bits, 2 GiB of memory. A multiple of 64. */
#define CHUNK (512u << 10)

/* --- bits --------------------------------------------------------------------------------- */

static uint64_t n_words(uint64_t pages)
{
	return pages / 64 + (pages % 64 != 0);
}

static void set_bits(uint64_t *bitmap, uint64_t from, uint64_t to)
{
	for (; from < to && from % 64; from++)
		bitmap[from / 64] |= 1ull << (from % 64);
	for (; from + 64 <= to; from += 64)
		bitmap[from / 64] = UINT64_MAX;
	for (; from < to; from++)
		bitmap[from / 64] |= 1ull << (from % 64);
}

/** Add the first @n bits of @add to @bitmap from bit @at on. */
static void add_bits(uint64_t *bitmap, uint64_t at, const uint64_t *add, uint64_t n)
{
	unsigned int shift = at % 64;

	for (uint64_t i = 0; i < n_words(n); i++) {
		uint64_t bits = add[i], *to = bitmap + at / 64 + i;

		if (n - i * 64 < 64)
			bits &= (1ull << (n - i * 64)) - 1;
		if (!bits)
			continue;
		to[0] |= bits << shift;
		if (shift && bits >> (64 - shift))
			to[1] |= bits >> (64 - shift);
	}
}

uint64_t vmig_kabi_count_bits(const uint64_t *bits, size_t n)
{
	uint64_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += (uint64_t)__builtin_popcountll(bits[i]);
	return count;
}

/* --- start and stop ----------------------------------------------------------------------- */

/* 2^64 bytes are more than one length can say. */
static const struct vmig_range everything[] = { { 0, 1ull << 63 }, { 1ull << 63, 1ull << 63 } };

/** What is mapped now, mappings side by side as one. */
static int ranges_of_maps(struct vmig_kabi_as *as, struct vmig_kabi_user *user)
{
	uint32_t n = 0;

	user->ranges = calloc(VMIG_LIMIT_LOG_RANGES, sizeof(*user->ranges));
	if (!user->ranges)
		return -ENOMEM;
	for (uint32_t i = 0; i < as->n_maps; i++) {
		const struct vmig_kabi_map *map = &as->maps[i];

		if (n && user->ranges[n - 1].iova + user->ranges[n - 1].length == map->iova)
			user->ranges[n - 1].length += map->size;
		else if (n < VMIG_LIMIT_LOG_RANGES)
			user->ranges[n++] = (struct vmig_range){ map->iova, map->size };
	}
	user->n_ranges = n;
	return 0;
}

static void complain(struct vmig_kabi_user *user, const char *why)
{
	if (!user->complained)
		vmig_log(VMIG_LOG_WARNING, "%s: %s: every page that it can reach is reported as written",
			 user->slot->info.name, why);
	user->complained = true;
}

static int start_log(struct vmig_kabi_as *as, struct vmig_kabi_user *user)
{
	uint64_t page_size = VMIG_KABI_PAGE;
	int r = vmig_device_dma_log_start(user->slot->dev, &page_size, everything, ARRAY_SIZE(everything));

	if (r < 0 && r != -EBUSY && r != -ENOMEM) {
		/* A device that needs to know what. */
		if (ranges_of_maps(as, user) < 0 || !user->n_ranges)
			return r;
		page_size = VMIG_KABI_PAGE;
		r = vmig_device_dma_log_start(user->slot->dev, &page_size, user->ranges, user->n_ranges);
	}
	return r;
}

int vmig_kabi_track_user(struct vmig_kabi_as *as, struct vmig_kabi_user *user)
{
	struct vmig_kabi_slot *slot = user->slot;
	bool logging;
	int r;

	pthread_mutex_lock(&slot->lock);
	logging = slot->logging;
	pthread_mutex_unlock(&slot->lock);
	if (logging) {
		vmig_log(VMIG_LOG_ERROR, "%s: its DMA log runs already, by DMA_LOGGING_START",
			 slot->info.name);
		return -EBUSY;
	}
	if (!(slot->info.has & (VMIG_HAS_DMA_LOG | VMIG_HAS_IOMMU_LOG))) {
		complain(user, "it has no DMA log");
		return 0;
	}
	r = start_log(as, user);
	if (!r) {
		user->logs = true;
		return 0;
	}
	free(user->ranges);
	user->ranges = NULL;
	user->n_ranges = 0;
	if (r == -EBUSY)
		return r;
	complain(user, "its DMA log does not start");
	return 0;
}

static void stop_log(struct vmig_kabi_user *user)
{
	if (user->logs)
		(void)vmig_device_dma_log_stop(user->slot->dev);
	user->logs = false;
	free(user->ranges);
	user->ranges = NULL;
	user->n_ranges = 0;
}

static void forget_kept(struct vmig_kabi_map *map)
{
	free(map->kept);
	map->kept = NULL;
	map->all_dirty = false;
}

void vmig_kabi_track_stop(struct vmig_kabi_as *as)
{
	for (uint32_t i = 0; i < as->n_users; i++)
		stop_log(&as->users[i]);
	for (uint32_t i = 0; i < as->n_maps; i++)
		forget_kept(&as->maps[i]);
	as->tracks = false;
}

int vmig_kabi_track_start(struct vmig_kabi_as *as)
{
	int r = 0;

	for (uint32_t i = 0; i < as->n_users && !r; i++)
		r = vmig_kabi_track_user(as, &as->users[i]);
	if (r < 0)
		vmig_kabi_track_stop(as);
	else
		as->tracks = true;
	return r;
}

/* --- what a device has written ------------------------------------------------------------ */

/** Is [@iova, @last] within what it logs? */
static bool logged(const struct vmig_kabi_user *user, uint64_t iova, uint64_t last)
{
	if (!user->logs)
		return false;
	for (uint32_t i = 0; i < user->n_ranges; i++)
		if (user->ranges[i].iova <= iova &&
		    last <= user->ranges[i].iova + (user->ranges[i].length - 1))
			return true;
	return !user->n_ranges;
}

static void ask_user(struct vmig_kabi_user *user, uint64_t iova, uint64_t pages, uint64_t *bits)
{
	uint64_t size = pages * VMIG_KABI_PAGE;

	if (logged(user, iova, iova + (size - 1))) {
		if (!vmig_device_dma_log_report(user->slot->dev, iova, size, VMIG_KABI_PAGE, bits))
			return;
		complain(user, "its DMA log cannot be read");
	} else {
		complain(user, "it does not log all of the memory");
	}
	set_bits(bits, 0, pages);
}

static bool make_kept(struct vmig_kabi_map *map)
{
	uint64_t words = n_words(map->size / VMIG_KABI_PAGE);

	if (!map->kept && words * 8 <= VMIG_LIMIT_LOG_BITMAP)
		map->kept = calloc(words, sizeof(*map->kept));
	/* What cannot be kept must not be lost: then all of it stays dirty. */
	if (!map->kept)
		map->all_dirty = true;
	return map->kept;
}

static void keep(struct vmig_kabi_map *map, uint64_t first, const uint64_t *bits, uint64_t pages)
{
	if (vmig_kabi_count_bits(bits, n_words(pages)) && make_kept(map))
		add_bits(map->kept, first, bits, pages);
}

/* Bits @first to @first + @pages of the mapping, and take them away. */
static void take_kept(struct vmig_kabi_map *map, uint64_t first, uint64_t pages, uint64_t *bits, bool clear)
{
	for (uint64_t i = 0; map->kept && i < pages; i++) {
		uint64_t at = first + i;

		if (!(map->kept[at / 64] >> (at % 64) & 1))
			continue;
		bits[i / 64] |= 1ull << (i % 64);
		if (clear)
			map->kept[at / 64] &= ~(1ull << (at % 64));
	}
}

/** Pages [@first, @first + @pages) of @map, at most CHUNK: into @bits, which are zero. */
static void collect(struct vmig_kabi_as *as, struct vmig_kabi_map *map, uint64_t first, uint64_t pages,
		    bool keeps, uint64_t *bits)
{
	uint64_t iova = map->iova + first * VMIG_KABI_PAGE;

	if (map->all_dirty) {
		set_bits(bits, 0, pages);
		return;
	}
	for (uint32_t i = 0; i < as->n_users; i++)
		ask_user(&as->users[i], iova, pages, bits);
	take_kept(map, first, pages, bits, !keeps);
	if (keeps)
		keep(map, first, bits, pages);
}

void vmig_kabi_track_leave(struct vmig_kabi_as *as, struct vmig_kabi_user *user)
{
	_autofree_ uint64_t *bits = NULL;

	if (!as->tracks)
		return;
	bits = malloc(CHUNK / 8);
	for (uint32_t i = 0; i < as->n_maps; i++) {
		struct vmig_kabi_map *map = &as->maps[i];
		uint64_t all = map->size / VMIG_KABI_PAGE;

		if (!bits)
			map->all_dirty = true;
		for (uint64_t first = 0; first < all && !map->all_dirty; first += CHUNK) {
			uint64_t pages = MIN(all - first, CHUNK);

			memset(bits, 0, CHUNK / 8);
			ask_user(user, map->iova + first * VMIG_KABI_PAGE, pages, bits);
			keep(map, first, bits, pages);
		}
	}
	stop_log(user);
}

/* A reset has stopped the device's log and dropped what was in it. */
void vmig_kabi_track_reset(struct vmig_kabi_as *as, struct vmig_kabi_slot *slot)
{
	pthread_mutex_lock(&as->lock);
	for (uint32_t i = 0; i < as->n_users && as->tracks; i++) {
		if (as->users[i].slot != slot)
			continue;
		stop_log(&as->users[i]);
		(void)vmig_kabi_track_user(as, &as->users[i]);
		for (uint32_t k = 0; k < as->n_maps; k++)
			if (make_kept(&as->maps[k]))
				set_bits(as->maps[k].kept, 0, as->maps[k].size / VMIG_KABI_PAGE);
	}
	pthread_mutex_unlock(&as->lock);
}

/* --- report ------------------------------------------------------------------------------- */

int vmig_kabi_add_words(struct vmig_kabi_ctx *ctx, uint64_t addr, const uint64_t *bits, size_t n)
{
	uint64_t old[512];

	for (size_t i = 0; i < n;) {
		size_t len = 0;
		int r;

		if (!bits[i]) {
			i++;
			continue;
		}
		while (len < ARRAY_SIZE(old) && i + len < n && bits[i + len])
			len++;
		r = vmig_kabi_get(ctx, addr + i * 8, old, len * 8);
		if (r < 0)
			return r;
		for (size_t k = 0; k < len; k++)
			old[k] |= bits[i + k];
		r = vmig_kabi_put(ctx, addr + i * 8, old, len * 8);
		if (r < 0)
			return r;
		i += len;
	}
	return 0;
}

/** The report's bits for the pages [@first, @first + @pages) of it. @bits has room for two words more. */
static void report_chunk(struct vmig_kabi_as *as, uint64_t iova, uint64_t pages, bool keeps, uint64_t *bits,
			 uint64_t *part)
{
	uint64_t last = iova + (pages * VMIG_KABI_PAGE - 1);

	for (uint32_t i = vmig_kabi_as_find(as, iova); i < as->n_maps && as->maps[i].iova <= last; i++) {
		struct vmig_kabi_map *map = &as->maps[i];
		uint64_t from = MAX(iova, map->iova), to = MIN(last, map->iova + (map->size - 1));
		uint64_t n = (to - from) / VMIG_KABI_PAGE + 1, at = (from - iova) / VMIG_KABI_PAGE;
		uint64_t *into = at % 64 ? part : bits + at / 64;

		if (at % 64)
			memset(part, 0, n_words(n) * 8);
		collect(as, map, (from - map->iova) / VMIG_KABI_PAGE, n, keeps, into);
		if (at % 64)
			add_bits(bits, at, part, n);
	}
}

/** Pages of 4096 become pages of @page_size: a page is dirty if a part of it is. In place. Returns their number. */
static uint64_t fold(uint64_t *bits, uint64_t pages, uint64_t page_size)
{
	unsigned int shift = (unsigned int)__builtin_ctzll(page_size / VMIG_KABI_PAGE);
	uint64_t n = (pages + (1ull << shift) - 1) >> shift;

	if (!shift)
		return pages;
	for (uint64_t i = 0; i < pages; i++) {
		bool dirty = bits[i / 64] >> (i % 64) & 1;

		bits[i / 64] &= ~(1ull << (i % 64));
		if (dirty)
			bits[(i >> shift) / 64] |= 1ull << ((i >> shift) % 64);
	}
	return n;
}

/* What can be asked for with large pages is far more than can be gone through by small ones. */
static bool any_map(const struct vmig_kabi_as *as, uint64_t iova, uint64_t pages)
{
	uint32_t i = vmig_kabi_as_find(as, iova);

	return i < as->n_maps && as->maps[i].iova <= iova + (pages * VMIG_KABI_PAGE - 1);
}

int vmig_kabi_track_report(struct vmig_kabi_as *as, struct vmig_kabi_ctx *ctx, uint64_t iova, uint64_t last,
			   uint64_t page_size, uint64_t addr, uint32_t flags, uint64_t *ret_dirty)
{
	_autofree_ uint64_t *bits = malloc(CHUNK / 8 + 16), *part = malloc(CHUNK / 8 + 16);
	uint64_t pages = (last - iova) / VMIG_KABI_PAGE + 1, done = 0;

	*ret_dirty = 0;
	if (!bits || !part)
		return -ENOMEM;
	while (done < pages) {
		/* A chunk is 64 pages of the report's size at least, or words would be shared. */
		uint64_t n = MIN(pages - done, CHUNK), words;
		int r;

		if ((flags & VMIG_KABI_REPORT_ADD) && !any_map(as, iova + done * VMIG_KABI_PAGE, n)) {
			addr += n_words(n / (page_size / VMIG_KABI_PAGE)) * 8;
			done += n;
			continue;
		}

		memset(bits, 0, CHUNK / 8 + 16);
		report_chunk(as, iova + done * VMIG_KABI_PAGE, n, flags & VMIG_KABI_REPORT_KEEP, bits, part);
		words = n_words(fold(bits, n, page_size));
		*ret_dirty += vmig_kabi_count_bits(bits, words);
		r = flags & VMIG_KABI_REPORT_ADD ? vmig_kabi_add_words(ctx, addr, bits, words)
						 : vmig_kabi_put(ctx, addr, bits, words * 8);
		if (r < 0)
			return r;
		addr += words * 8;
		done += n;
	}
	return 0;
}
