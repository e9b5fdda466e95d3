/* SPDX-License-Identifier: BSD-3-Clause */
/* SET_IRQS in all its combinations, masks, pending interrupts, and who owns the eventfds. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tiny.h"

/* The indices of tiny. */
#define LEVEL  0u /* one, a level, masked by each signal */
#define EDGES  1u /* eight, maskable */
#define PLAIN  2u /* two, not maskable */
#define ABSENT 3u /* none */

static struct tiny tiny;
static int fd[8];

static void open_all(void)
{
	tiny_open(&tiny, 0, TINY_COPIES);
	for (int i = 0; i < 8; i++) {
		fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ck_assert_int_ge(fd[i], 0);
	}
}

static void close_all(void)
{
	tiny_close(&tiny);
	for (int i = 0; i < 8; i++)
		close(fd[i]);
}

/** How often eventfd @i has been signalled since the last call. */
static uint64_t count(int i)
{
	uint64_t n = 0;

	return read(fd[i], &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static int set(uint32_t flags, uint32_t index, uint32_t start, uint32_t n, const void *data)
{
	const struct vmig_irq_set irqs = {
		.flags = flags,
		.index = index,
		.start = start,
		.count = n,
		.fds = flags & VMIG_IRQ_DATA_EVENTFD ? data : NULL,
		.bools = flags & VMIG_IRQ_DATA_BOOL ? data : NULL,
	};

	return vmig_device_set_irqs(tiny.dev, &irqs);
}

static void arm(uint32_t index, uint32_t n)
{
	ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER, index, 0, n, fd), 0);
}

static int none(uint32_t action, uint32_t index, uint32_t start, uint32_t n)
{
	return set(VMIG_IRQ_DATA_NONE | action, index, start, n, NULL);
}

static void raise_irq(uint32_t index, uint32_t sub)
{
	vmig_model_raise(tiny.model, index, sub);
}

/* --- edges -------------------------------------------------------------------------------- */

TEST(an_armed_interrupt_signals_its_own_eventfd)
{
	open_all();
	raise_irq(EDGES, 2); /* to nobody: lost */
	arm(EDGES, 8);
	ck_assert_uint_eq(count(2), 0);
	raise_irq(EDGES, 2);
	raise_irq(EDGES, 2);
	raise_irq(EDGES, 7);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(count(i), i == 2 ? 2 : i == 7);
	raise_irq(EDGES, 8);
	raise_irq(4, 0);
	raise_irq(ABSENT, 0);
	vmig_model_lower(tiny.model, EDGES, 8);
	vmig_model_lower(tiny.model, 4, 0);
	close_all();
}

TEST(a_masked_edge_waits_for_the_unmask)
{
	open_all();
	arm(EDGES, 8);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_MASK, EDGES, 1, 2), 0);
	for (uint32_t i = 0; i < 4; i++) {
		raise_irq(EDGES, i);
		raise_irq(EDGES, i);
	}
	ck_assert_uint_eq(count(0), 2);
	ck_assert_uint_eq(count(1), 0);
	ck_assert_uint_eq(count(2), 0);
	vmig_model_lower(tiny.model, EDGES, 2); /* forgotten */
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_UNMASK, EDGES, 0, 8), 0);
	ck_assert_uint_eq(count(1), 1);
	ck_assert_uint_eq(count(2), 0);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_UNMASK, EDGES, 0, 8), 0);
	ck_assert_uint_eq(count(1), 0);
	close_all();
}

TEST(booleans_choose_the_interrupts)
{
	const uint8_t odd[] = { 0, 1, 0, 200 };

	open_all();
	arm(EDGES, 8);
	ck_assert_int_eq(set(VMIG_IRQ_DATA_BOOL | VMIG_IRQ_ACTION_TRIGGER, EDGES, 2, 4, odd), 0);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(count(i), i == 3 || i == 5);
	ck_assert_int_eq(set(VMIG_IRQ_DATA_BOOL | VMIG_IRQ_ACTION_MASK, EDGES, 0, 4, odd), 0);
	for (uint32_t i = 0; i < 4; i++)
		raise_irq(EDGES, i);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(count(i), !odd[i]);
	ck_assert_int_eq(set(VMIG_IRQ_DATA_BOOL | VMIG_IRQ_ACTION_UNMASK, EDGES, 0, 4, odd), 0);
	ck_assert_uint_eq(count(1) + count(3), 2);
	close_all();
}

