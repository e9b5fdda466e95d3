/* SPDX-License-Identifier: BSD-3-Clause */
#include "side.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int quiesce(void *opaque)
{
	((struct side *)opaque)->quiesced++;
	return 0;
}

static void resume(void *opaque)
{
	((struct side *)opaque)->resumed++;
}

static void start(void *opaque)
{
	((struct side *)opaque)->started++;
}

static uint8_t byte_of(uint32_t index, size_t at)
{
	return (uint8_t)(index * 31 + at * 7 + (at >> 8));
}

static int save_record(void *opaque, uint32_t index, void **ret, size_t *ret_len)
{
	struct side *side = opaque;
	uint8_t *bytes = malloc(side->record_size + 1);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < side->record_size; i++)
		bytes[i] = byte_of(index, i);
	side->saved++;
	*ret = bytes;
	*ret_len = side->record_size;
	return side->user_fault;
}

static int load_record(void *opaque, uint32_t index, const void *record, size_t len)
{
	struct side *side = opaque;
	const uint8_t *bytes = record;
	uint32_t state;

	ck_assert_int_eq(vmig_device_query_state(side->devices[index], &state), 0);
	ck_assert_uint_eq(state, VMIG_STATE_STOP);
	side->loaded++;
	if (len != side->record_size)
		side->records_right = false;
	for (size_t i = 0; i < len && side->records_right; i++)
		side->records_right = bytes[i] == byte_of(index, i);
	return side->user_fault;
}

void side_init(struct side *side, bool source, struct counter *counters, uint32_t n,
	       struct vmig_channel *channel)
{
	memset(side, 0, sizeof(*side));
	side->source = source;
	side->n = n;
	for (uint32_t i = 0; i < n; i++)
		side->devices[i] = counters[i].dev;
	side->channel = channel;
	side->records_right = true;
	side->user = (struct vmig_migrate_user){
		.quiesce = quiesce, .resume = resume, .start = start, .opaque = side
	};
	if (source)
		side->user.save_record = save_record;
	else
		side->user.load_record = load_record;
}

void side_run(struct side *side)
{
	side->r = (side->source ? vmig_migrate_source : vmig_migrate_destination)(
		side->devices, side->n, side->channel, &side->user, &side->options, &side->result);
	vmig_channel_close(side->channel);
}

static void *run(void *opaque)
{
	side_run(opaque);
	return NULL;
}

void side_run_both(struct side *a, struct side *b)
{
	ck_assert_int_eq(pthread_create(&b->thread, NULL, run, b), 0);
	side_run(a);
	pthread_join(b->thread, NULL);
}

void side_pair(struct vmig_channel **a, struct vmig_channel **b)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(vmig_channel_socket(fds[0], a), 0);
	ck_assert_int_eq(vmig_channel_socket(fds[1], b), 0);
}

void side_open(struct counter *counters, int n, const struct counter_config *config)
{
	for (int i = 0; i < n; i++)
		counter_open(&counters[i], config);
}

void side_close(struct counter *counters, int n)
{
	for (int i = 0; i < n; i++)
		counter_close(&counters[i]);
}

void side_check_running(struct counter *counters, int n)
{
	for (int i = 0; i < n; i++) {
		ck_assert_uint_eq(counter_state(&counters[i]), VMIG_STATE_RUNNING);
		ck_assert(counter_is_whole(&counters[i]));
	}
}
