/* SPDX-License-Identifier: BSD-3-Clause */
/* One check in a process of its own: what it says is in memory that it shares; what does not end in time hangs. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/kernel.h"
#include "v1/v1.h"
#include "left.h"
#include "output.h"

#define DEFAULT_TIMEOUT_MS 20000u
#define CLOSE_MS           5000 /* to let go of the device, when the result is there */

static const char *const names[CHECK_VERDICTS] = {
	[CHECK_PASS] = "pass",
	[CHECK_FAIL] = "fail",
	[CHECK_NOT_APPLICABLE] = "not applicable",
	[CHECK_SKIPPED] = "skipped",
	[CHECK_OBSERVATION] = "observation",
	[CHECK_HANG] = "hang",
	[CHECK_ERROR] = "error",
};

const char *check_verdict_name(enum check_verdict verdict)
{
	return (unsigned int)verdict < CHECK_VERDICTS ? names[verdict] : "?";
}

/* --- in the process of the check -------------------------------------------------------------- */

static const struct need {
	uint32_t bit;
	const char *lacks;
} needs[] = {
	{ CHECK_NEEDS_PRE_COPY, "the device has no PRE_COPY" },
	{ CHECK_NEEDS_P2P, "the device has no P2P" },
	{ CHECK_NEEDS_RESET, "the device has no reset" },
	{ CHECK_NEEDS_LOG, "the device has no DMA log of its own" },
	{ CHECK_NEEDS_SIZE, "the device does not tell the size of its state" },
	{ CHECK_NEEDS_INFO, "the device does not tell the sizes of pre-copy" },
	{ CHECK_NEEDS_ENOMSG, "the way to the device does not show the difference between 0 and ENOMSG" },
	{ CHECK_NEEDS_V2, "the device is driven by v1" },
	{ CHECK_NEEDS_PCI, "it is no PCI device" },
	{ CHECK_NEEDS_VALIDATES, "the device validates only when it runs (v1)" },
};

static uint32_t has_of(const struct vmig_device_info *info)
{
	uint32_t has = 0;

	has |= info->migration_flags & VMIG_MIGRATION_PRE_COPY ? CHECK_NEEDS_PRE_COPY : 0;
	has |= info->migration_flags & VMIG_MIGRATION_P2P ? CHECK_NEEDS_P2P : 0;
	has |= info->flags & VMIG_DEVICE_FLAG_RESET ? CHECK_NEEDS_RESET : 0;
	has |= info->has & VMIG_HAS_DMA_LOG ? CHECK_NEEDS_LOG : 0;
	has |= info->has & VMIG_HAS_STOP_COPY_SIZE ? CHECK_NEEDS_SIZE : 0;
	has |= info->has & VMIG_HAS_PRECOPY_INFO ? CHECK_NEEDS_INFO : 0;
	has |= info->traits & (VMIG_TRAIT_ZERO_IS_DRAINED | VMIG_TRAIT_SHORT_READ_ENDS) ? 0
											: CHECK_NEEDS_ENOMSG;
	has |= info->traits & VMIG_TRAIT_TRANSACTION_SIZES ? 0 : CHECK_NEEDS_V2;
	has |= info->flags & VMIG_DEVICE_FLAG_PCI ? CHECK_NEEDS_PCI : 0;
	has |= info->traits & VMIG_TRAIT_LATE_VALIDATION ? 0 : CHECK_NEEDS_VALIDATES;
	return has;
}

/* What is not the device's to have. */
static void look_at_leave(struct check_context *c, const struct check *check)
{
	if ((check->needs & CHECK_NEEDS_SECOND) && !c->target->has_second)
		check_end(c, CHECK_SKIPPED, "", "there is no second device (--second)");
	if ((check->needs & CHECK_NEEDS_TOUCH) && !c->target->touch)
		check_end(c, CHECK_SKIPPED, "", "nobody has said which register may be written to (--touch)");
	if ((check->needs & CHECK_NEEDS_ASKED) && c->target->kernel)
		check_end(c, CHECK_NOT_APPLICABLE, "",
			  "the library answers this itself, without asking a kernel's driver");
	if ((check->needs & CHECK_NEEDS_WORK) && (!c->target->driver || !c->target->driver->drives(c->dev)))
		check_end(c, CHECK_SKIPPED, "", "nobody here has a driver for this device");
	if ((check->needs & CHECK_NEEDS_DAMAGE) && c->target->kernel && !c->target->dangerous)
		check_end(c, CHECK_SKIPPED, "",
			  "bad data might crash the host of a kernel driver (--dangerous)");
	if ((check->needs & CHECK_NEEDS_DANGEROUS) && !c->target->dangerous)
		check_end(c, CHECK_SKIPPED, "", "it might bring down who shows the device (--dangerous)");
}

