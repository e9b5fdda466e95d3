/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory as a device, by its sessions: what is there arrives, however it is cut; a bad stream is refused. */
#include "harness.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmig/memory.h>

#include "base/limits.h"
#include "device/tiny.h"
#include "base/util.h"

#define K4  4096ull
#define K64 (64ull << 10)
#define M2  (2ull << 20)

/* --- an end: its memory, a device that writes to it, the memory's device --------------------------- */

#define REGIONS_MAX 3

struct end {
	struct tiny dma;
	struct vmig_device *dev;
	uint8_t *bytes[REGIONS_MAX];
	int fds[REGIONS_MAX];
	struct vmig_memory_region regions[REGIONS_MAX];
	uint32_t n;
	struct vmig_memory_config config;
};

static void end_map(struct end *end, uint64_t iova, uint64_t size, uint64_t page_size)
{
	uint32_t i = end->n++;
	int fd = memfd_create("memory", MFD_CLOEXEC);
	struct vmig_dma map = { .iova = iova, .size = size, .prot = 3, .fd = -1 };

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	end->fds[i] = fd;
	end->bytes[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(end->bytes[i], MAP_FAILED);
	map.vaddr = end->bytes[i];
	ck_assert_int_eq(vmig_device_map_dma(end->dma.dev, &map), 0);
	/* Once by its file, once by its address. */
	end->regions[i] = (struct vmig_memory_region){ .iova = iova, .size = size, .page_size = page_size };
	end->regions[i].fd = i % 2 ? -1 : fd;
	end->regions[i].vaddr = i % 2 ? end->bytes[i] : NULL;
}

static void end_init(struct end *end)
{
	memset(end, 0, sizeof(*end));
	tiny_open(&end->dma, TINY_ALL_FLAGS, TINY_COPIES);
	end->config = (struct vmig_memory_config){
		.regions = end->regions, .devices = &end->dma.dev, .n_devices = 1, .quiet = true
	};
}

static void end_open(struct end *end)
{
	end->config.n_regions = end->n;
	ck_assert_int_eq(vmig_memory_new(&end->config, &end->dev), 0);
}

static void end_close(struct end *end)
{
	vmig_device_close(end->dev);
	tiny_close(&end->dma);
	for (uint32_t i = 0; i < end->n; i++) {
		munmap(end->bytes[i], end->regions[i].size);
		close(end->fds[i]);
	}
}

static void both_init(struct end *a, struct end *b)
{
	end_init(a);
	end_init(b);
}

static void both_map(struct end *a, struct end *b, uint64_t iova, uint64_t size, uint64_t page_size)
{
	end_map(a, iova, size, page_size);
	end_map(b, iova, size, page_size);
}

static void both_open(struct end *a, struct end *b)
{
	end_open(a);
	end_open(b);
}

/* Two regions that lie side by side, and one apart. */
static void both_usual(struct end *a, struct end *b, uint64_t page_size)
{
	both_init(a, b);
	both_map(a, b, 64 * M2, 2 * M2, page_size);
	both_map(a, b, 1ull << 40, M2, page_size);
	both_map(a, b, 66 * M2, M2, page_size);
	both_open(a, b);
}

static struct vmig_session *go(struct end *end, uint32_t state)
{
	struct vmig_session *session = NULL;

	ck_assert_int_eq(vmig_device_set_state(end->dev, state, VMIG_STATE_NONE, &session), 0);
	return session;
}

static uint64_t read64(void)
{
	return (uint64_t)rand() << 32 ^ (uint64_t)rand();
}

/** Some pages with something in them, most with nothing. */
static void scribble(struct end *end, int times)
{
	for (int i = 0; i < times; i++) {
		uint32_t region = (uint32_t)rand() % end->n;
		uint64_t at = read64() % (end->regions[region].size / 8) * 8, word = read64();

		ck_assert_int_eq(
			vmig_model_dma_write(end->dma.model, end->regions[region].iova + at, &word, 8), 0);
	}
}

static void fill_with_garbage(struct end *end)
{
	for (uint32_t i = 0; i < end->n; i++)
		memset(end->bytes[i], 0xa5, end->regions[i].size);
}

static void check_equal(const struct end *a, const struct end *b)
{
	for (uint32_t i = 0; i < a->n; i++)
		ck_assert_mem_eq(a->bytes[i], b->bytes[i], a->regions[i].size);
}

/* --- bytes from one to the other ------------------------------------------------------------------- */

static size_t piece_of(size_t most)
{
	return most < 2 ? 1 : 1 + (size_t)rand() % most;
}

/** Until there is no more; returns what ended it. @most: bytes of one piece at either end. */
static ssize_t pour(struct vmig_session *from, struct vmig_session *to, size_t most, uint64_t *ret_bytes)
{
	_autofree_ uint8_t *buf = malloc(most);
	struct iovec iov = { .iov_base = buf };
	ssize_t n;

	*ret_bytes = 0;
	for (;;) {
		iov.iov_len = piece_of(most);
		n = vmig_session_readv(from, &iov, 1);
		if (n <= 0)
			return n;
		*ret_bytes += (uint64_t)n;
		for (size_t at = 0; at < (size_t)n;) {
			size_t len = piece_of(most);
			struct iovec part = { buf + at, MIN(len, (size_t)n - at) };

			ck_assert_int_eq(vmig_session_writev(to, &part, 1), 0);
			at += part.iov_len;
		}
	}
}

static void check_moves(uint64_t page_size, size_t most)
{
	struct vmig_session *from, *to;
	struct vmig_precopy sizes;
	struct end a, b;
	uint64_t bytes;

	both_usual(&a, &b, page_size);
	scribble(&a, 60);
	fill_with_garbage(&b);
	to = go(&b, VMIG_STATE_RESUMING);
	from = go(&a, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(vmig_session_query_precopy(from, &sizes), 0);
	ck_assert_uint_eq(sizes.initial_bytes, 4 * M2);
	ck_assert_uint_eq(sizes.dirty_bytes, 0);
	for (int round = 0; round < 3; round++) {
		ck_assert_int_eq(pour(from, to, most, &bytes), -ENOMSG);
		scribble(&a, 20);
		ck_assert_int_eq(vmig_session_query_precopy(from, &sizes), 0);
		ck_assert_uint_eq(sizes.initial_bytes, 0);
		ck_assert_uint_ge(sizes.dirty_bytes, page_size);
		ck_assert_uint_le(sizes.dirty_bytes, 20 * page_size);
	}
	ck_assert_ptr_null(go(&a, VMIG_STATE_PRE_COPY_P2P));
	scribble(&a, 5);
	ck_assert_ptr_null(go(&a, VMIG_STATE_STOP_COPY));
	ck_assert_int_eq(pour(from, to, most, &bytes), 0);
	ck_assert_ptr_null(go(&b, VMIG_STATE_STOP));
	check_equal(&a, &b);
	vmig_session_close(from);
	vmig_session_close(to);
	end_close(&a);
	end_close(&b);
}

TEST(what_is_written_meanwhile_arrives_in_rounds)
{
	srand(harness_seed());
	check_moves(K4, 300 << 10);
	check_moves(K64, 20000);
	check_moves(M2, 5 << 20);
}

TEST(it_may_be_cut_anywhere)
{
	struct vmig_session *from, *to;
	struct end a, b;
	uint64_t bytes;

	srand(harness_seed());
	both_init(&a, &b);
	both_map(&a, &b, 0, 16 * K4, K4);
	both_map(&a, &b, 16 * K4, K4, K4);
	both_open(&a, &b);
	scribble(&a, 6);
	fill_with_garbage(&b);
	to = go(&b, VMIG_STATE_RESUMING);
	from = go(&a, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(pour(from, to, 1, &bytes), 0);
	ck_assert_ptr_null(go(&b, VMIG_STATE_STOP));
	check_equal(&a, &b);
	vmig_session_close(from);
	vmig_session_close(to);
	end_close(&a);
	end_close(&b);
}

TEST(zero_pages_are_said_and_not_sent)
{
	struct vmig_session *from, *to;
	struct end a, b;
	uint64_t bytes;

	both_usual(&a, &b, K4);
	a.bytes[0][5 * K4 + 4095] = 1;
	a.bytes[2][0] = 1;
	fill_with_garbage(&b);
	to = go(&b, VMIG_STATE_RESUMING);
	from = go(&a, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(pour(from, to, 100000, &bytes), 0);
	ck_assert_uint_ge(bytes, 2 * K4);
	ck_assert_uint_le(bytes, 2 * K4 + 200);
	ck_assert_ptr_null(go(&b, VMIG_STATE_STOP));
	check_equal(&a, &b);
	vmig_session_close(from);
	vmig_session_close(to);
	end_close(&a);
	end_close(&b);
}

TEST(what_has_stopped_is_lent_where_it_lies)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	struct vmig_session *from;
	struct end a;
	ssize_t len;
	int n;

	end_init(&a);
	end_map(&a, 0, M2, K4);
	a.regions[0].fd = -1;
	a.regions[0].vaddr = a.bytes[0];
	end_open(&a);
	a.bytes[0][7 * K4] = 1;
	from = go(&a, VMIG_STATE_STOP_COPY);
	len = vmig_session_lend(from, M2, iov, &n); /* the table */
	ck_assert_int_gt(len, 0);
	vmig_session_return(from, (size_t)len);
	len = vmig_session_lend(from, M2, iov, &n);
	ck_assert_int_eq(len, K4);
	ck_assert_int_eq(n, 1);
	ck_assert_ptr_eq(iov[0].iov_base, a.bytes[0] + 7 * K4);
	vmig_session_return(from, 1);
	len = vmig_session_lend(from, 10, iov, &n);
	ck_assert_int_eq(len, 10);
	ck_assert_ptr_eq(iov[0].iov_base, a.bytes[0] + 7 * K4 + 1);
	vmig_session_return(from, 10);
	vmig_session_close(from);
	end_close(&a);
}

/* --- who tracks ------------------------------------------------------------------------------------ */

static int tell_page_three(void *opaque, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap)
{
	int *left = opaque;

	ck_assert_uint_eq(iova, 0);
	ck_assert_uint_eq(page_size, K4);
	if (*left > 0)
		bitmap[0] |= 1 << 3;
	return (*left)-- < -1 ? -EIO : 0;
}

TEST(the_user_tells_what_it_has_written_itself)
{
	struct vmig_precopy sizes;
	struct vmig_session *from, *to;
	char note[VMIG_NOTE_MAX];
	struct end a, b;
	uint64_t bytes;
	int left = 0;

	both_init(&a, &b);
	both_map(&a, &b, 0, 16 * K4, K4);
	a.config.quiet = false;
	a.config.dirty = tell_page_three;
	a.config.opaque = &left;
	both_open(&a, &b);
	to = go(&b, VMIG_STATE_RESUMING);
	from = go(&a, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(pour(from, to, 1 << 20, &bytes), -ENOMSG);
	left = 1;
	memset(a.bytes[0] + 3 * K4, 7, K4);
	ck_assert_int_eq(vmig_session_query_precopy(from, &sizes), 0);
	ck_assert_uint_eq(sizes.dirty_bytes, K4);
	ck_assert_int_eq(pour(from, to, 1 << 20, &bytes), -ENOMSG);
	check_equal(&a, &b);
	/* One that fails to tell has written everything. */
	left = -2;
	ck_assert_int_eq(vmig_session_query_precopy(from, &sizes), 0);
	ck_assert_uint_eq(sizes.dirty_bytes, 16 * K4);
	vmig_device_query_note(a.dev, note);
	ck_assert_ptr_nonnull(strstr(note, "cannot tell"));
	vmig_session_close(from);
	vmig_session_close(to);
	end_close(&a);
	end_close(&b);
}

TEST(where_nobody_tracks_there_are_no_rounds_and_that_is_said)
{
	struct vmig_device_info info;
	char note[VMIG_NOTE_MAX];
	struct end a;

	end_init(&a);
	end_map(&a, 0, M2, K4);
	end_open(&a);
	vmig_device_query_info(a.dev, &info);
	ck_assert_uint_eq(info.migration_flags, TINY_ALL_FLAGS);
	ck_assert_uint_eq(info.traits & VMIG_TRAIT_MEMORY, VMIG_TRAIT_MEMORY);
	ck_assert_str_eq(info.format, "memory.1");
	ck_assert_str_eq(info.identity, "memory:1+2097152");
	vmig_device_query_note(a.dev, note);
	ck_assert_str_eq(note, "");
	vmig_device_close(a.dev);

	a.config.quiet = false; /* and no callback */
	end_open(&a);
	vmig_device_query_info(a.dev, &info);
	ck_assert_uint_eq(info.migration_flags, VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P);
	vmig_device_query_note(a.dev, note);
	ck_assert_ptr_nonnull(strstr(note, "every page counts as dirty"));
	end_close(&a);
}

TEST(the_log_is_stopped_when_the_device_leaves_the_saving_group)
{
	const struct vmig_range range = { 0, M2 };
	uint64_t page_size = K4;
	struct end a;

	end_init(&a);
	end_map(&a, 0, M2, K4);
	end_open(&a);
	for (int i = 0; i < 2; i++) {
		vmig_session_close(go(&a, VMIG_STATE_PRE_COPY));
		ck_assert_int_eq(vmig_device_dma_log_start(a.dma.dev, &page_size, &range, 1), -EBUSY);
		if (i)
			ck_assert_int_eq(vmig_device_reset(a.dev), 0);
		else
			go(&a, VMIG_STATE_RUNNING);
		ck_assert_int_eq(vmig_device_dma_log_start(a.dma.dev, &page_size, &range, 1), 0);
		ck_assert_int_eq(vmig_device_dma_log_stop(a.dma.dev), 0);
	}
	end_close(&a);
}

/* --- what it is made of ------------------------------------------------------------------------------ */

static int new_with(struct vmig_memory_region *regions, uint32_t n)
{
	struct vmig_memory_config config = { .regions = regions, .n_regions = n };
	struct vmig_device *dev;
	int r = vmig_memory_new(&config, &dev);

	if (!r)
		vmig_device_close(dev);
	return r;
}

TEST(bad_regions_are_refused)
{
	static uint8_t bytes[4 * 4096] __attribute__((aligned(4096)));
	const struct vmig_memory_region good = { .iova = 0, .size = 2 * K4, .fd = -1, .vaddr = bytes };
	struct vmig_memory_region bad[2] = { good, good };
	struct vmig_memory_region *many = calloc(1025, sizeof(*many));

	ck_assert_int_eq(new_with(bad, 1), 0);
	ck_assert_int_eq(new_with(bad, 0), -EINVAL);
	ck_assert_int_eq(new_with(bad, 2), -EINVAL); /* they overlap */
	bad[1].iova = K4;
	ck_assert_int_eq(new_with(bad, 2), -EINVAL);
	bad[1].iova = 2 * K4;
	ck_assert_int_eq(new_with(bad, 2), 0);
	bad[0].size = K4 + 1;
	ck_assert_int_eq(new_with(bad, 1), -EINVAL);
	bad[0] = good;
	bad[0].size = 0;
	ck_assert_int_eq(new_with(bad, 1), -EINVAL);
	bad[0] = good;
	bad[0].iova = UINT64_MAX - K4 + 1;
	ck_assert_int_eq(new_with(bad, 1), -EINVAL);
	bad[0] = good;
	bad[0].page_size = 3 * K4;
	ck_assert_int_eq(new_with(bad, 1), -EINVAL);
	bad[0].page_size = 4 * K4;
	ck_assert_int_eq(new_with(bad, 1), -EINVAL);
	bad[0] = good;
	bad[0].vaddr = NULL;
	ck_assert_int_eq(new_with(bad, 1), -EINVAL);
	for (uint32_t i = 0; i < 1025; i++) {
		many[i] = good;
		many[i].iova = 2 * K4 * (1025 - i);
	}
	ck_assert_int_eq(new_with(many, 1025), -E2BIG);
	ck_assert_int_eq(new_with(many, 1024), 0);
	free(many);
}

TEST(a_space_gives_its_mappings_but_no_device_regions)
{
	static uint8_t bytes[4 * 4096] __attribute__((aligned(4096)));
	struct vmig_dma map = { .iova = K64, .size = K4, .prot = VMIG_DMA_READ, .fd = -1, .vaddr = bytes };
	struct vmig_memory_config config = { .quiet = true };
	struct vmig_device_info info;
	struct vmig_device *dev;

	ck_assert_int_eq(vmig_space_new(&config.space), 0);
	ck_assert_int_eq(vmig_memory_new(&config, &dev), -EINVAL);
	ck_assert_int_eq(vmig_space_map(config.space, &map), 0);
	map.iova = 2 * K64;
	map.prot = VMIG_DMA_READ | VMIG_DMA_WRITE | VMIG_DMA_REGION;
	ck_assert_int_eq(vmig_space_map(config.space, &map), 0);
	ck_assert_int_eq(vmig_memory_new(&config, &dev), 0);
	vmig_device_query_info(dev, &info);
	ck_assert_str_eq(info.identity, "memory:1+4096");
	vmig_device_close(dev);
	vmig_space_free(config.space);
}

static void check_layout(struct end *a, struct end *b, const char *why)
{
	uint8_t opaque[VMIG_DEVICE_OPAQUE_MAX];
	struct vmig_error error;
	size_t len;

	both_open(a, b);
	ck_assert_int_eq(vmig_device_query_opaque(a->dev, opaque, &len), 0);
	ck_assert_int_eq(vmig_device_check_opaque(b->dev, opaque, len), why ? -EINVAL : 0);
	vmig_device_query_error(b->dev, &error);
	if (why)
		ck_assert_msg(strstr(error.text, why) != NULL, "%s", error.text);
	/* Cut anywhere it is refused too, or says the same. */
	for (size_t cut = 1; cut < 24; cut++)
		ck_assert_int_eq(vmig_device_check_opaque(b->dev, opaque, cut), -EINVAL);
	end_close(a);
	end_close(b);
}

TEST(memory_that_lies_elsewhere_is_refused_at_the_offer)
{
	struct end a, b;

	both_init(&a, &b);
	both_map(&a, &b, K64, K64, K4);
	check_layout(&a, &b, NULL);

	both_init(&a, &b);
	both_map(&a, &b, K64, K64, K4);
	end_map(&a, 4 * K64, K64, K4);
	end_map(&b, 5 * K64, K64, K4);
	check_layout(&a, &b, "0x10000 bytes at 0x40000 where 0x10000 at 0x50000 are here");

	both_init(&a, &b);
	both_map(&a, &b, K64, K64, K4);
	end_map(&a, 4 * K64, K64, K4);
	check_layout(&a, &b, "2 regions, that here 1");

	both_init(&a, &b);
	end_map(&a, K64, K64, K4);
	end_map(&b, K64, K64, K64);
	check_layout(&a, &b, "pages of 4096 bytes, that here of 65536");
}

/* --- a hostile source -------------------------------------------------------------------------------- */

struct batch {
	uint8_t bytes[24 + 300 * 16 + 4 * 4096];
	size_t len;
};

static void put32(struct batch *b, uint32_t v)
{
	v = htole32(v);
	memcpy(b->bytes + b->len, &v, 4);
	b->len += 4;
}

static void put64(struct batch *b, uint64_t v)
{
	put32(b, (uint32_t)v);
	put32(b, (uint32_t)(v >> 32));
}

static void put_head(struct batch *b, uint32_t number, uint32_t runs, uint32_t flags, uint64_t bytes)
{
	put32(b, 0x314d4d56);
	put32(b, number);
	put32(b, runs);
	put32(b, flags);
	put64(b, bytes);
}

static void put_run(struct batch *b, uint64_t iova, uint32_t pages, uint32_t flags)
{
	put64(b, iova);
	put32(b, pages);
	put32(b, flags);
}

#define FIRST (4 * K64) /* the regions of the victim: 16 pages here */
#define LAST  (6 * K64) /* and one here; guard pages are around both */

struct victim {
	struct end end;
	struct vmig_session *to;
};

static void victim_open(struct victim *v)
{
	end_init(&v->end);
	end_map(&v->end, FIRST, 16 * K4, K4);
	end_map(&v->end, LAST, K4, K4);
	end_open(&v->end);
	v->to = go(&v->end, VMIG_STATE_RESUMING);
}

static int feed(struct victim *v, const struct batch *b)
{
	struct iovec iov = { (void *)b->bytes, b->len };

	return vmig_session_writev(v->to, &iov, 1);
}

static void victim_close(struct victim *v)
{
	vmig_session_close(v->to);
	end_close(&v->end);
}

/* What is refused leaves a device that only a reset leads on; then it loads again. */
static void check_refused(const struct batch *b)
{
	struct victim v;

	victim_open(&v);
	ck_assert_int_eq(feed(&v, b), -EBADMSG);
	ck_assert_int_lt(vmig_device_set_state(v.end.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), 0);
	ck_assert_int_eq(vmig_device_reset(v.end.dev), 0);
	vmig_session_close(go(&v.end, VMIG_STATE_RESUMING));
	victim_close(&v);
}

TEST(a_bad_head_is_refused)
{
	const uint32_t heads[][4] = {
		{ 1, 1, 0, 0 },    /* a number that is not the next */
		{ 0, 257, 0, 0 },  /* too many runs */
		{ 0, ~0u, 0, 0 },  /* far too many */
		{ 0, 1, 2, 0 },    /* a flag that nobody knows */
		{ 0, 0, 0, 0 },    /* empty, and not the last */
		{ 0, 1, 1, 4096 }, /* the last, and not empty */
		{ 0, 0, 1, 4096 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct batch b = { 0 };

		put_head(&b, heads[i][0], heads[i][1], heads[i][2], heads[i][3]);
		check_refused(&b);
	}
}

TEST(a_run_out_of_bounds_is_refused)
{
	const struct {
		uint64_t iova;
		uint32_t pages, flags;
	} runs[] = {
		{ FIRST - K4, 1, 0 },
		{ FIRST + 16 * K4, 1, 0 },
		{ FIRST, 17, 1 },
		{ FIRST + 15 * K4, 2, 0 },
		{ FIRST, 0, 0 },
		{ FIRST + 1, 1, 0 },
		{ FIRST, 1, 2 },
		{ LAST, 2, 1 },
		{ UINT64_MAX - 4095, 1, 0 },
		{ FIRST, UINT32_MAX, 1 },
		{ 0, 1, 0 },
		{ UINT64_MAX, UINT32_MAX, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		struct batch b = { 0 };

		put_head(&b, 0, 1, 0, runs[i].flags & 1 ? 0 : runs[i].pages * K4);
		put_run(&b, runs[i].iova, runs[i].pages, runs[i].flags);
		check_refused(&b);
	}
}

TEST(runs_that_overlap_or_go_back_are_refused)
{
	const uint64_t pairs[][2] = { { FIRST, FIRST }, { FIRST, FIRST + K4 }, { LAST, FIRST } };

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct batch b = { 0 };

		put_head(&b, 0, 2, 0, 0);
		put_run(&b, pairs[i][0], pairs[i][0] == LAST ? 1 : 2, 1);
		put_run(&b, pairs[i][1], 1, 1);
		check_refused(&b);
	}
}

TEST(bytes_that_are_not_those_of_the_runs_are_refused)
{
	const uint64_t sums[] = { 0, K4, 3 * K4, UINT64_MAX, 2 * K4 + 1 };

	for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
		struct batch b = { 0 };

		put_head(&b, 0, 2, 0, sums[i]);
		put_run(&b, FIRST, 2, 0);
		put_run(&b, LAST, 1, 1);
		check_refused(&b);
	}
}

TEST(as_many_runs_as_are_allowed_are_taken)
{
	struct batch b = { 0 };
	struct victim v;
	struct end *end = &v.end;

	end_init(end);
	end_map(end, FIRST, 512 * K4, K4);
	end_open(end);
	v.to = go(end, VMIG_STATE_RESUMING);
	put_head(&b, 0, VMIG_LIMIT_MEMORY_RUNS, 0, 0);
	for (uint32_t i = 0; i < VMIG_LIMIT_MEMORY_RUNS; i++)
		put_run(&b, FIRST + 2 * i * K4, 2, 1);
	put_head(&b, 1, 0, 1, 0);
	ck_assert_int_eq(feed(&v, &b), 0);
	go(end, VMIG_STATE_STOP);
	victim_close(&v);
}

TEST(memory_that_has_not_come_whole_does_not_stop_well)
{
	struct batch most = { 0 }, rest = { 0 }, end = { 0 };
	struct victim v;

	put_head(&most, 0, 1, 0, 0);
	put_run(&most, FIRST, 16, 1);
	put_head(&rest, 1, 1, 0, K4);
	put_run(&rest, LAST, 1, 0);
	rest.len += K4;
	put_head(&end, 2, 0, 1, 0);

	victim_open(&v); /* nothing */
	ck_assert_int_eq(vmig_device_set_state(v.end.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), -EINVAL);
	victim_close(&v);

	victim_open(&v); /* no end */
	ck_assert_int_eq(feed(&v, &most) || feed(&v, &rest), 0);
	ck_assert_int_eq(vmig_device_set_state(v.end.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), -EINVAL);
	ck_assert_int_eq(feed(&v, &end), 0);
	go(&v.end, VMIG_STATE_STOP);
	victim_close(&v);

	victim_open(&v); /* a page too few */
	end.bytes[4] = 1;
	ck_assert_int_eq(feed(&v, &most) || feed(&v, &end), 0);
	ck_assert_int_eq(vmig_device_set_state(v.end.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), -EINVAL);
	/* And nothing may follow the end. */
	ck_assert_int_eq(feed(&v, &rest), -EBADMSG);
	victim_close(&v);
}

HARNESS("memory-pages", T(what_is_written_meanwhile_arrives_in_rounds), T(it_may_be_cut_anywhere),
	T(zero_pages_are_said_and_not_sent), T(what_has_stopped_is_lent_where_it_lies),
	T(the_user_tells_what_it_has_written_itself),
	T(where_nobody_tracks_there_are_no_rounds_and_that_is_said),
	T(the_log_is_stopped_when_the_device_leaves_the_saving_group), T(bad_regions_are_refused),
	T(a_space_gives_its_mappings_but_no_device_regions),
	T(memory_that_lies_elsewhere_is_refused_at_the_offer), T(a_bad_head_is_refused),
	T(a_run_out_of_bounds_is_refused), T(runs_that_overlap_or_go_back_are_refused),
	T(bytes_that_are_not_those_of_the_runs_are_refused), T(as_many_runs_as_are_allowed_are_taken),
	T(memory_that_has_not_come_whole_does_not_stop_well))
