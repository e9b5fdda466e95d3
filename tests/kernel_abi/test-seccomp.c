/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Programs that are supervised: a static one, with system calls of its own. It says by its exit status whether all was
 * as the kernel would have it; what it does is in tests/client. The environment names it: CLIENT.
 */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmig/log.h>
#include <vmig/region.h>
#include <vmig/supervise.h>

#include "harness.h"
#include "models/models.h"

#define ARGS 8

/* One program with one device. */
struct supervised {
	struct vmig_device *dev;
	struct vmig_kabi_status status;
	struct vmig_kabi *kabi;
	struct vmig_supervise *sv;
	pid_t pid;
};

static int (*next_fault)(void *opaque, enum vmig_kabi_fault where, uint32_t from, uint32_t to,
			 uint64_t bytes);
static char last_log[512];

static void on_log(enum vmig_log_level level, const char *line, void *opaque)
{
	snprintf(last_log, sizeof(last_log), "%s", line);
}

static void need_supervision(void)
{
	int r = vmig_supervise_check();

	if (r)
		harness_skip("programs cannot be supervised here: %s", strerror(-r));
	if (!getenv("CLIENT"))
		harness_skip("CLIENT does not name the program");
}

__attribute__((noreturn)) static void child(int client_fd, int socket_fd, char *const *argv, int in, int out)
{
	static char *const no_environment[] = { NULL };

	if (vmig_supervise_enter(socket_fd))
		_exit(100);
	dup2(in, 0);
	dup2(out, 1);
	fexecve(client_fd, argv, no_environment);
	_exit(101);
}

/* "v1+nic" and "v1-mapped+nic": by a migration region. */
static void open_device(struct supervised *s, const char *spec)
{
	struct vmig_kabi_device device = { .status = &s->status, .fault = next_fault };
	struct vmig_kabi_config config = { .n_devices = 1, .devices = &device, .own_mmap = true };
	struct vmig_v1_config v1 = { .section = VMIG_V1_SECTION_TRAPPED };
	const char *plus = strchr(spec, '+');
	struct vmig_error error = { 0 };
	int r;

	if (!strncmp(spec, "v1-mapped", 9))
		v1.section = VMIG_V1_SECTION_MAPPED;
	r = plus ? models_open_v1(plus + 1, &v1, &s->dev, &error) : models_open(spec, &s->dev, &error);
	ck_assert_msg(!r, "%s: %s", spec, error.text);
	device.dev = s->dev;
	ck_assert_int_eq(vmig_kabi_new(&config, &s->kabi), 0);
}

/* The program, opened while that was allowed: nobody may not look into every folder. -1: to be opened. */
static int kept_client = -1;

/** Start the program with @args ("-i drive"). @in, @out: its stdin and stdout, closed here. */
static void start(struct supervised *s, const char *spec, const char *args, int in, int out)
{
	char *argv[ARGS] = { (char *)"client" }, words[128], *at = words;
	int pair[2], n = 1;
	int client_fd = kept_client >= 0 ? fcntl(kept_client, F_DUPFD_CLOEXEC, 3)
					 : open(getenv("CLIENT"), O_PATH | O_CLOEXEC);

	ck_assert_int_ge(client_fd, 0);
	snprintf(words, sizeof(words), "%s", args);
	while ((argv[n] = strsep(&at, " ")))
		ck_assert_int_lt(++n, ARGS);
	memset(s, 0, sizeof(*s));
	open_device(s, spec);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s->pid = fork();
	ck_assert_int_ge(s->pid, 0);
	if (!s->pid)
		child(client_fd, pair[1], argv, in, out);
	close(client_fd);
	close(pair[1]);
	if (in > 2)
		close(in);
	if (out > 2)
		close(out);
	ck_assert_int_eq(vmig_supervise_new(s->kabi, pair[0], &s->sv), 0);
	close(pair[0]);
}

