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

extern void vu_dma_map(struct check_context *c), vu_dma_map_over(struct check_context *c),
	vu_dma_map_odd(struct check_context *c), vu_dma_map_many(struct check_context *c),
	vu_dma_unmap(struct check_context *c), vu_dma_unmap_exact(struct check_context *c),
	vu_dma_unmap_releases(struct check_context *c), vu_dma_unmap_all(struct check_context *c),
	vu_leave_maps(struct check_context *c), vu_leave_irqs(struct check_context *c),
	vu_leave_state(struct check_context *c);
extern void vu_region_reads(struct check_context *c), vu_region_writes(struct check_context *c),
	vu_region_bounds(struct check_context *c), vu_count_limit(struct check_context *c),
	vu_write_multi(struct check_context *c);
extern void vu_work_by_fd(struct check_context *c), vu_work_by_messages(struct check_context *c),
	vu_work_not_stalled(struct check_context *c), vu_work_unmap(struct check_context *c),
	vu_work_read_only(struct check_context *c), vu_work_reads(struct check_context *c),
	vu_work_twin(struct check_context *c), vu_log_all(struct check_context *c),
	vu_log_no_ranges(struct check_context *c), vu_log_finer(struct check_context *c),
	vu_log_coarser(struct check_context *c);
extern void vu_log_probed(struct check_context *c), vu_log_reply(struct check_context *c),
	vu_log_hint(struct check_context *c), vu_log_when_off(struct check_context *c),
	vu_log_power(struct check_context *c), vu_log_bitmap(struct check_context *c),
	vu_log_sizes(struct check_context *c);
extern void vu_probe(struct check_context *c), vu_feature_same(struct check_context *c),
	vu_feature_get(struct check_context *c), vu_feature_argsz(struct check_context *c),
	vu_feature_exclusive(struct check_context *c), vu_feature_unknown(struct check_context *c),
	vu_migration_flags(struct check_context *c), vu_state_error(struct check_context *c),
	vu_state_unsupported(struct check_context *c), vu_state_unknown(struct check_context *c),
	vu_state_back(struct check_context *c);
extern void vu_every_pair(struct check_context *c), vu_reset_recovers(struct check_context *c),
	vu_data_outside(struct check_context *c), vu_data_session_ends(struct check_context *c),
	vu_data_sizes(struct check_context *c), vu_data_end(struct check_context *c),
	vu_data_argsz(struct check_context *c), vu_data_pre_copy(struct check_context *c),
	vu_data_write_small(struct check_context *c), vu_data_write_large(struct check_context *c),
	vu_data_part(struct check_context *c);
extern void vu_v1_capability(struct check_context *c), vu_dirty_start(struct check_context *c),
	vu_dirty_exclusive(struct check_context *c), vu_dirty_when_off(struct check_context *c),
	vu_dirty_bitmap(struct check_context *c), vu_dirty_argsz(struct check_context *c),
	vu_dirty_all(struct check_context *c), vu_unmap_bitmap(struct check_context *c);

#endif
