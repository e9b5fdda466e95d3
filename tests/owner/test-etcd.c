/* SPDX-License-Identifier: BSD-3-Clause */
/* The store in etcd against servers that are none: what they say is refused, and a swap is never taken for undone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "harness.h"
#include "http.h"
#include "owner/base64.h"
#include "owner/record.h"
#include "records.h"

/* --- forms -------------------------------------------------------------------------------------- */

TEST(base64_as_the_rfc_has_it)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfb", "//77" },
	};
	static const char *const bad[] = { "Zg=",  "Zg",   "Zh==", "Zm9=",  "Zg==Zg==",
					   "=g==", "Z===", "Zm 8", "Zm8\n", "====" };
	char *data;
	size_t len;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = vmig_base64_encode(rows[i][0], strlen(rows[i][0]));

		ck_assert_str_eq(text, rows[i][1]);
		ck_assert_int_eq(vmig_base64_decode(text, &data, &len), 0);
		ck_assert_uint_eq(len, strlen(rows[i][0]));
		ck_assert_str_eq(data, rows[i][0]);
		free(data);
		free(text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(vmig_base64_decode(bad[i], &data, &len) == -EBADMSG, "%s", bad[i]);
}

#define RECORD                                                                                               \
	"{\"vmig-owner\":1,\"device\":\"01000000-0000-0000-0000-000000000001\",\"owner\":\"a\",\"peer\":"    \
	"\"\","                                                                                              \
	"\"epoch\":1,\"attempt\":\"00000000-0000-0000-0000-000000000000\",\"phase\":\"stable\","             \
	"\"writer\":\"86030000-0000-0000-0000-000000000001\","                                               \
	"\"instance\":\"85030000-0000-0000-0000-000000000001\"}"

TEST(a_record_has_one_form)
{
	struct vmig_ownership r = some_record(1), is;
	char text[VMIG_OWNER_TEXT_MAX];
	size_t len = vmig_ownership_encode(&r, text);

	ck_assert_str_eq(text, RECORD);
	ck_assert_int_eq(vmig_ownership_decode(text, len, &is), 0);
	ck_assert(vmig_ownership_equal(&r, &is));
	memset(r.owner, '"', sizeof(r.owner) - 1);
	memset(r.peer, '\\', sizeof(r.peer) - 1);
	r.phase = VMIG_OWNER_OPEN;
	r.epoch = VMIG_OWNER_EPOCH_MAX;
	len = vmig_ownership_encode(&r, text);
	ck_assert_uint_gt(len, 0);
	ck_assert_int_eq(vmig_ownership_decode(text, len, &is), 0);
	ck_assert(vmig_ownership_equal(&r, &is));
}

/* RECORD with the first @from replaced by @to. */
static void change(const char *from, const char *to, char ret[VMIG_OWNER_TEXT_MAX])
{
	const char *at = strstr(RECORD, from);

	ck_assert_ptr_nonnull(at);
	snprintf(ret, VMIG_OWNER_TEXT_MAX, "%.*s%s%s", (int)(at - RECORD), RECORD, to, at + strlen(from));
}

static const struct {
	const char *from, *to;
} changes[] = {
	{ "{", "{ " },
	{ "\"epoch\":1", "\"epoch\":0" },
	{ "\"epoch\":1", "\"epoch\":-1" },
	{ "\"epoch\":1", "\"epoch\":9223372036854775808" },
	{ "\"epoch\":1", "\"epoch\":1.0" },
	{ "\"epoch\":1", "\"epoch\":\"1\"" },
	{ "\"epoch\":1", "\"epoch\":1,\"epoch\":1" },
	{ "\"epoch\":1,", "" },
	{ "stable", "none" },
	{ "stable", "open" },
	{ "stable", "STABLE" },
	{ "\"peer\":\"\"", "\"peer\":\"b\"" },
	{ "\"owner\":\"a\"", "\"owner\":\"\"" },
	{ "\"owner\":\"a\"", "\"owner\":\"\\u0061\"" },
	{ "\"owner\":\"a\"", "\"owner\":\"\\n\"" },
	{ "\"owner\":\"a\"", "\"owner\":\"a\\u0000b\"" },
	{ "\"owner\":\"a\"", "\"owner\":{}" },
	{ "01000000-", "01000000" },
	{ "01000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000000" },
	{ "}", ",\"more\":1}" },
	{ "}", "} " },
	{ "}", "" },
	{ "\"vmig-owner\":1", "\"vmig-owner\":0" },
	{ "\"vmig-owner\":1,", "" },
};

