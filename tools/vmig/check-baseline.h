/* SPDX-License-Identifier: BSD-3-Clause */
/** check-baseline - an earlier report (--json), and what has changed since. */
#ifndef VMIG_TOOLS_CHECK_BASELINE_H
#define VMIG_TOOLS_CHECK_BASELINE_H

#include "check/check.h"
#include "tool.h"

#define CHECK_BASELINE_SIZE_MAX (64u << 20) /* of the file */
#define CHECK_BASELINE_ROWS_MAX 4096u       /* checks, clauses, transitions in it */
#define CHECK_BASELINE_NAME_MAX 256u

enum check_change {
	CHECK_SAME,
	CHECK_NEW_FAILURE, /* it is bad now, and was not */
	CHECK_MENDED,      /* it was bad, and passes (or is an observation) now */
	CHECK_CHANGED,     /* another verdict otherwise */
	CHECK_ADDED,       /* the earlier report does not have it */
	CHECK_CHANGES,
};

/** "same", "new failure", ... */
const char *check_change_name(enum check_change change);

struct check_then {
	enum check_change change;
	enum check_verdict before; /* unless it was ADDED */
};

/* A row of the earlier report. */
struct check_was {
	char id[CHECK_BASELINE_NAME_MAX];
	bool clause; /* or a check */
	enum check_verdict verdict;
	bool gone; /* this vmig has none of this name (with a check, if it is a clause) */
};

struct check_baseline {
	const char *path;
	char device[CHECK_BASELINE_NAME_MAX], vmig[CHECK_BASELINE_NAME_MAX], kernel[CHECK_BASELINE_NAME_MAX],
		when[CHECK_BASELINE_NAME_MAX];
	struct check_was *was;
	size_t n_was;
	struct check_arc_sum *sums; /* only from, to, reset and median_ns */
	size_t n_sums;
	/* From here on by compare(). By the rows of check_table and check_clauses; a clause without a check is SAME. */
	struct check_then *checks, *clauses;
	uint32_t n[CHECK_CHANGES]; /* checks */
	uint32_t n_clauses[CHECK_CHANGES];
	uint32_t n_gone;
};

/** Read @path. 0, or an exit status: it has been said what is wrong, and where. */
int check_baseline_read(const char *path, struct check_baseline *ret);
/** What has changed since. 0, or an exit status: it has been said. */
int check_baseline_compare(struct check_baseline *baseline, const struct check_result *results);
/** The median of a transition that succeeded then; 0: not known. */
uint64_t check_baseline_median(const struct check_baseline *baseline, const struct check_arc_sum *sum);
void check_baseline_done(struct check_baseline *baseline);

#endif
