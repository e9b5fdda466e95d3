/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * rule - how a rule is broken: a few functions around what a good device does.
 *
 * A mutant is a provider on top of a good device, since the library keeps a model's author from breaking most rules. So
 * this folder, alone of models/, sees what a provider is (src/handle/provider.h).
 *
 * A rule is a row in one of the tables below, by area. A function that is NULL changes nothing.
 */
#ifndef MODELS_MUTANTS_RULE_H
#define MODELS_MUTANTS_RULE_H

#include <errno.h>
#include <string.h>

#include "handle/provider.h"
#include "mutants.h"

#define MUTANT_MAPS_MAX 16
#define MUTANT_IRQS_MAX 64

struct mutant_bytes {
	uint8_t *data;
	size_t len, size;
};

/* What is remembered of a device that is shown by v1, by the rules of its region. */
struct mutant_region {
	struct vmig_region good; /* size 0: the device is not shown by v1 */
	uint64_t offset;         /* what is told in the place of a register; which, the rule knows */
	unsigned int n_reads;    /* of what the rule counts */
	uint64_t late;           /* a data_size that the good device has not been told yet */
	bool flag, other;        /* whatever the rule has to remember */
	int fd;                  /* a file in the place of the good one's; -1: none */
};

struct mutant {
	struct vmig_device *inner;
	const struct mutant_rule *rule;
	unsigned int n_lies; /* questions for the state that are yet to be answered wrongly: by @lie */
	uint32_t lie;
	unsigned int n_looks; /* questions for the state, since the last transition */
	bool from_precopy;    /* into the state that it is in */
	bool loaded;          /* since the last reset */
	bool poisoned;        /* the last reset was in mid-load */
	bool was_stopped;
	unsigned int n_saves; /* transitions to STOP_COPY */
	unsigned int n_logs;  /* logs that were stopped */
	uint64_t n_written;   /* bytes, since RESUMING began */
	/* Of a rule with takes(): the stream that was saved last, and the one that is being loaded. */
	struct mutant_bytes saved, loading;
	struct vmig_session *loader;           /* of the good device, which gets it when RESUMING is left */
	struct vmig_dma maps[MUTANT_MAPS_MAX]; /* that are in this process; size 0: none */
	int irqs[MUTANT_IRQS_MAX];             /* eventfds; -1: none */
	uint64_t last_word;                    /* of a report of the log */
	uint64_t report_iova;                  /* of the report that is asked for */
	struct mutant_region region;
};

struct mutant_session {
	struct mutant *m;
	struct vmig_session *inner;
	bool ended; /* the end was read */
	bool both_zero;
	unsigned int n_infos;
};

struct mutant_rule {
	const char *name;

	/* What it says that it is. */
	void (*info)(struct vmig_device_info *info);
	void (*open)(struct mutant *m);
	void (*close)(struct mutant *m);

	/* Before a transition; an error refuses it. */
	int (*before)(struct mutant *m, uint32_t from, uint32_t to);
	/* After it; @ret_session is the one that has started, perhaps NULL, and may be closed and made NULL. */
	void (*after)(struct mutant *m, uint32_t from, uint32_t to, struct vmig_session **ret_session);
	/* When RESUMING could not be left. */
	void (*not_loaded)(struct mutant *m);
	/* After a question for the state. */
	void (*look)(struct mutant *m, uint32_t *state);
	/* After a reset. */
	int (*reset)(struct mutant *m);

	/* After a read, of @got bytes or an error. */
	ssize_t (*read)(struct mutant_session *s, void *buf, ssize_t got);
	/* Before a write; an error refuses it. */
	int (*write)(struct mutant_session *s, size_t len);
	/* Does it take a stream (m->loading) that the good device would not be given? What is loaded is kept until RESUMING is
	 * left then. */
	bool (*takes)(struct mutant *m);
	/* After the sizes of pre-copy were asked for, which has said @r. */
	int (*precopy)(struct mutant_session *s, int r, struct vmig_precopy *ret);
	/* After the size of stop-copy was asked for. */
	int (*size)(struct mutant *m, int r, uint64_t *ret);

	/* In the place of a read or a write of the migration region, and after a question about it. */
	int (*v1_read)(struct mutant *m, uint64_t offset, void *buf, size_t len);
	int (*v1_write)(struct mutant *m, uint64_t offset, const void *buf, size_t len);
	void (*v1_region)(struct mutant *m, struct vmig_region *region);

	/* Before a read of a region. */
	int (*region_read)(struct mutant *m);
	/* Before a start; after it, which has said @r; after a report. */
	int (*log_start)(struct mutant *m, uint32_t n);
	int (*log_started)(struct mutant *m, int r, uint64_t *page);
	int (*log_report)(struct mutant *m, int r, uint64_t page, uint64_t *bitmap, uint64_t n_pages);
};

/** The rules of each area; each ends with a NULL name. */
extern const struct mutant_rule mutant_state_rules[], mutant_data_rules[], mutant_precopy_rules[],
	mutant_log_rules[], mutant_work_rules[];
/** Those of a device that is shown by v1: their mutants are on top of its region. */
extern const struct mutant_rule mutant_region_rules[], mutant_buffer_rules[];

/* --- what rules are made of --------------------------------------------------------------------- */

/** The state of the good device. */
uint32_t mutant_state(struct mutant *m);
bool mutant_in_precopy(struct mutant *m);
/** Memory of the user's that the device may write to; a region of another device if @peer. NULL: none was mapped. */
uint8_t *mutant_memory(struct mutant *m, bool peer);

/** The migration region of the good device. */
int mutant_v1_read(struct mutant *m, uint64_t offset, void *buf, size_t len);
int mutant_v1_write(struct mutant *m, uint64_t offset, const void *buf, size_t len);
/** The low bits of its device_state; another value of it is asked for. */
uint32_t mutant_v1_state(struct mutant *m);
int mutant_v1_go(struct mutant *m, uint32_t state);
/** The queues of a nic are disabled: it does no DMA any more. */
void mutant_idle(struct mutant *m);
/** All interrupts are raised. */
void mutant_interrupt(struct mutant *m);

/* session.c */
int mutant_session_start(struct mutant *m, struct vmig_session *inner, bool loads,
			 struct vmig_session_half *ret);
/** Leave RESUMING. */
int mutant_session_loaded(struct mutant *m, uint32_t to);

#endif
