/* SPDX-License-Identifier: BSD-3-Clause */
/* The options of all verbs are one table; parsing and --help both read it. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "models/parse.h"
#include "tool.h"

/* MAYBE_TIME: a value only with '='; without one, so long. */
#define MAYBE_TIME_NS 60000000000ull

enum kind { FLAG, TEXT, COUNT, TIME, MAYBE_TIME, RATE, SIZE, TO, DEVICE, FAULT };

struct row {
	const char *name, *value;
	uint32_t group;
	enum kind kind;
	size_t at; /* in struct tool_options */
	const char *help;
};

#define AT(member) offsetof(struct tool_options, member)

static const struct row rows[] = {
	{ "socket", "PATH", TOOL_OPT_SERVE, TEXT, AT(socket), "listen on this UNIX socket" },
	{ "socket-path", "PATH", TOOL_OPT_SERVE, TEXT, AT(socket),
	  "the same, as the vfio-user backend conventions have it" },
	{ "fd", "N", TOOL_OPT_SERVE, TEXT, AT(fd), "serve this inherited socket, connected or listening" },
	{ "plain", NULL, TOOL_OPT_SERVE, FLAG, AT(plain),
	  "offer no experimental capability, as other servers" },
	{ "log", "FILE", TOOL_OPT_SERVE, TEXT, AT(log),
	  "append what becomes of the device, a line each, with the monotonic clock's ns" },
	{ "user", NULL, TOOL_OPT_USER, FLAG, AT(user),
	  "judge a user of devices, the COMMAND: vmig plays the devices" },
	{ "device", "DEVICE...", TOOL_OPT_COMMAND | TOOL_OPT_USER, DEVICE, 0,
	  "what the command is to find: all words up to the next option" },
	{ "fail", "WHERE:WHAT", TOOL_OPT_USER, FAULT, 0,
	  "one run in which this fails, perhaps of the source: or destination: only; none; may be given "
	  "again (a list)" },
	{ "intercept", "HOW", TOOL_OPT_COMMAND | TOOL_OPT_USER, TEXT, AT(intercept),
	  "the way in, one of those below (auto)" },
	{ "fault", "WHERE:WHAT", TOOL_OPT_COMMAND, FAULT, 0,
	  "fail on purpose, at the device before it (at all, if it comes first); may be given again" },
	{ "name", "NAME", TOOL_OPT_COMMAND, TEXT, AT(name), "for run:NAME (the process's number)" },
	{ "no-mmap", NULL, TOOL_OPT_COMMAND, FLAG, AT(no_mmap),
	  "no region can be mapped: every access is seen" },
	{ "trace", "FILE", TOOL_OPT_COMMAND | TOOL_OPT_USER, TEXT, AT(trace),
	  "write every call into it, one a line (check: of several runs into FILE.0, FILE.1 ...)" },
	{ "to", "DEVICE...", TOOL_OPT_TO, TO, 0, "where to, in the same order; all words after it" },
	{ "live", NULL, TOOL_OPT_LIVE, FLAG, AT(live), "the source runs on when it is saved" },
	{ "arcs", NULL, TOOL_OPT_ARCS, FLAG, AT(arcs), "only the ways between the states, as a table" },
	{ "recover", NULL, TOOL_OPT_RECOVER, FLAG, AT(recover),
	  "bring the device back to RUNNING, wherever a dead user left it" },
	{ "verify", NULL, TOOL_OPT_VERIFY, FLAG, AT(verify), "check all lengths and digests" },
	{ "downtime", "TIME", TOOL_OPT_SOURCE, TIME, AT(downtime_ns),
	  "switch over when the rest is expected to fit in it (300ms)" },
	{ "bandwidth", "RATE", TOOL_OPT_SOURCE, RATE, AT(bandwidth), "send no more than this (no limit)" },
	{ "max-rounds", "N", TOOL_OPT_SOURCE, COUNT, AT(max_rounds),
	  "of pre-copy; then --on-no-converge (30)" },
	{ "max-time", "TIME", TOOL_OPT_SOURCE, TIME, AT(max_time_ns),
	  "of pre-copy; then --on-no-converge (no limit)" },
	{ "on-no-converge", "WHAT", TOOL_OPT_SOURCE, TEXT, AT(on_no_converge),
	  "if the rest does not come to fit: switch over all the same, abort, or wait (switch)" },
	{ "state", "SIZE", TOOL_OPT_PLAN, SIZE, AT(plan.state), "of each device, whatever it says" },
	{ "final", "SIZE", TOOL_OPT_PLAN, SIZE, AT(plan.final),
	  "and what is read of it only when it has stopped" },
	{ "dirty-rate", "RATE", TOOL_OPT_PLAN, RATE, AT(plan.dirty_rate),
	  "how fast it changes; then it is not measured" },
	{ "changing", "SIZE", TOOL_OPT_PLAN, SIZE, AT(plan.changing), "how much of it ever changes (all)" },
	{ "latency", "TIME", TOOL_OPT_PLAN, TIME, AT(plan.latency_ns), "of the link, one way (0)" },
	{ "hosts", "N", TOOL_OPT_PLAN, COUNT, AT(plan.hosts), "drained at once, to as many others (1)" },
	{ "shared-bandwidth", "RATE", TOOL_OPT_PLAN, RATE, AT(plan.shared_bandwidth),
	  "what all of them together can send (no limit)" },
	{ "transition-time", "TIME", TOOL_OPT_PLAN, TIME, AT(plan.transition_ns),
	  "of a device, from state to state (100us)" },
	{ "owner-latency", "TIME", TOOL_OPT_PLAN, TIME, AT(plan.owner_ns), "of the ownership record (1ms)" },
	{ "owner-rate", "N", TOOL_OPT_PLAN, COUNT, AT(plan.owner_rate),
	  "questions a second it answers (2000)" },
	{ "no-precopy", NULL, TOOL_OPT_SOURCE, FLAG, AT(no_precopy), "stop the device, then copy" },
	{ "allow-no-p2p", NULL, TOOL_OPT_SOURCE, FLAG, AT(allow_no_p2p),
	  "several devices, though one has no P2P: none does DMA to it" },
	{ "owner", "URL", TOOL_OPT_OWNER, TEXT, AT(owner),
	  "the record that decides who may run: sqlite:FILE, etcd:URL, none ($VMIG_OWNER)" },
	{ "as", "NAME", TOOL_OPT_OWNER, TEXT, AT(as), "what this end is called in it (HOST/DEVICE)" },
	{ "id", "UUID,...", TOOL_OPT_OWNER, TEXT, AT(id),
	  "which devices these are, where they carry no tag" },
	{ "lost", "OWNER", TOOL_OPT_LOST, TEXT, AT(lost),
	  "by your word it is gone for good, and the copy that is kept here runs" },
	{ "workload", NULL, TOOL_OPT_WORKLOAD, FLAG, AT(workload),
	  "keep the nics busy all the time, and count their records" },
	{ "workload-time", "TIME", TOOL_OPT_WORKLOAD, TIME, AT(workload_ns),
	  "how long before and after (1s)" },
	{ "descriptor", NULL, TOOL_OPT_DESCRIBE, FLAG, AT(descriptor),
	  "print the device's descriptor and nothing else" },
	{ "opaque", NULL, TOOL_OPT_DESCRIBE, FLAG, AT(opaque_flag),
	  "write the driver's version data to standard output and nothing else" },
	{ "opaque", "FILE", TOOL_OPT_COMPAT, TEXT, AT(opaque),
	  "ask the driver of the one DEVICE about this version data" },
	{ "symmetric", NULL, TOOL_OPT_COMPAT, FLAG, AT(symmetric), "both lists must accept the other side" },
	{ "ignore", "ATTR,...", TOOL_OPT_COMPAT, TEXT, AT(ignore), "attributes that do not count" },
	{ "second", "DEVICE", TOOL_OPT_CHECK, TEXT, AT(second),
	  "another device of the kind: what was saved is restored into it" },
	{ "touch", "REGION:OFFSET:HEX", TOOL_OPT_CHECK, TEXT, AT(touch),
	  "bytes that may be written there: does a restored device have them?" },
	{ "dangerous", NULL, TOOL_OPT_CHECK, FLAG, AT(dangerous),
	  "also what might crash the host of a kernel driver, or ends the state that a device holds" },
	{ "tap", NULL, TOOL_OPT_CHECK, FLAG, AT(tap), "the result of each check as a line of TAP" },
	{ "junit", "FILE", TOOL_OPT_CHECK, TEXT, AT(junit), "write the results as JUnit XML, too" },
	{ "html", "FILE", TOOL_OPT_CHECK, TEXT, AT(html), "and as one page of HTML" },
	{ "baseline", "FILE", TOOL_OPT_CHECK, TEXT, AT(baseline),
	  "an earlier report (--json): what has changed since" },
	{ "take", NULL, TOOL_OPT_TAKE, FLAG, AT(take),
	  "take vfio-user devices from the users that have them: those are cut off" },
	{ "once", NULL, TOOL_OPT_ONCE, FLAG, AT(once), "do not wait for another when one was refused" },
	{ "tls-ca", "FILE", TOOL_OPT_CHANNEL, TEXT, AT(tls_ca),
	  "TLS: the CA that has signed the other end's certificate" },
	{ "tls-cert", "FILE", TOOL_OPT_CHANNEL, TEXT, AT(tls_cert), "our certificate" },
	{ "tls-key", "FILE", TOOL_OPT_CHANNEL, TEXT, AT(tls_key), "its key" },
	{ "tls-peer", "NAME", TOOL_OPT_CHANNEL, TEXT, AT(tls_peer),
	  "the name in the other end's certificate (send: the host's; receive: any)" },
	{ "tls-psk", "FILE", TOOL_OPT_CHANNEL, TEXT, AT(tls_psk),
	  "TLS: a key that both ends have, one line IDENTITY:HEXKEY" },
	{ "insecure", NULL, TOOL_OPT_CHANNEL, FLAG, AT(insecure),
	  "without TLS, plain TCP to and from other hosts too" },
	{ "no-sandbox", NULL, TOOL_OPT_SANDBOX, FLAG, AT(no_sandbox),
	  "give up nothing, for a debugger: files, programs, calls, cores" },

	{ "connections", "COUNT", TOOL_OPT_CHANNEL, COUNT, AT(connections),
	  "send: over so many go the data of several devices (1); receive: at most (16)" },
	{ "reconnect", "TIME", TOOL_OPT_CHANNEL, MAYBE_TIME, AT(reconnect_ns),
	  "before the devices stop: how long a lost connection may be away (60s); both ends" },
	{ "compress", NULL, TOOL_OPT_CHANNEL, FLAG, AT(compress), "by zstd; the other end has to, too" },
	{ "x-channel-fault", "FAULTS", TOOL_OPT_CHANNEL, TEXT, AT(channel_fault),
	  "tests: what goes wrong with what is sent" },
	{ "timeout", "TIME", TOOL_OPT_TIMEOUT, TIME, AT(timeout_ns),
	  "of a silent peer or device (30s; a device: 10s)" },
	{ "json", NULL, TOOL_OPT_JSON, FLAG, AT(json), "for programs" },
	{ "quiet", NULL, TOOL_OPT_QUIET, FLAG, AT(quiet), "say nothing but errors" },
	{ "help", NULL, UINT32_MAX, FLAG, AT(help), "this text" },
};

