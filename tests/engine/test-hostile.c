/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A destination that is fed by somebody who means harm: every record of a session that was good once, at its place,
 * malformed in every way that still has right digests; and streams without an end. Whatever comes, it says why it
 * refuses, takes no memory for it, and the devices are as before.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/util.h"
#include "harness.h"
#include "session.h"
#include "side.h"

#define N          2  /* devices */
#define MEMORY_MIB 24 /* that all of a test may add; the counters have far less, a session less than one */

static const struct counter_config config = { .size = 64 << 10 };

/* A session between two sets of devices, kept. */
static void record(struct session *session)
{
	struct counter from[N], to[N];
	struct side source, destination;
	struct vmig_channel *x, *y;

	memset(session, 0, sizeof(*session));
	side_open(from, N, &config);
	side_open(to, N, &config);
	side_pair(&x, &y);
	session_record(session, &x);
	side_init(&source, true, from, N, x);
	side_init(&destination, false, to, N, y);
	source.record_size = destination.record_size = 100;
	side_run_both(&source, &destination);
	ck_assert_msg(destination.r == VMIG_DONE, "%s", destination.result.reason);
	side_close(from, N);
	side_close(to, N);
	session_take(session);
}

struct victim {
	struct counter counters[N];
	struct side side;
};

static void victim_open(struct victim *v)
{
	side_open(v->counters, N, &config);
}

/* What is sent, and then the end, or an end when nobody reads any more. */
struct enemy {
	struct vmig_channel *channel;
	const uint8_t *bytes;
	size_t len;
	size_t pause;             /* after so many bytes it waits to be accepted; 0: it does not */
	const struct made *again; /* sent until nobody reads; numbers and digests are made anew */
	uint32_t number;
};

static void send_again(struct enemy *e)
{
	struct vmig_record r = { .type = 77,
				 .flags = VMIG_RECORD_OPTIONAL,
				 .length = VMIG_LIMIT_RECORD_CONTROL };
	static uint8_t payload[VMIG_LIMIT_RECORD_CONTROL];
	uint8_t header[VMIG_STREAM_HEADER_LEN];
	struct iovec iov[2] = { { header, sizeof(header) }, { payload, sizeof(payload) } };

	r.digest = vmig_digest_of(payload, sizeof(payload));
	do {
		r.number = e->number++;
		vmig_stream_put_header(header, &r, e->again->attempt);
	} while (!vmig_channel_send(e->channel, iov, 2));
}

static void *attack(void *opaque)
{
	struct enemy *e = opaque;
	size_t first = MIN(e->pause, e->len);
	struct iovec iov = { (void *)(uintptr_t)e->bytes, first };
	int r = vmig_channel_send(e->channel, &iov, 1);

	if (!r && first < e->len) {
		if (first)
			session_hear(e->channel, VMIG_RECORD_ACCEPT);
		iov = (struct iovec){ (void *)(uintptr_t)(e->bytes + first), e->len - first };
		r = vmig_channel_send(e->channel, &iov, 1);
	}
	if (!r && e->again)
		send_again(e);
	vmig_channel_shutdown(e->channel);
	return NULL;
}

static void feed(struct victim *v, struct enemy *e)
{
	struct vmig_channel *x;
	pthread_t thread;

	side_pair(&x, &e->channel);
	side_init(&v->side, false, v->counters, N, x);
	v->side.record_size = 100;
	v->side.options.timeout_ns = 10000000000;
	pthread_create(&thread, NULL, attack, e);
	side_run(&v->side);
	pthread_join(thread, NULL);
	vmig_channel_close(e->channel);
	ck_assert_int_ne(v->side.r, VMIG_DONE);
	ck_assert_int_ge(v->side.r, 0);
	ck_assert_int_ne(v->side.result.code, 0);
	ck_assert_uint_ne(strlen(v->side.result.reason), 0);
	ck_assert_int_eq(v->side.started, 0);
	for (int i = 0; i < N; i++)
		ck_assert_uint_eq(counter_state(&v->counters[i]), VMIG_STATE_RUNNING);
}

static void feed_made(struct victim *v, const struct session *s, const struct made *m)
{
	struct enemy e = { .bytes = m->bytes, .len = m->len };
	size_t offers = session_offers_end(s);

	if (m->len > offers && !memcmp(m->bytes, s->bytes, offers))
		e.pause = offers;
	feed(v, &e);
}

/* And the next one is served. */
static void victim_close(struct victim *v)
{
	struct counter from[N];
	struct side source;
	struct vmig_channel *x, *y;

	side_open(from, N, &config);
	for (int i = 0; i < N; i++)
		counter_work(&from[i], 100);
	side_pair(&x, &y);
	side_init(&source, true, from, N, x);
	side_init(&v->side, false, v->counters, N, y);
	side_run_both(&source, &v->side);
	ck_assert_msg(v->side.r == VMIG_DONE, "%s", v->side.result.reason);
	for (int i = 0; i < N; i++)
		ck_assert_uint_eq(counter_done(&v->counters[i]), counter_done(&from[i]));
	side_close(from, N);
	side_close(v->counters, N);
}

