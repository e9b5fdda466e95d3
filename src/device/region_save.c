/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An iteration of the saving states.
 *
 *	a.  read pending_bytes   the buffer is filled: only so can it be told that something is there
 *	b.  read data_offset     ... where
 *	c.  read data_size       ... and how much
 *	d.  the user takes it
 *	f.  read pending_bytes   after b and c: it has been taken, and the next buffer is filled
 *
 * Until b and c are done, and from then until f, all reads answer the same. What lies in the buffer when
 * the state goes from 3 to 2 is a part of the stream still.
 */
#include "device/region.h"

void vmig_v1_save_init(struct vmig_v1 *v)
{
	v->save = (struct vmig_v1_save){ 0 };
}

void vmig_v1_save_stopped(struct vmig_v1 *v)
{
	struct vmig_v1_save *save = &v->save;

	if (vmig_device_query_stop_copy_size(v->inner, &save->stop_copy) < 0)
		save->stop_copy = 0;
	save->rest = save->stop_copy;
}

static int lost(struct vmig_v1 *v, struct vmig_error *error)
{
	return vmig_fault(error, v->save.error, "pending_bytes",
			  "the device has failed to save its state: leave the saving states");
}

/** Before it is read, not behind it: the question may be what makes the next round's data ready. */
static uint64_t estimate(struct vmig_v1 *v)
{
	struct vmig_precopy sizes;

	if (vmig_v1_bits(v) == V1_SAVING)
		return v->save.stop_copy;
	if (!(v->info.has & VMIG_HAS_PRECOPY_INFO) || vmig_session_query_precopy(v->session, &sizes) < 0)
		return 0;
	return add_fits(sizes.initial_bytes, sizes.dirty_bytes) ? sizes.initial_bytes + sizes.dirty_bytes : 0;
}

/** Fill the section from the session: as full as it gets. 0, or what reading failed with. */
static int fill(struct vmig_v1 *v, struct vmig_error *error)
{
	const struct vmig_v1_place *place = &v->places[v->save.place];
	struct vmig_v1_save *save = &v->save;

	while (save->fill < place->size) {
		struct iovec iov = { v->section + place->offset + save->fill, place->size - save->fill };
		ssize_t got = vmig_session_readv(v->session, &iov, 1);

		if (got == -ENOMSG)
			return 0;
		if (got < 0)
			return vmig_v1_passed(v, (int)got, error);
		if (!got) {
			save->ended = true;
			return 0;
		}
		save->fill += (uint64_t)got;
	}
	return 0;
}

/** The next buffer. What comes before a failure is good: the failure is told behind it. */
static int next_buffer(struct vmig_v1 *v, struct vmig_error *error)
{
	struct vmig_v1_save *save = &v->save;
	uint64_t all;

	if (save->error)
		return lost(v, error);
	if (save->ended || (!v->session && vmig_v1_bits(v) == V1_PRE_COPY))
		return 0;
	if (!v->session)
		return vmig_fault(error, -EIO, "pending_bytes", "the device has given no data session");
	all = estimate(v);
	save->error = fill(v, error);
	if (save->error && !save->fill)
		return save->error;
	save->rest = !save->ended && all > save->fill ? all - save->fill : 0;
	save->stop_copy -= MIN(save->stop_copy, save->fill);
	return 0;
}

static void take_buffer(struct vmig_v1 *v)
{
	struct vmig_v1_save *save = &v->save;

	save->given += save->fill;
	save->fill = 0;
	save->offset_read = save->size_read = false;
	save->place = (save->place + 1) % v->n_places;
}

int vmig_v1_read_pending(struct vmig_v1 *v, uint64_t *ret, struct vmig_error *error)
{
	struct vmig_v1_save *save = &v->save;
	int r = 0;

	*ret = 0;
	if (!vmig_v1_saves(v))
		return 0;
	if (save->fill && save->offset_read && save->size_read)
		take_buffer(v);
	if (!save->fill)
		r = next_buffer(v, error);
	if (r < 0)
		return r;
	/* A size of 0 must not follow: without a buffer there is nothing, whatever the estimates say. */
	if (save->fill)
		*ret = save->fill + MIN(save->rest, UINT64_MAX - save->fill);
	return 0;
}

int vmig_v1_read_data_offset(struct vmig_v1 *v, uint64_t *ret, struct vmig_error *error)
{
	int r = 0;

	*ret = v->data_at;
	if (!vmig_v1_saves(v))
		return 0;
	/* Of a user that has left out step a. */
	if (!v->save.fill)
		r = next_buffer(v, error);
	if (r < 0)
		return r;
	v->save.offset_read = v->save.fill > 0;
	*ret += v->places[v->save.place].offset;
	return 0;
}

int vmig_v1_read_data_size(struct vmig_v1 *v, uint64_t *ret, struct vmig_error *error)
{
	*ret = vmig_v1_saves(v) ? v->save.fill : v->loaded;
	if (vmig_v1_saves(v))
		v->save.size_read = v->save.fill > 0;
	return 0;
}
