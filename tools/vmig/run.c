/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run-program.h"
#include "run-words.h"
#include "run.h"

/* --- the words in braces --------------------------------------------------------------------- */

static uint32_t n_of(const struct run *run)
{
	return run->shared->n_devices;
}

/* The descriptor that stands for @path; it is passed from now on. */
static int passed(struct run *run, const char *path)
{
	struct run_shared *shared = run->shared;
	uint32_t i;

	for (i = 0; i < shared->n_passed; i++)
		if (!strcmp(shared->passed[i].path, path))
			return shared->passed[i].fd;
	if (i == RUN_PASSED_MAX)
		return -E2BIG;
	snprintf(shared->passed[i].path, sizeof(shared->passed[i].path), "%s", path);
	shared->passed[i].fd = run->way->first_fd + (int)i;
	shared->n_passed = i + 1;
	return shared->passed[i].fd;
}

static int word_value(void *opaque, enum run_word kind, uint32_t number, char ret[RUN_WORD_MAX])
{
	struct run *run = opaque;
	char path[64] = "/dev/iommu";
	int fd;

	if (number >= n_of(run))
		return -ENODEV;
	if (kind == RUN_WORD_FOLDER) {
		run_folder_device(run, number, ret);
		return 0;
	}
	if (kind == RUN_WORD_CDEV)
		snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u", number);
	fd = passed(run, path);
	if (fd >= 0)
		snprintf(ret, RUN_WORD_MAX, "%d", fd);
	return fd < 0 ? fd : 0;
}

int run_words(struct run *run)
{
	char **words = run->o->words + run->o->n_before_command;
	int n = run->o->n_words - run->o->n_before_command, r;

	run->command = calloc((size_t)n + 1, sizeof(*run->command));
	for (int i = 0; i < n && run->command; i++) {
		r = run_word_replace(words[i], word_value, run, &run->command[i]);
		if (r == -ENODEV)
			return tool_fail(VMIG_BAD_INPUT, "'%s': there are only the devices 0 to %u", words[i],
					 n_of(run) - 1);
		if (r)
			return tool_fail(VMIG_NOT_DONE, "'%s': %s", words[i], strerror(-r));
	}
	return run->command ? 0 : tool_fail(VMIG_NOT_DONE, "%s", strerror(ENOMEM));
}

static bool names_device(const struct run *run)
{
	for (int i = 0; run->command[i]; i++)
		if (strcmp(run->command[i], run->o->words[run->o->n_before_command + i]) != 0)
			return true;
	return false;
}

/* The command does not name a device in our words: perhaps it opens /dev/vfio by itself, perhaps this was forgotten. */
static void say_options(const struct run *run)
{
	char path[PATH_MAX];

	if (names_device(run) || tool_say_quiet())
		return;
	for (uint32_t i = 0; i < n_of(run); i++) {
		run_folder_device(run, i, path);
		fprintf(stderr, "vmig run: %s is /dev/vfio/%u; for QEMU: -device vfio-pci,sysfsdev=%s\n",
			run->shared->devices[i].spec, RUN_GROUP + i, path);
	}
}

/* --- the verb -------------------------------------------------------------------------------- */

static int check_words(const struct tool_options *o, struct run *run)
{
	if (o->n_before_command < 0 || o->n_before_command == o->n_words)
		return tool_fail(VMIG_BAD_INPUT,
				 "no command: write it after '--', as in vmig run --device nic -- qemu...");
	if (o->n_before_command == 0)
		return tool_fail(VMIG_BAD_INPUT, "no device: say --device DEVICE before '--'");
	if (o->name && !run_name_is_good(o->name))
		return tool_fail(VMIG_BAD_INPUT,
				 "--name: '%s' is not 1 to %d letters, digits, '.', '_' or '-'", o->name,
				 RUN_NAME_MAX);
	if (o->name)
		snprintf(run->name, sizeof(run->name), "%s", o->name);
	else
		snprintf(run->name, sizeof(run->name), "%d", (int)getpid());
	return 0;
}

static int find_program(struct run *run)
{
	const char *name = run->o->words[run->o->n_before_command];

	run->program = run_program_find(name);
	if (run->program)
		return 0;
	return tool_fail(errno == ENOENT ? 127 : 126, "%s: cannot be run: %s", name,
			 errno == ENOENT ? "not found" : strerror(errno));
}

static int prepare(struct run *run)
{
	int r = find_program(run);

	r = r ? r : run_folder_make(run);
	r = r ? r : run_plan(run);
	r = r ? r : run_folder_add_devices(run);
	r = r ? r : run_way_choose(run);
	return r ? r : run_words(run);
}

static void done(struct run *run)
{
	for (int i = 0; run->command && run->command[i]; i++)
		free(run->command[i]);
	free(run->command);
	free(run->program);
	run_folder_remove(run);
}

int run_whole(struct run *run)
{
	int r;

	run->lock_fd = -1;
	r = check_words(run->o, run);
	if (r)
		return r;
	r = prepare(run);
	if (!r) {
		say_options(run);
		r = run_child(run);
	}
	done(run);
	return r;
}

static int verb_run(const struct tool_options *o)
{
	struct run run = { .o = o };

	return run_whole(&run);
}

static void print_ways(FILE *to)
{
	fprintf(to, "\nways in (--intercept):\n  %-22s the first of these that can serve the command\n",
		"auto");
	for (size_t i = 0; run_ways[i]; i++)
		fprintf(to, "  %-22s %s\n", run_ways[i]->name, run_ways[i]->about);
}

const struct tool_verb tool_run = {
	.name = "run",
	.words = "--device D... -- COMMAND...",
	.about = "a command that finds devices at its /dev/vfio",
	.more = "COMMAND, a VMM that was not changed in any way, finds the devices where the kernel would "
		"show them: "
		"the first\n"
		"in group /dev/vfio/90, the next in 91, and so on; also as cdevs, with iommufd. It needs no "
		"privilege, no\n"
		"kernel module and no hardware. A DEVICE is as elsewhere, and what is none is a MODEL: "
		"nic,state=1G.\n"
		"\n"
		"In COMMAND, {} is the folder for QEMU's sysfsdev= of the first device, {N} that of device "
		"N;\n"
		"{iommufd}, {cdev} and {cdevN} are the numbers of open descriptors, for QEMU's fd=.\n"
		"\n"
		"'vmig info run:NAME' shows the devices meanwhile, 'vmig trace run:NAME' every call. It "
		"lasts until "
		"the command\n"
		"and all that it left behind have ended. Exit status: the command's; 126, 127: it cannot be "
		"run.",
	.example = "vmig run --device nic,state=1G -- qemu-system-x86_64 -device "
		   "vfio-pci,sysfsdev={},enable-migration=on ...",
	.options = TOOL_OPT_COMMAND | TOOL_OPT_QUIET | TOOL_OPT_SANDBOX,
	.min_words = 0,
	.run = verb_run,
	.print_more = print_ways,
};
