/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * peer - a vfio-user server of a few lines, for the client's tests: it answers well by itself, and a test
 * hooks whatever it wants answered otherwise. It shares no code with the library: bytes are put and taken
 * by hand.
 */
#ifndef VMIG_TESTS_USER_PEER_H
#define VMIG_TESTS_USER_PEER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmig/user.h>

enum {
	PEER_VERSION = 1,
	PEER_DMA_MAP,
	PEER_DMA_UNMAP,
	PEER_GET_INFO,
	PEER_REGION_INFO,
	PEER_IO_FDS,
	PEER_IRQ_INFO,
	PEER_SET_IRQS,
	PEER_REGION_READ,
	PEER_REGION_WRITE,
	PEER_DMA_READ,
	PEER_DMA_WRITE,
	PEER_RESET,
	PEER_FEATURE = 16,
	PEER_DATA_READ,
	PEER_DATA_WRITE,
	PEER_PRECOPY_INFO = 0x7601,
	PEER_IDENTITY = 0x7602,
};

#define PEER_OF_OURS 31u
#define PEER_HEADER  16u
#define PEER_FDS     64

struct peer_msg {
	uint16_t id, command;
	uint32_t size, flags, error;
	uint8_t *body;
	uint32_t len;
	int fds[PEER_FDS];
	int n_fds;
	struct peer_msg *next;
};

struct peer {
	/* Set before peer_start(). */
	const char *caps;                                 /* VERSION's JSON; NULL: a plain server's */
	bool (*hook)(struct peer *p, struct peer_msg *m); /* true: it has answered */
	void *opaque;
	uint64_t migration_flags; /* 0: does not migrate */
	uint32_t identity_traits;
	bool pad;              /* short MIG_DATA_READ replies are padded */
	bool reset_keeps;      /* RESET does not touch the state machine */
	uint32_t max_body;     /* bytes of a MIG_DATA_WRITE; above, it fails */
	unsigned int segments; /* a seed: replies are sent in random pieces */
	const uint8_t *data;   /* what saving yields */
	size_t data_len;

	/* What happened. */
	uint32_t state;
	size_t data_at, loaded_len;
	uint8_t *loaded;
	uint8_t config[256];
	uint8_t bar[65536];
	uint64_t log_page_size;
	_Atomic unsigned int seen[32]; /* commands; PEER_OF_OURS: the experimental ones */
	unsigned int fds_seen, maps;
	uint32_t irq_calls[8][3]; /* start, count, fds of each SET_IRQS */
	unsigned int n_irq_calls;

	/* Its own. */
	int fd, client_fd, twin_fd, twin_client_fd;
	uint16_t next_id;
	struct peer_msg *pending;
	pthread_t thread;
	bool started;
};

/** A pair of sockets; p->client_fd is for the client. */
void peer_init(struct peer *p);
void peer_start(struct peer *p);
/** Start, and open a device on it. */
struct vmig_device *peer_open(struct peer *p, const struct vmig_vfio_user_config *config);
/** Open a device that cannot be opened: returns the error. */
int peer_open_fails(struct peer *p, const struct vmig_vfio_user_config *config, struct vmig_error *error);
/** Wait until it has ended: the client has closed. */
void peer_stop(struct peer *p);

/* For hooks. */
void peer_send(struct peer *p, const void *bytes, size_t len, const int *fds, int n_fds);
void peer_message(struct peer *p, uint16_t id, uint16_t command, uint32_t flags, uint32_t error,
		  const void *body, size_t len, const int *fds, int n_fds);
void peer_reply(struct peer *p, const struct peer_msg *m, const void *body, size_t len);
void peer_error(struct peer *p, const struct peer_msg *m, int error);
/** The ordinary answer. */
void peer_answer(struct peer *p, struct peer_msg *m);
/** A message of the peer's own; and its reply's errno, positive. The replies are to be waited for in order. */
uint16_t peer_dma_start(struct peer *p, bool write, uint64_t address, const void *buf, uint64_t len);
int peer_dma_finish(struct peer *p, uint16_t id, bool write, uint64_t address, void *buf, uint64_t len);
/** Both. DMA by message: on the twin socket if there is one. 0 or the client's errno, positive. */
int peer_dma(struct peer *p, bool write, uint64_t address, void *buf, uint64_t len);

static inline uint32_t peer_u32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}
static inline uint64_t peer_u64(const uint8_t *at)
{
	return peer_u32(at) | (uint64_t)peer_u32(at + 4) << 32;
}
static inline void peer_put32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}
static inline void peer_put64(uint8_t *at, uint64_t v)
{
	peer_put32(at, (uint32_t)v);
	peer_put32(at + 4, (uint32_t)(v >> 32));
}

#endif
