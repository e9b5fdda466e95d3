/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "owner/record.h"

static bool no_control(const char *name)
{
	for (; *name; name++)
		if ((unsigned char)*name < ' ' || *name == 0x7f)
			return false;
	return true;
}

bool vmig_owner_name_ok(const char *name)
{
	return name && *name && strnlen(name, VMIG_OWNER_NAME_MAX) < VMIG_OWNER_NAME_MAX && no_control(name);
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
