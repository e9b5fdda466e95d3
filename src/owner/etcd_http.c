/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One POST at a time, with everything that the other end controls bounded: time, the reply's size, where it leads. Nothing is
 * taken from the environment (no proxy, no .netrc), and no redirection is followed.
 */
#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "owner/etcd.h"
#include "owner/etcd_url.h"

struct vmig_etcd_http {
	CURL *curl;
	struct curl_slist *headers, *headers_auth;
	struct vmig_etcd_url url;
	uint32_t current; /* endpoint: the last that answered */
	uint32_t timeout_ms;
	char *reply;
	size_t len;
	bool too_long;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t take(char *data, size_t size, size_t n, void *opaque)
{
	struct vmig_etcd_http *http = opaque;

	(void)size; /* is 1 */
	if (n > VMIG_LIMIT_OWNER_REPLY - http->len) {
		http->too_long = true;
		return 0;
	}
	memcpy(http->reply + http->len, data, n);
	http->len += n;
	return n;
}

void vmig_etcd_http_free(struct vmig_etcd_http *http)
{
	if (!http)
		return;
	curl_easy_cleanup(http->curl);
	curl_slist_free_all(http->headers);
	curl_slist_free_all(http->headers_auth);
	vmig_etcd_url_done(&http->url);
	free(http->reply);
	free(http);
}

/* @more may be NULL. */
static struct curl_slist *make_headers(const char *more)
{
	const char *const all[] = { "Content-Type: application/json", "Expect:", more };
	struct curl_slist *list = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct curl_slist *longer = all[i] ? curl_slist_append(list, all[i]) : list;

		if (!longer) {
			curl_slist_free_all(list);
			return NULL;
		}
		list = longer;
	}
	return list;
}

static bool set_up(struct vmig_etcd_http *http)
{
	CURL *c = http->curl;
	CURLcode r = CURLE_OK;

	http->headers = make_headers(NULL);
	if (!http->headers)
		return false;
	r |= curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	r |= curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	r |= curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	r |= curl_easy_setopt(c, CURLOPT_PROXY, "");
	r |= curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	r |= curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	r |= curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	r |= curl_easy_setopt(c, CURLOPT_WRITEDATA, http);
	r |= curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	r |= curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	r |= curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (http->url.ca)
		r |= curl_easy_setopt(c, CURLOPT_CAINFO, http->url.ca);
	if (http->url.cert) {
		r |= curl_easy_setopt(c, CURLOPT_SSLCERT, http->url.cert);
		r |= curl_easy_setopt(c, CURLOPT_SSLKEY, http->url.key);
	}
	return r == CURLE_OK;
}

int vmig_etcd_http_new(const char *rest, uint32_t timeout_ms, struct vmig_etcd_http **ret, char **ret_prefix,
		       struct vmig_error *error)
{
	struct vmig_etcd_http *http = calloc(1, sizeof(*http));
	int r;

	if (!http)
		return vmig_fault(error, -ENOMEM, "etcd", "no memory");
	pthread_once(&curl_once, start_curl);
	http->timeout_ms = timeout_ms;
	r = vmig_etcd_url_parse(rest, &http->url, error);
	if (!r) {
		http->curl = curl_easy_init();
		http->reply = malloc(VMIG_LIMIT_OWNER_REPLY);
		*ret_prefix = strdup(http->url.prefix);
		if (!http->curl || !http->reply || !*ret_prefix || !set_up(http)) {
			free(*ret_prefix);
			r = vmig_fault(error, -ENOMEM, "etcd", "no memory, or a curl that cannot do it");
		}
	}
	if (r)
		vmig_etcd_http_free(http);
	else
		*ret = http;
	return r;
}

/* --- one request to one endpoint ------------------------------------------------------------------ */

