/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One call, in words. What the numbers of a struct vmig_kabi_call are, by request:
 *
 *	request            offset    v[0]        v[1]        v[2]          v[3]
 *	DEVICE_FEATURE     feature and flags, then by feature:
 *	  MIG_DEVICE_STATE           state (get) or from, to, data_fd (-1: none), the state now | number << 32
 *	  DMA_LOGGING_*              iova        length      page size     dirty pages   (REPORT; in @len,
 *						     how many bytes of it are within the ranges of START)
 *	                             page size   ranges      bytes                       (START)
 *	  MIGRATION, MIG_DATA_SIZE   flags; bytes
 *	MAP, IOAS_MAP, COPY          iova        size        address       flags
 *	UNMAP, IOAS_UNMAP            iova        size        unmapped      flags
 *	DIRTY_PAGES                  flags       iova        size          dirty pages
 *	GET_DIRTY_BITMAP             iova        size        page size     dirty pages
 *	REGION_INFO, IRQ_INFO        index       size, count flags         1: the migration region of v1
 *	SET_IRQS                     flags       index       start         count
 *	PRECOPY_INFO                 initial     dirty       flags         number
 *	BIND, ATTACH, HWPT_ALLOC     the ids of the struct, in its order
 *	read, write        offset    the value, of up to 8 bytes of a region
 *	  of data_size (v1)                      digest                    (of the data in the section)
 *	  of a session               digest      bytes       number        (so far; which of the device's sessions it is)
 *	close                        1: by nobody; of a session: its number in v[2]
 *	mmap               offset    prot
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/kernel_abi.h"

/** Text that grows, and is cut when there is no room. */
struct text {
	char *at;
	size_t left;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->at, t->left, format, ap);
	va_end(ap);
	if (n < 0 || !t->left)
		return;
	n = (int)MIN((size_t)n, t->left - 1);
	t->at += n;
	t->left -= (size_t)n;
}

/* --- names -------------------------------------------------------------------------------- */

#define OFFSET_MASK ((UINT64_C(1) << VMIG_KABI_SHIFT) - 1)

/* How the numbers of a call are shown. */
enum form { PLAIN, ONE, TWO, MAP, UNMAP, DIRTY, BITMAP, INDEX, IRQS, PRECOPY, FEATURE };

struct name {
	uint8_t kind;
	uint32_t request;
	const char *text;
	enum form form;
};

static const struct name names[] = {
	{ VMIG_KABI_GROUP, VMIG_UAPI_GROUP_GET_STATUS, "GROUP_GET_STATUS", ONE },
	{ VMIG_KABI_GROUP, VMIG_UAPI_GROUP_SET_CONTAINER, "GROUP_SET_CONTAINER", ONE },
	{ VMIG_KABI_GROUP, VMIG_UAPI_GROUP_UNSET_CONTAINER, "GROUP_UNSET_CONTAINER", PLAIN },
	{ VMIG_KABI_GROUP, VMIG_UAPI_GROUP_GET_DEVICE_FD, "GROUP_GET_DEVICE_FD", PLAIN },
	{ VMIG_KABI_CONTAINER, VMIG_UAPI_GET_API_VERSION, "GET_API_VERSION", PLAIN },
	{ VMIG_KABI_CONTAINER, VMIG_UAPI_CHECK_EXTENSION, "CHECK_EXTENSION", ONE },
	{ VMIG_KABI_CONTAINER, VMIG_UAPI_SET_IOMMU, "SET_IOMMU", ONE },
	{ VMIG_KABI_CONTAINER, VMIG_UAPI_IOMMU_GET_INFO, "IOMMU_GET_INFO", PLAIN },
	{ VMIG_KABI_CONTAINER, VMIG_UAPI_IOMMU_MAP_DMA, "IOMMU_MAP_DMA", MAP },
	{ VMIG_KABI_CONTAINER, VMIG_UAPI_IOMMU_UNMAP_DMA, "IOMMU_UNMAP_DMA", UNMAP },
	{ VMIG_KABI_CONTAINER, VMIG_UAPI_IOMMU_DIRTY_PAGES, "IOMMU_DIRTY_PAGES", DIRTY },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_GET_INFO, "DEVICE_GET_INFO", PLAIN },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_GET_REGION_INFO, "DEVICE_GET_REGION_INFO", INDEX },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_GET_IRQ_INFO, "DEVICE_GET_IRQ_INFO", INDEX },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_SET_IRQS, "DEVICE_SET_IRQS", IRQS },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_RESET, "DEVICE_RESET", PLAIN },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_GET_PCI_HOT_RESET_INFO, "DEVICE_GET_PCI_HOT_RESET_INFO", PLAIN },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_PCI_HOT_RESET, "DEVICE_PCI_HOT_RESET", PLAIN },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_IOEVENTFD, "DEVICE_IOEVENTFD", PLAIN },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_FEATURE, "DEVICE_FEATURE", FEATURE },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_BIND_IOMMUFD, "DEVICE_BIND_IOMMUFD", TWO },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, "DEVICE_ATTACH_IOMMUFD_PT", ONE },
	{ VMIG_KABI_DEVICE, VMIG_UAPI_DEVICE_DETACH_IOMMUFD_PT, "DEVICE_DETACH_IOMMUFD_PT", PLAIN },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_DESTROY, "DESTROY", ONE },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, "IOAS_ALLOC", ONE },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_IOAS_ALLOW_IOVAS, "IOAS_ALLOW_IOVAS", TWO },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_IOAS_COPY, "IOAS_COPY", MAP },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_IOAS_IOVA_RANGES, "IOAS_IOVA_RANGES", TWO },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_IOAS_MAP, "IOAS_MAP", MAP },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_IOAS_MAP_FILE, "IOAS_MAP_FILE", MAP },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_IOAS_UNMAP, "IOAS_UNMAP", UNMAP },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_OPTION, "OPTION", TWO },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_VFIO_IOAS, "VFIO_IOAS", PLAIN },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_HWPT_ALLOC, "HWPT_ALLOC", TWO },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_GET_HW_INFO, "GET_HW_INFO", ONE },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_HWPT_SET_DIRTY_TRACKING, "HWPT_SET_DIRTY_TRACKING", TWO },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP, "HWPT_GET_DIRTY_BITMAP", BITMAP },
	{ VMIG_KABI_IOMMUFD, VMIG_UAPI_IOMMUFD_IOAS_CHANGE_PROCESS, "IOAS_CHANGE_PROCESS", PLAIN },
	{ VMIG_KABI_DATA, VMIG_UAPI_MIG_GET_PRECOPY_INFO, "MIG_GET_PRECOPY_INFO", PRECOPY },
};