TEST(a_trigger_without_data_is_a_loopback)
{
	open_all();
	arm(EDGES, 4);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_TRIGGER, EDGES, 3, 3), 0);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(count(i), i == 3);
	close_all();
}

TEST(minus_one_disarms_and_a_count_of_0_disarms_all)
{
	int two[2];

	open_all();
	arm(EDGES, 8);
	two[0] = fd[6];
	two[1] = -1;
	ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER, EDGES, 3, 2, two), 0);
	for (uint32_t i = 0; i < 8; i++)
		raise_irq(EDGES, i);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(count(i), i == 6 ? 2 : i != 3 && i != 4);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_TRIGGER, EDGES, 0, 0), 0);
	for (uint32_t i = 0; i < 8; i++)
		raise_irq(EDGES, i);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(count(i), 0);
	close_all();
}

TEST(a_disarmed_interrupt_is_neither_masked_nor_pending)
{
	int minus = -1;

	open_all();
	arm(EDGES, 1);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_MASK, EDGES, 0, 1), 0);
	raise_irq(EDGES, 0);
	ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER, EDGES, 0, 1, &minus), 0);
	arm(EDGES, 1);
	ck_assert_uint_eq(count(0), 0);
	raise_irq(EDGES, 0);
	ck_assert_uint_eq(count(0), 1);
	close_all();
}

/* --- levels ------------------------------------------------------------------------------- */

TEST(a_level_masks_itself_and_signals_again_while_it_is_up)
{
	open_all();
	arm(LEVEL, 1);
	raise_irq(LEVEL, 0);
	raise_irq(LEVEL, 0);
	ck_assert_uint_eq(count(0), 1);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_UNMASK, LEVEL, 0, 1), 0); /* still up */
	ck_assert_uint_eq(count(0), 1);
	vmig_model_lower(tiny.model, LEVEL, 0);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_UNMASK, LEVEL, 0, 1), 0);
	ck_assert_uint_eq(count(0), 0);
	raise_irq(LEVEL, 0);
	ck_assert_uint_eq(count(0), 1);
	close_all();
}

TEST(a_level_that_is_up_before_it_is_armed_is_not_lost)
{
	open_all();
	raise_irq(LEVEL, 0);
	arm(LEVEL, 1);
	ck_assert_uint_eq(count(0), 1);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_TRIGGER, LEVEL, 0, 0), 0);
	arm(LEVEL, 1);
	ck_assert_uint_eq(count(0), 1);
	ck_assert_int_eq(vmig_device_reset(tiny.dev), 0); /* the line is down */
	arm(LEVEL, 1);
	ck_assert_uint_eq(count(0), 0);
	close_all();
}

TEST(a_loopback_of_a_level_does_not_mask_it)
{
	open_all();
	arm(LEVEL, 1);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_TRIGGER, LEVEL, 0, 1), 0);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_TRIGGER, LEVEL, 0, 1), 0);
	ck_assert_uint_eq(count(0), 2);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_MASK, LEVEL, 0, 1), 0);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_TRIGGER, LEVEL, 0, 1), 0);
	ck_assert_uint_eq(count(0), 0);
	close_all();
}

/* --- masks by eventfd --------------------------------------------------------------------- */

static void signal_fd(int i)
{
	const uint64_t one = 1;

	ck_assert_int_eq(write(fd[i], &one, sizeof(one)), sizeof(one));
}

/** Wait until the device has taken the signal out. */
static void wait_taken(int i)
{
	struct pollfd p = { .fd = fd[i], .events = POLLIN };

	while (poll(&p, 1, 0) > 0)
		usleep(100);
}

static void wait_signal(int i)
{
	struct pollfd p = { .fd = fd[i], .events = POLLIN };

	ck_assert_int_eq(poll(&p, 1, -1), 1);
}

