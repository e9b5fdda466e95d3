/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file - a file or a pipe, one way.
 *
 * A file that is written has no name until the commit, so that a save that fails, or is killed, leaves
 * nothing behind and never half of an older file. Where the file system has no nameless files it is
 * written under a temporary name. A pipe or a device file is written as it is.
 */
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/io.h"
#include "channel/provider.h"

#define PIECES_MAX 32
/* A pipe that poll() calls writable takes this much (PIPE_BUF) without blocking. */
#define PIPE_SAFE 4096u

struct file_channel {
	int fd, wake_fd;
	_Atomic uint32_t timeout_ms; /* may be set while another thread waits */
	bool regular;                /* never blocks, may be rewound */
	bool blocking;               /* a pipe that could not be made non-blocking */
	char *path;                  /* the name at the commit; NULL: it has one, or needs none */
	char *temp;                  /* the name until then; NULL: it has none */
};

static int file_wait(struct file_channel *f, short events)
{
	struct pollfd down = { .fd = f->wake_fd, .events = POLLIN };

	if (f->regular)
		return poll(&down, 1, 0) > 0 ? -ECONNRESET : 0;
	return vmig_channel_wait(f->fd, events, f->wake_fd, f->timeout_ms);
}

/* write(2) knows no MSG_NOSIGNAL: the signal is held back, and taken if this call has caused it. */
static ssize_t write_no_signal(int fd, const struct iovec *iov, int n)
{
	const struct timespec at_once = { 0, 0 };
	sigset_t pipe, old, pending;
	ssize_t done;
	int saved;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe, &old);
	done = writev(fd, iov, n);
	saved = errno;
	if (done < 0 && saved == EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return done;
}

static ssize_t write_some(struct file_channel *f, const struct iovec *iov, int n)
{
	struct iovec one = { .iov_base = iov->iov_base, .iov_len = MIN(iov->iov_len, PIPE_SAFE) };

	if (f->regular)
		return writev(f->fd, iov, n);
	return f->blocking ? write_no_signal(f->fd, &one, 1) : write_no_signal(f->fd, iov, n);
}

