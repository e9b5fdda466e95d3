/* SPDX-License-Identifier: BSD-3-Clause */
/* DIRTY_PAGES: a server of v1 times that answers wrongly, and one that does not know it. */
#include "harness.h"

#include <errno.h>
#include <string.h>

#include "peer.h"

#define DIRTY_PAGES 14u
#define PAGE        4096ull
#define IOVA        0x100000ull

/* What comes instead of a bitmap of 8 pages: the right one, with one thing changed. */
static const struct wrong {
	const char *name;
	size_t at;      /* of the u32 that is changed; */
	uint32_t value; /* to this */
	size_t len;     /* and the reply's length; 48 is right */
	int code;
} wrongs[] = {
	{ "right", 4, 4, 48, 0 },
	{ "another operation", 4, 1, 48, -EPROTO },
	{ "another address", 8, 0, 48, -EPROTO },
	{ "another length", 16, 4096, 48, -EPROTO },
	{ "another page size", 24, 8192, 48, -EPROTO },
	{ "another bitmap's length", 32, 16, 48, -EPROTO },
	{ "a length beyond all", 36, 0xffffffff, 48, -EPROTO },
	{ "a short bitmap", 4, 4, 47, -EPROTO },
	{ "no bitmap", 4, 4, 40, -EPROTO },
	{ "the head only", 4, 4, 8, -EPROTO },
	{ "nothing", 4, 4, 0, -EPROTO },
	{ "more than was asked for", 4, 4, 56, -EPROTO },
};

/* A region with a capability of type; @p->opaque is what to answer with. */
static void answer_region(struct peer *p, const struct peer_msg *m)
{
	uint8_t body[48] = { 0 };

	peer_put32(body, sizeof(body));
	peer_put32(body + 4, 3 | 8);
	memcpy(body + 8, m->body + 8, 4);
	peer_put32(body + 12, 32);
	peer_put64(body + 16, 4096);
	peer_put32(body + 32, 2 | 1 << 16); /* type, version 1 */
	peer_put32(body + 40, 3);
	peer_put32(body + 44, 1);
	peer_reply(p, m, body, sizeof(body));
}

static void answer_bitmap(struct peer *p, const struct peer_msg *m, const struct wrong *w)
{
	uint8_t body[64] = { 0 };

	memcpy(body, m->body, 40);
	peer_put64(body + 40, 0x81);
	peer_put32(body + w->at, w->value);
	peer_reply(p, m, body, w->len);
}

static bool hook(struct peer *p, struct peer_msg *m)
{
	const struct wrong *w = p->opaque;

	if (m->command == PEER_REGION_INFO) {
		answer_region(p, m);
		return true;
	}
	if (m->command != DIRTY_PAGES)
		return false;
	if (!w)
		peer_error(p, m, EINVAL);
	else if (m->body[4] == 4)
		answer_bitmap(p, m, w);
	else
		peer_reply(p, m, NULL, 0);
	return true;
}

static struct vmig_device *open_peer(struct peer *p, const struct wrong *w)
{
	peer_init(p);
	p->hook = hook;
	p->opaque = (void *)(uintptr_t)w;
	return peer_open(p, NULL);
}

TEST(wrong_bitmaps_end_the_connection)
{
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		static uint8_t memory[8 * PAGE] __attribute__((aligned(4096)));
		const struct vmig_dma map = {
			.iova = IOVA, .size = sizeof(memory), .prot = 3, .fd = -1, .vaddr = memory
		};
		uint64_t page_size = PAGE, bits = 0;
		const struct vmig_range range = { IOVA, sizeof(memory) };
		struct vmig_device *dev;
		struct peer p;
		int r;

		dev = open_peer(&p, &wrongs[i]);
		ck_assert_int_eq(vmig_device_map_dma(dev, &map), 0);
		ck_assert_int_eq(vmig_device_dma_log_start(dev, &page_size, &range, 1), 0);
		r = vmig_device_dma_log_report(dev, IOVA, sizeof(memory), PAGE, &bits);
		ck_assert_msg(r == wrongs[i].code, "%s: %d", wrongs[i].name, r);
		ck_assert_uint_eq(bits, r ? 0 : 0x81);
		vmig_device_close(dev);
		peer_stop(&p);
	}
}

TEST(a_server_that_refuses_it_has_no_log)
{
	struct vmig_device_info info;
	struct vmig_device *dev;
	uint64_t page_size = PAGE;
	struct peer p;

	dev = open_peer(&p, NULL);
	vmig_device_query_info(dev, &info);
	ck_assert_uint_eq(info.has, 0);
	ck_assert_int_eq(vmig_device_dma_log_start(dev, &page_size, &(const struct vmig_range){ 0, PAGE }, 1),
			 -EOPNOTSUPP);
	vmig_device_close(dev);
	peer_stop(&p);
	/* One START: it is not asked again. */
	ck_assert_uint_eq(p.seen[DIRTY_PAGES], 1);
}

/* Of a device of today nobody asks it. */
TEST(without_a_migration_region_it_is_not_asked)
{
	struct vmig_device *dev;
	struct peer p;

	peer_init(&p);
	dev = peer_open(&p, NULL);
	vmig_device_close(dev);
	peer_stop(&p);
	ck_assert_uint_eq(p.seen[DIRTY_PAGES], 0);
	peer_init(&p);
	p.hook = hook;
	p.opaque = (void *)(uintptr_t)&wrongs[0];
	p.migration_flags = 1; /* by v2, region or not */
	dev = peer_open(&p, NULL);
	vmig_device_close(dev);
	peer_stop(&p);
	ck_assert_uint_eq(p.seen[DIRTY_PAGES], 0);
}

HARNESS("client-dirty", T(wrong_bitmaps_end_the_connection), T(a_server_that_refuses_it_has_no_log),
	T(without_a_migration_region_it_is_not_asked))
