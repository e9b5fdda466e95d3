/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data of memory, from a source that may say anything. The first byte tells in what pieces the rest comes. However it is
 * cut, the judgement and the memory are the same; and no byte beside the regions changes.
 */
#include "fuzz.h"

#include <string.h>

#include <vmig/memory.h>

#include "base/util.h"

#define K4     4096u
#define GUARD  0x5a
#define FIRST  (4 * K4)  /* of 8 pages */
#define SECOND (16 * K4) /* of 4 pages that are 8 KiB large */

struct victim {
	uint8_t *bytes[2]; /* each with a page of guard before and behind */
	struct vmig_device *dev;
	struct vmig_session *session;
	int refused;
};

static const uint32_t sizes[2] = { 8 * K4, 8 * K4 };

static void victim_open(struct victim *v)
{
	struct vmig_memory_region regions[2] = {
		{ .iova = FIRST, .size = sizes[0], .fd = -1 },
		{ .iova = SECOND, .size = sizes[1], .fd = -1, .page_size = 2 * K4 }
	};
	const struct vmig_memory_config config = { .regions = regions, .n_regions = 2, .quiet = true };

	*v = (struct victim){ 0 };
	for (int i = 0; i < 2; i++) {
		v->bytes[i] = malloc(sizes[i] + 2 * K4);
		MUST(v->bytes[i]);
		memset(v->bytes[i], GUARD, sizes[i] + 2 * K4);
		regions[i].vaddr = v->bytes[i] + K4;
	}
	MUST(!vmig_memory_new(&config, &v->dev));
	MUST(!vmig_device_set_state(v->dev, VMIG_STATE_RESUMING, VMIG_STATE_NONE, &v->session));
}

static void feed(struct victim *v, const uint8_t *data, size_t size, size_t piece)
{
	while (size && !v->refused) {
		struct iovec iov = { (void *)(uintptr_t)data, MIN(size, piece) };

		v->refused = vmig_session_writev(v->session, &iov, 1);
		data += iov.iov_len;
		size -= iov.iov_len;
	}
}

static void check_guards(const struct victim *v)
{
	for (int i = 0; i < 2; i++)
		for (uint32_t at = 0; at < K4; at++)
			MUST(v->bytes[i][at] == GUARD && v->bytes[i][K4 + sizes[i] + at] == GUARD);
}

static int finish(struct victim *v)
{
	int r = vmig_device_set_state(v->dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL);

	MUST(!v->refused || r);
	check_guards(v);
	return r;
}

static void victim_close(struct victim *v)
{
	vmig_session_close(v->session);
	vmig_device_close(v->dev);
	free(v->bytes[0]);
	free(v->bytes[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct victim whole, cut;
	int r;

	if (!size)
		return 0;
	victim_open(&whole);
	victim_open(&cut);
	feed(&whole, data + 1, size - 1, size);
	feed(&cut, data + 1, size - 1, 1 + data[0]);
	MUST(whole.refused == cut.refused);
	r = finish(&whole);
	MUST(finish(&cut) == r);
	/* Of what was refused in its midst more or less may have come. */
	for (int i = 0; i < 2 && !r; i++)
		MUST(!memcmp(whole.bytes[i], cut.bytes[i], sizes[i] + 2 * K4));
	victim_close(&whole);
	victim_close(&cut);
	return 0;
}
