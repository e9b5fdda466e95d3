/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * peer - a vfio-user client for tests, byte by byte: it shares no code with the library, so that an error in the
 * codec cannot hide in both. And the rig: a toy, a server on it in a thread of its own, and a peer.
 */
#ifndef VMIG_TESTS_PEER_H
#define VMIG_TESTS_PEER_H

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <vmig/server.h>

#include "common/toy.h"

/* The commands, as the text numbers them. */
enum {
	C_VERSION = 1,
	C_DMA_MAP,
	C_DMA_UNMAP,
	C_GET_INFO,
	C_REGION_INFO,
	C_IO_FDS,
	C_IRQ_INFO,
	C_SET_IRQS,
	C_REGION_READ,
	C_REGION_WRITE,
	C_DMA_READ,
	C_DMA_WRITE,
	C_RESET,
	C_DIRTY_PAGES,
	C_WRITE_MULTI,
	C_FEATURE,
	C_MIG_READ,
	C_MIG_WRITE,
	C_PRECOPY_INFO = 0x7601,
	C_IDENTITY = 0x7602,
};

#define F_REPLY    1u
#define F_NO_REPLY 0x10u
#define F_ERROR    0x20u

#define GET   0x10000u
#define SET   0x20000u
#define PROBE 0x40000u

/** Bytes being put together, little-endian. */
struct bytes {
	uint8_t *at;
	size_t len, room;
};

void put(struct bytes *b, const void *data, size_t len);
void put16(struct bytes *b, uint16_t v);
void put32(struct bytes *b, uint32_t v);
void put64(struct bytes *b, uint64_t v);
void bytes_done(struct bytes *b);

#define PEER_FDS 32

struct peer {
	int fd;
	uint16_t id; /* of the last request */
	/* The last message that came. */
	struct {
		uint16_t id, command;
		uint32_t size, flags, error;
		struct bytes body;
		int fds[PEER_FDS];
		int n_fds;
	} in;
};

/** A message, with its header, behind what is in @b. */
void peer_put(struct bytes *b, uint16_t id, uint16_t command, uint32_t flags, const void *body, size_t len);
void peer_send_bytes(int fd, const void *data, size_t len, const int *fds, int n_fds);
/** A request; returns its id. @body may be NULL and is emptied. */
uint16_t peer_send(struct peer *p, uint16_t command, uint32_t flags, struct bytes *body, const int *fds,
		   int n_fds);
/** Receive one message. False: the other side has closed. */
bool peer_recv(struct peer *p);
/** Request and reply: 0 or -errno. The reply must be the right one, and an error is a header only. */
int peer_call(struct peer *p, uint16_t command, struct bytes *body);
int peer_call_fds(struct peer *p, uint16_t command, struct bytes *body, const int *fds, int n_fds);
void peer_close_fds(struct peer *p);
void peer_close(struct peer *p);
uint32_t peer_u32(const struct peer *p, size_t at);
uint64_t peer_u64(const struct peer *p, size_t at);

/* Commands, as one calls them. */
#define HELLO "{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,\"write_multiple\":true}}"
#define HELLO_X                                                                                              \
	"{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,\"write_multiple\":true,"      \
	"\"x-vmig\":{\"precopy_info\":true,\"device_info\":true}}}"
#define HELLO_TWIN "{\"capabilities\":{\"max_msg_fds\":16,\"twin_socket\":{\"supported\":true}}}"
int peer_hello(struct peer *p, const char *json);
int peer_region_read(struct peer *p, uint32_t region, uint64_t offset, void *buf, uint32_t len);
int peer_region_write(struct peer *p, uint32_t region, uint64_t offset, const void *buf, uint32_t len);
int peer_set_register(struct peer *p, uint64_t offset, uint64_t v);
uint64_t peer_register(struct peer *p, uint64_t offset);
int peer_map(struct peer *p, uint32_t flags, uint64_t iova, uint64_t size, int fd, uint64_t offset);
int peer_unmap(struct peer *p, uint64_t iova, uint64_t size);
/** DEVICE_FEATURE: @extra behind the head; argsz is @argsz. */
int peer_feature(struct peer *p, uint32_t argsz, uint32_t flags, struct bytes *extra);
int peer_set_state(struct peer *p, uint32_t state);
uint32_t peer_state(struct peer *p);
/** MIG_DATA_READ: bytes, or -errno; they are at p->in.body.at + 8. */
int64_t peer_mig_read(struct peer *p, uint32_t size);
int peer_mig_write(struct peer *p, const void *data, uint32_t size);
/** SET_IRQS with eventfds. */
int peer_set_irqs(struct peer *p, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		  const int *fds, int n);
/** Answer a DMA_READ or DMA_WRITE that is p->in: from or into @memory, which is at @iova. */
void peer_answer_dma(struct peer *p, uint8_t *memory, uint64_t iova);

struct rig {
	struct vmig_device *dev;
	struct toy *toy;
	struct vmig_server_config config;
	struct peer peer;
	int served_fd;
	pthread_t thread;
	int result; /* of vmig_server_serve() */
};

/** A toy and no client yet. Both configs may be NULL. */
void rig_make(struct rig *rig, const struct toy_config *toy, const struct vmig_server_config *config);
/** A client, served by a thread. */
void rig_attach(struct rig *rig);
/** The client leaves: what the server says. */
int rig_detach(struct rig *rig);
/** Both, and VERSION with HELLO. */
void rig_start(struct rig *rig, const struct toy_config *toy);
/** The same with the toy shown through a migration region. */
void rig_start_v1(struct rig *rig, const struct toy_config *toy);
/** Wait for the server's thread, which ends by itself. */
int rig_join(struct rig *rig);
/** Detach and close all. */
int rig_end(struct rig *rig);
void rig_done(struct rig *rig);

/** A memfd of @size bytes, mapped at *ret. */
int shared_memory(size_t size, uint8_t **ret);

#endif
