/* SPDX-License-Identifier: BSD-3-Clause */
/* The client and our server, with a model behind it, over real sockets. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <vmig/server.h>
#include <vmig/user.h>

#include "common/toy.h"

struct end {
	struct toy *toy;
	struct vmig_device *model, *dev;
	struct vmig_server_config config;
	int fd;
	pthread_t thread;
};

static void *serve(void *opaque)
{
	struct end *e = opaque;

	vmig_server_serve(e->model, &e->config, e->fd);
	return NULL;
}

static void attach(struct end *e)
{
	struct vmig_vfio_user_config config = { .timeout_ms = 10000 };
	struct vmig_error error;
	int pair[2], r;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	e->fd = pair[0];
	ck_assert_int_eq(pthread_create(&e->thread, NULL, serve, e), 0);
	r = vmig_open_vfio_user_fd(pair[1], &config, &e->dev, &error);
	ck_assert_msg(!r, "open: %d: %s: %s", r, error.where, error.text);
}

static void detach(struct end *e)
{
	vmig_device_close(e->dev);
	pthread_join(e->thread, NULL);
}

static void setup(struct end *e, size_t state_size, bool plain)
{
	struct toy_config config = { .state_size = state_size };

	*e = (struct end){ .config.plain = plain };
	e->toy = toy_new(&config, &e->model);
	attach(e);
}

static void teardown(struct end *e)
{
	detach(e);
	vmig_device_close(e->model);
}

static void go(struct vmig_device *dev, uint32_t state, struct vmig_session **session)
{
	struct vmig_error error;
	int r = vmig_device_set_state(dev, state, VMIG_STATE_NONE, session);

	vmig_device_query_error(dev, &error);
	ck_assert_msg(!r, "to %s: %d: %s: %s", vmig_state_name(state), r, error.where, error.text);
}

static void put_register(struct vmig_device *dev, uint64_t offset, uint64_t value)
{
	ck_assert_int_eq(vmig_device_region_write(dev, TOY_REGISTERS, offset, &value, 8), 0);
}

static uint64_t get_register(struct vmig_device *dev, uint64_t offset)
{
	uint64_t value;

	ck_assert_int_eq(vmig_device_region_read(dev, TOY_REGISTERS, offset, &value, 8), 0);
	return value;
}

/* --- what it is --------------------------------------------------------------------------- */

TEST(the_device_is_the_models)
{
	struct vmig_device_info mine, models;
	struct end e;
	uint64_t size;

	setup(&e, 0, false);
	vmig_device_query_info(e.dev, &mine);
	vmig_device_query_info(e.model, &models);
	ck_assert_str_eq(mine.identity, models.identity);
	ck_assert_uint_eq(mine.flags, models.flags);
	ck_assert_uint_eq(mine.n_regions, models.n_regions);
	ck_assert_uint_eq(mine.n_irqs, models.n_irqs);
	ck_assert_uint_eq(mine.migration_flags, models.migration_flags);
	ck_assert_uint_eq(mine.has, models.has);
	ck_assert_int_eq(vmig_device_query_stop_copy_size(e.dev, &size), 0);
	ck_assert_uint_eq(size, toy_state_size(e.toy));
	teardown(&e);
}

TEST(regions_can_be_mapped)
{
	struct vmig_region r, whole;
	struct end e;
	uint8_t v = 0, *at;

	setup(&e, 0, false);
	ck_assert_int_eq(vmig_device_query_region(e.dev, TOY_MAPPED, &r), 0);
	ck_assert_uint_eq(r.size, TOY_MAPPED_SIZE);
	ck_assert_uint_eq(r.n_areas, 2);
	ck_assert_int_ge(r.fd, 0);
	at = mmap(NULL, r.areas[1].size, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd,
		  (off_t)(r.fd_offset + r.areas[1].offset));
	ck_assert_ptr_ne(at, MAP_FAILED);
	at[3] = 42;
	ck_assert_int_eq(pread(r.fd, &v, 1, (off_t)(r.fd_offset + r.areas[1].offset + 3)), 1);
	ck_assert_uint_eq(v, 42);
	munmap(at, r.areas[1].size);
	ck_assert_int_eq(vmig_device_query_region(e.dev, TOY_TYPED, &whole), 0);
	ck_assert_uint_eq(whole.cap_type, TOY_TYPE);
	ck_assert_uint_eq(whole.cap_subtype, TOY_SUBTYPE);
	/* Asked again, the same descriptor. */
	ck_assert_int_eq(vmig_device_query_region(e.dev, TOY_MAPPED, &whole), 0);
	ck_assert_int_eq(whole.fd, r.fd);
	teardown(&e);
}