static void look_at_needs(struct check_context *c, const struct check *check)
{
	uint32_t has = has_of(&c->info);

	if (!(c->info.migration_flags & VMIG_MIGRATION_STOP_COPY) && check->run != check_flags)
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device does not migrate");
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if ((check->needs & needs[i].bit) && !(has & needs[i].bit))
			check_end(c, CHECK_NOT_APPLICABLE, "", "%s", needs[i].lacks);
	look_at_leave(c, check);
}

/* What it holds may be the only complete state of a device that was migrated. */
static void look_at_tag(struct check_context *c)
{
	char text[VMIG_UUID_TEXT_MAX];
	struct vmig_tag tag;

	if (!c->target->dangerous && !vmig_device_query_tag(c->dev, &tag) &&
	    !vmig_uuid_is_none(&tag.identity))
		check_end(c, CHECK_ERROR, "a device that holds nobody's state",
			  "it holds the state of %s, which would be lost (--dangerous)",
			  vmig_uuid_text(&tag.identity, text));
}

static void open_handle(struct check_context *c, const struct check *check)
{
	const struct check_target *t = c->target;
	char why[CHECK_TEXT_MAX] = "";

	if (t->open(t->opaque, false, &c->dev, why, sizeof(why)))
		check_end(c, CHECK_ERROR, "a device that can be opened", "%s", why);
	vmig_device_set_timeout(c->dev, 0);
	vmig_device_query_info(c->dev, &c->info);
	c->result->features = c->info.migration_flags;
	look_at_needs(c, check);
	look_at_tag(c);
	if (c->info.migration_flags & VMIG_MIGRATION_STOP_COPY)
		check_to_running(c, c->dev);
}

static void open_bare(struct check_context *c, const struct check *check)
{
	const uint32_t way = check->needs & CHECK_BY_ALL;
	const struct check_target *t = c->target;
	char why[CHECK_TEXT_MAX] = "";
	int r = 0;

	if (way == CHECK_BY_KERNEL && t->open_kernel)
		r = t->open_kernel(t->opaque, false, &c->kernel, why, sizeof(why));
	else if (way == CHECK_BY_REGION && t->open_region)
		r = t->open_region(t->opaque, false, &c->dev, why, sizeof(why));
	else if (way == CHECK_BY_SOCKET && t->open_socket)
		r = t->open_socket(t->opaque, &c->socket, why, sizeof(why));
	else
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device is not reached by %s",
			  way == CHECK_BY_KERNEL   ? "the kernel's interface"
			  : way == CHECK_BY_REGION ? "a migration region of v1"
						   : "vfio-user");
	if (r)
		check_end(c, CHECK_ERROR, "a device that can be opened", "%s", why);
	if (way == CHECK_BY_KERNEL) {
		kernel_look(c);
		look_at_needs(c, check);
	}
	if (!c->dev)
		return;
	c->region = true;
	vmig_device_set_timeout(c->dev, 0);
	vmig_device_query_info(c->dev, &c->info);
	look_at_leave(c, check);
	look_at_tag(c);
}

static void do_check(struct check_context *c, const struct check *check)
{
	if (setjmp(c->end))
		return;
	check_did(c, "opened the device");
	if (check->needs & CHECK_BY_ALL)
		open_bare(c, check);
	else
		open_handle(c, check);
	snprintf(c->result->expected, sizeof(c->result->expected), "%s", check->about);
	check->run(c);
	c->result->verdict = CHECK_PASS;
	snprintf(c->result->saw, sizeof(c->result->saw), "that");
}

/* As it was found, as far as can be, for the next one: a device may keep its state across users. */
static void put_back(struct check_context *c, struct vmig_device *dev)
{
	if (setjmp(c->end))
		return;
	if (c->region)
		check_v1_put_back(c);
	else if (c->info.migration_flags & VMIG_MIGRATION_STOP_COPY)
		check_to_running(c, dev);
}

static void leave(struct check_context *c)
{
	if (c->dev)
		put_back(c, c->dev);
	if (c->second && !c->region)
		put_back(c, c->second);
	if (c->work)
		c->target->driver->end(c->work);
	if (c->kernel.calls)
		kernel_leave(c);
	vmig_space_free(c->space);
	vmig_device_close(c->second);
	vmig_device_close(c->dev);
}

__attribute__((noreturn)) static void child(const struct check_target *target, const struct check *check,
					    struct check_result *result, uint64_t begun_ns, int fd)
{
	static struct check_result after;
	static struct check_context c; /* survives longjmp() */

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	c = (struct check_context){ .target = target,
				    .kernel = { -1, -1, -1, -1, NULL },
				    .socket = -1,
				    .result = result,
				    .begun_ns = begun_ns,
				    .at = VMIG_STATE_NONE,
				    .second_at = VMIG_STATE_NONE };
	do_check(&c, check);
	/* Before the device is let go of: if that hangs, the result is known, and stays. */
	c.result = &after;
	if (write(fd, "", 1) != 1)
		_exit(1);
	leave(&c);
	_exit(0);
}

