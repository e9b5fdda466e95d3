/* SPDX-License-Identifier: BSD-3-Clause */
/* GET_INFO, regions, ioeventfds, interrupts, RESET. */
#include "harness.h"
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int get_info(struct peer *p, uint32_t argsz)
{
	struct bytes b = { 0 };

	put32(&b, argsz);
	put32(&b, 0);
	put64(&b, 0);
	return peer_call(p, C_GET_INFO, &b);
}

TEST(get_info)
{
	struct rig rig;

	rig_start(&rig, NULL);
	ck_assert_int_eq(get_info(&rig.peer, 16), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 16);
	ck_assert_uint_eq(peer_u32(&rig.peer, 0), 16);
	ck_assert_uint_eq(peer_u32(&rig.peer, 4), 3); /* RESET, PCI */
	ck_assert_uint_eq(peer_u32(&rig.peer, 8), TOY_N_REGIONS);
	ck_assert_uint_eq(peer_u32(&rig.peer, 12), TOY_N_IRQS);
	ck_assert_int_eq(get_info(&rig.peer, 15), -EINVAL);
	ck_assert_int_eq(get_info(&rig.peer, 4096), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* --- region info -------------------------------------------------------------------------------- */

static int region_info(struct peer *p, uint32_t argsz, uint32_t index)
{
	struct bytes b = { 0 };

	put32(&b, argsz);
	put32(&b, 0);
	put32(&b, index);
	put32(&b, 0);
	put64(&b, 0);
	put64(&b, 0);
	return peer_call(p, C_REGION_INFO, &b);
}

TEST(a_trapped_region)
{
	struct rig rig;

	rig_start(&rig, NULL);
	ck_assert_int_eq(region_info(&rig.peer, 32, TOY_REGISTERS), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 32);
	ck_assert_uint_eq(peer_u32(&rig.peer, 0), 32);
	ck_assert_uint_eq(peer_u32(&rig.peer, 4), 3);
	ck_assert_uint_eq(peer_u32(&rig.peer, 8), TOY_REGISTERS);
	ck_assert_uint_eq(peer_u32(&rig.peer, 12), 0);
	ck_assert_uint_eq(peer_u64(&rig.peer, 16), TOY_REGISTERS_SIZE);
	ck_assert_int_eq(rig.peer.in.n_fds, 0);
	ck_assert_int_eq(region_info(&rig.peer, 31, TOY_REGISTERS), -EINVAL);
	ck_assert_int_eq(region_info(&rig.peer, 32, TOY_N_REGIONS - 1), 0);
	ck_assert_uint_eq(peer_u64(&rig.peer, 16), 0);
	ck_assert_int_eq(region_info(&rig.peer, 32, TOY_N_REGIONS), -EINVAL);
	ck_assert_int_eq(region_info(&rig.peer, 32, UINT32_MAX), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* Fixed part, sparse capability with two areas: 32 + 16 + 2 * 16. */
TEST(sparse_areas_and_their_descriptor)
{
	struct rig rig;
	uint8_t *mem;

	rig_start(&rig, NULL);
	/* Too little room: only the fixed part, and how much it takes. An unmodified QEMU wants the offset set. */
	ck_assert_int_eq(region_info(&rig.peer, 79, TOY_MAPPED), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 32);
	ck_assert_uint_eq(peer_u32(&rig.peer, 0), 80);
	ck_assert_uint_eq(peer_u32(&rig.peer, 4), 0xf);
	ck_assert_uint_eq(peer_u32(&rig.peer, 12), 32);
	ck_assert_int_eq(rig.peer.in.n_fds, 0);
	ck_assert_int_eq(region_info(&rig.peer, 80, TOY_MAPPED), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 80);
	ck_assert_uint_eq(peer_u32(&rig.peer, 12), 32);
	ck_assert_uint_eq(peer_u64(&rig.peer, 24), TOY_MAPPED_SIZE); /* where it is in the descriptor */
	ck_assert_uint_eq(peer_u32(&rig.peer, 32), 1 | 1 << 16);
	ck_assert_uint_eq(peer_u32(&rig.peer, 36), 0);
	ck_assert_uint_eq(peer_u32(&rig.peer, 40), 2);
	ck_assert_uint_eq(peer_u64(&rig.peer, 48), 0);
	ck_assert_uint_eq(peer_u64(&rig.peer, 56), 4096);
	ck_assert_uint_eq(peer_u64(&rig.peer, 64), 8192);
	ck_assert_int_eq(rig.peer.in.n_fds, 1);
	mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, rig.peer.in.fds[0], TOY_MAPPED_SIZE);
	ck_assert_ptr_ne(mem, MAP_FAILED);
	munmap(mem, 4096);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(a_type_capability)
{
	struct rig rig;

	rig_start(&rig, NULL);
	ck_assert_int_eq(region_info(&rig.peer, 4096, TOY_TYPED), 0);
	ck_assert_uint_eq(peer_u32(&rig.peer, 0), 48);
	ck_assert_uint_eq(peer_u32(&rig.peer, 32), 2 | 1 << 16);
	ck_assert_uint_eq(peer_u32(&rig.peer, 40), TOY_TYPE);
	ck_assert_uint_eq(peer_u32(&rig.peer, 44), TOY_SUBTYPE);
	ck_assert_int_eq(rig.peer.in.n_fds, 1);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(a_client_that_takes_no_descriptors_gets_none)
{
	struct rig rig;

	rig_make(&rig, NULL, NULL);
	rig_attach(&rig);
	ck_assert_int_eq(peer_hello(&rig.peer, "{\"capabilities\":{\"max_msg_fds\":0}}"), 0);
	ck_assert_int_eq(region_info(&rig.peer, 4096, TOY_TYPED), 0);
	ck_assert_int_eq(rig.peer.in.n_fds, 0);
	ck_assert(!(peer_u32(&rig.peer, 4) & 4)); /* then it cannot be mapped */
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* --- region data -------------------------------------------------------------------------------- */

TEST(read_and_write)
{
	/* Around the sizes of the buffers on the way. */
	static const uint32_t lengths[] = { 0,     1,     2,      3,       4,      8,     63,
					    64,    65,    496,    497,     4096,   65519, 65520,
					    65521, 65536, 300000, 1048575, 1048576 };
	static uint8_t out[1 << 20], in[1 << 20];
	struct rig rig;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 251);
	rig_start(&rig, NULL);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint32_t len = lengths[i];

		memset(in, 0, len);
		ck_assert_int_eq(peer_region_write(&rig.peer, TOY_BUFFER, 5, out, len), 0);
		ck_assert_int_eq(peer_region_read(&rig.peer, TOY_BUFFER, 5, in, len), 0);
		ck_assert_mem_eq(in, out, len);
	}
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(access_out_of_bounds)
{
	struct rig rig;
	uint8_t b[65];

	rig_start(&rig, NULL);
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_READ_ONLY, 0, b, 64), 0);
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_READ_ONLY, 0, b, 65), -EINVAL);
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_READ_ONLY, 63, b, 1), 0);
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_READ_ONLY, 64, b, 1), -EINVAL);
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_READ_ONLY, UINT64_MAX, b, 2), -EINVAL);
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_N_REGIONS, 0, b, 1), -EINVAL);
	ck_assert_int_eq(peer_region_read(&rig.peer, UINT32_MAX, 0, b, 1), -EINVAL);
	ck_assert_int_eq(peer_region_read(&rig.peer, 5, 0, b, 1), -EINVAL);
	ck_assert_int_eq(peer_region_write(&rig.peer, TOY_READ_ONLY, 0, b, 1), -EINVAL);
	ck_assert_int_eq(peer_region_write(&rig.peer, TOY_REGISTERS, TOY_REGISTERS_SIZE - 1, b, 2), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

static int write_with_count(struct peer *p, uint32_t count, uint32_t len)
{
	struct bytes b = { 0 };

	put64(&b, 0);
	put32(&b, TOY_BUFFER);
	put32(&b, count);
	for (uint32_t i = 0; i < len; i++)
		put(&b, "x", 1);
	return peer_call(p, C_REGION_WRITE, &b);
}

TEST(a_count_that_is_not_the_data)
{
	struct rig rig;

	rig_start(&rig, NULL);
	ck_assert_int_eq(write_with_count(&rig.peer, 8, 7), -EINVAL);
	ck_assert_int_eq(write_with_count(&rig.peer, 8, 9), -EINVAL);
	ck_assert_int_eq(write_with_count(&rig.peer, UINT32_MAX, 9), -E2BIG);
	ck_assert_int_eq(write_with_count(&rig.peer, 8, 8), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

static void put_one(struct bytes *b, uint64_t offset, uint32_t region, uint32_t count, uint64_t data)
{
	put64(b, offset);
	put32(b, region);
	put32(b, count);
	put64(b, data);
}

TEST(write_multi)
{
	struct bytes b = { 0 };
	struct rig rig;
	uint64_t v;

	rig_start(&rig, NULL);
	put64(&b, 3);
	put_one(&b, 0x100, TOY_REGISTERS, 8, 0x1122334455667788);
	put_one(&b, 0x104, TOY_REGISTERS, 2, 0xaabb);
	put_one(&b, TOY_REG_SCRATCH, TOY_REGISTERS, 8, 77);
	ck_assert_int_eq(peer_call(&rig.peer, C_WRITE_MULTI, &b), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 8);
	ck_assert_uint_eq(peer_u64(&rig.peer, 0), 3);
	ck_assert_uint_eq(peer_register(&rig.peer, 0x100), 0x1122aabb55667788);
	ck_assert_uint_eq(peer_register(&rig.peer, TOY_REG_SCRATCH), 77);
	/* The second one fails: the first is done, the third is not. */
	put64(&b, 3);
	put_one(&b, 0x100, TOY_REGISTERS, 8, 1);
	put_one(&b, 0, TOY_READ_ONLY, 1, 0);
	put_one(&b, 0x108, TOY_REGISTERS, 8, 2);
	ck_assert_int_eq(peer_call(&rig.peer, C_WRITE_MULTI, &b), 0);
	ck_assert_uint_eq(peer_u64(&rig.peer, 0), 1);
	ck_assert_uint_eq(peer_register(&rig.peer, 0x108), 0);
	put64(&b, 1);
	put_one(&b, 0, TOY_READ_ONLY, 1, 0);
	ck_assert_int_eq(peer_call(&rig.peer, C_WRITE_MULTI, &b), -EINVAL);
	/* One that could not be: then none is done. */
	put64(&b, 2);
	put_one(&b, 0x100, TOY_REGISTERS, 8, 99);
	put_one(&b, 0x100, TOY_REGISTERS, 9, 99);
	ck_assert_int_eq(peer_call(&rig.peer, C_WRITE_MULTI, &b), -EINVAL);
	v = peer_register(&rig.peer, 0x100);
	ck_assert_uint_eq(v, 1);
	put64(&b, 2);
	put_one(&b, 0x100, TOY_REGISTERS, 8, 99);
	ck_assert_int_eq(peer_call(&rig.peer, C_WRITE_MULTI, &b), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* --- ioeventfds ----------------------------------------------------------------------------------- */

static int io_fds(struct peer *p, uint32_t argsz, uint32_t flags, uint32_t index, uint32_t count)
{
	struct bytes b = { 0 };

	put32(&b, argsz);
	put32(&b, flags);
	put32(&b, index);
	put32(&b, count);
	return peer_call(p, C_IO_FDS, &b);
}

TEST(ioeventfds)
{
	struct rig rig;
	eventfd_t v;

	rig_start(&rig, NULL);
	ck_assert_int_eq(io_fds(&rig.peer, 16 + 40 * TOY_N_DOORBELLS - 1, 0, TOY_REGISTERS, 0), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 16);
	ck_assert_uint_eq(peer_u32(&rig.peer, 0), 16 + 40 * TOY_N_DOORBELLS);
	ck_assert_int_eq(rig.peer.in.n_fds, 0);
	ck_assert_int_eq(io_fds(&rig.peer, 4096, 0, TOY_REGISTERS, 0), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 16 + 40 * TOY_N_DOORBELLS);
	ck_assert_uint_eq(peer_u32(&rig.peer, 12), TOY_N_DOORBELLS);
	ck_assert_int_eq(rig.peer.in.n_fds, TOY_N_DOORBELLS);
	ck_assert_uint_eq(peer_u64(&rig.peer, 16 + 40), TOY_DOORBELL + 4);
	ck_assert_uint_eq(peer_u64(&rig.peer, 16 + 40 + 8), 4);
	ck_assert_uint_eq(peer_u32(&rig.peer, 16 + 40 + 16), 1);
	ck_assert_uint_eq(peer_u64(&rig.peer, 16 + 40 + 32), 1);
	ck_assert_int_eq(eventfd_write(rig.peer.in.fds[1], 5), 0);
	ck_assert_int_eq(eventfd_read(toy_doorbell(rig.toy, 1), &v), 0);
	ck_assert_uint_eq(v, 5);
	ck_assert_int_eq(io_fds(&rig.peer, 4096, 0, TOY_BUFFER, 0), 0);
	ck_assert_uint_eq(peer_u32(&rig.peer, 12), 0);
	ck_assert_int_eq(io_fds(&rig.peer, 15, 0, TOY_REGISTERS, 0), -EINVAL);
	ck_assert_int_eq(io_fds(&rig.peer, 4096, 1, TOY_REGISTERS, 0), -EINVAL);
	ck_assert_int_eq(io_fds(&rig.peer, 4096, 0, TOY_REGISTERS, 1), -EINVAL);
	ck_assert_int_eq(io_fds(&rig.peer, 4096, 0, TOY_N_REGIONS, 0), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* The default is one descriptor in a message: the others are left out, and trapped instead. */
TEST(no_more_ioeventfds_than_the_client_takes)
{
	struct rig rig;

	rig_make(&rig, NULL, NULL);
	rig_attach(&rig);
	ck_assert_int_eq(peer_hello(&rig.peer, "{}"), 0);
	ck_assert_int_eq(io_fds(&rig.peer, 4096, 0, TOY_REGISTERS, 0), 0);
	ck_assert_uint_eq(peer_u32(&rig.peer, 12), 1);
	ck_assert_int_eq(rig.peer.in.n_fds, 1);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* --- interrupts ------------------------------------------------------------------------------------ */

static int irq_info(struct peer *p, uint32_t argsz, uint32_t index)
{
	struct bytes b = { 0 };

	put32(&b, argsz);
	put32(&b, 0);
	put32(&b, index);
	put32(&b, 0);
	return peer_call(p, C_IRQ_INFO, &b);
}

TEST(get_irq_info)
{
	struct rig rig;

	rig_start(&rig, NULL);
	ck_assert_int_eq(irq_info(&rig.peer, 16, 2), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 16);
	ck_assert_uint_eq(peer_u32(&rig.peer, 4), 9);
	ck_assert_uint_eq(peer_u32(&rig.peer, 8), 2);
	ck_assert_uint_eq(peer_u32(&rig.peer, 12), TOY_N_MSIX);
	ck_assert_int_eq(irq_info(&rig.peer, 15, 2), -EINVAL);
	ck_assert_int_eq(irq_info(&rig.peer, 16, TOY_N_IRQS), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

static void make_eventfds(int *fds, int n)
{
	for (int i = 0; i < n; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ck_assert_int_ge(fds[i], 0);
	}
}

static void close_all(int *fds, int n)
{
	for (int i = 0; i < n; i++)
		close(fds[i]);
}

static bool raised(struct peer *p, uint64_t index, uint32_t sub, int fd)
{
	eventfd_t v;

	ck_assert_int_eq(peer_set_register(p, TOY_REG_RAISE, index << 32 | sub), 0);
	return !eventfd_read(fd, &v);
}

#define EVENTFD_TRIGGER 0x24u

TEST(interrupts_are_armed_raised_and_disarmed)
{
	struct rig rig;
	int fds[16];

	make_eventfds(fds, 16);
	rig_start(&rig, NULL);
	ck_assert_int_eq(peer_set_irqs(&rig.peer, EVENTFD_TRIGGER, 2, 0, 16, fds, 16), 0);
	ck_assert(raised(&rig.peer, 2, 0, fds[0]));
	ck_assert(raised(&rig.peer, 2, 15, fds[15]));
	/* A second message for those that do not fit the first. */
	ck_assert_int_eq(peer_set_irqs(&rig.peer, EVENTFD_TRIGGER, 2, 16, 2, fds + 3, 2), 0);
	ck_assert(raised(&rig.peer, 2, 17, fds[4]));
	/* No descriptors: de-assigned. */
	ck_assert_int_eq(peer_set_irqs(&rig.peer, EVENTFD_TRIGGER, 2, 0, 1, NULL, 0), 0);
	ck_assert(!raised(&rig.peer, 2, 0, fds[0]));
	ck_assert(raised(&rig.peer, 2, 1, fds[1]));
	/* NONE | TRIGGER of nothing: all of the index. */
	ck_assert_int_eq(peer_set_irqs(&rig.peer, 0x21, 2, 0, 0, NULL, 0), 0);
	ck_assert(!raised(&rig.peer, 2, 1, fds[1]));
	ck_assert_int_eq(rig_end(&rig), 0);
	close_all(fds, 16);
}

TEST(bad_set_irqs)
{
	struct rig rig;
	int fds[17];

	make_eventfds(fds, 17);
	rig_start(&rig, NULL);
	ck_assert_int_eq(peer_set_irqs(&rig.peer, EVENTFD_TRIGGER, 2, 0, 2, fds, 1), -EINVAL);
	ck_assert_int_eq(peer_set_irqs(&rig.peer, EVENTFD_TRIGGER, 2, 0, 1, fds, 2), -EINVAL);
	ck_assert_int_eq(peer_set_irqs(&rig.peer, EVENTFD_TRIGGER, 2, 0, 17, fds, 17), -EINVAL);
	ck_assert_int_eq(peer_set_irqs(&rig.peer, EVENTFD_TRIGGER, 2, TOY_N_MSIX - 1, 2, fds, 2), -EINVAL);
	ck_assert_int_eq(peer_set_irqs(&rig.peer, EVENTFD_TRIGGER, 2, UINT32_MAX, 2, fds, 2), -E2BIG);
	ck_assert_int_eq(peer_set_irqs(&rig.peer, EVENTFD_TRIGGER, TOY_N_IRQS, 0, 1, fds, 1), -EINVAL);
	ck_assert_int_eq(peer_set_irqs(&rig.peer, 0x27, 2, 0, 1, fds, 1), -EINVAL); /* three kinds of data */
	ck_assert_int_eq(peer_set_irqs(&rig.peer, 0x4, 2, 0, 1, fds, 1), -EINVAL);  /* no action */
	ck_assert_int_eq(peer_set_irqs(&rig.peer, 0x64, 2, 0, 1, fds, 1), -EINVAL); /* an unknown one */
	ck_assert_int_eq(peer_set_irqs(&rig.peer, 0x22, 2, 0, 2, NULL, 0),
			 -EINVAL); /* bools, but none there */
	ck_assert_int_eq(peer_set_irqs(&rig.peer, 0x21, 2, 0, 0, fds, 1),
			 -EINVAL); /* descriptors, but none wanted */
	ck_assert_int_eq(rig_end(&rig), 0);
	close_all(fds, 17);
}

TEST(trigger_by_the_client)
{
	struct bytes b = { 0 };
	struct rig rig;
	eventfd_t v;
	int fds[2];

	make_eventfds(fds, 2);
	rig_start(&rig, NULL);
	ck_assert_int_eq(peer_set_irqs(&rig.peer, EVENTFD_TRIGGER, 1, 0, 2, fds, 2), 0);
	put32(&b, 22);
	put32(&b, 0x22); /* BOOL | TRIGGER */
	put32(&b, 1);
	put32(&b, 0);
	put32(&b, 2);
	put16(&b, 0x0100);
	ck_assert_int_eq(peer_call(&rig.peer, C_SET_IRQS, &b), 0);
	ck_assert_int_ne(eventfd_read(fds[0], &v), 0);
	ck_assert_int_eq(eventfd_read(fds[1], &v), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
	close_all(fds, 2);
}

/* --- reset ------------------------------------------------------------------------------------------ */

TEST(reset_disarms_and_runs)
{
	struct rig rig;
	int fd;

	make_eventfds(&fd, 1);
	rig_start(&rig, NULL);
	ck_assert_int_eq(peer_set_irqs(&rig.peer, EVENTFD_TRIGGER, 1, 0, 1, &fd, 1), 0);
	ck_assert_int_eq(peer_set_register(&rig.peer, TOY_REG_SCRATCH, 7), 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_STOP), 0);
	ck_assert_int_eq(peer_call(&rig.peer, C_RESET, NULL), 0);
	ck_assert_uint_eq(rig.peer.in.size, 16);
	ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_RUNNING);
	ck_assert_uint_eq(peer_register(&rig.peer, TOY_REG_SCRATCH), 0);
	ck_assert(!raised(&rig.peer, 1, 0, fd));
	ck_assert_int_eq(rig_end(&rig), 0);
	close(fd);
}

TEST(no_reset)
{
	struct toy_config none = { .no_reset = true };
	struct rig rig;

	rig_start(&rig, &none);
	ck_assert_int_eq(get_info(&rig.peer, 16), 0);
	ck_assert_uint_eq(peer_u32(&rig.peer, 4), 2);
	ck_assert_int_eq(peer_call(&rig.peer, C_RESET, NULL), -EOPNOTSUPP);
	ck_assert_int_eq(rig_end(&rig), 0);
}

HARNESS("server-regions", T(get_info), T(a_trapped_region), T(sparse_areas_and_their_descriptor),
	T(a_type_capability), T(a_client_that_takes_no_descriptors_gets_none), T(read_and_write),
	T(access_out_of_bounds), T(a_count_that_is_not_the_data), T(write_multi), T(ioeventfds),
	T(no_more_ioeventfds_than_the_client_takes), T(get_irq_info),
	T(interrupts_are_armed_raised_and_disarmed), T(bad_set_irqs), T(trigger_by_the_client),
	T(reset_disarms_and_runs), T(no_reset))
