/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device [-v] PATH : the device that libvfio-user's client sample (of its v1 revision) wants to drive, as a model of ours,
 * shown through a migration region on a vfio-user socket. It ends with its client.
 *
 *	BAR 0	8 bytes: a time in seconds; when it comes the device raises INTx, then writes and reads a page of memory
 *	BAR 1	12 KiB of memory
 *
 * Its stream has a record of BAR 1 in pre-copy, and one of BAR 1 and BAR 0 at the end: the sample takes no more than one
 * transaction of each. What it does it says on standard error, "device: ..."; the peer's script reads that.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <vmig/model.h>
#include <vmig/region.h>
#include <vmig/server.h>

#define BAR1_SIZE   0x3000u
#define CONFIG_SIZE 256u
#define PAGE        4096u
#define PAGES       64u /* in which the first mapping is looked for */
#define N_REGIONS   9u
#define N_IRQS      5u

struct record {
	uint64_t last; /* 1: bar0 counts */
	uint8_t bar1[BAR1_SIZE];
	uint64_t bar0;
};

struct device {
	struct vmig_model *model;
	pthread_t timer;
	pthread_mutex_t lock; /* of what follows; never held during DMA */
	pthread_cond_t changed;
	bool running, busy, exit, armed;
	uint64_t bar0;
	uint8_t bar1[BAR1_SIZE], config[CONFIG_SIZE];
	struct record out, in;
	size_t out_at, out_len, in_at;
};

/* FNV-1a: for a person to compare. */
static uint64_t hash(const uint8_t *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ull;

	while (len--)
		h = (h ^ *p++) * 0x100000001b3ull;
	return h;
}

static void say_bar1(const struct device *d, const char *when)
{
	fprintf(stderr, "device: bar1 %016llx %s\n", (unsigned long long)hash(d->bar1, BAR1_SIZE), when);
}

/* --- the timer --------------------------------------------------------------------------------------- */

/* A page of whatever mapping comes first: written, read back, compared. Without the lock. */
static void do_dma(struct device *d)
{
	uint8_t buf[PAGE];
	int r = -EFAULT;

	memset(buf, 'A', sizeof(buf));
	for (uint64_t page = 0; r && page < PAGES; page++) {
		r = vmig_model_dma_write(d->model, page * PAGE, buf, sizeof(buf));
		memset(buf, r ? 'A' : 0, sizeof(buf));
		if (!r)
			r = vmig_model_dma_read(d->model, page * PAGE, buf, sizeof(buf));
	}
	for (size_t i = 0; !r && i < sizeof(buf); i++)
		r = buf[i] == 'A' ? 0 : -EIO;
	fprintf(stderr, "device: dma %s\n", r ? strerror(-r) : "done");
}

static bool is_due(const struct device *d)
{
	return d->running && d->armed && (uint64_t)time(NULL) >= d->bar0;
}

