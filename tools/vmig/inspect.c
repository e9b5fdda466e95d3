/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "report.h"

struct count {
	uint64_t records, bytes, devices;
};

static json_t *record_json(const struct vmig_stream_record *r)
{
	json_t *o = json_pack("{s:I, s:I, s:i, s:I, s:b}", "number", (json_int_t)r->number, "offset",
			      (json_int_t)r->offset, "type-number", (int)r->type, "length",
			      (json_int_t)r->length, "digest-ok", true);

	json_object_set_new(o, "type", r->name ? json_string(r->name) : json_null());
	json_object_set_new(o, "digest", json_sprintf("%016" PRIx64, r->digest));
	if (r->device != VMIG_STREAM_NO_DEVICE)
		json_object_set_new(o, "device", json_integer(r->device));
	if (r->n_devices)
		json_object_set_new(o, "devices", json_integer(r->n_devices));
	if (r->total)
		json_object_set_new(o, "total", json_integer((json_int_t)r->total));
	if (*r->identity) {
		json_object_set_new(o, "identity", json_string(r->identity));
		json_object_set_new(o, "format", json_string(r->format));
		json_object_set_new(o, "device-id", json_string(r->device_name));
		json_object_set_new(o, "migration-flags", json_integer((json_int_t)r->migration_flags));
	}
	return o;
}

static void print_record(const struct vmig_stream_record *r)
{
	char type[TOOL_TEXT_MAX], device[TOOL_TEXT_MAX] = "-", size[TOOL_TEXT_MAX];

	snprintf(type, sizeof(type), "%s", r->name ? r->name : "?");
	if (!r->name)
		snprintf(type, sizeof(type), "type %u", r->type);
	if (r->device != VMIG_STREAM_NO_DEVICE)
		snprintf(device, sizeof(device), "%u", r->device);
	printf("%7u %12" PRIu64 "  %-14s %6s %10u  ok", r->number, r->offset, type, device, r->length);
	if (*r->identity)
		printf("  %s, format %s, from %s", r->identity, r->format, r->device_name);
	if (r->n_devices)
		printf("  %u device%s", r->n_devices, r->n_devices == 1 ? "" : "s");
	if (r->total)
		printf("  %s in all", tool_text_size(r->total, size));
	printf("\n");
}

static void show(const struct tool_options *o, const struct vmig_stream_record *r, json_t *array)
{
	if (o->json && !o->verify)
		json_array_append_new(array, record_json(r));
	else if (!o->quiet && !o->verify)
		print_record(r);
}

static void sum_up(const struct tool_options *o, const struct vmig_stream_reader *reader,
		   const struct count *sum, const char *wrong, json_t *array)
{
	uint16_t major, minor;
	uint8_t attempt[16];
	char text[33], size[TOOL_TEXT_MAX];

	vmig_stream_reader_head(reader, &major, &minor, attempt);
	for (int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", attempt[i]);
	if (o->json) {
		json_array_append_new(array,
				      json_pack("{s:s, s:b, s:s, s:s, s:I, s:I, s:I}", "type", "SUMMARY",
						"ok", !*wrong, "reason", wrong, "attempt", text, "records",
						(json_int_t)sum->records, "devices", (json_int_t)sum->devices,
						"total", (json_int_t)sum->bytes));
	} else if (!o->quiet && !*wrong) {
		printf("stream %u.%u of attempt %s: %" PRIu64 " records, %" PRIu64
		       " device%s, %s of their data: whole\n",
		       major, minor, text, sum->records, sum->devices, sum->devices == 1 ? "" : "s",
		       tool_text_size(sum->bytes, size));
	}
}

static int read_all(const struct tool_options *o, struct vmig_stream_reader *reader, json_t *array)
{
	struct vmig_stream_record record;
	struct vmig_error error = { 0 };
	struct count sum = { 0 };
	int r;

	if (!o->json && !o->quiet && !o->verify)
		printf("%7s %12s  %-14s %6s %10s  digest\n", "record", "at byte", "type", "device", "length");
	while ((r = vmig_stream_reader_next(reader, &record, &error)) > 0) {
		sum.records++;
		sum.devices += *record.identity != '\0';
		sum.bytes += record.name && !strcmp(record.name, "DATA") ? record.length : 0;
		show(o, &record, array);
	}
	sum_up(o, reader, &sum, r < 0 ? error.text : "", array);
	fflush(stdout);
	return r < 0 ? tool_fail(VMIG_BAD_INPUT, "%s: %s: it cannot be restored; save it again", o->words[0],
				 error.text)
		     : 0;
}

static int inspect(const struct tool_options *o, struct vmig_channel *channel)
{
	struct vmig_stream_reader *reader;
	json_t *array;
	int r;

	if (vmig_stream_reader_new(channel, &reader))
		return tool_fail(VMIG_NOT_DONE, "out of memory");
	array = json_array();
	r = read_all(o, reader, array);
	if (o->json) {
		json_dumpf(array, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		printf("\n");
	}
	json_decref(array);
	vmig_stream_reader_free(reader);
	return r;
}

static int run(const struct tool_options *o)
{
	struct vmig_channel *channel;
	int r;

	if (o->n_words > 1)
		return tool_fail(VMIG_BAD_INPUT, "one FILE at a time: what is '%s'?", o->words[1]);
	r = tool_channel_file(o->words[0], false, &channel);
	if (r)
		return r;
	r = inspect(o, channel);
	vmig_channel_close(channel);
	return r;
}

const struct tool_verb tool_inspect = {
	.name = "inspect",
	.words = "FILE",
	.about = "a saved stream, record by record",
	.more = "Each record's type, device, length and digest. Every byte is checked; --verify says only "
		"the result.\n"
		"'-' is standard input. A file that is damaged or cut short is named by record and byte: "
		"status 2.",
	.example = "vmig inspect nic.vmig",
	.options = TOOL_OPT_JSON | TOOL_OPT_QUIET | TOOL_OPT_VERIFY,
	.min_words = 1,
	.run = run,
};
