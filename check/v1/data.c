/* SPDX-License-Identifier: BSD-3-Clause */
/* The sequences of the v1 text: saving, steps a to f; resuming, steps a to c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "v1.h"

/* More are taken for an endless loop; so are so many that are empty, one after the other. */
#define TRANSACTIONS_MAX (1u << 20)
#define EMPTY_MAX        1000

int check_v1_data(struct check_context *c, uint64_t offset, void *buf, size_t len)
{
	struct vmig_region region;

	check_v1_find(c, &region);
	return vmig_device_region_read(c->dev, region.index, offset, buf, len);
}

/* A check is a process: this is of one. */
static void no_endless_loop(struct check_context *c, uint64_t size)
{
	static unsigned int n_empty;

	n_empty = size ? 0 : n_empty + 1;
	if (n_empty == EMPTY_MAX)
		check_fail(c, "pending_bytes comes to 0", "data_size is 0, and something pending, %u times",
			   n_empty);
}

struct check_v1_buffer check_v1_buffer(struct check_context *c)
{
	struct check_v1_buffer buffer;
	struct vmig_region region;

	check_v1_find(c, &region);
	buffer.offset = check_v1_read(c, V1_DATA_OFFSET);
	buffer.size = check_v1_read(c, V1_DATA_SIZE);
	if (buffer.offset < V1_REGISTERS || buffer.offset > region.size ||
	    buffer.size > region.size - buffer.offset)
		check_fail(c, "the data lie in the data section", "%#llx bytes at %#llx of a region of %#llx",
			   (unsigned long long)buffer.size, (unsigned long long)buffer.offset,
			   (unsigned long long)region.size);
	no_endless_loop(c, buffer.size);
	return buffer;
}

uint8_t *check_v1_take(struct check_context *c, struct check_v1_buffer buffer)
{
	uint8_t *data;
	int r;

	if (buffer.size > CHECK_STREAM_MAX)
		check_end(c, CHECK_SKIPPED, "", "a transaction has more than %u MiB: too much to keep",
			  CHECK_STREAM_MAX >> 20);
	data = malloc((size_t)buffer.size + 1);
	if (!data)
		check_end(c, CHECK_ERROR, "", "no memory");
	r = check_v1_data(c, buffer.offset, data, (size_t)buffer.size);
	if (r)
		check_fail(c, "the data can be read once data_offset and data_size have been",
			   "%llu bytes: %s", (unsigned long long)buffer.size, strerror(-r));
	return data;
}

/* --- saving --------------------------------------------------------------------------------------- */

static void *grown(struct check_context *c, void *old, size_t size)
{
	void *more = realloc(old, size);

	if (!more)
		check_end(c, CHECK_ERROR, "", "no memory");
	return more;
}

static void keep(struct check_context *c, struct check_v1_stream *to, const uint8_t *data, size_t len)
{
	if (len > CHECK_STREAM_MAX - to->bytes.len)
		check_end(c, CHECK_SKIPPED, "", "the stream has more than %u MiB: too much to keep",
			  CHECK_STREAM_MAX >> 20);
	to->bytes.data = grown(c, to->bytes.data, to->bytes.len + len + 1);
	memcpy(to->bytes.data + to->bytes.len, data, len);
	to->bytes.len += len;
	to->sizes = grown(c, to->sizes, (to->n + 1) * sizeof(*to->sizes));
	to->sizes[to->n++] = len;
}

bool check_v1_transaction(struct check_context *c, bool twice, struct check_v1_stream *to)
{
	struct check_v1_buffer buffer;
	uint64_t pending = 0;
	uint8_t *data;

	for (int i = 0; i <= twice; i++)
		pending = check_v1_read(c, V1_PENDING_BYTES);
	if (!pending)
		return false;
	for (int i = 0; i <= twice; i++)
		buffer = check_v1_buffer(c);
	data = check_v1_take(c, buffer);
	if (to)
		keep(c, to, data, (size_t)buffer.size);
	free(data);
	return true;
}

