/* SPDX-License-Identifier: BSD-3-Clause */
/* Both forms of the answer are made from one JSON object a device, so that they cannot differ. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/uapi.h>

#include "arcs.h"
#include "device.h"
#include "descriptor.h"
#include "report.h"
#include "run-control.h"

struct bit {
	uint64_t bit;
	const char *name;
};

static const struct bit flag_bits[] = { { VMIG_DEVICE_FLAG_RESET, "reset" },
					{ VMIG_DEVICE_FLAG_PCI, "pci" },
					{ 0 } };
static const struct bit migration_bits[] = { { VMIG_MIGRATION_STOP_COPY, "stop-copy" },
					     { VMIG_MIGRATION_P2P, "p2p" },
					     { VMIG_MIGRATION_PRE_COPY, "pre-copy" },
					     { 0 } };
static const struct bit has_bits[] = { { VMIG_HAS_PRECOPY_INFO, "precopy-info" },
				       { VMIG_HAS_REINIT, "reinit" },
				       { VMIG_HAS_STOP_COPY_SIZE, "stop-copy-size" },
				       { VMIG_HAS_DMA_LOG, "dma-log" },
				       { VMIG_HAS_IOMMU_LOG, "iommu-log" },
				       { VMIG_HAS_TAG, "tag" },
				       { 0 } };
static const struct bit trait_bits[] = { { VMIG_TRAIT_LATE_VALIDATION, "late-validation" },
					 { VMIG_TRAIT_KEEPS_STATE, "keeps-state" },
					 { VMIG_TRAIT_RESET_KEEPS_FSM, "reset-keeps-fsm" },
					 { VMIG_TRAIT_SHORT_READ_ENDS, "short-read-ends" },
					 { VMIG_TRAIT_ZERO_IS_DRAINED, "zero-is-drained" },
					 { VMIG_TRAIT_INFO_STARTS_ROUND, "info-starts-round" },
					 { VMIG_TRAIT_MEMORY, "memory" },
					 { VMIG_TRAIT_NO_POLL, "no-poll" },
					 { VMIG_TRAIT_TRANSACTION_SIZES, "transaction-sizes" },
					 { VMIG_TRAIT_LENDS, "lends" },
					 { VMIG_TRAIT_ROOMS, "rooms" },
					 { VMIG_TRAIT_MATCH_FIRST, "match-first" },
					 { 0 } };
static const struct bit dma_bits[] = { { VMIG_DMA_KIND_FD, "fd" },
				       { VMIG_DMA_KIND_ADDRESS, "address" },
				       { VMIG_DMA_KIND_MESSAGE, "message" },
				       { 0 } };
static const struct bit region_bits[] = {
	{ VMIG_REGION_READ, "read" }, { VMIG_REGION_WRITE, "write" }, { VMIG_REGION_MMAP, "mmap" }, { 0 }
};
/* VFIO_IRQ_INFO_* */
static const struct bit irq_bits[] = { { 1u << 0, "eventfd" },
				       { 1u << 1, "maskable" },
				       { 1u << 2, "automasked" },
				       { 1u << 3, "noresize" },
				       { 0 } };

/* A bit that has no name here is shown by its number: a newer peer is not misrepresented. */
static json_t *names_of(uint64_t value, const struct bit *bits)
{
	json_t *array = json_array();

	for (; bits->name; bits++) {
		if (value & bits->bit)
			json_array_append_new(array, json_string(bits->name));
		value &= ~bits->bit;
	}
	for (unsigned int i = 0; i < 64; i++)
		if (value & (1ull << i))
			json_array_append_new(array, json_sprintf("bit-%u", i));
	return array;
}

static json_t *state_json(uint32_t state)
{
	char text[TOOL_TEXT_MAX];

	return json_string(tool_text_state(state, text));
}

static json_t *states_json(uint64_t features)
{
	json_t *array = json_array();

	for (uint32_t s = 0; s < VMIG_STATE_NR; s++)
		if (vmig_state_supported(features, s))
			json_array_append_new(array, state_json(s));
	return array;
}

