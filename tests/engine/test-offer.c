/* SPDX-License-Identifier: BSD-3-Clause */
/* The offer with real drivers: who says no, who is slow, who does not come back; and nobody has moved. */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vmig/model.h>

#include "handle/handle.h"
#include "harness.h"
#include "side.h"

#define HEAD "head of version 1"

/* A device that is nothing but what it says of itself. */
struct teller {
	/* As configured. */
	const char *descriptor, *opaque, *takes;
	size_t opaque_len;
	bool by_head;                /* no opaque op: its stream begins with @opaque */
	uint32_t fail_from, fail_to; /* the arc that fails, once */
	bool fails, to_error, empty, descriptor_fails, reset_fails;
	void (*judging)(void *arg);
	void *arg;
	/* As it was driven. */
	atomic_int n_steps, n_resets, n_judged;
	size_t given;
	struct vmig_model *model;
	struct vmig_device *dev;
	struct vmig_provider_ops ops;
};

static int step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	struct teller *t = opaque;

	t->n_steps++;
	if (to == VMIG_STATE_PRE_COPY || to == VMIG_STATE_STOP_COPY)
		t->given = 0;
	if (t->fails && from == t->fail_from && to == t->fail_to) {
		t->fails = false;
		if (t->to_error)
			*ret_state = VMIG_STATE_ERROR;
		return -EIO;
	}
	return 0;
}

static ssize_t read_data(void *opaque, void *buf, size_t len)
{
	struct teller *t = opaque;
	size_t n = t->empty ? 0 : t->opaque_len - t->given;

	n = n < len ? n : len;
	memcpy(buf, t->opaque + t->given, n);
	t->given += n;
	return (ssize_t)n;
}

static int verdict(struct teller *t, const void *data, size_t len)
{
	return len == strlen(t->takes) && !memcmp(data, t->takes, len) ? 0 : -EINVAL;
}

static int write_data(void *opaque, const void *buf, size_t len)
{
	struct teller *t = opaque;

	t->n_judged++;
	return t->by_head ? verdict(t, buf, len) : 0;
}

static int sizes(void *opaque, struct vmig_precopy *ret)
{
	struct teller *t = opaque;

	*ret = (struct vmig_precopy){ .initial_bytes = t->opaque_len - t->given };
	return 0;
}

static ssize_t tell(void *opaque, void *buf)
{
	struct teller *t = opaque;

	memcpy(buf, t->opaque, t->opaque_len);
	return (ssize_t)t->opaque_len;
}

static int judge(void *opaque, const void *data, size_t len, char *why, size_t why_size)
{
	struct teller *t = opaque;

	t->n_judged++;
	if (t->judging)
		t->judging(t->arg);
	snprintf(why, why_size, "another version");
	return t->takes ? verdict(t, data, len) : 0;
}

static int reset(void *opaque)
{
	struct teller *t = opaque;

	return t->n_resets++ || !t->reset_fails ? 0 : -EIO;
}

static int no_descriptor(void *p, char **ret, struct vmig_error *error)
{
	return -ECONNRESET;
}

static void closed(void *opaque)
{
}

static void teller_open(struct teller *t)
{
	struct vmig_model_ops ops = { .step = step,
				      .read = read_data,
				      .write = write_data,
				      .precopy_sizes = sizes,
				      .reset = reset,
				      .close = closed };
	struct vmig_model_config config = {
		.name = "teller",
		.identity = "teller",
		.descriptor = t->descriptor,
		.migration_flags = VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY,
		.traits = t->by_head ? VMIG_TRAIT_MATCH_FIRST : 0,
	};

	if (!t->by_head && t->opaque) {
		ops.opaque = tell;
		ops.check_opaque = judge;
	}
	if (t->opaque && !t->opaque_len)
		t->opaque_len = strlen(t->opaque);
	ck_assert_int_eq(vmig_model_new(&ops, t, &config, &t->model, &t->dev), 0);
	/* As a kernel's driver has it: no call for the version data. */
	t->ops = *t->dev->ops;
	if (t->by_head) {
		t->ops.query_opaque = NULL;
		t->ops.check_opaque = NULL;
	}
	if (t->descriptor_fails)
		t->ops.query_descriptor = no_descriptor;
	t->dev->ops = &t->ops;
}

static void offer(struct teller *from, struct teller *to, struct side *source, struct side *destination)
{
	struct vmig_channel *x, *y;
	struct counter none = { 0 };

	teller_open(from);
	teller_open(to);
	side_pair(&x, &y);
	side_init(source, true, &none, 1, x);
	side_init(destination, false, &none, 1, y);
	source->devices[0] = from->dev;
	destination->devices[0] = to->dev;
	source->user.save_record = NULL;
	destination->user.load_record = NULL;
}

