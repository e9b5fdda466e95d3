/* SPDX-License-Identifier: BSD-3-Clause */
/* What no good user sends. It may be answered by an error or by the end of the connection; the server must be there after. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"
#include "vu.h"

void vu_unknown_command(struct check_context *c)
{
	static const uint16_t unknown[] = { 0, 19, 99, 0xffff };
	struct vu_body b = { 0 };
	struct vu vu;

	vu_start(c, &vu);
	vu_64(&b, 0);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		check_did(c, "sent command %u", unknown[i]);
		if (!vu_call(&vu, unknown[i], &b))
			check_observe(c, "an error to a command that is not there", "it succeeded");
		if (vu.closed)
			check_observe(c, "an error to a command that is not there",
				      "the connection was closed");
	}
	vu_must_live(&vu);
}

/* --- headers ------------------------------------------------------------------------------------------- */

static const struct odd {
	const char *what;
	uint32_t size, flags;
} odds[] = {
	{ "a size of 0", 0, 0 },
	{ "a size below that of the header", 15, 0 },
	{ "a size of 4 GiB", 0xffffffff, 0 },
	{ "a size of 1 GiB", 1u << 30, 0 },
	{ "a type that is neither command nor reply", 32, 2 },
	{ "a reply that nobody has asked for", 16, VU_REPLY },
};

/* Whoever waits for the rest of a message gets its end instead. */
static void send_odd(struct vu *vu, const struct odd *odd)
{
	const uint8_t payload[16] = { 16 };

	check_did(vu->c, "sent DEVICE_GET_INFO with %s", odd->what);
	vu_send_header(vu, VU_GET_INFO, odd->size, odd->flags);
	if (odd->size == 32)
		vu_send_raw(vu, payload, sizeof(payload), -1);
	shutdown(vu->fd, SHUT_WR);
	if (vu_receive(vu) && !(vu->in.flags & VU_ERROR))
		check_observe(vu->c, "an error, or the end of the connection", "a reply of %u bytes",
			      vu->in.size);
	vu->closed = true;
}

void vu_odd_headers(struct check_context *c)
{
	struct vu vu;

	vu_start(c, &vu);
	for (size_t i = 0; i < sizeof(odds) / sizeof(odds[0]); i++) {
		send_odd(&vu, &odds[i]);
		vu_must_live(&vu);
	}
}

/* --- payloads ------------------------------------------------------------------------------------------ */

static const struct part {
	const char *what;
	uint16_t command;
	uint32_t words[10];
	size_t len; /* bytes that are sent */
} parts[] = {
	{ "DMA_MAP without its size", VU_DMA_MAP, { 32, 3, 0, 0, 0, 64 }, 24 },
	{ "DMA_MAP of nothing", VU_DMA_MAP, { 0 }, 0 },
	{ "DMA_UNMAP without its size", VU_DMA_UNMAP, { 24, 0, 0, 64 }, 16 },
	{ "DEVICE_GET_INFO of 3 bytes", VU_GET_INFO, { 16 }, 3 },
	{ "DEVICE_GET_REGION_INFO without an index", VU_REGION_INFO, { 4096 }, 8 },
	{ "DEVICE_GET_IRQ_INFO without an index", VU_IRQ_INFO, { 16 }, 8 },
	{ "DEVICE_SET_IRQS with 2,000,000 booleans, none there",
	  VU_SET_IRQS,
	  { 20, 0x22, 0, 0, 2000000 },
	  20 },
	{ "REGION_READ without a count", VU_REGION_READ, { 0, 0, 7 }, 12 },
	{ "REGION_WRITE of 4096 bytes, 4 there", VU_REGION_WRITE, { 0x3c, 0, 7, 4096, 0 }, 20 },
	{ "DEVICE_FEATURE of 4 bytes", VU_FEATURE, { 16 }, 4 },
	{ "DEVICE_FEATURE SET of a state, none there", VU_FEATURE, { 16, VU_SET | VU_STATE }, 8 },
	{ "DMA_LOGGING_START with 1000 ranges, none there",
	  VU_FEATURE,
	  { 4096, VU_SET | VU_LOG_START, 4096, 0, 1000, 0 },
	  24 },
	{ "DMA_LOGGING_START with 2^28 ranges, none there",
	  VU_FEATURE,
	  { 24, VU_SET | VU_LOG_START, 4096, 0, 1u << 28, 0 },
	  24 },
	{ "DMA_LOGGING_REPORT of nothing", VU_FEATURE, { 4096, VU_GET | VU_LOG_REPORT }, 8 },
	{ "MIG_DATA_READ of 4 bytes", VU_DATA_READ, { 8 }, 4 },
	{ "MIG_DATA_WRITE of 4096 bytes, none there", VU_DATA_WRITE, { 8 + 4096, 4096 }, 8 },
};

