/* SPDX-License-Identifier: BSD-3-Clause */
/* Several connections for one migration, and turns on one. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "engine/out.h"
#include "harness.h"
#include "side.h"

/* A source and a destination with five devices each. */
struct both {
	struct counter from[SIDE_DEVICES], to[SIDE_DEVICES];
	struct side source, destination;
	struct vmig_listener *listener;
	int dialled, accepted, most; /* connections beside the first; @most: fail after so many */
};

static int dial(void *opaque, uint32_t timeout_ms, struct vmig_channel **ret)
{
	struct both *b = opaque;

	if (b->dialled == b->most)
		return -EHOSTUNREACH;
	b->dialled++;
	return vmig_channel_connect(vmig_listener_address(b->listener), timeout_ms, ret, NULL);
}

static int accept_one(void *opaque, uint32_t timeout_ms, struct vmig_channel **ret)
{
	struct both *b = opaque;
	int r = vmig_listener_accept(b->listener, timeout_ms, ret);

	b->accepted += !r;
	return r;
}

static void both_open(struct both *b, uint32_t connections, bool busy)
{
	const struct counter_config idle = { .size = 2 << 20 }, config = { .size = 2 << 20, .busy = busy };
	struct vmig_channel *x, *y;

	memset(b, 0, sizeof(*b));
	b->most = -1;
	side_open(b->from, SIDE_DEVICES, &config);
	side_open(b->to, SIDE_DEVICES, &idle);
	for (int i = 0; i < SIDE_DEVICES; i++)
		counter_work(&b->from[i], 1000);
	ck_assert_int_eq(vmig_listener_new("tcp:127.0.0.1:0", &b->listener, NULL), 0);
	ck_assert_int_eq(vmig_channel_connect(vmig_listener_address(b->listener), 5000, &x, NULL), 0);
	ck_assert_int_eq(vmig_listener_accept(b->listener, 5000, &y), 0);
	side_init(&b->source, true, b->from, SIDE_DEVICES, x);
	side_init(&b->destination, false, b->to, SIDE_DEVICES, y);
	b->source.options.connections = connections;
	b->source.options.more = dial;
	b->source.options.more_opaque = b;
	b->destination.options.more = accept_one;
	b->destination.options.more_opaque = b;
}

static void both_close(struct both *b)
{
	vmig_listener_free(b->listener);
	side_close(b->from, SIDE_DEVICES);
	side_close(b->to, SIDE_DEVICES);
}

static void check_moved(struct both *b)
{
	ck_assert_msg(b->source.r == VMIG_DONE, "%s", b->source.result.reason);
	ck_assert_msg(b->destination.r == VMIG_DONE, "%s", b->destination.result.reason);
	for (int i = 0; i < SIDE_DEVICES; i++) {
		ck_assert_uint_eq(counter_state(&b->to[i]), VMIG_STATE_RUNNING);
		ck_assert_uint_eq(counter_done(&b->to[i]), counter_done(&b->from[i]));
		ck_assert(counter_is_whole(&b->to[i]));
	}
}

static void move(uint32_t connections, bool busy, int expected)
{
	struct both b;

	both_open(&b, connections, busy);
	side_run_both(&b.source, &b.destination);
	check_moved(&b);
	ck_assert_int_eq(b.dialled, expected);
	ck_assert_int_eq(b.accepted, expected);
	both_close(&b);
}

TEST(devices_move_over_several_connections)
{
	move(2, false, 1);
	move(3, true, 2);
}

TEST(there_are_no_more_connections_than_devices)
{
	move(9, false, SIDE_DEVICES - 1);
}

TEST(a_destination_that_has_no_more_takes_one)
{
	struct both b;

	both_open(&b, 3, false);
	b.destination.options.more = NULL;
	side_run_both(&b.source, &b.destination);
	check_moved(&b);
	ck_assert_int_eq(b.dialled, 0);
	both_close(&b);
}

TEST(a_stranger_is_not_let_in)
{
	static const char garbage[] =
		"GET / HTTP/1.1\r\nHost: of-somebody-else.example\r\nAccept: */*\r\n\r\n";
	struct vmig_channel *stranger;
	struct iovec iov = { (void *)(uintptr_t)garbage, sizeof(garbage) };
	struct both b;

	both_open(&b, 2, false);
	ck_assert_int_eq(vmig_channel_connect(vmig_listener_address(b.listener), 5000, &stranger, NULL), 0);
	ck_assert_int_eq(vmig_channel_send(stranger, &iov, 1), 0);
	side_run_both(&b.source, &b.destination);
	check_moved(&b);
	ck_assert_int_eq(b.accepted, 2);
	vmig_channel_close(stranger);
	both_close(&b);
}

