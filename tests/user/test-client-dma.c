/* SPDX-License-Identifier: BSD-3-Clause */
/* DMA by message: a server that asks the client for each access, on either socket, at any time. */
#include "harness.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

static const char twin[] =
	"{\"capabilities\":{\"max_msg_fds\":8,\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}";

#define IOVA 0x100000ull
#define SIZE 0x100000u

/* What the server does when a register is written: before it answers, or after. */
struct doorbell {
	void (*ring)(struct peer *p, struct doorbell *bell);
	bool after;
	sem_t rung;
	uint64_t iova, len;
	int result;
	bool write;
	uint8_t buf[2 * SIZE];
};

static bool hook(struct peer *p, struct peer_msg *m)
{
	struct doorbell *bell = p->opaque;

	if (m->command != PEER_REGION_WRITE || !bell->ring)
		return false;
	if (bell->after)
		peer_answer(p, m);
	bell->ring(p, bell);
	if (!bell->after)
		peer_answer(p, m);
	sem_post(&bell->rung);
	return true;
}

static void do_access(struct peer *p, struct doorbell *bell)
{
	bell->result = peer_dma(p, bell->write, bell->iova, bell->buf, bell->len);
}

struct setup {
	struct peer p;
	struct doorbell *bell;
	struct vmig_device *dev;
	uint8_t *memory;
};

static void setup(struct setup *s, const char *caps)
{
	struct vmig_vfio_user_config config = { .timeout_ms = 5000 };

	s->bell = calloc(1, sizeof(*s->bell));
	sem_init(&s->bell->rung, 0, 0);
	s->bell->ring = do_access;
	s->memory = malloc(SIZE);
	for (size_t i = 0; i < SIZE; i++)
		s->memory[i] = (uint8_t)(i ^ i >> 8);
	peer_init(&s->p);
	s->p.caps = caps;
	s->p.hook = hook;
	s->p.opaque = s->bell;
	s->dev = peer_open(&s->p, &config);
}

static void teardown(struct setup *s)
{
	vmig_device_close(s->dev);
	peer_stop(&s->p);
	sem_destroy(&s->bell->rung);
	free(s->bell);
	free(s->memory);
}

static void map(struct setup *s, uint64_t iova, uint64_t size, uint32_t prot, void *at)
{
	struct vmig_dma m = { .iova = iova, .size = size, .prot = prot, .fd = -1, .vaddr = at };

	ck_assert_int_eq(vmig_device_map_dma(s->dev, &m), 0);
}

/* The server's access, as its errno. */
static int ring(struct setup *s, bool write, uint64_t iova, uint64_t len)
{
	uint32_t v = 0;

	s->bell->write = write;
	s->bell->iova = iova;
	s->bell->len = len;
	ck_assert_int_eq(vmig_device_region_write(s->dev, 0, 0, &v, 4), 0);
	while (sem_wait(&s->bell->rung))
		;
	return s->bell->result;
}

static void both_ways(const char *caps, bool after)
{
	struct setup s;

	setup(&s, caps);
	s.bell->after = after;
	map(&s, IOVA, SIZE, VMIG_DMA_READ | VMIG_DMA_WRITE, s.memory);
	ck_assert_int_eq(ring(&s, false, IOVA + 5, 4000), 0);
	ck_assert_mem_eq(s.bell->buf, s.memory + 5, 4000);
	memset(s.bell->buf, 0x77, SIZE);
	ck_assert_int_eq(ring(&s, true, IOVA + 100, 50), 0);
	ck_assert_uint_eq(s.memory[99], 99);
	ck_assert_uint_eq(s.memory[100], 0x77);
	ck_assert_uint_eq(s.memory[149], 0x77);
	ck_assert_uint_eq(s.memory[150], 150);
	/* More than the sockets hold. */
	ck_assert_int_eq(ring(&s, false, IOVA, SIZE), 0);
	ck_assert_mem_eq(s.bell->buf, s.memory, SIZE);
	memset(s.bell->buf, 0x55, SIZE);
	ck_assert_int_eq(ring(&s, true, IOVA, SIZE), 0);
	ck_assert_mem_eq(s.bell->buf, s.memory, SIZE);
	ck_assert_int_eq(vmig_device_unmap_dma(s.dev, IOVA, SIZE), 0);
	ck_assert_int_eq(ring(&s, false, IOVA, 4), EFAULT);
	teardown(&s);
}

TEST(during_a_call)
{
	both_ways(NULL, false);
}

TEST(while_nobody_calls)
{
	both_ways(NULL, true);
}

TEST(on_the_twin_socket_during_a_call)
{
	both_ways(twin, false);
}

