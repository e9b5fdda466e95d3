/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers, order, sizes: messages that are good. Those that are not: vu-odd.c. */
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "wire.h"
#include "vu.h"

/* A request of one of the commands that only ask, of @argsz. */
static struct vu_body question(uint16_t command, uint32_t argsz, uint32_t index)
{
	struct vu_body b = { 0 };

	vu_32(&b, argsz);
	vu_32(&b, 0);
	vu_32(&b, index);
	vu_32(&b, 0);
	if (command == VU_REGION_INFO) {
		vu_64(&b, 0);
		vu_64(&b, 0);
	}
	return b;
}

/* Those, and how many there are of what they ask for. */
static const uint16_t asking[] = { VU_GET_INFO, VU_IRQ_INFO, VU_REGION_INFO };
#define N_ASKING (sizeof(asking) / sizeof(asking[0]))

static bool has_any(const struct vu *vu, uint16_t command)
{
	return command == VU_GET_INFO || (command == VU_IRQ_INFO ? vu->n_irqs : vu->n_regions) > 0;
}

static void send_as(struct vu *vu, uint16_t id, uint16_t command, uint32_t flags)
{
	struct vu_body b = question(command, 4096, 0);
	uint8_t out[VU_HEADER + 64];

	vu_send_raw(vu, out, vu_put(vu, out, id, command, flags, &b), -1);
}

static void must_receive(struct vu *vu, const char *expected)
{
	if (!vu_receive(vu))
		check_fail(vu->c, expected, "the connection was closed");
}

static void is_reply_to(struct vu *vu, uint16_t id, uint16_t command)
{
	if (vu->in.id != id)
		check_fail(vu->c, "the message ID is echoed", "%u for %u, command %u", vu->in.id, id,
			   command);
	if (vu->in.command != command)
		check_fail(vu->c, "the command is also set in the reply header", "%u for %u", vu->in.command,
			   command);
	if (vu->in.flags != VU_REPLY)
		check_fail(vu->c, "the type is Reply, and no other flag is set", "flags %#x, command %u",
			   vu->in.flags, command);
}

void vu_reply_header(struct check_context *c)
{
	static const uint16_t ids[] = { 0, 1, 0x8000, 0xffff };
	struct vu vu;

	vu_start(c, &vu);
	for (size_t i = 0; i < N_ASKING; i++)
		for (size_t k = 0; k < 4 && has_any(&vu, asking[i]); k++) {
			check_did(c, "sent command %u as message %u", asking[i], ids[k]);
			send_as(&vu, ids[k], asking[i], 0);
			must_receive(&vu, "a reply");
			is_reply_to(&vu, ids[k], asking[i]);
		}
}

#define SAME 4

void vu_ids_reused(struct check_context *c)
{
	struct vu vu;

	vu_start(c, &vu);
	check_did(c, "sent %d commands as message 7 without waiting", SAME);
	for (int i = 0; i < SAME; i++)
		send_as(&vu, 7, VU_GET_INFO, 0);
	for (int i = 0; i < SAME; i++) {
		must_receive(&vu, "a reply to each of them");
		is_reply_to(&vu, 7, VU_GET_INFO);
	}
}

void vu_in_order(struct check_context *c)
{
	uint8_t out[8 * (VU_HEADER + 64)];
	uint16_t sent[8];
	struct vu vu;
	size_t len = 0, n = 0;

	vu_start(c, &vu);
	for (size_t i = 0; i < 8; i++) {
		uint16_t command = asking[i % N_ASKING];
		struct vu_body b = question(command, 4096, 0);

		if (!has_any(&vu, command))
			continue;
		sent[n] = command;
		len += vu_put(&vu, out + len, (uint16_t)(100 + n++), command, 0, &b);
	}
	check_did(c, "sent %zu commands at once", n);
	vu_send_raw(&vu, out, len, -1);
	for (size_t i = 0; i < n; i++) {
		must_receive(&vu, "a reply to each of them");
		if (vu.in.id != 100 + i || vu.in.command != sent[i])
			check_fail(c, "the commands are processed in the order they are received",
				   "reply %zu is to message %u, command %u", i, vu.in.id, vu.in.command);
	}
}