/* --- in the caller's --------------------------------------------------------------------------- */

static bool comes(int fd, int timeout_ms)
{
	uint64_t end = check_now_ns() + (uint64_t)timeout_ms * 1000000;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		uint64_t now = check_now_ns();
		int r = now < end ? poll(&p, 1, (int)((end - now) / 1000000) + 1) : 0;

		if (r >= 0 || errno != EINTR)
			return r > 0;
	}
}

static void died(struct check_result *ret, int status)
{
	ret->verdict = CHECK_ERROR;
	if (WIFSIGNALED(status))
		snprintf(ret->saw, sizeof(ret->saw), "the process of the check was killed by signal %d",
			 WTERMSIG(status));
	else
		snprintf(ret->saw, sizeof(ret->saw), "the process of the check ended with status %d",
			 WEXITSTATUS(status));
}

/* A process that is in the kernel for ever cannot be killed: it is left. False then. */
static bool end_child(pid_t pid, int *ret_status)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	kill(pid, SIGKILL);
	for (int i = 0; i < 1000; i++) {
		if (waitpid(pid, ret_status, WNOHANG) == pid)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static void wait_for(pid_t pid, int *ret_status)
{
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
}

/* Until its end. @left is what it has left by then. */
static void watch(const struct check_target *target, pid_t pid, int fd, uint64_t begun_ns,
		  const struct check_result *left, struct check_result *ret)
{
	int timeout = (int)(target->timeout_ms ? target->timeout_ms : DEFAULT_TIMEOUT_MS), status = 0;
	bool in_time = comes(fd, timeout), done, lost = false;
	char byte;

	done = in_time && read(fd, &byte, 1) == 1;
	/* The end of the pipe is the end of the process. */
	if (in_time && (!done || (comes(fd, CLOSE_MS) && !read(fd, &byte, 1))))
		wait_for(pid, &status);
	else
		lost = !end_child(pid, &status);
	check_left_take(left, check_now_ns() - begun_ns, ret);
	ret->lost = lost;
	if (!in_time) {
		ret->verdict = CHECK_HANG;
		snprintf(ret->saw, sizeof(ret->saw), "no end within %d ms%s", timeout,
			 lost ? ", and its process cannot be killed" : "");
	} else if (!done) {
		died(ret, status);
	}
}

static void run_in_child(const struct check_target *target, const struct check *check,
			 struct check_result *left, const int fds[2], struct check_result *ret)
{
	uint64_t begun_ns = check_now_ns();
	int output = check_output_new();
	pid_t pid;

	left->verdict = CHECK_ERROR;
	snprintf(left->expected, sizeof(left->expected), "%s", check->about);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		close(fds[0]);
		check_output_take(output);
		child(target, check, left, begun_ns, fds[1]);
	}
	close(fds[1]);
	if (pid < 0)
		snprintf(ret->saw, sizeof(ret->saw), "fork: %s", strerror(errno));
	else
		watch(target, pid, fds[0], begun_ns, left, ret);
	close(fds[0]);
	check_output_give(output);
}

void check_run(const struct check_target *target, const struct check *check, struct check_result *ret)
{
	struct check_result *left = check_left_new();
	uint64_t begun_ns = check_now_ns();
	int fds[2];

	*ret = (struct check_result){ .verdict = CHECK_ERROR };
	if (!left || pipe(fds))
		snprintf(ret->saw, sizeof(ret->saw), "a pipe or memory for the check: %s", strerror(errno));
	else
		run_in_child(target, check, left, fds, ret);
	check_left_free(left);
	ret->ns = check_now_ns() - begun_ns;
}

/* --- by clause --------------------------------------------------------------------------------- */

static bool cites(const struct check *check, const char *clause)
{
	for (int i = 0; i < CHECK_CLAUSES_MAX && check->clauses[i]; i++)
		if (!strcmp(check->clauses[i], clause))
			return true;
	return false;
}

bool check_clause_has_check(const struct check_clause *clause)
{
	for (const struct check *check = check_table; check->id; check++)
		if (cites(check, clause->id))
			return true;
	return false;
}

enum check_verdict check_clause_verdict(const struct check_clause *clause, const struct check_result *results)
{
	static const int weight[CHECK_VERDICTS] = {
		[CHECK_SKIPPED] = 0, [CHECK_NOT_APPLICABLE] = 1, [CHECK_PASS] = 2, [CHECK_OBSERVATION] = 3,
		[CHECK_ERROR] = 4,   [CHECK_HANG] = 5,           [CHECK_FAIL] = 6
	};
	enum check_verdict worst = CHECK_SKIPPED;

	for (size_t i = 0; check_table[i].id; i++)
		if (cites(&check_table[i], clause->id) && weight[results[i].verdict] > weight[worst])
			worst = results[i].verdict;
	return worst;
}
