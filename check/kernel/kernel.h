/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * kernel - a device of the kernel's VFIO by its bare calls, for the checks that are CHECK_BY_KERNEL.
 *
 * Nothing here goes through the library, so nothing is asked again, ended or refused by it. As in context.h, a check that meets
 * something else than it expects ends at once; what returns an error says so: a negative errno.
 */
#ifndef CHECK_KERNEL_H
#define CHECK_KERNEL_H

#include <vmig/uapi.h>

#include "check/context.h"

/* --- opening: kernel-open.c ----------------------------------------------------------------------- */

/** The system's own. */
extern const struct check_calls check_calls_system;

/** @path: a cdev, or a device's folder in sysfs, which is opened by its group. 0 or a negative errno, with a sentence in @why. */
int check_kernel_open(const struct check_calls *calls, const char *path, struct check_kernel *ret, char *why,
		      size_t why_size);
void check_kernel_close(struct check_kernel *k);

/** What the device has, into c->info: migration_flags, flags, has; all that checks' needs are about. */
void kernel_look(struct check_context *c);
/** As it was found, as far as can be, and closed. */
void kernel_leave(struct check_context *c);

/* --- calls ------------------------------------------------------------------------------------------ */

/** What the call returned, or a negative errno. */
int kernel_ioctl(struct check_context *c, int fd, unsigned long request, void *arg);
ssize_t kernel_read(struct check_context *c, int fd, void *buf, size_t len);
ssize_t kernel_write(struct check_context *c, int fd, const void *buf, size_t len);
/** Is there something to read, at once? */
bool kernel_readable(struct check_context *c, int fd);
/** -1 is allowed. */
void kernel_close(struct check_context *c, int fd);

#define GET   VMIG_UAPI_DEVICE_FEATURE_GET
#define SET   VMIG_UAPI_DEVICE_FEATURE_SET
#define PROBE VMIG_UAPI_DEVICE_FEATURE_PROBE

#define KERNEL_FEATURE_MAX 64

/** VFIO_DEVICE_FEATURE: @flags has the feature's number and GET, SET, PROBE; @len bytes of @data go both ways. */
int kernel_feature(struct check_context *c, uint32_t flags, void *data, size_t len);
/** The same with an argsz that says something else. */
int kernel_feature_sized(struct check_context *c, uint32_t argsz, uint32_t flags, void *data, size_t len);
/** PRECOPY_INFO with all fields as they come. */
int kernel_info(struct check_context *c, int fd, struct vmig_uapi_precopy_info *info);

/* --- states ----------------------------------------------------------------------------------------- */

/* What nobody would give as a descriptor: a data_fd that was not assigned. */
#define KERNEL_NO_FD_GIVEN 0x7ffffff0

/** SET: 0 or a negative errno; *ret_fd is what was answered, whatever it is. */
int kernel_set(struct check_context *c, uint32_t state, enum check_want want, int *ret_fd);
int kernel_get(struct check_context *c, struct vmig_uapi_device_feature_mig_state *ret);
uint32_t kernel_state(struct check_context *c);
/** The state is @state, or the check fails. */
void kernel_in_state(struct check_context *c, uint32_t state);
/** A transition that must succeed, and that ends in @state; the session's descriptor, or -1. */
int kernel_enter(struct check_context *c, uint32_t state);
/** @state by a way that is known to work, of a device that is anywhere; the session's descriptor, or -1. */
int kernel_bring(struct check_context *c, uint32_t state);
void kernel_reset(struct check_context *c);

/* --- data ------------------------------------------------------------------------------------------- */

/** Read until 0 or ENOMSG; returns which. Another error fails. @to may be NULL. */
int kernel_drain(struct check_context *c, int fd, struct check_bytes *to);
/** The whole stream of the device, which is in STOP then. */
void kernel_save(struct check_context *c, struct check_bytes *to);
/** All of it, in one call after the other. 0 or a negative errno. */
int kernel_write_all(struct check_context *c, int fd, const void *data, size_t len);

/* --- the checks ------------------------------------------------------------------------------------- */

extern void check_kernel_get(struct check_context *c), check_kernel_same(struct check_context *c),
	check_kernel_error(struct check_context *c), check_kernel_unknown(struct check_context *c),
	check_kernel_optional(struct check_context *c), check_kernel_back(struct check_context *c),
	check_kernel_out_of_error(struct check_context *c);
extern void check_kernel_stop_copy_ends(struct check_context *c),
	check_kernel_precopy_ends(struct check_context *c),
	check_kernel_precopy_p2p_ends(struct check_context *c),
	check_kernel_resuming_ends(struct check_context *c), check_kernel_reset_ends(struct check_context *c);
extern void check_kernel_drained(struct check_context *c), check_kernel_both_zero(struct check_context *c),
	check_kernel_end(struct check_context *c);
extern void check_kernel_refused(struct check_context *c), check_kernel_too_little(struct check_context *c);
extern void check_kernel_log(struct check_context *c), check_kernel_log_twice(struct check_context *c),
	check_kernel_log_off(struct check_context *c), check_kernel_log_page(struct check_context *c),
	check_kernel_log_ranges(struct check_context *c), check_kernel_log_odd(struct check_context *c);
extern void check_kernel_probe(struct check_context *c), check_kernel_methods(struct check_context *c),
	check_kernel_flags(struct check_context *c), check_kernel_argsz(struct check_context *c);
extern void check_kernel_poll(struct check_context *c), check_kernel_info_argsz(struct check_context *c),
	check_kernel_info_states(struct check_context *c), check_kernel_info_flags(struct check_context *c),
	check_kernel_info_v2(struct check_context *c);
extern void check_kernel_group(struct check_context *c), check_kernel_one_way(struct check_context *c),
	check_kernel_seek(struct check_context *c), check_kernel_closing(struct check_context *c),
	check_kernel_fd_outlives(struct check_context *c);

#endif