size_t check_v1_iterate(struct check_context *c, size_t max, struct check_v1_stream *to)
{
	size_t n = 0;

	while (n < max && check_v1_transaction(c, false, to))
		if (++n == TRANSACTIONS_MAX)
			check_fail(c, "pending_bytes comes to 0", "not within %zu transactions", n);
	return n;
}

void check_v1_save(struct check_context *c, struct check_v1_stream *to)
{
	*to = (struct check_v1_stream){ 0 };
	check_v1_bring(c, V1_SAVING);
	check_v1_iterate(c, SIZE_MAX, to);
	check_v1_go(c, V1_STOP);
}

void check_v1_stream_free(struct check_v1_stream *s)
{
	free(s->bytes.data);
	free(s->sizes);
	*s = (struct check_v1_stream){ 0 };
}

void check_v1_save_same(struct check_context *c, struct check_v1_stream *ret)
{
	struct check_v1_stream first;
	bool same;

	check_v1_save(c, &first);
	check_v1_save(c, ret);
	same = first.bytes.len == ret->bytes.len &&
	       !memcmp(first.bytes.data, ret->bytes.data, first.bytes.len);
	check_v1_stream_free(&first);
	if (!same)
		check_end(c, CHECK_NOT_APPLICABLE, "",
			  "the device saves something else each time that it has run");
	if (!ret->bytes.len)
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has nothing to save");
}

/* --- resuming ------------------------------------------------------------------------------------- */

static int write_by(struct check_context *c, const struct check_v1_maps *maps, uint64_t offset,
		    const uint8_t *data, size_t len)
{
	int r = 0;

	for (size_t done = 0, n; done < len && !r; done += n) {
		uint8_t *to;

		n = len - done;
		to = maps ? check_v1_mapped(maps, offset + done, &n) : NULL;
		if (to)
			memcpy(to, data + done, n);
		else
			r = check_v1_put(c, offset + done, data + done, n);
	}
	return r;
}

static int spoil(struct check_context *c, uint64_t offset, size_t len)
{
	uint8_t *none = malloc(len + 1);
	int r;

	if (!none)
		check_end(c, CHECK_ERROR, "", "no memory");
	memset(none, 0xdb, len);
	r = check_v1_put(c, offset, none, len);
	free(none);
	return r;
}

static int load_one(struct check_context *c, const struct check_v1_maps *maps, const uint8_t *data,
		    size_t len, enum check_v1_how how)
{
	uint64_t offset, size = len;
	struct vmig_region region;
	int r = check_v1_get(c, V1_DATA_OFFSET, &offset, sizeof(offset));

	/* What an earlier transaction was refused for, perhaps. */
	if (r)
		return r;

	check_v1_find(c, &region);
	if (offset < V1_REGISTERS || offset > region.size || len > region.size - offset)
		check_fail(c, "a transaction that the device has saved has room in its data section",
			   "%zu bytes at %#llx of a region of %#llx", len, (unsigned long long)offset,
			   (unsigned long long)region.size);
	r = write_by(c, maps, offset, data, len);
	if (!r)
		r = check_v1_put(c, V1_DATA_SIZE, &size, sizeof(size));
	/* A device may refuse it, as nobody has asked for data here: what counts is that it does no harm. */
	if (!r && how == CHECK_V1_SPOIL)
		(void)spoil(c, offset, len);
	return r;
}

int check_v1_load(struct check_context *c, const struct check_v1_stream *from, enum check_v1_how how)
{
	const uint8_t *at = from->bytes.data;
	struct check_v1_maps maps;
	int r = 0;

	check_v1_bring(c, V1_RESUMING);
	if (how == CHECK_V1_BY_MAP)
		check_v1_map(c, &maps);
	for (size_t i = 0; i < from->n && !r; at += from->sizes[i++])
		r = load_one(c, how == CHECK_V1_BY_MAP ? &maps : NULL, at, from->sizes[i], how);
	if (how == CHECK_V1_BY_MAP)
		check_v1_unmap(&maps);
	return r;
}
