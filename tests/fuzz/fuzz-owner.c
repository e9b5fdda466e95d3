/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz-owner: what a key of an etcd may hold: a record as text, and base64. Both have one form only. */
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "owner/base64.h"
#include "owner/record.h"

static void take_record(const char *text, size_t size)
{
	struct vmig_ownership record, next;
	struct vmig_owner_actor actor = { .me = "me", .peer = "peer", .attempt = { { 7 } } };
	struct vmig_owner_found found = { .tagged = true, .all_intact = true };
	char again[VMIG_OWNER_TEXT_MAX];
	int r = vmig_ownership_decode(text, size, &record);

	MUST(!r || r == -EBADMSG || r == -EOPNOTSUPP);
	if (r)
		return;
	MUST(vmig_ownership_ok(&record));
	MUST(vmig_ownership_encode(&record, again) == size && !memcmp(again, text, size));
	for (int step = 0; step < VMIG_OWNER_STEP_NR; step++) {
		actor.me = step & 1 ? "me" : record.owner;
		if (!vmig_owner_next((enum vmig_owner_step)step, &actor, &record, &next))
			MUST(vmig_ownership_ok(&next) && next.epoch >= record.epoch &&
			     next.epoch - record.epoch <= 1);
	}
	MUST(vmig_owner_verdict_name(vmig_owner_decide("me", &record, 1, &found)));
}

static void take_base64(const char *text)
{
	char *data, *again;
	size_t len;

	if (vmig_base64_decode(text, &data, &len))
		return;
	again = vmig_base64_encode(data, len);
	MUST(again && !strcmp(again, text));
	free(again);
	free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	MUST(text);
	memcpy(text, data, size);
	text[size] = '\0';
	take_record(text, size);
	take_base64(text);
	free(text);
	return 0;
}
