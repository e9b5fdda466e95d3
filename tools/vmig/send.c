/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel.h"
#include "device.h"
#include "side.h"

static int to(struct tool_side *side, const char *address)
{
	struct vmig_channel *channel = NULL;
	int r;

	/* The workload first: the other end waits for so long only as its --timeout says. */
	r = tool_side_warm_up(side);
	if (!r)
		r = tool_channel_connect(address, side->options, &channel);
	if (!r) {
		side->address = address;
		tool_side_run(side, channel);
		r = tool_side_finish(side, NULL);
	}
	vmig_channel_close(channel);
	return r;
}

static int run(const struct tool_options *o)
{
	const char *address = o->words[o->n_words - 1];
	struct tool_side side;
	int r;

	if (!tool_address_is(address))
		return tool_fail(
			VMIG_BAD_INPUT,
			"the last word has to be the ADDRESS, tcp:HOST:PORT or unix:PATH; '%s' is not",
			address);
	r = tool_side_open(&side, true, o->words, o->n_words - 1, o);
	if (!r)
		r = to(&side, address);
	tool_side_done(&side, NULL);
	return r;
}

const struct tool_verb tool_send = {
	.name = "send",
	.words = "DEVICE... ADDRESS",
	.about = "move devices to a 'vmig receive'",
	.more = "ADDRESS is tcp:HOST:PORT or unix:PATH. A fault before the commit brings the source back to "
		"RUNNING.",
	.example = "vmig send vfio-user:/run/nic.sock tcp:host2:4444 --downtime 100ms",
	.options = TOOL_OPT_RUN | TOOL_OPT_OWNER | TOOL_OPT_SOURCE | TOOL_OPT_CHANNEL,
	.min_words = 2,
	.run = run,
};
