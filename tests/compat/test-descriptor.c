/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading a descriptor: what is one, and what is said of what is none. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/compat.h>

#include "base/limits.h"
#include "harness.h"

static int parse(const char *text, struct vmig_error *error)
{
	struct vmig_descriptor *d = NULL;
	int r = vmig_descriptor_parse(text, strlen(text), &d, error);

	vmig_descriptor_free(d);
	return r;
}

/** @text is refused with @code, and the reason has @part in it. */
static void refused(const char *text, int code, const char *part)
{
	struct vmig_error error;

	ck_assert_msg(parse(text, &error) == code, "%s", text);
	ck_assert_msg(strstr(error.text, part), "\"%s\" has no \"%s\" in it", error.text, part);
}

TEST(takes_self_alone)
{
	struct vmig_descriptor *d;
	const char *text = "{\"self\":[{\"driver\":\"nic\",\"aggregator\":2,\"pv-mode\":\"none, ppgtt\"}]}";

	ck_assert_int_eq(vmig_descriptor_parse(text, strlen(text), &d, NULL), 0);
	ck_assert_str_eq(vmig_descriptor_attribute(d, "driver"), "nic");
	ck_assert_str_eq(vmig_descriptor_attribute(d, "aggregator"), "2");
	ck_assert_str_eq(vmig_descriptor_attribute(d, "pv-mode"), "none, ppgtt");
	ck_assert_ptr_null(vmig_descriptor_attribute(d, "version"));
	vmig_descriptor_free(d);
}

TEST(json_faults_have_line_and_column)
{
	refused("{\n \"self\": [\n  {\"a\": \"1\",}\n ]\n}", -EBADMSG, "line 3, column 13");
	refused("{\"self\": [{\"a\": \"1\"\n \"b\": \"2\"}]}", -EBADMSG, "line 2, column 4");
	refused("{\"self\": [{\"a\":\"1\"}],\n ...\n}", -EBADMSG, "line 2, column 2");
	refused("{\"self\":[{\"a\":\"1\",\"a\":\"2\"}]}", -EBADMSG, "line 1");
	refused("", -EBADMSG, "line 1");
	refused("not json", -EBADMSG, "line 1, column 3");
	refused("{\"self\":[{\"a\":\"\xff\xfe\"}]}", -EBADMSG, "unable to decode byte 0xff");
	refused("{\"self\":[{\"a\":\"1\"}]} x", -EBADMSG, "end of file expected");
}

TEST(shape_faults_name_the_place)
{
	refused("[]", -EBADMSG, "not an object");
	refused("{}", -EBADMSG, "\"self\"");
	refused("{\"self\":[]}", -EBADMSG, "\"self\"");
	refused("{\"self\":{}}", -EBADMSG, "\"self\"");
	refused("{\"self\":[{\"a\":\"1\"}],\"compatable\":[]}", -EBADMSG, "compatable");
	refused("{\"self\":[{\"a\":\"1\"},7]}", -EBADMSG, "\"self\", entry 2: not an object");
	refused("{\"self\":[{}]}", -EBADMSG, "\"self\", entry 1: no attribute");
	refused("{\"self\":[{\"a\":\"1\"}],\"compatible\":{}}", -EBADMSG, "\"compatible\": not an array");
	refused("{\"self\":[{\"a\":\"x\",\"b\":\"y\"},{\"b\":\"y\",\"a\":\"x\"}]}", -EBADMSG,
		"entries 1 and 2 are one device twice");
}

#define ACCEPTS(value)  "{\"self\":[{\"a\":\"1\"}],\"compatible\":[{\"a\":" value "}]}"
#define IS(name, value) "{\"self\":[{\"" name "\":" value "}]}"