TEST(what_is_no_record_is_refused)
{
	struct vmig_ownership is;
	char text[VMIG_OWNER_TEXT_MAX];

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		change(changes[i].from, changes[i].to, text);
		ck_assert_msg(vmig_ownership_decode(text, strlen(text), &is) == -EBADMSG, "%s", text);
	}
	change("\"vmig-owner\":1", "\"vmig-owner\":2", text);
	ck_assert_int_eq(vmig_ownership_decode(text, strlen(text), &is), -EOPNOTSUPP);
}

TEST(urls)
{
	static const struct {
		const char *url;
		int r;
	} rows[] = {
		{ "etcd:http://127.0.0.1:2379", 0 },
		{ "etcd:https://a.example:2379,b.example:2379", 0 },
		{ "etcd:http://a:1,http://b:2?prefix=/x/", 0 },
		{ "etcd:http://[::1]:2379", 0 },
		{ "etcd:", -EINVAL },
		{ "etcd:127.0.0.1:2379", -EINVAL },
		{ "etcd:http://", -EINVAL },
		{ "etcd:http://a", -EINVAL },
		{ "etcd:http://:1", -EINVAL },
		{ "etcd:http://a:123456", -EINVAL },
		{ "etcd:http://a:1/v3", -EINVAL },
		{ "etcd:http://user@a:1", -EINVAL },
		{ "etcd:http://a:1,", -EINVAL },
		{ "etcd:http://a:1,https://b:1", -EINVAL },
		{ "etcd:ftp://a:1", -EINVAL },
		{ "etcd:http://a:1?", -EINVAL },
		{ "etcd:http://a:1?prefix", -EINVAL },
		{ "etcd:http://a:1?colour=red", -EINVAL },
		{ "etcd:http://a:1?user=x", -EINVAL },
		{ "etcd:http://a:1?cert=x", -EINVAL },
		{ "etcd:http://a:1?user=x&password-file=/nowhere/at/all", -ENOENT },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vmig_owner *owner = NULL;
		struct vmig_error error;
		int r = vmig_owner_open(rows[i].url, 0, &owner, &error);

		ck_assert_msg(r == rows[i].r, "%s: %d", rows[i].url, r);
		vmig_owner_close(owner);
	}
}

TEST(endpoints_have_a_limit)
{
	char url[512] = "etcd:http://a:1";
	struct vmig_owner *owner = NULL;

	for (unsigned int i = 1; i < VMIG_LIMIT_OWNER_ENDPOINTS; i++)
		strcat(url, ",a:1");
	ck_assert_int_eq(vmig_owner_open(url, 0, &owner, NULL), 0);
	vmig_owner_close(owner);
	strcat(url, ",a:1");
	ck_assert_int_eq(vmig_owner_open(url, 0, &owner, NULL), -EINVAL);
}

/* --- answers -------------------------------------------------------------------------------------- */

static struct vmig_owner *open_port(uint16_t port, uint32_t timeout_ms)
{
	struct vmig_owner *owner = NULL;
	char url[64];

	snprintf(url, sizeof(url), "etcd:http://127.0.0.1:%u", port);
	ck_assert_int_eq(vmig_owner_open(url, timeout_ms, &owner, NULL), 0);
	return owner;
}

/* With its head. To be freed. */
static char *http_answer(const char *status, const char *body)
{
	char *text;

	ck_assert_int_gt(asprintf(&text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
				  status, strlen(body), body),
			 0);
	return text;
}

static int do_read(struct vmig_owner *owner, struct vmig_ownership *ret)
{
	struct vmig_uuid device = some_uuid(1);

	return vmig_owner_read(owner, &device, 1, ret, NULL);
}