static const struct name *find_name(const struct vmig_kabi_call *call)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].kind == call->kind && names[i].request == call->request)
			return &names[i];
	return NULL;
}

static const char *kind_name(uint8_t kind)
{
	static const char *const kinds[] = { "container", "group", "device", "iommufd", "data_fd" };

	return kind < ARRAY_SIZE(kinds) ? kinds[kind] : "file";
}

static void say_state(struct text *t, uint64_t state)
{
	const char *name = state <= UINT32_MAX ? vmig_state_name((uint32_t)state) : NULL;

	if (name)
		say(t, " %s", name);
	else if (state == VMIG_STATE_NONE)
		say(t, " ?");
	else
		say(t, " %" PRIu64, state);
}

/* --- features ----------------------------------------------------------------------------- */

static const char *feature_name(uint32_t feature)
{
	switch (feature) {
	case VMIG_UAPI_DEVICE_FEATURE_MIGRATION:
		return "MIGRATION";
	case VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE:
		return "MIG_DEVICE_STATE";
	case VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START:
		return "DMA_LOGGING_START";
	case VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP:
		return "DMA_LOGGING_STOP";
	case VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		return "DMA_LOGGING_REPORT";
	case VMIG_UAPI_DEVICE_FEATURE_MIG_DATA_SIZE:
		return "MIG_DATA_SIZE";
	case VMIG_UAPI_DEVICE_FEATURE_MIG_PRECOPY_INFOv2:
		return "MIG_PRECOPY_INFOv2";
	}
	return NULL;
}

static void say_set_state(struct text *t, const struct vmig_kabi_call *call)
{
	say(t, "SET_STATE");
	say_state(t, call->v[0]);
	say(t, " ->");
	say_state(t, call->v[1]);
	if (call->result >= 0 && call->v[2] != UINT64_MAX)
		say(t, " data_fd %" PRIu64, call->v[2]);
}

static void say_feature_data(struct text *t, const struct vmig_kabi_call *call, uint32_t feature)
{
	const uint64_t *v = call->v;

	if (feature == VMIG_UAPI_DEVICE_FEATURE_MIGRATION)
		say(t, " flags %#" PRIx64, v[0]);
	else if (feature == VMIG_UAPI_DEVICE_FEATURE_MIG_DATA_SIZE)
		say(t, " %" PRIu64 " bytes", v[0]);
	else if (feature == VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START)
		say(t, " page size %" PRIu64 ", %" PRIu64 " ranges, %#" PRIx64 " bytes", v[0], v[1], v[2]);
	else if (feature == VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT)
		say(t, " %#" PRIx64 " + %#" PRIx64 ", page size %" PRIu64 ", %" PRIu64 " dirty", v[0], v[1],
		    v[2], v[3]);
}

static void say_feature(struct text *t, const struct vmig_kabi_call *call)
{
	uint32_t flags = (uint32_t)call->offset, feature = flags & VMIG_UAPI_DEVICE_FEATURE_MASK;
	const char *name = feature_name(feature);

	if (flags & VMIG_UAPI_DEVICE_FEATURE_PROBE) {
		say(t, "PROBE");
	} else if (feature == VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE) {
		if (flags & VMIG_UAPI_DEVICE_FEATURE_SET) {
			say_set_state(t, call);
		} else {
			say(t, "GET_STATE");
			say_state(t, call->v[0]);
		}
		return;
	} else {
		say(t, flags & VMIG_UAPI_DEVICE_FEATURE_SET ? "SET" : "GET");
	}
	if (name)
		say(t, " %s", name);
	else
		say(t, " feature %u", feature);
	if (!(flags & VMIG_UAPI_DEVICE_FEATURE_PROBE))
		say_feature_data(t, call, feature);
}

