/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * tool - what the files of the command share.
 *
 * A verb is a row in a table: its words, its options and one function that returns the exit status.
 * Exit statuses are enum vmig_outcome. Whatever goes wrong is said in one line on stderr by
 * tool_fail(): where, what, why, what to do.
 */
#ifndef VMIG_TOOLS_TOOL_H
#define VMIG_TOOLS_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <vmig/vmig.h>

#define TOOL_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* --- options ------------------------------------------------------------------------------- */

/* Groups of options; a verb names those that it takes. */
#define TOOL_OPT_JSON     (1u << 0)
#define TOOL_OPT_QUIET    (1u << 1)
#define TOOL_OPT_TIMEOUT  (1u << 2)
#define TOOL_OPT_SOURCE   (1u << 3) /* what a source decides: downtime, bandwidth, rounds */
#define TOOL_OPT_WORKLOAD (1u << 4)
#define TOOL_OPT_TO       (1u << 5)
#define TOOL_OPT_LIVE     (1u << 6)
#define TOOL_OPT_RECOVER  (1u << 7)
#define TOOL_OPT_VERIFY   (1u << 8)
#define TOOL_OPT_SERVE    (1u << 9)
#define TOOL_OPT_COMMAND  (1u << 18) /* devices, then "--" and a command: all words after it are its own */
#define TOOL_OPT_COMPAT   (1u << 16)
#define TOOL_OPT_ARCS     (1u << 17)
#define TOOL_OPT_DESCRIBE (1u << 19)
#define TOOL_OPT_CHANNEL  (1u << 20) /* how another host is reached */
#define TOOL_OPT_OWNER    (1u << 26) /* which record decides, and what this end is called in it */
#define TOOL_OPT_TAKE     (1u << 21) /* devices from the users that have them */
#define TOOL_OPT_SANDBOX  (1u << 23) /* that can be left out */
#define TOOL_OPT_ONCE     (1u << 25)
#define TOOL_OPT_PLAN     (1u << 27) /* what a plan has to know */
#define TOOL_OPT_LOST     (1u << 28) /* an owner that is given up */
#define TOOL_OPT_CHECK    (1u << 24) /* of the conformance suite */
#define TOOL_OPT_USER     (1u << 29) /* and of its judge of users: devices and a command, as TOOL_OPT_COMMAND */
#define TOOL_OPT_RUN      (TOOL_OPT_JSON | TOOL_OPT_QUIET | TOOL_OPT_TIMEOUT | TOOL_OPT_WORKLOAD | TOOL_OPT_TAKE)

#define TOOL_FAULTS_MAX 64

/** What the command line said. Zero or NULL: not given. */
struct tool_options {
	char **words; /* what is not an option, in order */
	int n_words;
	int n_before_to;      /* how many of them stand before --to; -1: no --to */
	int n_before_command; /* likewise of "--" with TOOL_OPT_COMMAND or TOOL_OPT_USER */
	struct {
		const char *text;
		int n_before; /* words: it belongs to the last of them, or to all if there is none */
	} faults[TOOL_FAULTS_MAX];
	int n_faults;
	uint64_t downtime_ns, bandwidth, timeout_ns, workload_ns;
	uint64_t max_rounds, max_time_ns;
	const char *socket, *fd, *ignore, *intercept, *name, *trace, *log;
	bool json, quiet, no_precopy, workload, live, recover, arcs, verify, plain, no_mmap, help;
	bool symmetric, descriptor;
	bool take, no_sandbox;
	bool insecure, once;
	bool compress;
	uint64_t reconnect_ns, connections;
	const char *channel_fault; /* or $VMIG_CHANNEL_FAULT */
	const char *tls_ca, *tls_cert, *tls_key, *tls_peer, *tls_psk;
	bool opaque_flag;   /* info --opaque */
	const char *opaque; /* compat --opaque FILE */
	const char *owner, *as, *id, *lost;
	bool owned; /* the verb takes --owner */
	bool allow_no_p2p;
	const char *second, *junit, *html, *baseline, *touch; /* check */
	bool dangerous, tap, user;
	const char *on_no_converge;
	struct {
		uint64_t state, final, changing, dirty_rate, shared_bandwidth, latency_ns, transition_ns,
			owner_ns;
		uint64_t hosts, owner_rate;
	} plan;
};

struct tool_verb {
	const char *name;
	const char *words;   /* "DEVICE... FILE" */
	const char *about;   /* one line */
	const char *more;    /* paragraphs for --help; "" if there are none */
	const char *example; /* a command that can be typed */
	uint32_t options;    /* TOOL_OPT_* */
	int min_words;
	int (*run)(const struct tool_options *o);
	void (*print_more)(FILE *to); /* at the end of --help; may be NULL */
};

extern const struct tool_verb tool_serve, tool_info, tool_save, tool_restore, tool_migrate, tool_send,
	tool_receive, tool_inspect, tool_plan, tool_compat, tool_check, tool_owner, tool_run, tool_trace;

/** Sort @argv (without the verb) into *@ret; its words are moved to the front of @argv. 0, or an exit status: it has been said. */
int tool_options_parse(const struct tool_verb *verb, int argc, char **argv, struct tool_options *ret);
/** --on-no-converge's WORD (NULL: not given) as enum vmig_no_converge; -1: it has been said that there is no such one. */
int tool_no_converge(const char *word);
void tool_options_print(const struct tool_verb *verb, FILE *to);

/* --- saying things ------------------------------------------------------------------------- */

/** Who speaks in errors, and where the rest goes: stdout, or stderr while stdout carries a stream. */
void tool_say_begin(const char *verb, bool json, bool quiet);
void tool_say_stdout_is_taken(void);
bool tool_say_json(void);
bool tool_say_quiet(void);
FILE *tool_out(void);

/** One line on stderr; returns @status. Newlines within become "; ". */
__attribute__((format(printf, 2, 3))) int tool_fail(int status, const char *format, ...);
__attribute__((format(printf, 1, 2))) void tool_warn(const char *format, ...);

/** Redraw the one line on a terminal; no-op elsewhere. */
void tool_progress(const char *line);
void tool_progress_end(void);

/** Rounded up, and at most what fits. */
uint32_t tool_ms(uint64_t ns);

/** "1.5 GiB", "12.3 ms" into @buf, which is returned. */
#define TOOL_TEXT_MAX 32
const char *tool_text_size(uint64_t bytes, char buf[TOOL_TEXT_MAX]);
const char *tool_text_time(uint64_t ns, char buf[TOOL_TEXT_MAX]);

#endif