void vu_short_payloads(struct check_context *c)
{
	struct vu vu;

	vu_start(c, &vu);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct vu_body b = { 0 };

		vu_bytes(&b, parts[i].words, parts[i].len);
		check_did(c, "sent %s", parts[i].what);
		if (!vu_call(&vu, parts[i].command, &b))
			check_observe(c, "an error to a payload that is not whole", "it succeeded");
		vu_must_live(&vu);
	}
}

/* --- ends ---------------------------------------------------------------------------------------------- */

static const struct cut {
	const char *what;
	uint16_t command;
	uint32_t size;
	size_t len; /* bytes that are sent of it */
} cuts[] = {
	{ "in a header", VU_GET_INFO, 32, 7 },
	{ "behind a header", VU_GET_INFO, 32, 16 },
	{ "in a payload", VU_DMA_MAP, 48, 30 },
	{ "behind a command, whose reply nobody reads", VU_GET_INFO, 32, 32 },
	{ "in migration data", VU_DATA_WRITE, 24 + 65536, 4000 },
};

void vu_cut_off(struct check_context *c)
{
	uint8_t out[4096] = { 0 };
	struct vu vu;

	vu_start(c, &vu);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		const struct cut *cut = &cuts[i];
		struct vu_body b = { 0 };

		check_did(c, "left %s", cut->what);
		vu_put(&vu, out, 1, cut->command, 0, &b);
		memcpy(out + 4, &cut->size, 4);
		out[16] = 16;
		vu_send_raw(&vu, out, cut->len, -1);
		if (!vu_again(&vu))
			check_end(c, CHECK_NOT_APPLICABLE, "", "the server ends with its user");
		b = vu_version_body(0, 0, NULL);
		vu_must(&vu, VU_VERSION, &b, "the next user is served");
	}
}

void vu_stray_fds(struct check_context *c)
{
	struct vu_body b = { 0 };
	struct vu vu;
	int watch;

	vu_start(c, &vu);
	b.fd = eventfd(0, EFD_CLOEXEC);
	watch = vu_watch(&vu, b.fd);
	vu_32(&b, 16);
	vu_32(&b, 0);
	vu_64(&b, 0);
	check_did(c, "sent DEVICE_GET_INFO with a descriptor");
	(void)vu_call(&vu, VU_GET_INFO, &b);
	close(b.fd);
	vu_must_live(&vu);
	if (vu_is_open(watch))
		check_observe(c, "a descriptor that a command does not take is closed", "it is kept");
}

/* --- reset --------------------------------------------------------------------------------------------- */

void vu_reset(struct check_context *c)
{
	struct vu vu;

	vu_start(c, &vu);
	if (!(vu.device_flags & 1))
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has no reset");
	check_did(c, "sent DEVICE_RESET");
	vu_must(&vu, VU_RESET, NULL, "VFIO_DEVICE_FLAGS_RESET: it supports the message");
	vu_has(&vu, 0, "the reply has no payload");
}
