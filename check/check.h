/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * check - the conformance suite: what a device does against the published texts.
 *
 * A check tries one behaviour and cites the clauses (clauses.tsv) that it is about. Each runs in a process of its own,
 * which opens the device, so that a hang or a crash is a result like others. The caller has no thread and no open handle.
 */
#ifndef CHECK_CHECK_H
#define CHECK_CHECK_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vmig/device.h>
#include <vmig/space.h>
#include <vmig/state.h>

enum check_verdict {
	CHECK_PASS,
	CHECK_FAIL,
	CHECK_NOT_APPLICABLE, /* the device has no such thing */
	CHECK_SKIPPED,        /* it was not allowed, or nothing came of it */
	CHECK_OBSERVATION,    /* what the text leaves open, or only advises */
	CHECK_HANG,           /* no end within the timeout */
	CHECK_ERROR,          /* the check itself could not be done */
	CHECK_VERDICTS,
};

/** "pass", "not applicable" ... */
const char *check_verdict_name(enum check_verdict verdict);

/** What a check needs of a device. */
#define CHECK_NEEDS_PRE_COPY (1u << 0)
#define CHECK_NEEDS_P2P      (1u << 1)
#define CHECK_NEEDS_RESET    (1u << 2)
#define CHECK_NEEDS_LOG      (1u << 3) /* of its DMA */
#define CHECK_NEEDS_SIZE     (1u << 4) /* VMIG_HAS_STOP_COPY_SIZE */
#define CHECK_NEEDS_INFO     (1u << 5) /* VMIG_HAS_PRECOPY_INFO */
#define CHECK_NEEDS_ENOMSG                                                                                   \
	(1u << 6) /* and that it is seen: no VMIG_TRAIT_ZERO_IS_DRAINED or SHORT_READ_ENDS */
#define CHECK_NEEDS_V2        (1u << 7) /* it is not driven through a migration region */
#define CHECK_NEEDS_PCI       (1u << 8)
#define CHECK_NEEDS_VALIDATES (1u << 9) /* no VMIG_TRAIT_LATE_VALIDATION */
#define CHECK_NEEDS_SECOND    (1u << 10)
#define CHECK_NEEDS_DAMAGE    (1u << 11) /* it loads bad data: into a kernel driver only if that was allowed */
#define CHECK_NEEDS_WORK      (1u << 12) /* somebody who drives it */
#define CHECK_NEEDS_DANGEROUS (1u << 13) /* a device of whatever kind might not survive it */
#define CHECK_NEEDS_TOUCH     (1u << 15) /* somebody has said what may be written to */
#define CHECK_NEEDS_ASKED                                                                                    \
	(1u << 14) /* the device answers: of a kernel driver, the library knows without asking */

/**
 * How a check reaches the device, if not through the library's handle: one of these at most. It sees what the library hides,
 * and says itself what does not apply: of the other needs only SECOND, DAMAGE, WORK and DANGEROUS are looked at, and only
 * where c->dev is there. By the kernel all are looked at that its calls tell: PRE_COPY, P2P, RESET, LOG, SIZE, too.
 */
#define CHECK_BY_KERNEL (1u << 16) /* by the kernel's calls on the device's descriptor: c->kernel */
#define CHECK_BY_REGION                                                                                      \
	(1u << 17) /* by the migration region of v1, which the handle c->dev shows and does not drive */
#define CHECK_BY_SOCKET                                                                                      \
	(1u << 18) /* by the messages of vfio-user: c->socket is connected, and nothing was said yet */
#define CHECK_BY_ALL (CHECK_BY_KERNEL | CHECK_BY_REGION | CHECK_BY_SOCKET)

#define CHECK_CLAUSES_MAX 4
#define CHECK_TEXT_MAX    512

struct check_context;

struct check {
	const char *id;
	const char *clauses[CHECK_CLAUSES_MAX];
	uint32_t needs;
	const char *about; /* what must be seen */
	void (*run)(struct check_context *c);
};

