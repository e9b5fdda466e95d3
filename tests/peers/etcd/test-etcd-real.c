/* SPDX-License-Identifier: BSD-3-Clause */
/* The store in a real etcd: what a swap promises, who wins, and what becomes of it when etcd stops, dies, or comes back. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "owner/records.h"
#include "server.h"

static struct vmig_owner *open_url(const char *url, uint32_t timeout_ms)
{
	struct vmig_owner *owner = NULL;
	struct vmig_error error = { 0 };
	int r = vmig_owner_open(url, timeout_ms, &owner, &error);

	ck_assert_msg(!r, "%d: %s", r, error.text);
	return owner;
}

static struct vmig_owner *open_it(const struct cluster *c)
{
	char url[256];

	return open_url(cluster_url(c, url), 20000);
}

/* A busy machine may make etcd lose its leader: what is not known, or cannot be asked, is asked again. */
#define TRIES 20

static int swap(struct vmig_owner *owner, const struct vmig_ownership *now, const struct vmig_ownership *next,
		uint32_t n)
{
	struct vmig_error error = { 0 };
	int r = -EINPROGRESS;

	for (int i = 0; i < TRIES && r == -EINPROGRESS; i++)
		r = vmig_owner_swap(owner, now, next, n, &error);
	ck_assert_msg(!r || r == -EAGAIN || r == -E2BIG, "%d: %s", r, error.text);
	return r;
}

static struct vmig_ownership create(struct vmig_owner *owner, unsigned int number)
{
	struct vmig_ownership none = { .device = some_uuid(number) }, r = some_record(number);

	ck_assert_int_eq(swap(owner, &none, &r, 1), 0);
	return r;
}

static struct vmig_ownership read_one(struct vmig_owner *owner, unsigned int number)
{
	struct vmig_uuid device = some_uuid(number);
	struct vmig_error error = { 0 };
	struct vmig_ownership r = { 0 };
	int code = -1;

	for (int i = 0; i < TRIES && code; i++)
		code = vmig_owner_read(owner, &device, 1, &r, &error);
	ck_assert_msg(!code, "%d: %s", code, error.text);
	return r;
}

static struct vmig_ownership raised(const struct vmig_ownership *now)
{
	struct vmig_owner_actor actor = some_actor(now->owner, NULL);
	struct vmig_ownership next;

	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_RAISE, &actor, now, &next), 0);
	return next;
}

TEST(a_record_goes_there_and_back)
{
	struct cluster c;
	struct vmig_owner *owner;
	struct vmig_ownership r, next, is;
	struct vmig_owner_actor a = some_actor("host/vfio-user:/run/\"\xc3\xa4\".sock", "b");

	cluster_start(&c, 1);
	owner = open_it(&c);
	r = read_one(owner, 1);
	ck_assert_int_eq(r.phase, 0);
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_CREATE, &a, &r, &next), 0);
	ck_assert_int_eq(swap(owner, &r, &next, 1), 0);
	r = next;
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_DO_OPEN, &a, &r, &next), 0);
	ck_assert_int_eq(swap(owner, &r, &next, 1), 0);
	is = read_one(owner, 1);
	ck_assert(vmig_ownership_equal(&is, &next));
	vmig_owner_close(owner);
	cluster_end(&c);
}

TEST(a_swap_of_what_is_not_so_is_lost)
{
	struct cluster c;
	struct vmig_owner *owner;
	struct vmig_ownership r, next, wrong, is, none = { .device = some_uuid(1) };
	struct vmig_error error;

	cluster_start(&c, 1);
	owner = open_it(&c);
	r = create(owner, 1);
	next = raised(&r);
	wrong = r;
	vmig_uuid_new(&wrong.writer);
	ck_assert_int_eq(vmig_owner_swap(owner, &wrong, &next, 1, &error), -EAGAIN);
	ck_assert_ptr_nonnull(strstr(error.text, "owner is a, epoch 1, stable"));
	ck_assert_int_eq(swap(owner, &none, &next, 1), -EAGAIN);
	is = read_one(owner, 1);
	ck_assert(vmig_ownership_equal(&is, &r));
	ck_assert_int_eq(swap(owner, &r, &next, 1), 0);
	ck_assert_int_eq(swap(owner, &r, &next, 1), 0); /* may be repeated */
	wrong = raised(&r);
	ck_assert_int_eq(swap(owner, &r, &wrong, 1), -EAGAIN);
	vmig_owner_close(owner);
	cluster_end(&c);
}