static int wait_for(struct supervised *s)
{
	int status;

	ck_assert_int_eq(waitpid(s->pid, &status, 0), s->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void done(struct supervised *s)
{
	vmig_supervise_free(s->sv);
	vmig_kabi_free(s->kabi);
	vmig_device_close(s->dev);
}

#define NIC "nic,state=4M,digest=on"

static void run_with(const char *spec, const char *args)
{
	struct supervised s;

	need_supervision();
	start(&s, spec, args, 0, 1);
	ck_assert_int_eq(wait_for(&s), 0);
	done(&s);
	ck_assert_uint_eq(s.status.opened, 0);
}

static void run(const char *args)
{
	run_with(NIC, args);
}

/* --- devices ------------------------------------------------------------------------------ */

TEST(drives_a_nic_in_shared_memory)
{
	run("drive");
}

TEST(drives_a_nic_in_memory_of_its_own)
{
	run("-p drive");
}

TEST(drives_a_nic_by_iommufd)
{
	run("-i drive");
	run("-i -p drive");
}

static void migrate(const char *spec, const char *save, const char *load)
{
	struct supervised source, target;
	int fds[2];

	need_supervision();
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	start(&source, spec, save, 0, fds[1]);
	start(&target, spec, load, fds[0], 1);
	ck_assert_int_eq(wait_for(&source), 0);
	ck_assert_int_eq(wait_for(&target), 0);
	done(&source);
	done(&target);
}

TEST(migrates_by_v2)
{
	migrate(NIC, "save", "load");
	migrate(NIC, "-i -p save", "-p load");
}

TEST(migrates_by_v1)
{
	migrate("v1+" NIC, "save-v1", "load-v1");
	migrate("v1-mapped+" NIC, "save-v1", "load-v1");
}

/* --- descriptors -------------------------------------------------------------------------- */

TEST(knows_copies_of_descriptors)
{
	run("fds dup");
	run("fds over");
}

TEST(close_waits_for_the_device)
{
	/* So slow that its ring is not full before long. */
	run_with(NIC ",records=1000", "fds close");
	run_with(NIC ",records=1000", "-p fds close");
}

TEST(a_child_has_what_its_parent_opened)
{
	run("fds fork");
}

TEST(a_daemon_has_what_its_parent_opened)
{
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	run("fds daemon");
	run("-p fds daemon");
}

TEST(exec_closes_what_is_close_on_exec)
{
	run("fds exec");
}

TEST(answers_every_call_on_a_device)
{
	run("fds calls");
	run("-i fds calls");
}

TEST(leaves_other_files_alone)
{
	run("fds others");
	run("fds path");
}

/* --- what is hard ------------------------------------------------------------------------- */

TEST(many_threads_at_once)
{
	run("threads");
}

TEST(signals_do_not_disturb_a_call)
{
	run("ways signals");
}

TEST(filters_of_its_own_do_no_harm)
{
	run("ways filter");
}

TEST(memory_may_go_under_the_device)
{
	run("ways unmapped");
	run("-p ways unmapped");
}

TEST(x32_calls_do_not_exist)
{
	run("ways x32");
}

TEST(a_foreign_call_ends_the_program_in_words)
{
	struct supervised s;
	int status;

	need_supervision();
	vmig_log_set(VMIG_LOG_ERROR, on_log, NULL);
	start(&s, NIC, "ways foreign", 0, 1);
	status = wait_for(&s);
	done(&s);
	if (status == 128 + SIGSEGV)
		harness_skip("this kernel has no 32-bit calls");
	ck_assert_int_eq(status, 128 + SIGKILL);
	ck_assert_ptr_nonnull(strstr(last_log, "32-bit system calls"));
}

static atomic_int n_come;
static sem_t all_have_come;

#define BESIDE 20

static int wait_for_all(void *opaque, enum vmig_kabi_fault where, uint32_t from, uint32_t to, uint64_t bytes)
{
	if (where != VMIG_KABI_FAULT_RESET)
		return 0;
	if (atomic_fetch_add(&n_come, 1) + 1 == BESIDE)
		sem_post(&all_have_come);
	while (sem_wait(&all_have_come))
		;
	sem_post(&all_have_come);
	return 0;
}

TEST(a_call_that_takes_long_holds_up_no_other)
{
	sem_init(&all_have_come, 0, 0);
	next_fault = wait_for_all;
	run("ways beside");
	ck_assert_int_ge(n_come, BESIDE);
	sem_destroy(&all_have_come);
}

static sem_t is_stuck, go_on;

static int get_stuck(void *opaque, enum vmig_kabi_fault where, uint32_t from, uint32_t to, uint64_t bytes)
{
	if (where != VMIG_KABI_FAULT_RESET)
		return 0;
	sem_post(&is_stuck);
	while (sem_wait(&go_on))
		;
	sem_post(&go_on);
	return 0;
}

TEST(a_program_that_is_killed_in_a_call_ends_at_once)
{
	struct supervised s;

	need_supervision();
	sem_init(&is_stuck, 0, 0);
	sem_init(&go_on, 0, 0);
	next_fault = get_stuck;
	start(&s, NIC, "ways stuck", 0, 1);
	while (sem_wait(&is_stuck))
		;
	kill(s.pid, SIGKILL);
	ck_assert_int_eq(wait_for(&s), 128 + SIGKILL);
	sem_post(&go_on);
	done(&s);
	ck_assert_uint_eq(s.status.opened, 0);
	sem_destroy(&is_stuck);
	sem_destroy(&go_on);
}

static void start_hanging(struct supervised *s)
{
	char byte;
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	start(s, NIC, "hang", 0, fds[1]);
	ck_assert_int_eq(read(fds[0], &byte, 1), 1);
	close(fds[0]);
}

static uint32_t opened(const struct supervised *s)
{
	return __atomic_load_n(&s->status.opened, __ATOMIC_RELAXED);
}

TEST(what_a_killed_program_had_open_is_closed)
{
	struct supervised s;

	need_supervision();
	start_hanging(&s);
	ck_assert_uint_eq(opened(&s), 1);
	kill(s.pid, SIGKILL);
	ck_assert_int_eq(wait_for(&s), 128 + SIGKILL);
	/* Nobody calls any more: it is seen by itself. */
	while (opened(&s))
		usleep(1000);
	done(&s);
}

TEST(the_supervisor_may_go_before_the_program)
{
	struct supervised s;

	need_supervision();
	start_hanging(&s);
	vmig_supervise_free(s.sv);
	s.sv = NULL;
	ck_assert_uint_eq(s.status.opened, 0);
	kill(s.pid, SIGKILL);
	wait_for(&s);
	done(&s);
}

/* --- entering ----------------------------------------------------------------------------- */

TEST(works_without_privilege)
{
	if (!geteuid()) {
		kept_client = open(getenv("CLIENT"), O_PATH | O_CLOEXEC);
		ck_assert_int_ge(kept_client, 0);
		ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
		/* Whoever changes users may not be looked at, not even by itself. */
		ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
	}
	run("-p drive");
	run("fds dup");
	migrate("v1+" NIC, "save-v1", "-p load-v1");
	if (kept_client >= 0)
		close(kept_client);
}

TEST(a_child_that_does_not_enter_is_noticed)
{
	struct supervised s = { 0 };
	struct vmig_supervise *sv = NULL;
	int pair[2];

	open_device(&s, NIC);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	close(pair[1]);
	ck_assert_int_eq(vmig_supervise_new(s.kabi, pair[0], &sv), -ECONNRESET);
	close(pair[0]);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(write(pair[1], "x", 1), 1);
	ck_assert_int_eq(vmig_supervise_new(s.kabi, pair[0], &sv), -EPROTO);
	close(pair[0]);
	close(pair[1]);
	done(&s);
}

TEST(a_low_limit_of_open_files_is_refused)
{
	struct rlimit limit = { VMIG_SUPERVISE_FD_END - 1, VMIG_SUPERVISE_FD_END - 1 };

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (!geteuid()) {
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
		ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
	}
	ck_assert_int_eq(vmig_supervise_check(), -EMFILE);
}

TEST(a_process_that_may_not_be_looked_at_is_refused)
{
	if (!geteuid()) {
		ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	}
	ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 0), 0);
	ck_assert_int_lt(vmig_supervise_check(), 0);
}

