/* SPDX-License-Identifier: BSD-3-Clause */
/* Bring a device back that a dead user left anywhere. */
#include <vmig/migrate.h>

#include "base/util.h"

static int reset(struct vmig_device *dev, bool *ret_reset)
{
	uint32_t state;
	int r = vmig_device_reset(dev);

	if (r)
		return r;
	*ret_reset = true;
	r = vmig_device_query_state(dev, &state);
	if (r)
		return r;
	return state == VMIG_STATE_RUNNING ? 0 : -EIO;
}

/* Out of the saving group the state is whole, and a walk brings it back. What was half loaded, or in ERROR, is not. */
static int walk_or_reset(struct vmig_device *dev, uint32_t state, bool *ret_reset)
{
	if (state == VMIG_STATE_RUNNING)
		return 0;
	if (state == VMIG_STATE_RESUMING || state == VMIG_STATE_ERROR)
		return reset(dev, ret_reset);
	return vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL);
}

/* It has stopped, and holds the state of a device that may run elsewhere: the record decides, vmig_owner_resolve(). */
static bool held(struct vmig_device *dev, uint32_t state)
{
	struct vmig_tag tag;

	if (state != VMIG_STATE_STOP && state != VMIG_STATE_STOP_COPY)
		return false;
	return !vmig_device_query_tag(dev, &tag) && !vmig_uuid_is_none(&tag.identity);
}

int vmig_recover(struct vmig_device *dev, uint32_t *ret_was, bool *ret_reset)
{
	bool was_reset = false;
	uint32_t state;
	int r = vmig_device_query_state(dev, &state);

	if (r)
		return r;
	if (ret_was)
		*ret_was = state;
	if (held(dev, state))
		return -EPERM;
	r = walk_or_reset(dev, state, &was_reset);
	if (ret_reset)
		*ret_reset = was_reset;
	return r;
}
