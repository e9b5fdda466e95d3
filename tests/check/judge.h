/* SPDX-License-Identifier: BSD-3-Clause */
/** judge - is a mutant found by the checks that mutants.tsv names, and by no other? */
#ifndef VMIG_TESTS_CHECK_JUDGE_H
#define VMIG_TESTS_CHECK_JUDGE_H

#include "check/check.h"

/** Run @check and fail the test unless what comes is what @checks ("id,id?", the third column) says. @name NULL: a good device. */
void judge_check(const struct check_target *target, const struct check *check, const char *name,
		 const char *checks);

/** Call @judge for each row that @by breaks (NULL: a model) and whose number is @part, of @parts. Fails if there are fewer. */
void judge_rows(const char *by, unsigned int part, unsigned int parts,
		void (*judge)(const char *name, const char *checks));

/** Does it take all checks? They take long; one build of the three does so. */
#ifndef MUTANTS_MEET_ALL
#define MUTANTS_MEET_ALL false
#endif

/** Is @id among @checks? '!', '?' as an observation, 0 it is not. */
char judge_expects(const char *checks, const char *id);

#endif
