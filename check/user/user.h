/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * user - judges the user of the protocol, a VMM, by the calls that it makes on devices.
 *
 * The device is played by somebody else, who reports each call (vmig/kernel_abi.h), in the order in which they were
 * answered. The judge is pure: no I/O, no memory of its own, no clock. What it needs of a call is told in
 * src/server/kernel_abi_trace.c; of data it gets digests, so the player has to tell them.
 *
 * A rule is about the user and cites the clauses that say so. What the calls do not show is "not applicable", never
 * passed: a user that never migrates breaks no rule and keeps none.
 */
#ifndef CHECK_USER_H
#define CHECK_USER_H

#include <vmig/kernel_abi.h>

#include "check/check.h"

struct check_user_rule {
	const char *id;
	const char *clauses[CHECK_CLAUSES_MAX];
	enum check_verdict broken; /* CHECK_FAIL; CHECK_OBSERVATION where the text only advises */
	const char *about;         /* what must be seen */
};

#define CHECK_USER_RULES_MAX 64
#define CHECK_USER_CALLS     2

/** All of them; ends with a NULL id. */
extern const struct check_user_rule check_user_rules[];

struct check_user_result {
	enum check_verdict verdict; /* PASS, rule->broken, NOT_APPLICABLE, ERROR: calls were lost */
	uint32_t n_broken;          /* how often; the rest is about the first time */
	uint32_t n_calls;
	uint64_t calls[CHECK_USER_CALLS]; /* their numbers */
	char did[CHECK_TEXT_MAX], saw[CHECK_TEXT_MAX], expected[CHECK_TEXT_MAX];
};

/** What there was, in all. */
struct check_user_sum {
	uint64_t n_calls;
	uint32_t n_devices;  /* that were opened */
	uint32_t n_saves;    /* saving that began, */
	uint32_t n_saved;    /* and was read to its end */
	uint32_t n_loads;    /* loading that began, */
	uint32_t n_loaded;   /* and led to a device that runs */
	uint32_t n_failures; /* calls of a migration that failed */
};

struct check_user;

/** Room for one, which has no pointer in it: it may lie in memory that processes share. */
size_t check_user_size(void);
struct check_user *check_user_start(void *room);
void check_user_call(struct check_user *user, uint64_t number, const struct vmig_kabi_call *call);
/** There is no more. @whole: no call was lost. */
void check_user_end(struct check_user *user, bool whole);

/** In the order of check_user_rules. */
const struct check_user_result *check_user_results(const struct check_user *user);
const struct check_user_sum *check_user_sum(const struct check_user *user);

#endif
