/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of a listening socket: who may replace it, and who removes it. */
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "server/vfio_user.h"

/* Those who wait to be accepted; a client waits for none but the accepting thread, which is never busy for long. */
#define BACKLOG 8

/* 1: somebody listens there; 0: nobody does, and it is a socket; else -errno. */
static int somebody_listens(const struct sockaddr_un *address)
{
	_autoclose_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (lstat(address->sun_path, &st))
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		return 1;
	return errno == ECONNREFUSED ? 0 : 1;
}

static int bind_to_path(int fd, const struct sockaddr_un *address)
{
	int r;

	if (!bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	r = somebody_listens(address);
	if (r)
		return r < 0 ? r : -EADDRINUSE;
	if (unlink(address->sun_path) && errno != ENOENT)
		return -errno;
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
}

static int address_of(const char *path, struct sockaddr_un *ret)
{
	if (!path[0])
		return -EINVAL;
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(ret->sun_path, path);
	return 0;
}

int vmig_socket_file_listen(const char *path, struct vmig_socket_file *ret, int *ret_fd)
{
	_autoclose_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	struct stat st;
	int r;

	if (fd < 0)
		return -errno;
	r = address_of(path, &address);
	if (!r)
		r = bind_to_path(fd, &address);
	if (r < 0)
		return r;
	if (stat(path, &st) || listen(fd, BACKLOG)) {
		r = -errno;
		unlink(path);
		return r;
	}
	strcpy(ret->path, path);
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	*ret_fd = steal_fd(&fd);
	return 0;
}

void vmig_socket_file_remove(const struct vmig_socket_file *file)
{
	struct stat st;

	if (file->path[0] && !lstat(file->path, &st) && st.st_dev == file->dev && st.st_ino == file->ino)
		unlink(file->path);
}
