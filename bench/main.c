/* SPDX-License-Identifier: BSD-3-Clause */
/* bench [-v] [--json FILE] [--state MIB] [ROW] : measure all rows, or those whose name begins with ROW;
 * -v: every single measurement. */
#include "bench.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RESULTS_MAX 64
#define REPEAT_OFF  0.1 /* how far the limit may be from itself */

struct settings settings = { .state = 1024 * MIB };

static struct results {
	unsigned int n;
	struct result all[RESULTS_MAX];
} * results; /* shared by all processes; one runner at a time */

void die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fprintf(stderr, "bench: ");
	vfprintf(stderr, format, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	_exit(1);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool wanted(const char *name)
{
	return !settings.only || !strncmp(name, settings.only, strlen(settings.only)) ||
	       !strncmp(name, settings.only, strlen(name));
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(const double *values, size_t n)
{
	double sorted[2 * BENCH_ROUNDS];

	memcpy(sorted, values, n * sizeof(*values));
	qsort(sorted, n, sizeof(*sorted), compare);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static struct result *new_result(const char *name, const char *unit)
{
	struct result *r = &results->all[results->n];

	if (results->n == RESULTS_MAX)
		die("too many rows");
	results->n++;
	snprintf(r->name, sizeof(r->name), "%s", name);
	snprintf(r->unit, sizeof(r->unit), "%s", unit);
	return r;
}

static bool valid(const struct result *r)
{
	return r->alone || (r->repeat >= 1 - REPEAT_OFF && r->repeat <= 1 + REPEAT_OFF);
}

static bool good(const struct result *r)
{
	return !r->goal || (r->less_is_better ? r->ratio <= r->goal : r->ratio >= r->goal);
}

static void print(const struct result *r)
{
	char goal[32] = "";

	if (r->goal)
		snprintf(goal, sizeof(goal), "%s %.2f", r->less_is_better ? "<=" : ">=", r->goal);
	printf("%-24s %9.2f %9.2f %-5s %6.2f  %-8s", r->name, r->value, r->limit, r->unit, r->ratio, goal);
	if (r->alone)
		printf("        ");
	else
		printf("  %5.2f ", r->repeat);
	printf(" %s%s\n", valid(r) ? "" : "invalid: the limit does not repeat",
	       good(r) || !valid(r) ? "" : "misses");
	fflush(stdout);
}

void measure(const struct row *row, void *group)
{
	double limits[2 * BENCH_ROUNDS], candidates[BENCH_ROUNDS];
	double *before = limits, *after = limits + BENCH_ROUNDS;
	struct result *r;

	if (!wanted(row->name))
		return;
	row->limit(group); /* both have run once when the first round begins */
	row->candidate(group);
	for (int i = 0; i < BENCH_ROUNDS; i++) {
		before[i] = row->limit(group);
		candidates[i] = row->candidate(group);
		after[i] = row->limit(group);
	}
	for (int i = 0; settings.verbose && i < BENCH_ROUNDS; i++)
		printf("  %-22s %9.2f %9.2f %9.2f\n", row->name, before[i], candidates[i], after[i]);
	r = new_result(row->name, row->unit);
	r->value = median(candidates, BENCH_ROUNDS);
	r->limit = median(limits, 2 * BENCH_ROUNDS);
	r->repeat = median(before, BENCH_ROUNDS) / median(after, BENCH_ROUNDS);
	r->ratio = r->value / r->limit;
	r->goal = row->goal;
	r->less_is_better = row->less_is_better;
	print(r);
}

void note_bound(const char *name, const char *unit, double value, double bound)
{
	struct result *r = new_result(name, unit);

	r->value = value;
	r->limit = bound;
	r->ratio = value / bound;
	r->goal = 1;
	r->less_is_better = true;
	r->alone = true;
	print(r);
}

void note_beside(const char *name, const char *unit, double value, double limit)
{
	struct result *r = new_result(name, unit);

	r->value = value;
	r->limit = limit;
	r->ratio = value / limit;
	r->alone = true;
	print(r);
}

/* Each group in a process of its own, which has all of its memory back afterwards. */
static bool run_group(void (*group)(void))
{
	int status;
	pid_t pid = CHECK_ERRNO(fork());

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		group();
		_exit(0);
	}
	CHECK_ERRNO(waitpid(pid, &status, 0));
	return !status;
}

static void write_json(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		die("%s: %m", path);
	fprintf(f, "[\n");
	for (unsigned int i = 0; i < results->n; i++) {
		const struct result *r = &results->all[i];

		fprintf(f,
			"  {\"name\": \"%s\", \"value\": %.4f, \"unit\": \"%s\", \"limit\": %.4f, \"ratio\": "
			"%.4f",
			r->name, r->value, r->unit, r->limit, r->ratio);
		if (r->goal)
			fprintf(f, ", \"goal\": %.2f, \"less_is_better\": %s", r->goal,
				r->less_is_better ? "true" : "false");
		if (!r->alone)
			fprintf(f, ", \"repeat\": %.4f, \"valid\": %s", r->repeat,
				valid(r) ? "true" : "false");
		fprintf(f, "}%s\n", i + 1 < results->n ? "," : "");
	}
	fprintf(f, "]\n");
	if (fclose(f))
		die("%s: %m", path);
}

static void usage(void)
{
	fprintf(stderr, "usage: bench [-v] [--json FILE] [--state MIB] [ROW]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static void (*const groups[])(void) = { bench_data, bench_tcp,     bench_many,  bench_chain,
						bench_tls,  bench_latency, bench_local, bench_memory };
	const char *json = NULL;
	bool whole = true;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json") && i + 1 < argc)
			json = argv[++i];
		else if (!strcmp(argv[i], "--state") && i + 1 < argc)
			settings.state = strtoull(argv[++i], NULL, 10) * MIB;
		else if (!strcmp(argv[i], "-v"))
			settings.verbose = true;
		else if (argv[i][0] != '-' && !settings.only)
			settings.only = argv[i];
		else
			usage();
	}
	if (!settings.state)
		usage();
	results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		die("no memory");
	printf("%-24s %9s %9s %-5s %6s  %-8s  %5s\n", "row", "vmig", "limit", "", "ratio", "goal", "repeat");
	fflush(stdout);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		whole = run_group(groups[i]) && whole;
	if (json)
		write_json(json);
	return whole ? 0 : 1;
}
