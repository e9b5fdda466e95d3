/* SPDX-License-Identifier: BSD-3-Clause */
#include "owner/etcd_url.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"

void vmig_etcd_url_done(struct vmig_etcd_url *url)
{
	for (uint32_t i = 0; i < url->n_endpoints; i++)
		free(url->endpoints[i]);
	if (url->password)
		explicit_bzero(url->password, strlen(url->password));
	free(url->password);
	free(url->prefix);
	free(url->text);
	*url = (struct vmig_etcd_url){ 0 };
}

/* A host and a port, and no more: no user, no path, nothing that curl would make something else of. */
static bool endpoint_ok(const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t host = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]");

	if (!colon || text[host] || colon == text || strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return false;
	return strlen(colon + 1) >= 1 && strlen(colon + 1) <= 5;
}

static int add_endpoint(struct vmig_etcd_url *url, const char *scheme, const char *text,
			struct vmig_error *error)
{
	if (!strncmp(text, scheme, strlen(scheme)))
		text += strlen(scheme);
	if (!endpoint_ok(text))
		return vmig_fault(error, -EINVAL, "etcd", "'%.100s' is not HOST:PORT", text);
	if (url->n_endpoints == VMIG_LIMIT_OWNER_ENDPOINTS)
		return vmig_fault(error, -EINVAL, "etcd", "more than %u endpoints",
				  VMIG_LIMIT_OWNER_ENDPOINTS);
	if (asprintf(&url->endpoints[url->n_endpoints], "%s%s", scheme, text) < 0)
		return vmig_fault(error, -ENOMEM, "etcd", "no memory");
	url->n_endpoints++;
	return 0;
}

static int add_endpoints(struct vmig_etcd_url *url, char *list, struct vmig_error *error)
{
	const char *scheme = !strncmp(list, "https://", 8) ? "https://" : "http://";
	char *one;
	int r = 0;

	if (strncmp(list, scheme, strlen(scheme)))
		return vmig_fault(error, -EINVAL, "etcd",
				  "'%.100s': it is 'etcd:http://HOST:PORT' or 'etcd:https://...'", list);
	while (!r && (one = strsep(&list, ",")))
		r = add_endpoint(url, scheme, one, error);
	return r;
}

/* The first line of a file: a secret does not belong on a command line. */
static int read_password(const char *path, char **ret, struct vmig_error *error)
{
	_autoclose_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char text[VMIG_LIMIT_OWNER_PASSWORD + 2] = "";
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (len < 0)
		return vmig_fault(error, -errno, "etcd", "%.150s: cannot be read: %m", path);
	text[strcspn(text, "\r\n")] = '\0';
	if (!*text || strlen(text) > VMIG_LIMIT_OWNER_PASSWORD)
		return vmig_fault(error, -EINVAL, "etcd", "%.150s: holds no password of 1 to %u bytes", path,
				  VMIG_LIMIT_OWNER_PASSWORD);
	*ret = strdup(text);
	explicit_bzero(text, sizeof(text));
	return *ret ? 0 : vmig_fault(error, -ENOMEM, "etcd", "no memory");
}

static int add_option(struct vmig_etcd_url *url, char *option, const char **prefix,
		      const char **password_file, struct vmig_error *error)
{
	const struct {
		const char *name;
		const char **at;
	} rows[] = {
		{ "prefix", prefix }, { "ca", &url->ca },     { "cert", &url->cert },
		{ "key", &url->key }, { "user", &url->user }, { "password-file", password_file },
	};
	char *value = strchr(option, '=');

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(option, rows[i].name))
			continue;
		if (!value || !*value)
			return vmig_fault(error, -EINVAL, "etcd", "option '%.60s' has no value", option);
		*rows[i].at = value;
		return 0;
	}
	return vmig_fault(error, -EINVAL, "etcd",
			  "unknown option '%.60s': there are prefix, ca, cert, key, user, password-file",
			  option);
}

static int add_options(struct vmig_etcd_url *url, char *options, struct vmig_error *error)
{
	const char *prefix = "/vmig/", *password_file = NULL;
	char *one;
	int r = 0;

	while (!r && (one = strsep(&options, "&")))
		r = add_option(url, one, &prefix, &password_file, error);
	if (r)
		return r;
	if (strlen(prefix) > VMIG_LIMIT_OWNER_PREFIX)
		return vmig_fault(error, -EINVAL, "etcd", "prefix: more than %u bytes",
				  VMIG_LIMIT_OWNER_PREFIX);
	if (!url->user != !password_file || !url->cert != !url->key)
		return vmig_fault(error, -EINVAL, "etcd",
				  "user and password-file, cert and key: both or none");
	url->prefix = strdup(prefix);
	if (!url->prefix)
		return vmig_fault(error, -ENOMEM, "etcd", "no memory");
	return password_file ? read_password(password_file, &url->password, error) : 0;
}

int vmig_etcd_url_parse(const char *rest, struct vmig_etcd_url *ret, struct vmig_error *error)
{
	struct vmig_etcd_url url = { .text = strdup(rest) };
	char *options;
	int r;

	if (!url.text)
		return vmig_fault(error, -ENOMEM, "etcd", "no memory");
	options = strchr(url.text, '?');
	if (options)
		*options++ = '\0';
	r = add_endpoints(&url, url.text, error);
	if (!r)
		r = add_options(&url, options, error);
	if (r)
		vmig_etcd_url_done(&url);
	else
		*ret = url;
	return r;
}
