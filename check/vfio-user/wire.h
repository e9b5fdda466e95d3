/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * vu-wire - a small user of vfio-user for the checks by messages (CHECK_BY_SOCKET). It shares no code with the library, so
 * that what both would get wrong is seen. All that comes is hostile until it is checked, and is waited for with a limit.
 *
 * A check begins with vu_start(), or with vu_bare() where the first message is what it is about. What does not come, or
 * cannot be followed, ends the check (context.h).
 */
#ifndef CHECK_VU_WIRE_H
#define CHECK_VU_WIRE_H

#include "check/context.h"

/* How long the other side may take for an answer, if check_target.patience_ms does not say. */
#define VU_PATIENCE_MS 8000

#define VU_HEADER    16u
#define VU_BODY_MAX  (17u << 20) /* of a message that is taken */
#define VU_FDS_MAX   32
#define VU_MEMORY_NR 4

enum vu_command {
	VU_VERSION = 1,
	VU_DMA_MAP,
	VU_DMA_UNMAP,
	VU_GET_INFO,
	VU_REGION_INFO,
	VU_IO_FDS,
	VU_IRQ_INFO,
	VU_SET_IRQS,
	VU_REGION_READ,
	VU_REGION_WRITE,
	VU_DMA_READ,
	VU_DMA_WRITE,
	VU_RESET,
	VU_DIRTY_PAGES, /* of 0.9.1 */
	VU_WRITE_MULTI,
	VU_FEATURE,
	VU_DATA_READ,
	VU_DATA_WRITE,
};

#define VU_REPLY    1u
#define VU_TYPE     0xfu
#define VU_NO_REPLY 0x10u
#define VU_ERROR    0x20u

/** The fixed part of a message that is to be sent, and data behind it. Numbers as this machine has them: both sides are here. */
struct vu_body {
	uint8_t at[640];
	size_t len;
	const void *data;
	size_t data_len;
	int fd; /* to go with it; -1 or, of an empty struct, 0: none */
};

struct vu_message {
	uint16_t id, command;
	uint32_t size, flags, error;
	uint8_t *body;
	size_t len, room;
	int fds[VU_FDS_MAX];
	int n_fds;
	bool fds_lost;
};

/** Memory that the other side may reach by messages only. */
struct vu_memory {
	uint64_t iova, size;
	uint8_t *at;
	bool readable, writeable;
};

struct vu {
	struct check_context *c;
	int patience_ms;
	int fd, twin;         /* twin: where its commands come, -1: the same */
	uint16_t id;          /* of the last request */
	bool closed;          /* by the other side */
	struct vu_message in; /* the last reply */
	uint32_t n_regions, n_irqs, device_flags;
	bool migrates;                  /* by DEVICE_FEATURE; then: */
	uint64_t flags;                 /* VFIO_MIGRATION_* */
	bool write_multiple, migration; /* what was agreed on */
	uint32_t max_data;              /* of the server */
	uint32_t our_max_data, max_dma_maps;
	/* Its accesses to memory. */
	struct vu_memory memory[VU_MEMORY_NR];
	uint32_t n_memory;
	bool hold; /* commands are kept unanswered: the last is in @held */
	struct vu_message held;
	uint32_t n_held;
	uint32_t n_dma; /* answered */
	uint64_t dma_largest;
	char dma_wrong[128]; /* the first that was not allowed */
};

/** The check's connection; nothing is said. */
void vu_bare(struct check_context *c, struct vu *ret);
/** Another one, after this one was closed. False: nobody listens any more. */
bool vu_again(struct vu *vu);
/** vu_bare(), and VERSION with what the suite can do; then what the device is, in RUNNING if it migrates. */
void vu_start(struct check_context *c, struct vu *ret);
/** The same with other capabilities (JSON, or NULL: none). */
void vu_start_with(struct check_context *c, struct vu *ret, const char *json);
void vu_close(struct vu *vu);

/* --- what is sent ------------------------------------------------------------------------------- */

void vu_16(struct vu_body *b, uint16_t v);
void vu_32(struct vu_body *b, uint32_t v);
void vu_64(struct vu_body *b, uint64_t v);
void vu_bytes(struct vu_body *b, const void *data, size_t len);
/** A command; returns its id. @body may be NULL. */
uint16_t vu_send(struct vu *vu, uint16_t command, uint32_t flags, const struct vu_body *body);
/** With another size in the header. */
void vu_send_header(struct vu *vu, uint16_t command, uint32_t size, uint32_t flags);
void vu_put_header(uint8_t *to, uint16_t id, uint16_t command, uint32_t size, uint32_t flags);
void vu_send_to(struct vu *vu, int to, const void *data, size_t len, int fd);
void vu_send_raw(struct vu *vu, const void *data, size_t len, int fd);
/** The bytes of a command as they would be sent; returns their number. @to has room for them. */
size_t vu_put(struct vu *vu, uint8_t *to, uint16_t id, uint16_t command, uint32_t flags,
	      const struct vu_body *body);

