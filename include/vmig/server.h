/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * server - shows a vmig_device on a UNIX socket, by the vfio-user protocol.
 *
 * One client at a time; another one is answered EBUSY, unless it asks for the device as vmig_vfio_user_config.take does:
 * then it gets it as soon as the command in hand has ended, whatever the client before it does. When a client goes, its mappings, interrupts and
 * DMA log are released and its data transfer session is closed; the device keeps its state, and the next
 * client walks it back if it wants to.
 *
 * What the text leaves open: an unknown command, or one that was not agreed on, is answered ENOSYS; a bad
 * argument EINVAL; a count over a limit E2BIG; DEVICE_FEATURE as the kernel answers it (ENOTTY: not there);
 * any other errno is the device's. A message too small or too large for its command ends the connection.
 * DMA_LOGGING_START without ranges logs everything; a device that cannot do that logs what is mapped at
 * that moment, and all else is reported as written. Descriptors belong to the message that they are sent
 * with; a client that sends several messages at once must not have two among them that take descriptors.
 * A device that is shown through a migration region answers DIRTY_PAGES of v1 times, if it has a DMA log.
 * A client must not shorten the files that it has mapped: an access behind their end raises SIGBUS here.
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
	int fd;    /* with socket_path NULL: a socket that listens, or one that is connected to the
				  * only client; taken over by vmig_server_new() when it succeeds */
	int plain; /* offer no experimental capability, as a server of today does */
	uint32_t max_data_xfer_size; /* bytes; 1 MiB; at most 16 MiB */
	int dma_by_message; /* reach the client's memory by messages, also where its descriptor came */
};

/**
 * The device stays the caller's and must outlive the server.
 * Returns 0, or
 *   -EADDRINUSE      somebody listens at socket_path, or what is there is no socket
 *   -EINVAL          max_data_xfer_size is too large, or the path empty
 *   -ENAMETOOLONG    the path does not fit a socket's address
 *   -ENOTSOCK        fd is no socket
 *   -ENOENT, -EACCES, ...   what the file system says
 */
int vmig_server_new(struct vmig_device *dev, const struct vmig_server_config *config,
		    struct vmig_server **ret);
/** Serve until vmig_server_stop(), or until the only client goes. Blocks. 0, or what ended it. */
int vmig_server_run(struct vmig_server *server);
/** End vmig_server_run() soon, whatever the client does or does not; a call of the device's is waited for. Async-signal-safe. */
void vmig_server_stop(struct vmig_server *server);
/** Not while it runs. NULL is allowed. */
void vmig_server_free(struct vmig_server *server);

/**
 * Serve one connected socket until the client goes. Takes @fd over. Blocks.
 * Returns 0, or
 *   -EPROTO, -E2BIG  the client broke the protocol
 *   -ECONNRESET      it went in the midst of a message
 *   -ENOMEM, -EINVAL as vmig_server_new()
 */
int vmig_server_serve(struct vmig_device *dev, const struct vmig_server_config *config, int fd);

#ifdef __cplusplus
}
#endif
#endif
