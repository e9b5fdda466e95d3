/* SPDX-License-Identifier: BSD-3-Clause */
/* A device at work goes on working where it is to; and what it says when it is set up anew. */
#include <stdlib.h>
#include <string.h>

#include "check/watch.h"

#define PIECE (64u << 10)

void check_works_in_precopy(struct check_context *c)
{
	struct vmig_session *session;
	struct check_memory memory;

	check_work_begin(c, &memory);
	check_work_must(c, &memory);
	session = check_enter(c, VMIG_STATE_PRE_COPY);
	check_did(c, "watched the memory of a device at work in PRE_COPY");
	if (!check_work_seen(c, &memory))
		check_fail(c, "the device goes on writing to memory", "nothing within %u ms",
			   check_patience(c));
	vmig_session_close(session);
	check_memory_done(&memory);
}

void check_works_again(struct check_context *c)
{
	struct check_memory memory;

	check_work_begin(c, &memory);
	check_work_must(c, &memory);
	check_work_stop(c);
	check_work_run(c);
	check_did(c, "took a device at work to STOP and to RUNNING again, and watched its memory");
	if (!check_work_seen(c, &memory))
		check_fail(c, "the device goes on writing to memory", "nothing within %u ms",
			   check_patience(c));
	check_memory_done(&memory);
}

/* --- new initial data ----------------------------------------------------------------------------- */

static struct vmig_precopy sizes(struct check_context *c, struct vmig_session *session)
{
	struct vmig_precopy ret;
	int r = vmig_session_query_precopy(session, &ret);

	if (r)
		check_fail(c, "the sizes can be asked for in PRE_COPY", "%s", strerror(-r));
	return ret;
}

/* To the end for now. */
static void drain(struct check_context *c, struct vmig_session *session)
{
	struct check_bytes bytes = { 0 };

	check_read(c, session, PIECE, &bytes);
	free(bytes.data);
}

static void set_up_again(struct check_context *c)
{
	int r = c->target->driver->set_up_again(c->work);

	if (r)
		check_fail(c, "a device in PRE_COPY serves its driver", "%s", strerror(-r));
}

void check_reinit(struct check_context *c)
{
	struct vmig_session *session;
	struct check_memory memory;
	struct vmig_precopy now;

	if (!(c->info.has & VMIG_HAS_REINIT))
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device never has new initial data");
	if (!c->target->driver->set_up_again)
		check_end(c, CHECK_SKIPPED, "", "its driver has nothing to change of the device");
	check_work_begin(c, &memory);
	check_work_must(c, &memory);
	session = check_enter(c, VMIG_STATE_PRE_COPY);
	drain(c, session);
	(void)sizes(c, session);
	set_up_again(c);
	now = sizes(c, session);
	check_did(c, "set the device up anew in PRE_COPY, and asked for the sizes");
	if (!(now.flags & VMIG_PRECOPY_REINIT))
		check_end(c, CHECK_SKIPPED, "", "the device tells of no new initial data then");
	if (now.dirty_bytes)
		check_fail(c, "dirty_bytes is reset to zero when new initial data are told of", "%llu",
			   (unsigned long long)now.dirty_bytes);
	drain(c, session);
	now = sizes(c, session);
	check_did(c, "read the new initial data");
	if (now.initial_bytes && !(now.flags & VMIG_PRECOPY_REINIT))
		check_fail(c, "initial_bytes shrinks to zero as it is read", "%llu",
			   (unsigned long long)now.initial_bytes);
	vmig_session_close(session);
	check_memory_done(&memory);
}