static int do_swap(struct vmig_owner *owner)
{
	struct vmig_ownership now = { .device = some_uuid(1) }, next = some_record(1);

	return vmig_owner_swap(owner, &now, &next, 1, NULL);
}

/* What device 1's read and swap (to some_record(1)) make of an answer. */
static void check_answer(const char *status, const char *body, int read, int swap)
{
	char *text = http_answer(status, body);
	struct http_server server = { .how = HTTP_CLOSE };
	struct vmig_ownership r;
	struct vmig_owner *owner;
	int got;

	http_start(&server, text, strlen(text));
	owner = open_port(server.port, 20000);
	got = do_read(owner, &r);
	ck_assert_msg(got == read, "read: %s %.300s: %d", status, body, got);
	got = do_swap(owner);
	ck_assert_msg(got == swap, "swap: %s %.300s: %d", status, body, got);
	vmig_owner_close(owner);
	http_stop(&server);
	free(text);
}

#define KEY   "L3ZtaWcvZGV2aWNlLzAxMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMQ==" /* of device 1 */
#define OTHER "L3ZtaWcvZGV2aWNlLzAyMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMQ==" /* of device 2 */

/* The answer of a read that finds @value (not yet in base64) under @key; @succeeded: that member and a comma. */
static char *found(const char *succeeded, const char *key, const char *value)
{
	char *base64 = vmig_base64_encode(value, strlen(value)), *text;

	ck_assert_int_gt(asprintf(&text,
				  "{\"header\":{\"revision\":\"7\"},%s\"responses\":[{\"response_range\":{"
				  "\"kvs\":[{\"key\":"
				  "\"%s\",\"value\":\"%s\"}],\"count\":\"1\"}}]}",
				  succeeded, key, base64),
			 0);
	free(base64);
	return text;
}

TEST(right_answers)
{
	static const char none[] =
		"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_range\":{\"header\":{}}}]}";
	static const char put[] =
		"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{}}}]}";
	static const char lost[] = "{\"header\":{},\"responses\":[{\"response_range\":{\"header\":{}}}]}";
	char *text = found("\"succeeded\":true,", KEY, RECORD);

	check_answer("200 OK", text, 0, -EINPROGRESS); /* ranges are no puts */
	free(text);
	check_answer("200 OK", none, 0, -EINPROGRESS);
	check_answer("200 OK", put, -EPROTO, 0);
	check_answer("200 OK", lost, -EPROTO, -EAGAIN);
	/* Not succeeded, but what is there is what was to be written: it was this very write. */
	text = found("", KEY, RECORD);
	check_answer("200 OK", text, -EPROTO, 0);
	free(text);
	text = found("\"succeeded\":false,", KEY, RECORD);
	check_answer("200 OK", text, -EPROTO, 0);
	free(text);
}

TEST(answers_that_are_none)
{
	static const char *const bodies[] = {
		"",
		"garbage",
		"{",
		"[]",
		"null",
		"{}",
		"{\"header\":{}}",
		"{\"header\":{},\"succeeded\":true}",
		"{\"header\":{},\"succeeded\":true,\"responses\":{}}",
		"{\"header\":{},\"succeeded\":true,\"responses\":[]}",
		"{\"header\":{},\"succeeded\":true,\"responses\":[null]}",
		"{\"header\":{},\"succeeded\":true,\"responses\":[{}]}",
		"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_range\":[]}]}",
		"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_range\":{\"kvs\":{}}}]}",
		"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_range\":{\"kvs\":[null]}}]}",
		"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_range\":{\"kvs\":[{},{}]}}]}",
		"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_range\":{}},{\"response_"
		"range\":{}}]}",
		"{\"header\":{},\"succeeded\":\"true\",\"responses\":[{\"response_range\":{}}]}",
		"{\"header\":{},\"succeeded\":1,\"responses\":[{\"response_put\":{}}]}",
		"{\"header\":{},\"succeeded\":true,\"succeeded\":true,\"responses\":[{\"response_put\":{}}]}",
		"{\"succeeded\":true,\"responses\":[{\"response_put\":{}}]}",
		"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_range\":{}}]} and more",
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		check_answer("200 OK", bodies[i], -EPROTO, -EINPROGRESS);
}

/* An answer in form, with a record that cannot be: whose swap was it then? */
TEST(records_that_none_can_be)
{
	char text[VMIG_OWNER_TEXT_MAX], *body;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		change(changes[i].from, changes[i].to, text);
		body = found("\"succeeded\":true,", KEY, text);
		check_answer("200 OK", body, -EBADMSG, -EINPROGRESS);
		free(body);
		body = found("", KEY, text);
		check_answer("200 OK", body, -EPROTO, -EINPROGRESS);
		free(body);
	}
	body = found("\"succeeded\":true,", OTHER, RECORD);
	check_answer("200 OK", body, -EPROTO, -EINPROGRESS);
	free(body);
	change("01000000-", "02000000-", text);
	body = found("\"succeeded\":true,", KEY, text);
	check_answer("200 OK", body, -EPROTO, -EINPROGRESS);
	free(body);
}

