/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads and writes of regions, and their limits. Configuration space is what every PCI device has. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"
#include "vu.h"

#define CONFIG 7u
#define LINE   0x3cu /* of the interrupt: a byte that is only kept */

static void start(struct check_context *c, struct vu *vu)
{
	vu_start(c, vu);
	vu_needs_pci(vu);
}

static void echoes(struct vu *vu, uint64_t offset, uint32_t count, size_t len)
{
	vu_has(vu, len, "offset, region and count, and the data of a read");
	if (vu_u64(vu, 0) != offset || vu_u32(vu, 8) != CONFIG || vu_u32(vu, 12) != count)
		check_fail(vu->c, "offset, region and count of the request", "%#llx, %u, %u",
			   (unsigned long long)vu_u64(vu, 0), vu_u32(vu, 8), vu_u32(vu, 12));
}

void vu_region_reads(struct check_context *c)
{
	static const uint32_t sizes[] = { 1, 2, 4, 64 };
	uint8_t whole[64], part[64];
	struct vu vu;

	start(c, &vu);
	if (vu_region_read(&vu, CONFIG, 0, whole, sizeof(whole)))
		check_fail(c, "configuration space can be read", "%s", strerror((int)vu.in.error));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		check_did(c, "read %u bytes of configuration space", sizes[i]);
		if (vu_region_read(&vu, CONFIG, 0, part, sizes[i]))
			check_fail(c, "the data", "%s", strerror((int)vu.in.error));
		echoes(&vu, 0, sizes[i], 16 + sizes[i]);
		if (memcmp(part, whole, sizes[i]) != 0)
			check_fail(c, "the same data in any size", "others in %u bytes", sizes[i]);
	}
}

void vu_region_writes(struct check_context *c)
{
	uint8_t before, now, value;
	struct vu vu;

	start(c, &vu);
	if (vu_region_read(&vu, CONFIG, LINE, &before, 1))
		check_fail(c, "the interrupt line can be read", "%s", strerror((int)vu.in.error));
	value = (uint8_t)(before ^ 5);
	check_did(c, "wrote the interrupt line, and read it");
	if (vu_region_write(&vu, CONFIG, LINE, &value, 1))
		check_fail(c, "the interrupt line can be written", "%s", strerror((int)vu.in.error));
	echoes(&vu, LINE, 1, 16);
	if (vu_region_read(&vu, CONFIG, LINE, &now, 1) || now != value)
		check_fail(c, "what was written", "%#x for %#x", now, value);
	(void)vu_region_write(&vu, CONFIG, LINE, &before, 1);
}

static uint64_t size_of(struct vu *vu, uint32_t region)
{
	struct vu_body b = { 0 };

	vu_32(&b, 4096);
	vu_32(&b, 0);
	vu_32(&b, region);
	vu_32(&b, 0);
	vu_64(&b, 0);
	vu_64(&b, 0);
	return vu_call(vu, VU_REGION_INFO, &b) ? 0 : vu_u64(vu, 16);
}

void vu_region_bounds(struct check_context *c)
{
	struct vu vu;
	uint64_t size;
	uint8_t buf[8];

	start(c, &vu);
	size = size_of(&vu, CONFIG);
	const struct {
		const char *what;
		uint32_t region;
		uint64_t offset;
		uint32_t len;
	} beyond[] = {
		{ "at the end of a region", CONFIG, size, 4 },
		{ "over the end of a region", CONFIG, size - 2, 4 },
		{ "far behind a region", CONFIG, 1ull << 40, 4 },
		{ "at the end of all addresses", CONFIG, ~0ull - 3, 8 },
		{ "of a region that is not there", vu.n_regions, 0, 4 },
		{ "of region 2^32 - 1", ~0u, 0, 4 },
	};
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		check_did(c, "read and wrote %s", beyond[i].what);
		if (!vu_region_read(&vu, beyond[i].region, beyond[i].offset, buf, beyond[i].len) ||
		    !vu_region_write(&vu, beyond[i].region, beyond[i].offset, buf, beyond[i].len))
			check_observe(c, "an error", "success");
		vu_must_live(&vu);
	}
}

/* A count is no length of a message: the reply would be. */
void vu_count_limit(struct check_context *c)
{
	static const uint32_t more[] = { 1, 1u << 30, ~0u };
	struct vu vu;

	start(c, &vu);
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		uint32_t count = more[i] == 1 ? vu.max_data + 1 : more[i];
		struct vu_body b = { 0 };

		check_did(c, "read %u bytes, with a max_data_xfer_size of %u", count, vu.max_data);
		vu_64(&b, 0);
		vu_32(&b, CONFIG);
		vu_32(&b, count);
		if (!vu_call(&vu, VU_REGION_READ, &b))
			check_observe(c, "an error to a count beyond its max_data_xfer_size", "%zu bytes",
				      vu.in.len);
		vu_must_live(&vu);
	}
}

/* --- several writes in a message ------------------------------------------------------------------------ */

static void put_write(struct vu_body *b, uint8_t value)
{
	vu_64(b, LINE);
	vu_32(b, CONFIG);
	vu_32(b, 1);
	vu_64(b, value);
}

void vu_write_multi(struct check_context *c)
{
	struct vu_body b = { 0 };
	uint8_t before, now;
	struct vu vu;

	start(c, &vu);
	if (!vu.write_multiple)
		check_end(c, CHECK_NOT_APPLICABLE, "", "write_multiple was not agreed on");
	if (vu_region_read(&vu, CONFIG, LINE, &before, 1))
		check_fail(c, "the interrupt line can be read", "%s", strerror((int)vu.in.error));
	check_did(c, "wrote the interrupt line three times in one message, and read it");
	vu_64(&b, 3);
	for (uint8_t i = 1; i <= 3; i++)
		put_write(&b, (uint8_t)(before ^ i));
	vu_must(&vu, VU_WRITE_MULTI, &b, "write_multiple: REGION_WRITE_MULTI is supported");
	vu_has(&vu, 8, "wr_cnt");
	if (vu_u64(&vu, 0) != 3)
		check_fail(c, "wr_cnt is the number of device writes completed: 3", "%llu",
			   (unsigned long long)vu_u64(&vu, 0));
	if (vu_region_read(&vu, CONFIG, LINE, &now, 1) || now != (before ^ 3))
		check_fail(c, "the last of them", "%#x for %#x", now, before ^ 3);
	(void)vu_region_write(&vu, CONFIG, LINE, &before, 1);
}
