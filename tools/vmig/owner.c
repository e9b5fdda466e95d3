/* SPDX-License-Identifier: BSD-3-Clause */
/* The ownership record, shown to the operator; and what can be done by hand, which is what the rules allow. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "store.h"

#define TRIES 5 /* of a swap whose outcome is not known, or that another's write was before */

/* --- show --------------------------------------------------------------------------------------- */

struct shown {
	json_t *records; /* NULL: to the terminal, one a line */
	uint32_t n;
};

static json_t *record_json(const struct vmig_ownership *r)
{
	char device[VMIG_UUID_TEXT_MAX], attempt[VMIG_UUID_TEXT_MAX], writer[VMIG_UUID_TEXT_MAX],
		instance[VMIG_UUID_TEXT_MAX];

	return json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s}", "device",
			 vmig_uuid_text(&r->device, device), "phase", vmig_owner_phase_name(r->phase),
			 "owner", r->owner, "epoch", (json_int_t)r->epoch, "peer", r->peer, "attempt",
			 vmig_uuid_text(&r->attempt, attempt), "writer", vmig_uuid_text(&r->writer, writer),
			 "instance", vmig_uuid_text(&r->instance, instance));
}

static int show_one(const struct vmig_ownership *r, void *opaque)
{
	struct shown *shown = opaque;
	char device[VMIG_UUID_TEXT_MAX];

	shown->n++;
	if (shown->records)
		return json_array_append_new(shown->records, record_json(r)) ? -ENOMEM : 0;
	if (!tool_say_quiet())
		printf("%s  %-7s  epoch %llu  owner %s%s%s\n", vmig_uuid_text(&r->device, device),
		       vmig_owner_phase_name(r->phase), (unsigned long long)r->epoch, r->owner,
		       *r->peer ? ", which may be taken over by " : "", r->peer);
	return 0;
}

static int fail_store(int r, const struct vmig_error *error)
{
	return tool_fail(r == -EINVAL || r == -E2BIG ? VMIG_BAD_INPUT : VMIG_IN_DOUBT,
			 "the record cannot be asked: %s", error->text[0] ? error->text : strerror(-r));
}

static int parse_uuids(char *const *words, int n, struct vmig_uuid *ret)
{
	for (int i = 0; i < n; i++)
		if (vmig_uuid_parse(words[i], &ret[i]))
			return tool_fail(VMIG_BAD_INPUT, "'%s' is not the UUID of a device", words[i]);
	return 0;
}

/* 0; or an exit status: it has been said. */
static int read_records(struct vmig_owner *owner, char *const *words, int n, struct vmig_ownership *ret)
{
	struct vmig_uuid *ids = calloc((size_t)n, sizeof(*ids));
	struct vmig_error error = { 0 };
	int r = ids ? parse_uuids(words, n, ids) : tool_fail(VMIG_NOT_DONE, "out of memory"), code;

	if (!r) {
		code = vmig_owner_read(owner, ids, (uint32_t)n, ret, &error);
		r = code ? fail_store(code, &error) : 0;
	}
	free(ids);
	return r;
}

static int show_some(struct vmig_owner *owner, char *const *words, int n, struct shown *shown)
{
	struct vmig_ownership *records = calloc((size_t)n, sizeof(*records));
	int r = records ? read_records(owner, words, n, records) : tool_fail(VMIG_NOT_DONE, "out of memory");
	bool missing = false;

	for (int i = 0; i < n && !r; i++) {
		if (records[i].phase) {
			show_one(&records[i], shown);
		} else {
			missing = true;
			tool_warn("%s: has no record", words[i]);
		}
	}
	free(records);
	return !r && missing ? VMIG_NOT_DONE : r;
}

