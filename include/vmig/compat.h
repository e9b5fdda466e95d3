/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * compat - may this device's state go into that one? Known from descriptors, before anything moves.
 *
 * A descriptor is JSON (vmig-descriptor(5), docs/descriptor.schema.json): what a device is, and what it accepts.
 *
 *	{ "self":       [ { "driver": "i915", "mdev_type": "i915-GVTg_V5_2", "aggregator": "1", ... } ],
 *	  "compatible": [ { "driver": "i915", "mdev_type": "i915-GVTg_V5_2", "aggregator": { "min": 1, "max": 8 } } ] }
 *
 * Who decides: the destination's "compatible" is held against the source's "self", since who reads a stream must
 * understand it, and an older release cannot know a newer one. The source's own list (of targets) counts only where
 * the destination publishes none. Where neither does, what they are must be the same.
 *
 * An entry accepts a device when every attribute of either is met. A value is a set ("none, ppgtt" or an array); the
 * source's must be contained in what is accepted. The attribute "version" (and {"version": "x.y.z"} for any) goes by
 * x.y.z: the major must be equal, an older minor is accepted (in a list of targets: a newer one), the bugfix number only
 * ranks. {"min": N, "max": N} takes
 * numbers, {"any": true} everything.
 *
 * Pure: no I/O, no device. Threads: descriptors are constant once made.
 */
#ifndef VMIG_COMPAT_H
#define VMIG_COMPAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmig/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmig_descriptor;

/**
 * Read a descriptor from @len bytes of JSON. Strict: a key given twice, a comma too many or too few are errors.
 *
 * Returns 0, or, with *ret_error.text (may be NULL) saying what, and in which line and column or entry and attribute:
 *   -EBADMSG  not JSON, or not a descriptor     -E2BIG  over a limit (1 MiB; 4096 entries, 64 attributes, 64 values)
 *   -ENOMEM
 */
int vmig_descriptor_parse(const char *text, size_t len, struct vmig_descriptor **ret,
			  struct vmig_error *ret_error);
/** NULL is allowed. */
void vmig_descriptor_free(struct vmig_descriptor *descriptor);
/** The value of an attribute of the first of "self", as text; NULL: it has none. Valid as long as the descriptor. */
const char *vmig_descriptor_attribute(const struct vmig_descriptor *descriptor, const char *name);

/** The most bytes of a descriptor's JSON. */
#define VMIG_DESCRIPTOR_MAX (1u << 20)

enum vmig_compat_side {
	VMIG_COMPAT_DESTINATION, /* the destination's list decided */
	VMIG_COMPAT_SOURCE,      /* the source's, since the destination publishes none */
	VMIG_COMPAT_BOTH,        /* both were asked */
	VMIG_COMPAT_NEITHER,     /* there is no list: what they are was compared */
};

enum vmig_compat_verdict {
	VMIG_COMPAT_OK,
	VMIG_COMPAT_DIFFERS,
	VMIG_COMPAT_MISSING, /* demanded, and the device does not have it */
	VMIG_COMPAT_UNKNOWN, /* the device has it, and the list does not know it */
	VMIG_COMPAT_IGNORED, /* by the options */
};

/** One attribute: what the device has, what was demanded, and why the verdict is so. */
struct vmig_compat_row {
	char *attribute, *has, *accepted, *reason;
	enum vmig_compat_verdict verdict;
};

struct vmig_compat_answer {
	bool compatible;
	enum vmig_compat_side decided;
	uint32_t entry,
		n_entries; /* of the list: the one that accepts, or the nearest one; from 1. 0: it is empty */
	char *reason;      /* one line: why */
	struct vmig_compat_row *rows;
	size_t n_rows;
	/* Ranks candidates that are equally compatible: more is better. From the versions of both. */
	uint64_t rank;
};

/** Zero is a default for all. */
struct vmig_compat_options {
	const char *const *ignore; /* attributes that do not count */
	size_t n_ignore;
	bool symmetric; /* both lists must accept the other side, as was first discussed */
};

/**
 * May @source's state go into @destination?
 * Returns 0 and an answer (free it), or, with *ret_error.text (may be NULL):
 *   -EDOM    no entry accepts, and two values cannot be compared: a number is demanded and the value is none, or a version
 *   -ENOMEM
 */
int vmig_compat_check(const struct vmig_descriptor *source, const struct vmig_descriptor *destination,
		      const struct vmig_compat_options *options, struct vmig_compat_answer **ret,
		      struct vmig_error *ret_error);
/** NULL is allowed. */
void vmig_compat_answer_free(struct vmig_compat_answer *answer);

#ifdef __cplusplus
}
#endif
#endif