TEST(a_supervised_process_cannot_supervise)
{
	int pair[2], status;
	pid_t pid;

	need_supervision();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		if (vmig_supervise_enter(pair[1]))
			_exit(100);
		_exit(-vmig_supervise_enter(pair[1]));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), EBUSY);
	close(pair[0]);
	close(pair[1]);
}

HARNESS("kernel-abi-seccomp", T(drives_a_nic_in_shared_memory), T(drives_a_nic_in_memory_of_its_own),
	T(drives_a_nic_by_iommufd), T(migrates_by_v2), T(migrates_by_v1), T(knows_copies_of_descriptors),
	T(close_waits_for_the_device), T(a_child_has_what_its_parent_opened),
	T(a_daemon_has_what_its_parent_opened), T(exec_closes_what_is_close_on_exec),
	T(answers_every_call_on_a_device), T(leaves_other_files_alone), T_SLOW(many_threads_at_once, 60),
	T(signals_do_not_disturb_a_call), T(filters_of_its_own_do_no_harm), T(memory_may_go_under_the_device),
	T(x32_calls_do_not_exist), T(a_foreign_call_ends_the_program_in_words),
	T(a_call_that_takes_long_holds_up_no_other), T(a_program_that_is_killed_in_a_call_ends_at_once),
	T(what_a_killed_program_had_open_is_closed), T(the_supervisor_may_go_before_the_program),
	T(works_without_privilege), T(a_child_that_does_not_enter_is_noticed),
	T(a_low_limit_of_open_files_is_refused), T(a_process_that_may_not_be_looked_at_is_refused),
	T(a_supervised_process_cannot_supervise))