static json_t *region_json(struct vmig_device *dev, uint32_t index)
{
	struct vmig_region region;
	json_t *o, *areas;

	if (vmig_device_query_region(dev, index, &region) || !region.size)
		return NULL;
	o = json_pack("{s:i, s:I, s:o}", "index", (int)index, "size", (json_int_t)region.size, "flags",
		      names_of(region.flags, region_bits));
	areas = json_array();
	for (uint32_t i = 0; i < region.n_areas && i < VMIG_REGION_AREAS_MAX; i++)
		json_array_append_new(areas,
				      json_pack("{s:I, s:I}", "offset", (json_int_t)region.areas[i].offset,
						"size", (json_int_t)region.areas[i].size));
	json_object_set_new(o, "areas", areas);
	if (region.cap_type)
		json_object_set_new(o, "type",
				    json_pack("[i, i]", (int)region.cap_type, (int)region.cap_subtype));
	return o;
}

static json_t *regions_json(struct vmig_device *dev, uint32_t n)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < n; i++) {
		json_t *o = region_json(dev, i);

		if (o)
			json_array_append_new(array, o);
	}
	return array;
}

static json_t *irqs_json(struct vmig_device *dev, uint32_t n)
{
	json_t *array = json_array();
	struct vmig_irq irq;

	for (uint32_t i = 0; i < n; i++)
		if (!vmig_device_query_irq(dev, i, &irq) && irq.count)
			json_array_append_new(array, json_pack("{s:i, s:I, s:o}", "index", (int)i, "count",
							       (json_int_t)irq.count, "flags",
							       names_of(irq.flags, irq_bits)));
	return array;
}

/* A device of v1 shows no feature: what it has is a region, known by its type. */
static void set_v1_region(json_t *o, struct vmig_device *dev, uint32_t n)
{
	struct vmig_region region;

	for (uint32_t i = 0; i < n; i++)
		if (!vmig_device_query_region(dev, i, &region) && region.size &&
		    region.cap_type == VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED &&
		    region.cap_subtype == VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED)
			json_object_set_new(o, "v1-region", json_integer(i));
}

static json_t *uuid_json(const struct vmig_uuid *uuid)
{
	char text[VMIG_UUID_TEXT_MAX];

	return vmig_uuid_is_none(uuid) ? json_null() : json_string(vmig_uuid_text(uuid, text));
}

/* Whose state it holds. */
static json_t *tag_json(struct vmig_device *dev)
{
	struct vmig_tag tag;

	if (vmig_device_query_tag(dev, &tag))
		return NULL;
	return json_pack("{s:o, s:o, s:o}", "identity", uuid_json(&tag.identity), "attempt",
			 uuid_json(&tag.attempt), "instance", uuid_json(&tag.instance));
}

static json_t *device_json(const char *name, struct vmig_device *dev, uint32_t state)
{
	struct vmig_device_info info;
	bool migrates;
	uint64_t size;
	json_t *o;

	vmig_device_query_info(dev, &info);
	migrates = info.migration_flags & VMIG_MIGRATION_STOP_COPY;
	o = json_pack("{s:s, s:s, s:s, s:b, s:o}", "device-id", name, "identity", info.identity, "format",
		      info.format, "migrates", migrates, "flags", names_of(info.flags, flag_bits));
	json_object_set_new(o, "migration-flags", names_of(info.migration_flags, migration_bits));
	if (migrates) {
		json_object_set_new(o, "device-state", state_json(state));
		json_object_set_new(o, "states", states_json(info.migration_flags));
		json_object_set_new(o, "arcs", tool_arcs_json(dev, info.migration_flags));
	}
	json_object_set_new(o, "has", names_of(info.has, has_bits));
	json_object_set_new(o, "traits", names_of(info.traits, trait_bits));
	json_object_set_new(o, "dma-kinds", names_of(info.dma_kinds, dma_bits));
	if (migrates && !vmig_device_query_stop_copy_size(dev, &size))
		json_object_set_new(o, "stop-copy-size", json_integer((json_int_t)size));
	if (info.has & VMIG_HAS_TAG)
		json_object_set_new(o, "tag", tag_json(dev));
	json_object_set_new(o, "regions", regions_json(dev, info.n_regions));
	set_v1_region(o, dev, info.n_regions);
	json_object_set_new(o, "irqs", irqs_json(dev, info.n_irqs));
	return o;
}

