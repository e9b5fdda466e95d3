/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel.h"
#include "device.h"
#include "side.h"

static int run(const struct tool_options *o)
{
	struct vmig_channel *channel = NULL;
	struct tool_side side = { 0 };
	int r;

	if (tool_device_is(o->words[0]))
		return tool_fail(VMIG_BAD_INPUT,
				 "the first word has to be the FILE, and '%s' is a DEVICE; './%s' is a file",
				 o->words[0], o->words[0]);
	r = tool_channel_file(o->words[0], false, &channel);
	if (!r)
		r = tool_side_open(&side, false, o->words + 1, o->n_words - 1, o);
	if (!r) {
		tool_cancel_begin();
		tool_side_run(&side, channel);
		r = tool_side_finish(&side, NULL);
	}
	tool_side_done(&side, NULL);
	vmig_channel_close(channel);
	return r;
}

const struct tool_verb tool_restore = {
	.name = "restore",
	.words = "FILE DEVICE...",
	.about = "load what was saved, and let it run",
	.more = "'-' is standard input. A file that is damaged or of another type of device is refused, and "
		"the device\n"
		"can be used as before.",
	.example = "vmig restore nic.vmig vfio-user:/run/nic.sock",
	.options = TOOL_OPT_RUN,
	.min_words = 2,
	.run = run,
};
