/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user COMMAND SOCKET... : drives libvfio-user's server sample (of its v1 revision), a real device of v1, by its
 * migration region. The sample ends with its client, so each command needs samples of its own, which the peer's script starts.
 *
 *	info A		what it is
 *	cancel A B	pre-copy and stop-copy begun and given up, then a migration
 *	move A B	a live migration while BAR 1 changes; then the interrupt and the DMA that were due, at B
 *	save A FILE	into a file
 *	load A FILE	and from it
 *	dirty A		the dirty pages of v1 times
 *
 * The sample arms a timer at BAR 0 whenever it is to run, and refuses to run if that time has passed; it wants the data
 * section read in one piece, not mapped (a mapped one reads as zeros), and must be drained before it is stopped.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <vmig/vmig.h>

#include "guest.h"

#define BAR1_SIZE 0x3000u
#define PAGE      4096u
#define WAIT_MS   20000

unsigned int guest_failed_checks;

static char **sockets;
static uint8_t bar1[BAR1_SIZE]; /* what was last written */

/* --- the device -------------------------------------------------------------------------------------- */

static struct vmig_device *open_sample(const char *path)
{
	const struct vmig_v1_drive_config config = { .no_mmap = true };
	struct vmig_device *dev = NULL, *driven = NULL;
	struct vmig_error error = { 0 };
	int r = vmig_open_vfio_user(path, NULL, &dev, &error);

	if (!r)
		r = vmig_drive_v1(dev, &config, &driven, &error);
	if (r) {
		printf("# %s: %s: %s\nBail out! it cannot be driven\n", path, error.where, error.text);
		exit(1);
	}
	return driven;
}

static void write_time(struct vmig_device *dev, uint64_t seconds)
{
	uint64_t when = (uint64_t)time(NULL) + seconds;

	CHECK_INT(vmig_device_region_write(dev, 0, 0, &when, sizeof(when)), 0);
}

static void write_bar1(struct vmig_device *dev, unsigned int seed)
{
	for (size_t i = 0; i < BAR1_SIZE; i++)
		bar1[i] = (uint8_t)(i * 31 + i / 256 + seed);
	CHECK_INT(vmig_device_region_write(dev, 1, 0, bar1, sizeof(bar1)), 0);
}

static bool has_bar1(struct vmig_device *dev)
{
	uint8_t now[BAR1_SIZE];

	return CHECK_INT(vmig_device_region_read(dev, 1, 0, now, sizeof(now)), 0) &&
	       !memcmp(now, bar1, sizeof(now));
}

static uint32_t state_of(struct vmig_device *dev)
{
	uint32_t state = VMIG_STATE_NONE;

	CHECK_INT(vmig_device_query_state(dev, &state), 0);
	return state;
}

/* --- a migration ------------------------------------------------------------------------------------- */

static int stop_writing(void *opaque);

static struct end {
	struct vmig_device *dev;
	struct vmig_channel *channel;
	struct vmig_migrate_user user;
	struct vmig_migrate_result result;
	bool source;
} ends[2];

static void *run_end(void *opaque)
{
	struct end *e = opaque;
	const struct vmig_migrate_options options = { .max_rounds = 3 };

	if (e->source)
		vmig_migrate_source(&e->dev, 1, e->channel, &e->user, &options, &e->result);
	else
		vmig_migrate_destination(&e->dev, 1, e->channel, &e->user, &options, &e->result);
	return NULL;
}

static void check_result(const struct vmig_migrate_result *result)
{
	CHECK_INT(result->outcome, VMIG_DONE);
	CHECK_INT(result->resets, 0);
	if (result->outcome != VMIG_DONE)
		printf("# %s\n", result->reason);
}