TEST(other_statuses)
{
	check_answer("500 Oh", "{\"error\":\"etcdserver: no leader\",\"code\":14}", -EREMOTEIO, -EINPROGRESS);
	check_answer("503 Oh", "\x01\x1b[31m garbage", -EREMOTEIO, -EINPROGRESS);
	check_answer("400 Oh", "{\"error\":[1]}", -EREMOTEIO, -EINPROGRESS);
	check_answer("404 Oh", "page not found", -EREMOTEIO, -EINPROGRESS);
	check_answer("401 Oh", "{\"error\":\"who are you\"}", -EACCES, -EINPROGRESS);
	check_answer("204 Nothing", "", -EREMOTEIO, -EINPROGRESS);
}

TEST(a_redirection_is_not_followed)
{
	static const char right[] =
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
		"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{}}}]}";
	struct http_server target = { .how = HTTP_CLOSE }, server = { .how = HTTP_CLOSE };
	struct vmig_owner *owner;
	char answer[256];

	http_start(&target, right, sizeof(right) - 1);
	snprintf(answer, sizeof(answer),
		 "HTTP/1.1 307 Look there\r\nLocation: http://127.0.0.1:%u/v3/kv/txn\r\nContent-Length: "
		 "0\r\n\r\n",
		 target.port);
	http_start(&server, answer, strlen(answer));
	owner = open_port(server.port, 20000);
	ck_assert_int_eq(do_swap(owner), -EINPROGRESS);
	vmig_owner_close(owner);
	http_stop(&server);
	http_stop(&target);
	ck_assert_int_eq(target.n_requests, 0);
}

TEST(what_is_no_http)
{
	static const char *const answers[] = {
		"", "HTTP/1.1", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"header\":{},",
		"SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"
	};

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct http_server server = { .how = HTTP_CLOSE };
		struct vmig_ownership r;
		struct vmig_owner *owner;

		http_start(&server, answers[i], strlen(answers[i]));
		owner = open_port(server.port, 20000);
		ck_assert_int_lt(do_read(owner, &r), 0);
		ck_assert_msg(do_swap(owner) == -EINPROGRESS, "%s", answers[i]);
		vmig_owner_close(owner);
		http_stop(&server);
	}
}

/* An answer of @len bytes that is right but for the spaces at its end. */
static int read_of_length(size_t len)
{
	static const char body[] =
		"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_range\":{\"header\":{}}}]}";
	char head[128], *text;
	size_t head_len =
		(size_t)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
	struct http_server server = { .how = HTTP_CLOSE };
	struct vmig_ownership r;
	struct vmig_owner *owner;
	int got;

	text = malloc(head_len + len);
	memset(text, ' ', head_len + len);
	memcpy(text, head, head_len);
	memcpy(text + head_len, body, sizeof(body) - 1);
	http_start(&server, text, head_len + len);
	owner = open_port(server.port, 20000);
	got = do_read(owner, &r);
	vmig_owner_close(owner);
	http_stop(&server);
	free(text);
	return got;
}

