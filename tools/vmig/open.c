/* SPDX-License-Identifier: BSD-3-Clause */
#include "open.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include <vmig/user.h>

#include "models/models.h"
#include "open-v1.h"

#define SPEC_MAX 4096

static const struct prefix {
	const char *text;
	enum open_kind kind;
} prefixes[] = { { "model:", OPEN_MODEL }, { "vfio-user:", OPEN_VFIO_USER }, { "vfio:", OPEN_KERNEL } };

static const struct prefix *prefix_of(const char *word)
{
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (!strncmp(word, prefixes[i].text, strlen(prefixes[i].text)))
			return &prefixes[i];
	return NULL;
}

enum open_kind open_kind_of(const char *word)
{
	const struct prefix *prefix = prefix_of(open_v1_after(word));

	return prefix ? prefix->kind : OPEN_NONE;
}

/* The words are wrong. */
__attribute__((format(printf, 2, 3))) static int wrong(struct open_failure *failure, const char *format, ...)
{
	va_list ap;

	failure->usage = true;
	failure->error = (struct vmig_error){ .code = EINVAL, .where = "DEVICE" };
	va_start(ap, format);
	vsnprintf(failure->error.text, sizeof(failure->error.text), format, ap);
	va_end(ap);
	return -EINVAL;
}

static int open_model(const char *name, struct open_v1 *v1, struct vmig_device **ret,
		      struct open_failure *failure)
{
	bool show = v1->show;
	int r;

	if (!show && models_v1_only(name))
		return wrong(failure, "this model migrates by v1 only: leave v1=off out");
	v1->show = false; /* done here */
	r = show ? models_open_v1(name, &v1->config, ret, &failure->error)
		 : models_open(name, ret, &failure->error);
	failure->usage = r == -EINVAL;
	return r;
}

static int open_plain(const char *spec, struct open_v1 *v1, const struct open_how *how,
		      struct vmig_device **ret, struct open_failure *failure)
{
	const struct vmig_vfio_user_config config = { .timeout_ms = how->timeout_ms, .take = how->take };
	const struct prefix *prefix = prefix_of(spec);
	const char *name = prefix ? spec + strlen(prefix->text) : "";

	failure->kind = prefix ? prefix->kind : OPEN_NONE;
	if (!*name && failure->kind != OPEN_MODEL)
		return wrong(failure, "write model:NAME, vfio-user:PATH or vfio:PATH");
	switch (failure->kind) {
	case OPEN_MODEL:
		return open_model(name, v1, ret, failure);
	case OPEN_VFIO_USER:
		return vmig_open_vfio_user(name, &config, ret, &failure->error);
	default:
		return vmig_open_kernel(name, ret, &failure->error);
	}
}

/* It is shown by v1 without being asked to. */
static bool only_v1(const char *word)
{
	const char *spec = open_v1_after(word);
	const struct prefix *prefix = prefix_of(spec);

	return prefix && prefix->kind == OPEN_MODEL && models_v1_only(spec + strlen(prefix->text));
}

int open_device(const char *spec, const struct open_how *how, struct vmig_device **ret,
		struct open_failure *ret_failure)
{
	struct vmig_device *dev = NULL;
	char copy[SPEC_MAX];
	struct open_v1 v1;
	const char *why = NULL;
	int r;

	*ret_failure = (struct open_failure){ 0 };
	if (strlen(spec) >= sizeof(copy))
		return wrong(ret_failure, "a DEVICE is longer than %d bytes", SPEC_MAX - 1);
	strcpy(copy, spec);
	if (open_v1_parse(copy, only_v1(copy), &v1, &why))
		return wrong(ret_failure, "%s", why);
	r = open_plain(v1.spec, &v1, how, &dev, ret_failure);
	if (!r)
		r = open_v1_apply(&v1, &dev, &ret_failure->error);
	if (r)
		vmig_device_close(dev);
	else
		*ret = dev;
	return r;
}

int open_check(const char *spec, struct open_failure *ret_failure)
{
	const struct prefix *prefix;
	const char *why = NULL;
	char copy[SPEC_MAX];
	struct open_v1 v1;
	int r = 0;

	*ret_failure = (struct open_failure){ 0 };
	if (strlen(spec) >= sizeof(copy))
		return wrong(ret_failure, "a DEVICE is longer than %d bytes", SPEC_MAX - 1);
	strcpy(copy, spec);
	if (open_v1_parse(copy, only_v1(copy), &v1, &why))
		return wrong(ret_failure, "%s", why);
	prefix = prefix_of(v1.spec);
	if (!prefix)
		return wrong(ret_failure, "write model:NAME, vfio-user:PATH or vfio:PATH");
	ret_failure->kind = prefix->kind;
	if (prefix->kind == OPEN_MODEL)
		r = models_check(v1.spec + strlen(prefix->text), &ret_failure->error);
	ret_failure->usage = r;
	return r;
}

void open_print_keys(FILE *to)
{
	open_v1_print_keys(to);
}
