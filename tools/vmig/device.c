/* SPDX-License-Identifier: BSD-3-Clause */
#include "device.h"

#include <errno.h>
#include <string.h>

#include "open.h"

bool tool_device_is(const char *word)
{
	return open_kind_of(word) != OPEN_NONE;
}

static const char *what_to_do(int code, bool kernel)
{
	switch (code) {
	case ENOENT:
		return kernel ? "see /dev/vfio/devices, or take the device's folder in sysfs"
			      : "start a server there: vmig serve nic --socket PATH";
	case ECONNREFUSED:
		return "the socket is a leftover: start the server again";
	case EBUSY:
		return "a device has one user at a time: end the other one, or take it from that one with "
		       "--take";
	case ETIMEDOUT:
		return "the server hangs, or is slow: restart it, or give it longer with --timeout";
	case EPROTO:
	case ECONNRESET:
	case EBADMSG:
		return kernel ? "see the kernel's log" : "see whether a vfio-user server listens there";
	case EACCES:
	case EPERM:
		return "check the permissions";
	case EINVAL:
		return kernel ? "name /dev/vfio/devices/vfioN, or the device's folder in sysfs"
			      : "check the path";
	default:
		return "see 'vmig help'";
	}
}

static int model_failed(const char *name, int r, const struct open_failure *failure)
{
	return tool_fail(failure->usage ? VMIG_BAD_INPUT : VMIG_NOT_DONE, "%s: %s%s", name,
			 failure->error.text,
			 r == -ENOMEM ? ": there is not so much memory: ask for less state"
				      : "; 'vmig help serve' lists models and keys");
}

static int open_failed(const char *spec, int r, const struct open_failure *failure)
{
	const struct vmig_error *error = &failure->error;
	bool v1 = !strcmp(error->where, "v1");

	if (!strcmp(error->where, "DEVICE"))
		return tool_fail(VMIG_BAD_INPUT, "'%s' is not a DEVICE: %s", spec, error->text);
	if (failure->kind == OPEN_MODEL && !v1)
		return model_failed(spec, r, failure);
	return tool_fail(VMIG_NOT_DONE, "%s: cannot be opened%s%s: %s; %s", spec, *error->text ? ": " : "",
			 error->text, strerror(-r),
			 v1 ? "see 'vmig info' for what the device has, and 'vmig help serve' for v1"
			    : what_to_do(-r, failure->kind == OPEN_KERNEL));
}

static int open_how(const char *spec, const struct open_how *how, struct vmig_device **ret)
{
	struct open_failure failure;
	int r = open_device(spec, how, ret, &failure);

	return r ? open_failed(spec, r, &failure) : 0;
}

int tool_device_open(const char *spec, uint64_t timeout_ns, struct vmig_device **ret)
{
	return open_how(spec, &(struct open_how){ .timeout_ms = tool_ms(timeout_ns) }, ret);
}

int tool_device_take(const char *spec, const struct tool_options *o, struct vmig_device **ret)
{
	return open_how(spec, &(struct open_how){ .timeout_ms = tool_ms(o->timeout_ns), .take = o->take },
			ret);
}

int tool_device_check(const char *spec)
{
	struct open_failure failure;
	int r = open_check(spec, &failure);

	return r ? open_failed(spec, r, &failure) : 0;
}

int tool_model_open(const char *name, const char *spec, struct vmig_device **ret)
{
	struct open_failure failure;
	char word[4096];
	int r;

	snprintf(word, sizeof(word), "model:%s", spec);
	r = open_device(word, &(struct open_how){ 0 }, ret, &failure);
	return r ? open_failed(name, r, &failure) : 0;
}

int tool_device_fail(int status, const char *spec, struct vmig_device *dev, int r, const char *what)
{
	struct vmig_error error;

	vmig_device_query_error(dev, &error);
	if (!error.code)
		return tool_fail(status, "%s: %s: %s", spec, what, strerror(-r));
	return tool_fail(status, "%s: %s: %s: %s: %s", spec, what, error.where, error.text, strerror(-r));
}