/* --- calls -------------------------------------------------------------------------------- */

static void say_range(struct text *t, uint64_t start, uint64_t size)
{
	say(t, " %#" PRIx64 " + %#" PRIx64, start, size);
}

static void say_form(struct text *t, const struct vmig_kabi_call *call, enum form form)
{
	const uint64_t *v = call->v;

	switch (form) {
	case PLAIN:
	case FEATURE:
		break;
	case ONE:
		say(t, " %" PRId64, (int64_t)v[0]);
		break;
	case TWO:
		say(t, " %" PRId64 ", %" PRId64, (int64_t)v[0], (int64_t)v[1]);
		break;
	case MAP:
		say_range(t, v[0], v[1]);
		say(t, " at %#" PRIx64 ", flags %#" PRIx64, v[2], v[3]);
		break;
	case UNMAP:
		say_range(t, v[0], v[1]);
		say(t, ", flags %#" PRIx64 ", unmapped %#" PRIx64, v[3], v[2]);
		break;
	case DIRTY:
		if (v[0] == VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP) {
			say(t, " GET_BITMAP");
			say_range(t, v[1], v[2]);
			say(t, ", %" PRIu64 " dirty", v[3]);
		} else {
			say(t, v[0] == VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_START  ? " START"
			       : v[0] == VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_STOP ? " STOP"
									       : " bad flags");
		}
		break;
	case BITMAP:
		say_range(t, v[0], v[1]);
		say(t, ", page size %" PRIu64 ", %" PRIu64 " dirty", v[2], v[3]);
		break;
	case INDEX:
		say(t, " %" PRIu64 ": %#" PRIx64 ", flags %#" PRIx64, v[0], v[1], v[2]);
		break;
	case IRQS:
		say(t, " index %" PRIu64 ", start %" PRIu64 ", count %" PRIu64 ", flags %#" PRIx64, v[1],
		    v[2], v[3], v[0]);
		break;
	case PRECOPY:
		say(t, " initial %" PRIu64 ", dirty %" PRIu64 "%s", v[0], v[1],
		    v[2] & VMIG_UAPI_PRECOPY_INFO_REINIT ? ", REINIT" : "");
		break;
	}
}

static void say_ioctl(struct text *t, const struct vmig_kabi_call *call)
{
	const struct name *name = find_name(call);

	if (!name) {
		say(t, "ioctl %#x of a %s", call->request, kind_name(call->kind));
	} else if (name->form == FEATURE) {
		say_feature(t, call);
	} else {
		say(t, "%s", name->text);
		say_form(t, call, name->form);
	}
}

static void say_access(struct text *t, const struct vmig_kabi_call *call)
{
	say(t, call->op == VMIG_KABI_READ ? "read" : "write");
	if (call->kind == VMIG_KABI_DEVICE) {
		say(t, " region %u", (unsigned int)(call->offset >> VMIG_KABI_SHIFT));
		say(t, " + %#" PRIx64, call->offset & OFFSET_MASK);
	} else {
		say(t, " %s", kind_name(call->kind));
	}
	say(t, ", %" PRIu64 " bytes", call->len);
	if (call->kind == VMIG_KABI_DEVICE && call->len <= 8 && call->result > 0)
		say(t, ": %#" PRIx64, call->v[0]);
}

const char *vmig_kabi_call_text(const struct vmig_kabi_call *call, char *buf, size_t size)
{
	struct text t = { buf, size };

	if (size)
		buf[0] = '\0';
	if (call->device != UINT16_MAX)
		say(&t, "%u: ", call->device);
	switch (call->op) {
	case VMIG_KABI_OPEN:
		say(&t, "open %s", kind_name(call->kind));
		break;
	case VMIG_KABI_CLOSE:
		say(&t, "close %s", kind_name(call->kind));
		break;
	case VMIG_KABI_IOCTL:
		say_ioctl(&t, call);
		break;
	case VMIG_KABI_READ:
	case VMIG_KABI_WRITE:
		say_access(&t, call);
		break;
	case VMIG_KABI_MMAP:
		say(&t, "mmap region %u + %#" PRIx64 ", %" PRIu64 " bytes",
		    (unsigned int)(call->offset >> VMIG_KABI_SHIFT), call->offset & OFFSET_MASK, call->len);
		break;
	}
	if (call->result < 0) {
		/* It may be any number: a call can come through memory that others write. */
		const char *name = call->result > -4096 ? strerrorname_np((int)-call->result) : NULL;

		say(&t, " = %s", name ? name : "?");
	} else {
		say(&t, " = %" PRId64, call->result);
	}
	return buf;
}
