/* SPDX-License-Identifier: BSD-3-Clause */
/* Mutants of VERSION, of headers, and of what is done about messages that are not good. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vu-mutant.h"

/* --- VERSION ----------------------------------------------------------------------------------------- */

static bool serve_before_version(struct vu_proxy *p, struct vu_seen *m)
{
	const uint32_t info[4] = { 16, 3, 9, 5 };

	if (p->versioned || vu_is(m, C_VERSION))
		return true;
	vu_succeed(p, m, info, sizeof(info));
	p->versioned = true;
	return false;
}

static bool any_major(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_VERSION))
		vu_seen_set16(m, PAYLOAD, 0);
	return true;
}

static bool higher_minor(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_VERSION))
		vu_seen_set16(m, PAYLOAD + 2, 1);
	return true;
}

static void version_of(struct vu_seen *m, const char *json, size_t len)
{
	uint8_t out[1024] = { 0 };

	memcpy(out + 4, json, len);
	vu_seen_payload(m, out, 4 + len);
}

static bool full_list(struct vu_proxy *p, struct vu_seen *m)
{
	static const char all[] =
		"{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576,\"pgsizes\":4096}}";

	if (vu_is(m, C_VERSION) && !vu_seen_failed(m))
		version_of(m, all, sizeof(all));
	return true;
}

static bool needs_capabilities(struct vu_proxy *p, struct vu_seen *m)
{
	if (!vu_is(m, C_VERSION) || !vu_seen_has(m, "{}") || vu_seen_has(m, "capabilities"))
		return true;
	vu_fail(p, m, EINVAL);
	return false;
}

static bool remember_proposal(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_VERSION))
		p->n = vu_seen_has(m, "pgsizes");
	return true;
}

static bool no_nul(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_VERSION) && p->n) {
		m->len--;
		vu_seen_set32(m, 4, (uint32_t)m->len);
	}
	return true;
}

static bool number_as_text(struct vu_proxy *p, struct vu_seen *m)
{
	static const char all[] = "{\"capabilities\":{\"pgsizes\":\"4096\"}}";

	if (vu_is(m, C_VERSION) && p->n)
		version_of(m, all, sizeof(all));
	return true;
}

static bool refuse_unknown(struct vu_proxy *p, struct vu_seen *m)
{
	if (!vu_is(m, C_VERSION) || !vu_seen_has(m, "x-check"))
		return true;
	vu_fail(p, m, EINVAL);
	return false;
}

static bool unasked_twin(struct vu_proxy *p, struct vu_seen *m)
{
	/* Only to a VERSION that has asked for little: the user that looks at it. */
	if (vu_is(m, C_VERSION) && !p->n && m->n_fds == 0 && vu_seen_has(m, "max_msg_fds"))
		m->fds[m->n_fds++] = dup(p->user);
	return true;
}

static bool twin_index(struct vu_proxy *p, struct vu_seen *m)
{
	char *at = vu_is(m, C_VERSION) ? memmem(m->at, m->len, "fd_index\":", 10) : NULL;

	if (at)
		at[10] = '7';
	return true;
}

static bool remember_bare(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_VERSION))
		p->n = m->len == PAYLOAD + 4;
	return true;
}

static bool many_fds(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_REGION_INFO) && p->n && !vu_seen_failed(m))
		for (int i = 0; i < 2; i++)
			m->fds[m->n_fds++] = dup(p->user);
	return true;
}

/* --- headers ------------------------------------------------------------------------------------------- */

/* 0x8000 is an ID that a user who counts does not come to. */
static bool wrong_id(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_seen_id(m) == 0x8000)
		vu_seen_set16(m, 0, 0x8001);
	return true;
}

static bool wrong_command(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_seen_id(m) == 0x8000)
		vu_seen_set16(m, 2, 0);
	return true;
}

static bool odd_flags(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_seen_id(m) == 0x8000)
		vu_seen_set32(m, 8, 0x11);
	return true;
}

static bool unique_ids(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_GET_INFO) && vu_seen_id(m) == 7 && p->n++)
		vu_seen_set16(m, 0, (uint16_t)(7 + p->n));
	return true;
}

static bool reply_anyway(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_GET_INFO) && vu_seen_flags(m) == 0x10)
		vu_seen_set32(m, 8, 0);
	return true;
}

static bool forget_without_reply(struct vu_proxy *p, struct vu_seen *m)
{
	return !vu_is(m, C_DMA_MAP) || !(vu_seen_flags(m) & 0x10);
}

/* Nothing to write is nothing to say. */
static bool no_answer_to_nothing(struct vu_proxy *p, struct vu_seen *m)
{
	if (!vu_is(m, C_WRITE_MULTI) || vu_seen_u64(m, 0))
		return true;
	vu_hang_up(p);
	return false;
}

static bool error_with_payload(struct vu_proxy *p, struct vu_seen *m)
{
	const uint32_t more[4] = { 16, 0, 4000, 0 };

	if (vu_is(m, C_IRQ_INFO) && vu_seen_failed(m))
		vu_seen_payload(m, more, sizeof(more));
	return true;
}

