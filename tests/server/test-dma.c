/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's memory: by descriptor, and by messages from every place that a device may ask from. */
#include "harness.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"

#define PAGE  4096ull
#define IOVA  0x40000000ull
#define READ  1u
#define WRITE 2u

/* The registers of a transfer, but for the command. */
static void aim(struct peer *p, uint64_t iova, uint64_t len)
{
	ck_assert_int_eq(peer_set_register(p, TOY_REG_ADDRESS, iova), 0);
	ck_assert_int_eq(peer_set_register(p, TOY_REG_LENGTH, len), 0);
}

static int64_t transfer(struct peer *p, uint64_t command, uint64_t iova, uint64_t len)
{
	aim(p, iova, len);
	ck_assert_int_eq(peer_set_register(p, TOY_REG_COMMAND, command), 0);
	return (int64_t)peer_register(p, TOY_REG_STATUS);
}

/* --- by descriptor --------------------------------------------------------------------------------- */

TEST(memory_by_descriptor)
{
	struct rig rig;
	uint8_t *mem, buf[100];
	int fd = shared_memory(16 * PAGE, &mem);

	rig_start(&rig, NULL);
	/* The mapping is the file's pages 4 to 11. */
	ck_assert_int_eq(peer_map(&rig.peer, READ | WRITE, IOVA, 8 * PAGE, fd, 4 * PAGE), 0);
	ck_assert_uint_eq(rig.peer.in.size, 16);
	memset(mem + 4 * PAGE + 10, 'a', 100);
	ck_assert_int_eq(transfer(&rig.peer, TOY_COMMAND_READ, IOVA + 10, 100), 0);
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_BUFFER, 0, buf, 100), 0);
	ck_assert_mem_eq(buf, mem + 4 * PAGE + 10, 100);
	ck_assert_int_eq(transfer(&rig.peer, TOY_COMMAND_WRITE, IOVA + 8 * PAGE - 100, 100), 0);
	ck_assert_mem_eq(mem + 12 * PAGE - 100, buf, 100);
	ck_assert_int_eq(transfer(&rig.peer, TOY_COMMAND_READ, IOVA + 8 * PAGE - 100, 101), -EFAULT);
	ck_assert_int_eq(peer_unmap(&rig.peer, IOVA, 8 * PAGE), 0);
	ck_assert_int_eq(transfer(&rig.peer, TOY_COMMAND_READ, IOVA + 10, 100), -EFAULT);
	ck_assert_int_eq(rig_end(&rig), 0);
	munmap(mem, 16 * PAGE);
	close(fd);
}

TEST(protection_is_kept)
{
	struct rig rig;
	uint8_t *mem;
	int fd = shared_memory(PAGE, &mem);

	rig_start(&rig, NULL);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA, PAGE, fd, 0), 0);
	ck_assert_int_eq(peer_map(&rig.peer, WRITE, IOVA + PAGE, PAGE, fd, 0), 0);
	ck_assert_int_eq(transfer(&rig.peer, TOY_COMMAND_WRITE, IOVA, 8), -EFAULT);
	ck_assert_int_eq(transfer(&rig.peer, TOY_COMMAND_READ, IOVA, 8), 0);
	ck_assert_int_eq(transfer(&rig.peer, TOY_COMMAND_READ, IOVA + PAGE, 8), -EFAULT);
	ck_assert_int_eq(transfer(&rig.peer, TOY_COMMAND_WRITE, IOVA + PAGE, 8), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
	munmap(mem, PAGE);
	close(fd);
}