static uint32_t state_of(struct teller *t)
{
	uint32_t state;

	ck_assert_int_eq(vmig_device_query_state(t->dev, &state), 0);
	return state;
}

/** Both ended at the offer, and both devices run. */
static void check_refused(struct side *source, struct side *destination, struct teller *from,
			  struct teller *to, const char *reason)
{
	ck_assert_int_eq(source->r, VMIG_NOT_DONE);
	ck_assert_int_eq(source->result.stage, VMIG_STAGE_OFFER);
	ck_assert_int_eq(destination->r, VMIG_NOT_DONE);
	ck_assert_msg(strstr(source->result.reason, reason), "%s", source->result.reason);
	ck_assert_uint_eq(state_of(from), VMIG_STATE_RUNNING);
	ck_assert_uint_eq(state_of(to), VMIG_STATE_RUNNING);
	ck_assert_int_eq(source->quiesced + source->resumed + destination->started, 0);
}

static void both_closed(struct teller *from, struct teller *to)
{
	vmig_device_close(from->dev);
	vmig_device_close(to->dev);
}

#define DESCRIPTOR "{\"self\": [{\"a\": \"1\"}], \"compatible\": [{\"a\": \"1\"}]}"
#define OTHER      "{\"self\": [{\"a\": \"2\"}], \"compatible\": [{\"a\": \"2\"}]}"

TEST(a_driver_that_says_no_moves_nobody)
{
	struct teller from = { .descriptor = DESCRIPTOR, .opaque = "1" };
	struct teller to = { .descriptor = DESCRIPTOR, .opaque = "2", .takes = "2" };
	struct side source, destination;

	offer(&from, &to, &source, &destination);
	side_run_both(&source, &destination);
	check_refused(&source, &destination, &from, &to, "another version");
	ck_assert_ptr_nonnull(strstr(source.result.reason, "one of them is wrong"));
	ck_assert_int_eq(from.n_steps + to.n_steps, 0);
	both_closed(&from, &to);
}

/* Descriptor and driver: both are heard, and both said. */
TEST(a_no_of_the_descriptors_is_one_whatever_the_driver_says)
{
	struct teller from = { .descriptor = DESCRIPTOR, .opaque = "1" };
	struct teller to = { .descriptor = OTHER, .opaque = "1", .takes = "1" };
	struct side source, destination;

	offer(&from, &to, &source, &destination);
	side_run_both(&source, &destination);
	check_refused(&source, &destination, &from, &to, "a: 1 is not what is accepted");
	ck_assert_int_eq(to.n_judged, 1);
	ck_assert_int_eq(from.n_steps + to.n_steps, 0);
	both_closed(&from, &to);
}

/** DESCRIPTOR, filled up with blanks to @len bytes. */
static char *long_descriptor(size_t len)
{
	char *text = malloc(len + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, ' ', len);
	memcpy(text, DESCRIPTOR, strlen(DESCRIPTOR));
	text[len] = '\0';
	return text;
}

TEST(an_offer_at_its_limits_moves)
{
	char *text = long_descriptor(VMIG_DEVICE_DESCRIPTOR_MAX - 1), data[VMIG_DEVICE_OPAQUE_MAX + 1];
	struct teller from = { .descriptor = text, .opaque = data }, to = from;
	struct side source, destination;

	memset(data, 'x', sizeof(data) - 1);
	data[sizeof(data) - 1] = '\0';
	to.takes = data;
	offer(&from, &to, &source, &destination);
	side_run_both(&source, &destination);
	ck_assert_msg(source.r == VMIG_DONE, "%s", source.result.reason);
	ck_assert_int_eq(to.n_judged > 0, 1);
	both_closed(&from, &to);
	free(text);
}

/* A descriptor that is there and cannot be had is not passed over. */
TEST(a_descriptor_that_cannot_be_had_is_a_no)
{
	struct teller from = { .descriptor = DESCRIPTOR };
	struct teller to = { .descriptor = DESCRIPTOR, .descriptor_fails = true };
	struct side source, destination;

	offer(&from, &to, &source, &destination);
	side_run_both(&source, &destination);
	check_refused(&source, &destination, &from, &to, "descriptor here cannot be had");
	both_closed(&from, &to);
}

TEST(a_descriptor_that_is_none_is_refused)
{
	struct teller from = { .descriptor = "{\"self\": [{\"a\": 1,}]}" }, to = { .descriptor = DESCRIPTOR };
	struct side source, destination;

	offer(&from, &to, &source, &destination);
	side_run_both(&source, &destination);
	check_refused(&source, &destination, &from, &to, "the source's descriptor is none: line 1, column ");
	both_closed(&from, &to);
}

