/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * stack - a device made of layers: a model, and what is put on it, from the bottom up.
 *
 *	s  shown through a migration region    d  driven through it    n  the same, by accesses to the region only
 *	v  served over vfio-user and opened as a client
 *
 * "svd" is a v1 device behind a socket, driven as one of v2.
 */
#ifndef VMIG_TESTS_STACK_H
#define VMIG_TESTS_STACK_H

#include <pthread.h>

#include <vmig/vmig.h>

#define STACK_SERVERS 4

struct stack {
	struct vmig_device *dev; /* the top */
	struct stack_server {
		struct vmig_device *served;
		int fd;
		pthread_t thread;
	} servers[STACK_SERVERS];
	unsigned int n_servers;
};

/** Put @layers on @base, which is taken over. Failures fail the test. */
void stack_open(struct stack *stack, struct vmig_device *base, const char *layers,
		const struct vmig_v1_config *config);
void stack_close(struct stack *stack);

/** A whole migration by the engine, over a socket. Returns the source's outcome; both results are filled in. */
int stack_migrate(struct stack *from, struct stack *to, struct vmig_migrate_result *ret_from,
		  struct vmig_migrate_result *ret_to);

#endif