static void *run_timer(void *opaque)
{
	struct device *d = opaque;

	pthread_mutex_lock(&d->lock);
	while (!d->exit) {
		struct timespec until = { .tv_sec = (time_t)d->bar0 };

		if (is_due(d)) {
			d->armed = false;
			d->busy = true;
			pthread_mutex_unlock(&d->lock);
			fprintf(stderr, "device: interrupt\n");
			vmig_model_raise(d->model, 0, 0);
			do_dma(d);
			pthread_mutex_lock(&d->lock);
			d->busy = false;
		} else if (d->running && d->armed) {
			pthread_cond_timedwait(&d->changed, &d->lock, &until);
		} else {
			pthread_cond_wait(&d->changed, &d->lock);
		}
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* --- migration --------------------------------------------------------------------------------------- */

static bool is_running(uint32_t state)
{
	return state == VMIG_STATE_RUNNING || state == VMIG_STATE_PRE_COPY;
}

/* With the lock. */
static void begin_record(struct device *d, bool last)
{
	d->out.last = last;
	memcpy(d->out.bar1, d->bar1, BAR1_SIZE);
	d->out.bar0 = last ? d->bar0 : 0;
	d->out_at = 0;
	d->out_len = sizeof(d->out);
}

static int finish_load(struct device *d)
{
	if (d->in_at != sizeof(d->in) || d->in.last != 1)
		return -EINVAL;
	memcpy(d->bar1, d->in.bar1, BAR1_SIZE);
	d->bar0 = d->in.bar0;
	d->armed = true;
	say_bar1(d, "loaded");
	return 0;
}

/* In STOP_COPY, once the record that is under way has been read, the last one follows. */
static int step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	struct device *d = opaque;
	int r = 0;

	pthread_mutex_lock(&d->lock);
	if (d->busy)
		r = -EBUSY;
	else if (from == VMIG_STATE_RESUMING)
		r = finish_load(d);
	else if (to == VMIG_STATE_RESUMING)
		d->in_at = 0;
	else if (to == VMIG_STATE_PRE_COPY)
		begin_record(d, false);
	else if (to == VMIG_STATE_STOP_COPY && from != VMIG_STATE_PRE_COPY)
		begin_record(d, true);
	if (!r) {
		if (to == VMIG_STATE_STOP_COPY)
			say_bar1(d, "stopped");
		d->running = is_running(to);
		pthread_cond_signal(&d->changed);
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

static ssize_t read_data(void *opaque, void *buf, size_t len)
{
	struct device *d = opaque;
	size_t n;

	pthread_mutex_lock(&d->lock);
	if (d->out_at == d->out_len && !d->running && !d->out.last)
		begin_record(d, true);
	n = d->out_len - d->out_at < len ? d->out_len - d->out_at : len;
	memcpy(buf, (uint8_t *)&d->out + d->out_at, n);
	d->out_at += n;
	pthread_mutex_unlock(&d->lock);
	return (ssize_t)n;
}

static int write_data(void *opaque, const void *buf, size_t len)
{
	struct device *d = opaque;
	const uint8_t *from = buf;
	size_t n;

	for (; len; from += n, len -= n) {
		if (d->in_at == sizeof(d->in) && d->in.last)
			return -EBADMSG; /* more behind the last one */
		d->in_at %= sizeof(d->in);
		n = sizeof(d->in) - d->in_at < len ? sizeof(d->in) - d->in_at : len;
		memcpy((uint8_t *)&d->in + d->in_at, from, n);
		d->in_at += n;
		if (d->in_at >= sizeof(d->in.last) && d->in.last > 1)
			return -EBADMSG;
	}
	return 0;
}

static int precopy_sizes(void *opaque, struct vmig_precopy *ret)
{
	struct device *d = opaque;

	pthread_mutex_lock(&d->lock);
	*ret = (struct vmig_precopy){ .initial_bytes = d->out_len - d->out_at, .dirty_bytes = 0 };
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static int stop_copy_size(void *opaque, uint64_t *ret_bytes)
{
	*ret_bytes = 2 * sizeof(struct record);
	return 0;
}

static int reset(void *opaque)
{
	struct device *d = opaque;

	pthread_mutex_lock(&d->lock);
	d->running = true;
	d->armed = false;
	pthread_mutex_unlock(&d->lock);
	return 0;
}

/* --- regions ----------------------------------------------------------------------------------------- */

static int region_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	struct device *d = opaque;
	uint64_t since;
	int r = 0;

	pthread_mutex_lock(&d->lock);
	since = (uint64_t)time(NULL) - d->bar0;
	if (index == VMIG_REGION_PCI_CONFIG)
		memcpy(buf, d->config + offset, len);
	else if (index == 1)
		memcpy(buf, d->bar1 + offset, len);
	else if (len == sizeof(since))
		memcpy(buf, &since, len);
	else
		r = -EINVAL;
	pthread_mutex_unlock(&d->lock);
	return r;
}

static int region_write(void *opaque, uint32_t index, uint64_t offset, const void *buf, size_t len)
{
	struct device *d = opaque;
	int r = 0;

	pthread_mutex_lock(&d->lock);
	if (index == 1) {
		memcpy(d->bar1 + offset, buf, len);
	} else if (index == 0 && len == sizeof(d->bar0)) {
		memcpy(&d->bar0, buf, len);
		d->armed = true;
		pthread_cond_signal(&d->changed);
	} else if (index == 0) {
		r = -EINVAL;
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

/* --- making it --------------------------------------------------------------------------------------- */

static void end(void *opaque)
{
	struct device *d = opaque;

	pthread_mutex_lock(&d->lock);
	d->exit = true;
	pthread_cond_signal(&d->changed);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->timer, NULL);
	free(d);
}

static const struct vmig_model_ops ops = {
	.step = step,
	.read = read_data,
	.write = write_data,
	.precopy_sizes = precopy_sizes,
	.stop_copy_size = stop_copy_size,
	.reset = reset,
	.region_read = region_read,
	.region_write = region_write,
	.close = end,
};

static int make(struct vmig_device **ret)
{
	static const uint8_t ids[] = { 0xad, 0xde, 0xef, 0xbe }, subsystem[] = { 0xfe, 0xca, 0xbe, 0xba };
	const uint32_t rw = VMIG_REGION_READ | VMIG_REGION_WRITE;
	struct vmig_region regions[N_REGIONS] = { [0] = { .size = 8, .flags = rw },
						  [1] = { .size = BAR1_SIZE, .flags = rw },
						  [VMIG_REGION_PCI_CONFIG] = { .size = CONFIG_SIZE,
									       .flags = rw } };
	struct vmig_irq irqs[N_IRQS] = { [0] = { .flags = 1, .count = 1 } }; /* INTx, by eventfd */
	const struct vmig_model_config config = { .name = "sample",
						  .identity = "pci:dead:beef/sample",
						  .migration_flags =
							  VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY,
						  .has = VMIG_HAS_IOMMU_LOG,
						  .n_regions = N_REGIONS,
						  .n_irqs = N_IRQS,
						  .regions = regions,
						  .irqs = irqs };
	struct device *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	memcpy(d->config, ids, sizeof(ids));
	memcpy(d->config + 0x2c, subsystem, sizeof(subsystem));
	d->running = true;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	r = vmig_model_new(&ops, d, &config, &d->model, ret);
	return r ? r : -pthread_create(&d->timer, NULL, run_timer, d);
}

/* A client of @path: it has its name only when it listens, for the sample connects as soon as it sees it. */
static int accept_one(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s~", path);
	unlink(address.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1) ||
	    rename(address.sun_path, path))
		return -errno;
	client = accept(fd, NULL, NULL);
	close(fd);
	return client < 0 ? -errno : client;
}

int main(int argc, char **argv)
{
	const struct vmig_v1_config shown = { .section = VMIG_V1_SECTION_MAPPED, .section_size = 65536 };
	/* The sample answers the device's messages, though it has passed descriptors. */
	const struct vmig_server_config config = { .fd = -1, .dma_by_message = 1 };
	struct vmig_device *plain, *dev;
	int r;

	if (argc < 2)
		return 2;
	r = make(&plain);
	if (!r)
		r = vmig_show_v1(plain, &shown, &dev);
	if (!r)
		r = accept_one(argv[argc - 1]);
	if (r >= 0)
		r = vmig_server_serve(dev, &config, r);
	fprintf(stderr, "device: ended: %s\n", r < 0 ? strerror(-r) : "the client went");
	if (r >= 0)
		vmig_device_close(dev);
	return r < 0;
}
