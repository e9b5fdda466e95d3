/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * server - shows a vmig_device on a UNIX socket, by the vfio-user protocol.
 *
 * One client at a time; another one is answered EBUSY. When a client goes, its mappings and
 * interrupts are released and the device keeps its state; the next client may attach.
 */
#ifndef VMIG_SERVER_H
#define VMIG_SERVER_H

#include <vmig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmig_server;

/** Zero is a default for all. */
struct vmig_server_config {
	const char *socket_path; /* to listen at; a stale socket file there is replaced; removed at the end */
	int fd;			 /* with socket_path NULL: a listening socket, taken over */
	int plain;		 /* offer no experimental capability, as a server of today does */
	uint32_t max_data_xfer_size; /* bytes; 1 MiB */
};

/** -EADDRINUSE: somebody listens there. The device stays the caller's and must outlive the server. */
int vmig_server_new(struct vmig_device *dev, const struct vmig_server_config *config, struct vmig_server **ret);
/** Serve until vmig_server_stop(). Blocks. 0, or what ended it. */
int vmig_server_run(struct vmig_server *server);
/** End vmig_server_run() soon. Async-signal-safe. */
void vmig_server_stop(struct vmig_server *server);
void vmig_server_free(struct vmig_server *server);

/** Serve one connected socket until the client goes: 0, or -EPROTO and the like. Takes @fd over. Blocks. */
int vmig_server_serve(struct vmig_device *dev, const struct vmig_server_config *config, int fd);

#ifdef __cplusplus
}
#endif
#endif