static int bad_number(const char *name, const char *text, const char *reason)
{
	return tool_fail(VMIG_BAD_INPUT, "--%s: '%s' %s", name, text, reason);
}

static int parse_count(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	*ret = strtoull(text, &end, 10);
	if (*end)
		return -EINVAL;
	return errno || !*ret || *ret > UINT32_MAX ? -ERANGE : 0;
}

static int add_fault(const char *text, struct tool_options *o)
{
	if (o->n_faults == TOOL_FAULTS_MAX)
		return tool_fail(VMIG_BAD_INPUT, "--fault: more than %d", TOOL_FAULTS_MAX);
	o->faults[o->n_faults].text = text;
	o->faults[o->n_faults++].n_before = o->n_words;
	return 0;
}

static int set(const struct row *row, const char *value, struct tool_options *o)
{
	void *at = (char *)o + row->at;
	int r;

	switch (row->kind) {
	case FLAG:
		*(bool *)at = true;
		return 0;
	case TEXT:
		*(const char **)at = value;
		return 0;
	case COUNT:
		r = parse_count(value, at);
		return r ? bad_number(row->name, value, "is not a number from 1 to 4294967295") : 0;
	case MAYBE_TIME:
		if (!value) {
			*(uint64_t *)at = MAYBE_TIME_NS;
			return 0;
		}
		/* fall through */
	case TIME:
		r = parse_time_ns(value, at);
		if (!r && !*(uint64_t *)at)
			*(uint64_t *)at = 1; /* 0 would be "not given" */
		return r ? bad_number(row->name, value, parse_time_reason(r)) : 0;
	case RATE:
		r = parse_rate(value, at);
		return r ? bad_number(row->name, value, parse_rate_reason(r)) : 0;
	case SIZE:
		r = parse_size(value, at);
		return r ? bad_number(row->name, value, parse_size_reason(r)) : 0;
	case TO:
		o->n_before_to = o->n_words;
		return 0;
	case DEVICE: /* the words after it are what it is about */
		if (value)
			o->words[o->n_words++] = (char *)value;
		return 0;
	case FAULT:
		return add_fault(value, o);
	}
	return 0;
}