static int show(const struct tool_options *o, struct vmig_owner *owner)
{
	struct shown shown = { .records = o->json ? json_array() : NULL };
	char store[VMIG_UUID_TEXT_MAX];
	struct vmig_error error = { 0 };
	struct vmig_uuid id;
	json_t *answer;
	int r, code = vmig_owner_query(owner, &id, NULL, &error);

	if (code) {
		json_decref(shown.records);
		return fail_store(code, &error);
	}
	if (o->n_words > 1) {
		r = show_some(owner, o->words + 1, o->n_words - 1, &shown);
	} else {
		code = vmig_owner_list(owner, show_one, &shown, &error);
		r = code ? fail_store(code, &error) : 0;
	}
	vmig_uuid_text(&id, store);
	if (o->json) {
		answer = json_pack("{s:i, s:s, s:o}", "version", 1, "store", store, "records", shown.records);
		json_dumpf(answer, stdout, JSON_INDENT(2));
		printf("\n");
		json_decref(answer);
	} else if (!o->quiet && !r) {
		printf("%u record%s in store %s\n", shown.n, shown.n == 1 ? "" : "s", store);
	}
	return r;
}

/* --- resolve, by the record alone ------------------------------------------------------------------- */

static void say_resolved(const struct vmig_ownership *was, bool ended)
{
	char device[VMIG_UUID_TEXT_MAX];

	vmig_uuid_text(&was->device, device);
	if (tool_say_quiet())
		return;
	if (ended)
		printf("%s: the attempt to hand it over to %s is ended; it is %s's\n", device, was->peer,
		       was->owner);
	else if (was->phase == VMIG_OWNER_TAKEN)
		printf("%s: taken over by %s, which has not written that it runs: 'vmig owner resolve "
		       "DEVICE' there\n",
		       device, was->owner);
	else
		printf("%s: no attempt is open; it is %s's\n", device, was->owner);
}

/* BUMP what is open of @records, in one swap. 0, or a negative errno. */
static int end_attempts(struct vmig_owner *owner, const struct vmig_ownership *records, int n,
			struct vmig_error *error)
{
	struct vmig_owner_actor actor = { .me = "vmig owner resolve" };
	struct vmig_ownership *now = calloc((size_t)n * 2, sizeof(*now)), *next = now + n;
	uint32_t n_open = 0;
	int r = now ? 0 : -ENOMEM;

	vmig_uuid_new(&actor.writer);
	for (int i = 0; i < n && !r; i++) {
		if (records[i].phase != VMIG_OWNER_OPEN)
			continue;
		now[n_open] = records[i];
		r = vmig_owner_next(VMIG_OWNER_BUMP, &actor, &records[i], &next[n_open++]);
	}
	if (!r && n_open) {
		r = -EINPROGRESS;
		for (int i = 0; i < TRIES && r == -EINPROGRESS; i++)
			r = vmig_owner_swap(owner, now, next, n_open, error);
	}
	free(now);
	return r;
}

/* -EAGAIN is another's write that was before: read, and see what is left to do. */
static int resolve_records(struct vmig_owner *owner, char *const *words, int n)
{
	struct vmig_ownership *records = calloc((size_t)n, sizeof(*records));
	struct vmig_error error = { 0 };
	int r = records ? 0 : tool_fail(VMIG_NOT_DONE, "out of memory"), code = -EAGAIN;

	for (int i = 0; i < TRIES && !r && code == -EAGAIN; i++) {
		r = read_records(owner, words, n, records);
		for (int k = 0; k < n && !r; k++)
			if (!records[k].phase)
				r = tool_fail(VMIG_NOT_DONE, "%s: has no record", words[k]);
		if (!r)
			code = end_attempts(owner, records, n, &error);
	}
	if (!r && code)
		r = fail_store(code, &error);
	for (int i = 0; i < n && !r; i++)
		say_resolved(&records[i], records[i].phase == VMIG_OWNER_OPEN);
	free(records);
	return r;
}

/* --- resolve, with the devices ---------------------------------------------------------------------- */

struct unit {
	char *const *names;
	uint32_t n;
	struct vmig_device **devices;
	struct vmig_uuid *given; /* --id; NULL */
	char me[VMIG_OWNER_NAME_MAX];
};

static void unit_done(struct unit *u)
{
	for (uint32_t i = 0; u->devices && i < u->n; i++)
		vmig_device_close(u->devices[i]);
	free(u->devices);
	free(u->given);
}

/* From whoever has them: a user that is frozen could go on at any moment, with a command of before. */
static int unit_open(struct unit *u, const struct tool_options *o)
{
	struct tool_options taking = *o;
	int r = tool_store_name(o->as, u->names[0], true, u->me);

	if (!r)
		r = tool_store_ids(o->id, u->n, &u->given);
	taking.take = true;
	u->devices = calloc(u->n, sizeof(*u->devices));
	if (!r && !u->devices)
		r = tool_fail(VMIG_NOT_DONE, "out of memory");
	for (uint32_t i = 0; i < u->n && !r; i++)
		r = tool_device_take(u->names[i], &taking, &u->devices[i]);
	return r;
}

