/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * provider - what somebody who provides a vmig_device implements. Private to the library.
 *
 * The handle (handle.c) adds: serialised state calls, recovery, the last error, adapters between the
 * two ways of saving and of loading, the guard against asking for forbidden arcs.
 *
 * Every call gets the provider's own pointer and *error to fill on failure (vmig_fault()); the handle
 * keeps it as the last error. A call that is NULL answers -EOPNOTSUPP.
 */
#ifndef VMIG_HANDLE_PROVIDER_H
#define VMIG_HANDLE_PROVIDER_H

#include <vmig/device.h>
#include <vmig/space.h>

#include "base/fault.h"
#include "base/util.h"

/**
 * A provider's half of a session. Either readv or lend and give_back; either writev or room and filled.
 * The semantics are those of session.h, without the checks of arguments and of the life of the session.
 */
struct vmig_session_ops {
	ssize_t (*readv)(void *s, const struct iovec *iov, int n, struct vmig_error *error);
	ssize_t (*lend)(void *s, size_t max, struct iovec *ret_iov, int *ret_n, struct vmig_error *error);
	void (*give_back)(void *s, size_t used);
	int (*writev)(void *s, const struct iovec *iov, int n, struct vmig_error *error);
	ssize_t (*room)(void *s, size_t want, struct iovec *ret_iov, int *ret_n, struct vmig_error *error);
	int (*filled)(void *s, size_t len, struct vmig_error *error);
	int (*flush)(void *s, struct vmig_error *error);
	int (*query_precopy)(void *s, struct vmig_precopy *ret, struct vmig_error *error);
	void (*close)(void *s);
};

/** What set_state gives back when a new session has started; ops NULL: none has. */
struct vmig_session_half {
	const struct vmig_session_ops *ops;
	void *s;
};

struct vmig_provider_ops {
	void (*close)(void *p);
	void (*set_timeout)(void *p, uint32_t ms);
	int (*query_state)(void *p, uint32_t *ret_state, struct vmig_error *error);
	/** Walk to @target, as one request where the peer takes combinations. No recovery. */
	int (*set_state)(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error);
	/**
	 * The first state on the way from @from to @to, both states of the device and not the same. 0 or -EINVAL; pure,
	 * never blocks. NULL: the ways are those of v2 with the device's features.
	 */
	int (*probe_arc)(void *p, uint32_t from, uint32_t to, uint32_t *ret_next);
	int (*reset)(void *p, struct vmig_error *error);
	int (*query_stop_copy_size)(void *p, uint64_t *ret, struct vmig_error *error);

	/** JSON, from malloc(); at most VMIG_DEVICE_DESCRIPTOR_MAX bytes are passed on. */
	int (*query_descriptor)(void *p, char **ret, struct vmig_error *error);
	/** NULL: by the head of the stream, where there is VMIG_TRAIT_MATCH_FIRST. @buf has VMIG_DEVICE_OPAQUE_MAX bytes. */
	int (*query_opaque)(void *p, void *buf, size_t *ret_len, struct vmig_error *error);
	int (*check_opaque)(void *p, const void *data, size_t len, struct vmig_error *error);

	/** Both where there is VMIG_HAS_TAG. */
	int (*query_tag)(void *p, struct vmig_tag *ret, struct vmig_error *error);
	int (*set_tag)(void *p, const struct vmig_tag *tag, struct vmig_error *error);

	int (*query_region)(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error);
	int (*region_read)(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
			   struct vmig_error *error);
	int (*region_write)(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			    struct vmig_error *error);
	int (*query_ioeventfds)(void *p, uint32_t index, struct vmig_ioeventfd *ret, int max,
				struct vmig_error *error);
	int (*query_irq)(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error);
	int (*set_irqs)(void *p, const struct vmig_irq_set *set, struct vmig_error *error);

	int (*map_dma)(void *p, const struct vmig_dma *map, struct vmig_error *error);
	int (*unmap_dma)(void *p, uint64_t iova, uint64_t size, struct vmig_error *error);
	int (*dma_log_start)(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
			     struct vmig_error *error);
	int (*dma_log_stop)(void *p, struct vmig_error *error);
	int (*dma_log_report)(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
			      struct vmig_error *error);
};

/**
 * Make a handle. @info is copied (generation starts at 1). The provider belongs to the handle: its
 * close is called by vmig_device_close(). -ENOMEM: nothing was taken over.
 */
int vmig_device_new(const struct vmig_provider_ops *ops, void *p, const struct vmig_device_info *info,
		    struct vmig_device **ret);

/** A provider has found out more about its device: VMIG_TRAIT_* that it has as well. */
void vmig_device_gain_traits(struct vmig_device *dev, uint32_t traits);

/** What vmig_device_query_note() says from now on. It is cut where it is too long. */
void vmig_device_set_note(struct vmig_device *dev, const char *text);

/** Does vmig_session_room() give the device's own memory? Then there may be several rooms for one piece of data. */
bool vmig_session_has_rooms(const struct vmig_session *session);
/** Does vmig_session_lend() give the device's own memory? Then the next piece is there at once. */
bool vmig_session_has_loans(const struct vmig_session *session);

#endif
