/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data transfer session's descriptor. It outlives the session, and then says ENODEV.
 *
 * Bulk data is copied once: from the device's memory to the program's, or back, whichever side of it is in this
 * process. A read is filled as far as the device has data; an error behind good bytes is told at once, since data that
 * cannot be completed is of no use.
 */
#include <string.h>

#include "base/io.h"
#include "server/kernel_abi.h"

/* --- life --------------------------------------------------------------------------------- */

int vmig_kabi_data_new(struct vmig_kabi_slot *slot, struct vmig_session *session, bool loads,
		       struct vmig_kabi_data **ret)
{
	struct vmig_kabi_data *data = calloc(1, sizeof(*data));

	if (!data)
		return -ENOMEM;
	vmig_kabi_file_init(&data->file, slot->kabi, VMIG_KABI_DATA, slot);
	data->session = session;
	data->loads = loads;
	if (slot->kabi->config.digest) {
		data->digest = aligned_alloc(_Alignof(struct vmig_digest), sizeof(*data->digest));
		if (!data->digest) {
			free(data);
			return -ENOMEM;
		}
		vmig_digest_start(data->digest);
	}
	pthread_mutex_lock(&slot->lock);
	data->number = ++slot->n_data;
	data->next = slot->data;
	slot->data = data;
	pthread_mutex_unlock(&slot->lock);
	*ret = data;
	return 0;
}

void vmig_kabi_data_close(struct vmig_kabi_data *data)
{
	struct vmig_kabi_slot *slot = data->file.slot;

	pthread_mutex_lock(&slot->lock);
	for (struct vmig_kabi_data **at = &slot->data; *at; at = &(*at)->next) {
		if (*at == data) {
			*at = data->next;
			break;
		}
	}
	pthread_mutex_unlock(&slot->lock);
	vmig_session_close(data->session);
	free(data->digest);
	free(data);
}

/** One whose session is still there, with a reference; one that is about to go is left alone. */
static struct vmig_kabi_data *next_alive(struct vmig_kabi_slot *slot)
{
	struct vmig_kabi_data *data;

	pthread_mutex_lock(&slot->lock);
	while ((data = slot->data)) {
		unsigned int refs = atomic_load(&data->file.refs);

		slot->data = data->next;
		while (refs && !atomic_compare_exchange_weak(&data->file.refs, &refs, refs + 1))
			;
		if (refs)
			break;
	}
	pthread_mutex_unlock(&slot->lock);
	return data;
}

void vmig_kabi_data_end_all(struct vmig_kabi_slot *slot)
{
	struct vmig_kabi_data *data;

	while ((data = next_alive(slot))) {
		struct vmig_session *session;

		vmig_kabi_data_hold(slot);
		session = data->session;
		data->session = NULL;
		vmig_kabi_data_go_on(slot);
		vmig_session_close(session);
		vmig_kabi_file_unref(&data->file);
	}
}

/* --- one at a time ------------------------------------------------------------------------ */

/** To copy. Past the turnstile, so that a thread that reads and reads cannot keep a reset waiting. */
static void enter(struct vmig_kabi_slot *slot)
{
	pthread_mutex_lock(&slot->turnstile);
	pthread_mutex_unlock(&slot->turnstile);
	pthread_mutex_lock(&slot->flow);
}

static void leave(struct vmig_kabi_slot *slot)
{
	pthread_mutex_unlock(&slot->flow);
}

void vmig_kabi_data_hold(struct vmig_kabi_slot *slot)
{
	pthread_mutex_lock(&slot->turnstile);
	pthread_mutex_lock(&slot->flow);
}

void vmig_kabi_data_go_on(struct vmig_kabi_slot *slot)
{
	pthread_mutex_unlock(&slot->flow);
	pthread_mutex_unlock(&slot->turnstile);
}

/* --- what is told of it -------------------------------------------------------------------- */

#define DIGEST_PIECE (64u << 10)

/** The bytes that have just passed, as the program has them. */
static void add_digest(struct vmig_kabi_ctx *ctx, struct vmig_kabi_data *data, uint64_t addr, uint64_t len)
{
	_autofree_ uint8_t *buf = malloc(MIN(len, DIGEST_PIECE));

	for (uint64_t at = 0, n; at < len && buf; at += n) {
		n = MIN(len - at, DIGEST_PIECE);
		if (vmig_kabi_get(ctx, addr + at, buf, n))
			return;
		vmig_digest_add(data->digest, buf, n);
	}
}

