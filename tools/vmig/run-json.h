/* SPDX-License-Identifier: BSD-3-Clause */
/** run-json - what a run says of itself, as JSON. The shared memory is believed nothing: everything is cut to its bounds. */
#ifndef VMIG_TOOLS_RUN_JSON_H
#define VMIG_TOOLS_RUN_JSON_H

#include <jansson.h>

#include "run.h"

#define RUN_PROTOCOL 1

/** "running", "v1-pre-copy"; of v1 the bit 31 is set, see struct vmig_kabi_status. */
const char *run_text_state(uint32_t state, char buf[TOOL_TEXT_MAX]);

/** The answer to "info". */
json_t *run_json_info(const struct run *run, pid_t pid);
/** One call, @number counted from 0. */
json_t *run_json_call(const struct vmig_kabi_call *call, uint64_t number);

#endif