static void migrate(struct vmig_device *from, struct vmig_device *to)
{
	pthread_t threads[2];
	int fds[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	for (int i = 0; i < 2; i++) {
		ends[i] = (struct end){ .dev = i ? to : from, .source = !i };
		ends[i].user.quiesce = stop_writing;
		CHECK_INT(vmig_channel_socket(fds[i], &ends[i].channel), 0);
		CHECK_INT(pthread_create(&threads[i], NULL, run_end, &ends[i]), 0);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		vmig_channel_close(ends[i].channel);
		check_result(&ends[i].result);
	}
	CHECK_INT(state_of(from), VMIG_STATE_STOP);
	CHECK_INT(state_of(to), VMIG_STATE_RUNNING);
}

/* Changes BAR 1 all the time, until the migration quiesces its user. */
static struct writer {
	pthread_t thread;
	struct vmig_device *dev;
	_Atomic bool stop;
	bool runs;
} writer;

static void *write_on(void *opaque)
{
	for (unsigned int seed = 1; !writer.stop; seed++)
		write_bar1(writer.dev, seed);
	return NULL;
}

static void start_writing(struct vmig_device *dev)
{
	writer.dev = dev;
	writer.stop = false;
	writer.runs = !pthread_create(&writer.thread, NULL, write_on, NULL);
	CHECK(writer.runs);
}

static int stop_writing(void *opaque)
{
	writer.stop = true;
	if (writer.runs)
		pthread_join(writer.thread, NULL);
	writer.runs = false;
	return 0;
}

/* --- the commands ------------------------------------------------------------------------------------ */

static void info(void)
{
	struct vmig_device *dev = open_sample(sockets[0]);
	struct vmig_device_info i;

	vmig_device_query_info(dev, &i);
	CHECK_INT(i.migration_flags, VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY);
	CHECK(!strcmp(i.format, VMIG_FORMAT_V1));
	CHECK(i.traits & VMIG_TRAIT_LATE_VALIDATION && i.traits & VMIG_TRAIT_TRANSACTION_SIZES);
	CHECK(i.has & VMIG_HAS_IOMMU_LOG);
	CHECK(!strncmp(i.identity, "pci:dead:beef", 13));
	CHECK_INT(state_of(dev), VMIG_STATE_RUNNING);
	vmig_device_close(dev);
}

/* All that there is of a session. */
static void drain(struct vmig_session *session)
{
	static uint8_t buf[1 << 16];
	struct iovec iov;
	ssize_t n;

	do {
		iov = (struct iovec){ buf, sizeof(buf) };
		n = vmig_session_readv(session, &iov, 1);
	} while (n > 0);
	CHECK(!n || n == -ENOMSG);
}

static void set(struct vmig_device *dev, uint32_t state, struct vmig_session **ret)
{
	struct vmig_error error;
	int r = vmig_device_set_state(dev, state, VMIG_STATE_NONE, ret);

	vmig_device_query_error(dev, &error);
	if (!CHECK_INT(r, 0))
		printf("# to %s: %s: %s\n", vmig_state_name(state), error.where, error.text);
}

static void cancel(void)
{
	struct vmig_device *a = open_sample(sockets[0]), *b = open_sample(sockets[1]);
	struct vmig_session *session = NULL;

	write_time(a, 1000);
	write_bar1(a, 7);
	set(a, VMIG_STATE_PRE_COPY, &session);
	set(a, VMIG_STATE_RUNNING, NULL);
	vmig_session_close(session);
	set(a, VMIG_STATE_PRE_COPY, &session);
	drain(session);
	set(a, VMIG_STATE_STOP_COPY, NULL);
	drain(session);
	set(a, VMIG_STATE_RUNNING, NULL);
	vmig_session_close(session);
	set(a, VMIG_STATE_STOP, NULL);
	set(a, VMIG_STATE_RUNNING, NULL);
	CHECK(has_bar1(a));
	migrate(a, b);
	CHECK(has_bar1(b));
	vmig_device_close(a);
	vmig_device_close(b);
}

static void move(void)
{
	struct vmig_device *a = open_sample(sockets[0]), *b = open_sample(sockets[1]);
	uint8_t *memory = aligned_alloc(PAGE, PAGE);
	struct vmig_dma map = { .iova = 0x10000,
				.size = PAGE,
				.prot = VMIG_DMA_READ | VMIG_DMA_WRITE,
				.fd = -1,
				.vaddr = memory };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const struct vmig_irq_set arm = { .flags = VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER,
					  .count = 1,
					  .fds = &fd };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t should[PAGE];

	write_time(a, 3);
	start_writing(a);
	migrate(a, b);
	CHECK(has_bar1(b));
	CHECK(ends[0].result.bytes > BAR1_SIZE);
	/* The interrupt of the source's time comes at the destination, and its DMA. */
	memset(memory, 0, PAGE);
	memset(should, 'A', sizeof(should));
	CHECK_INT(vmig_device_map_dma(b, &map), 0);
	CHECK_INT(vmig_device_set_irqs(b, &arm), 0);
	CHECK_INT(poll(&p, 1, WAIT_MS), 1);
	for (int i = 0; i < WAIT_MS && memcmp(memory, should, PAGE); i++)
		usleep(1000);
	CHECK(!memcmp(memory, should, PAGE));
	vmig_device_close(a);
	vmig_device_close(b);
	free(memory);
	close(fd);
}

static void save(void)
{
	struct vmig_device *a = open_sample(sockets[0]);
	const struct vmig_migrate_options options = { .max_rounds = 3 };
	struct vmig_migrate_result result = { 0 };
	struct vmig_channel *channel;

	write_time(a, 1000);
	write_bar1(a, 3);
	CHECK_INT(vmig_channel_file(sockets[1], true, &channel, NULL), 0);
	vmig_migrate_source(&a, 1, channel, NULL, &options, &result);
	check_result(&result);
	CHECK_INT(state_of(a), VMIG_STATE_STOP);
	vmig_channel_close(channel);
	vmig_device_close(a);
}

/* By a channel of the same file, since the sample ends with the client that has restored it. */
static void load(void)
{
	struct vmig_device *a = open_sample(sockets[0]);
	const struct vmig_migrate_options options = { 0 };
	struct vmig_migrate_result result = { 0 };
	struct vmig_channel *channel;
	uint64_t since;

	for (size_t i = 0; i < BAR1_SIZE; i++)
		bar1[i] = (uint8_t)(i * 31 + i / 256 + 3);
	CHECK_INT(vmig_channel_file(sockets[1], false, &channel, NULL), 0);
	vmig_migrate_destination(&a, 1, channel, NULL, &options, &result);
	check_result(&result);
	CHECK_INT(state_of(a), VMIG_STATE_RUNNING);
	CHECK(has_bar1(a));
	CHECK_INT(vmig_device_region_read(a, 0, 0, &since, sizeof(since)), 0);
	CHECK((int64_t)since < 0 && (int64_t)since >= -1000); /* the time that was saved is still to come */
	vmig_channel_close(channel);
	vmig_device_close(a);
}

static void dirty(void)
{
	struct vmig_device *a = open_sample(sockets[0]);
	const struct vmig_range range = { 0, 1 << 20 };
	uint64_t page_size = PAGE, bits = 0;
	int fd = memfd_create("memory", MFD_CLOEXEC);

	CHECK_INT(ftruncate(fd, 2 * PAGE), 0);
	for (uint64_t i = 0; i < 2; i++) {
		struct vmig_dma map = { .iova = 0x10000 * (i + 1),
					.size = PAGE,
					.prot = VMIG_DMA_READ | VMIG_DMA_WRITE,
					.fd = fd,
					.fd_offset = i * PAGE,
					.vaddr = NULL };

		CHECK_INT(vmig_device_map_dma(a, &map), 0);
	}
	CHECK_INT(vmig_device_dma_log_start(a, &page_size, &range, 1), 0);
	CHECK_INT(page_size, PAGE);
	/* The sample itself never writes but by messages, which it does not log: what is tested is that it answers. */
	CHECK_INT(vmig_device_dma_log_report(a, 0x10000, PAGE, PAGE, &bits), 0);
	CHECK_INT(vmig_device_dma_log_report(a, 0, 64 * PAGE, PAGE, &bits), 0);
	CHECK_INT(bits, 0);
	CHECK_INT(vmig_device_dma_log_stop(a), 0);
	CHECK_INT(vmig_device_dma_log_report(a, 0x10000, PAGE, PAGE, &bits), -EINVAL);
	vmig_device_close(a);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct {
		struct guest_test test;
		int n;
	} commands[] = {
		{ { "server_sample_is_a_device_of_v1", info }, 1 },
		{ { "server_sample_cancels_and_migrates", cancel }, 2 },
		{ { "server_sample_moves_live_with_its_interrupt_and_dma", move }, 2 },
		{ { "server_sample_is_saved_to_a_file", save }, 2 },
		{ { "server_sample_is_restored_from_a_file", load }, 2 },
		{ { "server_sample_answers_dirty_pages", dirty }, 1 },
	};
	static const char *const names[] = { "info", "cancel", "move", "save", "load", "dirty" };

	for (size_t i = 0; argc > 2 && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(argv[1], names[i]) || argc != commands[i].n + 2)
			continue;
		sockets = argv + 2;
		return guest_run("libvfio-user-v1", &commands[i].test, 1);
	}
	fprintf(stderr, "see the head of %s\n", __FILE_NAME__);
	return 2;
}
