/* SPDX-License-Identifier: BSD-3-Clause */
/* The user's callbacks, and the user's own records on their way. All in the caller's thread. */
#include <string.h>

#include "base/util.h"
#include "engine/driver.h"

/* Fields before the bytes of a piece: total and offset. */
#define PIECE_FIELDS 8u
#define PIECE_BYTES  (32u << 10)
_Static_assert(PIECE_FIELDS + PIECE_BYTES <= VMIG_LIMIT_RECORD_CONTROL, "a piece fits into a control record");

void vmig_driver_feed_user(struct vmig_driver *driver, int code, const char *text)
{
	struct vmig_core_event ev = { .kind = VMIG_EV_USER,
				      .code = code,
				      .text = text ? text : strerror(-code) };

	vmig_driver_feed(driver, &ev);
}

void vmig_driver_quiesce(struct vmig_driver *driver)
{
	const struct vmig_migrate_user *user = driver->user;

	vmig_driver_feed_user(driver, user->quiesce ? user->quiesce(user->opaque) : 0, NULL);
}

static int send_piece(struct vmig_driver *driver, uint32_t device, const struct vmig_user_piece *piece)
{
	uint8_t payload[PIECE_FIELDS + PIECE_BYTES];
	struct vmig_cursor c = vmig_cursor_into(payload, sizeof(payload));
	struct vmig_record record = { .type = VMIG_RECORD_USER_RECORD, .device = device };

	vmig_user_piece_put(&c, piece);
	record.length = (uint32_t)(sizeof(payload) - c.left);
	return vmig_out_control(&driver->conns[0]->out, &record, payload, false);
}

static int send_record(struct vmig_driver *driver, uint32_t device, const uint8_t *bytes, size_t len)
{
	struct vmig_user_piece piece = { .total = (uint32_t)len };
	int r;

	do {
		piece.bytes = bytes + piece.offset;
		piece.len = MIN(piece.total - piece.offset, PIECE_BYTES);
		r = send_piece(driver, device, &piece);
		piece.offset += piece.len;
	} while (!r && piece.offset < piece.total);
	return r;
}

void vmig_driver_save_record(struct vmig_driver *driver, uint32_t device)
{
	const struct vmig_migrate_user *user = driver->user;
	_autofree_ void *record = NULL;
	size_t len = 0;
	int r = user->save_record ? user->save_record(user->opaque, device, &record, &len) : 0;

	if (r) {
		vmig_driver_feed_user(driver, r, NULL);
	} else if (len > VMIG_LIMIT_USER_RECORD) {
		vmig_driver_feed_user(driver, -E2BIG, "it is longer than 16 MiB");
	} else {
		r = record ? send_record(driver, device, record, len) : 0;
		vmig_driver_feed_user(driver, r, r ? vmig_out_words(r) : NULL);
	}
}

/* How much is allocated for @len bytes: a power of two, so that growing copies little. */
static size_t room_for(size_t len)
{
	size_t room = PIECE_BYTES;

	while (room < len)
		room *= 2;
	return room;
}

int vmig_driver_keep_piece(struct vmig_driver *driver, uint32_t device, const void *payload, uint32_t len)
{
	struct vmig_cursor c = vmig_cursor_over(payload, len);
	struct iovec *kept = &driver->records[device];
	struct vmig_user_piece piece;
	void *grown;

	if (vmig_user_piece_get(&c, &piece))
		return 0;
	/* Grows with what has come, not with what is announced. */
	grown = kept->iov_base;
	if (!grown || room_for(kept->iov_len) < kept->iov_len + piece.len)
		grown = realloc(grown, room_for(kept->iov_len + piece.len));
	if (!grown)
		return -ENOMEM;
	memcpy((char *)grown + kept->iov_len, piece.bytes, piece.len);
	kept->iov_base = grown;
	kept->iov_len += piece.len;
	return 0;
}

void vmig_driver_load_record(struct vmig_driver *driver, uint32_t device)
{
	const struct vmig_migrate_user *user = driver->user;
	const struct iovec *kept = &driver->records[device];
	int r = 0;

	if (user->load_record)
		r = user->load_record(user->opaque, device, kept->iov_base, kept->iov_len);
	vmig_driver_feed_user(driver, r, NULL);
}

void vmig_driver_free_records(struct vmig_driver *driver)
{
	for (uint32_t i = 0; i < driver->n; i++)
		free(driver->records[i].iov_base);
	free(driver->records);
}