/* The copy that is kept here, and its record: taken by @lost, and nothing else. */
static int check_kept(struct unit *u, uint32_t i, const char *lost, const struct vmig_ownership *record)
{
	uint32_t state;

	if (vmig_device_query_state(u->devices[i], &state) ||
	    (state != VMIG_STATE_STOP && state != VMIG_STATE_STOP_COPY))
		return tool_fail(VMIG_NOT_DONE, "%s: is not a stopped copy", u->names[i]);
	if (record->phase != VMIG_OWNER_TAKEN || strcmp(record->owner, lost) != 0)
		return tool_fail(VMIG_NOT_DONE,
				 "%s: by the record its phase is %s and its owner %s: only one that has "
				 "taken it over and not "
				 "written that it runs can be given up; nothing was changed",
				 u->names[i], vmig_owner_phase_name(record->phase),
				 record->phase ? record->owner : "nobody");
	return 0;
}

static int read_tags(struct unit *u, struct vmig_uuid *ids)
{
	struct vmig_tag tag;

	for (uint32_t i = 0; i < u->n; i++) {
		if (vmig_device_query_tag(u->devices[i], &tag) || vmig_uuid_is_none(&tag.identity))
			return tool_fail(VMIG_NOT_DONE,
					 "%s: carries no identity, so it is not known whose copy it is",
					 u->names[i]);
		ids[i] = tag.identity;
	}
	return 0;
}

/* GIVEBACK on behalf of who cannot do it any more: what the record says then is that the copy here is the device. */
static int swap_back(struct unit *u, struct vmig_owner *owner, const char *lost,
		     const struct vmig_ownership *now, struct vmig_ownership *next)
{
	struct vmig_owner_actor actor = { .me = lost, .peer = u->me };
	struct vmig_error error = { 0 };
	int r = -EINPROGRESS;

	vmig_uuid_new(&actor.writer);
	for (uint32_t i = 0; i < u->n; i++) {
		int code = check_kept(u, i, lost, &now[i]);

		if (code)
			return code;
		actor.attempt = now[i].attempt;
		code = vmig_owner_next(VMIG_OWNER_GIVEBACK, &actor, &now[i], &next[i]);
		if (code)
			return tool_fail(VMIG_NOT_DONE, "%s: the rules do not allow it", u->names[i]);
	}
	for (int i = 0; i < TRIES && r == -EINPROGRESS; i++)
		r = vmig_owner_swap(owner, now, next, u->n, &error);
	return r ? fail_store(r, &error) : 0;
}

static int give_up_owner(struct unit *u, struct vmig_owner *owner, const char *lost)
{
	struct vmig_uuid *ids = calloc(u->n, sizeof(*ids));
	struct vmig_ownership *now = calloc(u->n, sizeof(*now)), *next = calloc(u->n, sizeof(*next));
	struct vmig_error error = { 0 };
	int r = ids && now && next ? read_tags(u, ids) : tool_fail(VMIG_NOT_DONE, "out of memory");

	if (!r) {
		int code = vmig_owner_read(owner, ids, u->n, now, &error);

		r = code ? fail_store(code, &error) : swap_back(u, owner, lost, now, next);
	}
	if (!r)
		tool_warn("by your word %s is gone and has not run: what it may have done since it took over "
			  "is lost, and if "
			  "it is not gone there are two",
			  lost);
	free(next);
	free(now);
	free(ids);
	return r;
}