/* It is a question: yes or no, nobody moves, and the destination knows that it was one. */
TEST(a_probe_moves_nobody)
{
	for (int yes = 0; yes < 2; yes++) {
		struct teller from = { .descriptor = DESCRIPTOR, .opaque = "1" };
		struct teller to = { .descriptor = DESCRIPTOR, .opaque = "1", .takes = yes ? "1" : "2" };
		struct side source, destination;

		offer(&from, &to, &source, &destination);
		source.options.probe = true;
		side_run_both(&source, &destination);
		ck_assert_int_eq(source.r, yes ? VMIG_DONE : VMIG_NOT_DONE);
		ck_assert_int_eq(source.result.stage, VMIG_STAGE_OFFER);
		ck_assert_int_eq(destination.r, VMIG_NOT_DONE);
		ck_assert(destination.result.probed);
		ck_assert_int_eq(from.n_steps + to.n_steps + from.n_resets + to.n_resets, 0);
		both_closed(&from, &to);
	}
}

/* --- cancelled while the driver judges --- */

struct held {
	bool cancel;
	sem_t source_over;
};

static void cancel_and_wait(void *arg)
{
	struct held *held = arg;
	struct timespec end;

	__atomic_store_n(&held->cancel, true, __ATOMIC_RELAXED);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 20;
	while (sem_timedwait(&held->source_over, &end) && errno == EINTR)
		;
}

static void *run_destination(void *arg)
{
	side_run(arg);
	return NULL;
}

TEST(a_cancel_does_not_wait_for_the_judge)
{
	struct held held = { 0 };
	struct teller from = { .descriptor = DESCRIPTOR, .opaque = "1" };
	struct teller to = { .descriptor = DESCRIPTOR,
			     .opaque = "1",
			     .takes = "1",
			     .judging = cancel_and_wait,
			     .arg = &held };
	struct side source, destination;
	pthread_t thread;

	ck_assert_int_eq(sem_init(&held.source_over, 0, 0), 0);
	offer(&from, &to, &source, &destination);
	source.options.cancel = &held.cancel;
	ck_assert_int_eq(pthread_create(&thread, NULL, run_destination, &destination), 0);
	side_run(&source);
	sem_post(&held.source_over);
	pthread_join(thread, NULL);
	check_refused(&source, &destination, &from, &to, "cancelled");
	ck_assert_int_eq(source.result.code, ECANCELED);
	ck_assert_int_eq(to.n_judged, 1);
	ck_assert_int_eq(from.n_steps + to.n_steps, 0);
	both_closed(&from, &to);
	sem_destroy(&held.source_over);
}

/* --- drivers that tell by the head of their stream --- */

TEST(a_head_is_fed_to_the_destination_before_anything_moves)
{
	for (int good = 0; good < 2; good++) {
		struct teller from = { .opaque = HEAD, .by_head = true, .takes = HEAD };
		struct teller to = { .opaque = HEAD, .by_head = true, .takes = good ? HEAD : "another" };
		struct side source, destination;

		offer(&from, &to, &source, &destination);
		source.options.probe = true;
		side_run_both(&source, &destination);
		ck_assert_msg(source.r == (good ? VMIG_DONE : VMIG_NOT_DONE), "%s", source.result.reason);
		ck_assert_int_eq(from.n_steps, 2); /* to PRE_COPY, and back */
		ck_assert_int_eq(to.n_resets, 1);
		ck_assert_uint_eq(destination.result.resets, 1);
		ck_assert_uint_eq(state_of(&from), VMIG_STATE_RUNNING);
		ck_assert_uint_eq(state_of(&to), VMIG_STATE_RUNNING);
		both_closed(&from, &to);
	}
}

/* It may be the source of an earlier migration: it is not run in order to be asked. */
TEST(a_destination_in_stop_is_not_fed_and_stays_there)
{
	struct teller from = { .opaque = HEAD, .by_head = true, .takes = HEAD };
	struct teller to = { .opaque = HEAD, .by_head = true, .takes = HEAD };
	struct side source, destination;

	offer(&from, &to, &source, &destination);
	ck_assert_int_eq(vmig_device_set_state(to.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), 0);
	source.options.probe = true;
	side_run_both(&source, &destination);
	ck_assert_msg(source.r == VMIG_DONE, "%s", source.result.reason);
	ck_assert_int_eq(to.n_resets, 0);
	ck_assert_uint_eq(state_of(&to), VMIG_STATE_STOP);
	both_closed(&from, &to);
}

/* Whether it has told something or not: it has to be back, or the migration does not begin. */
TEST(a_source_that_does_not_come_back_from_telling_stops_it)
{
	for (int empty = 0; empty < 2; empty++) {
		struct teller from = { .opaque = HEAD,
				       .by_head = true,
				       .takes = HEAD,
				       .empty = empty,
				       .fails = true,
				       .fail_from = VMIG_STATE_PRE_COPY,
				       .fail_to = VMIG_STATE_RUNNING };
		struct teller to = { .opaque = HEAD, .by_head = true, .takes = HEAD };
		struct side source, destination;

		offer(&from, &to, &source, &destination);
		side_run_both(&source, &destination);
		check_refused(&source, &destination, &from, &to, "does not come back");
		both_closed(&from, &to);
	}
}