/* A mapping that nobody has confirmed is there for the next command. */
static void map_without_reply(struct vu *vu)
{
	const uint64_t iova = 2ull << 30;
	struct vu_body b = { 0 };
	int r;

	if (vu_map(vu, 3, iova, VU_PAGE, -1, 0) || vu_unmap(vu, 0, iova, VU_PAGE))
		return;
	check_did(vu->c, "sent DMA_MAP with No_reply, and DMA_UNMAP");
	vu_32(&b, 32);
	vu_32(&b, 3);
	vu_64(&b, 0);
	vu_64(&b, iova);
	vu_64(&b, VU_PAGE);
	vu_send(vu, VU_DMA_MAP, VU_NO_REPLY, &b);
	r = vu_unmap(vu, 0, iova, VU_PAGE);
	if (r)
		check_fail(vu->c, "the older command was processed before the younger one's reply", "%s",
			   strerror(-r));
}

void vu_no_reply(struct check_context *c)
{
	struct vu vu;

	vu_start(c, &vu);
	check_did(c, "sent DEVICE_GET_INFO with No_reply, and again without");
	send_as(&vu, 200, VU_GET_INFO, VU_NO_REPLY);
	send_as(&vu, 201, VU_GET_INFO, 0);
	must_receive(&vu, "a reply to the second");
	if (vu.in.id != 201)
		check_fail(c, "no reply to a command with No_reply", "one to message %u", vu.in.id);
	map_without_reply(&vu);
}

/* --- errors -------------------------------------------------------------------------------------------- */

struct mistake {
	const char *what;
	uint16_t command;
	uint32_t words[8];
	size_t n;
};

#define MIGRATION_REGION 4001u /* whichever it is */

/* What can be wrong though the message is whole. */
static const struct mistake mistakes[] = {
	{ "an interrupt that is not there", VU_IRQ_INFO, { 16, 0, 4000, 0 }, 4 },
	{ "a region that is not there", VU_REGION_INFO, { 4096, 0, 4000 }, 8 },
	{ "memory that is not mapped", VU_DMA_UNMAP, { 24, 0, 0, 64, 4096, 0 }, 6 },
	{ "a feature that is not there", VU_FEATURE, { 64, VU_GET | 0x7fff }, 2 },
	{ "bytes of a region that is not there", VU_REGION_READ, { 0, 0, 4000, 4 }, 4 },
	{ "bytes far behind a region", VU_REGION_READ, { 0, 1, 7, 4 }, 4 },
	{ "half a register of the migration region", VU_REGION_READ, { 2, 0, MIGRATION_REGION, 2 }, 4 },
};

/* Was it answered by an error? */
static bool errs(struct vu *vu, const struct mistake *m, int migration_region)
{
	uint32_t words[8];
	struct vu_body b = { 0 };

	memcpy(words, m->words, sizeof(words));
	if (words[2] == MIGRATION_REGION)
		words[2] = (uint32_t)migration_region;
	vu_bytes(&b, words, m->n * 4);
	check_did(vu->c, "asked for %s", m->what);
	if (!vu_call(vu, m->command, &b) || vu->closed)
		return false;
	if (vu->in.size != VU_HEADER)
		check_fail(vu->c, "an error's reply only includes the header", "%u bytes", vu->in.size);
	if ((vu->in.flags & VU_TYPE) != VU_REPLY)
		check_fail(vu->c, "an error's reply is a reply", "flags %#x", vu->in.flags);
	return true;
}

void vu_error_is_header(struct check_context *c)
{
	int errors = 0, region;
	struct vu vu;

	vu_start(c, &vu);
	region = vu_v1_region(&vu);
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]) && !vu.closed; i++)
		errors += errs(&vu, &mistakes[i], region);
	if (!errors)
		check_end(c, CHECK_SKIPPED, "", "nothing that was wrong was answered by an error");
}

/* Good ones, so that only an answer counts, be it an error. */
void vu_every_command(struct check_context *c)
{
	static const struct mistake all[] = {
		{ "DMA_MAP", VU_DMA_MAP, { 32, 3, 0, 0, 0, 64, 4096, 0 }, 8 },
		{ "DMA_UNMAP", VU_DMA_UNMAP, { 24, 0, 0, 64, 4096, 0 }, 6 },
		{ "DEVICE_GET_INFO", VU_GET_INFO, { 16 }, 4 },
		{ "DEVICE_GET_REGION_INFO", VU_REGION_INFO, { 4096 }, 8 },
		{ "DEVICE_GET_REGION_IO_FDS", VU_IO_FDS, { 4096 }, 4 },
		{ "DEVICE_GET_IRQ_INFO", VU_IRQ_INFO, { 16 }, 4 },
		{ "DEVICE_SET_IRQS", VU_SET_IRQS, { 20, 0x21 }, 5 },
		{ "REGION_READ", VU_REGION_READ, { 0, 0, 7, 4 }, 4 },
		{ "REGION_WRITE", VU_REGION_WRITE, { 0x3c, 0, 7, 0 }, 4 },
		{ "DEVICE_RESET", VU_RESET, { 0 }, 0 },
		{ "REGION_WRITE_MULTI", VU_WRITE_MULTI, { 0 }, 2 },
		{ "DEVICE_FEATURE", VU_FEATURE, { 16, VU_GET | VU_MIGRATION }, 2 },
		{ "MIG_DATA_READ", VU_DATA_READ, { 24, 16 }, 2 },
		{ "MIG_DATA_WRITE", VU_DATA_WRITE, { 8, 0 }, 2 },
	};
	struct vu vu;

	vu_start(c, &vu);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct vu_body b = { 0 };

		vu_bytes(&b, all[i].words, all[i].n * 4);
		check_did(c, "sent %s", all[i].what);
		if (vu_call(&vu, all[i].command, &b) == -ECONNRESET && vu.closed)
			check_fail(c, "each command is replied to", "the connection was closed");
	}
}

