/* SPDX-License-Identifier: BSD-3-Clause */
/* DIRTY_PAGES: only with a device that is shown by v1, and only as it is written. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "peer.h"

#define PAGE 4096ull
#define IOVA 0x100000000ull

enum { START = 1, STOP = 2, GET_BITMAP = 4 };

static int dirty(struct peer *p, uint32_t argsz, uint32_t flags)
{
	struct bytes b = { 0 };

	put32(&b, argsz);
	put32(&b, flags);
	return peer_call(p, C_DIRTY_PAGES, &b);
}

static int get(struct peer *p, uint32_t argsz, uint64_t iova, uint64_t length, uint64_t page_size,
	       uint64_t len)
{
	struct bytes b = { 0 };

	put32(&b, argsz);
	put32(&b, GET_BITMAP);
	put64(&b, iova);
	put64(&b, length);
	put64(&b, page_size);
	put64(&b, len);
	return peer_call(p, C_DIRTY_PAGES, &b);
}

static void map(struct rig *rig, uint64_t iova, uint64_t size)
{
	uint8_t *mem;
	int fd = shared_memory(size, &mem);

	ck_assert_int_eq(peer_map(&rig->peer, 3, iova, size, fd, 0), 0);
	munmap(mem, size);
	close(fd);
}

static void device_writes(struct peer *p, uint64_t iova, uint64_t len)
{
	ck_assert_int_eq(peer_set_register(p, TOY_REG_ADDRESS, iova), 0);
	ck_assert_int_eq(peer_set_register(p, TOY_REG_LENGTH, len), 0);
	ck_assert_int_eq(peer_set_register(p, TOY_REG_COMMAND, TOY_COMMAND_WRITE), 0);
	ck_assert_uint_eq(peer_register(p, TOY_REG_STATUS), 0);
}

TEST(what_the_device_writes_is_in_the_bitmap_once)
{
	struct rig rig;

	rig_start_v1(&rig, NULL);
	map(&rig, IOVA, 128 * PAGE);
	ck_assert_int_eq(dirty(&rig.peer, 8, START), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 0);
	device_writes(&rig.peer, IOVA + 3 * PAGE + 10, 1);
	device_writes(&rig.peer, IOVA + 64 * PAGE - 1, 2);
	ck_assert_int_eq(get(&rig.peer, 56, IOVA, 128 * PAGE, PAGE, 16), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 56);
	ck_assert_uint_eq(peer_u32(&rig.peer, 0), 56);
	ck_assert_uint_eq(peer_u32(&rig.peer, 4), GET_BITMAP);
	ck_assert_uint_eq(peer_u64(&rig.peer, 8), IOVA);
	ck_assert_uint_eq(peer_u64(&rig.peer, 32), 16);
	ck_assert_uint_eq(peer_u64(&rig.peer, 40), 1ull << 63 | 1 << 3);
	ck_assert_uint_eq(peer_u64(&rig.peer, 48), 1);
	ck_assert_int_eq(get(&rig.peer, 56, IOVA, 128 * PAGE, PAGE, 16), 0);
	ck_assert_uint_eq(peer_u64(&rig.peer, 40) | peer_u64(&rig.peer, 48), 0);
	/* What is mapped later is logged too. */
	map(&rig, 2 * IOVA, PAGE);
	device_writes(&rig.peer, 2 * IOVA, 1);
	ck_assert_int_eq(get(&rig.peer, 48, 2 * IOVA, PAGE, PAGE, 8), 0);
	ck_assert_uint_eq(peer_u64(&rig.peer, 40), 1);
	ck_assert_int_eq(dirty(&rig.peer, 8, STOP), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* As of the kernel: START and STOP say what is to be, not what is to change. */
TEST(started_and_stopped_twice)
{
	struct rig rig;

	rig_start_v1(&rig, NULL);
	map(&rig, IOVA, PAGE);
	ck_assert_int_eq(dirty(&rig.peer, 8, STOP), 0);
	ck_assert_int_eq(get(&rig.peer, 48, IOVA, PAGE, PAGE, 8), -EINVAL);
	ck_assert_int_eq(dirty(&rig.peer, 8, START), 0);
	device_writes(&rig.peer, IOVA, 1);
	ck_assert_int_eq(dirty(&rig.peer, 8, START), 0);
	ck_assert_int_eq(get(&rig.peer, 48, IOVA, PAGE, PAGE, 8), 0);
	ck_assert_uint_eq(peer_u64(&rig.peer, 40), 1);
	ck_assert_int_eq(dirty(&rig.peer, 8, STOP), 0);
	ck_assert_int_eq(dirty(&rig.peer, 8, STOP), 0);
	ck_assert_int_eq(get(&rig.peer, 48, IOVA, PAGE, PAGE, 8), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* Then only the head comes, with how much there has to be; and nothing was cleared. */
TEST(a_reply_without_room)
{
	struct rig rig;

	rig_start_v1(&rig, NULL);
	map(&rig, IOVA, PAGE);
	ck_assert_int_eq(dirty(&rig.peer, 8, START), 0);
	device_writes(&rig.peer, IOVA, 1);
	ck_assert_int_eq(get(&rig.peer, 47, IOVA, PAGE, PAGE, 8), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 8);
	ck_assert_uint_eq(peer_u32(&rig.peer, 0), 48);
	ck_assert_int_eq(get(&rig.peer, 48, IOVA, PAGE, PAGE, 8), 0);
	ck_assert_uint_eq(peer_u64(&rig.peer, 40), 1);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(bad_requests)
{
	struct bytes none = { 0 }, half = { 0 };
	struct rig rig;

	rig_start_v1(&rig, NULL);
	map(&rig, IOVA, PAGE);
	ck_assert_int_eq(dirty(&rig.peer, 8, START), 0);
	for (uint32_t flags = 0; flags < 16; flags++)
		if (flags != START && flags != STOP)
			ck_assert_int_eq(dirty(&rig.peer, 8, flags), -EINVAL);
	ck_assert_int_eq(dirty(&rig.peer, 7, START), -EINVAL);
	ck_assert_int_eq(peer_call(&rig.peer, C_DIRTY_PAGES, &none), -EINVAL);
	put32(&half, 8);
	ck_assert_int_eq(peer_call(&rig.peer, C_DIRTY_PAGES, &half), -EINVAL);
	ck_assert_int_eq(get(&rig.peer, 48, IOVA, PAGE, PAGE, 16), -EINVAL);
	ck_assert_int_eq(get(&rig.peer, UINT32_MAX, IOVA, PAGE, PAGE, UINT64_MAX), -EINVAL);
	ck_assert_int_eq(get(&rig.peer, UINT32_MAX, 0, UINT64_MAX, 1, 1ull << 61), -E2BIG);
	ck_assert_int_eq(get(&rig.peer, 48, UINT64_MAX, 2, PAGE, 8), -EINVAL);
	ck_assert_int_eq(get(&rig.peer, 48, IOVA, 0, PAGE, 0), -EINVAL);
	ck_assert_int_eq(get(&rig.peer, 48, IOVA, PAGE, 3000, 8), -EINVAL);
	ck_assert_int_eq(get(&rig.peer, 48, IOVA, PAGE, PAGE, 8), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(a_device_of_today_does_not_know_it)
{
	struct rig rig;

	rig_start(&rig, NULL);
	ck_assert_int_eq(dirty(&rig.peer, 8, START), -ENOSYS);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(a_v1_device_without_a_log_has_none)
{
	struct toy_config toy = { .no_log = true };
	struct rig rig;

	rig_start_v1(&rig, &toy);
	ck_assert_int_eq(dirty(&rig.peer, 8, START), -EOPNOTSUPP);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* The log of a client that goes ends with it. */
TEST(the_next_client_starts_anew)
{
	struct rig rig;

	rig_start_v1(&rig, NULL);
	ck_assert_int_eq(dirty(&rig.peer, 8, START), 0);
	ck_assert_int_eq(rig_detach(&rig), 0);
	rig_attach(&rig);
	ck_assert_int_eq(peer_hello(&rig.peer, HELLO), 0);
	map(&rig, IOVA, PAGE);
	ck_assert_int_eq(get(&rig.peer, 48, IOVA, PAGE, PAGE, 8), -EINVAL);
	ck_assert_int_eq(dirty(&rig.peer, 8, START), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

HARNESS("server-dirty", T(what_the_device_writes_is_in_the_bitmap_once), T(started_and_stopped_twice),
	T(a_reply_without_room), T(bad_requests), T(a_device_of_today_does_not_know_it),
	T(a_v1_device_without_a_log_has_none), T(the_next_client_starts_anew))
