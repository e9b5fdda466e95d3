/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver with real devices, over real sockets. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "side.h"

/* A source and a destination with @n devices each, connected. */
struct both {
	struct counter from[SIDE_DEVICES], to[SIDE_DEVICES];
	struct side source, destination;
	int n;
};

static void both_open(struct both *b, int n, const struct counter_config *from,
		      const struct counter_config *to)
{
	struct vmig_channel *x, *y;

	b->n = n;
	side_open(b->from, n, from);
	side_open(b->to, n, to);
	for (int i = 0; i < n; i++)
		counter_work(&b->from[i], 1000);
	side_pair(&x, &y);
	side_init(&b->source, true, b->from, (uint32_t)n, x);
	side_init(&b->destination, false, b->to, (uint32_t)n, y);
}

static void both_close(struct both *b)
{
	side_close(b->from, b->n);
	side_close(b->to, b->n);
}

static void check_moved(struct both *b)
{
	ck_assert_msg(b->source.r == VMIG_DONE, "%s", b->source.result.reason);
	ck_assert_msg(b->destination.r == VMIG_DONE, "%s", b->destination.result.reason);
	ck_assert_int_eq(b->source.quiesced, 1);
	ck_assert_int_eq(b->source.resumed, 0);
	ck_assert_int_eq(b->destination.started, 1);
	for (int i = 0; i < b->n; i++) {
		ck_assert_uint_eq(counter_state(&b->from[i]), VMIG_STATE_STOP);
		ck_assert_uint_eq(counter_state(&b->to[i]), VMIG_STATE_RUNNING);
		ck_assert_uint_ge(counter_done(&b->from[i]), 1000);
		ck_assert_uint_eq(counter_done(&b->to[i]), counter_done(&b->from[i]));
		ck_assert(counter_is_whole(&b->to[i]));
	}
}

/* Back: the source runs as if nothing had been, and the destination can be used again. */
static void check_not_moved(struct both *b)
{
	ck_assert_int_eq(b->source.r, VMIG_NOT_DONE);
	ck_assert_int_ne(b->source.result.code, 0);
	ck_assert(strlen(b->source.result.reason));
	ck_assert_int_eq(b->source.resumed, b->source.quiesced);
	ck_assert_int_eq(b->destination.started, 0);
	side_check_running(b->from, b->n);
	for (int i = 0; i < b->n; i++) {
		ck_assert_uint_ge(counter_done(&b->from[i]), 1000);
		ck_assert_uint_eq(counter_done(&b->to[i]), 0);
		ck_assert_uint_eq(counter_state(&b->to[i]), VMIG_STATE_RUNNING);
	}
}

static void move(int n, const struct counter_config *config)
{
	struct counter_config idle = *config;
	struct both b;

	idle.busy = false;
	both_open(&b, n, config, &idle);
	b.source.options.allow_no_p2p = true;
	side_run_both(&b.source, &b.destination);
	check_moved(&b);
	both_close(&b);
}

TEST(a_busy_device_moves)
{
	move(1, &(struct counter_config){ .size = 16 << 20, .busy = true });
}

TEST(a_device_that_copies_moves)
{
	move(1, &(struct counter_config){ .size = 4 << 20, .busy = true, .copies = true });
}

TEST(five_devices_move)
{
	move(5, &(struct counter_config){ .size = 2 << 20, .busy = true });
}

TEST(devices_without_precopy_move)
{
	move(2, &(struct counter_config){ .flags = VMIG_MIGRATION_STOP_COPY, .busy = true });
	move(2, &(struct counter_config){ .flags = VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P,
					  .busy = true });
}

TEST(a_device_without_p2p_among_others_is_refused)
{
	const struct counter_config config = { .flags = VMIG_MIGRATION_STOP_COPY };
	struct both b;

	both_open(&b, 2, &config, &config);
	side_run_both(&b.source, &b.destination);
	check_not_moved(&b);
	ck_assert_ptr_nonnull(strstr(b.source.result.reason, "has no P2P and is not alone"));
	both_close(&b);
}

