/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory moves with the devices that write to it, by the engine: two devices that do DMA all the time, and their user. */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmig/memory.h>
#include <vmig/migrate.h>

#include "base/util.h"
#include "common/toy.h"

#define K4      4096ull
#define IOVA    (1ull << 32)
#define SIZE    (4ull << 20)
#define DEVICES 2
#define OWN     (SIZE - 64 * K4) /* from here on the user writes itself */

struct end {
	struct toy *toys[DEVICES];
	struct vmig_device *devices[DEVICES + 1];
	struct vmig_space *space;
	int fd;
	uint8_t *bytes;
	_Atomic uint64_t own; /* pages that the user has written, as bits */
	bool untracked;

	pthread_t thread;
	atomic_bool stop, told;
	atomic_uint rounds;
	unsigned int seed;

	struct vmig_channel *channel;
	struct vmig_migrate_user user;
	struct vmig_migrate_options options;
	struct vmig_migrate_result result;
	char warning[512];
	bool memory_stopped_early;
};

/* --- the user -------------------------------------------------------------------------------------- */

static int user_dirty(void *opaque, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap)
{
	struct end *end = opaque;

	ck_assert_uint_eq(iova, IOVA);
	ck_assert_uint_eq(length, SIZE);
	ck_assert_uint_eq(page_size, K4);
	bitmap[OWN / K4 / 64] |= atomic_exchange(&end->own, 0);
	return 0;
}

static void set_register(struct vmig_device *dev, uint64_t at, uint64_t v)
{
	ck_assert_int_eq(vmig_device_region_write(dev, TOY_REGISTERS, at, &v, sizeof(v)), 0);
}

/* The device writes a little of its buffer somewhere in the first quarter, within this call. */
static void let_write(struct end *end, int which)
{
	uint64_t at = (uint64_t)rand_r(&end->seed) % (SIZE / 4), word = (uint64_t)rand_r(&end->seed);
	struct vmig_device *dev = end->devices[which];

	ck_assert_int_eq(vmig_device_region_write(dev, TOY_BUFFER, 0, &word, sizeof(word)), 0);
	set_register(dev, TOY_REG_ADDRESS, IOVA + at);
	set_register(dev, TOY_REG_LENGTH, sizeof(word));
	set_register(dev, TOY_REG_COMMAND, TOY_COMMAND_WRITE);
}

static void write_itself(struct end *end)
{
	uint64_t page = (uint64_t)rand_r(&end->seed) % 64, value = (uint64_t)rand_r(&end->seed);
	uint64_t *to = (uint64_t *)(void *)(end->bytes + OWN + page * K4);

	__atomic_store_n(to, value, __ATOMIC_RELAXED);
	atomic_fetch_or(&end->own, 1ull << page);
}

static void *work(void *opaque)
{
	struct end *end = opaque;

	while (!atomic_load(&end->stop)) {
		for (int i = 0; i < DEVICES; i++)
			let_write(end, i);
		write_itself(end);
		atomic_fetch_add(&end->rounds, 1);
	}
	return NULL;
}

static void start_work(struct end *end)
{
	atomic_store(&end->stop, false);
	ck_assert_int_eq(pthread_create(&end->thread, NULL, work, end), 0);
}

static int quiesce(void *opaque)
{
	struct end *end = opaque;

	atomic_store(&end->stop, true);
	pthread_join(end->thread, NULL);
	return 0;
}

static void resume(void *opaque)
{
	start_work(opaque);
}

/* Memory is the last to stop. */
static void on_event(const struct vmig_migrate_event *event, void *opaque)
{
	struct end *end = opaque;
	uint32_t state;

	if (event->kind == VMIG_EVENT_WARNING)
		snprintf(end->warning, sizeof(end->warning), "%s", event->text);
	if (event->kind != VMIG_EVENT_STATE || event->state != VMIG_STATE_STOP_COPY ||
	    event->device != DEVICES)
		return;
	for (int i = 0; i < DEVICES; i++) {
		ck_assert_int_eq(vmig_device_query_state(end->devices[i], &state), 0);
		if (state != VMIG_STATE_STOP_COPY)
			end->memory_stopped_early = true;
	}
}

/* --- both ends ------------------------------------------------------------------------------------- */

static void open_memory(struct end *end, uint64_t page_size)
{
	const struct vmig_memory_region region = {
		.iova = IOVA, .size = SIZE, .page_size = page_size, .fd = end->fd
	};
	struct vmig_memory_config config = {
		.regions = &region,
		.n_regions = 1,
		.devices = end->devices,
		.n_devices = DEVICES,
		.dirty = end->untracked ? NULL : user_dirty,
		.opaque = end,
	};

	ck_assert_int_eq(vmig_memory_new(&config, &end->devices[DEVICES]), 0);
}

static void end_open(struct end *end, bool untracked)
{
	const struct toy_config config = { .state_size = 64 << 10 };
	struct vmig_dma map = { .iova = IOVA, .size = SIZE, .prot = 3 };

	memset(end, 0, sizeof(*end));
	end->untracked = untracked;
	end->seed = harness_seed();
	end->fd = memfd_create("memory", MFD_CLOEXEC);
	ck_assert_int_ge(end->fd, 0);
	ck_assert_int_eq(ftruncate(end->fd, SIZE), 0);
	end->bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, end->fd, 0);
	ck_assert_ptr_ne(end->bytes, MAP_FAILED);
	map.fd = end->fd;
	map.vaddr = end->bytes;
	ck_assert_int_eq(vmig_space_new(&end->space), 0);
	ck_assert_int_eq(vmig_space_map(end->space, &map), 0);
	for (int i = 0; i < DEVICES; i++) {
		end->toys[i] = toy_new(&config, &end->devices[i]);
		ck_assert_int_eq(vmig_space_attach(end->space, end->devices[i]), 0);
	}
	open_memory(end, 0);
	end->user = (struct vmig_migrate_user){ .opaque = end };
	end->options = (struct vmig_migrate_options){ .event = on_event, .opaque = end };
}