TEST(doorbells_are_eventfds)
{
	struct vmig_ioeventfd io[8];
	eventfd_t count;
	struct end e;

	setup(&e, 0, false);
	ck_assert_int_eq(vmig_device_query_ioeventfds(e.dev, TOY_REGISTERS, io, 8), TOY_N_DOORBELLS);
	ck_assert_int_eq(vmig_device_query_ioeventfds(e.dev, TOY_MAPPED, io + 4, 4), 0);
	for (unsigned int i = 0; i < TOY_N_DOORBELLS; i++) {
		ck_assert_uint_eq(io[i].offset, TOY_DOORBELL + 4 * i);
		ck_assert_int_eq(eventfd_write(io[i].fd, i + 1), 0);
		ck_assert_int_eq(eventfd_read(toy_doorbell(e.toy, i), &count), 0);
		ck_assert_uint_eq(count, i + 1);
	}
	teardown(&e);
}

TEST(interrupts_arrive)
{
	int fds[TOY_N_MSIX];
	struct vmig_irq_set set = { .flags = VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER,
				    .index = 2,
				    .count = TOY_N_MSIX,
				    .fds = fds };
	struct vmig_irq irq;
	eventfd_t count;
	struct end e;

	setup(&e, 0, false);
	ck_assert_int_eq(vmig_device_query_irq(e.dev, 2, &irq), 0);
	ck_assert_uint_eq(irq.count, TOY_N_MSIX);
	for (unsigned int i = 0; i < TOY_N_MSIX; i++)
		fds[i] = i % 10 == 9 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_int_eq(vmig_device_set_irqs(e.dev, &set), 0);
	for (unsigned int i = 0; i < TOY_N_MSIX; i++) {
		put_register(e.dev, TOY_REG_RAISE, 2ull << 32 | i);
		if (fds[i] < 0)
			continue;
		ck_assert_int_eq(eventfd_read(fds[i], &count), 0);
		ck_assert_uint_eq(count, 1);
		close(fds[i]);
	}
	teardown(&e);
}

/* --- DMA ---------------------------------------------------------------------------------- */

#define IOVA 0x40000000ull
#define SIZE 0x200000u

/* The order in which user and device touch the memory comes by socket, where the thread sanitizer does not see it. */
static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;

static void move(struct end *e, uint64_t command, uint64_t length)
{
	put_register(e->dev, TOY_REG_ADDRESS, IOVA + 12);
	put_register(e->dev, TOY_REG_LENGTH, length);
	put_register(e->dev, TOY_REG_COMMAND, command);
	ck_assert_int_eq(toy_wait(e->toy), 0);
	ck_assert_uint_eq(get_register(e->dev, TOY_REG_STATUS), 0);
}

/* From memory into the device's buffer and back to memory, in the register's write and by the device's thread. */
static void move_all(struct end *e, uint8_t *memory, uint64_t length)
{
	uint8_t *want = malloc(length);
	static const uint64_t commands[][2] = { { TOY_COMMAND_READ, TOY_COMMAND_WRITE },
						{ TOY_COMMAND_READ_LATER, TOY_COMMAND_WRITE_LATER } };

	for (int i = 0; i < 2; i++) {
		pthread_mutex_lock(&memory_lock);
		for (size_t k = 0; k < length; k++)
			memory[12 + k] = want[k] = (uint8_t)(k * 3 + k / 255 + (size_t)i);
		pthread_mutex_unlock(&memory_lock);
		move(e, commands[i][0], length);
		pthread_mutex_lock(&memory_lock);
		memset(memory, 0, length + 24);
		pthread_mutex_unlock(&memory_lock);
		move(e, commands[i][1], length);
		pthread_mutex_lock(&memory_lock);
		ck_assert_mem_eq(memory + 12, want, length);
		ck_assert_uint_eq(memory[11], 0);
		ck_assert_uint_eq(memory[12 + length], 0);
		pthread_mutex_unlock(&memory_lock);
	}
	free(want);
}