static bool last_first(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_GET_INFO) && vu_seen_id(m) == 100) {
		vu_seen_copy(&p->held, m);
		return false;
	}
	if (p->held.len && vu_seen_id(m) == 101) {
		vu_send_on(p->server, m);
		vu_send_on(p->server, &p->held);
		p->held.len = 0;
		return false;
	}
	return true;
}

static bool one_piece(struct vu_proxy *p, struct vu_seen *m)
{
	if (p->words[3] == 1)
		return true;
	vu_hang_up(p);
	return false;
}

static bool echo_argsz_asked(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_GET_INFO))
		p->words[0] = vu_seen_u32(m, 0);
	return true;
}

static bool echo_argsz(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_GET_INFO) && !vu_seen_failed(m) && p->words[0] == 64)
		vu_seen_set32(m, PAYLOAD, 64);
	return true;
}

static bool all_that_is_there(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_REGION_INFO) && vu_seen_u32(m, 0) == 32)
		vu_seen_set32(m, PAYLOAD, 4096);
	return true;
}

/* --- what no good user sends ------------------------------------------------------------------------------ */

static bool any_command(struct vu_proxy *p, struct vu_seen *m)
{
	if (!vu_is(m, 99))
		return true;
	vu_succeed(p, m, NULL, 0);
	return false;
}

static bool any_size(struct vu_proxy *p, struct vu_seen *m)
{
	uint32_t size;

	memcpy(&size, m->at + 4, 4);
	if (size != 15)
		return true;
	vu_succeed(p, m, NULL, 0);
	return false;
}

enum { HURT = 0, LEFT = 3 };

static bool hurt_by_headers(struct vu_proxy *p, struct vu_seen *m)
{
	uint32_t size;

	memcpy(&size, m->at + 4, 4);
	vu_mutant_memory[HURT] |= size == 1u << 30;
	if (!vu_is(m, C_VERSION) || !vu_mutant_memory[HURT])
		return true;
	vu_fail(p, m, EBUSY);
	return false;
}

static bool hurt_by_ends(struct vu_proxy *p, struct vu_seen *m)
{
	if (!vu_is(m, C_VERSION) || !vu_mutant_memory[LEFT])
		return true;
	vu_fail(p, m, EBUSY);
	return false;
}

/* A state that is not there is the last one. */
static bool part_of_a_state(struct vu_proxy *p, struct vu_seen *m)
{
	if (!vu_is(m, C_FEATURE) || m->len != PAYLOAD + 8 || vu_seen_u32(m, 4) != (1u << 17 | 2))
		return true;
	vu_succeed(p, m, m->at + PAYLOAD, 8);
	return false;
}

static bool keep_fds(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_GET_INFO) && m->n_fds)
		(void)!dup(m->fds[0]);
	return true;
}

static bool reset_payload(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_RESET) && !vu_seen_failed(m))
		vu_seen_payload(m, "0123", 4);
	return true;
}

const struct vu_mutant vu_mutants_frame[] = {
	{ "serves-before-version", .request = serve_before_version },
	{ "any-major", .request = any_major },
	{ "higher-minor", .reply = higher_minor },
	{ "full-list", .reply = full_list },
	{ "needs-capabilities", .request = needs_capabilities },
	{ "no-nul", .request = remember_proposal, .reply = no_nul },
	{ "number-as-text", .request = remember_proposal, .reply = number_as_text },
	{ "refuses-unknown-capabilities", .request = refuse_unknown },
	{ "unasked-twin", .request = remember_proposal, .reply = unasked_twin },
	{ "twin-index", .reply = twin_index },
	{ "many-descriptors", .request = remember_bare, .reply = many_fds },
	{ "wrong-id", .reply = wrong_id },
	{ "wrong-command", .reply = wrong_command },
	{ "odd-flags", .reply = odd_flags },
	{ "unique-ids", .reply = unique_ids },
	{ "replies-anyway", .request = reply_anyway },
	{ "forgets-without-reply", .request = forget_without_reply },
	{ "no-answer-to-nothing", .request = no_answer_to_nothing },
	{ "error-with-payload", .reply = error_with_payload },
	{ "last-first", .request = last_first },
	{ "header-in-one-piece", .request = one_piece },
	{ "echoes-argsz", .request = echo_argsz_asked, .reply = echo_argsz },
	{ "ignores-argsz", .request = all_that_is_there, .v1 = true },
	{ "any-command", .request = any_command },
	{ "any-size", .request = any_size },
	{ "hurt-by-headers", .request = hurt_by_headers },
	{ "hurt-by-ends", .request = hurt_by_ends },
	{ "a-part-of-a-state", .request = part_of_a_state },
	{ "keeps-descriptors", .request = keep_fds },
	{ "reset-with-payload", .reply = reset_payload },
	{ 0 },
};
