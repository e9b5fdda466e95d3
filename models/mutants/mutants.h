/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * mutants - devices with one rule of the protocol broken: the option fault=rule:NAME. What the checks of `vmig check` are
 * tested with. The names, and what is broken, are those of check/mutants.tsv.
 */
#ifndef MODELS_MUTANTS_H
#define MODELS_MUTANTS_H

#include <stdbool.h>

#include <vmig/device.h>

struct mutant_rule;

struct mutant_name {
	const char *name, *broken; /* "reports-late", "STOP to RUNNING_P2P: the call returns ..." */
};

/** All that models can break; ends with a NULL name. */
extern const struct mutant_name mutant_names[];

/** NULL: no such rule. */
const struct mutant_rule *mutant_find(const char *name);

/** Is it one of the migration region of v1? Its mutant is made of a device that is shown by that. */
bool mutant_is_v1(const struct mutant_rule *rule);

/** @inner, which is taken over, with this rule broken. -ENOMEM: it is the caller's still. */
int mutant_new(const struct mutant_rule *rule, struct vmig_device *inner, struct vmig_device **ret);

#endif
