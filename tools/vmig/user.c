/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "models/workload.h"
#include "record.h"
#include "side.h"
#include "user.h"

#define NS_PER_S    1000000000ull
#define NS_PER_MS   1000000ull
#define NAP_NS      (50 * NS_PER_MS) /* how late Ctrl-C is noticed */
#define PATIENCE_NS (10 * NS_PER_S)  /* with a nic that worked before and sends nothing now */

/* The workloads of the nics, and their memory, which moves beside the devices. */
struct loads {
	struct vmig_space *space;
	uint32_t n;
	struct workload **of; /* one a device; NULL: not a nic */
	struct vmig_device *memory;
};

struct tool_user {
	struct vmig_device *const *devices;
	char *const *names;
	uint32_t n;
	struct loads *loads;         /* NULL: nobody drives anything */
	struct tool_record *configs; /* of the last quiesce: a stopped device must not be touched */
	bool *fresh; /* nothing was loaded for this nic: it is set up from nothing when it runs */
	int failed;  /* a workload could not go on: positive errno */
	char detail[256];
};

/* --- life ---------------------------------------------------------------------------------- */

static void free_loads(struct loads *loads)
{
	if (!loads)
		return;
	vmig_device_close(loads->memory);
	for (uint32_t i = 0; loads->of && i < loads->n; i++)
		workload_free(loads->of[i]);
	vmig_space_free(loads->space);
	free(loads->of);
	free(loads);
}

/* What the drivers have written themselves: each asks of one region, its own. */
static int on_dirty(void *opaque, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap)
{
	struct loads *loads = opaque;
	int r = -EINVAL;

	for (uint32_t i = 0; r && i < loads->n; i++)
		if (loads->of[i])
			r = workload_dirty(loads->of[i], iova, length, page_size, bitmap);
	return r;
}

/* The memory of all drivers as one device. */
static int make_memory(struct loads *loads, struct vmig_device *const *devices)
{
	struct vmig_memory_region *regions = calloc(loads->n, sizeof(*regions));
	struct vmig_device **driven = calloc(loads->n, sizeof(struct vmig_device *));
	struct vmig_memory_config config = {
		.regions = regions, .devices = driven, .dirty = on_dirty, .opaque = loads
	};
	int r = regions && driven ? 0 : -ENOMEM;

	for (uint32_t i = 0; !r && i < loads->n; i++) {
		if (!loads->of[i])
			continue;
		driven[config.n_devices++] = devices[i];
		r = workload_give_memory(loads->of[i], &regions[config.n_regions++]);
	}
	r = r ? r : vmig_memory_new(&config, &loads->memory);
	free(regions);
	free(driven);
	return r;
}

static int new_loads(const struct tool_user *user, struct loads **ret)
{
	struct loads *loads = calloc(1, sizeof(*loads));
	bool any = false;
	int r;

	if (!loads)
		return -ENOMEM;
	loads->n = user->n;
	loads->of = calloc(user->n, sizeof(struct workload *));
	r = loads->of ? vmig_space_new(&loads->space) : -ENOMEM;
	for (uint32_t i = 0; !r && i < user->n; i++) {
		if (!workload_drives(user->devices[i]))
			continue;
		any = true;
		r = workload_new(loads->space, &loads->of[i]);
	}
	if (!r && !any)
		r = -ENODEV;
	r = r ? r : make_memory(loads, user->devices);
	if (r)
		free_loads(loads);
	else
		*ret = loads;
	return r;
}

int tool_user_new(struct vmig_device *const *devices, char *const *names, uint32_t n, bool workload,
		  struct tool_user **ret)
{
	struct tool_user *user = calloc(1, sizeof(*user));
	int r = 0;

	if (!user)
		return tool_fail(VMIG_NOT_DONE, "out of memory");
	user->devices = devices;
	user->names = names;
	user->n = n;
	user->fresh = calloc(n, sizeof(bool));
	for (uint32_t i = 0; user->fresh && i < n; i++)
		user->fresh[i] = true;
	user->configs = calloc(n, sizeof(struct tool_record));
	if (!user->fresh || !user->configs)
		r = -ENOMEM;
	else if (workload)
		r = new_loads(user, &user->loads);
	if (!r) {
		*ret = user;
		return 0;
	}
	tool_user_free(user);
	if (r == -ENODEV)
		return tool_fail(
			VMIG_BAD_INPUT,
			"--workload: none of the devices is a nic, an accel or a vgpu, which it could drive");
	return tool_fail(VMIG_NOT_DONE, "--workload: cannot be made: %s", strerror(-r));
}

