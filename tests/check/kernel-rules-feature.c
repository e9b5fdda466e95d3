/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of VFIO_DEVICE_FEATURE, and of the log of DMA by it. */
#include <errno.h>
#include <unistd.h>

#include "kernel-rule.h"

#define HEAD 8u

/* --- the log ---------------------------------------------------------------------------------------------- */

#define START  VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START
#define REPORT VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT

static bool is_report(unsigned long request, void *arg)
{
	return kernel_is(kernel_feature_of(request, arg), REPORT, GET);
}

static int log_without_report(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return is_report(request, arg) ? kernel_mutant_error(EOPNOTSUPP)
				       : kernel_good_ioctl(m, fd, request, arg);
}

static int second_start_succeeds(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	int r = kernel_good_ioctl(m, fd, request, arg);

	return r < 0 && errno == EBUSY && kernel_is(kernel_feature_of(request, arg), START, SET) ? 0 : r;
}

/* As mtty. */
static int reports_none(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	const struct feature_arg *f = kernel_feature_of(request, arg);
	bool page = is_report(request, arg) && f->words[2] == 4096;
	int r = kernel_good_ioctl(m, fd, request, arg);

	return r < 0 && page ? 0 : r;
}

static int reports_odd_pages(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	const struct feature_arg *f = kernel_feature_of(request, arg);
	bool odd = is_report(request, arg) && f->words[2] == 3 * 4096;

	return odd ? 0 : kernel_good_ioctl(m, fd, request, arg);
}

/* Refused, but it runs. */
static int starts_without_ranges(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	const struct feature_arg *f = kernel_feature_of(request, arg);
	bool none = kernel_is(f, START, SET) && !(uint32_t)f->words[1] && f->argsz == HEAD + 24;
	int r = m->n && kernel_is(f, START, SET) ? kernel_mutant_error(EBUSY)
						 : kernel_good_ioctl(m, fd, request, arg);

	m->n |= none;
	return r;
}

static int takes_any_range(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	const struct feature_arg *f = kernel_feature_of(request, arg);
	bool some = kernel_is(f, START, SET) && (uint32_t)f->words[1] == 2;
	int r = kernel_good_ioctl(m, fd, request, arg);

	return r < 0 && some && errno == EINVAL ? 0 : r;
}

static int half_a_page_of_ranges(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	const struct feature_arg *f = kernel_feature_of(request, arg);
	bool many = kernel_is(f, START, SET) && (uint32_t)f->words[1] > sysconf(_SC_PAGESIZE) / 32;

	return many ? kernel_mutant_error(E2BIG) : kernel_good_ioctl(m, fd, request, arg);
}

/* --- PROBE, GET and SET ------------------------------------------------------------------------------------ */

static bool probes(const struct feature_arg *f)
{
	return f && (f->flags & PROBE);
}

static int probe_allows_all(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	int r = kernel_good_ioctl(m, fd, request, arg);

	/* But not what is not there. */
	return r < 0 && errno == EINVAL && probes(kernel_feature_of(request, arg)) ? 0 : r;
}

static int probe_denies_set(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	const struct feature_arg *f = kernel_feature_of(request, arg);

	return probes(f) && (f->flags & SET) ? kernel_mutant_error(EINVAL)
					     : kernel_good_ioctl(m, fd, request, arg);
}

static int probe_wants_data(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	const struct feature_arg *f = kernel_feature_of(request, arg);
	bool bare = probes(f) && (f->flags & (GET | SET)) && f->argsz == HEAD;

	return bare ? kernel_mutant_error(EINVAL) : kernel_good_ioctl(m, fd, request, arg);
}

static int probe_finds_anything(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	int r = kernel_good_ioctl(m, fd, request, arg);

	return r < 0 && errno == ENOTTY && probes(kernel_feature_of(request, arg)) ? 0 : r;
}

static int get_and_set(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return kernel_is(kernel_feature_of(request, arg), STATE, GET | SET)
		       ? 0
		       : kernel_good_ioctl(m, fd, request, arg);
}

static int no_method(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return kernel_is(kernel_feature_of(request, arg), STATE, 0) ? 0
								    : kernel_good_ioctl(m, fd, request, arg);
}

static int sets_what_is_got(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return kernel_is(kernel_feature_of(request, arg), VMIG_UAPI_DEVICE_FEATURE_MIG_DATA_SIZE, SET)
		       ? 0
		       : kernel_good_ioctl(m, fd, request, arg);
}

static int ignores_flags(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct feature_arg *f = kernel_feature_of(request, arg);

	if (f)
		f->flags &= PROBE * 2 - 1;
	return kernel_good_ioctl(m, fd, request, arg);
}

/* --- argsz -------------------------------------------------------------------------------------------------- */

static int short_get(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct feature_arg *f = kernel_feature_of(request, arg);

	if (kernel_is(f, VMIG_UAPI_DEVICE_FEATURE_MIGRATION, GET) && f->argsz == HEAD)
		f->argsz += 8;
	return kernel_good_ioctl(m, fd, request, arg);
}

/* Refused, but it was done before that was seen. */
static int short_set(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct feature_arg *f = kernel_feature_of(request, arg);

	if (kernel_is(f, STATE, SET) && f->argsz == HEAD + 4)
		kernel_good_set(m, fd, f->state.device_state);
	return kernel_good_ioctl(m, fd, request, arg);
}

static int refuses_longer(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	const struct feature_arg *f = kernel_feature_of(request, arg);

	return kernel_is(f, STATE, GET) && f->argsz > HEAD + 8 ? kernel_mutant_error(EINVAL)
							       : kernel_good_ioctl(m, fd, request, arg);
}

const struct kernel_rule kernel_rules_feature[] = {
	{ "log-without-report", .ioctl = log_without_report },
	{ "second-start-succeeds", .ioctl = second_start_succeeds },
	{ "reports-none", .ioctl = reports_none },
	{ "reports-odd-pages", .ioctl = reports_odd_pages },
	{ "half-a-page-of-ranges", .ioctl = half_a_page_of_ranges },
	{ "starts-without-ranges", .ioctl = starts_without_ranges },
	{ "takes-any-range", .ioctl = takes_any_range },
	{ "probe-allows-all", .ioctl = probe_allows_all },
	{ "probe-denies-set", .ioctl = probe_denies_set },
	{ "probe-wants-data", .ioctl = probe_wants_data },
	{ "probe-finds-anything", .ioctl = probe_finds_anything, .spec = "nic,state=16K" },
	{ "get-and-set", .ioctl = get_and_set },
	{ "no-method", .ioctl = no_method },
	{ "sets-what-is-got", .ioctl = sets_what_is_got },
	{ "ignores-flags", .ioctl = ignores_flags },
	{ "short-get", .ioctl = short_get },
	{ "short-set", .ioctl = short_set },
	{ "refuses-longer", .ioctl = refuses_longer },
	{ 0 },
};
