/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "device.h"
#include "side.h"

static int into(struct tool_side *side, const char *file)
{
	struct vmig_channel *channel;
	int r;

	tool_cancel_begin(); /* from here there is a file to take back */
	r = tool_channel_file(file, true, &channel);
	if (r)
		return r;
	r = tool_side_warm_up(side);
	if (!r) {
		tool_side_run(side, channel);
		r = tool_side_finish(side, NULL);
	}
	vmig_channel_close(channel);
	return r;
}

static int run(const struct tool_options *o)
{
	const char *file = o->words[o->n_words - 1];
	struct tool_side side;
	int r;

	if (tool_device_is(file))
		return tool_fail(VMIG_BAD_INPUT,
				 "the last word has to be the FILE, and '%s' is a DEVICE; './%s' is a file",
				 file, file);
	if (!strcmp(file, "-")) {
		if (isatty(STDOUT_FILENO))
			return tool_fail(VMIG_BAD_INPUT,
					 "standard output is a terminal: send it into a pipe or a file");
		tool_say_stdout_is_taken();
	}
	r = tool_side_open(&side, true, o->words, o->n_words - 1, o);
	if (!r)
		r = into(&side, file);
	tool_side_done(&side, NULL);
	return r;
}

const struct tool_verb tool_save = {
	.name = "save",
	.words = "DEVICE... FILE",
	.about = "the state of devices into a file",
	.more = "The devices are left in STOP, or with --live in RUNNING. '-' is standard output. The file "
		"gets its\n"
		"name when it is whole: a save that fails leaves none.",
	.example = "vmig save --live vfio-user:/run/nic.sock nic.vmig",
	.options = TOOL_OPT_RUN | TOOL_OPT_SOURCE | TOOL_OPT_LIVE,
	.min_words = 2,
	.run = run,
};
