/* SPDX-License-Identifier: BSD-3-Clause */
/** etcd - requests to etcd's JSON gateway (etcd_http.c), of which the store is made (etcd.c). */
#ifndef VMIG_OWNER_ETCD_H
#define VMIG_OWNER_ETCD_H

#include <jansson.h>

#include "base/limits.h"
#include "owner/store.h"

struct vmig_etcd_http;

/** @rest: "http://HOST:PORT[,HOST:PORT...][?OPTION=VALUE&...]". *ret_prefix is of its keys, to be freed. */
int vmig_etcd_http_new(const char *rest, uint32_t timeout_ms, struct vmig_etcd_http **ret, char **ret_prefix,
		       struct vmig_error *error);
void vmig_etcd_http_free(struct vmig_etcd_http *http);

/** Does the reply say what was asked? 0, -EAGAIN (a swap that has lost), or that it cannot be right: -EPROTO, -EBADMSG. */
typedef int vmig_etcd_judge(const json_t *reply, void *opaque, struct vmig_error *error);

/**
 * Ask, one endpoint after the other, until one has an answer that @judge takes (0 or -EAGAIN), or time is up.
 * Returns what @judge said last; or why nobody could be asked. *ret_sent (may be NULL): some endpoint may have done
 * what was asked, whatever is returned.
 */
int vmig_etcd_call(struct vmig_etcd_http *http, const char *path, const json_t *request,
		   vmig_etcd_judge *judge, void *opaque, bool *ret_sent, struct vmig_error *error);

#endif