static bool says(const struct victim *v, const char *word)
{
	return strstr(v->side.result.reason, word);
}

/* --- one record malformed --- */

/* Up to what the peer may commit by: a session that is whole is no attack. */
static uint32_t n_attacked(const struct session *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->records[i].type == VMIG_RECORD_PROMISE)
			return i;
	ck_abort_msg("no PROMISE");
}

TEST(records_of_another_attempt_are_refused)
{
	struct session s;
	struct victim v;

	record(&s);
	victim_open(&v);
	for (uint32_t i = 0; i < n_attacked(&s); i++) {
		struct made m;

		session_begin(&s, i, &m);
		m.attempt[7] ^= 1;
		made_add(&m, s.records[i].type, s.records[i].flags, s.records[i].device, s.payloads[i],
			 s.records[i].length);
		feed_made(&v, &s, &m);
		ck_assert_msg(says(&v, "another attempt"), "record %u: %s", i, v.side.result.reason);
		made_end(&m);
	}
	victim_close(&v);
	session_done(&s);
}

TEST(records_lost_or_doubled_are_refused)
{
	struct session s;
	struct victim v;

	record(&s);
	victim_open(&v);
	for (uint32_t i = 0; i < n_attacked(&s); i++) {
		struct made m;

		session_begin(&s, i, &m);
		made_add_numbered(&m, s.records[i].type, i + 1, s.payloads[i], s.records[i].length);
		feed_made(&v, &s, &m);
		ck_assert_msg(says(&v, "missing"), "record %u: %s", i, v.side.result.reason);
		made_end(&m);
		session_begin(&s, i + 1, &m);
		made_add_numbered(&m, s.records[i].type, i, s.payloads[i], s.records[i].length);
		feed_made(&v, &s, &m);
		ck_assert_msg(says(&v, "doubled"), "record %u: %s", i, v.side.result.reason);
		made_end(&m);
	}
	victim_close(&v);
	session_done(&s);
}

/* At the limit the payload is what counts, which is none; beyond it nothing of the payload is waited for. */
TEST(lengths_at_and_beyond_their_limits)
{
	static uint8_t payload[VMIG_LIMIT_RECORD_DATA + 1];
	struct session s;
	struct victim v;

	record(&s);
	victim_open(&v);
	for (uint32_t type = 1; type < VMIG_RECORD_NR; type++) {
		uint32_t limit = vmig_record_limit(type);

		/* (A PROMISE after all the rest would be a session that is whole.) */
		if (!vmig_record_name(type) || type == VMIG_RECORD_PROMISE)
			continue;
		for (uint32_t before = 0; before < 3; before++) {
			struct made m;

			session_begin(&s, before * n_attacked(&s) / 2, &m);
			made_add(&m, (uint16_t)type, 0, 0, payload, limit);
			feed_made(&v, &s, &m);
			made_end(&m);
			session_begin(&s, before * n_attacked(&s) / 2, &m);
			made_add(&m, (uint16_t)type, 0, 0, payload, limit + 1);
			m.len -= limit + 1;
			feed_made(&v, &s, &m);
			ck_assert_msg(says(&v, "are allowed"), "%s: %s", vmig_record_name(type),
				      v.side.result.reason);
			made_end(&m);
		}
	}
	victim_close(&v);
	session_done(&s);
}

static bool carries(const struct session *s, uint32_t i)
{
	uint16_t type = s->records[i].type;

	return s->records[i].length && type != VMIG_RECORD_DATA && type != VMIG_RECORD_PROGRESS;
}

TEST(payloads_cut_short_or_of_noise_are_refused)
{
	unsigned int seed = harness_seed();
	struct session s;
	struct victim v;

	record(&s);
	victim_open(&v);
	for (uint32_t i = 0; i < n_attacked(&s); i++) {
		uint32_t len = s.records[i].length;
		uint8_t *noise = malloc(len + 1);

		for (uint32_t cut = 0; carries(&s, i) && cut < len; cut += 1 + cut / 2) {
			struct made m;

			session_begin(&s, i, &m);
			made_add(&m, s.records[i].type, 0, s.records[i].device, s.payloads[i], cut);
			feed_made(&v, &s, &m);
			made_end(&m);
			for (uint32_t j = 0; j < len; j++)
				noise[j] = (uint8_t)rand_r(&seed);
			session_begin(&s, i, &m);
			made_add(&m, s.records[i].type, 0, s.records[i].device, noise, len);
			feed_made(&v, &s, &m);
			made_end(&m);
		}
		free(noise);
	}
	victim_close(&v);
	session_done(&s);
}

