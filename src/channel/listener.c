/* SPDX-License-Identifier: BSD-3-Clause */
#include <poll.h>
#include <string.h>

#include "base/fault.h"
#include "channel/net.h"
#include "channel/provider.h"
#include "channel/stack.h"

struct vmig_listener {
	struct vmig_stack *stack;
	struct vmig_net_listener net;
	struct vmig_error error;
};

int vmig_listener_new_with(const char *address, const struct vmig_channel_options *options,
			   struct vmig_listener **ret, struct vmig_error *error)
{
	_autofree_ struct vmig_listener *listener = calloc(1, sizeof(*listener));
	int r;

	if (!listener)
		return vmig_fault(error, -ENOMEM, address, "no memory");
	r = vmig_stack_new(address, options, &listener->stack, error);
	if (r)
		return r;
	r = vmig_net_listen(address, vmig_stack_anywhere(listener->stack), &listener->net, error);
	if (r) {
		vmig_stack_unref(listener->stack);
		return r;
	}
	*ret = steal_ptr(listener);
	return 0;
}

int vmig_listener_new(const char *address, struct vmig_listener **ret, struct vmig_error *error)
{
	return vmig_listener_new_with(address, NULL, ret, error);
}

const char *vmig_listener_address(const struct vmig_listener *listener)
{
	return listener->net.address;
}

const struct vmig_error *vmig_listener_error(const struct vmig_listener *listener)
{
	return &listener->error;
}

int vmig_listener_accept(struct vmig_listener *listener, uint32_t timeout_ms, struct vmig_channel **ret)
{
	int fd, r = vmig_channel_wait(listener->net.fd, POLLIN, -1, timeout_ms);

	if (!r)
		r = vmig_net_accept(&listener->net, &fd);
	if (r)
		return vmig_fault(&listener->error, r, listener->net.address, "nobody: %s", strerror(-r));
	r = vmig_stack_answer(listener->stack, fd, ret, &listener->error);
	if (r)
		return -ECONNABORTED;
	r = vmig_stack_top(listener->stack, false, ret, &listener->error);
	if (r)
		vmig_channel_close(*ret);
	return r ? -ECONNABORTED : 0;
}

void vmig_listener_free(struct vmig_listener *listener)
{
	if (!listener)
		return;
	vmig_net_listener_done(&listener->net);
	vmig_stack_unref(listener->stack);
	free(listener);
}
