/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One scenario is a `vmig run` in a process of its own, in which the judge looks on. What it finds lies in memory that
 * both have; so a crash of what plays the devices is a result.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check-user.h"
#include "open.h"
#include "run.h"

/* Of the migration's flags; the kernel has three. */
#define FUTURE_FLAG (UINT64_C(1) << 40)

struct shared {
	bool ended, started, timed_out;
	int status;
	_Alignas(64) unsigned char judge[];
};

static bool fails(const struct user_report *report, const struct user_scenario *scenario, uint32_t device)
{
	bool is_source = device < report->n_devices / 2;

	if (!scenario->fault)
		return false;
	if (scenario->side == USER_ALL || report->n_devices == 1)
		return true;
	return is_source == (scenario->side == USER_SOURCE);
}

/* A model fails by itself, in the middle of a way; in front of another device the failure is of the whole call. */
static bool takes_fault(const char *device)
{
	return open_kind_of(device) == OPEN_MODEL || strcspn(device, ":") > strcspn(device, ",=");
}

static char *device_word(const char *device, const char *fault)
{
	char *word = NULL;

	if (asprintf(&word, "%s%s%s", device, fault ? ",fault=" : "", fault ? fault : "") < 0)
		return NULL;
	return word;
}

/* The words of a `vmig run`. They live as long as the process. */
static int make_options(const struct user_report *report, const struct user_scenario *scenario,
			struct tool_options *ret)
{
	uint32_t n_command = 0, n = 0;
	char **words;

	while (report->command[n_command])
		n_command++;
	words = calloc(report->n_devices + n_command + 1, sizeof(*words));
	if (!words)
		return -ENOMEM;
	*ret = *report->o;
	ret->n_faults = 0;
	for (uint32_t i = 0; i < report->n_devices; i++) {
		const char *device = report->devices[i];
		bool here = fails(report, scenario, i),
		     itself = takes_fault(device) &&
			      strncmp(scenario->fault ? scenario->fault : "", "report", 6) != 0;

		words[n] = device_word(device, here && itself ? scenario->fault : NULL);
		if (!words[n++])
			return -ENOMEM;
		if (here && !itself && ret->n_faults < TOOL_FAULTS_MAX) {
			ret->faults[ret->n_faults].text = scenario->fault;
			ret->faults[ret->n_faults++].n_before = (int)n;
		}
	}
	ret->n_before_command = (int)n;
	memcpy(words + n, report->command, n_command * sizeof(*words));
	ret->words = words;
	ret->n_words = (int)(n + n_command);
	return 0;
}

static void on_call(void *opaque, uint64_t number, const struct vmig_kabi_call *call)
{
	check_user_call(opaque, number, call);
}

static const char *trace_name(const struct user_report *report, const struct user_scenario *scenario)
{
	char *name = NULL;

	return asprintf(&name, "%s.%u", report->o->trace, (unsigned int)(scenario - report->scenarios)) < 0
		       ? NULL
		       : name;
}

/* In the process of the scenario. */
__attribute__((noreturn)) static void play(const struct user_report *report,
					   const struct user_scenario *scenario, struct shared *shared)
{
	struct check_user *judge = check_user_start(shared->judge);
	struct run_watch watch = { .call = on_call,
				   .opaque = judge,
				   .limit_ns = report->limit_ns,
				   .more_flags = scenario->future ? FUTURE_FLAG : 0 };
	struct tool_options o;
	struct run run = { .o = &o, .watch = &watch };
	int r = make_options(report, scenario, &o);

	/* Who ends the check ends the command, too: a run passes it on. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (r)
		_exit(tool_fail(VMIG_NOT_DONE, "%s", strerror(-r)));
	tool_say_begin("check", false, true);
	if (o.trace && report->n_scenarios > 1)
		o.trace = trace_name(report, scenario);
	/* Every access of a region is to be seen. */
	o.no_mmap = true;
	setenv("VMIG_CHECK_SCENARIO", scenario->name, 1);
	r = run_whole(&run);
	shared->status = r;
	shared->started = watch.started;
	shared->timed_out = watch.timed_out;
	check_user_end(judge, !watch.lost);
	shared->ended = true;
	_exit(0);
}

static void take_results(struct user_scenario *scenario, struct shared *shared, int wait_status)
{
	const struct check_user *judge = (const struct check_user *)(const void *)shared->judge;

	scenario->crashed = !shared->ended || !WIFEXITED(wait_status);
	scenario->hung = shared->timed_out;
	scenario->status = shared->status;
	if (scenario->crashed)
		return;
	scenario->sum = *check_user_sum(judge);
	for (uint32_t i = 0; check_user_rules[i].id; i++)
		scenario->results[i] = check_user_results(judge)[i];
}

int user_scenario_run(const struct user_report *report, struct user_scenario *scenario)
{
	size_t size = sizeof(struct shared) + check_user_size();
	struct shared *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, r;
	pid_t pid;

	if (shared == MAP_FAILED)
		return tool_fail(VMIG_BAD_INPUT, "no memory");
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return tool_fail(VMIG_BAD_INPUT, "no process: %m");
	if (!pid)
		play(report, scenario, shared);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	take_results(scenario, shared, status);
	r = scenario->crashed || shared->started ? 0 : shared->status;
	munmap(shared, size);
	return r;
}
