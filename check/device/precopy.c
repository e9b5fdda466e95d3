/* SPDX-License-Identifier: BSD-3-Clause */
/* The sizes: VFIO_MIG_GET_PRECOPY_INFO and VFIO_DEVICE_FEATURE_MIG_DATA_SIZE; what a drained session says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/context.h"

#define PIECE      65536u
#define ROUNDS_MAX 64

static struct vmig_precopy query(struct check_context *c, struct vmig_session *session)
{
	struct vmig_precopy info = { 0 };
	int r = vmig_session_query_precopy(session, &info);

	if (r)
		check_fail(c, "VFIO_MIG_GET_PRECOPY_INFO succeeds in PRE_COPY states", "%s", strerror(-r));
	return info;
}

static struct vmig_session *begin(struct check_context *c)
{
	return check_session(c, VMIG_STATE_PRE_COPY);
}

void check_info_there(struct check_context *c)
{
	struct vmig_session *session;

	/* The text of vfio-user has no such query. */
	if (!(c->info.has & VMIG_HAS_PRECOPY_INFO) && (c->info.traits & VMIG_TRAIT_SHORT_READ_ENDS))
		check_end(c, CHECK_NOT_APPLICABLE, "", "plain vfio-user has no such query");
	session = begin(c);
	check_did(c, "asked for the sizes in PRE_COPY");
	query(c, session);
	if (check_has_state(c, VMIG_STATE_PRE_COPY_P2P)) {
		check_go(c, VMIG_STATE_PRE_COPY_P2P);
		check_did(c, "asked for the sizes in PRE_COPY_P2P");
		query(c, session);
	}
	vmig_session_close(session);
}

void check_info_outside(struct check_context *c)
{
	struct vmig_session *session = check_session(c, VMIG_STATE_STOP_COPY);
	struct vmig_precopy info;
	int r;

	check_did(c, "asked for the sizes of pre-copy in STOP_COPY");
	r = vmig_session_query_precopy(session, &info);
	if (r != -EINVAL)
		check_fail(c, "EINVAL", "%s", r ? strerror(-r) : "it succeeds");
	vmig_session_close(session);
}

void check_initial(struct check_context *c)
{
	struct vmig_session *session = begin(c);

	check_did(c, "asked for the sizes as the first thing in PRE_COPY");
	if (!query(c, session).initial_bytes)
		check_fail(c, "initial_bytes is not zero at first", "it is");
	vmig_session_close(session);
}

/* Read about half of what there is. */
static size_t read_some(struct check_context *c, struct vmig_session *session, uint64_t want)
{
	static uint8_t buf[PIECE];
	size_t have = 0;

	while (have < want) {
		uint64_t left = want - have;
		struct iovec iov = { buf, left < sizeof(buf) ? (size_t)left : sizeof(buf) };
		ssize_t got = vmig_session_readv(session, &iov, 1);

		if (got == -ENOMSG)
			break;
		if (got <= 0)
			check_fail(c, "initial data can be read", "%s",
				   got ? strerror((int)-got) : "0 in PRE_COPY");
		have += (size_t)got;
	}
	return have;
}

void check_initial_shrinks(struct check_context *c)
{
	struct vmig_session *session = begin(c);
	struct vmig_precopy first = query(c, session), then;
	struct check_bytes rest = { 0 };

	check_did(c,
		  "read half of initial_bytes (%llu), asked, read until there was no more, and asked again",
		  (unsigned long long)first.initial_bytes);
	read_some(c, session, first.initial_bytes / 2 + 1);
	then = query(c, session);
	if (!(then.flags & VMIG_PRECOPY_REINIT) && then.initial_bytes > first.initial_bytes)
		check_fail(c, "initial_bytes shrinks as data are read", "from %llu to %llu",
			   (unsigned long long)first.initial_bytes, (unsigned long long)then.initial_bytes);
	check_read(c, session, PIECE, &rest);
	then = query(c, session);
	if (!(then.flags & VMIG_PRECOPY_REINIT) && then.initial_bytes)
		check_fail(c, "initial_bytes is zero when all of it has been read", "%llu of %llu",
			   (unsigned long long)then.initial_bytes, (unsigned long long)first.initial_bytes);
	vmig_session_close(session);
	free(rest.data);
}

