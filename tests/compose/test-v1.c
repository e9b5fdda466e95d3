/* SPDX-License-Identifier: BSD-3-Clause */
/* v1 and v2 on top of each other: a nic arrives whole whatever it is shown as and driven by. */
#include "models/rig.h"

#include <errno.h>
#include <string.h>

#include <vmig/region.h>

#include "common/v1.h"
#include "models/nic.h"
#include "stack.h"
#include "user/registers.h"

#define SOURCE "nic,state=1M,dirty-rate=16M/s,records=0"
#define DEST   "nic,state=1M,records=0"

static void open_both(struct stack *from, struct stack *to, const char *layers_from, const char *layers_to,
		      const struct vmig_v1_config *config)
{
	stack_open(from, rig_open(SOURCE), layers_from, config);
	stack_open(to, rig_open(DEST), layers_to, config);
	rig_ticks();
}

/* The destination does not change what it has: the digests are those of one state. */
static void check_arrived(struct stack *from, struct stack *to)
{
	uint64_t digest = rig_digest(from->dev);

	ck_assert_uint_ne(digest, 0);
	ck_assert_uint_eq(rig_digest(to->dev), digest);
	ck_assert_uint_eq(rig_wrong(to->dev), 0);
}

static void migrates(const char *layers_from, const char *layers_to, const struct vmig_v1_config *config)
{
	struct vmig_migrate_result a, b;
	struct stack from, to;
	int r;

	open_both(&from, &to, layers_from, layers_to, config);
	r = stack_migrate(&from, &to, &a, &b);
	ck_assert_msg(r == VMIG_DONE, "%s to %s: %d: %s / %s", layers_from, layers_to, r, a.reason, b.reason);
	ck_assert_uint_eq(rig_state(from.dev), VMIG_STATE_STOP);
	ck_assert_uint_eq(rig_state(to.dev), VMIG_STATE_RUNNING);
	ck_assert_uint_eq(a.resets + b.resets, 0);
	check_arrived(&from, &to);
	stack_close(&from);
	stack_close(&to);
}

static const struct vmig_v1_config configs[] = {
	{ .section = VMIG_V1_SECTION_TRAPPED },
	{ .section = VMIG_V1_SECTION_MAPPED },
	{ .section = VMIG_V1_SECTION_PARTITIONED },
	{ .section = VMIG_V1_SECTION_TRAPPED, .section_size = 4096 },
	{ .section = VMIG_V1_SECTION_MAPPED, .section_size = 4096 },
	{ .section = VMIG_V1_SECTION_PARTITIONED, .section_size = 16384 },
};

/* --- whole migrations by the engine ---------------------------------------------------------- */

TEST(a_v1_device_is_moved_by_v2_code)
{
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
		migrates("sd", "sd", &configs[i]);
		migrates("sn", "sn", &configs[i]);
	}
}

TEST(a_v1_device_behind_a_socket_is_moved_by_v2_code)
{
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++)
		migrates("svd", "svd", &configs[i]);
	migrates("svn", "svd", NULL);
}

/* The other end need not be made of the same layers; its section may have another size if it is large enough. */
TEST(only_the_format_counts)
{
	migrates("sd", "svd", NULL);
	migrates("svd", "sd", &configs[2]);
}

TEST(v1_on_v2_on_v1_by_v2_code)
{
	migrates("sdsd", "sdsd", NULL);
	migrates("sdsd", "sdsd", &configs[2]);
	migrates("svdsvd", "svdsvd", &configs[1]);
}

/* The frames of v1 in a stream that a vfio-user server of v2 carries. */
TEST(a_driven_device_is_served_as_one_of_v2)
{
	struct vmig_device_info info;
	struct stack stack;

	stack_open(&stack, rig_open(SOURCE), "sdv", NULL);
	vmig_device_query_info(stack.dev, &info);
	ck_assert_str_eq(info.format, "v1");
	stack_close(&stack);
	migrates("sdv", "sdv", NULL);
	migrates("sdv", "sd", NULL);
	migrates("svd", "sdv", &configs[1]);
}