TEST(bad_maps)
{
	struct rig rig;
	uint8_t *mem;
	int fd = shared_memory(4 * PAGE, &mem), fds[2] = { fd, fd };
	struct bytes b = { 0 };

	rig_start(&rig, NULL);
	ck_assert_int_eq(peer_map(&rig.peer, 0, IOVA, PAGE, fd, 0), -EINVAL);
	ck_assert_int_eq(peer_map(&rig.peer, 4 | READ, IOVA, PAGE, fd, 0), -EINVAL);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA, 0, fd, 0), -EINVAL);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA + 1, PAGE, fd, 0), -EINVAL);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA, PAGE + 1, fd, 0), -EINVAL);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA, PAGE, fd, 1), -EINVAL);
	ck_assert_int_eq(peer_map(&rig.peer, READ, UINT64_MAX - PAGE + 1, 2 * PAGE, fd, 0), -EINVAL);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA, PAGE, fd, UINT64_MAX - PAGE + 1), -EINVAL);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA, 2 * PAGE, fd, 3 * PAGE),
			 -EINVAL); /* behind the end */
	put32(&b, 32);
	put32(&b, READ);
	put64(&b, 0);
	put64(&b, IOVA);
	put64(&b, PAGE);
	ck_assert_int_eq(peer_call_fds(&rig.peer, C_DMA_MAP, &b, fds, 2), -EINVAL);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA, PAGE, fd, 3 * PAGE), 0);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA, PAGE, fd, 0), -EEXIST);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA - PAGE, 2 * PAGE, fd, 0), -EEXIST);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA - PAGE, 3 * PAGE, -1, 0), -EEXIST);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA + PAGE, PAGE, fd, 0), 0);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA - PAGE, PAGE, fd, 0), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
	munmap(mem, 4 * PAGE);
	close(fd);
}

static int unmap_flags(struct peer *p, uint32_t flags, uint64_t iova, uint64_t size)
{
	struct bytes b = { 0 };

	put32(&b, 24);
	put32(&b, flags);
	put64(&b, iova);
	put64(&b, size);
	return peer_call(p, C_DMA_UNMAP, &b);
}

TEST(unmap)
{
	struct rig rig;
	uint8_t *mem;
	int fd = shared_memory(PAGE, &mem);

	rig_start(&rig, NULL);
	for (uint64_t i = 0; i < 100; i++)
		ck_assert_int_eq(
			peer_map(&rig.peer, READ, IOVA + 2 * (i * 37 % 100) * PAGE, PAGE, i % 2 ? fd : -1, 0),
			0);
	ck_assert_int_eq(peer_unmap(&rig.peer, IOVA, 2 * PAGE), -ENOENT);
	ck_assert_int_eq(peer_unmap(&rig.peer, IOVA + PAGE, PAGE), -ENOENT);
	ck_assert_int_eq(peer_unmap(&rig.peer, IOVA, 0), -ENOENT);
	ck_assert_int_eq(peer_unmap(&rig.peer, IOVA, PAGE), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 24);
	ck_assert_uint_eq(peer_u64(&rig.peer, 8), IOVA);
	ck_assert_uint_eq(peer_u64(&rig.peer, 16), PAGE);
	ck_assert_int_eq(peer_unmap(&rig.peer, IOVA, PAGE), -ENOENT);
	ck_assert_uint_eq(toy_dma_changes(rig.toy), 101);
	ck_assert_int_eq(unmap_flags(&rig.peer, 4, IOVA + 2 * PAGE, PAGE), -EINVAL);
	ck_assert_int_eq(unmap_flags(&rig.peer, 2, IOVA, PAGE), -EINVAL);
	ck_assert_int_eq(unmap_flags(&rig.peer, 2, 0, 0), 0); /* all */
	ck_assert_uint_eq(toy_dma_changes(rig.toy), 200);
	ck_assert_int_eq(peer_unmap(&rig.peer, IOVA + 2 * PAGE, PAGE), -ENOENT);
	ck_assert_int_eq(rig_end(&rig), 0);
	munmap(mem, PAGE);
	close(fd);
}

TEST(no_more_maps_than_agreed)
{
	struct rig rig;

	rig_make(&rig, NULL, NULL);
	rig_attach(&rig);
	ck_assert_int_eq(peer_hello(&rig.peer, "{\"capabilities\":{\"max_dma_maps\":3}}"), 0);
	for (uint64_t i = 0; i < 3; i++)
		ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA + i * PAGE, PAGE, -1, 0), 0);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA + 3 * PAGE, PAGE, -1, 0), -ENOSPC);
	ck_assert_int_eq(peer_unmap(&rig.peer, IOVA, PAGE), 0);
	ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA + 3 * PAGE, PAGE, -1, 0), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* --- by messages -------------------------------------------------------------------------------------- */

