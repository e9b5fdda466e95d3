/* SPDX-License-Identifier: BSD-3-Clause */
/** store - which ownership record the command line means, and what this end is called in it. */
#ifndef VMIG_TOOLS_STORE_H
#define VMIG_TOOLS_STORE_H

#include "tool.h"

#define TOOL_STORE_URL_MAX 4352

/** Which one that is; "": "none". Its folder is made if it is the machine's own. 0, or an exit status: it has been said. */
int tool_store_url(const char *url, char ret[TOOL_STORE_URL_MAX]);

/**
 * Open the record that @url (--owner), else $VMIG_OWNER, else the machine's own file is. *ret NULL: "none".
 * 0, or an exit status: it has been said. VMIG_IN_DOUBT: it cannot be had.
 */
int tool_store_open(const char *url, uint64_t timeout_ns, struct vmig_owner **ret);

/** HOST/DEVICE, or what --as said. A device within this process is this process's. 0, or an exit status: it has been said. */
int tool_store_name(const char *as, const char *device, bool source, char ret[VMIG_OWNER_NAME_MAX]);

/** --id UUID,UUID,...: of the @n devices, in their order; one may be empty. NULL: none. 0, or an exit status. *ret is to be freed. */
int tool_store_ids(const char *text, uint32_t n, struct vmig_uuid **ret);

/** Has it an identity, by its tag? Then the record decides what becomes of it. */
bool tool_store_identified(struct vmig_device *dev);

#endif