/** @n bytes have passed, or it has failed. With slot->flow. */
static void tell(struct vmig_kabi_ctx *ctx, struct vmig_kabi_data *data, uint64_t addr, int64_t n)
{
	if (n > 0) {
		data->passed += (uint64_t)n;
		if (data->digest)
			add_digest(ctx, data, addr, (uint64_t)n);
	}
	ctx->call.v[0] = data->digest ? vmig_digest_value(data->digest) : 0;
	ctx->call.v[1] = data->passed;
	ctx->call.v[2] = data->number;
}

/* --- read --------------------------------------------------------------------------------- */

/** Where the program's memory is in this process; 0: it is not. */
static int direct(struct vmig_kabi_ctx *ctx, uint64_t addr, size_t len, struct iovec *iov)
{
	if (!addr || !add_fits(addr, len))
		return -EFAULT;
	return ctx->task->ops->direct ? ctx->task->ops->direct(ctx->task, addr, len, iov) : 0;
}

static ssize_t read_lent(struct vmig_kabi_ctx *ctx, struct vmig_session *session, uint64_t addr, size_t len)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	size_t done = 0;
	int n, r = 0;
	ssize_t got = vmig_session_lend(session, len, iov, &n);

	if (got <= 0)
		return got;
	for (int i = 0; i < n && !r; i++) {
		r = vmig_kabi_put(ctx, addr + done, iov[i].iov_base, iov[i].iov_len);
		if (!r)
			done += iov[i].iov_len;
	}
	vmig_session_return(session, done);
	return done ? (ssize_t)done : r;
}

static ssize_t read_some(struct vmig_kabi_ctx *ctx, struct vmig_session *session, uint64_t addr, size_t len)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	int n = direct(ctx, addr, len, iov);

	if (n < 0)
		return n;
	return n ? vmig_session_readv(session, iov, n) : read_lent(ctx, session, addr, len);
}

static int64_t read_locked(struct vmig_kabi_ctx *ctx, struct vmig_kabi_data *data, uint64_t addr,
			   uint64_t len)
{
	uint64_t done = 0;
	int r;

	if (!data->session)
		return -ENODEV;
	r = vmig_kabi_fault(data->file.slot, VMIG_KABI_FAULT_READ, VMIG_STATE_NONE, data->passed);
	if (r < 0)
		return r;
	while (done < len) {
		ssize_t got = read_some(ctx, data->session, addr + done, len - done);

		if (!got || (got == -ENOMSG && done) || (got == -EFAULT && done))
			break;
		if (got < 0)
			return got;
		done += (uint64_t)got;
	}
	return (int64_t)done;
}

int64_t vmig_kabi_data_read(struct vmig_kabi_ctx *ctx, uint64_t addr, uint64_t len)
{
	struct vmig_kabi_data *data = (struct vmig_kabi_data *)ctx->file;
	int64_t r;

	/* As a file that was opened for the other direction. */
	if (data->loads)
		return -EBADF;
	enter(data->file.slot);
	r = read_locked(ctx, data, addr, len);
	data->drained = r == -ENOMSG;
	tell(ctx, data, addr, r);
	leave(data->file.slot);
	if (r > 0)
		vmig_kabi_note_data(data->file.slot, false, (uint64_t)r);
	return r;
}

/* --- write -------------------------------------------------------------------------------- */

static ssize_t fill_room(struct vmig_kabi_ctx *ctx, struct vmig_session *session, uint64_t addr, size_t len)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	ssize_t room;
	size_t done = 0;
	int n, r = 0, end;

	room = vmig_session_room(session, len, iov, &n);
	if (room < 0)
		return room;
	for (int i = 0; i < n && !r; i++) {
		r = vmig_kabi_get(ctx, addr + done, iov[i].iov_base, iov[i].iov_len);
		if (!r)
			done += iov[i].iov_len;
	}
	end = vmig_session_filled(session, done);
	if (end < 0)
		return end;
	return done ? (ssize_t)done : r;
}

static ssize_t write_some(struct vmig_kabi_ctx *ctx, struct vmig_session *session, uint64_t addr, size_t len)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	int n = direct(ctx, addr, len, iov), r;

	if (n < 0)
		return n;
	if (!n)
		return fill_room(ctx, session, addr, len);
	r = vmig_session_writev(session, iov, n);
	return r < 0 ? r : (ssize_t)vmig_iov_len(iov, n);
}