TEST(devices_that_take_little_at_a_time_move)
{
	move(1, &(struct counter_config){ .most = 1000 });
	move(1, &(struct counter_config){ .most = 333, .copies = true });
}

TEST(tcp_carries_it)
{
	const struct counter_config config = { .size = 8 << 20, .busy = true }, idle = { .size = 8 << 20 };
	struct vmig_listener *listener;
	struct both b;

	both_open(&b, 1, &config, &idle);
	vmig_channel_close(b.source.channel);
	vmig_channel_close(b.destination.channel);
	ck_assert_int_eq(vmig_listener_new("tcp:127.0.0.1:0", &listener, NULL), 0);
	ck_assert_int_eq(vmig_channel_connect(vmig_listener_address(listener), 5000, &b.source.channel, NULL),
			 0);
	ck_assert_int_eq(vmig_listener_accept(listener, 5000, &b.destination.channel), 0);
	vmig_listener_free(listener);
	side_run_both(&b.source, &b.destination);
	check_moved(&b);
	both_close(&b);
}

struct many {
	struct counter counters[VMIG_MIGRATE_DEVICES_MAX];
	struct vmig_device *devices[VMIG_MIGRATE_DEVICES_MAX];
	struct vmig_channel *channel;
	struct vmig_migrate_result result;
	int r;
};

static void many_open(struct many *m)
{
	struct counter_config config = { .size = COUNTER_PAGE };

	for (int i = 0; i < VMIG_MIGRATE_DEVICES_MAX; i++) {
		counter_open(&m->counters[i], &config);
		counter_work(&m->counters[i], i);
		m->devices[i] = m->counters[i].dev;
	}
}

static void *many_receive(void *opaque)
{
	struct many *m = opaque;

	m->r = vmig_migrate_destination(m->devices, VMIG_MIGRATE_DEVICES_MAX, m->channel, NULL, NULL,
					&m->result);
	return NULL;
}

TEST(as_many_devices_as_there_may_be)
{
	static struct many from, to;
	pthread_t thread;

	many_open(&from);
	many_open(&to);
	side_pair(&from.channel, &to.channel);
	ck_assert_int_eq(pthread_create(&thread, NULL, many_receive, &to), 0);
	from.r = vmig_migrate_source(from.devices, VMIG_MIGRATE_DEVICES_MAX, from.channel, NULL, NULL,
				     &from.result);
	pthread_join(thread, NULL);
	ck_assert_msg(from.r == VMIG_DONE && to.r == VMIG_DONE, "%s", from.result.reason);
	for (int i = 0; i < VMIG_MIGRATE_DEVICES_MAX; i++) {
		ck_assert_uint_eq(counter_done(&to.counters[i]), i);
		ck_assert(counter_is_whole(&to.counters[i]));
		counter_close(&from.counters[i]);
		counter_close(&to.counters[i]);
	}
	vmig_channel_close(from.channel);
	vmig_channel_close(to.channel);
}

/* The P2P barrier, as the devices saw it. */
TEST(all_devices_are_quiet_before_one_stops)
{
	struct counter_config config = { 0 };
	struct both b;
	int quiet = 0, stopped = 0, started = 0;

	both_open(&b, 3, &config, &config);
	counter_n_arcs = 0;
	side_run_both(&b.source, &b.destination);
	check_moved(&b);
	for (int i = 0; i < counter_n_arcs; i++) {
		const struct counter_arc *a = &counter_arcs[i];

		if (a->to == VMIG_STATE_PRE_COPY_P2P)
			quiet++;
		if (a->to == VMIG_STATE_STOP_COPY) {
			ck_assert_int_eq(quiet, 3);
			stopped++;
		}
		if (a->from == VMIG_STATE_STOP && a->to == VMIG_STATE_RUNNING_P2P) {
			ck_assert_int_eq(stopped, 3);
			started++;
		}
		if (a->from == VMIG_STATE_RUNNING_P2P && a->to == VMIG_STATE_RUNNING)
			ck_assert_int_eq(started, 3);
	}
	ck_assert_int_eq(started, 3);
	both_close(&b);
}