TEST(a_value_that_cannot_be_compared_is_an_error)
{
	refused(IS("a", "1.5"), -EBADMSG, "\"self\", entry 1, \"a\": neither a string nor a whole number");
	refused(IS("a", "true"), -EBADMSG, "neither");
	refused(IS("a", "null"), -EBADMSG, "neither");
	refused(IS("a", "[]"), -EBADMSG, "an empty set");
	refused(IS("a", "[[\"x\"]]"), -EBADMSG, "neither");
	refused(IS("a", "\"\""), -EBADMSG, "an empty value");
	refused(IS("a", "\"x,,y\""), -EBADMSG, "an empty value");
	refused(IS("a", "{\"min\":1}"), -EBADMSG, "belongs into \"compatible\"");
	refused(IS("version", "\"one\""), -EBADMSG, "not a version x.y.z");
	refused(IS("version", "1"), -EBADMSG, "a version is a string");
	refused(IS("version", "\"1.2.3.4\""), -EBADMSG, "not a version");
	refused(IS("version", "\"1.2.\""), -EBADMSG, "not a version");
	refused(IS("version", "\"99999999999.1.1\""), -EBADMSG, "not a version");
}

TEST(a_rule_is_checked)
{
	refused(ACCEPTS("{}"), -EBADMSG, "an empty rule");
	refused(ACCEPTS("{\"min\":\"1\"}"), -EBADMSG, "\"min\" is not a whole number");
	refused(ACCEPTS("{\"min\":2,\"max\":1}"), -EBADMSG, "nothing could meet it");
	refused(ACCEPTS("{\"min\":2,\"version\":\"1.0.0\"}"), -EBADMSG, "a rule has");
	refused(ACCEPTS("{\"minimum\":2}"), -EBADMSG, "a rule has");
	refused(ACCEPTS("{\"any\":false}"), -EBADMSG, "a rule has");
	refused(ACCEPTS("{\"version\":\"x\"}"), -EBADMSG, "not a version");
	ck_assert_int_eq(parse(ACCEPTS("{\"min\":-1,\"max\":-1}"), NULL), 0);
	ck_assert_int_eq(parse(ACCEPTS("{\"any\":true}"), NULL), 0);
	ck_assert_int_eq(parse(ACCEPTS("{\"version\":\"v1.2\"}"), NULL), 0);
}

/** A descriptor whose list has @n entries, or whose entry has @n attributes, or whose attribute has @n values. */
static char *made(const char *what, unsigned int n)
{
	char *text = malloc(64 + 32 * (size_t)n), *at = text;
	const char *comma = "";

	ck_assert_ptr_nonnull(text);
	at += sprintf(at,
		      !strcmp(what, "self") ? "{\"self\":[" : "{\"self\":[{\"x\":\"1\"}],\"compatible\":[");
	if (!strcmp(what, "attributes"))
		at += sprintf(at, "{");
	else if (!strcmp(what, "values"))
		at += sprintf(at, "{\"x\":[");
	for (unsigned int i = 0; i < n; i++, comma = ",") {
		if (!strcmp(what, "entries") || !strcmp(what, "self"))
			at += sprintf(at, "%s{\"x\":%u}", comma, i);
		else if (!strcmp(what, "attributes"))
			at += sprintf(at, "%s\"x%u\":\"1\"", comma, i);
		else
			at += sprintf(at, "%s%u", comma, i);
	}
	if (!strcmp(what, "attributes"))
		at += sprintf(at, "}");
	else if (!strcmp(what, "values"))
		at += sprintf(at, "]}");
	sprintf(at, "]}");
	return text;
}

static void at_limit(const char *what, unsigned int limit)
{
	for (unsigned int n = limit - 1; n <= limit + 1; n++) {
		char *text = made(what, n);
		struct vmig_error error = { 0 };
		int r = parse(text, &error);

		ck_assert_msg(r == (n > limit ? -E2BIG : 0), "%s %u: %d %s", what, n, r, error.text);
		free(text);
	}
}