/* --- by a user of v1 only -------------------------------------------------------------------- */

static void save_by_v1(struct stack *from, struct v1_stream *stream)
{
	struct v1 v;

	v1_open(&v, from->dev);
	v1_write_state(&v, 3);
	v1_save(&v, stream, 8);
	v1_write_state(&v, 2);
	v1_save(&v, stream, SIZE_MAX);
	v1_write_state(&v, 0);
	v.dev = NULL;
	v1_close(&v);
}

static void load_by_v1(struct stack *to, const struct v1_stream *stream)
{
	struct v1 v;

	v1_open(&v, to->dev);
	v1_write_state(&v, 4);
	v1_load(&v, stream);
	v1_write_state(&v, 1);
	v.dev = NULL;
	v1_close(&v);
}

static void moves_by_v1(const char *layers, const struct vmig_v1_config *config)
{
	struct v1_stream stream = { 0 };
	struct stack from, to;

	open_both(&from, &to, layers, layers, config);
	save_by_v1(&from, &stream);
	load_by_v1(&to, &stream);
	check_arrived(&from, &to);
	v1_stream_free(&stream);
	stack_close(&from);
	stack_close(&to);
}

TEST(a_v2_device_is_moved_by_a_user_of_v1)
{
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
		moves_by_v1("s", &configs[i]);
		moves_by_v1("sv", &configs[i]); /* shown, then served */
		moves_by_v1("vs", &configs[i]); /* served by v2, shown here */
	}
}

TEST(v1_on_v2_on_v1_by_a_user_of_v1)
{
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++)
		moves_by_v1("sds", &configs[i]);
	moves_by_v1("svdsv", NULL);
}

/* --- refusals -------------------------------------------------------------------------------- */

static void refused(const char *layers_from, const char *layers_to, const char *why)
{
	struct vmig_migrate_result a, b;
	struct stack from, to;

	open_both(&from, &to, layers_from, layers_to, NULL);
	ck_assert_int_eq(stack_migrate(&from, &to, &a, &b), VMIG_NOT_DONE);
	ck_assert_int_eq(a.stage, VMIG_STAGE_OFFER);
	ck_assert_msg(strstr(a.reason, why), "%s", a.reason);
	ck_assert_uint_eq(rig_state(from.dev), VMIG_STATE_RUNNING);
	ck_assert_uint_eq(rig_state(to.dev), VMIG_STATE_RUNNING);
	stack_close(&from);
	stack_close(&to);
}

TEST(a_stream_of_another_format_is_refused_at_the_offer)
{
	refused("sd", "", "format v1");
	refused("", "sd", "format v2");
	refused("svd", "v", "format v1");
	refused("v", "sdv", "format v2");
	/* Frames in frames. */
	refused("sdsd", "sd", "format v1+v1");
	refused("sd", "sdsd", "format v1,");
}

/* v2 data that are given to a v1 device all the same. */
TEST(a_stream_of_v2_is_refused_by_its_first_bytes)
{
	struct vmig_session *session;
	struct bytes stream = { 0 };
	struct stack from, to;

	open_both(&from, &to, "", "sd", NULL);
	rig_set(from.dev, VMIG_STATE_STOP);
	rig_save_all(from.dev, &stream);
	session = rig_start(to.dev, VMIG_STATE_RESUMING);
	ck_assert_int_eq(rig_load(session, stream.data, stream.len, 1000), -EBADMSG);
	vmig_session_close(session);
	ck_assert_int_eq(vmig_device_reset(to.dev), 0);
	ck_assert_uint_eq(rig_state(to.dev), VMIG_STATE_RUNNING);
	bytes_free(&stream);
	stack_close(&from);
	stack_close(&to);
}

