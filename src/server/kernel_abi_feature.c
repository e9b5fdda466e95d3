/* SPDX-License-Identifier: BSD-3-Clause */
/* VFIO_DEVICE_FEATURE: one request, many features. Argument rules as the kernel has them. */
#include <fcntl.h>
#include <string.h>

#include "fsm/fsm.h"
#include "server/kernel_abi.h"

#define GET   VMIG_UAPI_DEVICE_FEATURE_GET
#define SET   VMIG_UAPI_DEVICE_FEATURE_SET
#define PROBE VMIG_UAPI_DEVICE_FEATURE_PROBE

int vmig_kabi_feature_check(uint32_t flags, uint32_t ops, size_t len, size_t min)
{
	if ((flags & (GET | SET)) & ~ops)
		return -EINVAL;
	if (flags & PROBE)
		return 1;
	if (!(flags & (GET | SET)) || len < min)
		return -EINVAL;
	return 0;
}

/** What is there is there for devices that migrate by v2. */
static bool migrates(const struct vmig_kabi_slot *slot)
{
	return slot->info.migration_flags != 0;
}

static int64_t migration(struct vmig_kabi_ctx *ctx, uint64_t addr, uint32_t flags, size_t len)
{
	const struct vmig_kabi_slot *slot = ctx->file->slot;
	struct vmig_uapi_device_feature_migration mig = { .flags = slot->info.migration_flags |
								   slot->config.more_flags };
	int r;

	if (!migrates(ctx->file->slot))
		return -ENOTTY;
	r = vmig_kabi_feature_check(flags, GET, len, sizeof(mig));
	if (r)
		return r < 0 ? r : 0;
	ctx->call.v[0] = mig.flags;
	return vmig_kabi_put(ctx, addr, &mig, sizeof(mig));
}

/* --- MIG_DEVICE_STATE --------------------------------------------------------------------- */

static int64_t get_state(struct vmig_kabi_ctx *ctx, uint64_t addr)
{
	struct vmig_uapi_device_feature_mig_state mig = { .data_fd = -1 };
	int r = vmig_device_query_state(ctx->file->slot->dev, &mig.device_state);

	if (r < 0)
		return r;
	ctx->call.v[0] = mig.device_state;
	return vmig_kabi_put(ctx, addr, &mig, sizeof(mig));
}

/** The descriptor of a session that has started. Whatever goes wrong, the device has moved. */
static int install_session(struct vmig_kabi_ctx *ctx, struct vmig_session *session, bool loads)
{
	struct vmig_kabi_data *data;
	int r = vmig_kabi_data_new(ctx->file->slot, session, loads, &data);

	if (r < 0) {
		vmig_session_close(session);
		return r;
	}
	ctx->call.v[3] |= (uint64_t)data->number << 32;
	r = ctx->task->ops->install(ctx->task, &data->file, O_CLOEXEC);
	if (r < 0)
		vmig_kabi_file_unref(&data->file);
	return r;
}

/** A session that carries on is read meanwhile: the way to STOP_COPY may be long. One that ends must not be. */
static int move(struct vmig_kabi_slot *slot, uint32_t from, uint32_t target, struct vmig_session **ret)
{
	bool ends = vmig_fsm_walk_session(slot->info.migration_flags, from, target) != VMIG_ARC_KEEP;
	int r;

	if (ends)
		vmig_kabi_data_hold(slot);
	r = vmig_device_set_state(slot->dev, target, VMIG_STATE_NONE, ret);
	if (ends)
		vmig_kabi_data_go_on(slot);
	return r;
}

static int walk(struct vmig_kabi_ctx *ctx, uint32_t from, uint32_t target, struct vmig_session **ret)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	int r = vmig_kabi_fault(slot, VMIG_KABI_FAULT_ARC, target, 0);

	if (!r)
		r = move(slot, from, target, ret);
	vmig_kabi_note_state(slot, target, r);
	return r;
}

/** Where it is now: after a failure that is not told to the program. */
static void note_state_after(struct vmig_kabi_ctx *ctx)
{
	uint32_t state = VMIG_STATE_NONE;

	(void)vmig_device_query_state(ctx->file->slot->dev, &state);
	ctx->call.v[3] = state;
}

static int64_t set_state(struct vmig_kabi_ctx *ctx, uint64_t addr)
{
	struct vmig_uapi_device_feature_mig_state mig;
	struct vmig_session *session = NULL;
	uint32_t from = VMIG_STATE_NONE;
	int r = vmig_kabi_get(ctx, addr, &mig, sizeof(mig)), fd = -1;

	if (r < 0)
		return r;
	(void)vmig_device_query_state(ctx->file->slot->dev, &from);
	ctx->call.v[0] = from;
	ctx->call.v[1] = mig.device_state;
	ctx->call.v[2] = UINT64_MAX;
	/* Memory that cannot be written is found out before the device moves. */
	mig.data_fd = -1;
	r = vmig_kabi_put(ctx, addr, &mig, sizeof(mig));
	if (!r)
		r = walk(ctx, from, mig.device_state, &session);
	note_state_after(ctx);
	if (r < 0 || !session)
		return r;
	fd = install_session(ctx, session, mig.device_state == VMIG_STATE_RESUMING);
	if (fd < 0)
		return fd;
	ctx->call.v[2] = (uint64_t)fd;
	mig.data_fd = fd;
	return vmig_kabi_put(ctx, addr, &mig, sizeof(mig));
}

