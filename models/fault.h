/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * fault - a failure on purpose: the option fault=WHERE[@SIZE]:WHAT[:once].
 *
 * WHERE  an arc ("RUNNING>PRE_COPY", the states in the uAPI's words), or one of the calls
 *	  read (saving data; with @SIZE once so much has been read), write (loading; likewise),
 *	  load (the check on RESUMING>STOP), precopy-info, reset, report (of the DMA log), descriptor (what it
 *	  publishes leaves out what matters)
 * WHAT   an errno's name ("EIO"), "error" (the device goes to ERROR: arcs and load only), or
 *	  "hang=TIME" (the call takes so much longer, then goes on)
 * once   only the first time
 *
 * Or rule:NAME: one rule of the protocol is broken, all the time (mutants/mutants.h). It is not for fault_check(): the
 * model's handle is made a mutant.
 */
#ifndef MODELS_FAULT_H
#define MODELS_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum fault_where {
	FAULT_NOWHERE,
	FAULT_ARC,
	FAULT_READ,
	FAULT_WRITE,
	FAULT_LOAD,
	FAULT_PRECOPY_INFO,
	FAULT_RESET,
	FAULT_REPORT, /* for who stands between a device and its user; no model fails there */
	FAULT_DESCRIPTOR,
	FAULT_RULE,
};

struct mutant_rule;

struct fault {
	enum fault_where where;
	uint32_t from, to; /* FAULT_ARC */
	uint64_t after;    /* bytes of data that pass first */
	int code;          /* negative errno; 0: none */
	bool to_error;     /* and the device goes to ERROR */
	uint64_t hang_ns;
	bool once, fired;
	const struct mutant_rule *rule; /* FAULT_RULE */
};

/** -EINVAL: *ret_why (static) says what is wrong with @text, as the end of a sentence. */
int fault_parse(const char *text, struct fault *ret, const char **ret_why);

/**
 * To be called where a failure is possible, with the bytes that have passed so far.
 * Returns 0 (perhaps after a delay) or the errno to fail with; then *ret_error (may be NULL) tells to go to ERROR.
 */
int fault_check(struct fault *fault, enum fault_where where, uint64_t bytes, bool *ret_error);

/** The same for an arc. */
int fault_check_arc(struct fault *fault, uint32_t from, uint32_t to, bool *ret_error);

#endif
