/* SPDX-License-Identifier: BSD-3-Clause */
/* What a model's descriptor says, what its driver says of version data, and what its own loader does: never apart. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/compat.h>

#include "harness.h"
#include "rig.h"

#define V5_2 "vgpu,type=i915-GVTg_V5_2"
#define V5_4 "vgpu,type=i915-GVTg_V5_4"

static const char *const specs[] = {
	"nic,state=64K",
	"nic,state=128K",
	"nic,state=64K,queues=3",
	"nic,state=64K,version=1.1.0",
	"nic,state=64K,version=1.1.7",
	"nic,state=64K,version=2.0.0",
	"nic,state=64K,p2p=off,precopy=off",
	"accel,state=64K",
	"accel,state=64K,queues=4",
	"accel,state=64K,version=1.2.0,precopy=on",
	"serial",
	"serial,version=1.0.9",
	V5_2 ",state=64K",
	V5_4 ",state=64K",
	V5_4 ",state=32K,aggregator=2",
	V5_4 ",state=32K,aggregator=2,gvt-version=v2",
	V5_2 ",state=64K,gvt-version=v2,pv-mode=all",
	V5_2 ",state=64K,gvt-version=v3",
};

#define N (sizeof(specs) / sizeof(specs[0]))

static struct vmig_descriptor *descriptor_of(struct vmig_device *dev)
{
	struct vmig_descriptor *d = NULL;
	struct vmig_error error;
	char *json;

	ck_assert_int_eq(vmig_device_query_descriptor(dev, &json), 0);
	ck_assert_msg(!vmig_descriptor_parse(json, strlen(json), &d, &error), "%s: %s", json, error.text);
	free(json);
	return d;
}

/** A row that says no names an attribute that is not the same on both sides. */
static void check_reason(const char *from, const char *to, const struct vmig_compat_answer *answer)
{
	size_t n_bad = 0;

	for (size_t i = 0; i < answer->n_rows; i++) {
		const struct vmig_compat_row *row = &answer->rows[i];

		if (row->verdict == VMIG_COMPAT_OK)
			continue;
		n_bad++;
		ck_assert_msg(!row->has || !row->accepted || strcmp(row->has, row->accepted), "%s to %s: %s",
			      from, to, row->attribute);
		ck_assert(*row->reason);
	}
	ck_assert_msg(n_bad, "%s to %s: no, without a reason", from, to);
}

static bool descriptors_agree(const char *from, struct vmig_device *source, const char *to,
			      struct vmig_device *destination)
{
	struct vmig_descriptor *s = descriptor_of(source), *d = descriptor_of(destination);
	struct vmig_compat_answer *answer;
	bool yes;

	ck_assert_int_eq(vmig_compat_check(s, d, NULL, &answer, NULL), 0);
	yes = answer->compatible;
	if (!yes)
		check_reason(from, to, answer);
	vmig_compat_answer_free(answer);
	vmig_descriptor_free(s);
	vmig_descriptor_free(d);
	return yes;
}

static bool driver_agrees(struct vmig_device *source, struct vmig_device *destination)
{
	uint8_t data[VMIG_DEVICE_OPAQUE_MAX];
	struct vmig_error error;
	uint32_t state;
	size_t len;
	int r;

	ck_assert_int_eq(vmig_device_query_opaque(source, data, &len), 0);
	r = vmig_device_check_opaque(destination, data, len);
	vmig_device_query_error(destination, &error);
	ck_assert_msg(!r || (r == -EINVAL && strstr(error.text, "the driver refuses it: ")), "%d %s", r,
		      error.text);
	/* Nothing has moved. */
	ck_assert_int_eq(vmig_device_query_state(source, &state), 0);
	ck_assert_uint_eq(state, VMIG_STATE_RUNNING);
	ck_assert_int_eq(vmig_device_query_state(destination, &state), 0);
	ck_assert_uint_eq(state, VMIG_STATE_RUNNING);
	return !r;
}

