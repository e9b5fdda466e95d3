/* SPDX-License-Identifier: BSD-3-Clause */
#include "device.h"

#include <errno.h>
#include <string.h>

#include "models/models.h"

#define MODEL     "model:"
#define VFIO_USER "vfio-user:"
#define VFIO      "vfio:"

static const char *after(const char *word, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(word, prefix, len) ? NULL : word + len;
}

bool tool_device_is(const char *word)
{
	return after(word, MODEL) || after(word, VFIO_USER) || after(word, VFIO);
}

int tool_model_open(const char *name, const char *spec, struct vmig_device **ret)
{
	struct vmig_error error = { 0 };
	int r = models_open(spec, ret, &error);

	if (!r)
		return 0;
	return tool_fail(r == -EINVAL ? VMIG_BAD_INPUT : VMIG_NOT_DONE, "%s: %s%s", name, error.text,
			 r == -ENOMEM ? ": there is not so much memory: ask for less state"
				      : "; 'vmig help serve' lists models and keys");
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
		return "a device has one user at a time: end the other one";
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

static int open_failed(const char *spec, int r, const struct vmig_error *error, bool kernel)
{
	return tool_fail(VMIG_NOT_DONE, "%s: cannot be opened%s%s: %s; %s", spec, *error->text ? ": " : "",
			 error->text, strerror(-r), what_to_do(-r, kernel));
}

int tool_device_open(const char *spec, uint64_t timeout_ns, struct vmig_device **ret)
{
	struct vmig_vfio_user_config config = { .timeout_ms = tool_ms(timeout_ns) };
	struct vmig_error error = { 0 };
	const char *path;
	int r;

	path = after(spec, MODEL);
	if (path)
		return tool_model_open(spec, path, ret);
	path = after(spec, VFIO_USER);
	if (path && *path) {
		r = vmig_open_vfio_user(path, &config, ret, &error);
		return r ? open_failed(spec, r, &error, false) : 0;
	}
	path = after(spec, VFIO);
	if (path && *path) {
		r = vmig_open_kernel(path, ret, &error);
		return r ? open_failed(spec, r, &error, true) : 0;
	}
	return tool_fail(VMIG_BAD_INPUT,
			 "'%s' is not a DEVICE: write model:NAME, vfio-user:PATH or vfio:PATH", spec);
}

int tool_device_fail(int status, const char *spec, struct vmig_device *dev, int r, const char *what)
{
	struct vmig_error error;

	vmig_device_query_error(dev, &error);
	if (!error.code)
		return tool_fail(status, "%s: %s: %s", spec, what, strerror(-r));
	return tool_fail(status, "%s: %s: %s: %s: %s", spec, what, error.where, error.text, strerror(-r));
}
