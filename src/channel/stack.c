/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel/stack.h"

#include <string.h>

#include "base/fault.h"
#include "channel/compress.h"
#include "channel/net.h"
#include "channel/resume.h"
#include "channel/tls.h"

int vmig_stack_new(const char *address, const struct vmig_channel_options *options, struct vmig_stack **ret,
		   struct vmig_error *error)
{
	static const struct vmig_channel_options defaults;
	const struct vmig_channel_options *o = options ? options : &defaults;
	_autofree_ struct vmig_stack *stack = calloc(1, sizeof(*stack));

	if (stack)
		stack->address = strdup(address);
	if (!stack || !stack->address)
		return vmig_fault(error, -ENOMEM, address, "no memory");
	if (o->fault) {
		int r = vmig_fault_plan_parse(o->fault, &stack->faults, error);

		if (r) {
			free(stack->address);
			return r;
		}
	}
	atomic_init(&stack->refs, 1);
	vmig_resume_book_init(&stack->sessions);
	stack->tls = o->tls ? vmig_tls_ref(o->tls) : NULL;
	stack->timeout_ms = o->timeout_ms ? o->timeout_ms : VMIG_STACK_TIMEOUT_MS;
	stack->insecure = o->insecure;
	stack->compress = o->compress;
	stack->reconnect_ms = o->reconnect_ms;
	*ret = steal_ptr(stack);
	return 0;
}

struct vmig_stack *vmig_stack_ref(struct vmig_stack *stack)
{
	atomic_fetch_add(&stack->refs, 1);
	return stack;
}

void vmig_stack_unref(struct vmig_stack *stack)
{
	if (!stack || atomic_fetch_sub(&stack->refs, 1) > 1)
		return;
	vmig_resume_book_done(&stack->sessions);
	vmig_tls_free(stack->tls);
	free(stack->address);
	free(stack);
}

bool vmig_stack_anywhere(const struct vmig_stack *stack)
{
	return stack->insecure || stack->tls;
}

bool vmig_stack_shakes(const struct vmig_stack *stack)
{
	return stack->tls || stack->compress || stack->reconnect_ms;
}

static int make(struct vmig_stack *stack, int fd, const char *host, bool server, struct vmig_channel **ret,
		struct vmig_error *error)
{
	struct vmig_channel *channel;
	int r = vmig_channel_socket(fd, &channel);

	if (r) {
		close(fd);
		return vmig_fault(error, r, stack->address, "cannot make a channel: %s", strerror(-r));
	}
	r = vmig_fault_wrap(&stack->faults, &channel);
	if (r) {
		vmig_channel_close(channel);
		return vmig_fault(error, r, stack->address, "cannot make a fault: %s", strerror(-r));
	}
	if (stack->tls)
		return vmig_tls_wrap(stack->tls, stack->address, host, server, stack->timeout_ms, channel,
				     ret, error);
	*ret = channel;
	return 0;
}

int vmig_stack_answer(struct vmig_stack *stack, int fd, struct vmig_channel **ret, struct vmig_error *error)
{
	return make(stack, fd, NULL, true, ret, error);
}

/* Whom a certificate has to name: what was asked for, not what that name means today. */
static int expected_name(const struct vmig_stack *stack, const struct vmig_address *a, const char **ret,
			 struct vmig_error *error)
{
	*ret = a->host[0] ? a->host : "localhost";
	if (a->is_unix && stack->tls && stack->tls->cert && !stack->tls->peer)
		return vmig_fault(
			error, -EINVAL, stack->address,
			"a UNIX socket has no host's name: say which name its certificate has to have");
	return 0;
}

int vmig_stack_dial(struct vmig_stack *stack, struct vmig_channel **ret, struct vmig_error *error)
{
	struct vmig_address a;
	const char *host;
	int fd, r = vmig_address_parse(stack->address, &a, error);

	if (!r)
		r = expected_name(stack, &a, &host, error);
	if (!r)
		r = vmig_net_connect(stack->address, stack->timeout_ms, vmig_stack_anywhere(stack), &fd,
				     error);
	return r ? r : make(stack, fd, host, false, ret, error);
}

int vmig_stack_top(struct vmig_stack *stack, bool dialled, struct vmig_channel **channel,
		   struct vmig_error *error)
{
	int r = stack->reconnect_ms ? vmig_resume_wrap(stack, dialled, channel, error) : 0;

	if (r)
		return r;
	return stack->compress ? vmig_zstd_wrap(stack->address, stack->timeout_ms, channel, error) : 0;
}

static void stack_unrefp(struct vmig_stack **stack)
{
	vmig_stack_unref(*stack);
}

int vmig_channel_connect_with(const char *address, const struct vmig_channel_options *options,
			      struct vmig_channel **ret, struct vmig_error *error)
{
	_cleanup_(stack_unrefp) struct vmig_stack *stack = NULL;
	struct vmig_channel *channel;
	int r = vmig_stack_new(address, options, &stack, error);

	if (!r)
		r = vmig_stack_dial(stack, &channel, error);
	if (r)
		return r;
	r = vmig_stack_top(stack, true, &channel, error);
	if (r)
		vmig_channel_close(channel);
	else
		*ret = channel;
	return r;
}

int vmig_channel_connect(const char *address, uint32_t timeout_ms, struct vmig_channel **ret,
			 struct vmig_error *error)
{
	const struct vmig_channel_options options = { .timeout_ms = timeout_ms };

	return vmig_channel_connect_with(address, &options, ret, error);
}