TEST(eventfds_mask_and_unmask)
{
	int minus = -1;

	open_all();
	arm(EDGES, 2);
	ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_MASK, EDGES, 0, 1, &fd[4]), 0);
	ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_UNMASK, EDGES, 0, 1, &fd[5]), 0);
	signal_fd(4);
	wait_taken(4);
	/* The signal is taken and the mask set under one lock, which this waits for. */
	raise_irq(EDGES, 0);
	ck_assert_uint_eq(count(0), 0);
	raise_irq(EDGES, 1);
	ck_assert_uint_eq(count(1), 1);
	signal_fd(5);
	wait_signal(0);
	ck_assert_uint_eq(count(0), 1);
	ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_MASK, EDGES, 0, 1, &minus), 0);
	signal_fd(4);
	ck_assert_uint_eq(count(4), 1); /* nobody takes it */
	raise_irq(EDGES, 0);
	ck_assert_uint_eq(count(0), 1);
	close_all();
}

TEST(an_unmask_eventfd_resamples_a_level)
{
	open_all();
	arm(LEVEL, 1);
	ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_UNMASK, LEVEL, 0, 1, &fd[5]), 0);
	raise_irq(LEVEL, 0);
	for (int i = 0; i < 5; i++) {
		wait_signal(0);
		ck_assert_uint_eq(count(0), 1);
		signal_fd(5);
	}
	wait_signal(0);
	close_all();
}

TEST(reset_and_disable_forget_the_mask_eventfds)
{
	open_all();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_MASK, EDGES, 0, 5, fd), 0);
		ck_assert_int_eq(i ? vmig_device_reset(tiny.dev) : none(VMIG_IRQ_ACTION_TRIGGER, EDGES, 0, 0),
				 0);
		ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_UNMASK, LEVEL, 0, 1, &fd[6]), 0);
		signal_fd(3);
		signal_fd(6);
		wait_taken(6); /* the thread has been there, behind the first signal */
		ck_assert_uint_eq(count(3), 1);
	}
	close_all();
}

/* --- refusals ----------------------------------------------------------------------------- */

TEST(every_combination_of_flags_is_judged)
{
	uint8_t bools[8] = { 0 };
	struct vmig_irq_set irqs = { .index = EDGES, .count = 1, .bools = bools };

	open_all();
	irqs.fds = fd;
	for (uint32_t flags = 0; flags < 256; flags++) {
		bool good = __builtin_popcount(flags & 7) == 1 && __builtin_popcount(flags & 0x38) == 1 &&
			    flags < 64;

		irqs.flags = flags;
		ck_assert_msg(vmig_device_set_irqs(tiny.dev, &irqs) == (good ? 0 : -EINVAL), "flags %#x",
			      flags);
	}
	close_all();
}

TEST(bounds_are_checked)
{
	const struct {
		uint32_t flags, index, start, count;
	} bad[] = {
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER, EDGES, 8, 1 },
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER, EDGES, 8, 0 },
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER, EDGES, 0, 9 },
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER, EDGES, 1, 8 },
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER, EDGES, 1, UINT32_MAX },
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER, EDGES, UINT32_MAX, 1 },
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER, ABSENT, 0, 0 },
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER, 4, 0, 1 },
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER, UINT32_MAX, 0, 1 },
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_MASK, EDGES, 0, 0 },
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_MASK, PLAIN, 0, 1 },
		{ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_UNMASK, PLAIN, 0, 1 },
		{ VMIG_IRQ_DATA_BOOL | VMIG_IRQ_ACTION_TRIGGER, EDGES, 0, 1 },    /* no data */
		{ VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER, EDGES, 0, 1 }, /* no data */
		{ VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER, EDGES, 0, 0 },
	};

	open_all();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(set(bad[i].flags, bad[i].index, bad[i].start, bad[i].count, NULL) == -EINVAL,
			      "case %zu", i);
	close_all();
}