/* --- what comes --------------------------------------------------------------------------------- */

/** The next reply, in vu->in; the server's own commands before it are answered. False: it has closed. */
bool vu_receive(struct vu *vu);
/** Answer what it asks for, for so long, or until a reply comes. True: one is there to be received. */
bool vu_wait(struct vu *vu, int ms);
/** Request and reply: 0, or the error as a negative errno; -ECONNRESET: it has closed. */
int vu_call(struct vu *vu, uint16_t command, const struct vu_body *body);
/** The same, and must succeed: @what says with what. */
void vu_must(struct vu *vu, uint16_t command, const struct vu_body *body, const char *what);
/** Of the reply; too short ends the check. */
uint32_t vu_u32(struct vu *vu, size_t at);
uint64_t vu_u64(struct vu *vu, size_t at);
/** The reply has exactly @len bytes behind its header. */
void vu_has(struct vu *vu, size_t len, const char *expected);
/** Answer a command of the server's that came from @to. */
void vu_answer(struct vu *vu, int to, const struct vu_message *m);
/** What the server does, or asks for, is not allowed: the first such thing is kept. */
__attribute__((format(printf, 2, 3))) void vu_wrong(struct vu *vu, const char *format, ...);
/** Answer the command that is held. */
void vu_answer_held(struct vu *vu);

/* --- commands as one calls them (vu-talk.c, vu-ask.c) -------------------------------------------------------- */

#define VU_GET   (1u << 16)
#define VU_SET   (1u << 17)
#define VU_PROBE (1u << 18)

enum { VU_MIGRATION = 1, VU_STATE = 2, VU_LOG_START = 6, VU_LOG_STOP = 7, VU_LOG_REPORT = 8 };

#define VU_PAGE 4096ull

struct vu_body vu_version_body(uint16_t major, uint16_t minor, const char *json);
int vu_map(struct vu *vu, uint32_t flags, uint64_t iova, uint64_t size, int fd, uint64_t offset);
int vu_unmap(struct vu *vu, uint32_t flags, uint64_t iova, uint64_t size);
/** Memory of the check's, with a descriptor; *ret_at is it. */
int vu_memfd(struct vu *vu, uint64_t size, uint8_t **ret_at);
/** The device takes mappings: with a descriptor (@fd), or without. Else the check does not apply. */
void vu_needs_maps(struct vu *vu, bool by_fd);
/** Map memory that is reached by messages; it is @at, zero. */
void vu_map_messages(struct vu *vu, uint32_t flags, uint64_t iova, uint64_t size, uint8_t **ret_at);
int vu_region_read(struct vu *vu, uint32_t region, uint64_t offset, void *buf, uint32_t len);
int vu_region_write(struct vu *vu, uint32_t region, uint64_t offset, const void *buf, uint32_t len);
/** The registers of PCI configuration space; a device without them makes the check not applicable. */
void vu_needs_pci(struct vu *vu);
/** DEVICE_FEATURE with @len bytes of data. */
int vu_feature(struct vu *vu, uint32_t argsz, uint32_t flags, const void *data, size_t len);
int vu_set_state(struct vu *vu, uint32_t state, enum check_want want);
/** DEVICE_RESET: 0 or a negative errno. */
int vu_send_reset(struct vu *vu);
uint32_t vu_state(struct vu *vu);
/** A transition that must succeed. */
void vu_enter(struct vu *vu, uint32_t state);
/** A device that migrates by DEVICE_FEATURE, or the check does not apply. */
void vu_needs_migration(struct vu *vu);
bool vu_has_state(const struct vu *vu, uint32_t state);
/** To RUNNING, from wherever it is. */
void vu_to_running(struct vu *vu);
/** MIG_DATA_READ: bytes, or a negative errno. */
int64_t vu_data_read(struct vu *vu, uint32_t size);
int vu_data_write(struct vu *vu, const void *data, uint32_t size);
/** Log of DMA, in the way of DEVICE_FEATURE. */
int vu_log_start(struct vu *vu, uint64_t page_size, const uint64_t *ranges, uint32_t n);
int vu_log_report(struct vu *vu, uint64_t iova, uint64_t length, uint64_t page_size);
void vu_needs_log(struct vu *vu);
/** The device has a migration region, so that the text of 0.9.1 is about it (vu-v1.c). */
bool vu_is_v1(struct vu *vu);
/** Its index, or -1. */
int vu_v1_region(struct vu *vu);

/** A descriptor of the check's that the other side is given: where it can be seen whether anybody has it open still. */
int vu_watch(struct vu *vu, int fd);
/** @watch is what vu_watch() has given; the check has closed the descriptor itself. */
bool vu_is_open(int watch);

/** The server still serves: this user, or the next one. Else the check fails. */
void vu_must_live(struct vu *vu);

#endif