/* A device that somebody uses may have changed in between. */
void check_dirty_zero(struct check_context *c)
{
	struct vmig_session *session = begin(c);
	uint64_t dirty;

	check_did(c, "asked for the sizes as the first thing in PRE_COPY");
	dirty = query(c, session).dirty_bytes;
	if (dirty)
		check_observe(c, "dirty_bytes starts at zero (a busy device may have changed since)", "%llu",
			      (unsigned long long)dirty);
	vmig_session_close(session);
}

void check_drained(struct check_context *c)
{
	struct vmig_session *session = begin(c);
	struct check_bytes bytes = { 0 };

	check_did(c, "read in PRE_COPY until there was no more");
	if (check_read(c, session, PIECE, &bytes) != -ENOMSG)
		check_fail(c, "ENOMSG from read() where there is nothing for now", "0 after %zu bytes",
			   bytes.len);
	check_in_state(c, VMIG_STATE_PRE_COPY);
	vmig_session_close(session);
	free(bytes.data);
}

/* Both zero is the temporary end of the stream; asking may start a round, so what is read belongs to the last answer. */
void check_both_zero(struct check_context *c)
{
	struct vmig_session *session = begin(c);
	struct vmig_precopy info = { 0 };
	struct check_bytes bytes = { 0 };
	int i;

	for (i = 0; i < ROUNDS_MAX; i++) {
		info = query(c, session);
		if (!info.initial_bytes && !info.dirty_bytes)
			break;
		check_read(c, session, PIECE, &bytes);
	}
	if (i == ROUNDS_MAX)
		check_end(c, CHECK_SKIPPED, "",
			  "the device changes all the time: its sizes do not come to zero");
	check_did(c, "read when initial_bytes and dirty_bytes were both zero");
	bytes.len = 0;
	if (check_read(c, session, PIECE, &bytes) != -ENOMSG)
		check_fail(c, "ENOMSG", "0: the end of the stream, in PRE_COPY");
	if (bytes.len)
		check_observe(c, "ENOMSG (a busy device may have changed since)", "%zu bytes", bytes.len);
	vmig_session_close(session);
	free(bytes.data);
}

void check_size_everywhere(struct check_context *c)
{
	for (uint32_t state = VMIG_STATE_STOP; state < VMIG_STATE_NR; state++) {
		struct vmig_session *session;
		uint64_t size;
		int r;

		if (!check_has_state(c, state))
			continue;
		session = check_bring(c, state);
		check_did(c, "asked for the length of stop-copy in %s", check_state_name(state));
		r = vmig_device_query_stop_copy_size(c->dev, &size);
		if (r)
			check_fail(c, "an estimate, in every state", "%s", strerror(-r));
		vmig_session_close(session);
	}
}

/* It is an estimate, but one that is far too low makes a downtime that nobody planned for. */
void check_size_near(struct check_context *c)
{
	struct check_bytes bytes;
	uint64_t size;
	int r;

	check_go(c, VMIG_STATE_STOP);
	r = vmig_device_query_stop_copy_size(c->dev, &size);
	if (r)
		check_fail(c, "an estimate in STOP", "%s", strerror(-r));
	check_save(c, PIECE, &bytes);
	check_did(c, "compared stop_copy_length (%llu) with what was read", (unsigned long long)size);
	if (size < bytes.len / 2 || size / 2 > bytes.len)
		check_observe(c, "an estimate that is not off by more than a factor of two",
			      "%zu bytes were read", bytes.len);
	free(bytes.data);
}