/* A rig with @size bytes at IOVA that have no descriptor. */
static void start_messages(struct rig *rig, const char *hello, uint64_t size)
{
	rig_make(rig, NULL, NULL);
	rig_attach(rig);
	ck_assert_int_eq(peer_hello(&rig->peer, hello), 0);
	ck_assert_int_eq(peer_map(&rig->peer, READ | WRITE, IOVA, size, -1, 0), 0);
}

static uint16_t send_command(struct peer *p, uint64_t command)
{
	struct bytes b = { 0 };

	put64(&b, TOY_REG_COMMAND);
	put32(&b, TOY_REGISTERS);
	put32(&b, 8);
	put64(&b, command);
	return peer_send(p, C_REGION_WRITE, 0, &b, NULL, 0);
}

static uint16_t send_read(struct peer *p, uint64_t offset)
{
	struct bytes b = { 0 };

	put64(&b, offset);
	put32(&b, TOY_REGISTERS);
	put32(&b, 8);
	return peer_send(p, C_REGION_READ, 0, &b, NULL, 0);
}

static void expect_question(struct peer *p, uint16_t command, uint64_t address, uint64_t count)
{
	ck_assert(peer_recv(p));
	ck_assert_uint_eq(p->in.command, command);
	ck_assert_uint_eq(peer_u64(p, 0), address);
	ck_assert_uint_eq(peer_u64(p, 8), count);
}

static void expect_reply(struct peer *p, uint16_t id)
{
	ck_assert(peer_recv(p));
	ck_assert_uint_eq(p->in.flags, F_REPLY);
	ck_assert_uint_eq(p->in.id, id);
}

/* Let the device's own thread ask: its question and the reply to the command come in any order. p->in is the question. */
static void ask_later(struct peer *p, uint64_t command)
{
	uint16_t id = send_command(p, command);
	struct peer question = { 0 };
	bool replied = false;

	while (!replied || !question.in.command) {
		ck_assert(peer_recv(p));
		if (p->in.flags & F_REPLY) {
			ck_assert_uint_eq(p->in.id, id);
			replied = true;
		} else {
			question.in = p->in;
			p->in.body = (struct bytes){ 0 };
		}
	}
	bytes_done(&p->in.body);
	p->in = question.in;
}

/* The question comes while the write that caused it is under way; its reply comes behind the answer. */
TEST(from_within_a_register_write)
{
	uint8_t mem[PAGE], buf[100];
	struct rig rig;
	uint16_t id;

	for (size_t i = 0; i < sizeof(mem); i++)
		mem[i] = (uint8_t)(i * 3);
	start_messages(&rig, HELLO, PAGE);
	aim(&rig.peer, IOVA + 7, 100);
	id = send_command(&rig.peer, TOY_COMMAND_READ);
	expect_question(&rig.peer, C_DMA_READ, IOVA + 7, 100);
	peer_answer_dma(&rig.peer, mem, IOVA);
	expect_reply(&rig.peer, id);
	ck_assert_uint_eq(peer_register(&rig.peer, TOY_REG_STATUS), 0);
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_BUFFER, 0, buf, 100), 0);
	ck_assert_mem_eq(buf, mem + 7, 100);
	aim(&rig.peer, IOVA + 1000, 100);
	id = send_command(&rig.peer, TOY_COMMAND_WRITE);
	expect_question(&rig.peer, C_DMA_WRITE, IOVA + 1000, 100);
	peer_answer_dma(&rig.peer, mem, IOVA);
	expect_reply(&rig.peer, id);
	ck_assert_mem_eq(mem + 1000, mem + 7, 100);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* Though the descriptor came: a client of old answers messages, and looks for what they brought. */
TEST(by_message_if_the_server_is_to)
{
	const struct vmig_server_config config = { .dma_by_message = 1 };
	uint8_t mem[PAGE] = { 0 }, *shared;
	int fd = shared_memory(PAGE, &shared);
	struct rig rig;
	uint16_t id;

	rig_make(&rig, NULL, &config);
	rig_attach(&rig);
	ck_assert_int_eq(peer_hello(&rig.peer, HELLO), 0);
	ck_assert_int_eq(peer_map(&rig.peer, READ | WRITE, IOVA, PAGE, fd, 0), 0);
	memset(mem + 7, 'x', 100);
	aim(&rig.peer, IOVA + 7, 100);
	id = send_command(&rig.peer, TOY_COMMAND_READ);
	expect_question(&rig.peer, C_DMA_READ, IOVA + 7, 100);
	peer_answer_dma(&rig.peer, mem, IOVA);
	expect_reply(&rig.peer, id);
	aim(&rig.peer, IOVA + 1000, 100);
	id = send_command(&rig.peer, TOY_COMMAND_WRITE);
	expect_question(&rig.peer, C_DMA_WRITE, IOVA + 1000, 100);
	peer_answer_dma(&rig.peer, mem, IOVA);
	expect_reply(&rig.peer, id);
	ck_assert_mem_eq(mem + 1000, mem + 7, 100);
	ck_assert_uint_eq(shared[1000], 0);
	ck_assert_int_eq(rig_end(&rig), 0);
	munmap(shared, PAGE);
	close(fd);
}

