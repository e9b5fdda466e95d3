/* SPDX-License-Identifier: BSD-3-Clause */
/* What of the provider needs no kernel device: it takes apart what a kernel says, reads sysfs, and refuses in words.
 * The rest is tested on a real kernel: tests/peers. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <vmig/user.h>

#include "user/kernel.h"

/* --- regions ------------------------------------------------------------------------------ */

/* A reply of GET_REGION_INFO: the struct, then capabilities, each written where it is said to be. */
struct reply {
	union {
		struct vmig_uapi_region_info info;
		uint8_t bytes[1024];
	};
	size_t len;
};

static struct reply reply_new(void)
{
	struct reply reply = { .len = sizeof(reply.info) };

	reply.info = (struct vmig_uapi_region_info){ .argsz = sizeof(reply.info),
						     .flags = 7 | VMIG_UAPI_REGION_INFO_FLAG_CAPS,
						     .index = 2,
						     .size = 0x4000,
						     .offset = 2ull << 40 };
	return reply;
}

static void add_cap(struct reply *reply, uint16_t id, const void *body, size_t len, bool last)
{
	struct vmig_uapi_info_cap_header head = { .id = id, .version = 1 };

	if (!reply->info.cap_offset)
		reply->info.cap_offset = (uint32_t)reply->len;
	head.next = last ? 0 : (uint32_t)(reply->len + sizeof(head) + len);
	memcpy(reply->bytes + reply->len, &head, sizeof(head));
	memcpy(reply->bytes + reply->len + sizeof(head), body, len);
	reply->len += sizeof(head) + len;
}

static void add_areas(struct reply *reply, uint32_t n, uint64_t size, bool last)
{
	uint64_t body[1 + 2 * (VMIG_REGION_AREAS_MAX + 1)] = { n };

	for (uint32_t i = 0; i < n && i <= VMIG_REGION_AREAS_MAX; i++) {
		body[1 + 2 * i] = i * 0x100;
		body[2 + 2 * i] = size;
	}
	add_cap(reply, VMIG_UAPI_REGION_INFO_CAP_SPARSE_MMAP, body, 8 + 16 * n, last);
}

TEST(region_without_capabilities)
{
	struct reply reply = reply_new();
	struct vmig_region region;

	reply.info.flags = VMIG_REGION_READ;
	reply.info.cap_offset = 0xdead; /* not valid without the flag */
	ck_assert_int_eq(vmig_kernel_parse_region(&reply, reply.len, &region), 0);
	ck_assert_uint_eq(region.flags, VMIG_REGION_READ);
	ck_assert_uint_eq(region.size, 0x4000);
	ck_assert_uint_eq(region.fd_offset, 2ull << 40);
	ck_assert_uint_eq(region.n_areas, 0);
}

TEST(region_with_type_and_areas)
{
	struct reply reply = reply_new();
	const uint32_t type[2] = { 3, 1 }, unknown[3] = { 9, 9, 9 };
	struct vmig_region region;

	add_cap(&reply, 77, unknown, sizeof(unknown), false);
	add_cap(&reply, VMIG_UAPI_REGION_INFO_CAP_TYPE, type, sizeof(type), false);
	add_areas(&reply, 2, 0x80, true);
	ck_assert_int_eq(vmig_kernel_parse_region(&reply, reply.len, &region), 0);
	ck_assert_uint_eq(region.cap_type, 3);
	ck_assert_uint_eq(region.cap_subtype, 1);
	ck_assert_uint_eq(region.n_areas, 2);
	ck_assert_uint_eq(region.areas[1].offset, 0x100);
	ck_assert_uint_eq(region.areas[1].size, 0x80);
	ck_assert_uint_eq(region.flags, 7);
}

TEST(region_with_more_areas_than_can_be_named_is_not_mapped)
{
	for (uint32_t n = VMIG_REGION_AREAS_MAX - 1; n <= VMIG_REGION_AREAS_MAX + 1; n++) {
		struct reply reply = reply_new();
		struct vmig_region region;
		bool fits = n <= VMIG_REGION_AREAS_MAX;

		add_areas(&reply, n, 0x80, true);
		ck_assert_int_eq(vmig_kernel_parse_region(&reply, reply.len, &region), 0);
		ck_assert_uint_eq(region.n_areas, fits ? n : 0);
		ck_assert_uint_eq(region.flags & VMIG_REGION_MMAP, fits ? VMIG_REGION_MMAP : 0);
	}
}

/* Zero areas says that nothing may be mapped; zero areas in struct vmig_region, that everything may. */
TEST(region_with_an_empty_list_of_areas_is_not_mapped)
{
	struct reply reply = reply_new();
	struct vmig_region region;

	add_areas(&reply, 0, 0, true);
	ck_assert_int_eq(vmig_kernel_parse_region(&reply, reply.len, &region), 0);
	ck_assert_uint_eq(region.flags & VMIG_REGION_MMAP, 0);
}