TEST(on_the_twin_socket_while_nobody_calls)
{
	both_ways(twin, true);
}

#define N_AT_ONCE 8

/* A server that sends all its questions before it reads an answer. */
static void ask_many(struct peer *p, struct doorbell *bell)
{
	uint16_t ids[N_AT_ONCE];

	for (int i = 0; i < N_AT_ONCE; i++)
		ids[i] = peer_dma_start(p, i % 3 == 2, IOVA, bell->buf, SIZE);
	for (int i = 0; i < N_AT_ONCE; i++)
		bell->result |= peer_dma_finish(p, ids[i], i % 3 == 2, IOVA, bell->buf, SIZE);
}

static void many(bool after)
{
	struct setup s;

	setup(&s, NULL);
	s.bell->ring = ask_many;
	s.bell->after = after;
	map(&s, IOVA, SIZE, VMIG_DMA_READ | VMIG_DMA_WRITE, s.memory);
	memcpy(s.bell->buf, s.memory, SIZE);
	ck_assert_int_eq(ring(&s, false, 0, 0), 0);
	ck_assert_mem_eq(s.bell->buf, s.memory, SIZE);
	teardown(&s);
}

TEST(many_at_once)
{
	many(false);
	many(true);
}

static void checked(const char *caps)
{
	struct setup s;

	setup(&s, caps);
	map(&s, IOVA, 0x10000, VMIG_DMA_READ, s.memory);
	map(&s, IOVA + 0x10000, 0x10000, VMIG_DMA_READ | VMIG_DMA_WRITE, s.memory + 0x10000);
	map(&s, IOVA + 0x30000, 0x10000, VMIG_DMA_WRITE, s.memory + 0x30000);
	map(&s, UINT64_MAX - 0xfff, 0x1000, VMIG_DMA_READ, s.memory);
	/* Mappings that lie side by side are one memory. */
	ck_assert_int_eq(ring(&s, false, IOVA + 0xfff0, 0x20), 0);
	ck_assert_mem_eq(s.bell->buf, s.memory + 0xfff0, 0x20);
	ck_assert_int_eq(ring(&s, false, UINT64_MAX - 8, 8), 0);
	/* Outside, a hole, the wrong direction, round the end, nothing, too much. */
	ck_assert_int_eq(ring(&s, false, IOVA - 1, 2), EFAULT);
	ck_assert_int_eq(ring(&s, false, IOVA + 0x1ffff, 2), EFAULT);
	ck_assert_int_eq(ring(&s, false, 0, 1), EFAULT);
	ck_assert_int_eq(ring(&s, true, IOVA + 0x10, 4), EFAULT);
	ck_assert_int_eq(ring(&s, false, IOVA + 0x30000, 4), EFAULT);
	ck_assert_int_eq(ring(&s, false, UINT64_MAX, 2), EINVAL);
	ck_assert_int_eq(ring(&s, false, IOVA, 0), EINVAL);
	ck_assert_int_eq(ring(&s, false, IOVA, (1u << 20) + 1), EINVAL);
	ck_assert_int_eq(ring(&s, false, IOVA, UINT64_MAX), EINVAL);
	ck_assert_int_eq(ring(&s, false, IOVA, 4), 0);
	teardown(&s);
}

TEST(is_checked)
{
	checked(NULL);
}

TEST(is_checked_on_the_twin_socket)
{
	checked(twin);
}

/* --- mappings ----------------------------------------------------------------------------- */

TEST(a_mapping_by_fd_is_passed_on)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);
	struct vmig_dma m = { .iova = IOVA, .size = 0x10000, .prot = VMIG_DMA_READ, .fd = fd };
	struct setup s;

	setup(&s, NULL);
	ck_assert_int_eq(vmig_device_map_dma(s.dev, &m), 0);
	close(fd);
	ck_assert_uint_eq(s.p.fds_seen, 1);
	ck_assert_int_eq(vmig_device_map_dma(s.dev, &m), -EEXIST);
	/* It asks by message all the same: there is no way to the memory here. */
	ck_assert_int_eq(ring(&s, false, IOVA, 4), EFAULT);
	ck_assert_int_eq(vmig_device_unmap_dma(s.dev, IOVA, 0x8000), -ENOENT);
	ck_assert_int_eq(vmig_device_unmap_dma(s.dev, IOVA, 0x10000), 0);
	ck_assert_int_eq(vmig_device_unmap_dma(s.dev, IOVA, 0x10000), -ENOENT);
	ck_assert_uint_eq(s.p.maps, 0);
	teardown(&s);
}

