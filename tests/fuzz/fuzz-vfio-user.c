/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every decoder of vfio-user messages. The first byte chooses: 0: a whole message with its header;
 * else the kind of message, of which the rest is the payload.
 *
 * What decodes must encode to something that decodes to the same; and a receiver that goes by
 * vmig_vu_fixed_size() must come to the same judgement with only the fixed part in its hands.
 */
#include "fuzz.h"

#include <string.h>

#include "messages.h"

static uint8_t room[VMIG_VU_HEADER_SIZE + 65536 + 4096], again[sizeof(room)];
static struct message first, second;

static void round_trip(const struct message *m)
{
	size_t len = message_encode(m, room, sizeof(room)), again_len;

	MUST(len);
	MUST(message_decode(room, len, &second) == 0);
	again_len = message_encode(&second, again, sizeof(again));
	MUST(again_len == len && !memcmp(room, again, len));
}

/* What is counted fits what is there. */
static void check_counts(const struct message *m, size_t payload)
{
	MUST(m->data_len <= payload);
	if (m->h.command == VMIG_VU_DEVICE_GET_REGION_INFO) {
		MUST(m->region_info.n_areas <= VMIG_REGION_AREAS_MAX);
		for (uint32_t i = 0; i < m->region_info.n_areas; i++)
			MUST(m->region_info.areas[i].offset + m->region_info.areas[i].size <=
			     m->region_info.size);
	}
	if (m->h.command == VMIG_VU_VERSION) {
		MUST(m->version.caps.max_data_xfer_size > 0);
		MUST(m->version.caps.max_data_xfer_size <= VMIG_LIMIT_XFER);
		MUST(m->version.caps.max_msg_fds <= VMIG_LIMIT_MSG_FDS);
	}
}

/* Only the fixed part has been received: the bulk decoders must do with it, in a buffer that ends there. */
static void fixed_part_alone(const struct vmig_vu_header *h, const uint8_t *payload, int whole)
{
	uint32_t len = vmig_vu_fixed_size(h);
	struct vmig_cursor c;
	uint8_t *copy;
	union {
		struct vmig_vu_region_rw region;
		struct vmig_vu_dma_rw dma;
		struct vmig_vu_mig_data data;
	} m;
	int r = whole;

	MUST(len <= vmig_vu_payload(h));
	copy = malloc(len ? len : 1);
	MUST(copy);
	if (len)
		memcpy(copy, payload, len);
	c = vmig_cursor_over(copy, len);
	if (h->command == VMIG_VU_REGION_READ || h->command == VMIG_VU_REGION_WRITE)
		r = vmig_vu_region_rw_decode(&c, h, MESSAGE_MAX_XFER, &m.region);
	else if (h->command == VMIG_VU_DMA_READ || h->command == VMIG_VU_DMA_WRITE)
		r = vmig_vu_dma_rw_decode(&c, h, MESSAGE_MAX_XFER, &m.dma);
	else if (h->command == VMIG_VU_MIG_DATA_READ ||
		 (h->command == VMIG_VU_MIG_DATA_WRITE && !vmig_vu_is_reply(h)))
		r = vmig_vu_mig_data_decode(&c, h, MESSAGE_MAX_XFER, &m.data);
	MUST(r == whole);
	free(copy);
}

static void one_kind(const struct kind *kind, const uint8_t *payload, size_t len)
{
	struct vmig_vu_header h = { 1, kind->command, (uint32_t)(VMIG_VU_HEADER_SIZE + len), kind->reply, 0 };
	struct vmig_cursor c = vmig_cursor_over(payload, len);
	int r;

	if (vmig_vu_header_check(&h, MESSAGE_MAX_XFER))
		return;
	r = message_decode_payload(&h, &c, &first);
	fixed_part_alone(&h, payload, r);
	if (r)
		return;
	check_counts(&first, len);
	round_trip(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size || size > 65536)
		return 0;
	if (data[0])
		one_kind(&message_kinds[(data[0] - 1u) % message_n_kinds], data + 1, size - 1);
	else if (!message_decode(data + 1, size - 1, &first))
		round_trip(&first);
	return 0;
}
