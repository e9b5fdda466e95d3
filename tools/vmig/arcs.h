/* SPDX-License-Identifier: BSD-3-Clause */
/** arcs - the ways between the states of a device, probed one by one. */
#ifndef VMIG_TOOLS_ARCS_H
#define VMIG_TOOLS_ARCS_H

#include <jansson.h>

#include "tool.h"

/** [{"from", "to", "path": [the states on the way, without "from"; empty: there is none]}] */
json_t *tool_arcs_json(struct vmig_device *dev, uint64_t features);

/** Of an object with "states" and "arcs": of each state the single arcs and the combination transitions, in lines. */
void tool_arcs_print(const json_t *device);
/** Of one without: that it does not migrate, or how to drive it. */
void tool_arcs_none(const json_t *device);
/** The ways as a table. */
void tool_arcs_table(const json_t *device);

/** "stop-copy" is STOP_COPY to a person who reads the uAPI. Returns @buf. */
const char *tool_upper(const char *word, char buf[TOOL_TEXT_MAX]);

#endif
