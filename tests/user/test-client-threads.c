/* SPDX-License-Identifier: BSD-3-Clause */
/* Several threads on one handle: calls, migration data and DMA by message, all on one socket. */
#include "harness.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "peer.h"

#define FLAGS     (VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY)
#define IOVA      0x100000ull
#define SIZE      0x80000u
#define N_THREADS 4
#define ROUNDS    100

static const char twin[] =
	"{\"capabilities\":{\"max_msg_fds\":8,\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}";

struct setup {
	struct peer p;
	struct vmig_device *dev;
	uint8_t *memory, *data;
	unsigned int dma_every; /* messages */
	unsigned int count, seed;
};

/* Now and then the server asks for memory before it answers. Its own part of it, in which nobody else writes. */
static bool hook(struct peer *p, struct peer_msg *m)
{
	struct setup *s = p->opaque;
	uint8_t buf[SIZE];
	uint64_t len = 1 + (uint64_t)rand_r(&s->seed) % (rand_r(&s->seed) % 8 ? 4096 : SIZE);
	uint8_t v = (uint8_t)rand_r(&s->seed);

	if (m->command == PEER_VERSION || !s->dma_every || ++s->count % s->dma_every || !p->maps)
		return false;
	memset(buf, v, len);
	ck_assert_int_eq(peer_dma(p, true, IOVA, buf, len), 0);
	memset(buf, 0, len);
	ck_assert_int_eq(peer_dma(p, false, IOVA, buf, len), 0);
	ck_assert_uint_eq(buf[0], v);
	ck_assert_uint_eq(buf[len - 1], v);
	return false;
}

static void setup(struct setup *s, const char *caps, size_t data_len)
{
	struct vmig_vfio_user_config config = { .timeout_ms = 15000 };
	struct vmig_dma map = {
		.iova = IOVA, .size = SIZE, .prot = VMIG_DMA_READ | VMIG_DMA_WRITE, .fd = -1
	};

	s->memory = calloc(1, SIZE);
	s->data = malloc(data_len + 1);
	for (size_t i = 0; i < data_len; i++)
		s->data[i] = (uint8_t)(i ^ i >> 9);
	s->seed = harness_seed();
	s->count = 0;
	peer_init(&s->p);
	s->p.caps = caps;
	s->p.hook = hook;
	s->p.opaque = s;
	s->p.migration_flags = FLAGS;
	s->p.data = s->data;
	s->p.data_len = data_len;
	s->dev = peer_open(&s->p, &config);
	map.vaddr = s->memory;
	if (s->dma_every)
		ck_assert_int_eq(vmig_device_map_dma(s->dev, &map), 0);
}

static void teardown(struct setup *s)
{
	vmig_device_close(s->dev);
	peer_stop(&s->p);
	free(s->memory);
	free(s->data);
}

struct worker {
	struct setup *s;
	unsigned int number;
	pthread_t thread;
};

/* Into a bitmap that is empty and into one that is not, while others may receive the reply. */
static void report(struct worker *w, bool empty)
{
	uint64_t bits[512];

	memset(bits, empty ? 0 : 0x18, sizeof(bits));
	ck_assert_int_eq(vmig_device_dma_log_report(w->s->dev, 0, 512 * 64 * 4096, 4096, bits), 0);
	for (int i = 0; i < 512; i++)
		ck_assert_uint_eq(bits[i], empty ? 0xa5a5a5a5a5a5a5a5 : 0xbdbdbdbdbdbdbdbd);
}

/* Each has a part of the region of its own. */
static void *use_region(void *opaque)
{
	struct worker *w = opaque;
	uint64_t offset = w->number * 4096u;
	uint8_t out[512], in[512];

	for (unsigned int i = 0; i < ROUNDS; i++) {
		size_t len = i % 3 ? 4 : sizeof(out);

		memset(out, (int)(i + w->number), sizeof(out));
		ck_assert_int_eq(vmig_device_region_write(w->s->dev, 0, offset + i % 256, out, len), 0);
		ck_assert_int_eq(vmig_device_region_read(w->s->dev, 0, offset + i % 256, in, len), 0);
		ck_assert_mem_eq(in, out, len);
		if (i % 8 == w->number)
			report(w, i % 16 == w->number);
	}
	return NULL;
}

static void start(struct setup *s, struct worker *workers)
{
	for (unsigned int i = 0; i < N_THREADS; i++) {
		workers[i].s = s;
		workers[i].number = i;
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, use_region, &workers[i]), 0);
	}
}

static void join(struct worker *workers)
{
	for (unsigned int i = 0; i < N_THREADS; i++)
		pthread_join(workers[i].thread, NULL);
}