/* --- sizes --------------------------------------------------------------------------------------------- */

/* Until the other side has taken what was sent; at most a moment, for it may wait for more. */
static void let_it_read(int fd)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	int left = 1;

	for (int i = 0; i < 100 && !ioctl(fd, SIOCOUTQ, &left) && left; i++)
		nanosleep(&pause, NULL);
}

void vu_pieces(struct check_context *c)
{
	struct vu_body b = question(VU_GET_INFO, 16, 0);
	uint8_t out[VU_HEADER + 64];
	struct vu vu;
	size_t len;

	vu_start(c, &vu);
	len = vu_put(&vu, out, 300, VU_GET_INFO, 0, &b);
	check_did(c, "sent DEVICE_GET_INFO one byte at a time");
	for (size_t i = 0; i < len; i++) {
		vu_send_raw(&vu, out + i, 1, -1);
		let_it_read(vu.fd);
	}
	if (!vu_receive(&vu))
		check_observe(c, "a stream comes in pieces of any size", "the connection was closed");
	if (vu.in.id != 300 || vu.in.flags & VU_ERROR)
		check_observe(c, "a stream comes in pieces of any size", "an error: %s",
			      strerror((int)vu.in.error));
}

void vu_argsz(struct check_context *c)
{
	struct vu vu;

	vu_start(c, &vu);
	for (size_t i = 0; i < 2 && has_any(&vu, asking[i]); i++) {
		struct vu_body b = question(asking[i], 64, 0);

		check_did(c, "sent command %u with an argsz of 64", asking[i]);
		vu_must(&vu, asking[i], &b, "a larger argsz than needed is good");
		vu_has(&vu, 16, "the reply has the 16 bytes of today");
		if (vu_u32(&vu, 0) != 16)
			check_fail(c, "argsz is the size required for the full reply payload", "%u",
				   vu_u32(&vu, 0));
	}
}

static bool more_than_fits(struct vu *vu, uint32_t region)
{
	struct vu_body b = question(VU_REGION_INFO, 32, region);
	uint32_t needed;

	if (vu_call(vu, VU_REGION_INFO, &b) || vu_u32(vu, 0) <= 32)
		return false;
	check_did(vu->c, "asked for region %u, which has capabilities, with an argsz of 32", region);
	needed = vu_u32(vu, 0);
	vu_has(vu, 32, "what does not fit argsz is not included");
	b = question(VU_REGION_INFO, needed, region);
	vu_must(vu, VU_REGION_INFO, &b, "the argsz that is needed is enough");
	vu_has(vu, needed, "argsz is the size needed for the full payload");
	return true;
}

void vu_argsz_small(struct check_context *c)
{
	bool any = false;
	struct vu vu;

	vu_start(c, &vu);
	for (uint32_t i = 0; i < vu.n_regions && i < 64; i++)
		any |= more_than_fits(&vu, i);
	if (!any)
		check_end(c, CHECK_NOT_APPLICABLE, "", "no region has capabilities");
}

void vu_max_fds(struct check_context *c)
{
	static const uint16_t with_fds[] = { VU_REGION_INFO, VU_IO_FDS };
	struct vu vu;

	vu_start_with(c, &vu, NULL);
	for (uint32_t i = 0; i < vu.n_regions && i < 64; i++)
		for (size_t k = 0; k < 2; k++) {
			struct vu_body b = question(with_fds[k], 4096, i);

			check_did(c, "asked command %u of region %u; max_msg_fds was not specified",
				  with_fds[k], i);
			if (!vu_call(&vu, with_fds[k], &b) && vu.in.n_fds > 1)
				check_fail(c, "max_msg_fds is assumed to be 1", "%d descriptors",
					   vu.in.n_fds);
		}
}