/* "name" or "name=value": *@ret_value is NULL or what follows the '='. */
static const struct row *find_row(uint32_t groups, const char *text, const char **ret_value)
{
	size_t len = strcspn(text, "=");

	for (size_t i = 0; i < TOOL_ARRAY_SIZE(rows); i++) {
		if (!(rows[i].group & groups) && rows[i].group != UINT32_MAX)
			continue;
		if (strlen(rows[i].name) != len || strncmp(rows[i].name, text, len))
			continue;
		*ret_value = text[len] ? text + len + 1 : NULL;
		return &rows[i];
	}
	return NULL;
}

static bool takes_value(const struct row *row)
{
	return row->kind != FLAG && row->kind != MAYBE_TIME && row->kind != TO && row->kind != DEVICE;
}

static int parse_one(const struct tool_verb *verb, int argc, char **argv, int *i, struct tool_options *o)
{
	const char *value = NULL;
	const struct row *row = find_row(verb->options, argv[*i] + 2, &value);

	if (!row)
		return tool_fail(VMIG_BAD_INPUT, "unknown option '%s': 'vmig help %s' lists the options",
				 argv[*i], verb->name);
	if (!takes_value(row) && row->kind != DEVICE && row->kind != MAYBE_TIME && value)
		return tool_fail(VMIG_BAD_INPUT, "--%s: takes no value with '='", row->name);
	if (takes_value(row) && !value) {
		if (*i + 1 >= argc)
			return tool_fail(VMIG_BAD_INPUT, "--%s: a value is missing: --%s %s", row->name,
					 row->name, row->value);
		value = argv[++*i];
	}
	return set(row, value, o);
}

