/* SPDX-License-Identifier: BSD-3-Clause */
/** etcd_url - "http://HOST:PORT[,HOST:PORT...][?OPTION=VALUE&...]", taken apart. */
#ifndef VMIG_OWNER_ETCD_URL_H
#define VMIG_OWNER_ETCD_URL_H

#include "base/limits.h"
#include "owner/store.h"

struct vmig_etcd_url {
	char *text; /* which the others point into, but endpoints, prefix and password */
	char *endpoints[VMIG_LIMIT_OWNER_ENDPOINTS]; /* "http://HOST:PORT" */
	uint32_t n_endpoints;
	char *prefix;
	const char *ca, *cert, *key, *user;
	char *password;
};

int vmig_etcd_url_parse(const char *rest, struct vmig_etcd_url *ret, struct vmig_error *error);
void vmig_etcd_url_done(struct vmig_etcd_url *url);

#endif
