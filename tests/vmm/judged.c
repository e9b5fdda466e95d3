/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * judged [--iommufd N CDEV CDEV] [--v1] [MISBEHAVIOUR] : a VMM that migrates the device of /dev/vfio/90 to that of
 * /dev/vfio/91 by system calls alone, and does one thing wrong that it is told to. When something fails it does what the
 * text asks of it. Exit status: 0 it has arrived, 1 it has not, 2 it cannot be tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmig/state.h>
#include <vmig/uapi.h>

#define STREAM_MAX (16u << 20)
#define MEMORY     (1u << 20)
#define IOVA       0x100000ull
#define BAR0       (0ull << 40)
#define PIECE      4096u

struct device {
	int container, group, fd, data_fd;
	uint64_t v1; /* where its migration region is */
};

static const char *wrong = "";
static struct device source = { -1, -1, -1, -1, 0 }, destination = { -1, -1, -1, -1, 0 };
static const char *iommufd, *cdevs[2];
static uint8_t *stream;
static size_t stream_len;

static bool is(const char *what)
{
	return !strcmp(wrong, what);
}

__attribute__((noreturn)) static void cannot(const char *what)
{
	fprintf(stderr, "judged: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* --- opening ----------------------------------------------------------------------------------- */

static void *memory(void)
{
	void *at = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		cannot("memory");
	return at;
}

static void open_container(struct device *d, unsigned int group)
{
	struct vmig_uapi_iommu_type1_dma_map map = { .argsz = sizeof(map),
						     .flags = VMIG_UAPI_DMA_MAP_FLAG_READ |
							      VMIG_UAPI_DMA_MAP_FLAG_WRITE,
						     .vaddr = (uintptr_t)memory(),
						     .iova = IOVA,
						     .size = MEMORY };
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%u", group);
	d->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	d->group = open(path, O_RDWR | O_CLOEXEC);
	if (d->container < 0 || d->group < 0)
		cannot(path);
	if (ioctl(d->group, VMIG_UAPI_GROUP_SET_CONTAINER, &d->container) ||
	    ioctl(d->container, VMIG_UAPI_SET_IOMMU, VMIG_UAPI_TYPE1v2_IOMMU) ||
	    ioctl(d->container, VMIG_UAPI_IOMMU_MAP_DMA, &map))
		cannot("the container");
	d->fd = ioctl(d->group, VMIG_UAPI_GROUP_GET_DEVICE_FD, "0000:00:01.0");
	if (d->fd < 0)
		cannot("the device");
}

static void open_cdev(struct device *d, const char *cdev)
{
	struct vmig_uapi_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = atoi(iommufd) };
	struct vmig_uapi_iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vmig_uapi_device_attach_iommufd_pt pt = { .argsz = sizeof(pt) };

	d->fd = atoi(cdev);
	if (ioctl(d->fd, VMIG_UAPI_DEVICE_BIND_IOMMUFD, &bind) ||
	    ioctl(bind.iommufd, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc))
		cannot("the iommufd");
	pt.pt_id = alloc.out_ioas_id;
	if (ioctl(d->fd, VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, &pt))
		cannot("the page table");
}

static void close_device(struct device *d)
{
	close(d->fd);
	if (d->group >= 0)
		close(d->group);
	if (d->container >= 0)
		close(d->container);
}

/* --- v2: calls --------------------------------------------------------------------------------- */

struct feature {
	struct vmig_uapi_device_feature head;
	union {
		struct vmig_uapi_device_feature_migration migration;
		struct vmig_uapi_device_feature_mig_state state;
		struct vmig_uapi_device_feature_dma_logging_control start;
		struct vmig_uapi_device_feature_dma_logging_report report;
	};
};

static int feature(struct device *d, struct feature *f, uint32_t flags)
{
	f->head = (struct vmig_uapi_device_feature){ .argsz = sizeof(*f), .flags = flags };
	return ioctl(d->fd, VMIG_UAPI_DEVICE_FEATURE, f);
}

static void reset(struct device *d)
{
	if (ioctl(d->fd, VMIG_UAPI_DEVICE_RESET))
		cannot("a reset");
}

static bool ask_flags(struct device *d)
{
	struct feature f = { 0 };

	if (feature(d, &f, VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_MIGRATION))
		cannot("the flags");
	return !is("gives-up-at-a-future-flag") || f.migration.flags < 8;
}

static bool set(struct device *d, uint32_t state)
{
	struct feature f = { .state = { .device_state = state, .data_fd = -1 } };

	if (feature(d, &f, VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE))
		return false;
	if (f.state.data_fd >= 0)
		d->data_fd = f.state.data_fd;
	return true;
}

static uint32_t get(struct device *d)
{
	struct feature f = { 0 };

	if (feature(d, &f, VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE))
		cannot("the state");
	return f.state.device_state;
}

static void close_data(struct device *d)
{
	if (d->data_fd >= 0)
		close(d->data_fd);
	d->data_fd = -1;
}

static void touch(struct device *d)
{
	uint64_t value;

	if (pread(d->fd, &value, sizeof(value), (off_t)BAR0) != sizeof(value))
		cannot("a register");
}

static void log_start(struct device *d)
{
	struct vmig_uapi_device_feature_dma_logging_range range = { IOVA, MEMORY };
	struct feature f = { .start = { .page_size = 4096, .num_ranges = 1, .ranges = (uintptr_t)&range } };

	(void)feature(d, &f, VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START);
}

static void log_report(struct device *d, uint64_t iova)
{
	uint64_t bits[MEMORY / 4096 / 64] = { 0 };
	struct feature f = {
		.report = { .iova = iova, .length = MEMORY, .page_size = 4096, .bitmap = (uintptr_t)bits }
	};

	(void)feature(d, &f, VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT);
}

static void log_stop(struct device *d)
{
	struct feature f = { 0 };

	(void)feature(d, &f, VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP);
}

static bool precopy_info(struct device *d)
{
	struct vmig_uapi_precopy_info info = { .argsz = sizeof(info) };

	return !ioctl(d->data_fd, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info);
}

/* --- v2: saving -------------------------------------------------------------------------------- */

/* Until there is nothing for now, or @pieces have been read. */
static bool take(struct device *d, unsigned int pieces)
{
	ssize_t n = 1;

	while (pieces-- && (n = read(d->data_fd, stream + stream_len, PIECE)) > 0)
		stream_len += (size_t)n;
	return n >= 0 || errno == ENOMSG;
}

static bool pre_copy(void)
{
	if (is("asks-for-error")) {
		(void)set(&source, VMIG_STATE_ERROR);
		(void)get(&source);
	}
	if (!set(&source, VMIG_STATE_PRE_COPY))
		return false;
	if (!is("never-asks-for-sizes") && !precopy_info(&source))
		return false;
	return take(&source, is("leaves-pre-copy-early") ? 1 : UINT32_MAX);
}

static bool stop_copy(void)
{
	if (!set(&source, VMIG_STATE_PRE_COPY_P2P))
		return false;
	if (is("touches-in-p2p"))
		touch(&source);
	if (!set(&source, VMIG_STATE_STOP_COPY))
		return false;
	if (is("touches-when-stopped"))
		touch(&source);
	if (is("asks-for-sizes-late"))
		(void)precopy_info(&source);
	if (!is("no-last-report"))
		log_report(&source, IOVA);
	if (is("takes-drained-for-the-end"))
		return true;
	return take(&source, is("does-not-read-to-the-end") ? 1 : UINT32_MAX);
}

static bool save(void)
{
	char byte;

	log_start(&source);
	if (is("starts-the-log-twice"))
		log_start(&source);
	log_report(&source, is("reports-other-ranges") ? 0 : IOVA);
	if (!pre_copy() || !stop_copy() || !set(&source, VMIG_STATE_STOP))
		return false;
	if (is("uses-an-ended-session"))
		(void)!read(source.data_fd, &byte, 1);
	if (!is("leaves-data-fd-open"))
		close_data(&source);
	if (!is("leaves-the-log-on"))
		log_stop(&source);
	if (is("stops-the-log-twice"))
		log_stop(&source);
	return true;
}

/* --- v2: loading ------------------------------------------------------------------------------- */

static bool put(size_t from, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = write(destination.data_fd, stream + from + at, len - at);

		if (n < 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static bool load(void)
{
	if (is("takes-drained-for-the-end") || is("does-not-read-to-the-end"))
		return true; /* a device would not take it */
	if (!set(&destination, VMIG_STATE_RESUMING))
		return false;
	if (!put(0, stream_len)) {
		if (is("writes-on-after-a-failure"))
			(void)put(0, stream_len);
		if (is("leaves-a-failed-load"))
			(void)set(&destination, VMIG_STATE_STOP);
		return false;
	}
	if (!set(&destination, VMIG_STATE_RUNNING_P2P) || !set(&destination, VMIG_STATE_RUNNING))
		return false;
	close_data(&destination);
	touch(&destination);
	return true;
}

/* --- v2: when it fails -------------------------------------------------------------------------- */

static void give_up_source(void)
{
	if (is("goes-on-after-a-failure"))
		(void)take(&source, 1);
	if (is("resets-at-once")) {
		reset(&source);
	} else if (get(&source) == VMIG_STATE_ERROR) {
		if (is("asks-in-error"))
			(void)set(&source, VMIG_STATE_RUNNING);
		reset(&source);
	} else if (!is("gives-up-the-source") && !set(&source, VMIG_STATE_RUNNING)) {
		reset(&source);
	}
	close_data(&source);
}

static void give_up_destination(void)
{
	reset(&destination);
	if (is("works-with-nothing"))
		touch(&destination);
	close_data(&destination);
}

static bool migrate_v2(void)
{
	bool saved, arrived;

	if (!ask_flags(&source) || !ask_flags(&destination))
		return false;
	if (!is("does-not-know-the-state"))
		reset(&source);
	reset(&destination);
	saved = save();
	arrived = saved && load();
	if (!arrived)
		give_up_source();
	if (!saved)
		log_stop(&source);
	if (saved && !arrived)
		give_up_destination();
	return arrived;
}

/* --- v1 ------------------------------------------------------------------------------------------ */

enum { STATE = 0, PENDING = 8, OFFSET = 16, SIZE = 24 };

static struct {
	uint64_t sizes[4096];
	unsigned int n;
} pieces;

static void find_region(struct device *d)
{
	struct vmig_uapi_device_info info = { .argsz = sizeof(info) };

	if (ioctl(d->fd, VMIG_UAPI_DEVICE_GET_INFO, &info))
		cannot("the device's info");
	for (uint32_t i = VMIG_UAPI_PCI_NUM_REGIONS; i < info.num_regions; i++) {
		struct vmig_uapi_region_info region = { .argsz = sizeof(region), .index = i };

		if (!ioctl(d->fd, VMIG_UAPI_DEVICE_GET_REGION_INFO, &region))
			d->v1 = region.offset;
	}
	if (!d->v1)
		cannot("the migration region");
}

static bool v1_get(struct device *d, uint64_t at, uint64_t *ret)
{
	return pread(d->fd, ret, 8, (off_t)(d->v1 + at)) == 8;
}

static bool v1_put(struct device *d, uint64_t at, uint64_t value)
{
	return pwrite(d->fd, &value, 8, (off_t)(d->v1 + at)) == 8;
}

static uint32_t v1_state(struct device *d)
{
	uint32_t state = 0;

	(void)!pread(d->fd, &state, 4, (off_t)(d->v1 + STATE));
	return state;
}

static bool v1_set(struct device *d, uint32_t state)
{
	uint32_t value = (v1_state(d) & ~7u) | state;

	if (pwrite(d->fd, &value, 4, (off_t)(d->v1 + STATE)) == 4)
		return true;
	if (!is("v1-writes-after-a-failure"))
		(void)v1_state(d);
	else
		(void)!pwrite(d->fd, &value, 4, (off_t)(d->v1 + STATE));
	return false;
}

static bool v1_take_one(struct device *d)
{
	uint64_t offset = d->v1, size;

	if (!is("v1-size-without-offset") && !v1_get(d, OFFSET, &offset))
		return false;
	if (!v1_get(d, SIZE, &size))
		return false;
	if (is("v1-size-without-offset") && !v1_get(d, OFFSET, &offset))
		return false;
	if (size > STREAM_MAX - stream_len || pieces.n == 4096 ||
	    pread(d->fd, stream + stream_len, size, (off_t)(d->v1 + offset)) != (ssize_t)size)
		return false;
	pieces.sizes[pieces.n++] = size;
	stream_len += size;
	return true;
}

static bool v1_take(struct device *d, unsigned int most)
{
	uint64_t pending;

	while (most--) {
		if (!v1_get(d, PENDING, &pending))
			return false;
		if (!pending)
			return true;
		if (!v1_take_one(d))
			return false;
	}
	return true;
}

static bool v1_save(void)
{
	if (!v1_set(&source, 3) || !v1_take(&source, 4))
		return false;
	if (is("v1-writes-size-when-saving"))
		(void)v1_put(&source, SIZE, 0);
	return v1_set(&source, 2) && v1_take(&source, is("v1-stops-early") ? 1 : UINT32_MAX) &&
	       v1_set(&source, 0);
}

static bool v1_load(void)
{
	uint64_t at = 0, offset;

	if (is("v1-stops-early"))
		return true;
	if (!v1_set(&destination, 4))
		return false;
	for (unsigned int i = 0; i < pieces.n; at += pieces.sizes[i++]) {
		ssize_t size = (ssize_t)pieces.sizes[i];

		if (!v1_get(&destination, OFFSET, &offset) ||
		    pwrite(destination.fd, stream + at, (size_t)size, (off_t)(destination.v1 + offset)) !=
			    size)
			return false;
		if (is("v1-loads-without-offset") && !v1_put(&destination, SIZE, 0))
			return false;
		if (!v1_put(&destination, SIZE, (uint64_t)size))
			return false;
	}
	return v1_set(&destination, 1);
}

static bool migrate_v1(void)
{
	bool saved, arrived;

	find_region(&source);
	find_region(&destination);
	saved = v1_save();
	arrived = saved && v1_load();
	if (!arrived && (v1_state(&source) & 7) != 1 && ((v1_state(&source) & 7) == 6 || !v1_set(&source, 1)))
		reset(&source);
	if (saved && !arrived)
		reset(&destination);
	return arrived;
}

int main(int argc, char **argv)
{
	bool v1 = false, arrived;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--iommufd") && i + 3 < argc) {
			iommufd = argv[i + 1];
			cdevs[0] = argv[i + 2];
			cdevs[1] = argv[i + 3];
			i += 3;
		} else if (!strcmp(argv[i], "--v1")) {
			v1 = true;
		} else {
			wrong = argv[i];
		}
	}
	if (is("hangs"))
		pause();
	if (is("does-nothing"))
		return 0;
	stream = malloc(STREAM_MAX);
	if (!stream)
		cannot("memory");
	if (iommufd) {
		open_cdev(&source, cdevs[0]);
		open_cdev(&destination, cdevs[1]);
	} else {
		open_container(&source, 90);
		open_container(&destination, 91);
	}
	arrived = v1 ? migrate_v1() : migrate_v2();
	close_device(&source);
	close_device(&destination);
	free(stream);
	return arrived ? 0 : 1;
}