TEST(a_connection_that_cannot_be_made_ends_it)
{
	struct both b;

	both_open(&b, 4, false);
	b.most = 1;
	side_run_both(&b.source, &b.destination);
	ck_assert_int_eq(b.source.r, VMIG_NOT_DONE);
	ck_assert_ptr_nonnull(strstr(b.source.result.reason, "one more connection could not be made"));
	ck_assert_int_ne(b.destination.r, VMIG_DONE);
	side_check_running(b.from, SIDE_DEVICES);
	both_close(&b);
}

/* --- turns --- */

struct turns {
	struct vmig_out out;
	struct vmig_channel *channel, *other;
	pthread_t thread;
};

static int send_one(struct turns *t, uint32_t device)
{
	char byte = (char)device;
	struct iovec iov = { &byte, 1 };
	uint64_t digest;

	return vmig_out_data(&t->out, device, &iov, 1, true, &digest);
}

static void *send_as_one(void *arg)
{
	struct turns *t = arg;

	ck_assert_int_eq(send_one(t, 1), 0);
	ck_assert_int_eq(vmig_out_leave(&t->out, 1, false), 0);
	return NULL;
}

static bool somebody_waits(struct turns *t)
{
	bool waits;

	pthread_mutex_lock(&t->out.lock);
	waits = t->out.first;
	pthread_mutex_unlock(&t->out.lock);
	return waits;
}

/* The devices of the records that were sent, in their order. */
static void read_devices(struct turns *t, uint32_t *ret, int n)
{
	struct vmig_stream_decoder d;

	vmig_stream_decoder_init(&d, NULL);
	for (int i = 0; i < n;) {
		struct iovec room;
		uint8_t byte;
		int r;

		if (d.at == VMIG_STREAM_IN_PAYLOAD) {
			room = (struct iovec){ &byte, 1 };
			ck_assert_int_eq(vmig_channel_recv(t->other, &room, 1), 1);
			ck_assert_int_eq(vmig_stream_payload(&d, &byte, 1, NULL), 1);
			ret[i++] = d.record.device;
			continue;
		}
		vmig_stream_room(&d, &room);
		r = (int)vmig_channel_recv(t->other, &room, 1);
		ck_assert_int_gt(r, 0);
		ck_assert_int_ge(vmig_stream_filled(&d, (size_t)r, NULL), 0);
	}
}

/* A device keeps its turn for some time, and then waits behind whoever waits. */
TEST(a_device_that_waits_has_its_turn)
{
	uint32_t devices[4];
	struct turns t;

	side_pair(&t.channel, &t.other);
	vmig_out_init(&t.out, t.channel, 0);
	ck_assert_int_eq(send_one(&t, 0), 0);
	/* Not over while the test is slow. */
	pthread_mutex_lock(&t.out.lock);
	t.out.turn_end_ns = UINT64_MAX;
	pthread_mutex_unlock(&t.out.lock);
	ck_assert_int_eq(pthread_create(&t.thread, NULL, send_as_one, &t), 0);
	while (!somebody_waits(&t))
		sched_yield();
	pthread_mutex_lock(&t.out.lock);
	t.out.turn_end_ns = 0;
	pthread_mutex_unlock(&t.out.lock);
	ck_assert_int_eq(send_one(&t, 0), 0);
	ck_assert_int_eq(send_one(&t, 0), 0);
	ck_assert_int_eq(vmig_out_leave(&t.out, 0, false), 0);
	pthread_join(t.thread, NULL);
	read_devices(&t, devices, 4);
	ck_assert_uint_eq(devices[0], 0);
	ck_assert_uint_eq(devices[1], 0);
	ck_assert_uint_eq(devices[2], 1);
	ck_assert_uint_eq(devices[3], 0);
	vmig_out_done(&t.out);
	vmig_channel_close(t.channel);
	vmig_channel_close(t.other);
}

HARNESS("conns", T(devices_move_over_several_connections), T(there_are_no_more_connections_than_devices),
	T(a_destination_that_has_no_more_takes_one), T(a_stranger_is_not_let_in),
	T(a_connection_that_cannot_be_made_ends_it), T(a_device_that_waits_has_its_turn))
