/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "channel.h"
#include "device.h"
#include "side.h"

#define POLL_MS 250 /* how late Ctrl-C is noticed while nobody comes */

static int wait_for_peer(struct vmig_listener *listener, struct vmig_channel **ret)
{
	int r;

	do {
		r = vmig_listener_accept(listener, POLL_MS, ret);
	} while (r == -ETIMEDOUT && !tool_cancelled());
	if (r == -ETIMEDOUT)
		return tool_fail(VMIG_NOT_DONE, "cancelled: nobody came");
	if (r == -ECONNABORTED)
		return tool_fail(VMIG_NOT_DONE, "%s: %s", vmig_listener_address(listener),
				 vmig_listener_error(listener)->text);
	if (r)
		return tool_fail(VMIG_NOT_DONE, "%s: cannot be listened at: %s",
				 vmig_listener_address(listener), strerror(-r));
	return 0;
}

static void say_listening(const char *address)
{
	if (tool_say_json())
		tool_emit("VMIG_LISTENING", json_pack("{s:s}", "address", address));
	else
		printf("listening: %s\n", address);
	fflush(stdout);
}

static int at(struct tool_side *side, const char *address)
{
	struct vmig_listener *listener = NULL;
	struct vmig_channel *channel = NULL;
	int r;

	tool_cancel_begin();
	r = tool_channel_listen(address, side->options, &listener);
	if (r)
		return r;
	say_listening(vmig_listener_address(listener));
	/* Who has only asked ('vmig compat') has had the answer. */
	do {
		vmig_channel_close(channel);
		channel = NULL;
		r = wait_for_peer(listener, &channel);
		if (!r)
			tool_side_run(side, channel);
	} while (!r && side->result.probed);
	vmig_listener_free(listener);
	if (!r)
		r = tool_side_finish(side, NULL);
	vmig_channel_close(channel);
	return r;
}

static int run(const struct tool_options *o)
{
	struct tool_side side;
	int r;

	if (!tool_address_is(o->words[0]))
		return tool_fail(
			VMIG_BAD_INPUT,
			"the first word has to be the ADDRESS, tcp:HOST:PORT or unix:PATH; '%s' is not",
			o->words[0]);
	r = tool_side_open(&side, false, o->words + 1, o->n_words - 1, o, NULL);
	if (!r)
		r = at(&side, o->words[0]);
	tool_side_done(&side, NULL);
	return r;
}

const struct tool_verb tool_receive = {
	.name = "receive",
	.words = "ADDRESS DEVICE...",
	.about = "wait for a migration",
	.more = "ADDRESS is tcp:HOST:PORT or unix:PATH; port 0 is any that is free. It prints \"listening: "
		"ADDRESS\", takes\n"
		"one migration and ends. It answers the questions of 'vmig compat' and goes on waiting.",
	.example = "vmig receive --tls-psk psk tcp:0.0.0.0:4444 vfio-user:/run/nic.sock",
	.options = TOOL_OPT_RUN | TOOL_OPT_CHANNEL,
	.min_words = 2,
	.run = run,
};