/* To a server that takes no descriptors the same mapping goes by message. */
TEST(a_server_that_takes_no_descriptors)
{
	static const char none[] = "{\"capabilities\":{\"max_msg_fds\":0}}";
	int fd = memfd_create("memory", MFD_CLOEXEC);
	struct vmig_dma m = { .iova = IOVA, .size = 0x10000, .prot = VMIG_DMA_READ, .fd = fd };
	struct setup s;

	setup(&s, none);
	ck_assert_int_eq(vmig_device_map_dma(s.dev, &m), -EOPNOTSUPP);
	m.vaddr = s.memory;
	ck_assert_int_eq(vmig_device_map_dma(s.dev, &m), 0);
	close(fd);
	ck_assert_uint_eq(s.p.fds_seen, 0);
	s.bell->after = true;
	ck_assert_int_eq(ring(&s, false, IOVA, 100), 0);
	ck_assert_mem_eq(s.bell->buf, s.memory, 100);
	teardown(&s);
}

TEST(overlaps_and_too_many_are_refused_here)
{
	static const char two[] = "{\"capabilities\":{\"max_dma_maps\":2}}";
	struct vmig_dma m = { .iova = IOVA, .size = 0x1000, .prot = VMIG_DMA_READ, .fd = -1 };
	struct setup s;

	setup(&s, two);
	m.vaddr = s.memory;
	map(&s, IOVA + 0x2000, 0x2000, VMIG_DMA_READ, s.memory);
	m.iova = IOVA + 0x1000;
	m.size = 0x2000;
	ck_assert_int_eq(vmig_device_map_dma(s.dev, &m), -EEXIST);
	m.iova = IOVA + 0x3000;
	ck_assert_int_eq(vmig_device_map_dma(s.dev, &m), -EEXIST);
	m.iova = IOVA;
	m.size = 0x10000;
	ck_assert_int_eq(vmig_device_map_dma(s.dev, &m), -EEXIST);
	map(&s, IOVA + 0x1000, 0x1000, VMIG_DMA_READ, s.memory);
	m.iova = IOVA + 0x4000;
	m.size = 0x1000;
	ck_assert_int_eq(vmig_device_map_dma(s.dev, &m), -ENOSPC);
	teardown(&s);
}

static bool hook_refuse_map(struct peer *p, struct peer_msg *m)
{
	if (m->command != PEER_DMA_MAP)
		return hook(p, m);
	peer_error(p, m, EPERM);
	return true;
}

TEST(a_mapping_that_the_server_refuses_is_none)
{
	struct setup s;
	struct vmig_dma m = { .iova = IOVA, .size = 0x1000, .prot = VMIG_DMA_READ, .fd = -1 };

	setup(&s, NULL);
	m.vaddr = s.memory;
	s.p.hook = hook_refuse_map;
	ck_assert_int_eq(vmig_device_map_dma(s.dev, &m), -EPERM);
	ck_assert_int_eq(ring(&s, false, IOVA, 4), EFAULT);
	teardown(&s);
}

/* --- memory that is somewhere else -------------------------------------------------------- */

struct elsewhere {
	uint8_t *memory;
	sem_t entered, go;
	bool slow;
	_Atomic bool left;
	int result;
};

static int read_elsewhere(void *opaque, uint64_t iova, void *buf, size_t len)
{
	struct elsewhere *e = opaque;

	if (e->slow) {
		sem_post(&e->entered);
		while (sem_wait(&e->go))
			;
	}
	memcpy(buf, e->memory + (iova - IOVA), len);
	e->left = true;
	return e->result;
}

static int write_elsewhere(void *opaque, uint64_t iova, const void *buf, size_t len)
{
	struct elsewhere *e = opaque;

	memcpy(e->memory + (iova - IOVA), buf, len);
	return e->result;
}

static void map_elsewhere(struct setup *s, struct elsewhere *e, struct vmig_dma_io *io)
{
	struct vmig_dma m = {
		.iova = IOVA, .size = SIZE, .prot = VMIG_DMA_READ | VMIG_DMA_WRITE, .fd = -1, .io = io
	};

	sem_init(&e->entered, 0, 0);
	sem_init(&e->go, 0, 0);
	e->memory = s->memory;
	*io = (struct vmig_dma_io){ read_elsewhere, write_elsewhere, e };
	ck_assert_int_eq(vmig_device_map_dma(s->dev, &m), 0);
}