TEST(dma_through_a_descriptor)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);
	struct vmig_dma map = { IOVA, SIZE, VMIG_DMA_READ | VMIG_DMA_WRITE, fd, 0, NULL, NULL };
	uint8_t *memory;
	struct end e;

	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	setup(&e, 0, false);
	ck_assert_int_eq(vmig_device_map_dma(e.dev, &map), 0);
	move_all(&e, memory, 100000);
	ck_assert_int_eq(vmig_device_unmap_dma(e.dev, IOVA, SIZE), 0);
	munmap(memory, SIZE);
	close(fd);
	teardown(&e);
}

static int read_elsewhere(void *opaque, uint64_t iova, void *buf, size_t len)
{
	pthread_mutex_lock(&memory_lock);
	memcpy(buf, (uint8_t *)opaque + (iova - IOVA), len);
	pthread_mutex_unlock(&memory_lock);
	return 0;
}

static int write_elsewhere(void *opaque, uint64_t iova, const void *buf, size_t len)
{
	pthread_mutex_lock(&memory_lock);
	memcpy((uint8_t *)opaque + (iova - IOVA), buf, len);
	pthread_mutex_unlock(&memory_lock);
	return 0;
}

TEST(dma_by_message)
{
	uint8_t *memory = calloc(1, SIZE);
	const struct vmig_dma_io io = { read_elsewhere, write_elsewhere, memory };
	struct vmig_dma map = { IOVA, SIZE, VMIG_DMA_READ | VMIG_DMA_WRITE, -1, 0, NULL, &io };
	struct end e;

	setup(&e, 0, false);
	ck_assert_int_eq(vmig_device_map_dma(e.dev, &map), 0);
	move_all(&e, memory, 1500000);
	ck_assert_int_eq(vmig_device_unmap_dma(e.dev, IOVA, SIZE), 0);
	teardown(&e);
	free(memory);
}

TEST(the_dma_log_tells_the_devices_writes)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);
	struct vmig_dma map = { IOVA, SIZE, VMIG_DMA_READ | VMIG_DMA_WRITE, fd, 0, NULL, NULL };
	struct vmig_range range = { IOVA, SIZE };
	uint64_t page_size = 4096, bits[8] = { 0 };
	struct end e;

	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	setup(&e, 0, false);
	ck_assert_int_eq(vmig_device_map_dma(e.dev, &map), 0);
	ck_assert_int_eq(vmig_device_dma_log_start(e.dev, &page_size, &range, 1), 0);
	ck_assert_int_eq(vmig_device_dma_log_start(e.dev, &page_size, &range, 1), -EBUSY);
	move(&e, TOY_COMMAND_WRITE, 3 * 4096);
	bits[7] = 1;
	ck_assert_int_eq(vmig_device_dma_log_report(e.dev, IOVA, SIZE, page_size, bits), 0);
	ck_assert_uint_eq(bits[0], 15);
	ck_assert_uint_eq(bits[7], 1);
	memset(bits, 0, sizeof(bits));
	ck_assert_int_eq(vmig_device_dma_log_report(e.dev, IOVA, SIZE, page_size, bits), 0);
	ck_assert_uint_eq(bits[0], 0);
	ck_assert_int_eq(vmig_device_dma_log_stop(e.dev), 0);
	close(fd);
	teardown(&e);
}

/* --- a migration -------------------------------------------------------------------------- */

