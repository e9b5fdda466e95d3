/* SPDX-License-Identifier: BSD-3-Clause */
/* What is compatible: tables of rules, each with the verdict and a word of the reason. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/compat.h>

#include "harness.h"

static struct vmig_descriptor *read_it(const char *text)
{
	struct vmig_descriptor *d = NULL;
	struct vmig_error error;
	int r = vmig_descriptor_parse(text, strlen(text), &d, &error);

	ck_assert_msg(!r, "%s: %s", text, error.text);
	return d;
}

/** 1 yes, 0 no, else the error. The reason is kept in @reason (of 256 bytes) if there is one. */
static int ask(const char *source, const char *destination, const struct vmig_compat_options *options,
	       enum vmig_compat_side *ret_side, char *reason)
{
	struct vmig_descriptor *s = read_it(source), *d = read_it(destination);
	struct vmig_compat_answer *answer = NULL;
	struct vmig_error error;
	int r = vmig_compat_check(s, d, options, &answer, &error);

	if (reason)
		snprintf(reason, 256, "%s", r ? error.text : answer->reason);
	if (!r && ret_side)
		*ret_side = answer->decided;
	if (!r)
		r = answer->compatible;
	vmig_compat_answer_free(answer);
	vmig_descriptor_free(s);
	vmig_descriptor_free(d);
	return r;
}

/** @has against a destination that accepts @accepts: both are the inner part of an entry. */
static int held_against(const char *has, const char *accepts, char *reason)
{
	char source[1024], destination[1024];

	snprintf(source, sizeof(source), "{\"self\":[{%s}]}", has);
	snprintf(destination, sizeof(destination), "{\"self\":[{\"a\":\"z\"}],\"compatible\":[{%s}]}",
		 accepts);
	return ask(source, destination, NULL, NULL, reason);
}