void tool_user_free(struct tool_user *user)
{
	if (!user)
		return;
	free_loads(user->loads);
	for (uint32_t i = 0; user->configs && i < user->n; i++)
		free(user->configs[i].bytes);
	free(user->configs);
	free(user->fresh);
	free(user);
}

struct vmig_device *tool_user_memory(const struct tool_user *user)
{
	return user->loads ? user->loads->memory : NULL;
}

const char *tool_user_detail(const struct tool_user *user)
{
	return user ? user->detail : "";
}

static struct workload *load_of(const struct tool_user *user, uint32_t i)
{
	return user->loads ? user->loads->of[i] : NULL;
}

__attribute__((format(printf, 3, 4))) static int fail(struct tool_user *user, int r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(user->detail, sizeof(user->detail), format, args);
	va_end(args);
	return r;
}

/* --- for the engine ------------------------------------------------------------------------ */

static int take_config(struct tool_user *user, uint32_t i)
{
	int r;

	free(user->configs[i].bytes);
	user->configs[i] = (struct tool_record){ 0 };
	r = tool_record_add_config(&user->configs[i], user->devices[i]);
	return r ? fail(user, r, "%s: its user's record cannot be made", user->names[i]) : 0;
}

static int pause_workload(struct tool_user *user, uint32_t i)
{
	int r = workload_quiesce(load_of(user, i));

	return r ? fail(user, r, "the workload failed before it was paused: %s", strerror(-r)) : 0;
}

static int on_quiesce(void *opaque)
{
	struct tool_user *user = opaque;
	int r = 0;

	for (uint32_t i = 0; !r && i < user->n; i++)
		r = load_of(user, i) ? pause_workload(user, i) : take_config(user, i);
	return r;
}

static void on_resume(void *opaque)
{
	struct tool_user *user = opaque;
	int r = 0;

	for (uint32_t i = 0; i < user->n; i++) {
		if (load_of(user, i))
			r = workload_resume(load_of(user, i));
		if (r)
			user->failed = -r;
	}
}

static int on_save_record(void *opaque, uint32_t i, void **ret, size_t *ret_len)
{
	struct tool_user *user = opaque;
	struct tool_record record = { 0 };
	size_t len = 0;
	void *bytes = NULL;
	int r;

	if (i >= user->n) /* memory has no user but those of the devices */
		return 0;
	if (load_of(user, i)) {
		r = workload_save(load_of(user, i), &bytes, &len);
		r = r ? r : tool_record_add(&record, TOOL_SECTION_WORKLOAD, bytes, len);
	} else {
		record = user->configs[i];
		user->configs[i] = (struct tool_record){ 0 };
		r = 0;
	}
	free(bytes);
	if (r) {
		free(record.bytes);
		return fail(user, r, "%s: its user's record cannot be made", user->names[i]);
	}
	*ret = record.bytes;
	*ret_len = record.len;
	return 0;
}

static int load_workload(struct tool_user *user, uint32_t i, const void *bytes, size_t len)
{
	int r;

	if (!load_of(user, i))
		return fail(user, -EOPNOTSUPP,
			    "%s: it was saved with a workload at work: say --workload here too",
			    user->names[i]);
	r = workload_load(load_of(user, i), user->devices[i], bytes, len);
	if (!r)
		workload_mark(load_of(user, i), WORKLOAD_DURING);
	user->fresh[i] = r != 0;
	return r ? fail(user, r, "%s: the workload does not take its record", user->names[i]) : 0;
}

static int on_load_record(void *opaque, uint32_t i, const void *record, size_t len)
{
	struct tool_user *user = opaque;
	const char *why;
	const void *bytes;
	size_t n;
	int r;

	if (!len)
		return 0;
	r = tool_record_find(record, len, TOOL_SECTION_WORKLOAD, &bytes, &n);
	if (r < 0)
		return fail(user, r, "%s: its user's record is not one of vmig's", user->names[i]);
	if (r)
		return load_workload(user, i, bytes, n);
	r = tool_record_find(record, len, TOOL_SECTION_CONFIG, &bytes, &n);
	if (r <= 0)
		return r;
	r = tool_record_load_config(bytes, n, user->devices[i], &why);
	return r ? fail(user, r, "%s: %s", user->names[i], why) : 0;
}

static int begin(struct tool_user *user, uint32_t i)
{
	int r = 0;

	if (user->fresh[i])
		r = workload_bind(load_of(user, i), user->devices[i]);
	return r ? r : workload_start(load_of(user, i));
}

static void on_start(void *opaque)
{
	struct tool_user *user = opaque;

	for (uint32_t i = 0; i < user->n; i++) {
		int r = load_of(user, i) ? begin(user, i) : 0;

		if (r)
			user->failed = -r;
	}
}

