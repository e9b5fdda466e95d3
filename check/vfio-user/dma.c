/* SPDX-License-Identifier: BSD-3-Clause */
/* DMA_MAP and DMA_UNMAP without a device that works: what is there, what is released, what is left of a user that has gone. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wire.h"
#include "vu.h"

#define IOVA (1ull << 30)

/* Memory as the device takes it: by messages if it can, else with a descriptor. */
static int way(struct vu *vu, uint64_t size)
{
	uint8_t *at;
	int fd = vu_memfd(vu, size, &at);

	if (vu_map(vu, 3, IOVA, VU_PAGE, fd, 0)) {
		close(fd);
		vu_needs_maps(vu, false);
		return -1;
	}
	if (vu_unmap(vu, 0, IOVA, VU_PAGE))
		check_end(vu->c, CHECK_NOT_APPLICABLE, "", "what is mapped cannot be unmapped");
	return fd;
}

static void must_map(struct vu *vu, uint64_t iova, uint64_t size, int fd)
{
	int r = vu_map(vu, 3, iova, size, fd, 0);

	if (r)
		check_fail(vu->c, "DMA_MAP succeeds", "%s", strerror(-r));
}

static void must_unmap(struct vu *vu, uint64_t iova, uint64_t size)
{
	int r = vu_unmap(vu, 0, iova, size);

	if (r)
		check_fail(vu->c, "DMA_UNMAP of what is mapped succeeds", "%s", strerror(-r));
}

void vu_dma_map(struct check_context *c)
{
	struct vu vu;
	int fd;

	vu_start(c, &vu);
	fd = way(&vu, 4 * VU_PAGE);
	for (uint64_t i = 0; i < 4; i++) {
		check_did(c, "mapped 4 pages side by side, %s", fd < 0 ? "by messages" : "with a descriptor");
		must_map(&vu, IOVA + i * VU_PAGE, VU_PAGE, fd);
		vu_has(&vu, 0, "there is no payload in the reply message");
	}
	for (uint64_t i = 0; i < 4; i++)
		must_unmap(&vu, IOVA + i * VU_PAGE, VU_PAGE);
}

void vu_dma_map_over(struct check_context *c)
{
	static const struct {
		const char *what;
		uint64_t at, size;
	} over[] = {
		{ "the same pages", 4, 4 }, { "a part of them", 5, 1 }, { "more than them", 2, 8 },
		{ "their begin", 2, 3 },    { "their end", 7, 3 },
	};
	struct vu vu;
	int fd, r;

	vu_start(c, &vu);
	fd = way(&vu, 8 * VU_PAGE);
	must_map(&vu, IOVA + 4 * VU_PAGE, 4 * VU_PAGE, fd);
	for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++) {
		check_did(c, "mapped %s once more", over[i].what);
		r = vu_map(&vu, 3, IOVA + over[i].at * VU_PAGE, over[i].size * VU_PAGE, fd, 0);
		if (r != -EEXIST)
			check_fail(c, "EEXIST", "%s", r ? strerror(-r) : "success");
	}
	check_did(c, "unmapped what was mapped first");
	must_unmap(&vu, IOVA + 4 * VU_PAGE, 4 * VU_PAGE);
}

#define MANY 1000u

void vu_dma_map_many(struct check_context *c)
{
	struct vu vu;
	uint32_t n;
	int fd, r;

	vu_start(c, &vu);
	if (vu_is_v1(&vu))
		check_end(c, CHECK_NOT_APPLICABLE, "", "0.9.1 has no max_dma_maps");
	fd = way(&vu, VU_PAGE);
	n = vu.max_dma_maps < MANY ? vu.max_dma_maps : MANY;
	check_did(c, "mapped %u pages, each by itself, where max_dma_maps is %u", n, vu.max_dma_maps);
	for (uint64_t i = 0; i < n; i++) {
		r = vu_map(&vu, 3, IOVA + 2 * i * VU_PAGE, VU_PAGE, fd, 0);
		if (r)
			check_fail(c, "so many windows can be valid at one time", "%s after %llu",
				   strerror(-r), (unsigned long long)i);
	}
	for (uint64_t i = 0; i < n; i++)
		must_unmap(&vu, IOVA + 2 * i * VU_PAGE, VU_PAGE);
}

