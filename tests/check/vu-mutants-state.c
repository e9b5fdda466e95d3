/* SPDX-License-Identifier: BSD-3-Clause */
/* Mutants of device states and of their data. */
#include <errno.h>
#include <string.h>

#include "vu-mutant.h"

enum { S_ERROR, S_STOP, S_RUNNING, S_STOP_COPY, S_RESUMING, S_RUNNING_P2P, S_PRE_COPY };

/* --- states ---------------------------------------------------------------------------------------------- */

static bool late(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is_feature(m, GET | STATE) && !vu_seen_failed(m) && vu_seen_u32(m, 8) == S_RUNNING_P2P)
		vu_seen_set32(m, PAYLOAD + 8, S_STOP);
	return true;
}

static bool takes(struct vu_proxy *p, struct vu_seen *m, uint32_t state)
{
	bool it = vu_is_feature(m, SET | STATE) && m->len == PAYLOAD + 16 && vu_seen_u32(m, 8) == state;

	return it ? VU_SUCCEED(p, m, m->at + PAYLOAD, 16) : true;
}

static bool take_error(struct vu_proxy *p, struct vu_seen *m)
{
	return takes(p, m, S_ERROR);
}

static bool take_pre_copy(struct vu_proxy *p, struct vu_seen *m)
{
	return takes(p, m, S_PRE_COPY);
}

static bool take_any(struct vu_proxy *p, struct vu_seen *m)
{
	return takes(p, m, 100);
}

static bool take_back(struct vu_proxy *p, struct vu_seen *m)
{
	return p->state == S_STOP_COPY ? takes(p, m, S_PRE_COPY) : true;
}

/* An error that no reset ends. */
static bool reset_of_nothing(struct vu_proxy *p, struct vu_seen *m)
{
	return vu_is(m, C_RESET) && p->n ? VU_SUCCEED(p, m, NULL, 0) : true;
}

static bool error_for_ever(struct vu_proxy *p, struct vu_seen *m)
{
	p->n |= vu_is_feature(&p->last, SET | STATE) && vu_is(m, C_FEATURE) && vu_seen_failed(m) &&
		p->state == S_RESUMING && !p->n_writes;
	if (p->n && vu_is_feature(m, GET | STATE))
		vu_seen_set32(m, PAYLOAD + 8, S_ERROR);
	return true;
}

/* --- data ------------------------------------------------------------------------------------------------ */

static bool is_read(const struct vu_seen *m, uint32_t size)
{
	return vu_is(m, C_DATA_READ) && m->len == PAYLOAD + 8 && (!size || vu_seen_u32(m, 4) == size);
}

static bool no_data(struct vu_proxy *p, struct vu_seen *m)
{
	const uint32_t none[2] = { 8, 0 };

	return VU_SUCCEED(p, m, none, sizeof(none));
}

static bool read_in_running(struct vu_proxy *p, struct vu_seen *m)
{
	return is_read(m, 4096) && !p->n_states ? no_data(p, m) : true;
}

static bool write_in_running(struct vu_proxy *p, struct vu_seen *m)
{
	bool it = vu_is(m, C_DATA_WRITE) && m->len == PAYLOAD + 24 && !p->n_states;

	return it ? VU_SUCCEED(p, m, NULL, 0) : true;
}

static bool read_on_in_stop(struct vu_proxy *p, struct vu_seen *m)
{
	return is_read(m, 4096) && p->had_stop_copy && p->state == S_STOP ? no_data(p, m) : true;
}

static bool is_reply(const struct vu_proxy *p, const struct vu_seen *m, uint32_t size)
{
	return vu_is(m, C_DATA_READ) && !vu_seen_failed(m) && vu_seen_u32(&p->last, 4) == size;
}

static bool argsz_of_data(struct vu_proxy *p, struct vu_seen *m)
{
	if (is_reply(p, m, 1000))
		vu_seen_set32(m, PAYLOAD, vu_seen_u32(m, 4));
	return true;
}

static bool pad(struct vu_proxy *p, struct vu_seen *m)
{
	uint8_t more[80] = { 0 };

	if (!is_reply(p, m, 64) || m->len > PAYLOAD + 72)
		return true;
	memcpy(more, m->at + PAYLOAD, m->len - PAYLOAD);
	vu_seen_payload(m, more, sizeof(more));
	return true;
}

static bool more_behind_end(struct vu_proxy *p, struct vu_seen *m)
{
	const uint8_t one[9] = { 9, 0, 0, 0, 1 };

	if (!vu_is(m, C_DATA_READ) || vu_seen_failed(m) || p->state != S_STOP_COPY) {
		p->n = 0;
		return true;
	}
	if (p->n)
		vu_seen_payload(m, one, sizeof(one));
	p->n = vu_seen_u32(m, 4) < vu_seen_u32(&p->last, 4);
	return true;
}

static bool read_beyond_argsz(struct vu_proxy *p, struct vu_seen *m)
{
	if (is_read(m, 4096) && vu_seen_u32(m, 0) == 24)
		vu_seen_set32(m, PAYLOAD, 8 + 4096);
	return true;
}

static bool refuse(struct vu_proxy *p, struct vu_seen *m)
{
	vu_fail(p, m, EINVAL);
	return false;
}

static bool no_pre_copy_data(struct vu_proxy *p, struct vu_seen *m)
{
	return is_read(m, 0) && p->state == S_PRE_COPY ? refuse(p, m) : true;
}

static bool write_payload(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_DATA_WRITE) && !vu_seen_failed(m) && vu_seen_u32(&p->last, 4) == 333)
		vu_seen_payload(m, "0123", 4);
	return true;
}

static bool small_writes(struct vu_proxy *p, struct vu_seen *m)
{
	return vu_is(m, C_DATA_WRITE) && m->len > 8192 ? refuse(p, m) : true;
}

static bool take_half(struct vu_proxy *p, struct vu_seen *m)
{
	bool it = vu_is(m, C_FEATURE) && vu_seen_failed(m) && vu_is_feature(&p->last, SET | STATE) &&
		  p->state == S_RESUMING && p->n_writes;

	return it ? VU_SUCCEED(p, m, p->last.at + PAYLOAD, 16) : true;
}

const struct vu_mutant vu_mutants_state[] = {
	{ "says-stop-in-running-p2p", .reply = late },
	{ "takes-error", .request = take_error },
	{ "takes-a-state-it-lacks", .request = take_pre_copy, .spec = "nic,state=16K,precopy=off" },
	{ "takes-any-state", .request = take_any },
	{ "takes-the-way-back", .request = take_back },
	{ "error-for-ever", .request = reset_of_nothing, .reply = error_for_ever },
	{ "reads-in-running", .request = read_in_running },
	{ "writes-in-running", .request = write_in_running },
	{ "reads-on-in-stop", .request = read_on_in_stop },
	{ "argsz-of-the-data", .reply = argsz_of_data },
	{ "pads-data", .reply = pad },
	{ "data-behind-the-end", .reply = more_behind_end },
	{ "data-beyond-argsz", .request = read_beyond_argsz },
	{ "no-data-in-pre-copy", .request = no_pre_copy_data },
	{ "write-with-payload", .reply = write_payload },
	{ "small-writes-only", .request = small_writes },
	{ "takes-half-the-data", .reply = take_half },
	{ 0 },
};