void tool_user_callbacks(struct tool_user *user, struct vmig_migrate_user *ret)
{
	*ret = (struct vmig_migrate_user){ .quiesce = on_quiesce,
					   .resume = on_resume,
					   .save_record = on_save_record,
					   .load_record = on_load_record,
					   .start = on_start,
					   .opaque = user };
}

/* --- at work ------------------------------------------------------------------------------- */

int tool_user_start(struct tool_user *user)
{
	for (uint32_t i = 0; i < user->n; i++) {
		int r = load_of(user, i) ? begin(user, i) : 0;

		if (r)
			return tool_fail(VMIG_NOT_DONE, "%s: the workload cannot start: %s", user->names[i],
					 strerror(-r));
	}
	return 0;
}

static void mark(struct tool_user *user, enum workload_phase phase)
{
	for (uint32_t i = 0; i < user->n; i++)
		if (load_of(user, i))
			workload_mark(load_of(user, i), phase);
}

void tool_user_mark_during(struct tool_user *user)
{
	mark(user, WORKLOAD_DURING);
}

void tool_user_mark_after(struct tool_user *user)
{
	mark(user, WORKLOAD_AFTER);
}

void tool_user_work(struct tool_user *user, uint64_t ns)
{
	while (user->loads && ns && !tool_cancelled()) {
		uint64_t nap = ns < NAP_NS ? ns : NAP_NS;
		struct timespec t = { .tv_sec = (time_t)(nap / NS_PER_S), .tv_nsec = (long)(nap % NS_PER_S) };

		nanosleep(&t, NULL);
		ns -= nap;
	}
}

/* --- the verdict --------------------------------------------------------------------------- */

static json_t *report_json(const char *name, const struct workload_report *r, const char *text)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:b, s:s}", "device-id", name,
			 "before", (json_int_t)r->phase_records[WORKLOAD_BEFORE], "during",
			 (json_int_t)r->phase_records[WORKLOAD_DURING], "after",
			 (json_int_t)r->phase_records[WORKLOAD_AFTER], "lost", (json_int_t)r->lost, "doubled",
			 (json_int_t)r->doubled, "reordered", (json_int_t)r->reordered, "corrupt",
			 (json_int_t)r->corrupt, "longest-gap", (double)r->longest_gap_ns / NS_PER_MS,
			 "whole", r->whole, "verdict", text);
}

static void print_report(const struct tool_user *user, uint32_t i, const struct workload_report *r,
			 const char *text)
{
	char gap[TOOL_TEXT_MAX];

	if (tool_say_json() || tool_say_quiet())
		return;
	fprintf(tool_out(), "%-11s ", "workload");
	if (user->n > 1)
		fprintf(tool_out(), "%s: ", user->names[i]);
	fprintf(tool_out(), "%s; longest pause %s\n", text, tool_text_time(r->longest_gap_ns, gap));
}

/* A device that runs and sends nothing has not arrived, however clean its counts are. */
static bool works_on(struct tool_user *user, struct workload *w)
{
	struct workload_report r;

	for (uint64_t waited = 0; waited < PATIENCE_NS; waited += NAP_NS) {
		workload_report(w, &r);
		if (r.phase_records[WORKLOAD_AFTER] || r.records == 0 || r.error || tool_cancelled())
			return true;
		tool_user_work(user, NAP_NS);
	}
	return false;
}

/* What the driver has counted, and what the device says itself: the driver sees only what passed by it. */
static bool judge(struct tool_user *user, uint32_t i, bool run, json_t *all)
{
	struct workload *w = load_of(user, i);
	bool works = !run || works_on(user, w);
	struct workload_report report;
	char text[256];
	int r;

	r = run ? workload_quiesce(w) : 0;
	if (!r && run)
		r = workload_verify_device(w);
	workload_report(w, &report);
	if (!report.error)
		report.error = r ? -r : user->failed;
	report.whole = report.whole && !report.error && works;
	workload_verdict(&report, text, sizeof(text));
	if (report.error == EBADMSG)
		snprintf(text, sizeof(text), "THE DEVICE'S OWN MEMORY IS NOT WHAT IT HAS TO BE");
	if (!works)
		snprintf(text, sizeof(text), "NOT ONE RECORD CAME AFTERWARDS");
	print_report(user, i, &report, text);
	json_array_append_new(all, report_json(user->names[i], &report, text));
	return report.whole;
}

bool tool_user_verdict(struct tool_user *user, bool run, json_t **ret_json)
{
	json_t *all;
	bool whole = true;

	if (!user || !user->loads)
		return true;
	all = json_array();
	for (uint32_t i = 0; i < user->n; i++)
		if (load_of(user, i))
			whole = judge(user, i, run, all) && whole;
	*ret_json = all;
	return whole;
}
