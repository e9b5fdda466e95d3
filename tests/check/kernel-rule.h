/* SPDX-License-Identifier: BSD-3-Clause */
/** kernel-rule - one rule that a kernel mutant breaks: a row with a function or two. */
#ifndef VMIG_TESTS_CHECK_KERNEL_RULE_H
#define VMIG_TESTS_CHECK_KERNEL_RULE_H

#include <vmig/state.h>
#include <vmig/uapi.h>

#include "check/check.h"

struct kernel_mutant;

struct kernel_rule {
	const char *name;
	const char *spec; /* of the model; NULL: one that has all */
	/* In the place of the good one's, which they call. NULL: as it does. */
	int (*ioctl)(struct kernel_mutant *m, int fd, unsigned long request, void *arg);
	ssize_t (*write)(struct kernel_mutant *m, int fd, const void *buf, size_t len);
	/* After the good one's, which has answered @r. */
	ssize_t (*read)(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r);
	int (*poll)(struct kernel_mutant *m, struct pollfd *fds, int r);
	/* Before the good one's. */
	void (*close)(struct kernel_mutant *m, int fd);
	bool seeks;
};

/** The tables; each ends with a row without a name. */
extern const struct kernel_rule kernel_rules_states[], kernel_rules_sessions[], kernel_rules_data[],
	kernel_rules_feature[], kernel_rules_info[];

struct kernel_mutant {
	const struct kernel_rule *rule;
	struct check_calls good;
	uint32_t state, from; /* as SET and RESET went; where it was before */
	bool was_reset;       /* the last change was a reset */
	int session_fd;       /* the last that was given */
	int device_fd;        /* as it was used; -1 when it was closed */
	size_t saved;         /* bytes, read in STOP_COPY last, and the first of them */
	uint8_t first;
	size_t written; /* bytes, since RESUMING was entered */
	bool refused;   /* a write, by the mutant */
	unsigned int n; /* for the rule */
};

/** The argument of VFIO_DEVICE_FEATURE, as far as rules look at it. */
struct feature_arg {
	uint32_t argsz, flags;
	union {
		struct vmig_uapi_device_feature_mig_state state;
		uint64_t words[4];
	};
};

#define GET   VMIG_UAPI_DEVICE_FEATURE_GET
#define SET   VMIG_UAPI_DEVICE_FEATURE_SET
#define PROBE VMIG_UAPI_DEVICE_FEATURE_PROBE
#define STATE VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE

/** The argument, if @request is VFIO_DEVICE_FEATURE; else NULL. Its data may be shorter than they look. */
struct feature_arg *kernel_feature_of(unsigned long request, void *arg);
/** Is it this feature, with these methods and no others? NULL is none. */
bool kernel_is(const struct feature_arg *f, uint32_t number, uint32_t methods);
int kernel_good_ioctl(struct kernel_mutant *m, int fd, unsigned long request, void *arg);
int kernel_good_set(struct kernel_mutant *m, int fd, uint32_t state);
/** -1, with errno. */
int kernel_mutant_error(int error);

#endif