/* --- for people ---------------------------------------------------------------------------- */

static void print_words(const char *left, const json_t *words)
{
	char buf[TOOL_TEXT_MAX];
	size_t i;
	json_t *word;

	printf("  %-12s", left);
	json_array_foreach((json_t *)words, i, word)
		printf("%s%s", i ? " " : "", tool_upper(json_string_value(word), buf));
	printf("%s\n", json_array_size(words) ? "" : "-");
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "?";
}

static void print_regions(const json_t *o)
{
	char buf[TOOL_TEXT_MAX], left[TOOL_TEXT_MAX];
	json_t *row, *flag;
	size_t i, j;

	json_array_foreach(json_object_get(o, "regions"), i, row)
	{
		snprintf(left, sizeof(left), "region %d",
			 (int)json_integer_value(json_object_get(row, "index")));
		printf("  %-12s%s", left,
		       tool_text_size((uint64_t)json_integer_value(json_object_get(row, "size")), buf));
		json_array_foreach(json_object_get(row, "flags"), j, flag)
			printf("%s %s", j ? "" : ",", json_string_value(flag));
		printf("\n");
	}
	json_array_foreach(json_object_get(o, "irqs"), i, row)
	{
		snprintf(left, sizeof(left), "irq %d",
			 (int)json_integer_value(json_object_get(row, "index")));
		printf("  %-12s%d\n", left, (int)json_integer_value(json_object_get(row, "count")));
	}
}

static void print_tag(const json_t *tag)
{
	const char *identity = json_string_value(json_object_get(tag, "identity"));
	const char *attempt = json_string_value(json_object_get(tag, "attempt"));

	if (tag)
		printf("  %-12s%s%s%s\n", "holds", identity ? identity : "nobody's state",
		       attempt ? ", attempt " : "", attempt ? attempt : "");
}

static void print_device(const json_t *o)
{
	const json_t *size = json_object_get(o, "stop-copy-size");
	const char *was = json_string_value(json_object_get(o, "recovered-from"));
	char buf[TOOL_TEXT_MAX];

	printf("%s\n  %-12s%s, format %s\n", text_of(o, "device-id"), "identity", text_of(o, "identity"),
	       text_of(o, "format"));
	if (json_is_true(json_object_get(o, "migrates"))) {
		printf("  %-12s%s", "state", tool_upper(text_of(o, "device-state"), buf));
		if (was && strcmp(was, "running") != 0)
			printf(" (was %s: %s)", tool_upper(was, buf),
			       json_is_true(json_object_get(o, "reset")) ? "reset" : "brought back");
		printf("\n");
	} else {
		tool_arcs_none(o);
	}
	print_words("migration", json_object_get(o, "migration-flags"));
	print_words("flags", json_object_get(o, "flags"));
	print_words("optional", json_object_get(o, "has"));
	print_words("traits", json_object_get(o, "traits"));
	print_words("dma", json_object_get(o, "dma-kinds"));
	if (size)
		printf("  %-12s%s when stopped\n", "size",
		       tool_text_size((uint64_t)json_integer_value(size), buf));
	print_tag(json_object_get(o, "tag"));
	tool_arcs_print(o);
	print_regions(o);
}

/* --- the verb ------------------------------------------------------------------------------ */

static int recover(const char *name, struct vmig_device *dev, json_t *o)
{
	bool was_reset = false;
	uint32_t was;
	int r;

	r = vmig_recover(dev, &was, &was_reset);
	if (r == -EOPNOTSUPP)
		return tool_device_fail(VMIG_NOT_DONE, name, dev, r, "cannot be brought back to RUNNING");
	if (r == -EPERM)
		return tool_fail(VMIG_NOT_DONE,
				 "%s: has stopped and carries an identity, so it may run elsewhere by now: "
				 "'vmig owner "
				 "resolve %s' asks the record",
				 name, name);
	if (r)
		return tool_device_fail(
			VMIG_SOURCE_LOST, name, dev, r,
			"IT DOES NOT RUN AND COULD NOT BE BROUGHT BACK: RESTART WHAT PROVIDES IT");
	json_object_set_new(o, "recovered-from", state_json(was));
	json_object_set_new(o, "reset", json_boolean(was_reset));
	return 0;
}

