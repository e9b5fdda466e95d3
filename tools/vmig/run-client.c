/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "run-control.h"
#include "run-json.h"

const char *run_client_name(const char *word)
{
	return strncmp(word, "run:", 4) ? NULL : word + 4;
}

static int connect_to(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char base[RUN_FOLDER_MAX];
	int fd, error = ENOENT;

	for (int choice = 0; choice < 2; choice++) {
		if (!run_folder_base(choice, base))
			continue;
		snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s/control", base, name);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			return fd;
		error = errno == ENOENT ? error : errno;
		close(fd);
	}
	return -error;
}

int run_client_ask(const char *name, const char *command, FILE **ret)
{
	char request[128];
	int fd, n;

	if (!run_name_is_good(name))
		return tool_fail(VMIG_BAD_INPUT, "run:%s: that is no name of a run", name);
	fd = connect_to(name);
	if (fd < 0)
		return tool_fail(
			VMIG_NOT_DONE, "run:%s: %s; it is to be started with vmig run --name %s", name,
			fd == -ENOENT || fd == -ECONNREFUSED ? "there is no such run" : strerror(-fd), name);
	n = snprintf(request, sizeof(request), "{\"vmig-run\": %d, \"command\": \"%s\"}\n", RUN_PROTOCOL,
		     command);
	*ret = send(fd, request, (size_t)n, MSG_NOSIGNAL) == n ? fdopen(fd, "r") : NULL;
	if (*ret)
		return 0;
	close(fd);
	return tool_fail(VMIG_NOT_DONE, "run:%s: cannot be asked: %m", name);
}

json_t *run_client_next(const char *name, FILE *stream, int *ret_status)
{
	json_t *o = json_loadf(stream, JSON_DISABLE_EOF_CHECK, NULL);
	const char *error = json_string_value(json_object_get(o, "error"));

	*ret_status = 0;
	if (error)
		*ret_status = tool_fail(VMIG_NOT_DONE, "run:%s: %s", name, error);
	if (error) {
		json_decref(o);
		o = NULL;
	}
	return o;
}
