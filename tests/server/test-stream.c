/* SPDX-License-Identifier: BSD-3-Clause */
/* The byte stream: cut anywhere, sent ahead, with descriptors, without replies, and as nonsense. */
#include "harness.h"
#include "peer.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE 4096ull
#define IOVA 0x40000000ull
#define MIB  (1u << 20)

/* --- a session, written down ---------------------------------------------------------------------------- */

#define MAX_MESSAGES 64

struct session {
	struct bytes all;
	size_t ends[MAX_MESSAGES];
	int fds[MAX_MESSAGES]; /* one for each message, or -1 */
	int n;
};

static void add_fd(struct session *s, uint16_t command, struct bytes *body, int fd)
{
	ck_assert_int_lt(s->n, MAX_MESSAGES);
	peer_put(&s->all, (uint16_t)(1000 + s->n), command, 0, body->at, body->len);
	bytes_done(body);
	s->ends[s->n] = s->all.len;
	s->fds[s->n++] = fd;
}

static void add(struct session *s, uint16_t command, struct bytes *body)
{
	add_fd(s, command, body, -1);
}

static void add_words(struct session *s, uint16_t command, int n, const uint32_t *words, int fd)
{
	struct bytes b = { 0 };

	for (int i = 0; i < n; i++)
		put32(&b, words[i]);
	add_fd(s, command, &b, fd);
}
#define ADD_FD(s, command, fd, ...)                                                                          \
	add_words(s, command, (int)(sizeof((uint32_t[]){ __VA_ARGS__ }) / 4), (uint32_t[]){ __VA_ARGS__ }, fd)
#define ADD(s, command, ...) ADD_FD(s, command, -1, __VA_ARGS__)

static void add_write(struct session *s, uint64_t offset, uint32_t region, uint32_t len)
{
	struct bytes b = { 0 };

	put64(&b, offset);
	put32(&b, region);
	put32(&b, len);
	for (uint32_t i = 0; i < len; i++)
		put(&b, &(uint8_t){ (uint8_t)(i * 7) }, 1);
	add(s, C_REGION_WRITE, &b);
}

static void add_data(struct session *s, uint32_t len)
{
	struct bytes b = { 0 };

	put32(&b, 8 + len);
	put32(&b, len);
	for (uint32_t i = 0; i < len; i++)
		put(&b, &(uint8_t){ (uint8_t)(i * 11) }, 1);
	add(s, C_MIG_WRITE, &b);
}

/* A bit of everything. The device's state has 3000 bytes, so that the data writes suit it. */
static void write_down(struct session *s, int mem, int event)
{
	struct bytes b = { 0 };

	put32(&b, 0);
	put(&b, HELLO_X, sizeof(HELLO_X));
	add(s, C_VERSION, &b);
	ADD(s, C_GET_INFO, 16, 0, 0, 0);
	ADD_FD(s, C_DMA_MAP, mem, 32, 3, 0, 0, IOVA, 0, PAGE, 0);
	ADD(s, C_DMA_MAP, 32, 3, 0, 0, 2 * IOVA, 0, PAGE, 0);
	ADD(s, C_DMA_UNMAP, 24, 0, 2 * IOVA, 0, PAGE, 0);
	ADD(s, C_REGION_INFO, 32, 0, TOY_MAPPED, 0, 0, 0, 0, 0);
	ADD(s, C_REGION_READ, 0, 0, TOY_READ_ONLY, 64);
	ADD(s, C_REGION_READ, 0, 0, TOY_READ_ONLY, 65);
	add_write(s, 0, TOY_BUFFER, 1);
	add_write(s, 100, TOY_BUFFER, 5000);
	ADD(s, C_REGION_READ, 90, 0, TOY_BUFFER, 5020);
	ADD_FD(s, C_SET_IRQS, event, 20, 0x24, 1, 0, 1);
	ADD(s, 77, 1, 2, 3);
	ADD(s, C_FEATURE, 16, SET | 2, VMIG_STATE_STOP_COPY, 0);
	ADD(s, C_MIG_READ, 2008, 2000);
	ADD(s, C_MIG_READ, 2008, 2000);
	ADD(s, C_MIG_READ, 2008, 2000);
	ADD(s, C_FEATURE, 16, SET | 2, VMIG_STATE_RESUMING, 0);
	add_data(s, 1);
	add_data(s, 2000);
	add_data(s, 3000); /* too much: fails half-way */
	ADD(s, C_FEATURE, 16, GET | 2);
	ADD(s, C_RESET);
	ADD(s, C_IDENTITY, 4096, 0);
	ADD(s, C_FEATURE, 16, GET | 2);
}