/* --- the user's records --- */

static void move_records(size_t size)
{
	struct counter_config config = { 0 };
	struct both b;

	both_open(&b, 2, &config, &config);
	b.source.record_size = size;
	b.destination.record_size = size;
	side_run_both(&b.source, &b.destination);
	check_moved(&b);
	ck_assert_int_eq(b.source.saved, 2);
	ck_assert_int_eq(b.destination.loaded, 2);
	ck_assert(b.destination.records_right);
	both_close(&b);
}

TEST(records_of_any_size_arrive)
{
	move_records(0);
	move_records(1);
	move_records(32 << 10);
	move_records((32 << 10) + 1);
	move_records(16 << 20);
}

TEST(a_record_that_is_too_long_stops_it)
{
	struct counter_config config = { .busy = true };
	struct both b;

	both_open(&b, 1, &config, &(struct counter_config){ 0 });
	b.source.record_size = (16 << 20) + 1;
	side_run_both(&b.source, &b.destination);
	ck_assert(strstr(b.source.result.reason, "16 MiB"));
	check_not_moved(&b);
	both_close(&b);
}

TEST(a_user_that_fails_stops_it)
{
	for (int who = 0; who < 2; who++) {
		struct counter_config config = { 0 };
		struct both b;

		both_open(&b, 2, &config, &config);
		(who ? &b.destination : &b.source)->user_fault = -EPERM;
		side_run_both(&b.source, &b.destination);
		check_not_moved(&b);
		ck_assert(strstr(b.destination.result.reason, "record"));
		both_close(&b);
	}
}

/* --- faults of the devices --- */

static const struct {
	uint32_t from, to;
} source_arcs[] = {
	{ VMIG_STATE_RUNNING, VMIG_STATE_PRE_COPY },
	{ VMIG_STATE_PRE_COPY, VMIG_STATE_PRE_COPY_P2P },
	{ VMIG_STATE_PRE_COPY_P2P, VMIG_STATE_STOP_COPY },
}, destination_arcs[] = {
	{ VMIG_STATE_RUNNING, VMIG_STATE_RUNNING_P2P },
	{ VMIG_STATE_RUNNING_P2P, VMIG_STATE_STOP },
	{ VMIG_STATE_STOP, VMIG_STATE_RESUMING },
	{ VMIG_STATE_RESUMING, VMIG_STATE_STOP },
};

static void fail_arc(struct counter *counter, uint32_t from, uint32_t to, bool to_error)
{
	counter->fail_from = from;
	counter->fail_to = to;
	counter->fail_times = 1;
	counter->fail_to_error = to_error;
}

TEST(an_arc_that_fails_at_the_source_is_undone)
{
	for (size_t i = 0; i < sizeof(source_arcs) / sizeof(source_arcs[0]); i++) {
		struct counter_config config = { .busy = true };
		struct both b;

		both_open(&b, 2, &config, &(struct counter_config){ 0 });
		fail_arc(&b.from[1], source_arcs[i].from, source_arcs[i].to, false);
		side_run_both(&b.source, &b.destination);
		check_not_moved(&b);
		both_close(&b);
	}
}

TEST(a_source_in_error_is_lost_and_said_so)
{
	struct counter_config config = { .busy = true };
	struct both b;

	both_open(&b, 2, &config, &(struct counter_config){ 0 });
	fail_arc(&b.from[1], VMIG_STATE_PRE_COPY_P2P, VMIG_STATE_STOP_COPY, true);
	side_run_both(&b.source, &b.destination);
	ck_assert_int_eq(b.source.r, VMIG_SOURCE_LOST);
	ck_assert(strstr(b.source.result.reason, "DOES NOT RUN"));
	ck_assert_uint_eq(counter_state(&b.from[1]), VMIG_STATE_ERROR);
	ck_assert_int_eq(b.source.resumed, 0);
	ck_assert_int_eq(b.destination.r, VMIG_NOT_DONE);
	both_close(&b);
}