static int64_t device_state(struct vmig_kabi_ctx *ctx, uint64_t addr, uint32_t flags, size_t len)
{
	int r;

	if (!migrates(ctx->file->slot))
		return -ENOTTY;
	r = vmig_kabi_feature_check(flags, GET | SET, len, sizeof(struct vmig_uapi_device_feature_mig_state));
	if (r)
		return r < 0 ? r : 0;
	return flags & GET ? get_state(ctx, addr) : set_state(ctx, addr);
}

/* --- sizes -------------------------------------------------------------------------------- */

static int64_t data_size(struct vmig_kabi_ctx *ctx, uint64_t addr, uint32_t flags, size_t len)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	struct vmig_uapi_device_feature_mig_data_size size = { 0 };
	uint64_t bytes;
	int r;

	if (!migrates(slot) || !(slot->info.has & VMIG_HAS_STOP_COPY_SIZE))
		return -ENOTTY;
	r = vmig_kabi_feature_check(flags, GET, len, sizeof(size));
	if (r)
		return r < 0 ? r : 0;
	r = vmig_device_query_stop_copy_size(slot->dev, &bytes);
	if (r < 0)
		return r;
	size.stop_copy_length = bytes;
	ctx->call.v[0] = bytes;
	return vmig_kabi_put(ctx, addr, &size, sizeof(size));
}

/** From now on the flags of PRECOPY_INFO say something. */
static int64_t precopy_v2(struct vmig_kabi_ctx *ctx, uint64_t addr, uint32_t flags, size_t len)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	int r;

	if (!migrates(slot) || !(slot->info.has & VMIG_HAS_REINIT))
		return -ENOTTY;
	r = vmig_kabi_feature_check(flags, SET, len, 0);
	if (r)
		return r < 0 ? r : 0;
	pthread_mutex_lock(&slot->lock);
	slot->precopy_v2 = true;
	pthread_mutex_unlock(&slot->lock);
	return 0;
}

/* --- the DMA log -------------------------------------------------------------------------- */

static bool has_log(const struct vmig_kabi_slot *slot)
{
	return slot->info.has & VMIG_HAS_DMA_LOG;
}

static int64_t log_start(struct vmig_kabi_ctx *ctx, uint64_t addr, uint32_t flags, size_t len)
{
	int r;

	if (!has_log(ctx->file->slot))
		return -ENOTTY;
	r = vmig_kabi_feature_check(flags, SET, len,
				    sizeof(struct vmig_uapi_device_feature_dma_logging_control));
	return r ? (r < 0 ? r : 0) : vmig_kabi_log_start(ctx, addr);
}

static int64_t log_stop(struct vmig_kabi_ctx *ctx, uint64_t addr, uint32_t flags, size_t len)
{
	int r;

	if (!has_log(ctx->file->slot))
		return -ENOTTY;
	r = vmig_kabi_feature_check(flags, SET, len, 0);
	return r ? (r < 0 ? r : 0) : vmig_kabi_log_stop(ctx);
}

static int64_t log_report(struct vmig_kabi_ctx *ctx, uint64_t addr, uint32_t flags, size_t len)
{
	int r;

	if (!has_log(ctx->file->slot))
		return -ENOTTY;
	r = vmig_kabi_feature_check(flags, GET, len,
				    sizeof(struct vmig_uapi_device_feature_dma_logging_report));
	return r ? (r < 0 ? r : 0) : vmig_kabi_log_report(ctx, addr);
}

/* --- all of them -------------------------------------------------------------------------- */

static const struct {
	uint32_t number;
	int64_t (*fn)(struct vmig_kabi_ctx *ctx, uint64_t addr, uint32_t flags, size_t len);
} features[] = {
	{ VMIG_UAPI_DEVICE_FEATURE_MIGRATION, migration },
	{ VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE, device_state },
	{ VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START, log_start },
	{ VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP, log_stop },
	{ VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT, log_report },
	{ VMIG_UAPI_DEVICE_FEATURE_MIG_DATA_SIZE, data_size },
	{ VMIG_UAPI_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, precopy_v2 },
};

int64_t vmig_kabi_feature(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_uapi_device_feature feature;
	int r = vmig_kabi_get_args(ctx, arg, &feature, sizeof(feature));

	if (r < 0)
		return r;
	ctx->call.offset = feature.flags;
	if (feature.flags & ~(VMIG_UAPI_DEVICE_FEATURE_MASK | GET | SET | PROBE))
		return -EINVAL;
	if ((feature.flags & GET) && (feature.flags & SET) && !(feature.flags & PROBE))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].number == (feature.flags & VMIG_UAPI_DEVICE_FEATURE_MASK))
			return features[i].fn(ctx, arg + sizeof(feature), feature.flags,
					      feature.argsz - sizeof(feature));
	return -ENOTTY;
}