/* Send it in pieces that @cut chooses, and put all that comes back, and how many descriptors, into @replies. */
struct sender {
	int fd;
	const struct session *s;
	size_t (*cut)(unsigned int *seed);
	unsigned int seed;
};

/*
 * A piece never reaches from one message into another that has a descriptor, nor out of one: a descriptor belongs to
 * the message that its piece is in. Within its message, any piece may carry it.
 */
static void *send_pieces(void *arg)
{
	struct sender *sender = arg;
	const struct session *s = sender->s;
	size_t at = 0;

	for (int m = 0; m < s->n; m++) {
		size_t end = s->ends[m];
		int fd = s->fds[m];
		size_t carrier;

		if (fd < 0)
			while (m + 1 < s->n && s->fds[m + 1] < 0)
				end = s->ends[++m];
		carrier = at + (size_t)rand_r(&sender->seed) % (end - at);
		while (at < end) {
			size_t len = sender->cut(&sender->seed);
			bool carries;

			if (len > end - at)
				len = end - at;
			carries = fd >= 0 && carrier >= at && carrier < at + len;
			peer_send_bytes(sender->fd, s->all.at + at, len, &fd, carries);
			at += len;
		}
	}
	return NULL;
}

static void run_session(const struct session *s, size_t (*cut)(unsigned int *seed), unsigned int seed,
			struct bytes *replies)
{
	struct toy_config config = { .state_size = 3000, .piece = 700 };
	struct rig rig;
	struct sender sender = { .s = s, .cut = cut, .seed = seed };
	pthread_t thread;