TEST(answers_have_a_limit)
{
	ck_assert_int_eq(read_of_length(VMIG_LIMIT_OWNER_REPLY - 1), 0);
	ck_assert_int_eq(read_of_length(VMIG_LIMIT_OWNER_REPLY), 0);
	ck_assert_int_eq(read_of_length(VMIG_LIMIT_OWNER_REPLY + 1), -EPROTO);
}

/* --- servers that take their time --------------------------------------------------------------------- */

/* @read 0: any error will do. */
static void check_slow(int how, const char *answer, int read)
{
	struct http_server server = { .how = how };
	struct vmig_ownership r;
	struct vmig_owner *owner;
	int got;

	http_start(&server, answer, strlen(answer));
	owner = open_port(server.port, how == HTTP_ENDLESS ? 20000 : 300);
	got = do_read(owner, &r);
	ck_assert(read ? got == read : got < 0);
	ck_assert_int_eq(do_swap(owner), -EINPROGRESS);
	vmig_owner_close(owner);
	http_stop(&server);
}

TEST(an_endless_answer_is_cut)
{
	check_slow(HTTP_ENDLESS, "HTTP/1.1 200 OK\r\n\r\n{", -EPROTO);
	check_slow(HTTP_ENDLESS, "HTTP/1.1 500 Oh\r\n\r\n{", -EPROTO);
	check_slow(HTTP_ENDLESS, "HTTP/1.1 200 OK\r\nX: ", 0);
}

TEST(a_silent_server_is_waited_for_and_no_longer)
{
	check_slow(HTTP_SILENT, "", -ETIMEDOUT);
}

TEST(a_dripping_server_is_waited_for_and_no_longer)
{
	check_slow(HTTP_DRIP, "HTTP/1.1 200 OK\r\n\r\n{", -ETIMEDOUT);
}

TEST(a_swap_that_was_not_sent_was_not_done)
{
	int dead_fd;
	struct vmig_owner *owner = open_port(http_dead_port(&dead_fd), 20000), *tls = NULL;
	struct http_server server = { .how = HTTP_CLOSE };
	struct vmig_ownership r;
	char url[64];

	ck_assert_int_eq(do_read(owner, &r), -ECONNREFUSED);
	ck_assert_int_eq(do_swap(owner), -ECONNREFUSED);
	vmig_owner_close(owner);
	close(dead_fd);
	/* And of who does not speak TLS nothing is believed, nor told. (The server waits for a head that never ends.) */
	http_start(&server, "", 0);
	snprintf(url, sizeof(url), "etcd:https://127.0.0.1:%u", server.port);
	ck_assert_int_eq(vmig_owner_open(url, 100, &tls, NULL), 0);
	ck_assert_int_lt(do_swap(tls), 0);
	vmig_owner_close(tls);
	http_stop(&server);
	ck_assert_int_eq(server.n_requests, 0);
}

TEST(another_endpoint_is_asked)
{
	static const char right[] =
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
		"{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{}}}]}";
	struct http_server silent = { .how = HTTP_SILENT }, server = { .how = HTTP_CLOSE };
	struct vmig_owner *owner = NULL;
	char url[128];
	int dead_fd;

	http_start(&silent, "", 0);
	http_start(&server, right, sizeof(right) - 1);
	snprintf(url, sizeof(url), "etcd:http://127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u",
		 http_dead_port(&dead_fd), silent.port, server.port);
	ck_assert_int_eq(vmig_owner_open(url, 6000, &owner, NULL), 0);
	ck_assert_int_eq(do_swap(owner), 0);
	ck_assert_int_eq(do_swap(owner), 0);
	vmig_owner_close(owner);
	http_stop(&silent);
	http_stop(&server);
	ck_assert_int_eq(server.n_requests, 2);
	ck_assert_int_eq(silent.n_requests, 1); /* the second time it begins with the one that answered */
	close(dead_fd);
}

/* --- requests ----------------------------------------------------------------------------------------- */

