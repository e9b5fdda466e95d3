/* SPDX-License-Identifier: BSD-3-Clause */
/* What becomes of descriptors. Each leaves nothing open. */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "models/nic.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

static int open_container(void)
{
	int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	MUST(fd >= 0);
	return fd;
}

static bool answers(int fd)
{
	return ioctl(fd, VMIG_UAPI_CHECK_EXTENSION, VMIG_UAPI_TYPE1v2_IOMMU) == 1;
}

static int open_group(const struct client *client)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%d", 90 + client->number);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* A group has one user: the second gets in as soon as the first has closed. */
static void must_be_free(const struct client *client)
{
	int fd = open_group(client);

	MUST(fd >= 0);
	MUST(!close(fd));
}

static void fds_dup(struct client *client)
{
	int fd = open_container(), group = open_group(client), copy;

	MUST_FAIL(open_group(client), EBUSY);
	copy = dup(fd);
	MUST(copy >= 0 && copy != fd && answers(copy));
	MUST(!(fcntl(copy, F_GETFD) & FD_CLOEXEC));
	MUST(!close(fd));
	MUST(answers(copy));
	fd = fcntl(copy, F_DUPFD_CLOEXEC, 0);
	MUST(fd >= 0 && answers(fd) && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	MUST(dup2(fd, fd + 100) == fd + 100 && answers(fd + 100));
	MUST_FAIL(dup2(fd, 20), EBADF);
	MUST(!close(group) && !close(copy) && !close(fd) && !close(fd + 100));
	MUST_FAIL(ioctl(fd, VMIG_UAPI_GET_API_VERSION), EBADF);
}

/* Over the last descriptor of a group: it is free then, and its number is another's. */
static void fds_over(struct client *client)
{
	int fd = open_container(), group = open_group(client);

	MUST(!answers(group));
	MUST(dup2(fd, group) == group && answers(group));
	must_be_free(client);
	MUST(!close(group) && !close(fd));
}

static void fds_close(struct client *client)
{
	int first = open_group(client);

	MUST(first >= 0);
	for (int i = 0; i < 50; i++) {
		MUST_FAIL(open_group(client), EBUSY);
		MUST(!close(first));
		first = open_group(client);
		MUST(first >= 0);
	}
	MUST(!syscall(SYS_close_range, 3u, ~0u, 0u));
	must_be_free(client);
	client_open(client);
	client_map(client);
	nic_start(client);
	MUST(!close(client->device));
	client->device = -1;
	/* close() waited for the device: nothing writes here any more, though it had more to write. */
	memset(client->memory, 0x5a, CLIENT_MEMORY);
	usleep(30000);
	for (size_t i = 0; i < CLIENT_MEMORY; i++)
		MUST(client->memory[i] == 0x5a);
	client_close(client);
	must_be_free(client);
}

static int wait_for(pid_t pid)
{
	int status;

	MUST(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The child has what its parent opened; the group is free when both have closed. */
static void fds_fork(struct client *client)
{
	int fd = open_container(), group = open_group(client);
	pid_t pid = fork();

	MUST(pid >= 0);
	if (!pid) {
		MUST(answers(fd));
		MUST_FAIL(open_group(client), EBUSY);
		_exit(0);
	}
	MUST(wait_for(pid) == 0);
	MUST(answers(fd));
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	MUST(!close(group));
	MUST_FAIL(open_group(client), EBUSY); /* the child has made no call, and holds it */
	MUST(!kill(pid, SIGKILL));
	MUST(wait_for(pid) == 128 + SIGKILL);
	must_be_free(client);
	MUST(!close(fd));
}

/* As QEMU's -daemonize: all is opened, then the parent ends. */
static void fds_daemon(struct client *client)
{
	int pipe_fds[2], status = 1;
	pid_t pid;

	MUST(!pipe(pipe_fds));
	client_open(client);
	pid = fork();
	if (!pid) {
		if (fork())
			_exit(0);
		/* Its own memory: that of its parent's is not what is mapped. */
		client_map(client);
		nic_start(client);
		nic_take(client, 200);
		client_close(client);
		status = 0;
		MUST(write(pipe_fds[1], &status, sizeof(status)) == sizeof(status));
		_exit(0);
	}
	MUST(wait_for(pid) == 0);
	client_close(client);
	close(pipe_fds[1]);
	MUST(read(pipe_fds[0], &status, sizeof(status)) == sizeof(status) && !status);
	close(pipe_fds[0]);
	must_be_free(client);
}

/* Descriptors that are close-on-exec go, others stay. */
static void fds_exec(struct client *client)
{
	int fd = open_container(), group = open_group(client), copy = dup(fd);
	char number[16];
	char *argv[] = { (char *)"client", (char *)"fds", number, NULL };

	MUST(fd >= 0 && group >= 0 && copy >= 0 && answers(fd));
	snprintf(number, sizeof(number), "%d", copy);
	execv("/proc/self/exe", argv);
	FAIL("exec: %s", strerror(errno));
}

/* The same process, as another program. */
static int after_exec(struct client *client, int fd)
{
	MUST(answers(fd));
	for (int other = 4096; other < 8192; other++)
		MUST(other == fd || (ioctl(other, VMIG_UAPI_GET_API_VERSION) == -1 && errno == EBADF));
	must_be_free(client);
	return 0;
}

/* Every call that a device knows, and those that it does not. */
static void fds_calls(struct client *client)
{
	uint64_t value[2] = { 0 }, at;
	struct iovec iov[2] = { { &value[0], 8 }, { &value[1], 8 } };
	int pipe_fds[2];
	void *mapped, *volatile nowhere = (void *)8;

	client_open(client);
	at = client_region_offset(client->device, NIC_BAR_REGISTERS);
	MUST(preadv(client->device, iov, 2, (off_t)at) == 16);
	MUST((uint32_t)value[0] == NIC_MAGIC_VALUE && value[1] > 0);
	MUST(pwritev(client->device, iov, 1, (off_t)(at + NIC_INJECT)) == 8);
	MUST_FAIL(preadv(client->device, iov, 2, -5), EINVAL);
	MUST_FAIL(lseek(client->device, 0, SEEK_SET), ESPIPE);
	MUST_FAIL(ftruncate(client->device, 1 << 20), EINVAL);
	MUST_FAIL(fcntl(client->device, F_ADD_SEALS, 0), EINVAL);
	MUST((fcntl(client->device, F_GETFL) & O_ACCMODE) == O_RDWR);
	MUST_FAIL(pread(client->device, nowhere, 8, (off_t)at), EFAULT);
	MUST_FAIL(ioctl(client->device, VMIG_UAPI_DEVICE_GET_INFO, 8), EFAULT);
	mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED,
		      client->container >= 0 ? client->container : client->iommu, 0);
	MUST(mapped == MAP_FAILED && (errno == ENODEV || errno == EINVAL));
	MUST(!pipe(pipe_fds));
	MUST(splice(client->device, NULL, pipe_fds[1], NULL, 4096, 0) == -1);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	client_close(client);
}

/* Other files are as without us. */
static void fds_others(struct client *client)
{
	uint64_t how[3] = { O_RDONLY | O_CLOEXEC, 0, 0 };
	char path[8192];
	int fd, dir;

	(void)client;
	fd = open("/dev/null", O_RDWR);
	MUST(fd >= 0 && fd < 4096);
	MUST(fcntl(fd, F_DUPFD, 5000) == 5000 && write(5000, "x", 1) == 1 && !lseek(5000, 0, SEEK_SET));
	MUST(dup2(5000, fd) == fd && !close(5000) && !close(fd));
	MUST_FAIL(open("/dev/vfio/none", O_RDWR), ENOENT);
	MUST_FAIL(open("/dev/vfio/89", O_RDWR), ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = 0;
	MUST_FAIL(open(path, O_RDONLY), ENAMETOOLONG);
	MUST_FAIL(open((char *)8, O_RDONLY), EFAULT);
	dir = open("/", O_RDONLY | O_DIRECTORY);
	MUST(dir >= 0);
	fd = openat(dir, "dev/null", O_RDONLY);
	MUST(fd >= 0 && !close(fd) && !close(dir));
	fd = (int)syscall(SYS_openat2, AT_FDCWD, "/dev/null", how, sizeof(how));
	MUST(fd >= 0 && fd < 4096 && !close(fd));
	how[0] = O_RDWR | O_CLOEXEC;
	fd = (int)syscall(SYS_openat2, AT_FDCWD, "/dev/vfio/vfio", how, sizeof(how));
	MUST(fd >= 4096 && answers(fd) && !close(fd));
}

/* A path that ends where the memory ends. */
static void fds_path(struct client *client)
{
	static const char path[] = "/dev/vfio/vfio";
	char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd;

	(void)client;
	MUST(memory != MAP_FAILED && !munmap(memory + 4096, 4096));
	memcpy(memory + 4096 - sizeof(path), path, sizeof(path));
	fd = open(memory + 4096 - sizeof(path), O_RDWR | O_CLOEXEC);
	MUST(fd >= 4096 && answers(fd) && !close(fd));
	memcpy(memory + 4096 - sizeof(path) + 1, path, sizeof(path) - 1);
	MUST_FAIL(open(memory + 4096 - sizeof(path) + 1, O_RDWR), EFAULT);
}

static const struct {
	const char *name;
	void (*fn)(struct client *client);
} tests[] = {
	{ "dup", fds_dup },     { "over", fds_over },     { "close", fds_close },
	{ "fork", fds_fork },   { "daemon", fds_daemon }, { "exec", fds_exec },
	{ "calls", fds_calls }, { "others", fds_others }, { "path", fds_path },
};

int fds_main(struct client *client, const char *what)
{
	if (what[0] >= '0' && what[0] <= '9')
		return after_exec(client, atoi(what));
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(tests[i].name, what))
			continue;
		tests[i].fn(client);
		return 0;
	}
	return 2;
}
