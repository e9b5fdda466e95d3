/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * report - what a person or a program sees of a migration: the progress line, events, the table at the end.
 *
 * Events have the names and fields of QEMU's where QEMU has them; what is ours starts with VMIG_.
 */
#ifndef VMIG_TOOLS_REPORT_H
#define VMIG_TOOLS_REPORT_H

#include <jansson.h>

#include "tool.h"

/** One end of a migration, as it is reported. */
struct tool_report {
	const char *side;         /* "source", "destination" */
	const char *const *names; /* of the devices, as they were given */
	bool memory;              /* moves with them, behind them */
	uint32_t n;
	bool leads;                /* draws the progress line and speaks for the migration's status */
	enum vmig_stage stage;     /* the last one begun */
	enum vmig_stage table_end; /* unused stages are not shown */
};

/** For struct vmig_migrate_options.event; @opaque is the report. */
void tool_report_event(const struct vmig_migrate_event *event, void *opaque);

/** The table at the end; nothing with --json or --quiet. */
void tool_report_table(const struct tool_report *report, const struct vmig_migrate_result *result);

/** The last event. @more (may be NULL) is merged into its data; taken over. */
void tool_report_result(const struct tool_report *report, const struct vmig_migrate_result *result,
			int status, json_t *more);

/** What went wrong, in one line. @detail may be NULL. Returns the exit status. */
int tool_report_failure(const struct tool_report *report, const struct vmig_migrate_result *result,
			const char *detail);

/** One event a line on stdout, with QEMU's timestamp, if --json was given. Takes @data over. */
void tool_emit(const char *event, json_t *data);

/** "pre-copy-p2p", as QEMU writes it; the number for a state that is not known. */
const char *tool_text_state(uint32_t state, char buf[TOOL_TEXT_MAX]);

#endif