/* Not a byte of a request: the connection was not made. In doubt it was sent. */
static bool never_sent(CURL *curl, CURLcode code)
{
	long bytes = 1;

	curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &bytes);
	return bytes == 0 && code != CURLE_OK && code != CURLE_OPERATION_TIMEDOUT;
}

static int curl_errno(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_COULDNT_RESOLVE_HOST:
		return -EHOSTUNREACH;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return -EACCES;
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return -ECONNRESET;
	default:
		return -EPROTO;
	}
}

/* What a stranger says is shown to people. */
static void plain_text(const char *data, size_t len, char *ret, size_t size)
{
	len = MIN(len, size - 1);
	for (size_t i = 0; i < len; i++)
		ret[i] = data[i] < ' ' || data[i] > '~' ? ' ' : data[i];
	ret[len] = '\0';
}

static int not_ok(const struct vmig_etcd_http *http, const char *endpoint, long status,
		  struct vmig_error *error)
{
	json_t *o = json_loadb(http->reply, http->len, 0, NULL);
	const char *message = json_string_value(json_object_get(o, "error"));
	char text[120];

	plain_text(message ? message : http->reply, message ? strlen(message) : http->len, text,
		   sizeof(text));
	json_decref(o);
	return vmig_fault(error, status == 401 || status == 403 ? -EACCES : -EREMOTEIO, "etcd",
			  "%.80s: answers %ld: %s%s", endpoint, status, text,
			  status == 404 ? ": it is no etcd of 3.4 or newer" : "");
}

static int parse_reply(struct vmig_etcd_http *http, const char *endpoint, json_t **ret,
		       struct vmig_error *error)
{
	json_error_t where;

	*ret = json_loadb(http->reply, http->len, JSON_REJECT_DUPLICATES, &where);
	if (!json_is_object(*ret)) {
		json_decref(*ret);
		return vmig_fault(error, -EPROTO, "etcd", "%.80s: its answer is not JSON", endpoint);
	}
	return 0;
}

/* *@sent becomes true if the request may have got there. */
static int post(struct vmig_etcd_http *http, const char *endpoint, const char *path, const char *body,
		uint64_t timeout_ns, json_t **ret, bool *sent, struct vmig_error *error)
{
	char url[512];
	long status = 0, ms = (long)MAX(timeout_ns / NS_PER_MS, 1u);
	CURLcode code;

	snprintf(url, sizeof(url), "%s%s", endpoint, path);
	curl_easy_setopt(http->curl, CURLOPT_URL, url);
	curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
	curl_easy_setopt(http->curl, CURLOPT_TIMEOUT_MS, ms);
	curl_easy_setopt(http->curl, CURLOPT_CONNECTTIMEOUT_MS, ms);
	curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER,
			 http->headers_auth ? http->headers_auth : http->headers);
	http->len = 0;
	http->too_long = false;
	code = curl_easy_perform(http->curl);
	*sent = *sent || !never_sent(http->curl, code);
	if (http->too_long)
		return vmig_fault(error, -EPROTO, "etcd", "%.80s: its answer has more than %u bytes",
				  endpoint, VMIG_LIMIT_OWNER_REPLY);
	if (code != CURLE_OK)
		return vmig_fault(error, curl_errno(code), "etcd", "%.80s: %s", endpoint,
				  curl_easy_strerror(code));
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	return status == 200 ? parse_reply(http, endpoint, ret, error)
			     : not_ok(http, endpoint, status, error);
}

/* --- etcd's own users ----------------------------------------------------------------------------- */

static void drop_token(struct vmig_etcd_http *http)
{
	curl_slist_free_all(http->headers_auth);
	http->headers_auth = NULL;
}

static int set_token(struct vmig_etcd_http *http, const char *token)
{
	char *header = NULL;

	if (!token || strlen(token) > VMIG_LIMIT_OWNER_PASSWORD || strpbrk(token, "\r\n"))
		return -EPROTO;
	if (asprintf(&header, "Authorization: %s", token) < 0)
		return -ENOMEM;
	http->headers_auth = make_headers(header);
	explicit_bzero(header, strlen(header));
	free(header);
	return http->headers_auth ? 0 : -ENOMEM;
}

