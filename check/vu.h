/* SPDX-License-Identifier: BSD-3-Clause */
/** vu - the checks by the messages of vfio-user (vu-*.c). */
#ifndef CHECK_VU_H
#define CHECK_VU_H

struct check_context;

extern void vu_version_first(struct check_context *c), vu_version_major(struct check_context *c),
	vu_version_minor(struct check_context *c), vu_version_subset(struct check_context *c),
	vu_version_bare(struct check_context *c), vu_version_data(struct check_context *c),
	vu_version_unknown(struct check_context *c), vu_version_twin(struct check_context *c);
extern void vu_reply_header(struct check_context *c), vu_ids_reused(struct check_context *c),
	vu_no_reply(struct check_context *c), vu_every_command(struct check_context *c),
	vu_error_is_header(struct check_context *c), vu_in_order(struct check_context *c),
	vu_pieces(struct check_context *c), vu_argsz(struct check_context *c),
	vu_argsz_small(struct check_context *c), vu_max_fds(struct check_context *c);
extern void vu_unknown_command(struct check_context *c), vu_odd_headers(struct check_context *c),
	vu_cut_off(struct check_context *c), vu_stray_fds(struct check_context *c),
	vu_short_payloads(struct check_context *c), vu_reset(struct check_context *c);

#endif