/** All of them, in order; ends with a NULL id. */
extern const struct check check_table[];

struct check_clause {
	const char *id, *level, *source, *text, *why; /* @why: there is no check; else "" */
};

/** The rows of clauses.tsv; ends with a NULL id. */
extern const struct check_clause check_clauses[];

/** Who gives a device work, so that it does DMA. Calls as those of a workload: models/workload.h. */
struct check_driver {
	bool (*drives)(struct vmig_device *dev);
	/**
	 * With @peer a part of what the device writes goes to a mapping of VMIG_DMA_REGION, which stands for another device's
	 * region; -EOPNOTSUPP: it cannot be given such work. What it only reads should be mapped for that only.
	 */
	int (*start)(struct vmig_device *dev, struct vmig_space *space, bool peer, void **ret);
	int (*pause)(void *work);
	int (*resume)(void *work);
	/** While it pauses: the interrupts that have come since, or since this was asked last. NULL: it does not count. */
	uint64_t (*interrupts)(void *work);
	/** Set the device up anew, which runs and is in pre-copy. It pauses then. NULL: it has nothing to change. */
	int (*set_up_again)(void *work);
	void (*end)(void *work); /* the device must still be open, in RUNNING */
};

/** A device's registers and configuration space, by whatever way. 0 or a negative errno. */
struct check_bus {
	int (*read)(void *opaque, uint32_t region, uint64_t offset, void *buf, uint32_t len);
	int (*write)(void *opaque, uint32_t region, uint64_t offset, const void *buf, uint32_t len);
	void *opaque;
};

/** Who makes a device that nothing drives write to memory, by its registers alone. 0 or a negative errno. */
struct check_filler {
	/** Each of @pages pages (4096) from @iova, a multiple of 1 MiB, is written to soon, nothing else is. -EOPNOTSUPP: it
	 *  cannot be told this device. */
	int (*fill)(const struct check_bus *bus, uint64_t iova, uint32_t pages);
	/** The same of a device that reads @pages - 1 pages at @from first; @at is what lies there, and becomes what it can take.
	 *  -EOPNOTSUPP also: it only writes. */
	int (*work)(const struct check_bus *bus, uint64_t iova, uint32_t pages, uint64_t from, uint8_t *at);
	/** Has it read what lay there? 1, 0. */
	int (*has_read)(const struct check_bus *bus);
	/** When this returns it writes no more. */
	int (*calm)(const struct check_bus *bus);
};

#define CHECK_FILL_PAGES 5u /* the number that is asked for */

/** The calls of a user of the kernel's interface; as the system's, with errno. A test may put its own in their place. */
struct check_calls {
	int (*open)(void *opaque, const char *path); /* a node of VFIO's, to read and write */
	int (*ioctl)(void *opaque, int fd, unsigned long request, void *arg);
	ssize_t (*read)(void *opaque, int fd, void *buf, size_t len);
	ssize_t (*write)(void *opaque, int fd, const void *buf, size_t len);
	int (*poll)(void *opaque, struct pollfd *fds, nfds_t n, int timeout_ms);
	int (*close)(void *opaque, int fd);
	int (*dup)(void *opaque, int fd);
	off_t (*lseek)(void *opaque, int fd, off_t offset, int whence);
	void *opaque;
};

/** A device of the kernel's VFIO, opened by these calls alone. -1: it has none. */
struct check_kernel {
	int device, group, container, iommufd;
	const struct check_calls *calls;
};

#define CHECK_TOUCH_MAX 8

/** What may be written to a device, so that its state is another one. */
struct check_touch {
	uint32_t region;
	uint64_t offset;
	uint8_t bytes[CHECK_TOUCH_MAX];
	uint32_t len;
};