void vu_dma_map_odd(struct check_context *c)
{
	static const struct {
		const char *what;
		uint32_t flags;
		uint64_t iova, size;
	} odd[] = {
		{ "nothing", 3, IOVA, 0 },
		{ "a range beyond the end of all addresses", 3, ~0ull - VU_PAGE + 1, 2 * VU_PAGE },
		{ "2^64 - 4096 bytes", 3, VU_PAGE, ~0ull - VU_PAGE + 1 },
		{ "half a page", 3, IOVA, VU_PAGE / 2 },
		{ "a page that is not aligned", 3, IOVA + 8, VU_PAGE },
		{ "more than the file has", 3, IOVA, 64 * VU_PAGE },
		{ "a page with flags that are not there", 0xff00, IOVA, VU_PAGE },
	};
	struct vu vu;
	int fd;

	vu_start(c, &vu);
	fd = way(&vu, VU_PAGE);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		check_did(c, "mapped %s", odd[i].what);
		if (fd < 0 && odd[i].size == 64 * VU_PAGE)
			continue;
		if (!vu_map(&vu, odd[i].flags, odd[i].iova, odd[i].size, fd, 0))
			check_observe(c, "an error", "success");
		vu_must_live(&vu);
	}
}

/* --- DMA_UNMAP ------------------------------------------------------------------------------------ */

void vu_dma_unmap(struct check_context *c)
{
	struct vu vu;

	vu_start(c, &vu);
	must_map(&vu, IOVA, VU_PAGE, way(&vu, VU_PAGE));
	check_did(c, "unmapped a page");
	must_unmap(&vu, IOVA, VU_PAGE);
	vu_has(&vu, 24, "the server responds with the original DMA entry");
	if (vu_u64(&vu, 8) != IOVA || vu_u64(&vu, 16) != VU_PAGE || vu_u32(&vu, 4))
		check_fail(c, "the server responds with the original DMA entry",
			   "address %#llx, size %#llx, flags %#x", (unsigned long long)vu_u64(&vu, 8),
			   (unsigned long long)vu_u64(&vu, 16), vu_u32(&vu, 4));
}

void vu_dma_unmap_exact(struct check_context *c)
{
	static const struct {
		const char *what;
		uint64_t at, size;
	} other[] = {
		{ "what was never mapped", 64, 1 }, { "the first half", 0, 2 },
		{ "the second half", 2, 2 },        { "the middle", 1, 2 },
		{ "more than there is", 0, 8 },     { "nothing of it", 0, 0 },
	};
	struct vu vu;

	vu_start(c, &vu);
	must_map(&vu, IOVA, 4 * VU_PAGE, way(&vu, 4 * VU_PAGE));
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		check_did(c, "unmapped %s of 4 pages", other[i].what);
		if (!vu_unmap(&vu, 0, IOVA + other[i].at * VU_PAGE, other[i].size * VU_PAGE))
			check_fail(c, "address and size must match exactly a previous mapping", "success");
	}
	check_did(c, "unmapped the 4 pages");
	must_unmap(&vu, IOVA, 4 * VU_PAGE);
	check_did(c, "unmapped them again");
	if (!vu_unmap(&vu, 0, IOVA, 4 * VU_PAGE))
		check_fail(c, "address and size must match exactly a previous mapping", "success");
}

/* Memory that somebody has mapped to write cannot be sealed. */
static bool is_mapped(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) && errno == EBUSY;
}

static int memory_of_its_own(struct vu *vu)
{
	uint8_t *at;
	int fd;

	vu_needs_maps(vu, true);
	fd = vu_memfd(vu, VU_PAGE, &at);
	munmap(at, VU_PAGE);
	return fd;
}

void vu_dma_unmap_releases(struct check_context *c)
{
	struct vu vu;
	int fd;

	vu_start(c, &vu);
	fd = memory_of_its_own(&vu);
	must_map(&vu, IOVA, VU_PAGE, fd);
	check_did(c, "unmapped memory with a descriptor, and sealed it against writing");
	must_unmap(&vu, IOVA, VU_PAGE);
	if (is_mapped(fd))
		check_fail(c, "all references to the region are released before the reply",
			   "it is still mapped");
}

