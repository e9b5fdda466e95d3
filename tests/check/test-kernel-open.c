/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening a device of the kernel without the library: which way is taken, what is said of a failure, and nothing stays open. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check/kernel/kernel.h"
#include "kernel-way.h"
#include "tests/harness.h"

/* --- a folder as sysfs has it ---------------------------------------------------------------------------- */

static char folder[] = "/tmp/vmig-check.XXXXXX", in_folder[256];

static const char *in(const char *name)
{
	snprintf(in_folder, sizeof(in_folder), "%s/%s", folder, name);
	return in_folder;
}

/* @cdev NULL: it has none. */
static void make_folder(const char *group, const char *cdev)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	if (group)
		ck_assert_int_eq(symlink(group, in("iommu_group")), 0);
	if (!cdev)
		return;
	ck_assert_int_eq(mkdir(in("vfio-dev"), 0700), 0);
	ck_assert_int_eq(mkdir(in(cdev), 0700), 0);
}

static void remove_folder(const char *cdev)
{
	unlink(in("iommu_group"));
	if (cdev)
		rmdir(in(cdev));
	rmdir(in("vfio-dev"));
	rmdir(folder);
}

/* --- calls that are looked at, and of which one fails ----------------------------------------------------- */

static struct check_calls good;
static unsigned long fails;
static int n_open;
static char opened[256];

static int count_open(void *opaque, const char *path)
{
	int fd = good.open(good.opaque, path);

	n_open += fd >= 0;
	strncat(opened, path, sizeof(opened) - strlen(opened) - 2);
	strcat(opened, " ");
	return fd;
}

static int fail_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
	int r;

	if (request == fails) {
		errno = EPERM;
		return -1;
	}
	r = good.ioctl(good.opaque, fd, request, arg);
	n_open += request == VMIG_UAPI_GROUP_GET_DEVICE_FD && r >= 0;
	return r;
}

static int count_close(void *opaque, int fd)
{
	n_open--;
	return good.close(good.opaque, fd);
}

static struct check_calls calls;

static void make_calls(unsigned long fails_at)
{
	char why[CHECK_TEXT_MAX];

	ck_assert_int_eq(kernel_way_new("serial", &good, why, sizeof(why)), 0);
	calls = good;
	calls.open = count_open;
	calls.ioctl = fail_ioctl;
	calls.close = count_close;
	fails = fails_at;
}

static void opens(const char *path, const char *nodes)
{
	struct check_kernel k;
	char why[CHECK_TEXT_MAX] = "";

	ck_assert_msg(!check_kernel_open(&calls, path, &k, why, sizeof(why)), "%s", why);
	ck_assert_str_eq(opened, nodes);
	ck_assert_int_ge(k.device, 0);
	check_kernel_close(&k);
	ck_assert_int_eq(n_open, 0);
	ck_assert_int_eq(k.device, -1);
}

/* It says @what, and all is closed. */
static void fails_with(const char *path, int error, const char *what)
{
	struct check_kernel k;
	char why[CHECK_TEXT_MAX] = "";

	ck_assert_int_eq(check_kernel_open(&calls, path, &k, why, sizeof(why)), error);
	ck_assert_msg(strstr(why, what) != NULL, "%s", why);
	ck_assert_int_eq(n_open, 0);
}

/* --- the tests -------------------------------------------------------------------------------------------- */

TEST(a_folder_is_opened_by_its_group)
{
	make_calls(0);
	make_folder("../../kernel/iommu_groups/90", NULL);
	opens(folder, "/dev/vfio/90 /dev/vfio/vfio ");
	remove_folder(NULL);
}

TEST(a_folder_without_a_group_node_is_opened_by_its_cdev)
{
	make_calls(0);
	make_folder("../../kernel/iommu_groups/none", "vfio-dev/vfio0");
	opens(folder, "/dev/vfio/devices/vfio0 /dev/iommu ");
	remove_folder("vfio-dev/vfio0");
}

TEST(a_node_is_opened_as_a_cdev)
{
	make_calls(0);
	opens("/dev/vfio/devices/vfio0", "/dev/vfio/devices/vfio0 /dev/iommu ");
}

TEST(a_folder_that_is_no_device_is_refused)
{
	make_calls(0);
	make_folder(NULL, NULL);
	fails_with(folder, -ENOENT, "iommu_group");
	remove_folder(NULL);
}

TEST(a_device_that_is_not_there_is_refused)
{
	make_calls(0);
	fails_with("/dev/vfio/devices/vfio7", -ENOENT, "vfio7");
}

TEST(each_call_that_fails_is_named_and_nothing_stays_open)
{
	static const struct {
		unsigned long request;
		const char *name;
	} by_group[] = {
		{ VMIG_UAPI_GROUP_SET_CONTAINER, "VFIO_GROUP_SET_CONTAINER: " },
		{ VMIG_UAPI_SET_IOMMU, "VFIO_SET_IOMMU: " },
		{ VMIG_UAPI_GROUP_GET_DEVICE_FD, "VFIO_GROUP_GET_DEVICE_FD: " },
	}, by_cdev[] = {
		{ VMIG_UAPI_DEVICE_BIND_IOMMUFD, "VFIO_DEVICE_BIND_IOMMUFD: " },
		{ VMIG_UAPI_IOMMUFD_IOAS_ALLOC, "IOMMU_IOAS_ALLOC: " },
		{ VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, "VFIO_DEVICE_ATTACH_IOMMUFD_PT: " },
	};

	make_calls(0);
	make_folder("../../kernel/iommu_groups/90", NULL);
	for (size_t i = 0; i < 3; i++) {
		fails = by_group[i].request;
		fails_with(folder, -EPERM, by_group[i].name);
		fails = by_cdev[i].request;
		fails_with("/dev/vfio/devices/vfio0", -EPERM, by_cdev[i].name);
	}
	remove_folder(NULL);
}

HARNESS("check-kernel-open", T(a_folder_is_opened_by_its_group),
	T(a_folder_without_a_group_node_is_opened_by_its_cdev), T(a_node_is_opened_as_a_cdev),
	T(a_folder_that_is_no_device_is_refused), T(a_device_that_is_not_there_is_refused),
	T(each_call_that_fails_is_named_and_nothing_stays_open))
