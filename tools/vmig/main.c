/* SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>
#include <string.h>

#include "tool.h"

static const struct tool_verb *const verbs[] = {
	&tool_serve, &tool_info,    &tool_save,    &tool_restore, &tool_migrate,
	&tool_send,  &tool_receive, &tool_inspect, &tool_plan,    &tool_compat,
	&tool_check, &tool_owner,   &tool_run,     &tool_trace,   NULL,
};

static const struct tool_verb *find_verb(const char *name)
{
	for (size_t i = 0; verbs[i]; i++)
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

static void print_usage(FILE *to)
{
	fprintf(to, "usage: vmig VERB [OPTION...] [WORD...]\n\nmoves a live VFIO device, and proves that it "
		    "arrived\n\n");
	for (size_t i = 0; verbs[i]; i++)
		fprintf(to, "  %-8s %-26s %s\n", verbs[i]->name, verbs[i]->words, verbs[i]->about);
	fprintf(to, "  %-8s %-26s %s\n", "help", "[VERB]", "this, or all about one verb");
	fprintf(to,
		"\nA DEVICE is one of\n"
		"  model:NAME[,KEY=VALUE...]  a reference device in this process: model:nic,state=1G\n"
		"  vfio-user:PATH             what listens on this UNIX socket\n"
		"  vfio:PATH                  a device of the kernel: /dev/vfio/devices/vfioN, or its folder "
		"in sysfs\n"
		"Sizes are 64K, 1G; times 50ms, 1s; rates 1G/s.\n"
		"\nExit status: 0 done; 1 it did not happen and the source still runs; 2 bad usage, or "
		"input\n"
		"that cannot be read; 3 in doubt; 4 it did not happen and the source does not run either.\n"
		"\n'vmig help VERB' has the options and an example; 'vmig --version' the version.\n");
}

static int print_verb(const struct tool_verb *verb)
{
	printf("usage: vmig %s [OPTION...] %s\n\n%s\n", verb->name, verb->words, verb->about);
	if (*verb->more)
		printf("\n%s\n", verb->more);
	printf("\noptions:\n");
	tool_options_print(verb, stdout);
	if (verb->print_more)
		verb->print_more(stdout);
	printf("\nexample:\n  %s\n", verb->example);
	return 0;
}

static int unknown_verb(const char *name)
{
	return tool_fail(VMIG_BAD_INPUT, "unknown verb '%s': 'vmig help' lists the verbs", name);
}

static int help(int argc, char **argv)
{
	const struct tool_verb *verb;

	if (argc == 0) {
		print_usage(stdout);
		return 0;
	}
	verb = find_verb(argv[0]);
	return verb ? print_verb(verb) : unknown_verb(argv[0]);
}

static int run(const struct tool_verb *verb, int argc, char **argv)
{
	struct tool_options options;
	int r;

	tool_say_begin(verb->name, false, false);
	r = tool_options_parse(verb, argc, argv, &options);
	if (r)
		return r;
	if (options.help)
		return print_verb(verb);
	if (options.n_words < verb->min_words)
		return tool_fail(VMIG_BAD_INPUT, "too few words: 'vmig %s %s', see 'vmig help %s'",
				 verb->name, verb->words, verb->name);
	tool_say_begin(verb->name, options.json, options.quiet);
	return verb->run(&options);
}

/* A pipe or a disk that is full is noticed at the latest here: a status of 0 would be a lie. */
static int flush_stdout(int status)
{
	if ((fflush(stdout) || ferror(stdout)) && !status)
		return tool_fail(VMIG_NOT_DONE, "standard output: cannot be written: %m");
	return status;
}

int main(int argc, char **argv)
{
	const struct tool_verb *verb;

	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		print_usage(stderr);
		return VMIG_BAD_INPUT;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("vmig %s\n", vmig_version());
		return flush_stdout(0);
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return flush_stdout(help(argc - 2, argv + 2));
	verb = find_verb(argv[1]);
	return verb ? flush_stdout(run(verb, argc - 2, argv + 2)) : unknown_verb(argv[1]);
}