static void read_registers(const char *caps, unsigned int dma_every, unsigned int segments)
{
	struct worker workers[N_THREADS];
	struct setup s = { .dma_every = dma_every };

	setup(&s, caps, 0);
	s.p.segments = segments;
	start(&s, workers);
	join(workers);
	teardown(&s);
}

TEST(registers)
{
	read_registers(NULL, 0, 0);
}

TEST(registers_with_dma)
{
	read_registers(NULL, 7, 0);
}

TEST(registers_with_dma_on_a_twin_socket)
{
	read_registers(twin, 7, 0);
}

TEST(registers_in_segments)
{
	read_registers(NULL, 0, harness_seed() | 1);
}

static size_t save_to(struct setup *s, struct vmig_session *session, size_t len)
{
	uint8_t *back = malloc(len + 100000);
	size_t done = 0;
	ssize_t n;

	do {
		struct iovec iov = { back + done, 100000 };

		n = vmig_session_readv(session, &iov, 1);
		ck_assert_msg(n >= 0, "%zd", n);
		done += (size_t)n;
	} while (n && done <= len);
	ck_assert_uint_eq(done, len);
	ck_assert_mem_eq(back, s->data, len);
	free(back);
	return done;
}

static void save_beside(const char *caps, unsigned int dma_every)
{
	struct worker workers[N_THREADS];
	struct setup s = { .dma_every = dma_every };
	struct vmig_session *session;

	setup(&s, caps, 8u << 20);
	ck_assert_int_eq(vmig_device_set_state(s.dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, &session), 0);
	start(&s, workers);
	save_to(&s, session, 8u << 20);
	join(workers);
	vmig_session_close(session);
	teardown(&s);
}

TEST(saving)
{
	save_beside(NULL, 0);
}

TEST(saving_with_dma)
{
	save_beside(NULL, 5);
}

static void load_beside(const char *caps, unsigned int dma_every)
{
	struct worker workers[N_THREADS];
	struct setup s = { .dma_every = dma_every };
	struct vmig_session *session;

	setup(&s, caps, 8u << 20);
	ck_assert_int_eq(vmig_device_set_state(s.dev, VMIG_STATE_RESUMING, VMIG_STATE_NONE, &session), 0);
	start(&s, workers);
	for (size_t at = 0; at < 8u << 20; at += 1u << 19) {
		struct iovec iov = { s.data + at, 1u << 19 };

		ck_assert_int_eq(vmig_session_writev(session, &iov, 1), 0);
	}
	ck_assert_int_eq(vmig_session_flush(session), 0);
	join(workers);
	ck_assert_uint_eq(s.p.loaded_len, 8u << 20);
	ck_assert_mem_eq(s.p.loaded, s.data, 8u << 20);
	vmig_session_close(session);
	teardown(&s);
}

TEST(loading)
{
	load_beside(NULL, 0);
}

TEST(loading_with_dma)
{
	load_beside(NULL, 5);
}

/* The server sends what was asked for ahead and reads nothing meanwhile; a large write must not wait for it. */
TEST(a_large_write_behind_data_asked_for_ahead)
{
	struct setup s = { .dma_every = 0 };
	uint8_t *large = calloc(1, 1u << 20), *first = malloc(1u << 20);
	struct vmig_session *session;

	setup(&s, NULL, 9u << 20);
	ck_assert_int_eq(vmig_device_set_state(s.dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, &session), 0);
	ck_assert_int_eq(vmig_session_readv(session, &(struct iovec){ first, 1u << 20 }, 1), 1 << 20);
	/* Larger than the region: refused, but all of it has to be received for that. */
	ck_assert_int_eq(vmig_device_region_write(s.dev, 0, 0, large, 1u << 20), -EINVAL);
	memmove(s.data, s.data + (1u << 20), 8u << 20);
	save_to(&s, session, 8u << 20);
	vmig_session_close(session);
	free(large);
	free(first);
	teardown(&s);
}

/* --- out of order ------------------------------------------------------------------------- */

struct held {
	struct setup *s;
	struct peer_msg first; /* its id and command */
	bool holds;
	sem_t held;
};

static void *read_register(void *opaque)
{
	struct held *h = opaque;
	uint32_t v;

	ck_assert_int_eq(vmig_device_region_read(h->s->dev, 0, 0, &v, 4), -EPERM);
	return NULL;
}

