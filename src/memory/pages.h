/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * pages - memory as a device: what the files of this folder share.
 *
 * One bitmap a region. Of a device that saves it has the pages that are still to be sent; of one that loads, the pages
 * that have never come. All of it is under the model's lock: the callbacks come one at a time.
 */
#ifndef VMIG_MEMORY_PAGES_H
#define VMIG_MEMORY_PAGES_H

#include <vmig/memory.h>
#include <vmig/model.h>

#include "base/limits.h"
#include "memory/bits.h"

/* docs/stream.md, "The data of memory". */
#define MEMORY_FORMAT   "memory.1"
#define MEMORY_MAGIC    0x314d4d56u /* "VMM1" */
#define MEMORY_HEAD_LEN 24u
#define MEMORY_RUN_LEN  16u
#define MEMORY_UNIT     4096u     /* in which the lengths of runs are said */
#define MEMORY_END      (1u << 0) /* flag of a batch: the last one */
#define MEMORY_ZERO     (1u << 0) /* flag of a run: its bytes are zero and do not follow */

struct memory_region {
	uint64_t iova, size;
	unsigned int shift; /* of its pages */
	uint8_t *view;
	bool mapped; /* the view is ours */
	uint64_t n_pages;
	uint64_t *bits;
};

/** Pages of one region that lie side by side and are alike. */
struct memory_run {
	struct memory_region *region;
	uint64_t offset, length; /* bytes */
	bool zero;
};

/** What goes in one piece: a table of runs, then their bytes. */
struct memory_batch {
	uint32_t n_runs, number;
	struct memory_run runs[VMIG_LIMIT_MEMORY_RUNS];
	uint64_t bytes; /* of the runs that are not zero */
	bool end;
	uint8_t table[MEMORY_HEAD_LEN + VMIG_LIMIT_MEMORY_RUNS * MEMORY_RUN_LEN];
	size_t table_len;
	uint64_t at; /* of table and bytes together: what has gone out, or come in */
	/* Where in the runs the bytes go on. */
	uint32_t run;
	uint64_t run_at;
};

struct memory {
	struct vmig_device *dev;
	struct vmig_model *model;
	struct memory_region *regions; /* sorted */
	uint32_t n_regions;
	struct vmig_device **devices;
	uint32_t n_devices;
	vmig_memory_dirty dirty;
	void *opaque;
	bool quiet;

	struct memory_batch batch;
	bool ended; /* the last batch was made, or has come */

	/* saving */
	struct vmig_memory_log *log; /* NULL: nobody tracks, or it is not the time */
	uint64_t *report;            /* the bitmap of one question to the log */
	uint32_t at_region;          /* where the next page is looked for */
	uint64_t at_page;
	bool first_pass;  /* pages behind that place have never been sent */
	bool still;       /* all that writes has stopped: memory is lent where it lies */
	uint8_t *copy;    /* else it is copied first, as what is lent must not change */
	uint64_t pending; /* bytes whose bits are set */
};

/** Every page's bit is set. */
void memory_mark_all(struct memory *memory);

/* track.c */
/** Whoever may write is tracked: rounds make sense. Else @why says who is not. */
bool memory_is_tracked(const struct memory *memory, char why[VMIG_NOTE_MAX]);
/** Start and stop to track; ask what is dirty now. None can fail: who cannot tell has written everything. */
void memory_start_tracking(struct memory *memory);
void memory_ask_dirty(struct memory *memory);
void memory_stop_tracking(struct memory *memory);

/* save.c */
void memory_save_begin(struct memory *memory, bool still);
ssize_t memory_lend(void *opaque, size_t max, struct iovec *ret_iov, int *ret_n);
void memory_give_back(void *opaque, size_t used);
int memory_precopy_sizes(void *opaque, struct vmig_precopy *ret);

/* load.c */
void memory_load_begin(struct memory *memory);
ssize_t memory_room(void *opaque, size_t want, struct iovec *ret_iov, int *ret_n);
int memory_filled(void *opaque, size_t len);
/** 0, or -EINVAL: something is missing. */
int memory_load_end(const struct memory *memory);

/* layout.c */
/** The version data: the regions. At most VMIG_DEVICE_OPAQUE_MAX bytes. */
ssize_t memory_layout(void *opaque, void *buf);
int memory_check_layout(void *opaque, const void *data, size_t len, char *why, size_t why_size);

/** The pieces of the batch's bytes from where they go on: at most @max bytes and VMIG_SESSION_IOV_MAX pieces. Returns the bytes. */
size_t memory_pieces(const struct memory_batch *batch, size_t max, struct iovec *ret_iov, int *ret_n);
/** @used bytes of table and bytes are done. */
void memory_advance(struct memory_batch *batch, size_t used);

#endif