static int log_in(struct vmig_etcd_http *http, const char *endpoint, uint64_t timeout_ns,
		  struct vmig_error *error)
{
	json_t *request = json_pack("{s:s, s:s}", "name", http->url.user, "password", http->url.password),
	       *reply;
	char *body = request ? json_dumps(request, JSON_COMPACT) : NULL;
	bool sent = false;
	int r;

	json_decref(request);
	if (!body)
		return vmig_fault(error, -EINVAL, "etcd", "the user's name or password is not UTF-8");
	drop_token(http);
	r = post(http, endpoint, "/v3/auth/authenticate", body, timeout_ns, &reply, &sent, error);
	explicit_bzero(body, strlen(body));
	free(body);
	if (r)
		return r;
	r = set_token(http, json_string_value(json_object_get(reply, "token")));
	if (r)
		vmig_fault(error, r, "etcd", "%.80s: gives no token", endpoint);
	json_decref(reply);
	return r;
}

/* --- a call --------------------------------------------------------------------------------------- */

struct call {
	const char *path, *body;
	vmig_etcd_judge *judge;
	void *opaque;
	bool sent;
};

static int ask_once(struct vmig_etcd_http *http, struct call *call, uint64_t deadline_ns,
		    struct vmig_error *error)
{
	const char *endpoint = http->url.endpoints[http->current];
	uint64_t now = vmig_now_ns();
	json_t *reply;
	int r = 0;

	if (now >= deadline_ns)
		return vmig_fault(error, -ETIMEDOUT, "etcd", "%.80s: no answer in time", endpoint);
	if (http->url.user && !http->headers_auth)
		r = log_in(http, endpoint, deadline_ns - now, error);
	now = vmig_now_ns();
	if (!r)
		r = post(http, endpoint, call->path, call->body, now < deadline_ns ? deadline_ns - now : 1,
			 &reply, &call->sent, error);
	if (r)
		return r;
	r = call->judge(reply, call->opaque, error);
	json_decref(reply);
	return r;
}

/* A token is good for some minutes, or until etcd restarts: then a new one is asked for, once. */
static int ask(struct vmig_etcd_http *http, struct call *call, uint64_t deadline_ns, struct vmig_error *error)
{
	bool had_token = http->headers_auth;
	int r = ask_once(http, call, deadline_ns, error);

	if (r != -EACCES || !had_token)
		return r;
	drop_token(http);
	return ask_once(http, call, deadline_ns, error);
}

/* Each endpoint has its share of the time that is left, so that one that hangs leaves some for the others. */
static int ask_all(struct vmig_etcd_http *http, struct call *call, struct vmig_error *error)
{
	uint64_t end = vmig_now_ns() + http->timeout_ms * NS_PER_MS;
	int r = -ETIMEDOUT;

	for (uint32_t left = http->url.n_endpoints; left; left--) {
		uint64_t now = vmig_now_ns(), share = now < end ? (end - now) / left : 0;

		r = ask(http, call, now + share, error);
		if (!r || r == -EAGAIN)
			return r;
		http->current = (http->current + 1) % http->url.n_endpoints;
	}
	return r;
}

int vmig_etcd_call(struct vmig_etcd_http *http, const char *path, const json_t *request,
		   vmig_etcd_judge *judge, void *opaque, bool *ret_sent, struct vmig_error *error)
{
	char *body = json_dumps(request, JSON_COMPACT);
	struct call call = { .path = path, .body = body, .judge = judge, .opaque = opaque };
	int r;

	if (ret_sent)
		*ret_sent = false;
	if (!body)
		return vmig_fault(error, -ENOMEM, "etcd", "no memory");
	r = ask_all(http, &call, error);
	free(body);
	if (ret_sent)
		*ret_sent = call.sent;
	return r;
}