/* What there is to read now goes to the other end. 0: the end; -ENOMSG: for now. */
static ssize_t pass_on(struct vmig_session *from, struct vmig_session *to, uint8_t *buf, size_t size)
{
	ssize_t n;

	for (;;) {
		struct iovec iov = { buf, size };

		n = vmig_session_readv(from, &iov, 1);
		if (n <= 0)
			return n;
		iov.iov_len = (size_t)n;
		ck_assert_int_eq(vmig_session_writev(to, &iov, 1), 0);
	}
}

static void migrate(size_t state_size, bool plain, bool precopy, size_t piece)
{
	struct vmig_session *from, *to, *none;
	uint8_t *buf = malloc(piece);
	struct vmig_precopy sizes;
	struct end a, b;

	setup(&a, state_size, plain);
	setup(&b, state_size, plain);
	put_register(a.dev, TOY_REG_SCRATCH, 0x1122334455667788);
	go(b.dev, VMIG_STATE_RESUMING, &to);
	go(a.dev, precopy ? VMIG_STATE_PRE_COPY : VMIG_STATE_STOP_COPY, &from);
	if (precopy) {
		ck_assert_int_eq(vmig_session_query_precopy(from, &sizes), plain ? -EOPNOTSUPP : 0);
		ck_assert_int_eq(pass_on(from, to, buf, piece), -ENOMSG);
		go(a.dev, VMIG_STATE_PRE_COPY_P2P, &none);
		ck_assert_ptr_null(none);
		go(a.dev, VMIG_STATE_STOP_COPY, &none);
		ck_assert_ptr_null(none);
	}
	ck_assert_int_eq(pass_on(from, to, buf, piece), 0);
	ck_assert_int_eq(vmig_session_flush(to), 0);
	go(b.dev, VMIG_STATE_STOP, NULL);
	go(a.dev, VMIG_STATE_STOP, NULL);
	go(b.dev, VMIG_STATE_RUNNING, NULL);
	vmig_session_close(from);
	vmig_session_close(to);
	ck_assert_uint_eq(get_register(b.dev, TOY_REG_SCRATCH), 0x1122334455667788);
	ck_assert_mem_eq(toy_state(a.toy), toy_state(b.toy), toy_state_size(a.toy));
	teardown(&a);
	teardown(&b);
	free(buf);
}

TEST(a_device_moves)
{
	migrate(8u << 20, false, false, 1u << 20);
}

TEST(a_device_moves_live)
{
	migrate((8u << 20) + 8, false, true, 1u << 20);
}

TEST(a_device_moves_live_over_the_plain_protocol)
{
	migrate((8u << 20) + 8, true, true, 1u << 20);
}

TEST(a_device_moves_in_odd_pieces)
{
	migrate(1u << 20, false, true, 12345);
}

TEST(a_failed_load_is_told)
{
	struct vmig_session *session;
	uint8_t *data = calloc(1, 1u << 20);
	struct iovec iov = { data, 100000 };
	struct end e;
	int r = 0;

	setup(&e, 1u << 20, false);
	toy_fail_load_at(e.toy, 300000);
	go(e.dev, VMIG_STATE_RESUMING, &session);
	for (int i = 0; i < 10 && !r; i++)
		r = vmig_session_writev(session, &iov, 1);
	ck_assert(!r || r == -EIO);
	ck_assert_int_eq(vmig_session_flush(session), -EIO);
	ck_assert_int_eq(vmig_device_set_state(e.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), -EIO);
	vmig_session_close(session);
	ck_assert_int_eq(vmig_device_reset(e.dev), 0);
	put_register(e.dev, TOY_REG_SCRATCH, 5);
	teardown(&e);
	free(data);
}

TEST(a_failed_save_is_told)
{
	struct vmig_session *session;
	uint8_t *buf = malloc(1u << 20);
	struct iovec iov = { buf, 100000 };
	size_t done = 0;
	struct end e;
	ssize_t n;

	setup(&e, 1u << 20, false);
	toy_fail_save_at(e.toy, 350000);
	go(e.dev, VMIG_STATE_STOP_COPY, &session);
	while ((n = vmig_session_readv(session, &iov, 1)) > 0)
		done += (size_t)n;
	ck_assert_int_eq(n, -EIO);
	ck_assert_uint_le(done, 450000); /* it fails when it is asked again */
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), -EIO);
	vmig_session_close(session);
	go(e.dev, VMIG_STATE_RUNNING, NULL);
	teardown(&e);
	free(buf);
}