TEST(region_cut_short_is_refused)
{
	struct reply whole = reply_new();
	const uint32_t type[2] = { 3, 1 };
	struct vmig_region region;

	add_cap(&whole, VMIG_UAPI_REGION_INFO_CAP_TYPE, type, sizeof(type), false);
	add_areas(&whole, 2, 0x80, true);
	for (size_t len = 0; len < whole.len; len++) {
		/* Of its exact size, so that a read beyond it is noticed. */
		uint8_t *part = malloc(len + !len);

		memcpy(part, whole.bytes, len);
		ck_assert_int_eq(vmig_kernel_parse_region(part, len, &region), -EPROTO);
		free(part);
	}
}

TEST(region_with_a_chain_that_goes_round_is_refused)
{
	struct reply reply = reply_new();
	const uint32_t type[2] = { 3, 1 };
	struct vmig_region region;

	add_cap(&reply, VMIG_UAPI_REGION_INFO_CAP_TYPE, type, sizeof(type), false);
	memcpy(reply.bytes + reply.info.cap_offset + 4, &reply.info.cap_offset, 4);
	ck_assert_int_eq(vmig_kernel_parse_region(&reply, reply.len, &region), -EPROTO);
}

TEST(region_with_an_area_beyond_its_end_is_refused)
{
	struct reply reply = reply_new();
	struct vmig_region region;

	add_areas(&reply, 2, 0x4000 - 0x100, true);
	ck_assert_int_eq(vmig_kernel_parse_region(&reply, reply.len, &region), 0);
	reply = reply_new();
	add_areas(&reply, 2, 0x4000 - 0xff, true);
	ck_assert_int_eq(vmig_kernel_parse_region(&reply, reply.len, &region), -EPROTO);
	reply = reply_new();
	reply.info.flags = 7;
	reply.info.size = UINT64_MAX;
	ck_assert_int_eq(vmig_kernel_parse_region(&reply, reply.len, &region), -EPROTO);
}

/* --- sysfs -------------------------------------------------------------------------------- */

static char folder[] = "/tmp/vmig-kernel-XXXXXX";

static void put_link(const char *name, const char *target)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	ck_assert_int_eq(symlink(target, path), 0);
}