TEST(values_and_rules)
{
	static const struct {
		const char *has, *accepts;
		int answer;
		const char *reason;
	} rows[] = {
		{ "\"a\":\"1\"", "\"a\":\"1\"", 1, "accepts it" },
		{ "\"a\":\"1\"", "\"a\":1", 1, "accepts it" },
		{ "\"a\":1", "\"a\":\"1\"", 1, "accepts it" },
		{ "\"a\":\"1\"", "\"a\":\"2\"", 0, "a: 1 is not what is accepted" },
		{ "\"a\":\"none\"", "\"a\":\"none, ppgtt, context\"", 1, "accepts it" },
		{ "\"a\":\"context,none\"", "\"a\":\"none, ppgtt, context\"", 1, "accepts it" },
		{ "\"a\":\"none, ppgtt, context\"", "\"a\":\"none\"", 0, "a: context is not" },
		{ "\"a\":[\"none\",\"x\"]", "\"a\":[\"none\",\"ppgtt\"]", 0, "a: x is not one of" },
		{ "\"a\":\"1\"", "\"a\":{\"min\":1}", 1, "accepts it" },
		{ "\"a\":1", "\"a\":{\"min\":1,\"max\":8}", 1, "accepts it" },
		{ "\"a\":8", "\"a\":{\"min\":1,\"max\":8}", 1, "accepts it" },
		{ "\"a\":9", "\"a\":{\"min\":1,\"max\":8}", 0, "9 is out of the range" },
		{ "\"a\":0", "\"a\":{\"min\":1,\"max\":8}", 0, "0 is out of the range" },
		{ "\"a\":[1,4]", "\"a\":{\"max\":4}", 1, "accepts it" },
		{ "\"a\":[1,5]", "\"a\":{\"max\":4}", 0, "5 is out of the range" },
		{ "\"a\":\"one\"", "\"a\":{\"min\":1}", -EDOM, "is no number" },
		{ "\"a\":\"1x\"", "\"a\":{\"min\":1}", -EDOM, "is no number" },
		{ "\"version\":\"1.0.0\"", "\"version\":{\"min\":1}", -EDOM, "is no number" },
		{ "\"version\":\"1.0.0\"", "\"version\":{\"any\":true}", 1, "accepts it" },
		{ "\"a\":\"what\"", "\"a\":{\"any\":true}", 1, "accepts it" },
		{ "\"fw\":\"1.3.9\"", "\"fw\":{\"version\":\"1.4.0\"}", 1, "accepts it" },
		{ "\"fw\":\"1.5\"", "\"fw\":{\"version\":\"1.4.0\"}", 0, "newer minor" },
		{ "\"fw\":\"blue\"", "\"fw\":{\"version\":\"1.4.0\"}", -EDOM, "is no version" },
		{ "\"a\":\"1\",\"b\":\"2\"", "\"a\":\"1\"", 0, "b: what accepts does not know" },
		{ "\"a\":\"1\"", "\"a\":\"1\",\"b\":\"2\"", 0, "b: it is demanded" },
		{ "\"a\":\"1\"", "\"a\":\"1\",\"b\":{\"any\":true}", 0, "b: it is demanded" },
		{ "\"a\":\"V1\"", "\"a\":\"v1\"", 0, "a: V1 is not" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char reason[256];
		int r = held_against(rows[i].has, rows[i].accepts, reason);

		ck_assert_msg(r == rows[i].answer && strstr(reason, rows[i].reason),
			      "row %zu: %s against %s: %d, %s", i, rows[i].has, rows[i].accepts, r, reason);
	}
}

/* Every combination of older, same and newer of all three numbers. */
TEST(versions)
{
	static const int steps[] = { -1, 0, 1 };

	for (unsigned int i = 0; i < 27; i++) {
		int major = steps[i / 9], minor = steps[i / 3 % 3], bugfix = steps[i % 3];
		char has[64], reason[256];
		int r;

		snprintf(has, sizeof(has), "\"version\":\"%d.%d.%d\"", 4 + major, 5 + minor, 6 + bugfix);
		r = held_against(has, "\"version\":\"4.5.6\"", reason);
		ck_assert_msg(r == (!major && minor <= 0), "%s: %d", has, r);
		if (!r)
			ck_assert_msg(strstr(reason, major ? "another major" : "newer minor"), "%s: %s", has,
				      reason);
	}
}

#define SELF(x)        "{\"self\":[{\"v\":\"" x "\"}]}"
#define LIST(x, takes) "{\"self\":[{\"v\":\"" x "\"}],\"compatible\":[" takes "]}"

TEST(who_decides)
{
	enum vmig_compat_side side;
	char reason[256];

	/* The newer one knows the older one, and not the reverse. */
	ck_assert_int_eq(
		ask(LIST("1", "{\"v\":\"1\"}"), LIST("2", "{\"v\":\"1\"},{\"v\":\"2\"}"), NULL, &side, NULL),
		1);
	ck_assert_int_eq(side, VMIG_COMPAT_DESTINATION);
	ck_assert_int_eq(
		ask(LIST("2", "{\"v\":\"1\"},{\"v\":\"2\"}"), LIST("1", "{\"v\":\"1\"}"), NULL, &side, NULL),
		0);
	ck_assert_int_eq(side, VMIG_COMPAT_DESTINATION);
	/* The source's list of targets, only where the destination publishes none. */
	ck_assert_int_eq(ask(LIST("1", "{\"v\":\"2\"}"), SELF("2"), NULL, &side, reason), 1);
	ck_assert_int_eq(side, VMIG_COMPAT_SOURCE);
	ck_assert_ptr_nonnull(strstr(reason, "the source's list of targets"));
	ck_assert_int_eq(ask(LIST("1", "{\"v\":\"2\"}"), SELF("3"), NULL, &side, NULL), 0);
	/* An empty list is published: it accepts nothing. */
	ck_assert_int_eq(ask(LIST("1", "{\"v\":\"2\"}"), LIST("2", ""), NULL, &side, reason), 0);
	ck_assert_ptr_nonnull(strstr(reason, "accepts nothing"));
	ck_assert_int_eq(ask(SELF("1"), SELF("1"), NULL, &side, NULL), 1);
	ck_assert_int_eq(side, VMIG_COMPAT_NEITHER);
	ck_assert_int_eq(ask(SELF("1"), SELF("2"), NULL, &side, NULL), 0);
}

/* A list of targets names who would read the state: of versions the newer one may, and the older one may not. */
TEST(versions_of_targets)
{
	static const struct {
		const char *target;
		int answer;
		const char *reason;
	} rows[] = {
		{ "4.5.0", 1, "accepts it" },    { "4.5.9", 1, "accepts it" },
		{ "4.6.0", 1, "accepts it" },    { "4.4.9", 0, "older minor version: it cannot know" },
		{ "3.9.9", 0, "another major" }, { "5.0.0", 0, "another major" },
	};
	const char *source = "{\"self\":[{\"version\":\"4.5.6\"}],\"compatible\":[{\"version\":\"4.5.6\"}]}";

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum vmig_compat_side side;
		char target[64], reason[256];

		snprintf(target, sizeof(target), "{\"self\":[{\"version\":\"%s\"}]}", rows[i].target);
		ck_assert_msg(ask(source, target, NULL, &side, reason) == rows[i].answer &&
				      strstr(reason, rows[i].reason),
			      "%s: %s", rows[i].target, reason);
		ck_assert_int_eq(side, VMIG_COMPAT_SOURCE);
	}
}

