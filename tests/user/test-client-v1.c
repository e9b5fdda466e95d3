/* SPDX-License-Identifier: BSD-3-Clause */
/* A device shown through a migration region, and used through it, with a vfio-user socket in between. */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmig/server.h>
#include <vmig/user.h>

#include "common/toy.h"
#include "common/v1.h"

#define STATE_SIZE (300u << 10)

struct end {
	struct toy *toy;
	struct v1 shown, v; /* at the server, at the client */
	struct vmig_server_config config;
	int fd;
	pthread_t thread;
};

static void *serve(void *opaque)
{
	struct end *e = opaque;

	vmig_server_serve(e->shown.dev, &e->config, e->fd);
	return NULL;
}

/** @plain: as a server that knows only what is in the vfio-user text. */
static void setup(struct end *e, enum vmig_v1_section section, uint64_t size, bool plain)
{
	const struct toy_config toy = { .state_size = STATE_SIZE };
	const struct vmig_v1_config config = { .section = section, .section_size = size };
	struct vmig_vfio_user_config client = { .timeout_ms = 10000 };
	struct vmig_device *dev;
	struct vmig_error error;
	int pair[2], r;

	*e = (struct end){ .config.plain = plain };
	e->toy = toy_new(&toy, &dev);
	ck_assert_int_eq(vmig_show_v1(dev, &config, &e->shown.dev), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	e->fd = pair[0];
	ck_assert_int_eq(pthread_create(&e->thread, NULL, serve, e), 0);
	r = vmig_open_vfio_user_fd(pair[1], &client, &dev, &error);
	ck_assert_msg(!r, "open: %d: %s: %s", r, error.where, error.text);
	v1_open(&e->v, dev);
}

static void teardown(struct end *e)
{
	v1_close(&e->v);
	pthread_join(e->thread, NULL);
	vmig_device_close(e->shown.dev);
}

TEST(the_regions_type_areas_and_file_cross)
{
	for (int section = 0; section <= VMIG_V1_SECTION_PARTITIONED; section++) {
		struct vmig_device_info info;
		struct vmig_region at_server;
		struct end e;

		setup(&e, section, 64 << 10, section == VMIG_V1_SECTION_MAPPED);
		vmig_device_query_info(e.v.dev, &info);
		ck_assert_uint_eq(info.migration_flags, 0);
		ck_assert_uint_eq(info.n_regions, TOY_N_REGIONS + 1);
		ck_assert_uint_eq(e.v.region.index, TOY_N_REGIONS);
		ck_assert_int_eq(vmig_device_query_region(e.shown.dev, TOY_N_REGIONS, &at_server), 0);
		ck_assert_uint_eq(e.v.region.cap_type, 3);
		ck_assert_uint_eq(e.v.region.cap_subtype, 1);
		ck_assert_uint_eq(e.v.region.flags, at_server.flags);
		ck_assert_uint_eq(e.v.region.size, at_server.size);
		ck_assert_uint_eq(e.v.region.fd_offset, at_server.fd_offset);
		ck_assert_uint_eq(e.v.region.n_areas, at_server.n_areas);
		ck_assert_mem_eq(e.v.region.areas, at_server.areas,
				 at_server.n_areas * sizeof(struct vmig_area));
		teardown(&e);
	}
}

static void scramble(struct toy *toy)
{
	for (size_t i = 0; i < toy_state_size(toy); i++)
		toy_state(toy)[i] = (uint8_t)(i * 11 + i / 256 + 1);
}

static void move(struct v1 *a, struct v1 *b)
{
	struct v1_stream stream = { 0 };

	v1_write_state(a, 3);
	v1_save(a, &stream, SIZE_MAX);
	v1_write_state(a, 2);
	v1_save(a, &stream, SIZE_MAX);
	v1_write_state(b, 4);
	v1_load(b, &stream);
	v1_write_state(a, 0);
	v1_write_state(b, 1);
	v1_stream_free(&stream);
}

TEST(a_device_moves_from_socket_to_socket)
{
	for (int section = 0; section <= VMIG_V1_SECTION_PARTITIONED; section++) {
		struct end a, b;

		setup(&a, section, 64 << 10, false);
		setup(&b, section, 64 << 10, true);
		scramble(a.toy);
		/* A user that does not map is served too. */
		if (section == VMIG_V1_SECTION_MAPPED)
			b.v.region.n_areas = 0;
		move(&a.v, &b.v);
		ck_assert_mem_eq(toy_state(a.toy), toy_state(b.toy), STATE_SIZE);
		if (section == VMIG_V1_SECTION_MAPPED)
			b.v.region.n_areas = 1;
		teardown(&a);
		teardown(&b);
	}
}

/* The widths reach the device as they are: of 4 bytes and of 8, and no others. */
TEST(registers_have_their_width_across_the_socket)
{
	struct end e;
	uint8_t buf[8];

	setup(&e, VMIG_V1_SECTION_MAPPED, 0, false);
	for (uint64_t offset = 0; offset < 32; offset += 4) {
		int four = offset < 8 ? 0 : -EINVAL, eight = offset < 8 || offset % 8 ? -EINVAL : 0;

		ck_assert_int_eq(vmig_device_region_read(e.v.dev, e.v.region.index, offset, buf, 4), four);
		ck_assert_int_eq(vmig_device_region_read(e.v.dev, e.v.region.index, offset, buf, 8), eight);
	}
	teardown(&e);
}

TEST(failures_cross_with_their_errno)
{
	struct end e;

	setup(&e, VMIG_V1_SECTION_TRAPPED, 0, false);
	toy_fail_save_at(e.toy, 10);
	v1_write_state(&e.v, 2);
	ck_assert_uint_gt(v1_pending(&e.v), 0);
	v1_offset(&e.v);
	v1_size(&e.v);
	ck_assert_int_eq(v1_get64(&e.v, V1_PENDING_BYTES, &(uint64_t){ 0 }), -EIO);
	ck_assert_int_eq(v1_put32(&e.v, V1_DEVICE_STATE, 5), -EINVAL);
	toy_break(e.toy);
	ck_assert_int_lt(v1_put32(&e.v, V1_DEVICE_STATE, 0), 0);
	ck_assert_uint_eq(v1_state(&e.v), 6);
	ck_assert_int_eq(vmig_device_reset(e.v.dev), 0);
	ck_assert_uint_eq(v1_state(&e.v), 1);
	teardown(&e);
}

/* --- the log of v1 times --------------------------------------------------------------------------- */

#define PAGE 4096ull
#define IOVA 0x100000000ull

static void write_register(struct vmig_device *dev, uint64_t offset, uint64_t value)
{
	ck_assert_int_eq(vmig_device_region_write(dev, TOY_REGISTERS, offset, &value, 8), 0);
}

static void device_writes(struct end *e, uint64_t iova, uint64_t len)
{
	write_register(e->v.dev, TOY_REG_ADDRESS, iova);
	write_register(e->v.dev, TOY_REG_LENGTH, len);
	write_register(e->v.dev, TOY_REG_COMMAND, TOY_COMMAND_WRITE);
}

static uint64_t report(struct end *e, uint64_t iova, uint64_t length, uint64_t page_size)
{
	uint64_t bits = 0;

	ck_assert_int_eq(vmig_device_dma_log_report(e->v.dev, iova, length, page_size, &bits), 0);
	return bits;
}

/* Two mappings side by side and one apart, with the log on. */
static void setup_log(struct end *e, uint8_t **ret_memory)
{
	static const struct vmig_range range = { 0, 1ull << 40 };
	static const uint64_t at[] = { IOVA, IOVA + 8 * PAGE, IOVA + 32 * PAGE };
	struct vmig_device_info info;
	uint64_t page_size = PAGE;

	setup(e, VMIG_V1_SECTION_TRAPPED, 0, true);
	vmig_device_query_info(e->v.dev, &info);
	ck_assert_uint_eq(info.has, VMIG_HAS_IOMMU_LOG);
	*ret_memory = aligned_alloc(PAGE, 8 * PAGE);
	for (size_t i = 0; i < 3; i++) {
		struct vmig_dma map = { .iova = at[i],
					.size = 8 * PAGE,
					.prot = VMIG_DMA_READ | VMIG_DMA_WRITE,
					.fd = -1,
					.vaddr = *ret_memory };

		ck_assert_int_eq(vmig_device_map_dma(e->v.dev, &map), 0);
	}
	ck_assert_int_eq(vmig_device_dma_log_start(e->v.dev, &page_size, &range, 1), 0);
	ck_assert_uint_eq(page_size, PAGE);
	ck_assert_int_eq(vmig_device_dma_log_start(e->v.dev, &page_size, &range, 1), -EBUSY);
}

TEST(the_log_is_asked_for_by_mappings)
{
	uint8_t *memory;
	struct end e;

	setup_log(&e, &memory);
	device_writes(&e, IOVA + PAGE, 1);
	device_writes(&e, IOVA + 8 * PAGE - 1, 2); /* in both */
	device_writes(&e, IOVA + 33 * PAGE, 1);
	ck_assert_uint_eq(report(&e, IOVA, 64 * PAGE, PAGE), 1ull << 33 | 1 << 8 | 1 << 7 | 1 << 1);
	ck_assert_uint_eq(report(&e, IOVA, 64 * PAGE, PAGE), 0);
	/* Nothing is mapped there. */
	ck_assert_uint_eq(report(&e, 0, 64 * PAGE, PAGE), 0);
	ck_assert_int_eq(vmig_device_dma_log_stop(e.v.dev), 0);
	ck_assert_int_eq(vmig_device_dma_log_report(e.v.dev, IOVA, PAGE, PAGE, &(uint64_t){ 0 }), -EINVAL);
	teardown(&e);
	free(memory);
}

/* To ask for a part clears the whole mapping at the server: the other part is kept. */
TEST(what_was_not_asked_for_is_kept)
{
	uint8_t *memory;
	struct end e;

	setup_log(&e, &memory);
	device_writes(&e, IOVA + PAGE, 1);
	device_writes(&e, IOVA + 3 * PAGE, 1);
	ck_assert_uint_eq(report(&e, IOVA, 2 * PAGE, PAGE), 1 << 1);
	ck_assert_uint_eq(report(&e, IOVA, 2 * PAGE, PAGE), 0);
	device_writes(&e, IOVA + 5 * PAGE, 1);
	/* In pages of another size; of a page that is asked for in part, the rest stays. */
	ck_assert_uint_eq(report(&e, IOVA + 3 * PAGE, PAGE / 2, PAGE / 4), 3);
	ck_assert_uint_eq(report(&e, IOVA, 8 * PAGE, 2 * PAGE), 1 << 1 | 1 << 2);
	ck_assert_uint_eq(report(&e, IOVA, 8 * PAGE, PAGE), 0);
	teardown(&e);
	free(memory);
}

TEST(a_mapping_that_goes_takes_its_bits_along)
{
	uint64_t page_size = PAGE;
	uint8_t *memory;
	struct end e;

	setup_log(&e, &memory);
	device_writes(&e, IOVA + PAGE, 1);
	device_writes(&e, IOVA + 9 * PAGE, 1);
	ck_assert_uint_eq(report(&e, IOVA, PAGE, PAGE), 0);
	ck_assert_int_eq(vmig_device_unmap_dma(e.v.dev, IOVA, 8 * PAGE), 0);
	ck_assert_uint_eq(report(&e, IOVA, 64 * PAGE, PAGE), 1 << 9);
	/* A reset stops the log, and a new one starts with nothing. */
	device_writes(&e, IOVA + 9 * PAGE, 1);
	ck_assert_uint_eq(report(&e, IOVA + 8 * PAGE, PAGE, PAGE), 0);
	ck_assert_int_eq(vmig_device_reset(e.v.dev), 0);
	ck_assert_int_eq(vmig_device_dma_log_report(e.v.dev, IOVA, PAGE, PAGE, &(uint64_t){ 0 }), -EINVAL);
	ck_assert_int_eq(
		vmig_device_dma_log_start(e.v.dev, &page_size, &(const struct vmig_range){ IOVA, PAGE }, 1),
		0);
	ck_assert_uint_eq(report(&e, IOVA, 64 * PAGE, PAGE), 0);
	teardown(&e);
	free(memory);
}

HARNESS("client-v1", T(the_log_is_asked_for_by_mappings), T(what_was_not_asked_for_is_kept),
	T(a_mapping_that_goes_takes_its_bits_along), T(the_regions_type_areas_and_file_cross),
	T(a_device_moves_from_socket_to_socket), T(registers_have_their_width_across_the_socket),
	T(failures_cross_with_their_errno))