TEST(through_the_users_own_functions)
{
	struct elsewhere e = { .slow = false };
	struct vmig_dma_io io;
	struct setup s;

	setup(&s, NULL);
	map_elsewhere(&s, &e, &io);
	ck_assert_int_eq(ring(&s, false, IOVA + 77, 1000), 0);
	ck_assert_mem_eq(s.bell->buf, s.memory + 77, 1000);
	ck_assert_int_eq(ring(&s, true, IOVA, 1000), 0);
	ck_assert_mem_eq(s.bell->buf, s.memory, 1000);
	e.result = -EIO;
	ck_assert_int_eq(ring(&s, false, IOVA, 8), EIO);
	teardown(&s);
}

struct unmapper {
	struct setup *s;
	sem_t done;
};

static void *unmap_all(void *opaque)
{
	struct unmapper *u = opaque;

	ck_assert_int_eq(vmig_device_unmap_dma(u->s->dev, IOVA, SIZE), 0);
	sem_post(&u->done);
	return NULL;
}

/* The answer is never waited for. */
static void ask_only(struct peer *p, struct doorbell *bell)
{
	peer_dma_start(p, false, bell->iova, NULL, bell->len);
}

/* The server lies: it lets go, and its access is still under way in the idle thread. */
TEST(unmap_waits_for_an_access_under_way)
{
	struct elsewhere e = { .slow = true };
	struct vmig_dma_io io;
	struct setup s;
	struct unmapper u = { .s = &s };
	struct timespec soon;
	pthread_t thread;
	uint32_t v = 0;

	sem_init(&u.done, 0, 0);
	setup(&s, twin);
	map_elsewhere(&s, &e, &io);
	s.bell->ring = ask_only;
	s.bell->iova = IOVA;
	s.bell->len = 8;
	ck_assert_int_eq(vmig_device_region_write(s.dev, 0, 0, &v, 4), 0);
	sem_wait(&e.entered);
	ck_assert_int_eq(pthread_create(&thread, NULL, unmap_all, &u), 0);
	/* It must not come back; a short while is given to it to do so. */
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 30 * 1000000;
	soon.tv_sec += soon.tv_nsec / 1000000000;
	soon.tv_nsec %= 1000000000;
	ck_assert_int_eq(sem_timedwait(&u.done, &soon), -1);
	ck_assert(!e.left);
	sem_post(&e.go);
	pthread_join(thread, NULL);
	ck_assert(e.left);
	teardown(&s);
}

/* --- commands that are none --------------------------------------------------------------- */

static void unknown_command(struct peer *p, struct doorbell *bell)
{
	uint8_t body[1000] = { 0 };

	peer_message(p, 7, 99, 0, 0, body, sizeof(body), NULL, 0);
	peer_message(p, 8, PEER_REGION_READ, 0, 0, body, 16, NULL, 0);
}

/* They are refused, and nothing else happens. The replies arrive at the peer as messages that it has no place for. */
static bool hook_unknown(struct peer *p, struct peer_msg *m)
{
	struct doorbell *bell = p->opaque;

	if ((m->flags & 15) == 1) {
		ck_assert_uint_eq(m->error, ENOTSUP);
		bell->result++;
		return true;
	}
	return hook(p, m);
}

TEST(unknown_commands_are_refused)
{
	struct setup s;
	uint32_t v = 0;

	setup(&s, NULL);
	s.bell->ring = unknown_command;
	s.p.hook = hook_unknown;
	ck_assert_int_eq(vmig_device_region_write(s.dev, 0, 0, &v, 4), 0);
	ck_assert_int_eq(vmig_device_region_read(s.dev, 0, 0, &v, 4), 0);
	ck_assert_int_eq(s.bell->result, 2);
	teardown(&s);
}

static void vast_command(struct peer *p, struct doorbell *bell)
{
	uint8_t head[16] = { 0 };

	head[2] = PEER_DMA_WRITE;
	peer_put32(head + 4, 16 + 16 + (1u << 20) + 1);
	peer_send(p, head, sizeof(head), NULL, 0);
}

static void command_with_fd(struct peer *p, struct doorbell *bell)
{
	uint8_t body[16] = { 0 };
	int fd = 0;

	peer_message(p, 7, PEER_DMA_READ, 0, 0, body, 16, &fd, 1);
}

static void breaks(void (*wrong)(struct peer *, struct doorbell *), bool after)
{
	struct setup s;
	uint32_t v = 0;
	int r;

	setup(&s, NULL);
	map(&s, IOVA, SIZE, VMIG_DMA_READ, s.memory);
	s.bell->ring = wrong;
	s.bell->after = after;
	r = vmig_device_region_write(s.dev, 0, 0, &v, 4);
	sem_wait(&s.bell->rung);
	if (!after)
		ck_assert_int_eq(r, -EPROTO);
	else
		while (!(r = vmig_device_region_read(s.dev, 0, 0, &v, 4)))
			;
	ck_assert(r == -EPROTO || r == -ECONNRESET);
	ck_assert_int_eq(vmig_device_unmap_dma(s.dev, IOVA, SIZE), -ECONNRESET);
	teardown(&s);
}