/* The most that etcd takes is 128, and it is asked for no more. */
TEST(all_of_a_unit_or_none)
{
	static struct vmig_ownership now[129], next[129], is[129];
	static struct vmig_uuid devices[129];
	struct cluster c;
	struct vmig_owner *owner;
	uint32_t max;

	cluster_start(&c, 1);
	owner = open_it(&c);
	for (unsigned int i = 0; i < 129; i++) {
		now[i] = (struct vmig_ownership){ .device = some_uuid(i + 1) };
		next[i] = some_record(i + 1);
		devices[i] = now[i].device;
	}
	ck_assert_int_eq(vmig_owner_query(owner, &is[0].device, &max, NULL), 0);
	ck_assert_uint_eq(max, 128);
	ck_assert_int_eq(swap(owner, now, next, 129), -E2BIG);
	ck_assert_int_eq(swap(owner, now, next, 64), 0);
	ck_assert_int_eq(swap(owner, now, next, 128), -EAGAIN); /* half of them are there */
	ck_assert_int_eq(vmig_owner_read(owner, devices, 128, is, NULL), 0);
	for (int i = 0; i < 128; i++)
		ck_assert_int_eq(is[i].phase, i < 64 ? VMIG_OWNER_STABLE : 0);
	ck_assert_int_eq(swap(owner, now + 1, next + 1, 128), -EAGAIN);
	ck_assert_int_eq(swap(owner, now + 64, next + 64, 64), 0);
	for (int i = 0; i < 128; i++) {
		now[i] = next[i];
		next[i] = raised(&now[i]);
	}
	ck_assert_int_eq(swap(owner, now, next, 128), 0);
	ck_assert_int_eq(vmig_owner_read(owner, devices, 128, is, NULL), 0);
	for (int i = 0; i < 128; i++)
		ck_assert(vmig_ownership_equal(&is[i], &next[i]));
	vmig_owner_close(owner);
	cluster_end(&c);
}

static int count_it(const struct vmig_ownership *r, void *opaque)
{
	++*(int *)opaque;
	return 0;
}

TEST(all_records_are_listed)
{
	static struct vmig_ownership none[128], r[128];
	struct cluster c;
	struct vmig_owner *owner, *other;
	char url[256];
	int n = 0;

	cluster_start(&c, 1);
	owner = open_it(&c);
	strcat((char *)cluster_url(&c, url), "?prefix=/elsewhere/");
	other = open_url(url, 20000);
	ck_assert_int_eq(vmig_owner_list(owner, count_it, &n, NULL), 0);
	ck_assert_int_eq(n, 0);
	for (unsigned int part = 0; part < 3; part++) {
		for (unsigned int i = 0; i < 100; i++) {
			r[i] = some_record(part * 1000 + i + 1);
			none[i] = (struct vmig_ownership){ .device = r[i].device };
		}
		ck_assert_int_eq(swap(owner, none, r, 100), 0);
	}
	create(other, 5);
	ck_assert_int_eq(vmig_owner_list(owner, count_it, &n, NULL), 0);
	ck_assert_int_eq(n, 300);
	n = 0;
	ck_assert_int_eq(vmig_owner_list(other, count_it, &n, NULL), 0);
	ck_assert_int_eq(n, 1);
	vmig_owner_close(owner);
	vmig_owner_close(other);
	cluster_end(&c);
}

TEST(a_store_has_one_id)
{
	struct cluster c;
	struct vmig_owner *a, *b;
	struct vmig_uuid ids[3];

	cluster_start(&c, 1);
	a = open_it(&c);
	b = open_it(&c);
	ck_assert_int_eq(vmig_owner_query(a, &ids[0], NULL, NULL), 0);
	ck_assert_int_eq(vmig_owner_query(b, &ids[1], NULL, NULL), 0);
	cluster_kill(&c, 0);
	cluster_start_one(&c, 0);
	cluster_wait(&c);
	ck_assert_int_eq(vmig_owner_query(a, &ids[2], NULL, NULL), 0);
	ck_assert(!vmig_uuid_is_none(&ids[0]));
	ck_assert(vmig_uuid_equal(&ids[0], &ids[1]));
	ck_assert(vmig_uuid_equal(&ids[0], &ids[2]));
	vmig_owner_close(a);
	vmig_owner_close(b);
	cluster_end(&c);
}

/* --- races ---------------------------------------------------------------------------------------- */

#define WRITERS 4
#define RACES   25

struct writer {
	const struct cluster *cluster;
	pthread_barrier_t *start;
	bool won[RACES];
};

