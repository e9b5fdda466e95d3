/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "channel.h"
#include "device.h"
#include "harden-receive.h"
#include "side.h"
#include "store.h"

#define POLL_MS 250 /* how late Ctrl-C is noticed while nobody comes */

/*
 * Whoever reaches the port may come as often as he likes: there is not more than one line a second of it, so that he
 * cannot fill a disk.
 */
static void say_refused(const char *reason)
{
	static unsigned int unsaid;
	static time_t last;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (last && now.tv_sec == last) {
		unsaid++;
		return;
	}
	last = now.tv_sec;
	tool_emit("VMIG_REFUSED", json_pack("{s:s, s:i}", "reason", reason, "unsaid", (int)unsaid));
	if (!tool_say_quiet())
		tool_warn("somebody came and was refused: %s; waiting for the next%s", reason,
			  unsaid ? " (there were more)" : "");
	unsaid = 0;
}

static int wait_for_peer(struct vmig_listener *listener, bool once, struct vmig_channel **ret)
{
	int r;

	do {
		r = vmig_listener_accept(listener, POLL_MS, ret);
		if (r == -ECONNABORTED && !once)
			say_refused(vmig_listener_error(listener)->text);
	} while ((r == -ETIMEDOUT || (r == -ECONNABORTED && !once)) && !tool_cancelled());
	if (r == -ECONNABORTED && once)
		return tool_fail(VMIG_NOT_DONE, "%s: %s", vmig_listener_address(listener),
				 vmig_listener_error(listener)->text);
	if (r == -ETIMEDOUT || r == -ECONNABORTED)
		return tool_fail(VMIG_NOT_DONE, "cancelled: nobody came");
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

/* These devices are in use, or kept for somebody: whoever comes next would be refused too. */
static bool not_free(const struct vmig_migrate_result *r)
{
	static const char *const verdicts[] = { "run-all", "raise-then-run", "lost-device", "keep", "doubt" };

	for (size_t i = 0; r->verdict && r->stage == VMIG_STAGE_HELLO && i < TOOL_ARRAY_SIZE(verdicts); i++)
		if (!strcmp(r->verdict, verdicts[i]))
			return true;
	return false;
}

/* Is it as if nobody had come? The devices have not been promised to anybody, and are here. */
static bool goes_on(struct tool_side *side)
{
	const struct vmig_migrate_result *r = &side->result;
	uint32_t state;

	if (r->probed) /* who has only asked ('vmig compat') has had the answer */
		return true;
	if (side->options->once || tool_cancelled() || not_free(r) || r->stage > VMIG_STAGE_OFFER ||
	    (r->outcome != VMIG_NOT_DONE && r->outcome != VMIG_BAD_INPUT))
		return false;
	for (uint32_t i = 0; i < side->n; i++)
		if (vmig_device_query_state(side->devices[i], &state) || state == VMIG_STATE_ERROR)
			return false;
	say_refused(r->reason);
	side->report.stage = VMIG_STAGE_NR;
	return true;
}

/* Whoever comes is a stranger until it has shown who it is. */
static int give_up(const char *address, const struct tool_options *o)
{
	char owner[TOOL_STORE_URL_MAX];
	int r = o->no_sandbox ? 0 : tool_store_url(o->owner, owner);

	if (!r && !o->no_sandbox)
		harden_receive(address, owner);
	return r;
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
	r = give_up(address, side->options);
	if (r) {
		vmig_listener_free(listener);
		return r;
	}
	say_listening(vmig_listener_address(listener));
	side->listener = listener;
	do {
		vmig_channel_close(channel);
		channel = NULL;
		r = wait_for_peer(listener, side->options->once, &channel);
		if (!r)
			tool_side_run(side, channel);
	} while (!r && goes_on(side));
	vmig_listener_free(listener);
	side->listener = NULL;
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
	r = tool_side_open(&side, false, o->words + 1, o->n_words - 1, o);
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
		"one migration and ends. Until it has accepted one it goes on waiting: it answers the "
		"questions of "
		"'vmig compat',\n"
		"and who is refused is named in one line. --once ends after the first that was refused.",
	.example = "vmig receive --tls-psk psk tcp:0.0.0.0:4444 vfio-user:/run/nic.sock",
	.options = TOOL_OPT_RUN | TOOL_OPT_SANDBOX | TOOL_OPT_OWNER | TOOL_OPT_CHANNEL | TOOL_OPT_ONCE,
	.min_words = 2,
	.run = run,
};