/* The next user finds the device where the last one left it. */
TEST(the_state_outlives_its_user)
{
	struct vmig_session *session;
	struct end e;
	uint32_t state;

	setup(&e, 1u << 20, false);
	go(e.dev, VMIG_STATE_STOP_COPY, &session);
	vmig_session_close(session);
	detach(&e);
	attach(&e);
	ck_assert_int_eq(vmig_device_query_state(e.dev, &state), 0);
	ck_assert_uint_eq(state, VMIG_STATE_STOP_COPY);
	go(e.dev, VMIG_STATE_RUNNING, NULL);
	teardown(&e);
}

/* --- addresses ---------------------------------------------------------------------------- */

static int open_fails(const char *path, uint32_t timeout_ms, struct vmig_error *error)
{
	struct vmig_vfio_user_config config = { .timeout_ms = timeout_ms };
	struct vmig_device *dev = NULL;
	int r = vmig_open_vfio_user(path, &config, &dev, error);

	ck_assert_int_lt(r, 0);
	ck_assert_ptr_null(dev);
	return r;
}

struct place {
	char dir[32], path[64];
};

static void make_place(struct place *p)
{
	snprintf(p->dir, sizeof(p->dir), "/tmp/vmig-client-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/s", p->dir);
}

static void drop_place(struct place *p)
{
	unlink(p->path);
	rmdir(p->dir);
}

static int listen_at(const char *path, int type, int backlog)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, backlog), 0);
	return fd;
}

TEST(no_such_socket)
{
	struct vmig_error error;
	struct place p;
	char longest[200];
	int fd;

	make_place(&p);
	ck_assert_int_eq(open_fails(p.path, 0, &error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.text, p.path));
	/* Nobody listens any more. */
	close(listen_at(p.path, SOCK_STREAM, 1));
	ck_assert_int_eq(open_fails(p.path, 0, &error), -ECONNREFUSED);
	unlink(p.path);
	fd = listen_at(p.path, SOCK_DGRAM, 0);
	ck_assert_int_eq(open_fails(p.path, 0, &error), -EPROTO);
	close(fd);
	unlink(p.path);
	/* A file that is no socket. */
	fd = open(p.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_eq(open_fails(p.path, 0, &error), -ECONNREFUSED);
	close(fd);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(open_fails(longest, 0, &error), -ENAMETOOLONG);
	drop_place(&p);
}

TEST(a_server_that_takes_no_connections)
{
	struct vmig_error error;
	struct place p;
	int fd, extra[8], n = 0;

	make_place(&p);
	fd = listen_at(p.path, SOCK_STREAM, 0);
	/* It takes the connection, in a way, but says nothing. */
	ck_assert_int_eq(open_fails(p.path, 20, &error), -ETIMEDOUT);
	/* Its queue is full. */
	while (n < 8) {
		struct sockaddr_un address = { .sun_family = AF_UNIX };

		snprintf(address.sun_path, sizeof(address.sun_path), "%s", p.path);
		extra[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(extra[n++], (struct sockaddr *)&address, sizeof(address)))
			break;
	}
	ck_assert_int_eq(open_fails(p.path, 20, &error), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(error.text, p.path));
	while (n)
		close(extra[--n]);
	close(fd);
	drop_place(&p);
}

static void *run_server(void *opaque)
{
	ck_assert_int_eq(vmig_server_run(opaque), 0);
	return NULL;
}

TEST(another_user)
{
	struct vmig_server_config config = { .fd = -1 };
	struct toy_config toy = { .state_size = 4096 };
	struct vmig_device *model, *dev;
	struct vmig_server *server;
	struct vmig_error error;
	pthread_t thread;
	struct place p;

	make_place(&p);
	config.socket_path = p.path;
	toy_new(&toy, &model);
	ck_assert_int_eq(vmig_server_new(model, &config, &server), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_server, server), 0);
	ck_assert_int_eq(vmig_open_vfio_user(p.path, NULL, &dev, &error), 0);
	ck_assert_int_eq(open_fails(p.path, 0, &error), -EBUSY);
	vmig_device_close(dev);
	vmig_server_stop(server);
	pthread_join(thread, NULL);
	vmig_server_free(server);
	vmig_device_close(model);
	drop_place(&p);
}