static void end_close(struct end *end)
{
	vmig_device_close(end->devices[DEVICES]);
	vmig_space_free(end->space);
	for (int i = 0; i < DEVICES; i++)
		vmig_device_close(end->devices[i]);
	munmap(end->bytes, SIZE);
	close(end->fd);
}

static void *run_destination(void *opaque)
{
	struct end *end = opaque;

	ck_assert_int_ge(vmig_migrate_destination(end->devices, DEVICES + 1, end->channel, &end->user,
						  &end->options, &end->result),
			 0);
	vmig_channel_close(end->channel);
	return NULL;
}

static void migrate(struct end *a, struct end *b)
{
	pthread_t thread;
	int fds[2];

	a->user.quiesce = quiesce;
	a->user.resume = resume;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(vmig_channel_socket(fds[0], &a->channel), 0);
	ck_assert_int_eq(vmig_channel_socket(fds[1], &b->channel), 0);
	start_work(a);
	while (atomic_load(&a->rounds) < 10)
		sched_yield();
	ck_assert_int_eq(pthread_create(&thread, NULL, run_destination, b), 0);
	ck_assert_int_ge(
		vmig_migrate_source(a->devices, DEVICES + 1, a->channel, &a->user, &a->options, &a->result),
		0);
	vmig_channel_close(a->channel);
	pthread_join(thread, NULL);
}

static void both_open(struct end *a, struct end *b, bool untracked)
{
	end_open(a, untracked);
	end_open(b, untracked);
	memset(b->bytes, 0xa5, SIZE);
}

static void check_moved(const struct end *a, const struct end *b)
{
	uint32_t state;

	ck_assert_msg(a->result.outcome == VMIG_DONE, "%s", a->result.reason);
	ck_assert_msg(b->result.outcome == VMIG_DONE, "%s", b->result.reason);
	ck_assert_mem_eq(a->bytes, b->bytes, SIZE);
	ck_assert(!a->memory_stopped_early);
	for (int i = 0; i <= DEVICES; i++) {
		ck_assert_int_eq(vmig_device_query_state(b->devices[i], &state), 0);
		ck_assert_uint_eq(state, VMIG_STATE_RUNNING);
	}
}

TEST(memory_moves_with_the_devices_that_write_to_it)
{
	struct end a, b;

	both_open(&a, &b, false);
	migrate(&a, &b);
	check_moved(&a, &b);
	/* Of what nobody writes to, nothing waits until all have stopped. */
	ck_assert_uint_lt(a.result.stage_bytes[VMIG_STAGE_SWITCHOVER], SIZE / 2);
	end_close(&a);
	end_close(&b);
}

TEST(where_nobody_tracks_all_is_sent_when_all_have_stopped_and_that_is_said)
{
	struct end a, b;

	both_open(&a, &b, true);
	memset(a.bytes, 7, SIZE);
	migrate(&a, &b);
	check_moved(&a, &b);
	ck_assert_uint_ge(a.result.stage_bytes[VMIG_STAGE_SWITCHOVER], SIZE);
	ck_assert_msg(strstr(a.warning, "every page counts as dirty") != NULL, "%s", a.warning);
	end_close(&a);
	end_close(&b);
}

TEST(memory_of_another_layout_is_refused_before_anything_moves)
{
	struct end a, b;

	both_open(&a, &b, false);
	vmig_device_close(b.devices[DEVICES]);
	open_memory(&b, 64 << 10);
	migrate(&a, &b);
	ck_assert_int_eq(a.result.outcome, VMIG_NOT_DONE);
	ck_assert_int_eq(a.result.stage, VMIG_STAGE_OFFER);
	ck_assert_msg(strstr(a.result.reason, "pages of 4096") != NULL, "%s", a.result.reason);
	quiesce(&a);
	end_close(&a);
	end_close(&b);
}

TEST(a_migration_that_fails_leaves_the_memory_to_its_user)
{
	struct end a, b;

	both_open(&a, &b, false);
	toy_fail_load_at(b.toys[1], 40 << 10); /* of its second half, which comes when it has stopped */
	migrate(&a, &b);
	ck_assert_int_eq(a.result.outcome, VMIG_NOT_DONE);
	ck_assert_int_eq(b.result.outcome, VMIG_NOT_DONE);
	quiesce(&a); /* it was resumed */
	/* And the next attempt goes well: both logs were stopped. */
	migrate(&a, &b);
	check_moved(&a, &b);
	end_close(&a);
	end_close(&b);
}

HARNESS("memory-move", T_SLOW(memory_moves_with_the_devices_that_write_to_it, 90),
	T_SLOW(where_nobody_tracks_all_is_sent_when_all_have_stopped_and_that_is_said, 90),
	T_SLOW(memory_of_another_layout_is_refused_before_anything_moves, 90),
	T_SLOW(a_migration_that_fails_leaves_the_memory_to_its_user, 90))