static int64_t write_locked(struct vmig_kabi_ctx *ctx, struct vmig_kabi_data *data, uint64_t addr,
			    uint64_t len)
{
	uint64_t done = 0;
	int r;

	if (!data->session)
		return -ENODEV;
	r = vmig_kabi_fault(data->file.slot, VMIG_KABI_FAULT_WRITE, VMIG_STATE_NONE, data->passed);
	if (r < 0)
		return r;
	while (done < len) {
		ssize_t put = write_some(ctx, data->session, addr + done, len - done);

		if (put == -EFAULT && done)
			break;
		if (put < 0)
			return put;
		done += (uint64_t)put;
	}
	/* A provider that pipelines: whoever writes is told here, since nobody is asked after the last write. */
	r = vmig_session_flush(data->session);
	return r < 0 ? r : (int64_t)done;
}

int64_t vmig_kabi_data_write(struct vmig_kabi_ctx *ctx, uint64_t addr, uint64_t len)
{
	struct vmig_kabi_data *data = (struct vmig_kabi_data *)ctx->file;
	int64_t r;

	if (!data->loads)
		return -EBADF;
	enter(data->file.slot);
	r = write_locked(ctx, data, addr, len);
	tell(ctx, data, addr, r);
	leave(data->file.slot);
	if (r > 0)
		vmig_kabi_note_data(data->file.slot, true, (uint64_t)r);
	return r;
}

/* --- PRECOPY_INFO ------------------------------------------------------------------------- */

static bool in_precopy(const struct vmig_kabi_slot *slot)
{
	uint32_t state;

	return !vmig_device_query_state(slot->dev, &state) &&
	       (state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P);
}

/**
 * Of a device that does not tell its sizes (plain vfio-user has no such question), since every device with PRE_COPY must
 * answer: what stop-copy would need and was not read yet, or at least something, until it is drained.
 */
static void estimate(const struct vmig_kabi_data *data, struct vmig_precopy *ret)
{
	uint64_t size;

	*ret = (struct vmig_precopy){ 0 };
	if (data->drained)
		return;
	if (vmig_device_query_stop_copy_size(data->file.slot->dev, &size) < 0)
		size = 0;
	ret->initial_bytes = size > data->passed ? size - data->passed : 1;
}

/** What a session says that has ended, or does not know the question, is judged by the state first: outside PRE_COPY it is EINVAL. */
static int query_session(const struct vmig_kabi_data *data, struct vmig_precopy *ret)
{
	int r = data->session ? vmig_session_query_precopy(data->session, ret) : -ENODEV;

	if (r != -ENODEV && r != -EOPNOTSUPP)
		return r;
	if (!in_precopy(data->file.slot))
		return -EINVAL;
	if (r == -EOPNOTSUPP)
		estimate(data, ret);
	return r == -EOPNOTSUPP ? 0 : r;
}

static int query_precopy(struct vmig_kabi_data *data, struct vmig_precopy *ret)
{
	int r;

	enter(data->file.slot);
	r = vmig_kabi_fault(data->file.slot, VMIG_KABI_FAULT_PRECOPY_INFO, VMIG_STATE_NONE, data->passed);
	if (!r)
		r = query_session(data, ret);
	leave(data->file.slot);
	return r;
}

static int64_t precopy_info(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_data *data = (struct vmig_kabi_data *)ctx->file;
	struct vmig_kabi_slot *slot = data->file.slot;
	struct vmig_uapi_precopy_info info;
	struct vmig_precopy sizes;
	int r;

	if (!(slot->info.migration_flags & VMIG_MIGRATION_PRE_COPY))
		return -ENOTTY;
	r = vmig_kabi_get_args(ctx, arg, &info, sizeof(info));
	if (!r && data->loads)
		r = -EINVAL;
	if (!r)
		r = query_precopy(data, &sizes);
	if (r < 0)
		return r;
	pthread_mutex_lock(&slot->lock);
	info.flags =
		slot->precopy_v2 && (sizes.flags & VMIG_PRECOPY_REINIT) ? VMIG_UAPI_PRECOPY_INFO_REINIT : 0;
	pthread_mutex_unlock(&slot->lock);
	info.initial_bytes = sizes.initial_bytes;
	info.dirty_bytes = sizes.dirty_bytes;
	ctx->call.v[0] = info.initial_bytes;
	ctx->call.v[1] = info.dirty_bytes;
	ctx->call.v[2] = info.flags;
	ctx->call.v[3] = data->number;
	return vmig_kabi_put(ctx, arg, &info, sizeof(info));
}

const struct vmig_kabi_request vmig_kabi_data_requests[] = {
	{ VMIG_UAPI_MIG_GET_PRECOPY_INFO, precopy_info },
	{ 0 },
};
