/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * bench - ratios, each against a limit that is measured in the same run.
 *
 * A row has two functions that do one measurement each: the limit, which is the least that the kernel or
 * the memory asks for the same bytes, and the candidate, which is vmig. A round is limit, candidate,
 * limit; a row is the medians of five rounds. How far the two limits of a round are apart tells what the
 * machine's noise is: where that is more than a tenth the row is marked invalid.
 *
 * Each group of rows runs in two processes of its own: the runner has the user's side, the peer (which
 * it forks) the device's. Limit and candidate run between the same two processes, and move bytes between
 * memory of the same kind and size.
 *
 * The rows qemu-* are measured by bench/qemu.py: candidate is an unmodified QEMU, limit vmig itself.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vmig/vmig.h>

#define BENCH_ROUNDS 5
#define MIB          (1ull << 20)
#define PIECE        (1u << 20) /* of every stream */

/** Nothing that fails is worth going on after. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);
#define CHECK(call)                                                                                          \
	({                                                                                                   \
		__typeof__(call) _r = (call);                                                                \
		if (_r < 0)                                                                                  \
			die("%s:%d: %s: %s", __FILE__, __LINE__, #call, strerror((int)-_r));                 \
		_r;                                                                                          \
	})
#define CHECK_ERRNO(call)                                                                                    \
	({                                                                                                   \
		__typeof__(call) _r = (call);                                                                \
		if (_r < 0)                                                                                  \
			die("%s:%d: %s: %m", __FILE__, __LINE__, #call);                                     \
		_r;                                                                                          \
	})

uint64_t now_ns(void);

/* --- rows --------------------------------------------------------------------------------- */

struct row {
	const char *name, *unit;
	bool less_is_better;
	double goal; /* of the ratio; 0: none */
	double (*limit)(void *group);
	double (*candidate)(void *group);
	const char *note;
};

/** Where the runners put what they have measured: shared memory. */
struct result {
	bool done, alone; /* @alone: no limit was measured beside it */
	char name[32], unit[8];
	double value, limit, ratio, repeat, goal;
	bool less_is_better;
};

struct settings {
	uint64_t state; /* bytes of a nic's internal memory */
	const char *only;
	bool verbose;
};

/** Is this row wanted? */
bool wanted(const char *name);
/** Measure it and note the result. */
void measure(const struct row *row, void *group);
/** Note a value that has a fixed bound. */
void note_bound(const char *name, const char *unit, double value, double bound);
/** Note a value beside what was measured once as the least of its kind; it has no goal. */
void note_beside(const char *name, const char *unit, double value, double limit);

extern struct settings settings;

void bench_data(void);    /* save, restore */
void bench_tcp(void);     /* tcp, save-file */
void bench_chain(void);   /* chain */
void bench_many(void);    /* many-* */
void bench_tls(void);     /* tls */
void bench_latency(void); /* region-read, report-* */
void bench_memory(void);  /* memory-* */
void bench_local(void);   /* local: no socket at all */

/* --- peer.c: the other process ------------------------------------------------------------ */

struct order {
	uint32_t op, arg;
	uint64_t n;
	char address[64];
};

struct answer {
	int64_t value;
};

struct peer {
	pid_t pid;
	int control; /* orders and answers */
	int raw;     /* a socket for the limits */
	int device;  /* a socket of the vfio-user server */
};

/** Fork a process that opens the model @spec, serves it on peer->device, and takes orders. */
void peer_start(struct peer *peer, const char *spec);
void peer_order(const struct peer *peer, const struct order *order);
int64_t peer_answer(const struct peer *peer);
/** Order and answer. */
int64_t peer_do(const struct peer *peer, uint32_t op, uint32_t arg, uint64_t n);
void peer_stop(struct peer *peer);

enum {
	OP_MEMORY,      /* n: make raw memory of so many bytes */
	OP_SEND,        /* stream the raw memory over peer->raw; arg: to arg's port on TCP instead */
	OP_RECEIVE,     /* fill the raw memory from peer->raw */
	OP_PING,        /* n times: take 32 bytes, give 36 */
	OP_REPLY,       /* n times: take 48 bytes, give 131,120 */
	OP_DIRTY,       /* the bench device writes to arg per cent of its pages, once each */
	OP_SOURCE,      /* migrate the device to order->address */
	OP_FORGET_PEAK, /* of resident memory */
	OP_PEAK,        /* answer: bytes */
	OP_TLS_RAW,     /* stream the raw memory to arg's port by GnuTLS alone */
	OP_TLS_CHANNEL, /* and to order->address by a channel in TLS */
	OP_END,
};

/* --- limit.c: the raw streams ------------------------------------------------------------- */

/** Memory as a nic's: private, huge pages where there are some, touched. */
uint8_t *raw_memory(uint64_t size);
void raw_send(int fd, const uint8_t *mem, uint64_t len);
/** Into @mem, which has @room bytes, over and over. */
void raw_receive(int fd, uint8_t *mem, uint64_t room, uint64_t len);
void raw_serve(int fd, uint64_t n, size_t request, size_t reply);
/** One question; returns ns. */
uint64_t raw_ask(int fd, size_t request, size_t reply);

/** TCP, over loopback. */
int raw_listen(uint16_t *ret_port);
int raw_accept(int fd);
int raw_connect(uint16_t port);

/* --- tls.c: to a port, an address --------------------------------------------------------- */

void tls_raw_send(uint16_t port, const uint8_t *mem, uint64_t len);
void tls_channel_send(const char *address, const uint8_t *mem, uint64_t len);

/** Resident memory: forget the peak; the peak since then. */
void forget_peak(void);
uint64_t peak_rss(void);

/* --- device.c ----------------------------------------------------------------------------- */

#define DEVICE_PAGES (1u << 20) /* that the bench device logs: 4 GiB */
#define DEVICE_IOVA  (1ull << 32)
#define DEVICE_MAP   (2u << 20) /* one mapping; all of the same memory, so that 4 GiB need not be there */

/** A device that writes where it is told, and all the time to a few pages; one register. */
void bench_device_open(struct vmig_device **ret);
void bench_device_dirty(uint32_t per_cent);

#endif