TEST(another_user_takes_it)
{
	const struct vmig_vfio_user_config take = { .take = 1 };
	struct vmig_server_config config = { .fd = -1 };
	struct toy_config toy = { .state_size = 4096 };
	struct vmig_device *model, *dev, *second;
	struct vmig_server *server;
	struct vmig_error error;
	pthread_t thread;
	struct place p;
	uint32_t state;

	make_place(&p);
	config.socket_path = p.path;
	toy_new(&toy, &model);
	ck_assert_int_eq(vmig_server_new(model, &config, &server), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_server, server), 0);
	ck_assert_int_eq(vmig_open_vfio_user(p.path, &take, &dev, &error), 0);
	ck_assert_int_eq(vmig_open_vfio_user(p.path, &take, &second, &error), 0);
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), -ECONNRESET);
	ck_assert_int_eq(vmig_device_query_state(second, &state), 0);
	ck_assert_uint_eq(state, VMIG_STATE_RUNNING);
	vmig_device_close(second);
	vmig_device_close(dev);
	vmig_server_stop(server);
	pthread_join(thread, NULL);
	vmig_server_free(server);
	vmig_device_close(model);
	drop_place(&p);
}

/* --- whose state it holds ------------------------------------------------------------------ */

TEST(the_tag_outlives_its_user)
{
	const struct vmig_tag given = { .identity = { { 1, 2 } }, .attempt = { { 3, 4 } } };
	struct vmig_tag models, got;
	struct end e;

	setup(&e, 0, false);
	ck_assert_int_eq(vmig_device_set_tag(e.dev, &given), 0);
	detach(&e);
	attach(&e);
	ck_assert_int_eq(vmig_device_query_tag(e.dev, &got), 0);
	ck_assert_int_eq(vmig_device_query_tag(e.model, &models), 0);
	ck_assert(vmig_uuid_equal(&got.identity, &given.identity));
	ck_assert(vmig_uuid_equal(&got.attempt, &given.attempt));
	ck_assert(vmig_uuid_equal(&got.instance, &models.instance));
	ck_assert_int_eq(vmig_device_reset(e.dev), 0);
	ck_assert_int_eq(vmig_device_query_tag(e.dev, &got), 0);
	ck_assert(vmig_uuid_is_none(&got.identity) && vmig_uuid_is_none(&got.attempt));
	teardown(&e);
}

TEST(a_plain_server_has_no_tags)
{
	struct vmig_tag tag = { 0 };
	struct vmig_device_info info;
	struct end e;

	setup(&e, 0, true);
	vmig_device_query_info(e.dev, &info);
	ck_assert(!(info.has & VMIG_HAS_TAG));
	ck_assert_int_eq(vmig_device_query_tag(e.dev, &tag), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_set_tag(e.dev, &tag), -EOPNOTSUPP);
	teardown(&e);
}

HARNESS("client-server", T(the_device_is_the_models), T(regions_can_be_mapped), T(doorbells_are_eventfds),
	T(interrupts_arrive), T(dma_through_a_descriptor), T(dma_by_message),
	T(the_dma_log_tells_the_devices_writes), T(a_device_moves), T(a_device_moves_live),
	T(a_device_moves_live_over_the_plain_protocol), T(a_device_moves_in_odd_pieces),
	T(a_failed_load_is_told), T(a_failed_save_is_told), T(the_state_outlives_its_user), T(no_such_socket),
	T(a_server_that_takes_no_connections), T(another_user), T(another_user_takes_it),
	T(the_tag_outlives_its_user), T(a_plain_server_has_no_tags))