/* What cannot be compared with an entry that was meant for another device is no error where one accepts. */
TEST(the_order_of_entries_does_not_matter)
{
	const char *source = "{\"self\":[{\"driver\":\"y\",\"queues\":\"many\"}]}";
	const char *number = "{\"driver\":\"x\",\"queues\":{\"min\":1}}",
		   *word = "{\"driver\":\"y\",\"queues\":\"many\"}",
		   *other = "{\"driver\":\"z\",\"queues\":\"few\"}";
	const struct {
		const char *one, *two;
		int answer;
	} rows[] = { { number, word, 1 },
		     { word, number, 1 },
		     { number, other, -EDOM },
		     { other, number, -EDOM },
		     { number, number, -EDOM } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512], reason[256];
		int r;

		snprintf(text, sizeof(text), "{\"self\":[{\"a\":\"1\"}],\"compatible\":[%s,%s]}", rows[i].one,
			 rows[i].two);
		r = ask(source, text, NULL, NULL, reason);
		ck_assert_msg(r == rows[i].answer, "row %zu: %d %s", i, r, reason);
		if (r < 0)
			ck_assert_ptr_nonnull(strstr(reason, "is no number"));
	}
}

TEST(symmetric_asks_both)
{
	const struct vmig_compat_options both = { .symmetric = true };
	enum vmig_compat_side side;
	char reason[256];

	ck_assert_int_eq(ask(LIST("1", "{\"v\":\"1\"}"), LIST("2", "{\"v\":\"1\"}"), &both, &side, reason),
			 0);
	ck_assert_int_eq(side, VMIG_COMPAT_BOTH);
	ck_assert_ptr_nonnull(strstr(reason, "the source's list"));
	ck_assert_int_eq(ask(LIST("1", "{\"v\":\"2\"}"), LIST("2", "{\"v\":\"1\"}"), &both, &side, NULL), 1);
	ck_assert_int_eq(ask(SELF("1"), LIST("2", "{\"v\":\"1\"}"), &both, NULL, reason), 0);
	ck_assert_ptr_nonnull(strstr(reason, "is not published"));
}