	rig_make(&rig, &config, NULL);
	rig_attach(&rig);
	sender.fd = rig.peer.fd;
	ck_assert_int_eq(pthread_create(&thread, NULL, send_pieces, &sender), 0);
	for (int i = 0; i < s->n; i++) {
		ck_assert(peer_recv(&rig.peer));
		put16(replies, rig.peer.in.id);
		put16(replies, rig.peer.in.command);
		put32(replies, rig.peer.in.flags);
		put32(replies, rig.peer.in.error);
		put32(replies, (uint32_t)rig.peer.in.n_fds);
		put(replies, rig.peer.in.body.at, rig.peer.in.body.len);
	}
	pthread_join(thread, NULL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

static size_t one(unsigned int *seed)
{
	return 1;
}

static size_t whole(unsigned int *seed)
{
	return SIZE_MAX;
}

static size_t few(unsigned int *seed)
{
	return 1 + (size_t)rand_r(seed) % 40;
}

static size_t many(unsigned int *seed)
{
	return 1 + (size_t)rand_r(seed) % 3000;
}

TEST(any_cut_gives_the_same_replies)
{
	static size_t (*const cuts[])(
		unsigned int *) = { one, few, few, few, few, few, many, many, many, many };
	struct session s = { 0 };
	struct bytes want = { 0 };
	uint8_t *mem;
	int fd = shared_memory(PAGE, &mem), event = eventfd(0, EFD_CLOEXEC);

	write_down(&s, fd, event);
	run_session(&s, whole, harness_seed(), &want);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		struct bytes got = { 0 };

		run_session(&s, cuts[i], harness_seed() + (unsigned int)i, &got);
		ck_assert_uint_eq(got.len, want.len);
		ck_assert_mem_eq(got.at, want.at, want.len);
		bytes_done(&got);
	}
	bytes_done(&want);
	bytes_done(&s.all);
	munmap(mem, PAGE);
	close(fd);
	close(event);
}

/* --- pipelining ---------------------------------------------------------------------------------------------- */

TEST(many_commands_before_the_first_reply_is_read)
{
	struct rig rig;
	uint16_t first = 0;

	rig_start(&rig, NULL);
	for (int i = 0; i < 500; i++) {
		struct bytes b = { 0 };

		put64(&b, (uint64_t)i % 60);
		put32(&b, TOY_READ_ONLY);
		put32(&b, 4);
		peer_send(&rig.peer, C_REGION_READ, 0, &b, NULL, 0);
		if (!i)
			first = rig.peer.id;
	}
	for (int i = 0; i < 500; i++) {
		ck_assert(peer_recv(&rig.peer));
		ck_assert_uint_eq(rig.peer.in.id, first + i);
		ck_assert_uint_eq(rig.peer.in.body.at[16], i % 60);
	}
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* As the firmware of a guest moves memory: each message by itself, some with a descriptor and some without. */
TEST(maps_and_unmaps_in_flight)
{
	enum { N = 40 };
	struct rig rig;
	uint8_t *mem, value;
	int fd = shared_memory(N * PAGE, &mem);

	rig_start(&rig, NULL);
	for (uint64_t i = 0; i < N; i++) {
		struct bytes b = { 0 };

		mem[i * PAGE] = (uint8_t)i;
		put32(&b, 32);
		put32(&b, 1);
		put64(&b, i * PAGE);
		put64(&b, IOVA + i * PAGE);
		put64(&b, PAGE);
		peer_send(&rig.peer, C_DMA_MAP, 0, &b, &fd, i % 3 != 1);
	}
	for (int i = 0; i < N; i++) {
		ck_assert(peer_recv(&rig.peer));
		ck_assert_uint_eq(rig.peer.in.flags, F_REPLY);
	}
	/* Those that came with a descriptor are read without a message. */
	ck_assert_int_eq(peer_set_register(&rig.peer, TOY_REG_LENGTH, 1), 0);
	for (uint64_t i = 0; i < N; i++) {
		if (i % 3 == 1)
			continue;
		ck_assert_int_eq(peer_set_register(&rig.peer, TOY_REG_ADDRESS, IOVA + i * PAGE), 0);
		ck_assert_int_eq(peer_set_register(&rig.peer, TOY_REG_COMMAND, TOY_COMMAND_READ), 0);
		ck_assert_int_eq(peer_region_read(&rig.peer, TOY_BUFFER, 0, &value, 1), 0);
		ck_assert_uint_eq(value, i);
	}
	ck_assert_int_eq(rig_end(&rig), 0);
	munmap(mem, N * PAGE);
	close(fd);
}

/* A map and what follows it, sent at once: the descriptor is the map's. */
TEST(a_descriptor_with_several_messages_at_once)
{
	struct bytes map = { 0 }, all = { 0 };
	struct rig rig;
	uint8_t *mem;
	int fd = shared_memory(PAGE, &mem);

	mem[0] = 99;
	rig_start(&rig, NULL);
	put32(&map, 32);
	put32(&map, 1);
	put64(&map, 0);
	put64(&map, IOVA);
	put64(&map, PAGE);
	peer_put(&all, 1, C_DMA_MAP, 0, map.at, map.len);
	peer_put(&all, 2, C_FEATURE, 0, "\x10\0\0\0\x02\0\x01\0", 8);
	peer_put(&all, 3, C_GET_INFO, 0, "\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	peer_send_bytes(rig.peer.fd, all.at, all.len, &fd, 1);
	for (int i = 1; i <= 3; i++) {
		ck_assert(peer_recv(&rig.peer));
		ck_assert_uint_eq(rig.peer.in.id, i);
		ck_assert_uint_eq(rig.peer.in.flags, F_REPLY);
	}
	ck_assert_int_eq(peer_set_register(&rig.peer, TOY_REG_LENGTH, 1), 0);
	ck_assert_int_eq(peer_set_register(&rig.peer, TOY_REG_ADDRESS, IOVA), 0);
	ck_assert_int_eq(peer_set_register(&rig.peer, TOY_REG_COMMAND, TOY_COMMAND_READ), 0);
	ck_assert_uint_eq(peer_register(&rig.peer, TOY_REG_STATUS), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
	bytes_done(&map);
	bytes_done(&all);
	munmap(mem, PAGE);
	close(fd);
}

/* --- descriptors --------------------------------------------------------------------------------------------- */

TEST(descriptors_that_nobody_wants_are_closed)
{
	int before, fds[40];
	struct bytes b = { 0 };
	struct rig rig;

	for (int i = 0; i < 40; i++)
		fds[i] = STDERR_FILENO;
	rig_start(&rig, NULL);
	before = harness_count_fds();
	for (int n = 1; n <= 40; n++) {
		put32(&b, 16);
		put32(&b, GET | 2);
		ck_assert_int_eq(peer_call_fds(&rig.peer, C_FEATURE, &b, fds, n), 0);
		put32(&b, 1);
		ck_assert_int_eq(peer_call_fds(&rig.peer, 99, &b, fds, n), -ENOSYS);
	}
	peer_state(&rig.peer); /* the one before has been dealt with */
	ck_assert_int_eq(harness_count_fds(), before);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* One descriptor with each byte of a message: those of the message up to the limit, and none leaks. */
TEST(a_descriptor_with_every_byte)
{
	struct bytes b = { 0 }, all = { 0 };
	int before, fd = eventfd(0, EFD_CLOEXEC);
	struct rig rig;

	rig_start(&rig, NULL);
	before = harness_count_fds();
	put32(&b, 20);
	put32(&b, 0x24);
	put32(&b, 2);
	put32(&b, 0);
	put32(&b, 16);
	peer_put(&all, 1, C_SET_IRQS, 0, b.at, b.len);
	/* 36 of them: too many. */
	for (size_t i = 0; i < all.len; i++)
		peer_send_bytes(rig.peer.fd, all.at + i, 1, &fd, 1);
	ck_assert(peer_recv(&rig.peer));
	ck_assert_uint_eq(rig.peer.in.error, EINVAL);
	peer_state(&rig.peer); /* the one before has been dealt with */
	ck_assert_int_eq(harness_count_fds(), before);
	/* 16, with the last 16 bytes. */
	for (size_t i = 0; i < all.len; i++)
		peer_send_bytes(rig.peer.fd, all.at + i, 1, &fd, i >= all.len - 16);
	ck_assert(peer_recv(&rig.peer));
	ck_assert_uint_eq(rig.peer.in.flags, F_REPLY);
	ck_assert_int_eq(rig_end(&rig), 0);
	bytes_done(&b);
	bytes_done(&all);
	close(fd);
}

TEST(descriptors_of_a_message_that_is_cut_off)
{
	struct bytes all = { 0 };
	int fds[16];
	struct rig rig;

	for (int i = 0; i < 16; i++)
		fds[i] = STDERR_FILENO;
	rig_start(&rig, NULL);
	peer_put(&all, 1, C_SET_IRQS, 0, "0123456789", 10);
	peer_send_bytes(rig.peer.fd, all.at, 20, fds, 16);
	ck_assert_int_eq(rig_end(&rig), -ECONNRESET);
	bytes_done(&all);
}

/* --- No_reply ------------------------------------------------------------------------------------------------- */

TEST(no_reply)
{
	struct bytes b = { 0 };
	struct rig rig;

	rig_start(&rig, NULL);
	put64(&b, TOY_REG_SCRATCH);
	put32(&b, TOY_REGISTERS);
	put32(&b, 8);
	put64(&b, 4711);
	peer_send(&rig.peer, C_REGION_WRITE, F_NO_REPLY, &b, NULL, 0);
	put64(&b, 0);
	put32(&b, 99); /* an error gets none either */
	put32(&b, 8);
	put64(&b, 1);
	peer_send(&rig.peer, C_REGION_WRITE, F_NO_REPLY, &b, NULL, 0);
	peer_send(&rig.peer, 99, F_NO_REPLY, NULL, NULL, 0);
	ck_assert_uint_eq(peer_register(&rig.peer, TOY_REG_SCRATCH), 4711);
	/* A read that nobody hears takes nothing from the stream. */
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_STOP_COPY), 0);
	put32(&b, 8 + MIB);
	put32(&b, MIB);
	peer_send(&rig.peer, C_MIG_READ, F_NO_REPLY, &b, NULL, 0);
	ck_assert_int_eq(peer_mig_read(&rig.peer, MIB), MIB);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* --- nonsense -------------------------------------------------------------------------------------------------- */

/* Either random bytes, or messages whose heads are right and whose bodies are not. */
static void fill(struct bytes *b, unsigned int *seed, bool headers)
{
	size_t len = (size_t)rand_r(seed) % 300;

	for (int m = 0; m < 20; m++) {
		uint8_t body[300];

		for (size_t i = 0; i < sizeof(body); i++)
			body[i] = rand_r(seed) % 3 ? (uint8_t)(rand_r(seed) % 5) : (uint8_t)rand_r(seed);
		if (headers) /* not the messages to the client; they would close it */
			peer_put(b, (uint16_t)rand_r(seed), (uint16_t)(rand_r(seed) % 20),
				 rand_r(seed) % 8 ? 0 : (uint32_t)rand_r(seed) % 64, body, len);
		else
			put(b, body, len);
		len = (size_t)rand_r(seed) % (rand_r(seed) % 2 ? 64 : 300);
	}
}

static void nonsense(unsigned int seed, bool headers)
{
	int fds[3] = { STDERR_FILENO, STDERR_FILENO, STDERR_FILENO };
	struct toy_config config = { .state_size = 1000 };
	struct bytes b = { 0 };
	struct rig rig;

	fill(&b, &seed, headers);
	rig_make(&rig, &config, NULL);
	rig_attach(&rig);
	if (seed % 4)
		ck_assert_int_eq(peer_hello(&rig.peer, HELLO_X), 0);
	for (size_t at = 0, len; at < b.len; at += len) {
		len = 1 + (size_t)rand_r(&seed) % 200;
		if (len > b.len - at)
			len = b.len - at;
		peer_send_bytes(rig.peer.fd, b.at + at, len, fds, rand_r(&seed) % 8 ? 0 : rand_r(&seed) % 4);
	}
	shutdown(rig.peer.fd, SHUT_WR);
	while (peer_recv(&rig.peer))
		;
	rig_join(&rig);
	rig_done(&rig);
	bytes_done(&b);
}

TEST(nonsense_neither_crashes_nor_hangs)
{
	for (unsigned int i = 0; i < 150; i++)
		nonsense(harness_seed() + i, false);
}

TEST(messages_of_nonsense_neither_crash_nor_hang)
{
	for (unsigned int i = 0; i < 400; i++)
		nonsense(harness_seed() + i, true);
}

HARNESS("server-stream", T_SLOW(any_cut_gives_the_same_replies, 60),
	T(many_commands_before_the_first_reply_is_read), T(maps_and_unmaps_in_flight),
	T(a_descriptor_with_several_messages_at_once), T(descriptors_that_nobody_wants_are_closed),
	T(a_descriptor_with_every_byte), T(descriptors_of_a_message_that_is_cut_off), T(no_reply),
	T_SLOW(nonsense_neither_crashes_nor_hangs, 60),
	T_SLOW(messages_of_nonsense_neither_crash_nor_hang, 60))