/* A damaged byte of the device's own data: found by the device when it is to run, as late as v1 does. */
TEST(damaged_data_are_found_when_the_device_is_to_run)
{
	struct vmig_session *session;
	struct bytes stream = { 0 };
	struct stack from, to;
	int r;

	open_both(&from, &to, "sd", "sd", NULL);
	rig_set(from.dev, VMIG_STATE_STOP);
	rig_save_all(from.dev, &stream);
	stream.data[stream.len - 16 - 20] ^= 1; /* in the last that the device gave */
	session = rig_start(to.dev, VMIG_STATE_RESUMING);
	r = rig_load(session, stream.data, stream.len, 100000);
	if (!r)
		r = vmig_device_set_state(to.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL);
	if (!r)
		r = vmig_device_set_state(to.dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL);
	ck_assert_int_lt(r, 0);
	ck_assert_uint_ne(rig_state(to.dev), VMIG_STATE_RUNNING);
	vmig_session_close(session);
	ck_assert_int_eq(vmig_device_reset(to.dev), 0);
	ck_assert_uint_eq(rig_state(to.dev), VMIG_STATE_RUNNING);
	bytes_free(&stream);
	stack_close(&from);
	stack_close(&to);
}

/* --- what is written to device_state --------------------------------------------------------- */

static void writes_of(struct registers *r, char ret[64])
{
	size_t used = 0;

	for (const char *at = registers_log(r); (at = strstr(at, "S=")); at++) {
		ck_assert_uint_lt(used, 60);
		ret[used++] = at[2];
	}
	ret[used] = '\0';
}

/* Diagram 3 of the text, and 4 and 5: "targets, not arcs". */
TEST(a_whole_migration_writes_the_transitions_of_the_text_and_no_other)
{
	static const uint32_t sizes[] = { 3000, 100, 70 };
	struct vmig_migrate_result a, b;
	struct registers from, to;
	struct stack source, dest;
	char writes[64];

	registers_open(&from, NULL);
	registers_open(&to, NULL);
	from.sizes = sizes;
	from.n_sizes = 3;
	from.n_early = 1;
	stack_open(&source, from.dev, "d", NULL);
	stack_open(&dest, to.dev, "d", NULL);
	ck_assert_msg(stack_migrate(&source, &dest, &a, &b) == VMIG_DONE, "%s / %s", a.reason, b.reason);
	writes_of(&from, writes);
	ck_assert_str_eq(writes, "320");
	writes_of(&to, writes);
	ck_assert_str_eq(writes, "41");
	ck_assert_uint_eq(to.n_loaded, 3);
	ck_assert(to.loaded_right);
	stack_close(&source);
	stack_close(&dest);
	registers_close(&from);
	registers_close(&to);
}

/* --- again and again ------------------------------------------------------------------------- */

TEST(a_device_that_was_used_and_never_reset_is_loaded_again)
{
	struct vmig_migrate_result a, b;
	struct stack one, two;

	open_both(&one, &two, "svd", "svd", &configs[1]);
	for (int i = 0; i < 3; i++) {
		struct stack *from = i & 1 ? &two : &one, *to = i & 1 ? &one : &two;

		ck_assert_msg(stack_migrate(from, to, &a, &b) == VMIG_DONE, "%s / %s", a.reason, b.reason);
		ck_assert_uint_eq(a.resets + b.resets, 0);
		ck_assert_uint_eq(rig_wrong(to->dev), 0);
	}
	stack_close(&one);
	stack_close(&two);
}

HARNESS("compose-v1", T(a_v1_device_is_moved_by_v2_code), T(a_v1_device_behind_a_socket_is_moved_by_v2_code),
	T(only_the_format_counts), T(v1_on_v2_on_v1_by_v2_code), T(a_driven_device_is_served_as_one_of_v2),
	T_SLOW(a_v2_device_is_moved_by_a_user_of_v1, 60), T_SLOW(v1_on_v2_on_v1_by_a_user_of_v1, 60),
	T(a_stream_of_another_format_is_refused_at_the_offer),
	T(a_stream_of_v2_is_refused_by_its_first_bytes), T(damaged_data_are_found_when_the_device_is_to_run),
	T(a_whole_migration_writes_the_transitions_of_the_text_and_no_other),
	T(a_device_that_was_used_and_never_reset_is_loaded_again))
