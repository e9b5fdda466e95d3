/* SPDX-License-Identifier: BSD-3-Clause */
#include "compat-host.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "descriptor.h"
#include "device.h"

/* --- a device that is a descriptor only -------------------------------------------------------- */

static int paper_step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	return -EOPNOTSUPP;
}

static ssize_t paper_read(void *opaque, void *buf, size_t len)
{
	return -EOPNOTSUPP;
}

static int paper_write(void *opaque, const void *buf, size_t len)
{
	return -EOPNOTSUPP;
}

/* Checked here first: the other host would only say that it cannot read it. */
static int open_paper(const char *path, struct vmig_device **ret)
{
	static const struct vmig_model_ops ops = { .step = paper_step,
						   .read = paper_read,
						   .write = paper_write };
	struct vmig_model_config config = { .name = "descriptor",
					    .identity = "descriptor",
					    .migration_flags = VMIG_MIGRATION_STOP_COPY };
	struct vmig_descriptor *checked = NULL;
	struct vmig_error error;
	struct vmig_model *model;
	char *text;
	size_t len;
	int r;

	r = tool_file_read(path, VMIG_DEVICE_DESCRIPTOR_MAX - 1, &text, &len);
	if (r)
		return r;
	r = vmig_descriptor_parse(text, len, &checked, &error);
	vmig_descriptor_free(checked);
	if (r) {
		r = tool_fail(VMIG_BAD_INPUT, "%s: not a descriptor: %s; see vmig-descriptor(5)", path,
			      error.text);
	} else {
		config.descriptor = text;
		r = vmig_model_new(&ops, NULL, &config, &model, ret);
		r = r ? tool_fail(VMIG_NOT_DONE, "%s: %s", path, strerror(-r)) : 0;
	}
	free(text);
	return r;
}

/* --- the question -------------------------------------------------------------------------------- */

static int say(const struct tool_options *o, const char *source, const char *address,
	       const struct vmig_migrate_result *result)
{
	bool yes = result->outcome == VMIG_DONE;
	json_t *reasons, *answer;
	const char *line;

	if (!yes && result->stage != VMIG_STAGE_OFFER)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be asked: %s", address,
				 *result->reason ? result->reason : strerror(result->code));
	if (o->quiet)
		return yes ? 0 : VMIG_NOT_DONE;
	if (!o->json)
		printf("%s to %s: %s\n%s", source, address, yes ? "yes" : "no",
		       yes ? "  the destination accepts it, and so does its driver\n" : "");
	reasons = json_array();
	for (line = yes ? "" : result->reason; *line;) {
		int len = (int)strcspn(line, "\n");

		if (!o->json)
			printf("  %.*s\n", len, line);
		json_array_append_new(reasons, json_stringn(line, (size_t)len));
		line += len + (line[len] == '\n');
	}
	answer = json_pack("{s:i, s:s, s:s, s:b, s:s, s:o}", "version", 1, "source", source, "destination",
			   address, "compatible", yes, "decided-by", "destination", "reasons", reasons);
	if (o->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		printf("\n");
	}
	json_decref(answer);
	return yes ? 0 : VMIG_NOT_DONE;
}

int tool_compat_host(const struct tool_options *o, const char *source, const char *address)
{
	struct vmig_migrate_options options = {
		.timeout_ns = o->timeout_ns,
		.probe = true,
		.paper = !tool_device_is(source),
	};
	struct vmig_channel *channel = NULL;
	struct vmig_migrate_result result;
	struct vmig_device *dev = NULL;
	int r;

	r = options.paper ? open_paper(source, &dev) : tool_device_open(source, o->timeout_ns, &dev);
	if (!r)
		r = tool_channel_connect(address, o, &channel);
	if (!r) {
		r = vmig_migrate_source(&dev, 1, channel, NULL, &options, &result);
		r = r < 0 ? tool_fail(VMIG_BAD_INPUT, "%s: %s", address, strerror(-r))
			  : say(o, source, address, &result);
	}
	vmig_channel_close(channel);
	vmig_device_close(dev);
	return r;
}
