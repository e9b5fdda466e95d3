/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a connection of a session begins. All numbers are little-endian.
 *
 *	dials                                                           answers
 *	"VMIGRSM1", u64 0: new, 1: again, id, nonce, key (of a new one,
 *	else 0), u64 received                                      ->
 *	                             <-   "VMIGRSM1", u64 0: yes, 1: no such session, nonce, u64 received, proof
 *	proof                                                      ->
 *
 * A proof is HMAC-SHA256 with the session's key over who gives it and both messages. The key is told once, when the
 * session begins: who can read that can read the migration as well, and whom that worries has TLS below this.
 */
#include <endian.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <string.h>

#include "base/fault.h"
#include "channel/provider.h"
#include "channel/resume.h"

#define NONCE 16u
#define PROOF 32u
#define HELLO 80u /* magic, u64, id, nonce, key, u64, 8 that are 0 */
#define HEAD  40u /* of the answer: magic, u64, nonce, u64 */

static const uint8_t magic[8] = { 'V', 'M', 'I', 'G', 'R', 'S', 'M', '1' };

static void put_u64(uint8_t *to, uint64_t value)
{
	value = htole64(value);
	memcpy(to, &value, sizeof(value));
}

static uint64_t get_u64(const uint8_t *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return le64toh(value);
}

static int send_bytes(struct vmig_channel *lower, const void *bytes, size_t len)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };

	return vmig_channel_send(lower, &iov, 1);
}

static int recv_bytes(struct vmig_channel *lower, void *bytes, size_t len)
{
	for (size_t at = 0; at < len;) {
		struct iovec iov = { .iov_base = (uint8_t *)bytes + at, .iov_len = len - at };
		ssize_t n = vmig_channel_recv(lower, &iov, 1);

		if (n <= 0)
			return n ? (int)n : -ECONNRESET;
		/* Somebody who speaks otherwise is seen at once, and not waited for. */
		if (!at && memcmp(bytes, magic, MIN((size_t)n, MIN(len, sizeof(magic)))) && len != PROOF)
			return -EPROTO;
		at += (size_t)n;
	}
	return 0;
}

static int prove(const uint8_t key[VMIG_RESUME_KEY], char who, const uint8_t hello[HELLO],
		 const uint8_t head[HEAD], uint8_t ret[PROOF])
{
	uint8_t text[1 + HELLO + HEAD];

	text[0] = (uint8_t)who;
	memcpy(text + 1, hello, HELLO);
	/* The key itself is no part of it: the text is told. */
	memset(text + 1 + 48, 0, VMIG_RESUME_KEY);
	memcpy(text + 1 + HELLO, head, HEAD);
	return gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, VMIG_RESUME_KEY, text, sizeof(text), ret) ? -EIO : 0;
}

static int check(const uint8_t key[VMIG_RESUME_KEY], char who, const uint8_t hello[HELLO],
		 const uint8_t head[HEAD], const uint8_t given[PROOF])
{
	uint8_t right[PROOF];
	int r = prove(key, who, hello, head, right);

	if (r)
		return r;
	return gnutls_memcmp(right, given, PROOF) ? -EACCES : 0;
}

static int say(struct vmig_error *error, const char *where, int r)
{
	switch (-r) {
	case EPROTO:
		return vmig_fault(error, r, where,
				  "the other end does not speak as one that reconnects: give "
				  "--reconnect to both ends, or to neither");
	case EACCES:
		return vmig_fault(error, r, where, "the other end is not the one of this session");
	case ESTALE:
		return vmig_fault(error, r, where, "the other end does not know this session any more");
	default:
		return vmig_fault(error, r, where, "no agreement on a session: %s", strerror(-r));
	}
}

static void put_hello(uint8_t hello[HELLO], const struct vmig_resume_terms *terms)
{
	memset(hello, 0, HELLO);
	memcpy(hello, magic, sizeof(magic));
	put_u64(hello + 8, terms->again);
	memcpy(hello + 16, terms->id, VMIG_RESUME_ID);
	gnutls_rnd(GNUTLS_RND_NONCE, hello + 32, NONCE);
	if (!terms->again)
		memcpy(hello + 48, terms->key, VMIG_RESUME_KEY);
	put_u64(hello + 64, terms->received);
}

static int shake_out(struct vmig_channel *lower, struct vmig_resume_terms *terms)
{
	uint8_t hello[HELLO], answer[HEAD + PROOF], proof[PROOF];
	int r;

	put_hello(hello, terms);
	r = send_bytes(lower, hello, sizeof(hello));
	if (!r)
		r = recv_bytes(lower, answer, sizeof(answer));
	if (r)
		return r;
	if (get_u64(answer + 8))
		return -ESTALE;
	r = check(terms->key, 'A', hello, answer, answer + HEAD);
	if (!r)
		r = prove(terms->key, 'D', hello, answer, proof);
	if (!r)
		r = send_bytes(lower, proof, sizeof(proof));
	terms->has = get_u64(answer + 32);
	return r;
}

int vmig_resume_shake_out(struct vmig_channel *lower, uint32_t ms, struct vmig_resume_terms *terms,
			  const char *where, struct vmig_error *error)
{
	int r;

	vmig_channel_set_timeout(lower, ms);
	r = shake_out(lower, terms);
	return r ? say(error, where, r) : 0;
}

int vmig_resume_shake_in(struct vmig_channel *lower, uint32_t ms, struct vmig_resume_guest *guest,
			 struct vmig_resume_terms *ret, const char *where, struct vmig_error *error)
{
	int r;

	_Static_assert(sizeof(guest->hello) == HELLO, "the guest's hello");
	vmig_channel_set_timeout(lower, ms);
	r = recv_bytes(lower, guest->hello, HELLO);
	if (!r && get_u64(guest->hello + 8) > 1)
		r = -EPROTO;
	if (r)
		return say(error, where, r);
	memset(ret, 0, sizeof(*ret));
	ret->again = get_u64(guest->hello + 8);
	memcpy(ret->id, guest->hello + 16, VMIG_RESUME_ID);
	memcpy(ret->key, guest->hello + 48, VMIG_RESUME_KEY);
	ret->has = get_u64(guest->hello + 64);
	return 0;
}

static int answer(struct vmig_channel *lower, const struct vmig_resume_guest *guest, bool known,
		  const struct vmig_resume_terms *terms)
{
	uint8_t ours[HEAD + PROOF] = { 0 }, theirs[PROOF];
	int r = 0;

	memcpy(ours, magic, sizeof(magic));
	put_u64(ours + 8, !known);
	gnutls_rnd(GNUTLS_RND_NONCE, ours + 16, NONCE);
	put_u64(ours + 32, known ? terms->received : 0);
	if (known)
		r = prove(terms->key, 'A', guest->hello, ours, ours + HEAD);
	if (!r)
		r = send_bytes(lower, ours, sizeof(ours));
	if (!r && !known)
		r = -ESTALE;
	if (!r)
		r = recv_bytes(lower, theirs, sizeof(theirs));
	return r ? r : check(terms->key, 'D', guest->hello, ours, theirs);
}

int vmig_resume_shake_answer(struct vmig_channel *lower, const struct vmig_resume_guest *guest, bool known,
			     const struct vmig_resume_terms *terms, const char *where,
			     struct vmig_error *error)
{
	int r = answer(lower, guest, known, terms);

	if (r == -ESTALE)
		return vmig_fault(error, r, where, "somebody came back to a session that is not known here");
	return r ? say(error, where, r) : 0;
}