TEST(an_arc_that_fails_at_the_destination_is_undone)
{
	for (size_t i = 0; i < 2 * sizeof(destination_arcs) / sizeof(destination_arcs[0]); i++) {
		struct counter_config config = { .busy = true };
		struct both b;

		both_open(&b, 2, &config, &(struct counter_config){ 0 });
		fail_arc(&b.to[0], destination_arcs[i / 2].from, destination_arcs[i / 2].to, i % 2);
		side_run_both(&b.source, &b.destination);
		check_not_moved(&b);
		ck_assert_int_eq(b.destination.r, VMIG_NOT_DONE);
		both_close(&b);
	}
}

/* After the commit nothing is undone: it is said that neither runs. */
TEST(a_destination_that_cannot_run_after_the_commit_is_told)
{
	struct counter_config config = { 0 };
	struct both b;

	both_open(&b, 2, &config, &config);
	fail_arc(&b.to[1], VMIG_STATE_STOP, VMIG_STATE_RUNNING_P2P, false);
	side_run_both(&b.source, &b.destination);
	ck_assert_int_eq(b.destination.r, VMIG_SOURCE_LOST);
	ck_assert_int_eq(b.source.r, VMIG_SOURCE_LOST);
	ck_assert_int_eq(b.source.resumed, 0);
	for (int i = 0; i < 2; i++)
		ck_assert_uint_eq(counter_state(&b.from[i]), VMIG_STATE_STOP_COPY);
	both_close(&b);
}

TEST(data_that_cannot_be_read_stop_it)
{
	for (uint64_t at = 1; at < 3 << 20; at += 500000) {
		struct counter_config config = { .size = 2 << 20, .fail_read_at = at };
		struct both b;

		both_open(&b, 1, &config, &(struct counter_config){ .size = 2 << 20 });
		counter_work(&b.from[0], 10);
		side_run_both(&b.source, &b.destination);
		if (b.source.r == VMIG_DONE)
			check_moved(&b);
		else
			check_not_moved(&b);
		both_close(&b);
	}
}

TEST(data_that_are_not_taken_stop_it)
{
	for (uint64_t at = 1; at < 2 << 20; at += 500000) {
		struct counter_config config = { .size = 2 << 20, .busy = true };
		struct both b;

		both_open(&b, 2, &config, &(struct counter_config){ .size = 2 << 20, .fail_write_at = at });
		side_run_both(&b.source, &b.destination);
		check_not_moved(&b);
		ck_assert_int_eq(b.destination.r, VMIG_NOT_DONE);
		ck_assert(strstr(b.source.result.reason, "does not take its data"));
		both_close(&b);
	}
}

TEST(a_device_of_another_type_is_refused)
{
	struct counter_config config = { .busy = true };
	struct both b;

	both_open(&b, 2, &config, &(struct counter_config){ .identity = "another" });
	counter_n_arcs = 0;
	side_run_both(&b.source, &b.destination);
	check_not_moved(&b);
	ck_assert_int_eq(b.destination.r, VMIG_NOT_DONE);
	ck_assert(strstr(b.source.result.reason, "device 0") && strstr(b.source.result.reason, "device 1"));
	ck_assert_int_eq(counter_n_arcs, 0);
	ck_assert_int_eq(b.source.quiesced, 0);
	both_close(&b);
}

/* The same devices, once more, after each kind of failure. */
TEST(a_failed_destination_can_be_used_again)
{
	struct counter_config config = { 0 };
	struct vmig_channel *x, *y;
	struct both b;

	both_open(&b, 2, &config, &config);
	fail_arc(&b.to[0], VMIG_STATE_RESUMING, VMIG_STATE_STOP, true);
	side_run_both(&b.source, &b.destination);
	check_not_moved(&b);
	side_pair(&x, &y);
	side_init(&b.source, true, b.from, 2, x);
	side_init(&b.destination, false, b.to, 2, y);
	side_run_both(&b.source, &b.destination);
	check_moved(&b);
	both_close(&b);
}

/* --- peers --- */

