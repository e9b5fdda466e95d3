/* SPDX-License-Identifier: BSD-3-Clause */
#include "stack.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>

static void *serve(void *opaque)
{
	static const struct vmig_server_config config;
	struct stack_server *server = opaque;

	vmig_server_serve(server->served, &config, server->fd);
	return NULL;
}

static struct vmig_device *put_socket(struct stack *stack, struct vmig_device *dev)
{
	struct vmig_vfio_user_config config = { .timeout_ms = 60000 };
	struct stack_server *server = &stack->servers[stack->n_servers++];
	struct vmig_error error;
	int pair[2];

	ck_assert_uint_le(stack->n_servers, STACK_SERVERS);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	*server = (struct stack_server){ .served = dev, .fd = pair[0] };
	ck_assert_int_eq(pthread_create(&server->thread, NULL, serve, server), 0);
	ck_assert_msg(!vmig_open_vfio_user_fd(pair[1], &config, &dev, &error), "%s", error.text);
	return dev;
}

static struct vmig_device *put(struct stack *stack, struct vmig_device *dev, char layer,
			       const struct vmig_v1_config *config)
{
	const struct vmig_v1_drive_config drive = { .no_mmap = layer == 'n' };
	struct vmig_device *above = NULL;
	struct vmig_error error = { 0 };

	switch (layer) {
	case 's':
		ck_assert_int_eq(vmig_show_v1(dev, config, &above), 0);
		return above;
	case 'd':
	case 'n':
		ck_assert_msg(!vmig_drive_v1(dev, &drive, &above, &error), "%s: %s", error.where, error.text);
		return above;
	default:
		return put_socket(stack, dev);
	}
}

void stack_open(struct stack *stack, struct vmig_device *base, const char *layers,
		const struct vmig_v1_config *config)
{
	*stack = (struct stack){ .dev = base };
	for (const char *layer = layers; *layer; layer++)
		stack->dev = put(stack, stack->dev, *layer, config);
}

/* From the top: each client goes, then its server ends, then what that served. */
void stack_close(struct stack *stack)
{
	vmig_device_close(stack->dev);
	while (stack->n_servers) {
		struct stack_server *server = &stack->servers[--stack->n_servers];

		pthread_join(server->thread, NULL);
		vmig_device_close(server->served);
	}
}

/* --- the engine ------------------------------------------------------------------------------ */

struct end {
	struct vmig_device *dev;
	struct vmig_channel *channel;
	struct vmig_migrate_result *result;
};

static void *receive(void *opaque)
{
	struct end *end = opaque;

	vmig_migrate_destination(&end->dev, 1, end->channel, NULL, NULL, end->result);
	vmig_channel_close(end->channel);
	return NULL;
}

int stack_migrate(struct stack *from, struct stack *to, struct vmig_migrate_result *ret_from,
		  struct vmig_migrate_result *ret_to)
{
	struct end end = { .dev = to->dev, .result = ret_to };
	struct vmig_channel *channel;
	pthread_t thread;
	int pair[2], r;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(vmig_channel_socket(pair[0], &channel), 0);
	ck_assert_int_eq(vmig_channel_socket(pair[1], &end.channel), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, receive, &end), 0);
	r = vmig_migrate_source(&from->dev, 1, channel, NULL, NULL, ret_from);
	vmig_channel_close(channel);
	pthread_join(thread, NULL);
	return r;
}
