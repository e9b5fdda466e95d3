/* SPDX-License-Identifier: BSD-3-Clause */
/** http - a server that answers every request with the bytes it was given, whatever was asked. */
#ifndef VMIG_TESTS_HTTP_H
#define VMIG_TESTS_HTTP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server {
	const void *answer; /* all of it, head and body */
	size_t len;
	enum {
		HTTP_CLOSE,   /* answer, then close */
		HTTP_SILENT,  /* never answer; wait until the other end gives up */
		HTTP_DRIP,    /* a byte at a time, and then spaces until the other end gives up */
		HTTP_ENDLESS, /* answer, and then zeros until the other end gives up */
	} how;
	uint16_t port;
	/* To be looked at when it has been stopped. */
	int n_requests;
	char request[65536]; /* the last one: its body */
	int listener;
	pthread_t thread;
};

/** @answer must outlive it. */
void http_start(struct http_server *server, const void *answer, size_t len);
/** All requests have been answered when it returns. */
void http_stop(struct http_server *server);

/** A port where nobody listens, and nobody can as long as *ret_fd is open. */
uint16_t http_dead_port(int *ret_fd);

#endif