int tool_options_parse(const struct tool_verb *verb, int argc, char **argv, struct tool_options *ret)
{
	bool only_words = false;
	int r;

	*ret = (struct tool_options){ .words = argv,
				      .n_before_to = -1,
				      .n_before_command = -1,
				      .owned = verb->options & TOOL_OPT_OWNER };
	for (int i = 0; i < argc; i++) {
		if (only_words || argv[i][0] != '-' || !argv[i][1]) {
			argv[ret->n_words++] = argv[i];
		} else if (!strcmp(argv[i], "--")) {
			only_words = true;
			if (verb->options & (TOOL_OPT_COMMAND | TOOL_OPT_USER))
				ret->n_before_command = ret->n_words;
		} else if (!strcmp(argv[i], "-h")) {
			ret->help = true;
		} else if (argv[i][1] != '-') {
			return tool_fail(VMIG_BAD_INPUT,
					 "unknown option '%s': 'vmig help %s' lists the options", argv[i],
					 verb->name);
		} else {
			r = parse_one(verb, argc, argv, &i, ret);
			if (r)
				return r;
		}
	}
	return 0;
}

void tool_options_print(const struct tool_verb *verb, FILE *to)
{
	char left[40];

	for (size_t i = 0; i < TOOL_ARRAY_SIZE(rows); i++) {
		if (!(rows[i].group & verb->options) && rows[i].group != UINT32_MAX)
			continue;
		snprintf(left, sizeof(left), rows[i].kind == MAYBE_TIME ? "--%s%s[=%s]" : "--%s%s%s",
			 rows[i].name, rows[i].value && rows[i].kind != MAYBE_TIME ? " " : "",
			 rows[i].value ? rows[i].value : "");
		fprintf(to, "  %-22s %s\n", left, rows[i].help);
	}
}

int tool_no_converge(const char *word)
{
	static const char *const words[] = { [VMIG_NO_CONVERGE_SWITCH] = "switch",
					     [VMIG_NO_CONVERGE_ABORT] = "abort",
					     [VMIG_NO_CONVERGE_WAIT] = "wait" };

	if (!word)
		return VMIG_NO_CONVERGE_SWITCH;
	for (size_t i = 0; i < TOOL_ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i]))
			return (int)i;
	tool_fail(VMIG_BAD_INPUT, "--on-no-converge: '%s' is none of switch, abort and wait", word);
	return -1;
}