/* Word for word, since etcd ignores a word that it does not know: without "compare" it would write whatever is there. */
TEST(a_swap_says_what_it_means)
{
	static const char answer[] = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	struct http_server server = { .how = HTTP_CLOSE };
	struct vmig_ownership now[2] = { some_record(1), { .device = some_uuid(2) } },
			      next[2] = { some_record(1), some_record(2) };
	struct vmig_owner *owner;
	char text[VMIG_OWNER_TEXT_MAX], *value[3], *request;

	next[0].epoch = 2;
	vmig_ownership_encode(&now[0], text);
	value[0] = vmig_base64_encode(text, strlen(text));
	for (int i = 0; i < 2; i++) {
		vmig_ownership_encode(&next[i], text);
		value[1 + i] = vmig_base64_encode(text, strlen(text));
	}
	http_start(&server, answer, sizeof(answer) - 1);
	owner = open_port(server.port, 20000);
	ck_assert_int_eq(vmig_owner_swap(owner, now, next, 2, NULL), -EINPROGRESS);
	vmig_owner_close(owner);
	http_stop(&server);
	ck_assert_int_gt(asprintf(&request,
				  "{\"compare\":[{\"key\":\"" KEY
				  "\",\"result\":\"EQUAL\",\"target\":\"VALUE\",\"value\":\"%s\"},"
				  "{\"key\":\"" OTHER
				  "\",\"result\":\"EQUAL\",\"target\":\"VERSION\",\"version\":\"0\"}],"
				  "\"success\":[{\"request_put\":{\"key\":\"" KEY "\",\"value\":\"%s\"}},"
				  "{\"request_put\":{\"key\":\"" OTHER "\",\"value\":\"%s\"}}],"
				  "\"failure\":[{\"request_range\":{\"key\":\"" KEY
				  "\"}},{\"request_range\":{\"key\":\"" OTHER "\"}}]}",
				  value[0], value[1], value[2]),
			 0);
	ck_assert_str_eq(server.request, request);
	free(request);
	for (int i = 0; i < 3; i++)
		free(value[i]);
}

/* --- listing ------------------------------------------------------------------------------------------ */

static int count_it(const struct vmig_ownership *r, void *opaque)
{
	++*(int *)opaque;
	return 0;
}

/* Pages that never get on would list for ever. */
TEST(a_listing_that_does_not_get_on_ends)
{
	char *base64 = vmig_base64_encode(RECORD, strlen(RECORD)), *body, *text;
	struct http_server server = { .how = HTTP_CLOSE };
	struct vmig_owner *owner;
	int n = 0;

	ck_assert_int_gt(asprintf(&body,
				  "{\"header\":{},\"kvs\":[{\"key\":\"" KEY
				  "\",\"value\":\"%s\"}],\"more\":true}",
				  base64),
			 0);
	text = http_answer("200 OK", body);
	http_start(&server, text, strlen(text));
	owner = open_port(server.port, 20000);
	ck_assert_int_eq(vmig_owner_list(owner, count_it, &n, NULL), -EPROTO);
	ck_assert_int_eq(n, 1);
	vmig_owner_close(owner);
	http_stop(&server);
	free(text);
	text = http_answer("200 OK", "{\"header\":{},\"more\":true}");
	http_start(&server, text, strlen(text));
	owner = open_port(server.port, 20000);
	ck_assert_int_eq(vmig_owner_list(owner, count_it, &n, NULL), -EPROTO);
	vmig_owner_close(owner);
	http_stop(&server);
	free(text);
	free(body);
	free(base64);
}

HARNESS("owner-etcd", T(base64_as_the_rfc_has_it), T(a_record_has_one_form), T(what_is_no_record_is_refused),
	T(urls), T(endpoints_have_a_limit), T(right_answers), T(answers_that_are_none),
	T(records_that_none_can_be), T(other_statuses), T(a_redirection_is_not_followed), T(what_is_no_http),
	T(answers_have_a_limit), T(an_endless_answer_is_cut), T(a_silent_server_is_waited_for_and_no_longer),
	T(a_dripping_server_is_waited_for_and_no_longer), T(a_swap_that_was_not_sent_was_not_done),
	T(another_endpoint_is_asked), T(a_swap_says_what_it_means), T(a_listing_that_does_not_get_on_ends))
