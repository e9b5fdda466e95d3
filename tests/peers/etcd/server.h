/* SPDX-License-Identifier: BSD-3-Clause */
/** server - a real etcd, started and ended by the test, on loopback and with its data in a folder that goes with it. */
#ifndef VMIG_TESTS_ETCD_SERVER_H
#define VMIG_TESTS_ETCD_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SERVERS_MAX 3

/** One, or three that are a cluster. */
struct cluster {
	char folder[64];
	int n;
	bool tls; /* a certificate for 127.0.0.1, by a CA whose own is FOLDER/ca.pem */
	uint16_t client[SERVERS_MAX], peer[SERVERS_MAX];
	pid_t pid[SERVERS_MAX]; /* 0: it does not run */
};

/** Wait until it answers. Skips the test if there is no etcd. */
void cluster_start(struct cluster *c, int n);
/** One that speaks TLS. Skips the test if there is no certtool, too. */
void cluster_start_tls(struct cluster *c);
/** One of them, which has run before. */
void cluster_start_one(struct cluster *c, int i);
void cluster_kill(struct cluster *c, int i);
/** Freeze it: none of its threads runs any more. SIGCONT lets it go on. */
void cluster_stop(struct cluster *c, int i);
void cluster_wait(const struct cluster *c);
/** Stop all, and remove the folder. */
void cluster_end(struct cluster *c);
/** "etcd:http://127.0.0.1:PORT[,...]" of all, into @ret; with ?ca= by TLS. */
const char *cluster_url(const struct cluster *c, char ret[256]);

/** A request to the first one's gateway, which must be taken. */
void cluster_post(const struct cluster *c, const char *path, const char *body);

/** A port of loopback that nobody had a moment ago. */
uint16_t free_port(void);

/**
 * A listener that passes one connection on to @port of loopback: the request gets there, and the answer is kept. Returns its
 * own port; it ends with the test's process.
 */
uint16_t forward_and_swallow(uint16_t port);

#endif
