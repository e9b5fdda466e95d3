/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz-region: a user of a migration region that does whatever it likes. Byte 0 chooses the kind of section; then come
 * operations, of a byte and what it takes (see below).
 * Whatever comes: no crash, no hang; device_state reads what was written last or the error state; what is pending is
 * there; a reset leads back to RUNNING.
 */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>

#include <vmig/region.h>
#include <vmig/uapi.h>

#include "models/models.h"

#define SECTION    (16u << 10)
#define STREAM_MAX (64u << 10)

enum op {
	OP_STATE,    /* value, reserved bits */
	OP_READ,     /* offset (2), length */
	OP_WRITE,    /* offset (2), length, byte */
	OP_FAR,      /* offset (8), length, write or read */
	OP_ITERATE,  /* steps a-f, as many */
	OP_SIZE,     /* data_size (2) */
	OP_LOAD,     /* as much (2) of a good stream, from where it was left */
	OP_SCRIBBLE, /* offset (2) in what is mapped, byte */
	OP_RESET,
	OP_NR,
};

static struct shown {
	struct vmig_device *dev;
	struct vmig_region region;
	uint8_t *map;
} shown[3];
static uint8_t good[STREAM_MAX]; /* what an untouched device saves */
static size_t good_len;

struct input {
	const uint8_t *data;
	size_t size;
};

static uint64_t take(struct input *in, unsigned int bytes)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < bytes && in->size; i++, in->data++, in->size--)
		v |= (uint64_t)*in->data << (8 * i);
	return v;
}

static int reg_read(struct shown *s, uint64_t offset, void *value, size_t len)
{
	return vmig_device_region_read(s->dev, s->region.index, offset, value, len);
}

static int reg_write(struct shown *s, uint64_t offset, const void *value, size_t len)
{
	return vmig_device_region_write(s->dev, s->region.index, offset, value, len);
}

/* --- operations ---------------------------------------------------------------------------- */

static uint32_t state_of(struct shown *s)
{
	uint32_t state;

	MUST(!reg_read(s, 0, &state, 4));
	return state;
}

static void write_state(struct shown *s, uint32_t value)
{
	uint32_t before = state_of(s), after;
	int r = reg_write(s, 0, &value, 4);

	after = state_of(s);
	if (!r)
		MUST(after == value && (value & 7) <= 4);
	else
		MUST(after == before || VMIG_UAPI_DEVICE_STATE_IS_ERROR(after));
}

/** Steps a to d; false: there is nothing. */
static bool iterate(struct shown *s)
{
	static uint8_t data[SECTION];
	uint64_t pending, offset, size;

	if (reg_read(s, 8, &pending, 8) < 0 || !pending)
		return false;
	MUST(!reg_read(s, 16, &offset, 8) && !reg_read(s, 24, &size, 8));
	MUST(size && size <= pending && size <= SECTION);
	MUST(offset >= 32 && offset <= s->region.size && size <= s->region.size - offset);
	MUST(!reg_read(s, offset, data, size));
	return true;
}

static void load_good(struct shown *s, size_t *at, size_t len)
{
	uint64_t offset, size = len;

	if ((state_of(s) & 7) != 4 || reg_read(s, 16, &offset, 8) < 0)
		return;
	if (size > SECTION)
		size = SECTION;
	if (size > good_len - *at)
		size = good_len - *at;
	if (size)
		MUST(!reg_write(s, offset, good + *at, size));
	if (!reg_write(s, 24, &size, 8))
		*at += size;
}

static void far_away(struct shown *s, uint64_t offset, size_t len, bool is_write)
{
	uint8_t buf[256] = { 0 };

	if (is_write)
		(void)reg_write(s, offset, buf, len);
	else
		(void)reg_read(s, offset, buf, len);
}

static void write_near(struct shown *s, uint64_t offset, size_t len, uint8_t byte)
{
	uint8_t buf[256];

	memset(buf, byte, sizeof(buf));
	/* device_state has an operation of its own, which knows what must follow. */
	if (offset || len != 4)
		(void)reg_write(s, offset, buf, len);
}

static void reset(struct shown *s)
{
	MUST(!vmig_device_reset(s->dev));
	MUST(state_of(s) == 1);
}

static void one(struct shown *s, struct input *in, size_t *at)
{
	uint64_t a, b;

	switch (take(in, 1) % OP_NR) {
	case OP_STATE:
		a = take(in, 1);
		write_state(s, (uint32_t)(a | take(in, 1) << 8));
		*at = 0;
		break;
	case OP_READ:
		a = take(in, 2);
		far_away(s, a, take(in, 1), false);
		break;
	case OP_WRITE:
		a = take(in, 2);
		b = take(in, 1);
		write_near(s, a, b, (uint8_t)take(in, 1));
		break;
	case OP_FAR:
		a = take(in, 8);
		b = take(in, 1);
		far_away(s, a | 1, b, take(in, 1) & 1);
		break;
	case OP_ITERATE:
		for (a = take(in, 1); a && iterate(s); a--)
			;
		break;
	case OP_SIZE:
		a = take(in, 2);
		(void)reg_write(s, 24, &a, 8);
		break;
	case OP_LOAD:
		load_good(s, at, take(in, 2));
		break;
	case OP_SCRIBBLE:
		a = take(in, 2) % SECTION;
		if (s->map)
			s->map[a] = (uint8_t)take(in, 1);
		break;
	case OP_RESET:
		reset(s);
	}
}

/* --- birth and end ------------------------------------------------------------------------- */

static void open_shown(int section)
{
	const struct vmig_v1_config config = { .section = section, .section_size = SECTION };
	struct shown *s = &shown[section];
	struct vmig_device *inner;
	uint64_t size;

	MUST(!models_open("nic,state=8K", &inner, NULL));
	MUST(!vmig_show_v1(inner, &config, &s->dev));
	MUST(!vmig_device_query_region(s->dev, 9, &s->region) && s->region.cap_type == 3);
	if (s->region.fd >= 0) {
		s->map = mmap(NULL, SECTION, PROT_READ | PROT_WRITE, MAP_SHARED, s->region.fd,
			      (off_t)s->region.fd_offset + 4096);
		MUST(s->map != MAP_FAILED);
	}
	if (good_len)
		return;
	write_state(s, 2);
	while (iterate(s)) {
		MUST(!reg_read(s, 24, &size, 8) && good_len + size <= STREAM_MAX);
		MUST(!reg_read(s, 32, good + good_len, size));
		good_len += size;
	}
	reset(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct shown *s = &shown[take(&in, 1) % 3];
	size_t at = 0;

	for (int i = 0; i < 3; i++)
		if (!shown[i].dev)
			open_shown(i);
	while (in.size)
		one(s, &in, &at);
	reset(s);
	return 0;
}

#ifdef REPLAY_END
__attribute__((destructor)) static void close_shown(void)
{
	for (int i = 0; i < 3; i++) {
		if (shown[i].map)
			munmap(shown[i].map, SECTION);
		vmig_device_close(shown[i].dev);
	}
}
#endif