TEST(large_ones_are_cut_to_the_clients_limit)
{
	enum { LEN = 300000, MAX = 65536 };
	uint8_t *mem = malloc(75 * PAGE), *buf = malloc(LEN);
	struct rig rig;
	uint16_t id;

	for (size_t i = 0; i < 75 * PAGE; i++)
		mem[i] = (uint8_t)(i * 13 + i / 777);
	start_messages(&rig, "{\"capabilities\":{\"max_data_xfer_size\":65536}}", 75 * PAGE);
	aim(&rig.peer, IOVA, LEN);
	id = send_command(&rig.peer, TOY_COMMAND_READ);
	for (uint64_t at = 0; at < LEN; at += MAX) {
		expect_question(&rig.peer, C_DMA_READ, IOVA + at, LEN - at < MAX ? LEN - at : MAX);
		peer_answer_dma(&rig.peer, mem, IOVA);
	}
	expect_reply(&rig.peer, id);
	ck_assert_uint_eq(peer_register(&rig.peer, TOY_REG_STATUS), 0);
	for (uint32_t at = 0; at < LEN; at += 60000)
		ck_assert_int_eq(peer_region_read(&rig.peer, TOY_BUFFER, at, buf + at, 60000), 0);
	ck_assert_mem_eq(buf, mem, LEN);
	ck_assert_int_eq(rig_end(&rig), 0);
	free(mem);
	free(buf);
}

/* Commands that come while the device waits are put by, descriptors and all, and done in order. */
TEST(commands_that_come_meanwhile)
{
	uint8_t mem[PAGE] = { 0 }, *shared;
	int fd = shared_memory(PAGE, &shared);
	struct bytes b = { 0 };
	struct rig rig;
	uint16_t ids[12];

	start_messages(&rig, HELLO, PAGE);
	aim(&rig.peer, IOVA, 100);
	ids[0] = send_command(&rig.peer, TOY_COMMAND_READ);
	expect_question(&rig.peer, C_DMA_READ, IOVA, 100);
	for (int i = 1; i < 10; i++)
		ids[i] = send_read(&rig.peer, TOY_REG_LENGTH);
	put32(&b, 32);
	put32(&b, READ);
	put64(&b, 0);
	put64(&b, 2 * IOVA);
	put64(&b, PAGE);
	ids[10] = peer_send(&rig.peer, C_DMA_MAP, 0, &b, &fd, 1);
	peer_answer_dma(&rig.peer, mem, IOVA);
	for (int i = 0; i <= 10; i++)
		expect_reply(&rig.peer, ids[i]);
	shared[5] = 77;
	ck_assert_int_eq(transfer(&rig.peer, TOY_COMMAND_READ, 2 * IOVA + 5, 1), 0);
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_BUFFER, 0, mem, 1), 0);
	ck_assert_uint_eq(mem[0], 77);
	ck_assert_int_eq(rig_end(&rig), 0);
	munmap(shared, PAGE);
	close(fd);
}