TEST(a_silent_peer_is_given_up)
{
	struct counter_config config = { .busy = true };
	struct vmig_channel *x, *y;
	struct counter from;
	struct side source;

	side_open(&from, 1, &config);
	side_pair(&x, &y);
	side_init(&source, true, &from, 1, x);
	source.options.timeout_ns = 100000000;
	side_run(&source);
	ck_assert_int_eq(source.r, VMIG_NOT_DONE);
	ck_assert_int_eq(source.result.code, ETIMEDOUT);
	side_check_running(&from, 1);
	vmig_channel_close(y);
	side_close(&from, 1);
}

TEST(garbage_is_refused)
{
	static const char garbage[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
	struct iovec iov = { (void *)(uintptr_t)garbage, sizeof(garbage) - 1 };

	for (int who = 0; who < 2; who++) {
		struct counter_config config = { 0 };
		struct vmig_channel *x, *y;
		struct counter counter;
		struct side side;

		side_open(&counter, 1, &config);
		side_pair(&x, &y);
		side_init(&side, who == 0, &counter, 1, x);
		ck_assert_int_eq(vmig_channel_send(y, &iov, 1), 0);
		side_run(&side);
		ck_assert_int_eq(side.r, VMIG_BAD_INPUT);
		side_check_running(&counter, 1);
		vmig_channel_close(y);
		side_close(&counter, 1);
	}
}

static void cancel_now(const struct vmig_migrate_event *event, void *opaque)
{
	if (event->kind == VMIG_EVENT_STAGE && event->stage == VMIG_STAGE_SWITCHOVER)
		__atomic_store_n((bool *)opaque, true, __ATOMIC_RELAXED);
}

/* Cancelled at a moment that depends on the machine: it is done, or undone. */
TEST(either_end_may_cancel)
{
	for (int who = 0; who < 2; who++) {
		struct counter_config config = { .size = 32 << 20, .flags = VMIG_MIGRATION_STOP_COPY };
		bool cancel = false;
		struct side *side;
		struct both b;

		both_open(&b, 1, &config, &config);
		side = who ? &b.destination : &b.source;
		side->options.cancel = &cancel;
		side->options.event = cancel_now;
		side->options.opaque = &cancel;
		b.source.options.bandwidth = 100 << 20;
		side_run_both(&b.source, &b.destination);
		check_not_moved(&b);
		ck_assert(strstr(b.source.result.reason, "cancelled"));
		ck_assert(strstr(b.destination.result.reason, "cancelled"));
		both_close(&b);
	}
}

/* Cancels when the source has begun to send; the destination does not read on. */
static void cancel_in_precopy(const struct vmig_migrate_event *event, void *opaque)
{
	if (event->kind == VMIG_EVENT_PROGRESS && event->stage == VMIG_STAGE_PRECOPY && event->bytes)
		__atomic_store_n((bool *)opaque, true, __ATOMIC_RELAXED);
}

static void go_on_at_the_end(const struct vmig_migrate_event *event, void *opaque)
{
	if (event->kind == VMIG_EVENT_STATE && event->state == VMIG_STATE_RUNNING)
		counter_stall(opaque, false);
}

struct stall {
	struct counter *to;
	bool cancel;
};

static void stalled_event(const struct vmig_migrate_event *event, void *opaque)
{
	struct stall *stall = opaque;

	cancel_in_precopy(event, &stall->cancel);
	if (stall->cancel)
		go_on_at_the_end(event, stall->to);
}

/* Long before the timeout of a silent peer (30 s) the source runs again, though its thread hangs in a send. */
TEST(a_cancel_does_not_wait_for_a_peer_that_does_not_read)
{
	struct counter_config config = { .size = 64 << 20 };
	struct stall stall = { 0 };
	struct both b;

	both_open(&b, 1, &config, &config);
	counter_stall(&b.to[0], true);
	stall.to = &b.to[0];
	b.source.options.cancel = &stall.cancel;
	b.source.options.event = stalled_event;
	b.source.options.opaque = &stall;
	side_run_both(&b.source, &b.destination);
	ck_assert_int_eq(b.source.r, VMIG_NOT_DONE);
	ck_assert_int_eq(b.source.result.code, ECANCELED);
	side_check_running(b.from, 1);
	ck_assert_int_eq(b.destination.started, 0);
	both_close(&b);
}

TEST(bad_arguments_are_refused)
{
	struct counter_config config = { 0 };
	struct vmig_migrate_result result;
	struct vmig_migrate_options keep = { .keep_source = true };
	struct both b;
	struct vmig_device *twice[2];

	both_open(&b, 1, &config, &config);
	twice[0] = twice[1] = b.from[0].dev;
	ck_assert_int_eq(vmig_migrate_source(b.source.devices, 0, b.source.channel, NULL, NULL, &result),
			 -EINVAL);
	ck_assert_int_eq(vmig_migrate_source(b.source.devices, 257, b.source.channel, NULL, NULL, &result),
			 -EINVAL);
	ck_assert_int_eq(vmig_migrate_source(twice, 2, b.source.channel, NULL, NULL, &result), -EINVAL);
	ck_assert_int_eq(vmig_migrate_source(b.source.devices, 1, b.source.channel, NULL, &keep, &result),
			 -EINVAL);
	vmig_channel_close(b.source.channel);
	vmig_channel_close(b.destination.channel);
	both_close(&b);
}

/* --- recovery --- */

TEST(devices_left_anywhere_are_brought_back)
{
	static const uint32_t states[] = { VMIG_STATE_RUNNING,  VMIG_STATE_STOP,     VMIG_STATE_STOP_COPY,
					   VMIG_STATE_PRE_COPY, VMIG_STATE_RESUMING, VMIG_STATE_PRE_COPY_P2P,
					   VMIG_STATE_ERROR };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		bool to_be_reset = states[i] == VMIG_STATE_RESUMING || states[i] == VMIG_STATE_ERROR, reset;
		struct counter_config config = { 0 };
		struct counter counter;
		uint32_t was;

		side_open(&counter, 1, &config);
		counter_work(&counter, 10);
		if (states[i] == VMIG_STATE_ERROR)
			fail_arc(&counter, VMIG_STATE_RUNNING, VMIG_STATE_RUNNING_P2P, true);
		vmig_device_set_state(counter.dev,
				      states[i] == VMIG_STATE_ERROR ? VMIG_STATE_STOP : states[i],
				      VMIG_STATE_NONE, NULL);
		ck_assert_uint_eq(counter_state(&counter), states[i]);
		ck_assert_int_eq(vmig_recover(counter.dev, &was, &reset), 0);
		ck_assert_uint_eq(was, states[i]);
		ck_assert_int_eq(reset, to_be_reset);
		ck_assert_int_eq(counter.done, to_be_reset ? 0 : 10);
		side_check_running(&counter, 1);
		side_close(&counter, 1);
	}
}

HARNESS("driver", T(a_busy_device_moves), T(a_device_that_copies_moves), T(five_devices_move),
	T(devices_without_precopy_move), T(a_device_without_p2p_among_others_is_refused),
	T(devices_that_take_little_at_a_time_move), T(tcp_carries_it), T(as_many_devices_as_there_may_be),
	T(all_devices_are_quiet_before_one_stops), T(records_of_any_size_arrive),
	T(a_record_that_is_too_long_stops_it), T(a_user_that_fails_stops_it),
	T(an_arc_that_fails_at_the_source_is_undone), T(a_source_in_error_is_lost_and_said_so),
	T(an_arc_that_fails_at_the_destination_is_undone),
	T(a_destination_that_cannot_run_after_the_commit_is_told), T(data_that_cannot_be_read_stop_it),
	T(data_that_are_not_taken_stop_it), T(a_device_of_another_type_is_refused),
	T(a_failed_destination_can_be_used_again), T(a_silent_peer_is_given_up), T(garbage_is_refused),
	T(either_end_may_cancel), T(a_cancel_does_not_wait_for_a_peer_that_does_not_read),
	T(bad_arguments_are_refused), T(devices_left_anywhere_are_brought_back))