static bool loader_agrees(struct vmig_device *source, struct vmig_device *destination)
{
	struct bytes b = { 0 };
	bool yes;

	rig_set(source, VMIG_STATE_STOP);
	rig_save_all(source, &b);
	yes = !rig_load_all(destination, b.data, b.len);
	bytes_free(&b);
	return yes;
}

TEST(descriptor_driver_and_loader_agree_on_every_pair)
{
	size_t n_yes = 0;

	for (size_t i = 0; i < N; i++) {
		for (size_t j = 0; j < N; j++) {
			struct vmig_device *source = rig_open(specs[i]), *destination = rig_open(specs[j]);
			bool said = descriptors_agree(specs[i], source, specs[j], destination);
			bool driver = driver_agrees(source, destination),
			     loads = loader_agrees(source, destination);

			ck_assert_msg(said == loads && driver == loads,
				      "%s to %s: descriptor %d, driver %d, loader %d", specs[i], specs[j],
				      said, driver, loads);
			n_yes += loads;
			vmig_device_close(source);
			vmig_device_close(destination);
		}
	}
	ck_assert_uint_gt(n_yes, N);
}

/* Attribute by attribute, as the discussion of July 2020 had it. */
TEST(the_vgpu_is_the_i915_example)
{
	static const char *const expected[][2] = {
		{ "pciid", "8086591d" },           { "driver", "i915" },  { "gvt-version", "v1" },
		{ "mdev_type", "i915-GVTg_V5_2" }, { "aggregator", "1" }, { "pv-mode", "none" },
	};
	struct vmig_device *dev = rig_open(V5_2);
	struct vmig_descriptor *d = descriptor_of(dev);

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		ck_assert_str_eq(vmig_descriptor_attribute(d, expected[i][0]), expected[i][1]);
	vmig_descriptor_free(d);
	vmig_device_close(dev);
	dev = rig_open(V5_4 ",aggregator=2,gvt-version=v2,pv-mode=all");
	d = descriptor_of(dev);
	ck_assert_str_eq(vmig_descriptor_attribute(d, "mdev_type"), "i915-GVTg_V5_4");
	ck_assert_str_eq(vmig_descriptor_attribute(d, "aggregator"), "2");
	ck_assert_str_eq(vmig_descriptor_attribute(d, "gvt-version"), "v2");
	ck_assert_str_eq(vmig_descriptor_attribute(d, "pv-mode"), "none, ppgtt, context");
	vmig_descriptor_free(d);
	vmig_device_close(dev);
}

/* Of version data every byte counts, and a head that is cut off or too long is refused. */
TEST(changed_version_data_are_refused)
{
	struct vmig_device *dev = rig_open("accel,state=64K");
	uint8_t data[VMIG_DEVICE_OPAQUE_MAX];
	size_t len;

	ck_assert_int_eq(vmig_device_query_opaque(dev, data, &len), 0);
	for (size_t i = 0; i < len; i++) {
		data[i] ^= 1u << i % 8;
		ck_assert_msg(vmig_device_check_opaque(dev, data, len) < 0, "byte %zu", i);
		data[i] ^= 1u << i % 8;
		ck_assert_int_lt(i ? vmig_device_check_opaque(dev, data, i) : -1, 0);
	}
	data[len] = 0;
	ck_assert_int_lt(vmig_device_check_opaque(dev, data, len + 1), 0);
	ck_assert_int_eq(vmig_device_check_opaque(dev, data, len), 0);
	ck_assert_int_eq(vmig_device_check_opaque(dev, data, 0), -EINVAL);
	ck_assert_int_eq(vmig_device_check_opaque(dev, data, VMIG_DEVICE_OPAQUE_MAX + 1), -EINVAL);
	vmig_device_close(dev);
}

HARNESS("compat.models", T_SLOW(descriptor_driver_and_loader_agree_on_every_pair, 120),
	T(the_vgpu_is_the_i915_example), T(changed_version_data_are_refused))
