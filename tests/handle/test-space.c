/* SPDX-License-Identifier: BSD-3-Clause */
/* A space: every attached device has the same mappings, or none has. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script.h"

#include <vmig/space.h>

#define K4 4096ull

static struct script a, b;
static struct vmig_space *space;
static char memory[4096];

static void open_both(void)
{
	script_open(&a, 0);
	script_open(&b, 0);
	ck_assert_int_eq(vmig_space_new(&space), 0);
}

static void close_both(void)
{
	vmig_space_free(space);
	script_close(&a);
	script_close(&b);
}

static int map(uint64_t iova, uint64_t size)
{
	return vmig_space_map(
		space,
		&(struct vmig_dma){ .iova = iova, .size = size, .prot = 3, .fd = -1, .vaddr = memory });
}

static void check(const char *in_a, const char *in_b)
{
	ck_assert_str_eq(a.asked, in_a);
	ck_assert_str_eq(b.asked, in_b);
	script_forget(&a);
	script_forget(&b);
}

TEST(maps_go_to_all_that_are_attached)
{
	open_both();
	ck_assert_int_eq(vmig_space_attach(space, a.dev), 0);
	ck_assert_int_eq(map(0, K4), 0);
	check("map", "");
	ck_assert_int_eq(vmig_space_attach(space, b.dev), 0);
	check("", "map");
	ck_assert_int_eq(vmig_space_attach(space, b.dev), -EEXIST);
	ck_assert_int_eq(map(K4, K4), 0);
	check("map", "map");
	ck_assert_int_eq(vmig_space_unmap(space, 0, K4), 0);
	check("unmap", "unmap");
	vmig_space_detach(space, a.dev);
	check("unmap", "");
	vmig_space_detach(space, a.dev);
	ck_assert_int_eq(map(0, K4), 0);
	check("", "map");
	vmig_space_free(space);
	space = NULL;
	check("", "unmap unmap");
	close_both();
}

TEST(a_device_that_refuses_a_map_undoes_it_in_the_others)
{
	open_both();
	ck_assert_int_eq(vmig_space_attach(space, a.dev), 0);
	ck_assert_int_eq(vmig_space_attach(space, b.dev), 0);
	b.r = -ENOSPC;
	ck_assert_int_eq(map(0, K4), -ENOSPC);
	check("map unmap", "map");
	b.r = 0;
	a.r = -ENOSPC;
	ck_assert_int_eq(map(0, K4), -ENOSPC);
	check("map", "");
	a.r = 0;
	ck_assert_int_eq(map(0, K4), 0);
	check("map", "map");
	close_both();
}

static int refuse_third(void *p, const struct vmig_dma *dma, struct vmig_error *error)
{
	int *n = p;

	return ++*n == 3 ? -ENOSPC : 0;
}

static int count_unmap(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	*(int *)p += 100;
	return 0;
}

TEST(a_device_that_refuses_a_mapping_is_not_attached)
{
	static const struct vmig_provider_ops ops = { .map_dma = refuse_third, .unmap_dma = count_unmap };
	const struct vmig_device_info info = { .dma_kinds = VMIG_DMA_KIND_ADDRESS };
	struct vmig_device *dev;
	int n = 0;

	open_both();
	for (uint64_t i = 0; i < 4; i++)
		ck_assert_int_eq(map(i * K4, K4), 0);
	ck_assert_int_eq(vmig_device_new(&ops, &n, &info, &dev), 0);
	ck_assert_int_eq(vmig_space_attach(space, dev), -ENOSPC);
	ck_assert_int_eq(n, 203); /* three maps, two of them undone */
	ck_assert_int_eq(map(4 * K4, K4), 0);
	ck_assert_int_eq(n, 203);
	vmig_device_close(dev);
	close_both();
}

TEST(kinds_are_checked_when_it_is_composed)
{
	struct vmig_dma by_fd = { .size = K4, .prot = 3, .fd = 0 };

	open_both();
	ck_assert_int_eq(vmig_space_map(space, &by_fd), 0); /* nobody is there to mind */
	ck_assert_int_eq(vmig_space_attach(space, a.dev), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_space_unmap(space, 0, K4), 0);
	ck_assert_int_eq(vmig_space_attach(space, a.dev), 0);
	ck_assert_int_eq(vmig_space_map(space, &by_fd), -EOPNOTSUPP);
	check("", "");
	close_both();
}

