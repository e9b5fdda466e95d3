/* SPDX-License-Identifier: BSD-3-Clause */
#include "owner/record.h"

#include <jansson.h>
#include <string.h>

#define FORM 1 /* of the text */

static bool no_control(const char *name)
{
	for (; *name; name++)
		if ((unsigned char)*name < ' ' || *name == 0x7f ||
		    (*name == '\xc2' && (unsigned char)name[1] < 0xa0))
			return false;
	return true;
}

static bool is_utf8(const char *name)
{
	json_t *string = json_string(name);

	json_decref(string);
	return string;
}

bool vmig_owner_name_ok(const char *name)
{
	return name && *name && strnlen(name, VMIG_OWNER_NAME_MAX) < VMIG_OWNER_NAME_MAX &&
	       no_control(name) && is_utf8(name);
}

bool vmig_ownership_ok(const struct vmig_ownership *r)
{
	bool open = r->phase == VMIG_OWNER_OPEN;

	return r->phase >= VMIG_OWNER_STABLE && r->phase <= VMIG_OWNER_RUNNING &&
	       !vmig_uuid_is_none(&r->device) && vmig_owner_name_ok(r->owner) &&
	       (open ? vmig_owner_name_ok(r->peer) : !*r->peer) && r->epoch >= 1 &&
	       r->epoch <= VMIG_OWNER_EPOCH_MAX;
}

bool vmig_ownership_equal(const struct vmig_ownership *a, const struct vmig_ownership *b)
{
	return vmig_uuid_equal(&a->device, &b->device) && !strcmp(a->owner, b->owner) &&
	       !strcmp(a->peer, b->peer) && a->epoch == b->epoch &&
	       vmig_uuid_equal(&a->attempt, &b->attempt) && a->phase == b->phase &&
	       vmig_uuid_equal(&a->writer, &b->writer) && vmig_uuid_equal(&a->instance, &b->instance);
}

/* --- as text ------------------------------------------------------------------------------------ */

size_t vmig_ownership_encode(const struct vmig_ownership *r, char ret[VMIG_OWNER_TEXT_MAX])
{
	char device[VMIG_UUID_TEXT_MAX], attempt[VMIG_UUID_TEXT_MAX], writer[VMIG_UUID_TEXT_MAX],
		instance[VMIG_UUID_TEXT_MAX];
	json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s}", "vmig-owner", FORM, "device",
			      vmig_uuid_text(&r->device, device), "owner", r->owner, "peer", r->peer, "epoch",
			      (json_int_t)r->epoch, "attempt", vmig_uuid_text(&r->attempt, attempt), "phase",
			      vmig_owner_phase_name(r->phase), "writer", vmig_uuid_text(&r->writer, writer),
			      "instance", vmig_uuid_text(&r->instance, instance));
	size_t len = o ? json_dumpb(o, ret, VMIG_OWNER_TEXT_MAX - 1, JSON_COMPACT) : 0;

	json_decref(o);
	if (len >= VMIG_OWNER_TEXT_MAX)
		return 0;
	ret[len] = '\0';
	return len;
}

static enum vmig_owner_phase phase_of(const char *name)
{
	for (int i = VMIG_OWNER_STABLE; i <= VMIG_OWNER_RUNNING; i++)
		if (!strcmp(name, vmig_owner_phase_name((enum vmig_owner_phase)i)))
			return (enum vmig_owner_phase)i;
	return 0;
}

static int from_json(json_t *o, struct vmig_ownership *r)
{
	const char *device, *owner, *peer, *attempt, *phase, *writer, *instance;
	json_int_t epoch;
	int form;

	if (json_unpack(o, "{s:i}", "vmig-owner", &form))
		return -EBADMSG;
	if (form > FORM)
		return -EOPNOTSUPP;
	if (json_unpack(o, "{s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s}", "device", &device, "owner", &owner,
			"peer", &peer, "epoch", &epoch, "attempt", &attempt, "phase", &phase, "writer",
			&writer, "instance", &instance))
		return -EBADMSG;
	if (strlen(owner) >= sizeof(r->owner) || strlen(peer) >= sizeof(r->peer) ||
	    vmig_uuid_parse(device, &r->device) || vmig_uuid_parse(attempt, &r->attempt) ||
	    vmig_uuid_parse(writer, &r->writer) || vmig_uuid_parse(instance, &r->instance))
		return -EBADMSG;
	strcpy(r->owner, owner);
	strcpy(r->peer, peer);
	r->epoch = (uint64_t)epoch;
	r->phase = phase_of(phase);
	return vmig_ownership_ok(r) ? 0 : -EBADMSG;
}

int vmig_ownership_decode(const char *text, size_t len, struct vmig_ownership *ret)
{
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	struct vmig_ownership r = { 0 };
	char again[VMIG_OWNER_TEXT_MAX];
	int code = o ? from_json(o, &r) : -EBADMSG;

	json_decref(o);
	if (code)
		return code;
	/* Another form of the same could be read, but never be swapped. */
	if (vmig_ownership_encode(&r, again) != len || memcmp(again, text, len))
		return -EBADMSG;
	*ret = r;
	return 0;
}
