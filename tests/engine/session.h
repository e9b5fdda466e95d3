/* SPDX-License-Identifier: BSD-3-Clause */
/** session - what a source once sent, record by record, to be sent again with one thing changed. */
#ifndef VMIG_TESTS_ENGINE_SESSION_H
#define VMIG_TESTS_ENGINE_SESSION_H

#include "../stream/made.h"

#define SESSION_RECORDS 256

struct session {
	uint8_t *bytes; /* as they were */
	size_t len;
	uint8_t attempt[16];
	struct vmig_record records[SESSION_RECORDS];
	const uint8_t *payloads[SESSION_RECORDS];
	uint32_t n;
};

struct vmig_channel;
/** Around *@channel, which is replaced: keeps all that is sent, until session_take() after the channel is closed. */
void session_record(struct session *session, struct vmig_channel **channel);
/** Take apart what was kept. */
void session_take(struct session *session);
void session_done(struct session *session);

/** Where in its bytes the last OFFER ends: a source waits for the answer there. */
size_t session_offers_end(const struct session *session);
/** Read what the other end says until it says this, or ends. */
void session_hear(struct vmig_channel *channel, uint32_t type);

/** A stream of the same attempt with the first @n records as they were. */
void session_begin(const struct session *session, uint32_t n, struct made *ret);

#endif