TEST(an_empty_space_checks_by_itself)
{
	open_both();
	ck_assert_int_eq(map(0, 0), -EINVAL);
	ck_assert_int_eq(map(1, K4), -EINVAL);
	ck_assert_int_eq(map(0, K4 + 1), -EINVAL);
	ck_assert_int_eq(map(UINT64_MAX - K4 + 1, 2 * K4), -EINVAL);
	ck_assert_int_eq(map(4 * K4, 4 * K4), 0);
	ck_assert_int_eq(map(7 * K4, K4), -EEXIST);
	ck_assert_int_eq(map(0, 5 * K4), -EEXIST);
	ck_assert_int_eq(map(0, 100 * K4), -EEXIST);
	ck_assert_int_eq(map(4 * K4, 4 * K4), -EEXIST);
	ck_assert_int_eq(map(8 * K4, K4), 0);
	ck_assert_int_eq(map(0, 4 * K4), 0);
	ck_assert_int_eq(map(UINT64_MAX - K4 + 1, K4), 0);
	ck_assert_int_eq(vmig_space_unmap(space, 4 * K4, K4), -ENOENT);
	ck_assert_int_eq(vmig_space_unmap(space, 5 * K4, 4 * K4), -ENOENT);
	ck_assert_int_eq(vmig_space_unmap(space, 20 * K4, K4), -ENOENT);
	ck_assert_int_eq(vmig_space_unmap(space, UINT64_MAX - K4 + 1, K4), 0);
	ck_assert_int_eq(vmig_space_unmap(space, UINT64_MAX - K4 + 1, K4), -ENOENT);
	close_both();
}

TEST(the_callers_descriptor_may_be_closed_after_the_call)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int before = harness_count_fds();

	open_both();
	ck_assert_int_eq(
		vmig_space_map(space, &(struct vmig_dma){ .size = K4, .prot = 3, .fd = fd, .vaddr = memory }),
		0);
	ck_assert_int_eq(harness_count_fds(), before + 1);
	ck_assert_int_eq(vmig_space_unmap(space, 0, K4), 0);
	ck_assert_int_eq(harness_count_fds(), before);
	ck_assert_int_eq(
		vmig_space_map(space, &(struct vmig_dma){ .size = K4, .prot = 3, .fd = fd, .vaddr = memory }),
		0);
	close(fd);
	close_both(); /* and free closes what is left */
}

TEST(random_maps_are_what_a_list_of_pages_says)
{
	bool mapped[64] = { false };
	int length_at[64] = { 0 };

	srandom(harness_seed());
	open_both();
	for (int i = 0; i < 5000; i++) {
		uint64_t page = (uint64_t)random() % 64, n = 1 + (uint64_t)random() % 6;
		bool is_free = page + n <= 64;

		for (uint64_t p = page; p < page + n && p < 64; p++)
			is_free &= !mapped[p];
		if (random() % 2 && page + n <= 64) {
			ck_assert_int_eq(map(page * K4, n * K4), is_free ? 0 : -EEXIST);
			if (is_free) {
				memset(mapped + page, true, n);
				length_at[page] = (int)n;
			}
		} else {
			bool exact = length_at[page] == (int)n;

			ck_assert_int_eq(vmig_space_unmap(space, page * K4, n * K4), exact ? 0 : -ENOENT);
			if (exact) {
				memset(mapped + page, false, n);
				length_at[page] = 0;
			}
		}
	}
	close_both();
}

HARNESS("handle-space", T(maps_go_to_all_that_are_attached),
	T(a_device_that_refuses_a_map_undoes_it_in_the_others),
	T(a_device_that_refuses_a_mapping_is_not_attached), T(kinds_are_checked_when_it_is_composed),
	T(an_empty_space_checks_by_itself), T(the_callers_descriptor_may_be_closed_after_the_call),
	T(random_maps_are_what_a_list_of_pages_says))