/* An error reply, shorter than the reply that is expected, and in the same bytes another's, with a descriptor. */
static bool hook_glue(struct peer *p, struct peer_msg *m)
{
	struct held *h = p->opaque;
	uint8_t both[16 + 16 + 32] = { 0 };
	int fd;

	if (m->command == PEER_REGION_READ) {
		h->first = *m;
		sem_post(&h->held);
		return true;
	}
	if (m->command != PEER_REGION_INFO)
		return false;
	fd = memfd_create("region", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	peer_put32(both, h->first.id | (uint32_t)PEER_REGION_READ << 16);
	peer_put32(both + 4, 16);
	peer_put32(both + 8, 1 | 1u << 5);
	peer_put32(both + 12, EPERM);
	peer_put32(both + 16, m->id | (uint32_t)PEER_REGION_INFO << 16);
	peer_put32(both + 20, 16 + 32);
	peer_put32(both + 24, 1);
	peer_put32(both + 32, 32);
	peer_put32(both + 36, 7);
	peer_put64(both + 48, 4096);
	peer_send(p, both, sizeof(both), &fd, 1);
	close(fd);
	return true;
}

TEST(a_descriptor_goes_to_whose_message_it_came_with)
{
	struct setup s = { .dma_every = 0 };
	struct held h = { .s = &s };
	struct vmig_region region;
	pthread_t thread;

	sem_init(&h.held, 0, 0);
	setup(&s, NULL, 0);
	s.p.opaque = &h;
	s.p.hook = hook_glue;
	ck_assert_int_eq(pthread_create(&thread, NULL, read_register, &h), 0);
	sem_wait(&h.held);
	ck_assert_int_eq(vmig_device_query_region(s.dev, 0, &region), 0);
	ck_assert_uint_eq(region.size, 4096);
	ck_assert_int_ge(region.fd, 0);
	pthread_join(thread, NULL);
	teardown(&s);
}

/* A read that PRE_COPY was asked for is answered in STOP_COPY: its emptiness is no end. */
static bool hook_late(struct peer *p, struct peer_msg *m)
{
	struct held *h = p->opaque;
	uint8_t none[8] = { 8 };

	if (m->command == PEER_DATA_READ && p->state == VMIG_STATE_PRE_COPY && !h->holds) {
		h->first = *m;
		h->holds = true;
		sem_post(&h->held);
		return true;
	}
	if (m->command == PEER_REGION_READ)
		peer_reply(p, &h->first, none, 8);
	return false;
}

struct reader {
	struct vmig_session *session;
	ssize_t n;
	uint8_t buf[1000];
};

static void *read_once(void *opaque)
{
	struct reader *r = opaque;

	r->n = vmig_session_readv(r->session, &(struct iovec){ r->buf, sizeof(r->buf) }, 1);
	return NULL;
}

TEST(an_empty_read_of_before_is_no_end)
{
	struct setup s = { .dma_every = 0 };
	struct held h = { .s = &s };
	struct reader reader;
	pthread_t thread;
	uint32_t v;

	sem_init(&h.held, 0, 0);
	setup(&s, NULL, 700);
	s.p.opaque = &h;
	s.p.hook = hook_late;
	ck_assert_int_eq(vmig_device_set_state(s.dev, VMIG_STATE_PRE_COPY, VMIG_STATE_NONE, &reader.session),
			 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_once, &reader), 0);
	sem_wait(&h.held);
	ck_assert_int_eq(vmig_device_set_state(s.dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, NULL), 0);
	ck_assert_int_eq(vmig_device_region_read(s.dev, 0, 0, &v, 4), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(reader.n, 700);
	vmig_session_close(reader.session);
	teardown(&s);
}

/* --- one hangs, all are told -------------------------------------------------------------- */

static bool hook_hang(struct peer *p, struct peer_msg *m)
{
	return m->command == PEER_REGION_READ;
}

static void *meet_silence(void *opaque)
{
	struct worker *w = opaque;
	uint32_t v;
	int r = vmig_device_region_read(w->s->dev, 0, 0, &v, 4);

	ck_assert_msg(r == -ETIMEDOUT || r == -ECONNRESET, "%d", r);
	return NULL;
}

TEST(a_server_that_hangs)
{
	struct worker workers[N_THREADS];
	struct setup s = { .dma_every = 1000000 };

	setup(&s, NULL, 0);
	s.p.hook = hook_hang;
	vmig_device_set_timeout(s.dev, 30);
	for (unsigned int i = 0; i < N_THREADS; i++) {
		workers[i].s = &s;
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, meet_silence, &workers[i]), 0);
	}
	join(workers);
	teardown(&s);
}

HARNESS("client-threads", T(registers), T_SLOW(registers_with_dma, 60),
	T_SLOW(registers_with_dma_on_a_twin_socket, 60), T(registers_in_segments), T(saving),
	T_SLOW(saving_with_dma, 60), T(loading), T_SLOW(loading_with_dma, 60),
	T(a_large_write_behind_data_asked_for_ahead), T(a_descriptor_goes_to_whose_message_it_came_with),
	T(an_empty_read_of_before_is_no_end), T(a_server_that_hangs))
