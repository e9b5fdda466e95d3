/* SPDX-License-Identifier: BSD-3-Clause */
/* What is given up is gone, and what is needed is not. Each test is a process of its own, so it gives up its own. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/vmig/harden.h"

static void need_a_plain_build(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	harness_skip("a sanitizer needs what is given up");
#endif
}

static void need_landlock(void)
{
	need_a_plain_build();
	if (syscall(444 /* landlock_create_ruleset */, NULL, 0, 1) < 1)
		harness_skip("this kernel has no Landlock");
}

/* 0 or -errno. */
static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int try_bind(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	close(fd);
	return r;
}

static int try_exec(void)
{
	char *const words[] = { "true", NULL };

	/* That it comes back says that it failed. */
	execv("/bin/true", words);
	return -errno;
}

struct place {
	char folder[32], in[48], sub[48], other[32];
};

static void make_place(struct place *p)
{
	strcpy(p->folder, "/tmp/vmig-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(p->folder));
	strcpy(p->other, "/tmp/vmig-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(p->other));
	snprintf(p->in, sizeof(p->in), "%s/in", p->folder);
	snprintf(p->sub, sizeof(p->sub), "%s/out", p->other);
}

/* A child, as the folders cannot be removed by whoever has given that up. */
static void in_child(void (*fn)(struct place *p))
{
	struct place p;
	int status;
	pid_t pid;

	make_place(&p);
	pid = fork();
	if (!pid) {
		fn(&p);
		exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	unlink(p.in);
	unlink(p.sub);
	ck_assert_int_eq(rmdir(p.folder), 0);
	ck_assert_int_eq(rmdir(p.other), 0);
	ck_assert_int_eq(status, 0);
}

/* In a child nothing reports but the status. */
#define MUST(x)                                                                                              \
	do {                                                                                                 \
		if (!(x)) {                                                                                  \
			fprintf(stderr, "# %s:%d: not: %s\n", __FILE__, __LINE__, #x);                       \
			exit(1);                                                                             \
		}                                                                                            \
	} while (0)

/* --- files ---------------------------------------------------------------------------------------- */

static void only_a_socket(struct place *p)
{
	const struct harden_path path = { p->in, HARDEN_SOCKET, true };

	harden_process(false);
	harden_files(&path, 1);
	MUST(try_open("/etc/passwd", O_RDONLY) == -EACCES);
	MUST(try_open(p->in, O_WRONLY | O_CREAT) == -EACCES);
	MUST(try_open(p->sub, O_WRONLY | O_CREAT) == -EACCES);
	MUST(try_bind(p->sub) == -EACCES);
	MUST(try_bind(p->in) == 0);
	MUST(unlink(p->in) == 0);
}

static void a_folder_to_write_in(struct place *p)
{
	const struct harden_path paths[] = { { p->in, HARDEN_WRITE, true }, { NULL, HARDEN_READ, false } };

	harden_process(false);
	harden_files(paths, 2);
	MUST(try_open(p->in, O_RDWR | O_CREAT) == 0);
	MUST(truncate(p->in, 10) == 0);
	MUST(unlink(p->in) == 0);
	MUST(try_open(p->folder, O_RDONLY | O_DIRECTORY) == 0);
	MUST(try_bind(p->in) == -EACCES);
	MUST(mkdir(p->in, 0700) == -1 && errno == EACCES);
	MUST(try_open(p->sub, O_WRONLY | O_CREAT) == -EACCES);
	MUST(try_open("/etc/passwd", O_RDONLY) == -EACCES);
}

static void one_file_to_read(struct place *p)
{
	const struct harden_path path = { "/etc/passwd", HARDEN_READ, false };

	harden_process(false);
	harden_files(&path, 1);
	MUST(try_open("/etc/passwd", O_RDONLY) == 0);
	MUST(try_open("/etc/group", O_RDONLY) == -EACCES);
	/* What is no file of a folder: memory, and descriptors by their names. */
	MUST(close(memfd_create("m", MFD_CLOEXEC)) == 0);
	MUST(readlink("/proc/self/fd/0", (char[64]){ 0 }, 63) > 0);
}

TEST(a_server_keeps_its_sockets_folder_and_no_file)
{
	need_landlock();
	in_child(only_a_socket);
}

TEST(a_folder_may_be_written_to_and_no_other)
{
	need_landlock();
	in_child(a_folder_to_write_in);
}

TEST(a_file_may_be_read_and_no_other)
{
	need_landlock();
	in_child(one_file_to_read);
}

/* --- calls ---------------------------------------------------------------------------------------- */

TEST(no_role_starts_programs)
{
	need_a_plain_build();
	for (int role = HARDEN_SERVE; role <= HARDEN_RUN; role++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			harden_process(true);
			harden_calls((enum harden_role)role);
			MUST(try_exec() == -EPERM);
			MUST(fork() == -1 && errno == EPERM);
			MUST(ptrace(PTRACE_TRACEME, 0, 0, 0) == -1 && errno == EPERM);
			MUST(setuid(0) == -1 && errno == EPERM);
			MUST(syscall(SYS_unshare, 0) == -1 && errno == EPERM);
			MUST(syscall(SYS_io_uring_setup, 1, NULL) == -1 && errno == EPERM);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		ck_assert_int_eq(status, 0);
	}
}

static void no_new_connections(struct place *p)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/tmp/nowhere" };
	int pair[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	harden_process(false);
	harden_calls(HARDEN_SERVE);
	MUST(socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == EPERM);
	MUST(connect(pair[0], (struct sockaddr *)&address, sizeof(address)) == -1 && errno == EPERM);
	MUST(kill(getppid(), 0) == -1 && errno == EPERM);
}

TEST(a_server_makes_no_new_connections)
{
	need_a_plain_build();
	in_child(no_new_connections);
}

static void *thread(void *arg)
{
	int *fd = arg;

	*fd = memfd_create("m", MFD_CLOEXEC);
	return NULL;
}

static void threads_and_memory(struct place *p)
{
	pthread_t t;
	int fd = -1;

	harden_process(false);
	harden_calls(HARDEN_SERVE);
	MUST(pthread_create(&t, NULL, thread, &fd) == 0);
	pthread_join(t, NULL);
	MUST(fd >= 0);
	MUST(ftruncate(fd, 4096) == 0);
	MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	free(malloc(1 << 22));
}

TEST(a_server_still_makes_threads_and_memory)
{
	need_a_plain_build();
	in_child(threads_and_memory);
}

static int go[2], answer[2];

/* There before the filter is. */
static void *early(void *arg)
{
	char c;
	int r = 0;

	if (read(go[0], &c, 1) == 1)
		r = try_exec();
	if (write(answer[1], &r, sizeof(r)) != sizeof(r))
		return NULL;
	return NULL;
}

TEST(threads_that_were_there_before_too)
{
	pthread_t t;
	int r;

	need_a_plain_build();
	ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(answer, O_CLOEXEC), 0);
	ck_assert_int_eq(pthread_create(&t, NULL, early, NULL), 0);
	harden_process(false);
	harden_calls(HARDEN_RECEIVE);
	ck_assert_int_eq(write(go[1], "x", 1), 1);
	ck_assert_int_eq(read(answer[0], &r, sizeof(r)), (int)sizeof(r));
	ck_assert_int_eq(r, -EPERM);
	pthread_join(t, NULL);
	for (int i = 0; i < 2; i++) {
		close(go[i]);
		close(answer[i]);
	}
}

TEST(only_a_supervisor_looks_into_others)
{
	char a = 1, b = 0;
	struct iovec from = { &a, 1 }, to = { &b, 1 };
	pid_t pid;
	int status;

	need_a_plain_build();
	pid = fork();
	if (!pid) {
		harden_process(false);
		harden_calls(HARDEN_RECEIVE);
		MUST(process_vm_readv(getpid(), &to, 1, &from, 1, 0) == -1 && errno == EPERM);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	harden_process(false);
	harden_calls(HARDEN_RUN);
	ck_assert_int_eq(process_vm_readv(getpid(), &to, 1, &from, 1, 0), 1);
	ck_assert_int_eq(b, 1);
}

TEST(no_core_no_privilege_nobody_looks_in)
{
	struct rlimit core;

	need_a_plain_build();
	harden_process(true);
	ck_assert_int_eq(getrlimit(RLIMIT_CORE, &core), 0);
	ck_assert_uint_eq(core.rlim_cur, 0);
	ck_assert_uint_eq(core.rlim_max, 0);
	ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	ck_assert_int_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
}

HARNESS("harden", T(a_server_keeps_its_sockets_folder_and_no_file),
	T(a_folder_may_be_written_to_and_no_other), T(a_file_may_be_read_and_no_other),
	T(no_role_starts_programs), T(a_server_makes_no_new_connections),
	T(a_server_still_makes_threads_and_memory), T(threads_that_were_there_before_too),
	T(only_a_supervisor_looks_into_others), T(no_core_no_privilege_nobody_looks_in))