void vu_dma_unmap_all(struct check_context *c)
{
	struct vu vu;
	int fd, r;

	vu_start(c, &vu);
	fd = way(&vu, VU_PAGE);
	must_map(&vu, IOVA, VU_PAGE, fd);
	must_map(&vu, IOVA + 2 * VU_PAGE, VU_PAGE, fd);
	check_did(c, "unmapped all regions");
	r = vu_unmap(&vu, 2, 0, 0);
	if (r && !vu_is_v1(&vu))
		check_end(c, CHECK_NOT_APPLICABLE, "", "it does not speak 0.9.1 (%s)", strerror(-r));
	if (r)
		check_fail(c, "all regions are unmapped", "%s", strerror(-r));
	if (!vu_unmap(&vu, 0, IOVA, VU_PAGE) || !vu_unmap(&vu, 0, IOVA + 2 * VU_PAGE, VU_PAGE))
		check_fail(c, "all regions are unmapped", "one could be unmapped again");
	must_map(&vu, IOVA, VU_PAGE, fd);
	check_did(c, "unmapped all regions with an address");
	if (!vu_unmap(&vu, 2, IOVA, VU_PAGE))
		check_observe(c, "it expects address and size to be 0", "success");
}

/* --- when the user goes --------------------------------------------------------------------------- */

static void next_user(struct vu *vu)
{
	struct vu_body b = vu_version_body(0, 0, NULL);

	if (!vu_again(vu))
		check_end(vu->c, CHECK_NOT_APPLICABLE, "", "the server ends with its user");
	vu_must(vu, VU_VERSION, &b, "the next user is served");
}

void vu_leave_maps(struct check_context *c)
{
	struct vu vu;
	int fd, r;

	vu_start(c, &vu);
	fd = memory_of_its_own(&vu);
	must_map(&vu, IOVA, VU_PAGE, fd);
	check_did(c, "left with memory mapped, and came back");
	next_user(&vu);
	if (is_mapped(fd))
		check_observe(c, "all client memory regions are unmapped", "one is still mapped");
	r = vu_map(&vu, 3, IOVA, VU_PAGE, memory_of_its_own(&vu), 0);
	if (r)
		check_observe(c, "all client memory regions are unmapped", "%s when it is mapped again",
			      strerror(-r));
}

void vu_leave_irqs(struct check_context *c)
{
	struct vu_body b = { 0 };
	struct vu vu;
	int fd, watch, r = -1;

	vu_start(c, &vu);
	fd = eventfd(0, EFD_CLOEXEC);
	watch = vu_watch(&vu, fd);
	for (uint32_t index = 0; r && index < vu.n_irqs && index < 8; index++) {
		b = (struct vu_body){ .fd = fd };
		vu_32(&b, 20);
		vu_32(&b, 0x24); /* by a descriptor, trigger */
		vu_32(&b, index);
		vu_32(&b, 0);
		vu_32(&b, 1);
		r = vu_call(&vu, VU_SET_IRQS, &b);
	}
	close(fd);
	if (r)
		check_end(c, CHECK_NOT_APPLICABLE, "", "no interrupt takes a descriptor");
	check_did(c, "left with an interrupt's descriptor set, and came back");
	if (!vu_is_open(watch))
		check_end(c, CHECK_SKIPPED, "", "the server keeps no descriptor");
	next_user(&vu);
	if (vu_is_open(watch))
		check_observe(c, "all IRQ file descriptors are closed", "one is still open");
}

void vu_leave_state(struct check_context *c)
{
	struct vu vu;
	uint32_t state;

	vu_start(c, &vu);
	vu_needs_migration(&vu);
	vu_enter(&vu, VMIG_STATE_STOP);
	check_did(c, "left in STOP, and came back");
	next_user(&vu);
	state = vu_state(&vu);
	vu_to_running(&vu);
	if (state != VMIG_STATE_STOP)
		check_observe(c, "the device state is retained: STOP", "%s", check_state_name(state));
}