static int query_run(const char *name, json_t *array)
{
	json_t *info;
	int r = run_info_query(run_client_name(name), &info);

	if (!r)
		json_array_append_new(array, info);
	return r;
}

static int query(const struct tool_options *o, const char *name, json_t *array)
{
	struct vmig_device *dev = NULL;
	json_t *found = json_object(), *about;
	uint32_t state = VMIG_STATE_NONE;
	int r;

	if (run_client_name(name)) {
		json_decref(found);
		return query_run(name, array);
	}
	r = tool_device_take(name, o, &dev);
	if (!r && o->recover)
		r = recover(name, dev, found);
	if (!r) {
		int q = vmig_device_query_state(dev, &state);

		if (q && q != -EOPNOTSUPP)
			r = tool_device_fail(VMIG_NOT_DONE, name, dev, q, "its state cannot be asked");
	}
	if (!r) {
		about = device_json(name, dev, state);
		json_object_update(about, found);
		json_array_append_new(array, about);
	}
	json_decref(found);
	vmig_device_close(dev);
	return r;
}

/* For whoever decides before anything moves: the bytes and nothing else, of one device. */
static int describe(const struct tool_options *o)
{
	uint8_t data[VMIG_DEVICE_OPAQUE_MAX];
	struct vmig_device *dev;
	char *json;
	size_t len;
	int r;

	if (o->n_words > 1 || (o->descriptor && o->opaque_flag))
		return tool_fail(VMIG_BAD_INPUT, "--descriptor and --opaque take one DEVICE, one at a time");
	if (o->descriptor) {
		r = tool_device_descriptor(o->words[0], o->timeout_ns, &json);
		if (!r) {
			printf("%s\n", json);
			free(json);
		}
		return r;
	}
	r = tool_device_open(o->words[0], o->timeout_ns, &dev);
	if (r)
		return r;
	r = vmig_device_query_opaque(dev, data, &len);
	if (r)
		r = tool_device_fail(VMIG_NOT_DONE, o->words[0], dev, r, "its driver tells no version data");
	else
		fwrite(data, 1, len, stdout);
	vmig_device_close(dev);
	return r;
}

static int run(const struct tool_options *o)
{
	json_t *array = json_array(), *row;
	int r, status = 0;
	size_t i;

	if (o->descriptor || o->opaque_flag) {
		json_decref(array);
		return describe(o);
	}
	for (int d = 0; d < o->n_words; d++) {
		r = query(o, o->words[d], array);
		if (r > status)
			status = r;
	}
	if (o->json) {
		json_dumpf(array, stdout, JSON_INDENT(2));
		printf("\n");
	} else if (!o->quiet) {
		json_array_foreach(array, i, row)
		{
			if (json_object_get(row, "vmig-run"))
				run_info_print(row);
			else if (o->arcs)
				tool_arcs_table(row);
			else
				print_device(row);
		}
	}
	json_decref(array);
	return status;
}

const struct tool_verb tool_info = {
	.name = "info",
	.words = "DEVICE... | run:NAME...",
	.about = "what a device is and can do",
	.more = "Its flags, its state, its states and the ways between them, sizes, regions, interrupts, "
		"traits, identity.\n"
		"--json prints an array with one object for each device.\n"
		"A device that migrates by v1 only is named as such; before the DEVICE, v1+ drives it "
		"through its "
		"migration region.\n"
		"--arcs probes the way from each state to each other: 1 is one step, + a combination "
		"transition, "
		"- no way.",
	.example = "vmig info model:nic,state=64M vfio-user:/run/nic.sock",
	.options = TOOL_OPT_JSON | TOOL_OPT_QUIET | TOOL_OPT_TIMEOUT | TOOL_OPT_RECOVER | TOOL_OPT_TAKE |
		   TOOL_OPT_ARCS | TOOL_OPT_DESCRIBE,
	.min_words = 1,
	.run = run,
};