TEST(a_command_that_is_too_large)
{
	breaks(vast_command, false);
	breaks(vast_command, true);
}

TEST(a_command_with_a_descriptor)
{
	breaks(command_with_fd, false);
	breaks(command_with_fd, true);
}

static void short_write(struct peer *p, struct doorbell *bell)
{
	uint8_t body[20] = { 0 };

	peer_put64(body, IOVA);
	peer_put64(body + 8, 8);
	peer_message(p, 8, PEER_DMA_WRITE, 0, 0, body, sizeof(body), NULL, 0);
	peer_message(p, 9, PEER_DMA_READ, 0, 0, body, 3, NULL, 0);
}

static bool hook_invalid(struct peer *p, struct peer_msg *m)
{
	struct doorbell *bell = p->opaque;

	if ((m->flags & 15) == 1) {
		ck_assert_uint_eq(m->error, EINVAL);
		bell->result++;
		return true;
	}
	return hook(p, m);
}

TEST(commands_that_contradict_themselves)
{
	struct setup s;
	uint32_t v = 0;

	setup(&s, NULL);
	map(&s, IOVA, SIZE, VMIG_DMA_READ | VMIG_DMA_WRITE, s.memory);
	s.bell->ring = short_write;
	s.p.hook = hook_invalid;
	ck_assert_int_eq(vmig_device_region_write(s.dev, 0, 0, &v, 4), 0);
	ck_assert_int_eq(vmig_device_region_read(s.dev, 0, 0, &v, 4), 0);
	ck_assert_int_eq(s.bell->result, 2);
	ck_assert_uint_eq(s.memory[1], 1);
	teardown(&s);
}

static void no_reply(struct peer *p, struct doorbell *bell)
{
	uint8_t body[20] = { 0 };

	peer_put64(body, IOVA);
	peer_put64(body + 8, 4);
	peer_message(p, 9, PEER_DMA_WRITE, 1u << 4, 0, body, 20, NULL, 0);
}

TEST(no_reply_is_respected)
{
	struct setup s;
	uint32_t v = 0;

	setup(&s, NULL);
	map(&s, IOVA, SIZE, VMIG_DMA_WRITE, s.memory);
	s.bell->ring = no_reply;
	s.p.hook = hook_invalid;
	ck_assert_int_eq(vmig_device_region_write(s.dev, 0, 0, &v, 4), 0);
	ck_assert_int_eq(vmig_device_region_read(s.dev, 0, 0, &v, 4), 0);
	ck_assert_int_eq(s.bell->result, 0);
	ck_assert_uint_eq(s.memory[3], 0);
	ck_assert_uint_eq(s.memory[4], 4);
	teardown(&s);
}

static void junk_on_twin(struct peer *p, struct doorbell *bell)
{
	static const char junk[] = "this is certainly no vfio-user";

	ck_assert_int_gt(send(p->twin_fd, junk, sizeof(junk), MSG_NOSIGNAL), 0);
}

TEST(junk_on_the_twin_socket_ends_it_all)
{
	struct setup s;
	uint32_t v = 0;
	int r;

	setup(&s, twin);
	map(&s, IOVA, SIZE, VMIG_DMA_WRITE, s.memory);
	s.bell->ring = junk_on_twin;
	vmig_device_region_write(s.dev, 0, 0, &v, 4);
	while (!(r = vmig_device_region_read(s.dev, 0, 0, &v, 4)))
		;
	ck_assert(r == -EPROTO || r == -ECONNRESET);
	teardown(&s);
}

HARNESS("client-dma", T(during_a_call), T(while_nobody_calls), T(on_the_twin_socket_during_a_call),
	T(on_the_twin_socket_while_nobody_calls), T(many_at_once), T(is_checked),
	T(is_checked_on_the_twin_socket), T(a_mapping_by_fd_is_passed_on),
	T(a_server_that_takes_no_descriptors), T(overlaps_and_too_many_are_refused_here),
	T(a_mapping_that_the_server_refuses_is_none), T(through_the_users_own_functions),
	T(unmap_waits_for_an_access_under_way), T(unknown_commands_are_refused),
	T(a_command_that_is_too_large), T(a_command_with_a_descriptor),
	T(commands_that_contradict_themselves), T(no_reply_is_respected),
	T(junk_on_the_twin_socket_ends_it_all))
