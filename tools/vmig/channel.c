/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool tool_address_is(const char *word)
{
	return !strncmp(word, "tcp:", 4) || !strncmp(word, "unix:", 5);
}

static const char *what_to_do(int code)
{
	switch (code) {
	case ENOENT:
	case ECONNREFUSED:
		return "; start the other end first: vmig receive";
	case EADDRINUSE:
		return "; take another address, or port 0 for any that is free";
	case EADDRNOTAVAIL:
		return "; take an address of this host";
	case EACCES:
	case EPERM:
		return "; check the permissions";
	case ETIMEDOUT:
		return "; see whether the host is up, and what --timeout allows";
	default:
		return "";
	}
}

static int fail(int status, const char *name, int r, const struct vmig_error *error, const char *what)
{
	return tool_fail(status, "%s: %s: %s%s%s%s", name, what, error->text, *error->text ? ": " : "",
			 strerror(-r), what_to_do(-r));
}

int tool_channel_file(const char *path, bool writing, struct vmig_channel **ret)
{
	struct vmig_error error = { 0 };
	int r = vmig_channel_file(path, writing, ret, &error);

	if (!r)
		return 0;
	return fail(writing ? VMIG_NOT_DONE : VMIG_BAD_INPUT, path, r, &error,
		    writing ? "cannot be written" : "cannot be read");
}

/* What the options say; @ret->tls is the caller's to free. */
static int fill(struct vmig_channel_options *ret, const struct tool_options *o, struct vmig_tls **ret_tls)
{
	const struct vmig_tls_config config = { .ca = o->tls_ca,
						.cert = o->tls_cert,
						.key = o->tls_key,
						.peer = o->tls_peer,
						.psk = o->tls_psk };
	struct vmig_error error = { 0 };

	*ret_tls = NULL;
	if ((config.ca || config.cert || config.key || config.peer || config.psk) &&
	    vmig_tls_new(&config, ret_tls, &error))
		return tool_fail(VMIG_BAD_INPUT, "%s: %s", error.where, error.text);
	*ret = (struct vmig_channel_options){
		.timeout_ms = o->timeout_ns ? tool_ms(o->timeout_ns) : 0,
		.tls = *ret_tls,
		.insecure = o->insecure,
		.compress = o->compress,
		.reconnect_ms = o->reconnect_ns ? tool_ms(o->reconnect_ns) : 0,
		.fault = o->channel_fault ? o->channel_fault : getenv("VMIG_CHANNEL_FAULT"),
	};
	return 0;
}

/* EPERM is the library's too: what it would not do without being told. Those of TLS need no more words. */
static int fail_at(const struct tool_options *o, const char *address, int r, const struct vmig_error *error,
		   const char *what)
{
	if (r == -EPERM && !o->insecure)
		return tool_fail(VMIG_BAD_INPUT,
				 "%s: %s: %s; give --tls-psk, or --tls-ca, --tls-cert and --tls-key (or "
				 "--insecure, where nobody else is on the way)",
				 address, what, error->text);
	if (r == -EPROTO || (r == -EACCES && (o->tls_ca || o->tls_psk)))
		return tool_fail(VMIG_NOT_DONE, "%s: %s: %s", address, what, error->text);
	return fail(r == -EINVAL ? VMIG_BAD_INPUT : VMIG_NOT_DONE, address, r, error, what);
}

int tool_channel_connect(const char *address, const struct tool_options *o, struct vmig_channel **ret)
{
	struct vmig_channel_options options;
	struct vmig_error error = { 0 };
	struct vmig_tls *tls;
	int r = fill(&options, o, &tls);

	if (r)
		return r;
	r = vmig_channel_connect_with(address, &options, ret, &error);
	vmig_tls_free(tls);
	return r ? fail_at(o, address, r, &error, "cannot be connected to") : 0;
}

int tool_channel_listen(const char *address, const struct tool_options *o, struct vmig_listener **ret)
{
	struct vmig_channel_options options;
	struct vmig_error error = { 0 };
	struct vmig_tls *tls;
	int r = fill(&options, o, &tls);

	if (r)
		return r;
	r = vmig_listener_new_with(address, &options, ret, &error);
	vmig_tls_free(tls);
	return r ? fail_at(o, address, r, &error, "cannot be listened at") : 0;
}
