/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * store - what each kind of store implements. owner.c has checked the arguments, and holds a lock around each call.
 *
 * Guarantees asked for are those of vmig/owner.h; errors are filled in with vmig_fault().
 */
#ifndef VMIG_OWNER_STORE_H
#define VMIG_OWNER_STORE_H

#include "base/fault.h"
#include "owner/record.h"

struct vmig_store_ops {
	const char *scheme; /* "sqlite" */
	/** @rest: the URL without the scheme. */
	int (*open)(const char *rest, uint32_t timeout_ms, void **ret, struct vmig_error *error);
	void (*close)(void *store);
	uint32_t unit_max;
	int (*query)(void *store, struct vmig_uuid *ret, struct vmig_error *error);
	int (*read)(void *store, const struct vmig_uuid *devices, uint32_t n, struct vmig_ownership *ret,
		    struct vmig_error *error);
	int (*swap)(void *store, const struct vmig_ownership *now, const struct vmig_ownership *next,
		    uint32_t n, struct vmig_error *error);
	int (*list)(void *store, int (*each)(const struct vmig_ownership *, void *), void *opaque,
		    struct vmig_error *error);
};

/** -EAGAIN, with what @is there in words. */
int vmig_store_lost(const struct vmig_ownership *is, struct vmig_error *error);

extern const struct vmig_store_ops vmig_store_sqlite, vmig_store_etcd;

#endif