TEST(ignored_attributes_do_not_count)
{
	const char *const names[] = { "b", "c" };
	const struct vmig_compat_options options = { .ignore = names, .n_ignore = 2 };
	const char *source = "{\"self\":[{\"a\":\"1\",\"b\":\"1\"}]}";
	const char *destination = "{\"self\":[{\"a\":\"1\"}],\"compatible\":[{\"a\":\"1\",\"c\":\"3\"}]}";

	ck_assert_int_eq(ask(source, destination, NULL, NULL, NULL), 0);
	ck_assert_int_eq(ask(source, destination, &options, NULL, NULL), 1);
	/* Nor is it an error that they cannot be compared. */
	source = "{\"self\":[{\"a\":\"1\",\"b\":\"x\"}]}";
	destination = "{\"self\":[{\"a\":\"1\"}],\"compatible\":[{\"a\":\"1\",\"b\":{\"min\":1}}]}";
	ck_assert_int_eq(ask(source, destination, NULL, NULL, NULL), -EDOM);
	ck_assert_int_eq(ask(source, destination, &options, NULL, NULL), 1);
}

/* The nearest entry is the one that is shown: it has the fewest faults. */
TEST(the_nearest_entry_is_shown)
{
	struct vmig_descriptor *s = read_it("{\"self\":[{\"a\":\"1\",\"b\":\"1\",\"c\":\"1\"}]}");
	struct vmig_descriptor *d =
		read_it("{\"self\":[{\"a\":\"1\"}],\"compatible\":["
			"{\"a\":\"2\",\"b\":\"2\",\"c\":\"1\"},"
			"{\"a\":\"1\",\"b\":\"2\",\"c\":\"1\"},{\"a\":\"2\",\"b\":\"2\",\"c\":\"2\"}]}");
	struct vmig_compat_answer *answer;

	ck_assert_int_eq(vmig_compat_check(s, d, NULL, &answer, NULL), 0);
	ck_assert(!answer->compatible);
	ck_assert_uint_eq(answer->entry, 2);
	ck_assert_uint_eq(answer->n_entries, 3);
	ck_assert_uint_eq(answer->n_rows, 3);
	ck_assert_int_eq(answer->rows[0].verdict, VMIG_COMPAT_OK);
	ck_assert_int_eq(answer->rows[1].verdict, VMIG_COMPAT_DIFFERS);
	ck_assert_str_eq(answer->rows[1].has, "1");
	ck_assert_str_eq(answer->rows[1].accepted, "2");
	vmig_compat_answer_free(answer);
	vmig_descriptor_free(s);
	vmig_descriptor_free(d);
}

static uint64_t rank(const char *version)
{
	char text[128];
	struct vmig_descriptor *s = read_it("{\"self\":[{\"version\":\"1.4.2\"}]}"), *d;
	struct vmig_compat_answer *answer;
	uint64_t value;

	snprintf(text, sizeof(text),
		 "{\"self\":[{\"version\":\"%s\"}],\"compatible\":[{\"version\":\"%s\"}]}", version, version);
	d = read_it(text);
	ck_assert_int_eq(vmig_compat_check(s, d, NULL, &answer, NULL), 0);
	value = answer->rank;
	vmig_compat_answer_free(answer);
	vmig_descriptor_free(s);
	vmig_descriptor_free(d);
	return value;
}

/* The same minor first, then the nearest; among those the bugfix number ranks. */
TEST(rank)
{
	static const char *const order[] = { "1.4.9", "1.4.3", "1.4.0", "1.5.8", "1.5.0", "1.6.7", "2.4.9" };

	for (size_t i = 1; i < sizeof(order) / sizeof(order[0]); i++)
		ck_assert_msg(rank(order[i - 1]) > rank(order[i]), "%s ranks before %s", order[i - 1],
			      order[i]);
}

HARNESS("compat.rules", T(values_and_rules), T(versions), T(who_decides), T(versions_of_targets),
	T(the_order_of_entries_does_not_matter), T(symmetric_asks_both), T(ignored_attributes_do_not_count),
	T(the_nearest_entry_is_shown), T(rank))