static void *write_in_race(void *arg)
{
	struct writer *w = arg;
	struct vmig_owner *owner = open_it(w->cluster);

	for (int i = 0; i < RACES; i++) {
		struct vmig_ownership now = read_one(owner, 1), next = raised(&now);

		pthread_barrier_wait(w->start);
		w->won[i] = !swap(owner, &now, &next, 1);
		pthread_barrier_wait(w->start);
	}
	vmig_owner_close(owner);
	return NULL;
}

TEST(of_writers_that_race_one_wins)
{
	static struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	pthread_barrier_t start;
	struct vmig_owner *owner;
	struct vmig_ownership is;
	struct cluster c;

	cluster_start(&c, 1);
	owner = open_it(&c);
	create(owner, 1);
	pthread_barrier_init(&start, NULL, WRITERS);
	for (int i = 0; i < WRITERS; i++) {
		writers[i].cluster = &c;
		writers[i].start = &start;
		pthread_create(&threads[i], NULL, write_in_race, &writers[i]);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	for (int round = 0; round < RACES; round++) {
		int winners = 0;

		for (int i = 0; i < WRITERS; i++)
			winners += writers[i].won[round];
		ck_assert_int_eq(winners, 1);
	}
	is = read_one(owner, 1);
	ck_assert_uint_eq(is.epoch, 1 + RACES);
	pthread_barrier_destroy(&start);
	vmig_owner_close(owner);
	cluster_end(&c);
}

TEST(processes_do_not_lose_each_others_writes)
{
	struct vmig_owner *owner;
	struct vmig_ownership is;
	struct cluster c;
	pid_t child[3];

	cluster_start(&c, 1);
	owner = open_it(&c);
	create(owner, 1);
	for (int i = 0; i < 3; i++) {
		child[i] = fork();
		if (!child[i]) {
			struct vmig_owner *mine = open_it(&c);

			for (int done = 0; done < 20;) {
				struct vmig_ownership now = read_one(mine, 1), next = raised(&now);

				done += !swap(mine, &now, &next, 1);
			}
			vmig_owner_close(mine);
			_exit(0);
		}
	}
	for (int i = 0; i < 3; i++) {
		int status;

		ck_assert_int_eq(waitpid(child[i], &status, 0), child[i]);
		ck_assert_int_eq(status, 0);
	}
	is = read_one(owner, 1);
	ck_assert_uint_eq(is.epoch, 61);
	vmig_owner_close(owner);
	cluster_end(&c);
}

/* --- an etcd that goes away ------------------------------------------------------------------------- */

TEST(a_stopped_etcd_leaves_a_swap_in_doubt_and_takes_it_when_it_goes_on)
{
	struct cluster c;
	struct vmig_owner *owner, *hasty;
	struct vmig_ownership r, next, is;
	struct vmig_uuid device = some_uuid(1);
	char url[256];

	cluster_start(&c, 1);
	owner = open_it(&c);
	hasty = open_url(cluster_url(&c, url), 300);
	r = create(owner, 1);
	next = raised(&r);
	is = read_one(hasty, 1); /* it is connected */
	cluster_stop(&c, 0);
	ck_assert_int_eq(vmig_owner_swap(hasty, &r, &next, 1, NULL), -EINPROGRESS);
	ck_assert_int_eq(vmig_owner_read(hasty, &device, 1, &is, NULL), -ETIMEDOUT);
	kill(c.pid[0], SIGCONT);
	cluster_wait(&c);
	/* Whether it was done in the end or not: the same again says yes. */
	ck_assert_int_eq(swap(owner, &r, &next, 1), 0);
	is = read_one(owner, 1);
	ck_assert(vmig_ownership_equal(&is, &next));
	vmig_owner_close(hasty);
	vmig_owner_close(owner);
	cluster_end(&c);
}

TEST(a_killed_etcd_is_refused_at_once_and_has_lost_nothing)
{
	struct cluster c;
	struct vmig_owner *owner;
	struct vmig_ownership r, next, is;
	struct vmig_uuid device = some_uuid(1);
	int got;

	cluster_start(&c, 1);
	owner = open_it(&c);
	r = create(owner, 1);
	next = raised(&r);
	ck_assert_int_eq(swap(owner, &r, &next, 1), 0);
	cluster_kill(&c, 0);
	ck_assert_int_lt(vmig_owner_read(owner, &device, 1, &is, NULL),
			 0); /* finds the connection dead, or none */
	ck_assert_int_eq(vmig_owner_read(owner, &device, 1, &is, NULL), -ECONNREFUSED);
	r = next;
	next = raised(&r);
	got = vmig_owner_swap(owner, &r, &next, 1, NULL);
	ck_assert_int_eq(got, -ECONNREFUSED); /* it is known that it was not done */
	cluster_start_one(&c, 0);
	cluster_wait(&c);
	is = read_one(owner, 1);
	ck_assert(vmig_ownership_equal(&is, &r));
	ck_assert_int_eq(swap(owner, &r, &next, 1), 0);
	vmig_owner_close(owner);
	cluster_end(&c);
}

/* The commit is done, and its answer lost: "not known", and to ask again finds that it was one's own. */
TEST(an_answer_that_is_lost_is_not_a_loss)
{
	struct cluster c;
	struct vmig_owner *owner, *lossy;
	struct vmig_ownership r, next, is;
	char url[64];

	cluster_start(&c, 1);
	owner = open_it(&c);
	r = create(owner, 1);
	next = raised(&r);
	snprintf(url, sizeof(url), "etcd:http://127.0.0.1:%u", forward_and_swallow(c.client[0]));
	lossy = open_url(url, 20000);
	ck_assert_int_eq(vmig_owner_swap(lossy, &r, &next, 1, NULL), -EINPROGRESS);
	is = read_one(owner, 1);
	ck_assert(vmig_ownership_equal(&is, &next)); /* it was done */
	ck_assert_int_eq(swap(owner, &r, &next, 1), 0);
	vmig_owner_close(lossy);
	/* With a second endpoint the same happens within one call. */
	r = next;
	next = raised(&r);
	snprintf(url, sizeof(url), "etcd:http://127.0.0.1:%u,127.0.0.1:%u", forward_and_swallow(c.client[0]),
		 c.client[0]);
	lossy = open_url(url, 20000);
	ck_assert_int_eq(swap(lossy, &r, &next, 1), 0);
	vmig_owner_close(lossy);
	vmig_owner_close(owner);
	cluster_end(&c);
}

/* Three of them: one may be away, two may not. */
TEST(a_cluster_decides_by_majority)
{
	struct cluster c;
	struct vmig_owner *owner, *hasty;
	struct vmig_ownership r, next, is;
	struct vmig_uuid device = some_uuid(1);
	char url[256];

	cluster_start(&c, 3);
	owner = open_it(&c);
	r = create(owner, 1);
	cluster_kill(&c, 0);
	cluster_wait(&c);
	/* It is waited for: an endpoint that says "no leader" is no answer. */
	is = read_one(owner, 1);
	next = raised(&r);
	ck_assert_int_eq(swap(owner, &r, &next, 1), 0);
	cluster_stop(&c, 1);
	hasty = open_url(cluster_url(&c, url), 1000);
	ck_assert_int_lt(vmig_owner_read(hasty, &device, 1, &is, NULL), 0);
	r = next;
	next = raised(&r);
	ck_assert_int_eq(vmig_owner_swap(hasty, &r, &next, 1, NULL), -EINPROGRESS);
	kill(c.pid[1], SIGCONT);
	cluster_wait(&c);
	is = read_one(owner, 1);
	ck_assert(vmig_ownership_equal(&is, &r) || vmig_ownership_equal(&is, &next));
	vmig_owner_close(hasty);
	vmig_owner_close(owner);
	cluster_end(&c);
}

/* --- users -------------------------------------------------------------------------------------------- */

TEST(a_user_needs_its_password)
{
	struct cluster c;
	struct vmig_owner *owner;
	struct vmig_uuid device = some_uuid(1);
	struct vmig_ownership r;
	char file[96], url[256];
	FILE *f;

	cluster_start(&c, 1);
	cluster_post(&c, "/v3/auth/user/add", "{\"name\":\"root\",\"password\":\"s3cret\"}");
	cluster_post(&c, "/v3/auth/role/add", "{\"name\":\"root\"}");
	cluster_post(&c, "/v3/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}");
	cluster_post(&c, "/v3/auth/enable", "{}");
	owner = open_it(&c);
	ck_assert_int_lt(vmig_owner_read(owner, &device, 1, &r, NULL), 0);
	vmig_owner_close(owner);
	snprintf(file, sizeof(file), "%s/password", c.folder);
	f = fopen(file, "w");
	fputs("s3cret\n", f);
	fclose(f);
	snprintf(url, sizeof(url), "etcd:http://127.0.0.1:%u?user=root&password-file=%s", c.client[0], file);
	owner = open_url(url, 20000);
	create(owner, 1);
	/* The token goes with etcd: another is asked for. */
	cluster_kill(&c, 0);
	cluster_start_one(&c, 0);
	for (int i = 0; i < 600 && vmig_owner_read(owner, &device, 1, &r, NULL); i++)
		usleep(50000);
	r = read_one(owner, 1);
	ck_assert_int_eq(r.phase, VMIG_OWNER_STABLE);
	vmig_owner_close(owner);
	cluster_end(&c);
}

/* --- TLS ------------------------------------------------------------------------------------------ */

TEST(by_tls_only_the_right_one_is_asked)
{
	struct cluster c;
	struct vmig_owner *owner;
	struct vmig_uuid device = some_uuid(1);
	struct vmig_ownership none = { .device = some_uuid(1) }, r = some_record(1), is;
	char url[256];

	cluster_start_tls(&c);
	owner = open_it(&c);
	r = create(owner, 1);
	is = read_one(owner, 1);
	ck_assert(vmig_ownership_equal(&is, &r));
	vmig_owner_close(owner);
	/* The machine's own CAs do not know it; and "localhost" is not the name in its certificate. */
	snprintf(url, sizeof(url), "etcd:https://127.0.0.1:%u", c.client[0]);
	owner = open_url(url, 20000);
	ck_assert_int_eq(vmig_owner_read(owner, &device, 1, &is, NULL), -EACCES);
	ck_assert_int_eq(vmig_owner_swap(owner, &none, &r, 1, NULL), -EACCES); /* and was told nothing */
	vmig_owner_close(owner);
	snprintf(url, sizeof(url), "etcd:https://localhost:%u?ca=%s/ca.pem", c.client[0], c.folder);
	owner = open_url(url, 20000);
	ck_assert_int_eq(vmig_owner_read(owner, &device, 1, &is, NULL), -EACCES);
	vmig_owner_close(owner);
	cluster_end(&c);
}

/* --- how long it takes, for the record ---------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void time_swaps(struct vmig_owner *owner, const char *what, uint32_t n)
{
	static struct vmig_ownership now[64], next[64];
	uint64_t took[200];

	for (uint32_t i = 0; i < n; i++) {
		now[i] = (struct vmig_ownership){ .device = some_uuid(5000 + i) };
		vmig_owner_read(owner, &now[i].device, 1, &now[i], NULL);
		next[i] = some_record(5000 + i);
		if (!now[i].phase)
			ck_assert_int_eq(swap(owner, &now[i], &next[i], 1), 0);
		else
			next[i] = now[i];
		now[i] = next[i];
	}
	for (int k = 0; k < 200; k++) {
		struct timespec a, b;

		for (uint32_t i = 0; i < n; i++)
			next[i] = raised(&now[i]);
		clock_gettime(CLOCK_MONOTONIC, &a);
		ck_assert_int_eq(swap(owner, now, next, n), 0);
		clock_gettime(CLOCK_MONOTONIC, &b);
		took[k] = (uint64_t)((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000);
		memcpy(now, next, sizeof(now));
	}
	qsort(took, 200, sizeof(took[0]), by_size);
	printf("# %s: a swap of %u takes %llu us (median), %llu us (p99)\n", what, n,
	       (unsigned long long)took[100], (unsigned long long)took[198]);
	fflush(stdout);
}

TEST(swaps_are_timed)
{
	struct cluster c;
	struct vmig_owner *owner;
	char folder[64], url[96];

	cluster_start(&c, 1);
	owner = open_it(&c);
	time_swaps(owner, "etcd", 1);
	time_swaps(owner, "etcd", 64);
	vmig_owner_close(owner);
	cluster_end(&c);
	make_folder(folder);
	snprintf(url, sizeof(url), "sqlite:%s/owner.db", folder);
	owner = open_url(url, 20000);
	time_swaps(owner, "sqlite", 1);
	time_swaps(owner, "sqlite", 64);
	vmig_owner_close(owner);
	remove_folder(folder);
}

HARNESS("etcd", T_SLOW(a_record_goes_there_and_back, 120), T_SLOW(a_swap_of_what_is_not_so_is_lost, 120),
	T_SLOW(all_of_a_unit_or_none, 120), T_SLOW(all_records_are_listed, 120),
	T_SLOW(a_store_has_one_id, 120), T_SLOW(of_writers_that_race_one_wins, 120),
	T_SLOW(processes_do_not_lose_each_others_writes, 120),
	T_SLOW(a_stopped_etcd_leaves_a_swap_in_doubt_and_takes_it_when_it_goes_on, 120),
	T_SLOW(a_killed_etcd_is_refused_at_once_and_has_lost_nothing, 120),
	T_SLOW(an_answer_that_is_lost_is_not_a_loss, 120), T_SLOW(a_cluster_decides_by_majority, 180),
	T_SLOW(a_user_needs_its_password, 120), T_SLOW(by_tls_only_the_right_one_is_asked, 120),
	T_SLOW(swaps_are_timed, 120))
