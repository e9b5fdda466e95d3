/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * channel - bytes from host to host: TCP, a UNIX socket, a file or a pipe.
 *
 * Addresses: "tcp:HOST:PORT", "unix:PATH". One thread may send while another receives.
 */
#ifndef VMIG_CHANNEL_H
#define VMIG_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <vmig/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmig_channel;
struct vmig_listener;
struct vmig_tls;

/** Files for TLS 1.3: certificates both ways, or a key that both ends have. PEM. NULL: not given. */
struct vmig_tls_config {
	const char *ca;   /* who signs the peer's certificate */
	const char *cert; /* ours, and what it is signed with up to the CA */
	const char *key;  /* of ours, without a password; nobody else may read it */
	/** The name (DNS or IP) that the peer's certificate must have. NULL: who connects wants the host's of the
	 *  address, who listens takes all that the CA has signed. */
	const char *peer;
	const char *psk; /* one line, IDENTITY:HEXKEY of 16 to 64 bytes; nobody else may read it */
};

#define VMIG_TLS_KEY_MIN 16u
#define VMIG_TLS_KEY_MAX 64u

/** -EINVAL: what does not go together, or a file that is none of that; -EACCES: a secret that others can read;
 *  -ENOENT, ...: *ret_error says it. */
int vmig_tls_new(const struct vmig_tls_config *config, struct vmig_tls **ret, struct vmig_error *ret_error);
/** What uses it keeps it. Takes NULL. */
void vmig_tls_free(struct vmig_tls *tls);

/** How a connection is made. NULL, and zero of each: the default. Not looked at after the call. */
struct vmig_channel_options {
	uint32_t timeout_ms;        /* of connecting, and of a handshake; 10 s */
	const struct vmig_tls *tls; /* NULL: plain. Kept as long as it is needed, also when freed */
	bool insecure;              /* plain TCP to and from other hosts too; else -EPERM */
	bool compress;              /* zstd. Both ends have to say so, or neither */
	uint32_t reconnect_ms;      /* how long a lost connection may take to come back; 0: it does not */
	/** Tests: faults in what is sent, "WHAT=NUMBER,...": one a connection, in this order, then none.
	 *  cut=BYTES: after so many the connection is gone; corrupt=BYTE: this one arrives changed;
	 *  drop=BYTE: this one does not arrive; delay=MS: each send begins so much later. */
	const char *fault;
};

/** -EINVAL: not an address, or options that do not go together; -EPERM: plain TCP beyond this host;
 *  -ECONNREFUSED, -ETIMEDOUT, ...; -EACCES: the peer is not who it should be, or does not want us;
 *  -EPROTO: it does not speak as we do: *ret_error says it. */
int vmig_channel_connect_with(const char *address, const struct vmig_channel_options *options,
			      struct vmig_channel **ret, struct vmig_error *ret_error);
/** The same with the defaults. */
int vmig_channel_connect(const char *address, uint32_t timeout_ms, struct vmig_channel **ret,
			 struct vmig_error *ret_error);

/** -EADDRINUSE, -EPERM, ... Port 0 is any free one; vmig_listener_address() tells it. */
int vmig_listener_new_with(const char *address, const struct vmig_channel_options *options,
			   struct vmig_listener **ret, struct vmig_error *ret_error);
int vmig_listener_new(const char *address, struct vmig_listener **ret, struct vmig_error *ret_error);
const char *vmig_listener_address(const struct vmig_listener *listener);
/** Wait for one peer. @timeout_ms 0: for ever. -ETIMEDOUT. -ECONNABORTED: one came and was not let in;
 *  vmig_listener_error() says why; call again. Peers that are slow in their handshake do not hold up others. */
int vmig_listener_accept(struct vmig_listener *listener, uint32_t timeout_ms, struct vmig_channel **ret);
/** Of the last call that failed. */
const struct vmig_error *vmig_listener_error(const struct vmig_listener *listener);
void vmig_listener_free(struct vmig_listener *listener);

/** A file or pipe, one way: for writing, or for reading. "-" is standard output or input.
 *  A file that is written gets its name only in vmig_channel_commit(): a failed save leaves no file, and an
 *  older file of that name stays as it was until then. */
int vmig_channel_file(const char *path, bool writing, struct vmig_channel **ret,
		      struct vmig_error *ret_error);
/** Any connected socket, both ways. Takes @fd over. */
int vmig_channel_socket(int fd, struct vmig_channel **ret);

bool vmig_channel_one_way(const struct vmig_channel *channel);
/** Back to the first byte of a file that is read. -ESPIPE: not possible. */
int vmig_channel_rewind(struct vmig_channel *channel);
/** Send all of it. -EPIPE, -ECONNRESET, -ENOSPC, -ETIMEDOUT, ... */
int vmig_channel_send(struct vmig_channel *channel, const struct iovec *iov, int n);
/** Receive at least one byte, at most what @iov holds. 0: the peer has ended. */
ssize_t vmig_channel_recv(struct vmig_channel *channel, const struct iovec *iov, int n);
/** A send or receive that makes no progress for so long fails with -ETIMEDOUT. 0: never. Any thread;
 *  counts from the next wait on. */
void vmig_channel_set_timeout(struct vmig_channel *channel, uint32_t ms);
/** Wake whoever sends or receives: they and all later calls fail with -ECONNRESET. Any thread. */
void vmig_channel_shutdown(struct vmig_channel *channel);
/** May a connection that is lost be waited for (options->reconnect_ms)? Yes, until this says no: then whoever
 *  finds it lost fails at once. The engine says no when the devices have stopped. Any thread. */
void vmig_channel_hold(struct vmig_channel *channel, bool wait_for_it);
/** Is the connection lost, and being waited for? That is not the peer's silence. Any thread. */
bool vmig_channel_away(const struct vmig_channel *channel);
/** Everything sent is on stable storage and the file has its name. 0 for a socket. */
int vmig_channel_commit(struct vmig_channel *channel);
void vmig_channel_close(struct vmig_channel *channel);

#ifdef __cplusplus
}
#endif
#endif
