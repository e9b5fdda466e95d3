/* SPDX-License-Identifier: BSD-3-Clause */
/** handle - what the files of this folder share: the device handle and its sessions. */
#ifndef VMIG_HANDLE_HANDLE_H
#define VMIG_HANDLE_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "handle/provider.h"

/**
 * Two locks, taken in this order and never the other way round:
 *   state_lock  one state call at a time; held while the provider walks, which may be long
 *   lock        what other calls look at; never held while the provider is called
 * A session holds a reference, so that closing one after its device is safe.
 */
struct vmig_device {
	const struct vmig_provider_ops *ops;
	void *p;

	pthread_mutex_t state_lock;
	uint32_t known; /* the state as of the last state call, VMIG_STATE_NONE: to be asked */

	pthread_mutex_t lock;
	struct vmig_device_info info; /* constant, but for the generation */
	struct vmig_error error;
	char note[VMIG_NOTE_MAX];
	struct vmig_session *sessions;
	unsigned int refs;
};

/** Keep *@error as the last one (filled in from @where if the provider said nothing). Returns @code. */
int vmig_device_keep_error(struct vmig_device *dev, int code, struct vmig_error *error, const char *where);

/** vmig_fault() straight into the last error. */
__attribute__((format(printf, 4, 5))) int vmig_device_fault(struct vmig_device *dev, int code,
							    const char *where, const char *format, ...);

void vmig_device_unref(struct vmig_device *dev);

/** An empty session, so that nothing can fail once the device has moved. */
struct vmig_session *vmig_session_alloc(void);
/** Bind @session to its device and to the provider's half. */
void vmig_session_bind(struct vmig_session *session, struct vmig_device *dev,
		       const struct vmig_session_half *half);
/** The device is in @state now: end the sessions that have no place in it. VMIG_STATE_NONE: end all. */
void vmig_session_end_for(struct vmig_device *dev, uint32_t state);
/** The device is being closed: the sessions lose their provider's halves. */
void vmig_session_orphan_all(struct vmig_device *dev);

/* The one buffer between a side that copies and one that does not; allocated when first needed. */
#define VMIG_SESSION_BUFFER (512u << 10)

/** The caller's object over the provider's half. */
struct vmig_session {
	struct vmig_device *dev;
	struct vmig_session *next;     /* under dev->lock */
	struct vmig_session_half half; /* ops NULL: the device is closed */
	atomic_bool ended;             /* set by the thread that changes the state */

	/* Only the thread that uses the session looks at these. */
	bool loan_out, room_out;
	size_t loan, room;
	char *buf;
	size_t start, end; /* read from the provider, not yet taken */
};

/** It loads; else it saves. Only while the provider's half is there. */
bool vmig_session_loads(const struct vmig_session *session);
/** Keep the error of a provider, unless it is the answer ENOMSG. Returns @code. */
int vmig_session_fail(struct vmig_session *session, int code, struct vmig_error *error, const char *where);
/** -ENODEV: it has ended. */
int vmig_session_check_alive(struct vmig_session *session, const char *where);
/** -EINVAL: too many pieces or bytes. */
int vmig_session_check_iov(struct vmig_session *session, const struct iovec *iov, int n, const char *where);
/** -ENOMEM. */
int vmig_session_need_buffer(struct vmig_session *session, const char *where);
/** What a provider hands out must be what it says. */
bool vmig_session_pieces_agree(const struct iovec *iov, int n, ssize_t len, size_t max);

#endif