static int file_send(void *self, const struct iovec *iov, int n)
{
	struct file_channel *f = self;
	struct iovec copy[PIECES_MAX], *at = copy;

	if (n < 0 || n > PIECES_MAX)
		return -EINVAL;
	memcpy(copy, iov, (size_t)n * sizeof(*iov));
	while (vmig_iov_skip(&at, &n, 0), n) {
		int r = file_wait(f, POLLOUT);
		ssize_t done = r ? 0 : write_some(f, at, n);

		if (r)
			return r;
		if (done >= 0)
			vmig_iov_skip(&at, &n, (size_t)done);
		else if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
	return 0;
}

static ssize_t file_recv(void *self, const struct iovec *iov, int n)
{
	struct file_channel *f = self;

	for (;;) {
		int r = file_wait(f, POLLIN);
		ssize_t done = r ? r : readv(f->fd, iov, n);

		if (r || done >= 0)
			return done;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
}

static int file_rewind(void *self)
{
	struct file_channel *f = self;

	return !f->regular || lseek(f->fd, 0, SEEK_SET) < 0 ? -ESPIPE : 0;
}

static void file_set_timeout(void *self, uint32_t ms)
{
	struct file_channel *f = self;

	f->timeout_ms = ms;
}

static void file_shutdown(void *self)
{
	struct file_channel *f = self;
	uint64_t one = 1;

	/* Stays readable for ever: nobody reads it. */
	if (write(f->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static int sync_folder(const char *path)
{
	_autofree_ char *copy = strdup(path);
	_autoclose_ int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	/* A folder that cannot be synced (not readable, an odd file system) is no reason to lose the file. */
	if (fd >= 0)
		(void)!fsync(fd);
	return copy ? 0 : -ENOMEM;
}

/* rename() replaces a file of that name in one step; linkat() cannot, so a nameless file gets a temporary name first. */
static int give_name(struct file_channel *f)
{
	char self[64];

	if (!f->temp) {
		if (asprintf(&f->temp, "%s.%d.part", f->path, (int)getpid()) < 0) {
			f->temp = NULL;
			return -ENOMEM;
		}
		snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
		if (linkat(AT_FDCWD, self, AT_FDCWD, f->temp, AT_SYMLINK_FOLLOW) < 0) {
			int err = -errno;

			free(steal_ptr(f->temp));
			return err;
		}
	}
	if (rename(f->temp, f->path) < 0)
		return -errno;
	free(steal_ptr(f->temp));
	return sync_folder(f->path);
}

static int file_commit(void *self)
{
	struct file_channel *f = self;
	int r;

	if (f->regular && fsync(f->fd) < 0)
		return -errno;
	if (!f->path)
		return 0;
	r = give_name(f);
	if (!r)
		free(steal_ptr(f->path));
	return r;
}

static void file_close(void *self)
{
	struct file_channel *f = self;

	if (f->temp)
		unlink(f->temp);
	close(f->fd);
	close(f->wake_fd);
	free(f->temp);
	free(f->path);
	free(f);
}

static const struct vmig_channel_ops file_ops = {
	.send = file_send,
	.recv = file_recv,
	.rewind = file_rewind,
	.set_timeout = file_set_timeout,
	.shutdown = file_shutdown,
	.commit = file_commit,
	.close = file_close,
};

/* Saved device state is as secret as the guest's memory. */
#define FILE_MODE 0600

static int open_nameless(struct file_channel *f, const char *path)
{
	_autofree_ char *copy = strdup(path);

	f->path = strdup(path);
	if (!copy || !f->path)
		return -ENOMEM;
	f->fd = open(dirname(copy), O_TMPFILE | O_WRONLY | O_CLOEXEC, FILE_MODE);
	if (f->fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return -errno;
	if (asprintf(&f->temp, "%s.XXXXXX", path) < 0) {
		f->temp = NULL;
		return -ENOMEM;
	}
	f->fd = mkostemp(f->temp, O_CLOEXEC);
	if (f->fd < 0) {
		int err = -errno;

		free(steal_ptr(f->temp));
		return err;
	}
	return 0;
}

/*
 * O_NONBLOCK belongs to the open file, which standard output shares with the shell: so a pipe is opened
 * anew. Where that is not allowed it stays as it is and is written in pieces that cannot block.
 */
static int open_standard(struct file_channel *f, bool writing)
{
	int fd = writing ? STDOUT_FILENO : STDIN_FILENO;
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	f->fd = -1;
	if (writing)
		f->fd = open(self, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_APPEND);
	if (f->fd < 0) {
		f->blocking = true;
		f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	}
	return f->fd < 0 ? -errno : 0;
}

static int open_it(struct file_channel *f, const char *path, bool writing)
{
	struct stat st;
	int r = 0;

	if (!strcmp(path, "-"))
		r = open_standard(f, writing);
	else if (writing && (stat(path, &st) < 0 || S_ISREG(st.st_mode)))
		r = open_nameless(f, path);
	else
		/* A named pipe without a reader waits for one, as with any other command. */
		f->fd = open(path, (writing ? O_WRONLY : O_RDONLY) | O_CLOEXEC | O_NOCTTY);
	if (r || f->fd < 0)
		return r ? r : -errno;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	f->regular = S_ISREG(st.st_mode);
	if (!f->regular && strcmp(path, "-") && writing)
		return fcntl(f->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	return 0;
}

static void file_freep(struct file_channel **f)
{
	if (*f)
		file_close(*f);
}

int vmig_channel_file(const char *path, bool writing, struct vmig_channel **ret, struct vmig_error *error)
{
	_cleanup_(file_freep) struct file_channel *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return vmig_fault(error, -ENOMEM, path, "no memory");
	f->fd = -1;
	f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = f->wake_fd < 0 ? -errno : open_it(f, path, writing);
	if (!r)
		r = vmig_channel_new(&file_ops, f, true, ret);
	if (r)
		return vmig_fault(error, r, path, "cannot open it for %s: %s",
				  writing ? "writing" : "reading", strerror(-r));
	steal_ptr(f);
	return 0;
}
