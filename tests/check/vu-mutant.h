/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * vu-mutant - a vfio-user server with one rule broken: a good one, and between it and its user somebody who reads every
 * message and alters, holds back or invents some. All in threads of the process that asks for it, and gone with that.
 */
#ifndef VMIG_TESTS_CHECK_VU_MUTANT_H
#define VMIG_TESTS_CHECK_VU_MUTANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VU_MUTANT_FDS 16

/** A message with its header. */
struct vu_seen {
	uint8_t *at;
	size_t len;
	int fds[VU_MUTANT_FDS];
	int n_fds;
};

struct vu_proxy;

struct vu_mutant {
	const char *name;
	/* False: the message goes no further (what is to be said instead has been said). Either may be NULL. */
	bool (*request)(struct vu_proxy *p, struct vu_seen *m);
	bool (*reply)(struct vu_proxy *p, struct vu_seen *m);
	bool v1;          /* the device is shown through a migration region */
	const char *spec; /* of the device; NULL: the usual one */
};

/** One connection. What outlives it is in vu_memory_of(). */
struct vu_proxy {
	const struct vu_mutant *mutant;
	int user, server; /* sockets */
	bool versioned;   /* VERSION was sent */
	/* What the user has asked for by DEVICE_FEATURE, and what came of it. */
	uint32_t state, asked; /* 0: none yet */
	bool had_stop_copy;
	unsigned int n_states, n_writes; /* SET, MIG_DATA_WRITE */
	struct vu_seen last;             /* the user's last request; the first bytes of a large one */
	/* For a mutant's own use. */
	unsigned int n;
	uint64_t words[4];
	struct vu_seen held;
};

/** For a mutant's own use, of all connections. */
extern _Atomic uint64_t vu_mutant_memory[4];

/* The tables of mutants, each ends with a NULL name. */
extern const struct vu_mutant vu_mutants_frame[], vu_mutants_dma[], vu_mutants_log[], vu_mutants_state[],
	vu_mutants_v1[];

/** NULL: there is none of this name. */
const struct vu_mutant *vu_mutant_find(const char *name);

/** A connection to a server on the one device of this process. @mutant NULL: a good one. 0 or a negative errno. */
int vu_mutant_connect(const struct vu_mutant *mutant, int *ret_fd);

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
	C_DATA_READ,
	C_DATA_WRITE,
};

#define PAYLOAD 16u /* where it begins */
#define GET     (1u << 16)
#define SET     (1u << 17)
#define PROBE   (1u << 18)

enum { MIGRATION = 1, STATE = 2, LOG_START = 6, LOG_STOP = 7, LOG_REPORT = 8 };

/** A command, or the reply to one. */
bool vu_is(const struct vu_seen *m, uint16_t command);
/** A DEVICE_FEATURE with these flags. */
bool vu_is_feature(const struct vu_seen *m, uint32_t flags);

/* --- for the mutants ----------------------------------------------------------------------------- */

uint16_t vu_seen_command(const struct vu_seen *m);
uint16_t vu_seen_id(const struct vu_seen *m);
uint32_t vu_seen_flags(const struct vu_seen *m);
bool vu_seen_failed(const struct vu_seen *m);
/** At @at of the payload; 0 behind its end. */
uint32_t vu_seen_u32(const struct vu_seen *m, size_t at);
uint64_t vu_seen_u64(const struct vu_seen *m, size_t at);
void vu_seen_set16(struct vu_seen *m, size_t at, uint16_t v); /* at: of the message */
void vu_seen_set32(struct vu_seen *m, size_t at, uint32_t v); /* of the message */
/** The payload becomes this, which may be a part of what it was. */
void vu_seen_payload(struct vu_seen *m, const void *data, size_t len);
/** Does the payload have this text? */
bool vu_seen_has(const struct vu_seen *m, const char *text);
/** Tell the user that @m, a request, has succeeded with this payload; or has failed. */
void vu_succeed(struct vu_proxy *p, const struct vu_seen *m, const void *data, size_t len);
void vu_fail(struct vu_proxy *p, const struct vu_seen *m, int error);
void vu_send_on(int to, const struct vu_seen *m);
void vu_seen_copy(struct vu_seen *to, const struct vu_seen *m);
/** The user is told this at once, and the request goes no further. */
#define VU_SUCCEED(p, m, data, len) (vu_succeed(p, m, data, len), false)
/** The user finds the connection closed. */
void vu_hang_up(struct vu_proxy *p);

#endif
