/* SPDX-License-Identifier: BSD-3-Clause */
/** script - a provider that says what the test tells it to, and notes what it was asked. */
#ifndef VMIG_TESTS_HANDLE_SCRIPT_H
#define VMIG_TESTS_HANDLE_SCRIPT_H

#include "handle/provider.h"

#define SCRIPT_MAX 64

struct script {
	struct vmig_device *dev;
	char asked[1024]; /* what it was asked, a word each: "get set:6 ..." */

	/* State. */
	uint32_t state;              /* as the device has it */
	int state_r;                 /* what asking for it returns */
	int set_r[SCRIPT_MAX];       /* what each set_state returns */
	uint32_t set_to[SCRIPT_MAX]; /* and where it ends then; 0: where it was */
	int n_sets;
	bool starts_session, loading;
	const char *fault; /* what it says of its failures, or NULL */

	/* Sessions. */
	const ssize_t *reads; /* what each read or lend returns */
	int n_reads, at_read;
	uint32_t state_after; /* the state after the next read; 0: the same */
	bool lies;            /* the pieces are other than it says */
	int halves;           /* that are open */
	int given_back;

	/* All else. */
	int r;
	int closes;
};

/** A device with all features, traits and has as told. */
void script_open(struct script *script, uint32_t traits);
void script_open_info(struct script *script, const struct vmig_device_info *info);
/** One that offers nothing at all but a close. */
void script_open_bare(struct script *script, const struct vmig_device_info *info);
void script_close(struct script *script);
void script_forget(struct script *script);

#endif