TEST(limits)
{
	at_limit("entries", VMIG_LIMIT_DESCRIPTOR_ENTRIES);
	at_limit("self", VMIG_LIMIT_DESCRIPTOR_SELF);
	at_limit("attributes", VMIG_LIMIT_DESCRIPTOR_ATTRIBUTES);
	at_limit("values", VMIG_LIMIT_DESCRIPTOR_SET);
}

TEST(the_length_of_a_text_has_a_limit)
{
	char text[VMIG_LIMIT_DESCRIPTOR_TEXT + 64], value[VMIG_LIMIT_DESCRIPTOR_TEXT + 8];

	for (unsigned int n = VMIG_LIMIT_DESCRIPTOR_TEXT - 1; n <= VMIG_LIMIT_DESCRIPTOR_TEXT + 1; n++) {
		memset(value, 'x', n);
		value[n] = '\0';
		snprintf(text, sizeof(text), "{\"self\":[{\"a\":\"%s\"}]}", value);
		ck_assert_int_eq(parse(text, NULL), n > VMIG_LIMIT_DESCRIPTOR_TEXT ? -E2BIG : 0);
		snprintf(text, sizeof(text), "{\"self\":[{\"%s\":\"a\"}]}", value);
		ck_assert_int_eq(parse(text, NULL), n > VMIG_LIMIT_DESCRIPTOR_TEXT ? -EBADMSG : 0);
	}
}

TEST(the_size_has_a_limit)
{
	const char *head = "{\"self\":[{\"a\":\"1\"}]}";
	char *text = malloc(VMIG_DESCRIPTOR_MAX + 1);
	struct vmig_descriptor *d = NULL;

	ck_assert_ptr_nonnull(text);
	memset(text, ' ', VMIG_DESCRIPTOR_MAX + 1);
	memcpy(text, head, strlen(head));
	ck_assert_int_eq(vmig_descriptor_parse(text, VMIG_DESCRIPTOR_MAX, &d, NULL), 0);
	vmig_descriptor_free(d);
	ck_assert_int_eq(vmig_descriptor_parse(text, VMIG_DESCRIPTOR_MAX + 1, &d, NULL), -E2BIG);
	free(text);
}

/* A descriptor may come from a device or a peer, and what it says is shown on a terminal. */
TEST(control_characters_are_refused)
{
	refused("{\"self\":[{\"a\":\"x\\u001b[2J\"}]}", -EBADMSG, "a control character");
	refused("{\"self\":[{\"a\":\"x\\u007f\"}]}", -EBADMSG, "a control character");
	refused("{\"self\":[{\"a\":\"x\\u009b2J\"}]}", -EBADMSG, "a control character");
	refused("{\"self\":[{\"a\":[\"x\", \"y\\nz\"]}]}", -EBADMSG, "a control character");
	refused("{\"self\":[{\"a\\u001b\":\"x\"}]}", -EBADMSG, "\"a?\": a control character");
	refused("{\"self\":[{\"version\":\"\\u001b\"}]}", -EBADMSG, "\"?\" is not a version");
	refused("{\"self\":[{\"a\":\"1\"}],\"\\u001b\":[]}", -EBADMSG, "unknown key \"?\"");
	refused("{\"self\":[{\"a\":\"1\"}],\x1b[2J", -EBADMSG, "line 1, column ");
	ck_assert_int_eq(parse("{\"self\":[{\"a\":\"\\u00a0\\u00e9\"}]}", NULL), 0);
}

TEST(deep_nesting_is_an_error)
{
	char *text = malloc(400001);

	ck_assert_ptr_nonnull(text);
	memset(text, '[', 400000);
	text[400000] = '\0';
	refused(text, -EBADMSG, "maximum parsing depth");
	free(text);
}

HARNESS("compat.descriptor", T(takes_self_alone), T(json_faults_have_line_and_column),
	T(shape_faults_name_the_place), T(a_value_that_cannot_be_compared_is_an_error), T(a_rule_is_checked),
	T(limits), T(the_length_of_a_text_has_a_limit), T(the_size_has_a_limit),
	T(control_characters_are_refused), T(deep_nesting_is_an_error))