TEST(a_destination_that_fails_while_it_is_fed_is_reset)
{
	struct teller from = { .opaque = HEAD, .by_head = true, .takes = HEAD };
	struct teller to = { .opaque = HEAD,
			     .by_head = true,
			     .takes = HEAD,
			     .fails = true,
			     .to_error = true,
			     .fail_from = VMIG_STATE_STOP,
			     .fail_to = VMIG_STATE_RESUMING };
	struct side source, destination;

	offer(&from, &to, &source, &destination);
	side_run_both(&source, &destination);
	check_refused(&source, &destination, &from, &to, "the destination refuses: device 0 ");
	ck_assert_int_eq(to.n_resets, 1);
	both_closed(&from, &to);
}

/* What was fed has to go again. Once more is tried by the rollback. */
TEST(a_destination_whose_reset_fails_after_it_was_fed_is_reset_again)
{
	struct teller from = { .opaque = HEAD, .by_head = true, .takes = HEAD };
	struct teller to = { .opaque = HEAD, .by_head = true, .takes = HEAD, .reset_fails = true };
	struct side source, destination;

	offer(&from, &to, &source, &destination);
	side_run_both(&source, &destination);
	check_refused(&source, &destination, &from, &to, "does not come back");
	ck_assert_int_eq(to.n_resets, 2);
	both_closed(&from, &to);
}

/* To be fed costs a reset: not for a question that is answered. */
TEST(a_head_is_not_fed_where_the_descriptors_say_no)
{
	struct teller from = { .descriptor = DESCRIPTOR, .opaque = HEAD, .by_head = true, .takes = HEAD };
	struct teller to = { .descriptor = OTHER, .opaque = HEAD, .by_head = true, .takes = HEAD };
	struct side source, destination;

	offer(&from, &to, &source, &destination);
	side_run_both(&source, &destination);
	check_refused(&source, &destination, &from, &to, "a: 1 is not what is accepted");
	ck_assert_int_eq(to.n_resets + to.n_judged, 0);
	both_closed(&from, &to);
}

/* Who asked for no PRE_COPY does not get one, and a head that has no end is none: then nothing is told. */
TEST(no_head_is_read_without_precopy_nor_one_that_is_too_long)
{
	char data[VMIG_DEVICE_OPAQUE_MAX + 1];

	memset(data, 'x', sizeof(data) - 1);
	data[sizeof(data) - 1] = '\0';
	for (int too_long = 0; too_long < 2; too_long++) {
		struct teller from = { .opaque = too_long ? data : HEAD, .by_head = true };
		struct teller to = { .opaque = HEAD, .by_head = true, .takes = "another" };
		struct side source, destination;

		offer(&from, &to, &source, &destination);
		source.options.probe = true;
		source.options.no_precopy = !too_long;
		side_run_both(&source, &destination);
		ck_assert_msg(source.r == VMIG_DONE, "%s", source.result.reason);
		ck_assert_int_eq(from.n_steps, too_long ? 2 : 0);
		ck_assert_int_eq(to.n_judged, 0);
		both_closed(&from, &to);
	}
}

TEST(another_format_is_refused_whatever_the_descriptors_say)
{
	struct teller from = { .descriptor = DESCRIPTOR }, to = { .descriptor = DESCRIPTOR };
	struct side source, destination;

	offer(&from, &to, &source, &destination);
	snprintf(to.dev->info.format, sizeof(to.dev->info.format), "other");
	side_run_both(&source, &destination);
	check_refused(&source, &destination, &from, &to, "takes other");
	both_closed(&from, &to);
}

HARNESS("engine.offer", T(a_driver_that_says_no_moves_nobody),
	T(a_no_of_the_descriptors_is_one_whatever_the_driver_says), T(an_offer_at_its_limits_moves),
	T(a_descriptor_that_cannot_be_had_is_a_no), T(a_descriptor_that_is_none_is_refused),
	T(a_probe_moves_nobody), T(a_head_is_not_fed_where_the_descriptors_say_no),
	T(no_head_is_read_without_precopy_nor_one_that_is_too_long),
	T(another_format_is_refused_whatever_the_descriptors_say), T(a_cancel_does_not_wait_for_the_judge),
	T(a_head_is_fed_to_the_destination_before_anything_moves),
	T(a_destination_in_stop_is_not_fed_and_stays_there),
	T(a_source_that_does_not_come_back_from_telling_stops_it),
	T(a_destination_that_fails_while_it_is_fed_is_reset),
	T(a_destination_whose_reset_fails_after_it_was_fed_is_reset_again))