struct check_target {
	/** 0 or a negative errno, with a sentence in @why. Called in the process of a check. */
	int (*open)(void *opaque, bool second, struct vmig_device **ret, char *why, size_t why_size);
	/** The same past the library's handle, for CHECK_BY_*. NULL: the device is not reached in this way. */
	int (*open_kernel)(void *opaque, bool second, struct check_kernel *ret, char *why, size_t why_size);
	int (*open_region)(void *opaque, bool second, struct vmig_device **ret, char *why, size_t why_size);
	int (*open_socket)(void *opaque, int *ret_fd, char *why, size_t why_size);
	void *opaque;
	const struct check_driver *driver; /* may be NULL */
	const struct check_touch *touch;   /* may be NULL */
	const struct check_filler *filler; /* may be NULL */
	bool has_second;                   /* a device for what was saved */
	bool dangerous;                    /* what might crash a host is allowed */
	bool kernel;                       /* it is a driver of the kernel */
	uint32_t timeout_ms;               /* of a check; 20,000 */
	uint32_t patience_ms;              /* to wait for a device at work to do something; 8,000 */
};

/* How many transitions of one check are kept: the first ones, and the last. */
#define CHECK_ARCS_MAX 512

/** What came of a transition that a device was asked for. */
enum check_came {
	CHECK_CAME_OK,      /* it succeeded, and the device is there */
	CHECK_CAME_REFUSED, /* an error, which is allowed here or wanted */
	CHECK_CAME_WRONG,   /* an error instead of success, success instead of an error, or another state */
	CHECK_CAME_NOT,     /* it did not come back: the check was ended, or died */
	CHECK_CAMES,
};

/** "ok", "refused", "wrong", "no end" */
const char *check_came_name(enum check_came came);

struct check_arc {
	uint32_t from, to, then; /* VMIG_STATE_NONE: not known. @then: where the device is */
	uint32_t came;           /* enum check_came */
	int32_t error;           /* a negative errno, or 0 */
	bool reset;              /* not by a new state, but by a reset */
	bool second;             /* of the other device */
	uint64_t at_ns, ns;      /* since the check began; how long it took */
};

struct check_result {
	enum check_verdict verdict;
	bool lost; /* its process could not be ended: it is in the kernel for ever, and has the device */
	uint64_t ns;
	/* What comes from a device in these is made printable UTF-8. */
	char did[CHECK_TEXT_MAX], saw[CHECK_TEXT_MAX], expected[CHECK_TEXT_MAX];
	uint64_t features; /* VMIG_MIGRATION_* of the device; 0: not known, or it has none */
	uint32_t n_asked;  /* transitions; more than CHECK_ARCS_MAX: those in between are not kept */
	struct check_arc arcs[CHECK_ARCS_MAX];
};

/** Whatever is no printable UTF-8, or turns the direction of a text, becomes '?'. */
void check_text_clean(char *text);

/** The entries of result->arcs. */
uint32_t check_arcs_kept(const struct check_result *result);

/** All of one transition, of the device that is checked (not of the other one). */
struct check_arc_sum {
	uint32_t from, to;
	bool reset;
	uint32_t n[CHECK_CAMES];
	uint64_t min_ns, median_ns, max_ns; /* of those that came OK; 0 if none did */
};

/* Every pair of states, and a reset of each. */
#define CHECK_SUMS_MAX (VMIG_STATE_NR * (VMIG_STATE_NR + 1))

/** Over the results of all of check_table, by from and to, resets last. Their number, or -ENOMEM. */
int check_arcs_sum(const struct check_result *results, struct check_arc_sum ret[CHECK_SUMS_MAX]);

/** Run one. Never fails: what goes wrong is a result. */
void check_run(const struct check_target *target, const struct check *check, struct check_result *ret);

/** The worst of the results of the checks that cite @clause: a failure, then an observation, ..; SKIPPED if there is none. */
enum check_verdict check_clause_verdict(const struct check_clause *clause,
					const struct check_result *results);

/** Does @clause have a check? */
bool check_clause_has_check(const struct check_clause *clause);

#endif