static void say_unit(const struct tool_options *o, const struct vmig_migrate_result *result, int status)
{
	json_t *answer;

	if (!o->json) {
		if (!o->quiet && !status)
			printf("%s: %s%s%s\n", o->words[1], result->verdict ? result->verdict : "settled",
			       *result->reason ? ": " : "", result->reason);
		return;
	}
	answer = json_pack("{s:i, s:s, s:s, s:s, s:i}", "version", 1, "device", o->words[1], "verdict",
			   result->verdict ? result->verdict : "", "reason", result->reason, "exit-status",
			   status);
	json_dumpf(answer, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(answer);
}

static int apply_rule(const struct tool_options *o, struct unit *u, struct vmig_owner *owner)
{
	struct vmig_migrate_result *result = calloc(1, sizeof(*result));
	int r = result ? vmig_owner_resolve(u->devices, u->n, owner, u->me, u->given, o->timeout_ns, result)
		       : -ENOMEM;

	if (r < 0) {
		free(result);
		return tool_fail(VMIG_NOT_DONE, "%s: %s", u->names[0], strerror(-r));
	}
	say_unit(o, result, r);
	if (r)
		tool_fail(r, "%s: %s%s%s", u->names[0], result->verdict ? result->verdict : "",
			  result->verdict && *result->reason ? ": " : "", result->reason);
	free(result);
	return r;
}

static int resolve_devices(const struct tool_options *o, struct vmig_owner *owner)
{
	struct unit u = { .names = o->words + 1, .n = (uint32_t)o->n_words - 1 };
	int r = unit_open(&u, o);

	if (!r && o->lost)
		r = give_up_owner(&u, owner, o->lost);
	if (!r)
		r = apply_rule(o, &u, owner);
	unit_done(&u);
	return r;
}

static int resolve(const struct tool_options *o, struct vmig_owner *owner)
{
	if (o->n_words < 2)
		return tool_fail(VMIG_BAD_INPUT,
				 "resolve what? 'vmig owner resolve DEVICE...', or the UUIDs of devices");
	if (o->n_words - 1 > VMIG_MIGRATE_DEVICES_MAX)
		return tool_fail(VMIG_BAD_INPUT, "%d devices are too many: a unit has at most %d",
				 o->n_words - 1, VMIG_MIGRATE_DEVICES_MAX);
	if (tool_device_is(o->words[1]))
		return resolve_devices(o, owner);
	if (o->lost)
		return tool_fail(VMIG_BAD_INPUT, "--lost: name the DEVICEs that hold the copy, not UUIDs");
	return resolve_records(owner, o->words + 1, o->n_words - 1);
}

/* --- the verb ----------------------------------------------------------------------------------------- */

static int run(const struct tool_options *o)
{
	int (*what)(const struct tool_options *, struct vmig_owner *) = NULL;
	struct vmig_owner *owner;
	int r;

	if (!strcmp(o->words[0], "show") && !o->lost)
		what = show;
	else if (!strcmp(o->words[0], "resolve"))
		what = resolve;
	else
		return tool_fail(VMIG_BAD_INPUT, "'%s': it is 'vmig owner show' or 'vmig owner resolve'",
				 o->words[0]);
	r = tool_store_open(o->owner, o->timeout_ns, &owner);
	if (r)
		return r;
	if (!owner)
		return tool_fail(VMIG_BAD_INPUT, "--owner none: there is no record to ask");
	r = what(o, owner);
	vmig_owner_close(owner);
	return r;
}

const struct tool_verb tool_owner = {
	.name = "owner",
	.words = "show|resolve [WORD...]",
	.about = "who owns devices, by the record; bring in order what a crash has left",
	.more = "show [UUID...]: the records of these devices, or all.\n"
		"resolve DEVICE...: the unit of a migration that was cut short, on its own host; taken from "
		"whoever uses them. The record decides: they run\n"
		"here, or what is here is reset, or it is kept and why. Nothing is guessed: if the record "
		"cannot be asked, or\n"
		"does not fit, nothing is changed, and the exit status is 3.\n"
		"resolve UUID...: ends an open attempt to hand over these devices; the owner stays the "
		"owner.\n"
		"resolve --lost OWNER DEVICE...: by your word, OWNER, which has taken the devices over and "
		"not written that\n"
		"they run there, is gone for good: the copy that is kept here runs. If it has run there, "
		"what it did since is\n"
		"lost; if it still runs, there are two.",
	.example = "vmig owner resolve vfio-user:/run/nic.sock",
	.options = TOOL_OPT_JSON | TOOL_OPT_QUIET | TOOL_OPT_TIMEOUT | TOOL_OPT_OWNER | TOOL_OPT_LOST,
	.min_words = 1,
	.run = run,
};