TEST(what_is_no_eventfd_changes_nothing)
{
	int pair[2], fds[3];

	open_all();
	arm(EDGES, 8);
	ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
	fds[0] = fd[5];
	fds[1] = -1;
	for (int i = 0; i < 3; i++) {
		fds[2] = i == 0 ? pair[1] : i == 1 ? 9999 : -2;
		ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER, EDGES, 0, 3, fds),
				 -EINVAL);
	}
	raise_irq(EDGES, 0);
	raise_irq(EDGES, 1);
	ck_assert_uint_eq(count(0), 1);
	ck_assert_uint_eq(count(1), 1);
	close(pair[0]);
	close(pair[1]);
	close_all();
}

TEST(the_users_descriptors_stay_the_users)
{
	int own = eventfd(0, EFD_CLOEXEC);

	open_all();
	ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER, EDGES, 0, 1, &own), 0);
	close(own); /* the model has one of its own */
	raise_irq(EDGES, 0);
	close_all();
}

TEST(a_full_blocking_eventfd_does_not_block_the_device)
{
	const uint64_t most = UINT64_MAX - 1;
	int full = eventfd(0, EFD_CLOEXEC);

	open_all();
	ck_assert_int_eq(write(full, &most, sizeof(most)), sizeof(most));
	ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER, EDGES, 0, 1, &full), 0);
	raise_irq(EDGES, 0);
	close(full);
	close_all();
}

TEST(a_reset_disarms)
{
	open_all();
	arm(EDGES, 8);
	ck_assert_int_eq(none(VMIG_IRQ_ACTION_MASK, EDGES, 0, 8), 0);
	raise_irq(EDGES, 0);
	ck_assert_int_eq(vmig_device_reset(tiny.dev), 0);
	arm(EDGES, 8); /* nothing is masked or pending */
	ck_assert_uint_eq(count(0), 0);
	raise_irq(EDGES, 1);
	ck_assert_uint_eq(count(1), 1);
	close_all();
}

/* --- threads ------------------------------------------------------------------------------ */

static _Atomic bool over;

static void *raise_all(void *opaque)
{
	while (!atomic_load(&over)) {
		for (uint32_t i = 0; i < 8; i++)
			raise_irq(EDGES, i);
		raise_irq(LEVEL, 0);
		vmig_model_lower(tiny.model, LEVEL, 0);
	}
	return NULL;
}

TEST(interrupts_are_raised_while_they_are_set)
{
	pthread_t thread;

	open_all();
	ck_assert_int_eq(pthread_create(&thread, NULL, raise_all, NULL), 0);
	for (int i = 0; i < 200; i++) {
		arm(EDGES, 8);
		arm(LEVEL, 1);
		ck_assert_int_eq(set(VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_UNMASK, LEVEL, 0, 1, &fd[7]), 0);
		signal_fd(7);
		ck_assert_int_eq(none(VMIG_IRQ_ACTION_MASK, EDGES, 0, 8), 0);
		ck_assert_int_eq(none(VMIG_IRQ_ACTION_TRIGGER, i % 2 ? EDGES : LEVEL, 0, 0), 0);
		if (i % 16 == 0)
			ck_assert_int_eq(vmig_device_reset(tiny.dev), 0);
	}
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	close_all();
}

HARNESS("irq", T(an_armed_interrupt_signals_its_own_eventfd), T(a_masked_edge_waits_for_the_unmask),
	T(booleans_choose_the_interrupts), T(a_trigger_without_data_is_a_loopback),
	T(minus_one_disarms_and_a_count_of_0_disarms_all),
	T(a_disarmed_interrupt_is_neither_masked_nor_pending),
	T(a_level_masks_itself_and_signals_again_while_it_is_up),
	T(a_level_that_is_up_before_it_is_armed_is_not_lost), T(a_loopback_of_a_level_does_not_mask_it),
	T(eventfds_mask_and_unmask), T(an_unmask_eventfd_resamples_a_level),
	T(reset_and_disable_forget_the_mask_eventfds), T(every_combination_of_flags_is_judged),
	T(bounds_are_checked), T(what_is_no_eventfd_changes_nothing), T(the_users_descriptors_stay_the_users),
	T(a_full_blocking_eventfd_does_not_block_the_device), T(a_reset_disarms),
	T(interrupts_are_raised_while_they_are_set))
