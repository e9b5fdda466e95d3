/* SPDX-License-Identifier: BSD-3-Clause */
#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

/* Grows as it is read: a file that is named wrongly may be enormous, and is not read to its end. */
static int read_all(const char *path, int fd, size_t max, char **ret, size_t *ret_len)
{
	size_t len = 0, room = 0;
	char *text = NULL;
	ssize_t n = 1;

	while (n > 0 && len <= max) {
		if (room - len < 2) {
			char *more = realloc(text, room = room ? 2 * room : 4096);

			if (!more) {
				free(text);
				return tool_fail(VMIG_NOT_DONE, "%s: no memory", path);
			}
			text = more;
		}
		n = read(fd, text + len, room - len - 1);
		if (n > 0)
			len += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	if (n < 0 || len > max) {
		free(text);
		return n < 0 ? tool_fail(VMIG_BAD_INPUT, "%s: cannot be read: %m", path)
			     : tool_fail(VMIG_BAD_INPUT, "%s: longer than %zu bytes: not a file of this kind",
					 path, max);
	}
	text[len] = '\0';
	*ret = text;
	*ret_len = len;
	return 0;
}

int tool_file_read(const char *path, size_t max, char **ret, size_t *ret_len)
{
	bool is_stdin = !strcmp(path, "-");
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be opened: %m", path);
	r = read_all(path, fd, max, ret, ret_len);
	if (!is_stdin)
		close(fd);
	return r;
}

int tool_device_descriptor(const char *word, uint64_t timeout_ns, char **ret)
{
	struct vmig_device *dev;
	int r = tool_device_open(word, timeout_ns, &dev);

	if (r)
		return r;
	r = vmig_device_query_descriptor(dev, ret);
	if (r)
		r = tool_device_fail(VMIG_NOT_DONE, word, dev, r, "its descriptor cannot be had");
	vmig_device_close(dev);
	return r;
}

int tool_descriptor_open(const char *word, uint64_t timeout_ns, struct vmig_descriptor **ret)
{
	struct vmig_error error;
	char *text;
	size_t len;
	int r;

	if (tool_device_is(word)) {
		r = tool_device_descriptor(word, timeout_ns, &text);
		len = r ? 0 : strlen(text);
	} else {
		r = tool_file_read(word, VMIG_DESCRIPTOR_MAX, &text, &len);
	}
	if (r)
		return r;
	r = vmig_descriptor_parse(text, len, ret, &error);
	free(text);
	if (r == -ENOMEM)
		return tool_fail(VMIG_NOT_DONE, "%s: no memory", word);
	return r ? tool_fail(VMIG_BAD_INPUT, "%s: not a descriptor: %s; see vmig-descriptor(5)", word,
			     error.text)
		 : 0;
}