/* The device waits in a register's write: so many commands may wait behind it. One more: the device's access fails, the commands do not. */
static void wait_with(unsigned int n, int64_t status)
{
	uint8_t mem[PAGE] = { 0 };
	struct rig rig;
	uint16_t first;

	start_messages(&rig, HELLO, PAGE);
	aim(&rig.peer, IOVA, 100);
	first = send_command(&rig.peer, TOY_COMMAND_READ);
	expect_question(&rig.peer, C_DMA_READ, IOVA, 100);
	for (unsigned int i = 0; i < n; i++)
		send_read(&rig.peer, TOY_REG_STATUS);
	peer_answer_dma(&rig.peer, mem, IOVA);
	for (unsigned int i = 0; i <= n; i++)
		expect_reply(&rig.peer, (uint16_t)(first + i));
	ck_assert_int_eq((int64_t)peer_register(&rig.peer, TOY_REG_STATUS), status);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(as_many_commands_as_may_wait)
{
	wait_with(VMIG_LIMIT_PENDING - 1, 0);
	wait_with(VMIG_LIMIT_PENDING, -ENOBUFS);
	wait_with(VMIG_LIMIT_PENDING + 1, -ENOBUFS);
}

TEST(from_a_thread_of_the_device)
{
	uint8_t mem[PAGE];
	struct rig rig;

	memset(mem, 'x', sizeof(mem));
	start_messages(&rig, HELLO, PAGE);
	for (int i = 0; i < 200; i++) {
		aim(&rig.peer, IOVA + (uint64_t)i, 100);
		ask_later(&rig.peer, i % 2 ? TOY_COMMAND_READ_LATER : TOY_COMMAND_WRITE_LATER);
		ck_assert_uint_eq(rig.peer.in.command, i % 2 ? C_DMA_READ : C_DMA_WRITE);
		peer_answer_dma(&rig.peer, mem, IOVA);
		ck_assert_int_eq(toy_wait(rig.toy), 0);
	}
	ck_assert_int_eq(rig_end(&rig), 0);
}

/*
 * The worst case: the device's thread waits for an answer, the serving thread waits in a transition for the device's
 * thread. Somebody must read the socket.
 */
TEST(while_the_device_is_being_stopped)
{
	uint8_t mem[PAGE] = { 0 };
	struct rig rig;

	start_messages(&rig, HELLO, PAGE);
	for (int i = 0; i < 50; i++) {
		struct bytes b = { 0 };
		uint16_t id, behind;

		aim(&rig.peer, IOVA, 100);
		ask_later(&rig.peer, TOY_COMMAND_READ_LATER);
		put32(&b, 16);
		put32(&b, SET | 2);
		put32(&b, VMIG_STATE_STOP);
		put32(&b, UINT32_MAX);
		id = peer_send(&rig.peer, C_FEATURE, 0, &b, NULL, 0);
		behind = send_read(&rig.peer, TOY_REG_STATUS);
		peer_answer_dma(&rig.peer, mem, IOVA);
		expect_reply(&rig.peer, id);
		expect_reply(&rig.peer, behind);
		ck_assert_uint_eq(peer_u64(&rig.peer, 16), 0);
		ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RUNNING), 0);
	}
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* An unmap cancels; it does not wait for an answer that may never come. The answer that does come late is nobody's. */
TEST(unmap_while_dma_is_under_way)
{
	uint8_t mem[PAGE] = { 0 };
	struct rig rig;

	start_messages(&rig, HELLO, PAGE);
	for (int i = 0; i < 50; i++) {
		uint16_t question;

		aim(&rig.peer, IOVA, 100);
		ask_later(&rig.peer, TOY_COMMAND_READ_LATER);
		question = rig.peer.in.id;
		ck_assert_int_eq(peer_unmap(&rig.peer, IOVA, PAGE), 0);
		ck_assert_int_eq(toy_wait(rig.toy), -ECANCELED);
		if (i % 2) {
			struct bytes b = { 0 }, late = { 0 };

			put64(&b, IOVA);
			put64(&b, 100);
			put(&b, mem, 100);
			peer_put(&late, question, C_DMA_READ, F_REPLY, b.at, b.len);
			peer_send_bytes(rig.peer.fd, late.at, late.len, NULL, 0);
			bytes_done(&b);
			bytes_done(&late);
		}
		ck_assert_int_eq(peer_map(&rig.peer, READ | WRITE, IOVA, PAGE, -1, 0), 0);
	}
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(the_clients_errors_reach_the_device)
{
	struct bytes b = { 0 };
	struct rig rig;
	uint16_t id;

	start_messages(&rig, HELLO, PAGE);
	aim(&rig.peer, IOVA, 100);
	id = send_command(&rig.peer, TOY_COMMAND_WRITE);
	expect_question(&rig.peer, C_DMA_WRITE, IOVA, 100);
	peer_put(&b, rig.peer.in.id, C_DMA_WRITE, F_REPLY | F_ERROR, NULL, 0);
	b.at[12] = EPERM;
	peer_send_bytes(rig.peer.fd, b.at, b.len, NULL, 0);
	bytes_done(&b);
	expect_reply(&rig.peer, id);
	ck_assert_int_eq((int64_t)peer_register(&rig.peer, TOY_REG_STATUS), -EPERM);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* An answer to another question, or of another length, cannot be trusted with anything that follows. */
TEST(false_answers_close)
{
	for (int i = 0; i < 4; i++) {
		struct bytes b = { 0 }, answer = { 0 };
		struct rig rig;

		start_messages(&rig, HELLO, PAGE);
		aim(&rig.peer, IOVA, 100);
		send_command(&rig.peer, TOY_COMMAND_READ);
		expect_question(&rig.peer, C_DMA_READ, IOVA, 100);
		put64(&b, i == 0 ? IOVA + 1 : IOVA);
		put64(&b, i == 1 ? 99 : 100);
		for (int k = 0; k < (i == 1 ? 99 : i == 2 ? 101 : 100); k++)
			put(&b, "x", 1);
		peer_put(&answer, rig.peer.in.id, i == 3 ? C_DMA_WRITE : C_DMA_READ, F_REPLY, b.at, b.len);
		peer_send_bytes(rig.peer.fd, answer.at, answer.len, NULL, 0);
		ck_assert(!peer_recv(&rig.peer));
		ck_assert_int_lt(rig_join(&rig), 0);
		rig_done(&rig);
		bytes_done(&b);
		bytes_done(&answer);
	}
}

/* The text gives the count in the reply of a DMA_WRITE 4 bytes. */
TEST(a_narrow_answer_to_a_write)
{
	struct bytes b = { 0 }, answer = { 0 };
	struct rig rig;
	uint16_t id;

	start_messages(&rig, HELLO, PAGE);
	aim(&rig.peer, IOVA, 100);
	id = send_command(&rig.peer, TOY_COMMAND_WRITE);
	expect_question(&rig.peer, C_DMA_WRITE, IOVA, 100);
	put64(&b, IOVA);
	put32(&b, 100);
	peer_put(&answer, rig.peer.in.id, C_DMA_WRITE, F_REPLY, b.at, b.len);
	peer_send_bytes(rig.peer.fd, answer.at, answer.len, NULL, 0);
	expect_reply(&rig.peer, id);
	ck_assert_uint_eq(peer_register(&rig.peer, TOY_REG_STATUS), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
	bytes_done(&b);
	bytes_done(&answer);
}

/* Replies that nobody waits for change nothing. */
TEST(answers_to_nothing)
{
	struct rig rig;

	rig_start(&rig, NULL);
	for (uint32_t id = 0; id < 70000; id += 777) {
		struct bytes b = { 0 };

		peer_put(&b, (uint16_t)id, C_DMA_READ, F_REPLY, "0123456789abcdef", 16);
		peer_send_bytes(rig.peer.fd, b.at, b.len, NULL, 0);
		bytes_done(&b);
	}
	ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_RUNNING);
	ck_assert_int_eq(rig_end(&rig), 0);
}

static void go_away(uint64_t command)
{
	struct rig rig;
	int64_t status;

	start_messages(&rig, HELLO, PAGE);
	aim(&rig.peer, IOVA, 100);
	send_command(&rig.peer, command);
	do
		ck_assert(peer_recv(&rig.peer));
	while (rig.peer.in.command == C_REGION_WRITE);
	ck_assert_int_le(rig_detach(&rig), 0);
	status = toy_wait(rig.toy);
	ck_assert_msg(status == -ECONNRESET || status == -ECANCELED, "status %d", (int)status);
	/* And the next client has its own. */
	rig_attach(&rig);
	ck_assert_int_eq(peer_hello(&rig.peer, HELLO), 0);
	ck_assert_int_eq(transfer(&rig.peer, TOY_COMMAND_READ, IOVA, 8), -EFAULT);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(the_client_goes_while_it_is_asked)
{
	go_away(TOY_COMMAND_READ);
	go_away(TOY_COMMAND_WRITE);
	go_away(TOY_COMMAND_READ_LATER);
	go_away(TOY_COMMAND_WRITE_LATER);
}

/* --- the twin socket --------------------------------------------------------------------------------- */

static void start_twin(struct rig *rig, struct peer *twin)
{
	rig_make(rig, NULL, NULL);
	rig_attach(rig);
	ck_assert_int_eq(peer_hello(&rig->peer, HELLO_TWIN), 0);
	ck_assert_ptr_nonnull(strstr((char *)rig->peer.in.body.at + 4, "\"fd_index\":0"));
	ck_assert_int_eq(rig->peer.in.n_fds, 1);
	*twin = (struct peer){ .fd = fcntl(rig->peer.in.fds[0], F_DUPFD_CLOEXEC, 0) };
	ck_assert_int_eq(peer_map(&rig->peer, READ | WRITE, IOVA, PAGE, -1, 0), 0);
}

TEST(questions_over_the_twin_socket)
{
	static const uint64_t commands[] = { TOY_COMMAND_READ, TOY_COMMAND_WRITE, TOY_COMMAND_READ_LATER,
					     TOY_COMMAND_WRITE_LATER };
	uint8_t mem[PAGE] = { 0 };
	struct peer twin;
	struct rig rig;

	start_twin(&rig, &twin);
	for (int i = 0; i < 40; i++) {
		uint16_t id;

		aim(&rig.peer, IOVA, 100);
		id = send_command(&rig.peer, commands[i % 4]);
		ck_assert(peer_recv(&twin));
		ck_assert_uint_eq(twin.in.command, i % 2 ? C_DMA_WRITE : C_DMA_READ);
		peer_answer_dma(&twin, mem, IOVA);
		expect_reply(&rig.peer, id);
		ck_assert_int_eq(toy_wait(rig.toy), 0);
	}
	ck_assert_int_eq(rig_end(&rig), 0);
	peer_close(&twin);
}

TEST(unmap_cancels_on_the_twin_socket)
{
	struct peer twin;
	struct rig rig;

	start_twin(&rig, &twin);
	for (int i = 0; i < 50; i++) {
		aim(&rig.peer, IOVA, 100);
		ck_assert_int_eq(peer_set_register(&rig.peer, TOY_REG_COMMAND, TOY_COMMAND_READ_LATER), 0);
		ck_assert(peer_recv(&twin));
		ck_assert_int_eq(peer_unmap(&rig.peer, IOVA, PAGE), 0);
		ck_assert_int_eq(toy_wait(rig.toy), -ECANCELED);
		ck_assert_int_eq(peer_map(&rig.peer, READ, IOVA, PAGE, -1, 0), 0);
	}
	ck_assert_int_eq(rig_end(&rig), 0);
	peer_close(&twin);
}

/* A command of the client's has no business there. */
TEST(a_command_on_the_twin_socket_closes_both)
{
	struct peer twin;
	struct rig rig;

	start_twin(&rig, &twin);
	aim(&rig.peer, IOVA, 100);
	send_command(&rig.peer, TOY_COMMAND_READ);
	ck_assert(peer_recv(&twin));
	peer_send(&twin, C_RESET, 0, NULL, NULL, 0);
	ck_assert(!peer_recv(&twin));
	while (peer_recv(&rig.peer))
		;
	ck_assert_int_eq(rig_join(&rig), -EPROTO);
	rig_done(&rig);
	peer_close(&twin);
}

HARNESS("server-dma", T(by_message_if_the_server_is_to), T(memory_by_descriptor), T(protection_is_kept),
	T(bad_maps), T(unmap), T(no_more_maps_than_agreed), T(from_within_a_register_write),
	T(large_ones_are_cut_to_the_clients_limit), T(commands_that_come_meanwhile),
	T(as_many_commands_as_may_wait), T(from_a_thread_of_the_device), T(while_the_device_is_being_stopped),
	T(unmap_while_dma_is_under_way), T(the_clients_errors_reach_the_device), T(false_answers_close),
	T(a_narrow_answer_to_a_write), T(answers_to_nothing), T(the_client_goes_while_it_is_asked),
	T(questions_over_the_twin_socket), T(unmap_cancels_on_the_twin_socket),
	T(a_command_on_the_twin_socket_closes_both))
