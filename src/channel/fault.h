/* SPDX-License-Identifier: BSD-3-Clause */
/** fault - a channel that goes wrong on purpose, for tests. Private to the library. */
#ifndef VMIG_CHANNEL_FAULT_H
#define VMIG_CHANNEL_FAULT_H

#include <stdatomic.h>

#include <vmig/channel.h>

#include "base/util.h"

#define VMIG_FAULTS_MAX 64u

enum vmig_fault_what {
	VMIG_FAULT_NONE,
	VMIG_FAULT_CUT,
	VMIG_FAULT_CORRUPT,
	VMIG_FAULT_DROP,
	VMIG_FAULT_DELAY
};

struct vmig_fault_one {
	enum vmig_fault_what what;
	uint64_t at; /* bytes; VMIG_FAULT_DELAY: milliseconds */
};

/** What comes over the connections of one side, one after the other. */
struct vmig_fault_plan {
	struct vmig_fault_one faults[VMIG_FAULTS_MAX];
	uint32_t n;
	atomic_uint next;
};

/** @text as in vmig_channel_options. -EINVAL, with *ret_error. */
MUST_USE int vmig_fault_plan_parse(const char *text, struct vmig_fault_plan *ret,
				   struct vmig_error *ret_error);
/** The next fault of the plan, around *@channel, which is replaced; nothing when there is none. -ENOMEM, ...: it stays. */
MUST_USE int vmig_fault_wrap(struct vmig_fault_plan *plan, struct vmig_channel **channel);

#endif
