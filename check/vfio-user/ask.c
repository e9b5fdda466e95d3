/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions, features, states, data and the log of DMA, as a check asks for them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "wire.h"

/* --- regions -------------------------------------------------------------------------------------- */

int vu_region_read(struct vu *vu, uint32_t region, uint64_t offset, void *buf, uint32_t len)
{
	struct vu_body b = { 0 };
	int r;

	vu_64(&b, offset);
	vu_32(&b, region);
	vu_32(&b, len);
	r = vu_call(vu, VU_REGION_READ, &b);
	if (r)
		return r;
	if (vu->in.len < 16 + (size_t)len)
		check_fail(vu->c, "the data are behind the 16 bytes of the reply", "%zu bytes for %u",
			   vu->in.len, len);
	memcpy(buf, vu->in.body + 16, len);
	return 0;
}

int vu_region_write(struct vu *vu, uint32_t region, uint64_t offset, const void *buf, uint32_t len)
{
	struct vu_body b = { .data = buf, .data_len = len };

	vu_64(&b, offset);
	vu_32(&b, region);
	vu_32(&b, len);
	return vu_call(vu, VU_REGION_WRITE, &b);
}

void vu_needs_pci(struct vu *vu)
{
	uint32_t ids;

	if (!(vu->device_flags & 2) || vu->n_regions < 8 || vu_region_read(vu, 7, 0, &ids, 4))
		check_end(vu->c, CHECK_NOT_APPLICABLE, "", "it has no PCI configuration space");
}

/* --- features ------------------------------------------------------------------------------------- */

int vu_feature(struct vu *vu, uint32_t argsz, uint32_t flags, const void *data, size_t len)
{
	struct vu_body b = { .data = data, .data_len = len };

	vu_32(&b, argsz);
	vu_32(&b, flags);
	return vu_call(vu, VU_FEATURE, &b);
}

/* For the report: where it is now. */
static void end_arc(struct vu *vu, struct check_arc *arc, enum check_want want, int r)
{
	check_arc_back(vu->c, arc);
	check_arc_end(vu->c, arc, want, r,
		      vu_feature(vu, 16, VU_GET | VU_STATE, NULL, 0) ? VMIG_STATE_NONE : vu_u32(vu, 8));
}

int vu_set_state(struct vu *vu, uint32_t state, enum check_want want)
{
	const uint32_t data[2] = { state, ~0u };
	struct check_arc *arc = check_arc_begin(vu->c, state);
	int r = vu_feature(vu, 16, VU_SET | VU_STATE, data, sizeof(data));

	end_arc(vu, arc, want, r);
	return r;
}

int vu_send_reset(struct vu *vu)
{
	struct check_arc *arc = check_arc_begin(vu->c, VMIG_STATE_RUNNING);
	int r;

	arc->reset = true;
	r = vu_call(vu, VU_RESET, NULL);
	end_arc(vu, arc, CHECK_WANT_EITHER, r);
	return r;
}

uint32_t vu_state(struct vu *vu)
{
	int r = vu_feature(vu, 16, VU_GET | VU_STATE, NULL, 0);

	if (r)
		check_fail(vu->c, "the state can be asked for at any time", "%s", strerror(-r));
	vu->c->at = vu_u32(vu, 8);
	return vu->c->at;
}

void vu_enter(struct vu *vu, uint32_t state)
{
	int r = vu_set_state(vu, state, CHECK_WANT_SUCCESS);
	uint32_t now;
	char expected[64];

	snprintf(expected, sizeof(expected), "the device goes to %s", check_state_name(state));
	if (r)
		check_fail(vu->c, expected, "%s", strerror(-r));
	now = vu_state(vu);
	if (now != state)
		check_fail(vu->c, expected, "it is in %s (%u)", check_state_name(now), now);
}

void vu_needs_migration(struct vu *vu)
{
	if (!vu->migrates || !(vu->flags & VMIG_MIGRATION_STOP_COPY))
		check_end(vu->c, CHECK_NOT_APPLICABLE, "", "it does not migrate by VFIO_USER_DEVICE_FEATURE");
}

bool vu_has_state(const struct vu *vu, uint32_t state)
{
	return state != VMIG_STATE_ERROR && vmig_state_supported(vu->flags, state);
}

void vu_to_running(struct vu *vu)
{
	uint32_t state = vu_state(vu);
	int r = 0;

	if (state == VMIG_STATE_RUNNING)
		return;
	if (state == VMIG_STATE_ERROR || state == VMIG_STATE_RESUMING ||
	    vu_set_state(vu, VMIG_STATE_RUNNING, CHECK_WANT_EITHER))
		r = vu_send_reset(vu);
	if (!r && vu_state(vu) != VMIG_STATE_RUNNING)
		r = vu_set_state(vu, VMIG_STATE_RUNNING,
				 CHECK_WANT_EITHER); /* a reset that leaves the machine where it is */
	if (r)
		check_end(vu->c, CHECK_ERROR, "the device comes back to RUNNING", "%s", strerror(-r));
}

int64_t vu_data_read(struct vu *vu, uint32_t size)
{
	struct vu_body b = { 0 };
	int r;

	vu_32(&b, 8 + size);
	vu_32(&b, size);
	r = vu_call(vu, VU_DATA_READ, &b);
	if (r)
		return r;
	if (vu_u32(vu, 4) > size || vu_u32(vu, 4) > vu->in.len - 8)
		check_fail(vu->c, "size indicates the size of returned migration data",
			   "%u bytes said, %zu there, of %u", vu_u32(vu, 4), vu->in.len - 8, size);
	return vu_u32(vu, 4);
}

int vu_data_write(struct vu *vu, const void *data, uint32_t size)
{
	struct vu_body b = { .data = data, .data_len = size };

	vu_32(&b, 8 + size);
	vu_32(&b, size);
	return vu_call(vu, VU_DATA_WRITE, &b);
}

int vu_log_start(struct vu *vu, uint64_t page_size, const uint64_t *ranges, uint32_t n)
{
	struct vu_body b = { 0 };

	vu_32(&b, 24 + 16 * n);
	vu_32(&b, VU_SET | VU_LOG_START);
	vu_64(&b, page_size);
	vu_32(&b, n);
	vu_32(&b, 0);
	if (n)
		vu_bytes(&b, ranges, n * 16);
	return vu_call(vu, VU_FEATURE, &b);
}

int vu_log_report(struct vu *vu, uint64_t iova, uint64_t length, uint64_t page_size)
{
	uint64_t pages = length / page_size + !!(length % page_size), words = (pages + 63) / 64;
	const uint64_t data[3] = { iova, length, page_size };

	return vu_feature(vu, (uint32_t)(32 + 8 * words), VU_GET | VU_LOG_REPORT, data, sizeof(data));
}

void vu_needs_log(struct vu *vu)
{
	if (vu_feature(vu, 8, VU_PROBE | VU_SET | VU_LOG_START, NULL, 0))
		check_end(vu->c, CHECK_NOT_APPLICABLE, "",
			  "it has no log of DMA by VFIO_USER_DEVICE_FEATURE");
}