/* Every type at every place, about a device that is there, one that is not, and about all. */
TEST(records_where_they_do_not_belong)
{
	static const uint32_t devices[] = { 0, N, 0x7fffffff, VMIG_RECORD_ALL };
	struct session s;
	struct victim v;

	record(&s);
	victim_open(&v);
	for (uint32_t i = 0; i < n_attacked(&s); i++) {
		for (uint32_t type = 0; type <= VMIG_RECORD_NR; type++) {
			struct made m;

			session_begin(&s, i, &m);
			made_add(&m, (uint16_t)type, 0, devices[(i + type) % 4], s.payloads[i],
				 MIN(s.records[i].length, vmig_record_limit(type)));
			feed_made(&v, &s, &m);
			made_end(&m);
		}
	}
	victim_close(&v);
	session_done(&s);
}

TEST(every_byte_of_a_head_counts)
{
	struct session s;
	struct victim v;

	record(&s);
	victim_open(&v);
	for (size_t i = 0; i < VMIG_STREAM_HEAD_LEN; i++) {
		struct enemy e = { .bytes = s.bytes, .len = s.len };

		s.bytes[i] ^= 0x20;
		feed(&v, &e);
		ck_assert_int_eq(v.side.r, VMIG_BAD_INPUT);
		s.bytes[i] ^= 0x20;
	}
	victim_close(&v);
	session_done(&s);
}

TEST(data_before_they_are_accepted_are_refused)
{
	struct session s;
	struct victim v;
	struct enemy e = { 0 };

	record(&s);
	victim_open(&v);
	for (uint32_t before = 0; before < 2; before++) {
		struct made m;

		session_begin(&s, before, &m);
		made_add(&m, VMIG_RECORD_DATA, 0, 0, "data", 4);
		e = (struct enemy){ .bytes = m.bytes, .len = m.len };
		feed(&v, &e);
		ck_assert_msg(says(&v, "before they were accepted"), "%s", v.side.result.reason);
		made_end(&m);
	}
	victim_close(&v);
	session_done(&s);
}

/* --- without an end --- */

static long memory_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

/* Records that an end has to skip, for ever: as many as there is time for. */
TEST(a_stream_without_an_end_is_given_up)
{
	struct enemy e = { 0 };
	struct vmig_channel *x;
	struct session s;
	struct victim v;
	struct made m;
	pthread_t thread;
	long before;

	record(&s);
	victim_open(&v);
	for (uint32_t n = 0; n < 2; n++) { /* before HELLO, and after it */
		session_begin(&s, n, &m);
		e = (struct enemy){ .bytes = m.bytes, .len = m.len, .again = &m, .number = n };
		before = memory_kib();
		side_pair(&x, &e.channel);
		side_init(&v.side, false, v.counters, N, x);
		v.side.options.timeout_ns = 200000000;
		pthread_create(&thread, NULL, attack, &e);
		side_run(&v.side);
		pthread_join(thread, NULL);
		vmig_channel_close(e.channel);
		ck_assert_int_eq(v.side.result.code, ETIMEDOUT);
		ck_assert_int_lt(memory_kib() - before, MEMORY_MIB << 10);
		made_end(&m);
	}
	victim_close(&v);
	session_done(&s);
}

/* A byte now and then: never silent, and never there. */
static void *drip(void *opaque)
{
	struct enemy *e = opaque;
	struct iovec iov = { (void *)(uintptr_t)e->bytes, 1 };

	for (size_t i = 0; i < e->len; i++) {
		iov.iov_base = (void *)(uintptr_t)(e->bytes + i);
		if (vmig_channel_send(e->channel, &iov, 1))
			break;
		poll(NULL, 0, 10);
	}
	return NULL;
}

TEST(a_peer_that_drips_is_given_up)
{
	struct enemy e = { 0 };
	struct vmig_channel *x;
	struct session s;
	struct victim v;
	pthread_t thread;

	record(&s);
	victim_open(&v);
	side_pair(&x, &e.channel);
	e.bytes = s.bytes;
	e.len = s.len;
	side_init(&v.side, false, v.counters, N, x);
	v.side.options.timeout_ns = 200000000;
	pthread_create(&thread, NULL, drip, &e);
	side_run(&v.side);
	pthread_join(thread, NULL);
	vmig_channel_close(e.channel);
	ck_assert_int_eq(v.side.result.code, ETIMEDOUT);
	victim_close(&v);
	session_done(&s);
}

HARNESS("hostile", T_SLOW(records_of_another_attempt_are_refused, 60),
	T_SLOW(records_lost_or_doubled_are_refused, 60), T_SLOW(lengths_at_and_beyond_their_limits, 60),
	T_SLOW(payloads_cut_short_or_of_noise_are_refused, 60), T_SLOW(records_where_they_do_not_belong, 120),
	T(every_byte_of_a_head_counts), T(data_before_they_are_accepted_are_refused),
	T(a_stream_without_an_end_is_given_up), T(a_peer_that_drips_is_given_up))