static void put_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void remove_folder(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static int identity_of(char *ret)
{
	struct vmig_error error = { 0 };
	int r = vmig_kernel_identity(folder, ret, &error);

	remove_folder();
	if (r)
		ck_assert_str_ne(error.text, "");
	return r;
}

TEST(identity_of_a_mediated_device_is_its_type)
{
	char identity[VMIG_IDENTITY_MAX];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	put_link("mdev_type", "../mdev_supported_types/mtty-1");
	put_link("driver", "../../bus/mdev/drivers/mtty");
	ck_assert_int_eq(identity_of(identity), 0);
	ck_assert_str_eq(identity, "mdev:mtty-1");
}

TEST(identity_of_a_pci_device_is_ids_and_driver)
{
	char identity[VMIG_IDENTITY_MAX];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	put_link("driver", "../../../bus/pci/drivers/mlx5_vfio_pci");
	put_file("vendor", "0x15b3\n");
	put_file("device", "0x101e\n");
	ck_assert_int_eq(identity_of(identity), 0);
	ck_assert_str_eq(identity, "pci:15b3:101e/mlx5_vfio_pci");
}

static void put_folder(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void descriptor_is(uint64_t flags, const uint64_t *size, const char *self, const char *accepted)
{
	char expected[1024], *json;

	ck_assert_int_eq(vmig_kernel_descriptor(folder, flags, size, &json), 0);
	remove_folder();
	snprintf(expected, sizeof(expected), "{\"self\": [%s], \"compatible\": [%s]}", self, accepted);
	ck_assert_str_eq(json, expected);
	free(json);
}

TEST(descriptor_of_a_mediated_device)
{
	const uint64_t size = 60;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	put_folder("type");
	put_folder("vfio");
	put_folder("vfio/module");
	put_link("driver", "vfio");
	put_file("vfio/module/version", "0.1\n");
	put_link("mdev_type", "type");
	put_file("type/device_api", "vfio-pci\n");
	put_file("type/description", "with, commas\n");
	put_file("aggregator", "2\n");
	descriptor_is(7, &size,
		      "{\"driver\": \"vfio\", \"version\": \"0.1\", \"mdev_type\": \"type\", "
		      "\"device_api\": \"vfio-pci\", \"aggregator\": \"2\", "
		      "\"migration\": [\"stop-copy\", \"p2p\", \"pre-copy\"], \"stop-copy-size\": 60}",
		      "{\"driver\": \"vfio\", \"version\": \"0.1\", \"mdev_type\": \"type\", "
		      "\"device_api\": \"vfio-pci\", \"aggregator\": \"2\", "
		      "\"migration\": {\"any\": true}, \"stop-copy-size\": {\"any\": true}}");
}

TEST(descriptor_of_a_pci_device)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	put_folder("vfio");
	put_folder("vfio/module");
	put_link("driver", "vfio");
	put_file("vfio/module/version", "6.12-rc1\n");
	put_file("vendor", "0x15b3\n");
	put_file("device", "0x101e\n");
	put_file("subsystem_vendor", "no number\n");
	put_file("subsystem_device", "0x0001\n");
	descriptor_is(0, NULL,
		      "{\"pciid\": \"15b3101e\", \"driver\": \"vfio\", \"driver_version\": \"6.12-rc1\"}",
		      "{\"pciid\": \"15b3101e\", \"driver\": \"vfio\", \"driver_version\": \"6.12-rc1\"}");
}

TEST(identity_of_another_device_is_bus_and_driver)
{
	char identity[VMIG_IDENTITY_MAX];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	put_link("driver", "../../../bus/platform/drivers/vfio-platform");
	put_link("subsystem", "../../../bus/platform");
	put_file("vendor", "no number");
	ck_assert_int_eq(identity_of(identity), 0);
	ck_assert_str_eq(identity, "platform:vfio-platform");
}

TEST(identity_without_a_driver_is_refused)
{
	char identity[VMIG_IDENTITY_MAX];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(identity_of(identity), -ENOENT);
}

/* Two types whose names differ only beyond the end must not become equal. */
TEST(identity_that_does_not_fit_is_refused)
{
	for (int len = VMIG_IDENTITY_MAX - 7; len <= VMIG_IDENTITY_MAX - 5; len++) {
		char identity[VMIG_IDENTITY_MAX], name[VMIG_IDENTITY_MAX];

		memset(name, 'x', sizeof(name));
		name[len] = '\0';
		strcpy(folder, "/tmp/vmig-kernel-XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(folder));
		put_link("mdev_type", name);
		ck_assert_int_eq(identity_of(identity), len + 6 <= VMIG_IDENTITY_MAX ? 0 : -E2BIG);
	}
}

/* --- open --------------------------------------------------------------------------------- */

static int open_error(const char *path, const char *word)
{
	struct vmig_error error = { 0 };
	struct vmig_device *dev = NULL;
	int r = vmig_open_kernel(path, &dev, &error);

	ck_assert_ptr_null(dev);
	ck_assert_int_eq(error.code, -r);
	ck_assert_msg(strstr(error.text, path) && strstr(error.text, word), "%s: %s", path, error.text);
	ck_assert_int_eq(vmig_open_kernel(path, &dev, NULL), r);
	return r;
}

TEST(open_says_why_not)
{
	ck_assert_int_eq(open_error("/dev/vfio/devices/vfio4711", "there is no"), -ENOENT);
	ck_assert_int_eq(open_error("/dev/null", "no VFIO device"), -EINVAL);
	ck_assert_int_eq(open_error("/proc/version", "neither"), -EINVAL);
	ck_assert_int_eq(open_error("/proc/self", "iommu_group"), -ENOENT);
}

TEST(open_of_a_group_without_its_node)
{
	struct vmig_error error = { 0 };
	struct vmig_device *dev;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	put_link("iommu_group", "../../kernel/iommu_groups/471147");
	ck_assert_int_eq(vmig_open_kernel(folder, &dev, &error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.text, "/dev/vfio/471147"));
	remove_folder();
}

TEST(descriptors_that_are_no_device_stay_the_callers)
{
	const struct {
		struct vmig_kernel_fds fds;
		int r;
		const char *word;
	} bad[] = {
		{ { -1, -1, -1, 0, "/sys" }, -EBADF, "duplicated" },
		{ { 0, -1, -1, 0, "/sys" }, -EINVAL, "no VFIO device" },
		{ { 0, 0, 0, 0, "/sys" }, -EINVAL, "only one" },
		{ { 999, -1, -1, 0, "/sys" }, -EBADF, "duplicated" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vmig_error error = { 0 };
		struct vmig_device *dev = NULL;

		ck_assert_int_eq(vmig_open_kernel_fds(&bad[i].fds, &dev, &error), bad[i].r);
		ck_assert_ptr_null(dev);
		ck_assert_msg(strstr(error.text, bad[i].word) != NULL, "%s", error.text);
	}
}

HARNESS("kernel", T(region_without_capabilities), T(region_with_type_and_areas),
	T(region_with_more_areas_than_can_be_named_is_not_mapped),
	T(region_with_an_empty_list_of_areas_is_not_mapped), T(region_cut_short_is_refused),
	T(region_with_a_chain_that_goes_round_is_refused), T(region_with_an_area_beyond_its_end_is_refused),
	T(identity_of_a_mediated_device_is_its_type), T(identity_of_a_pci_device_is_ids_and_driver),
	T(descriptor_of_a_mediated_device), T(descriptor_of_a_pci_device),
	T(identity_of_another_device_is_bus_and_driver), T(identity_without_a_driver_is_refused),
	T(identity_that_does_not_fit_is_refused), T(open_says_why_not), T(open_of_a_group_without_its_node),
	T(descriptors_that_are_no_device_stay_the_callers))
