/* SPDX-License-Identifier: BSD-3-Clause */
/* Why pre-copy does not converge, in words, and what would help. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "engine/stages.h"

#define TEXT 24

/* "1.5 GiB" */
static const char *size_text(double bytes, char buf[TEXT])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	size_t i = 0;

	while (bytes >= 1024 && i + 1 < ARRAY_SIZE(units)) {
		bytes /= 1024;
		i++;
	}
	snprintf(buf, TEXT, i && bytes < 10 ? "%.1f %s" : "%.0f %s", bytes, units[i]);
	return buf;
}

/* "350 ms" */
static const char *time_text(double ns, char buf[TEXT])
{
	if (ns >= 10e9)
		snprintf(buf, TEXT, "%.0f s", ns / 1e9);
	else if (ns >= 1e9)
		snprintf(buf, TEXT, "%.1f s", ns / 1e9);
	else if (ns >= 10e6)
		snprintf(buf, TEXT, "%.0f ms", ns / 1e6);
	else
		snprintf(buf, TEXT, "%.1f ms", ns / 1e6);
	return buf;
}

__attribute__((format(printf, 2, 3))) static void add(struct vmig_core *core, const char *format, ...)
{
	char *words = core->plan.words;
	size_t have = strlen(words);
	va_list ap;

	va_start(ap, format);
	vsnprintf(words + have, VMIG_PLAN_WORDS - have, format, ap);
	va_end(ap);
}

/* The device that has most left. */
static uint32_t culprit(const struct vmig_core *core)
{
	uint32_t worst = 0;

	for (uint32_t i = 1; i < core->n; i++)
		if (core->devices[i].left > core->devices[worst].left)
			worst = i;
	return worst;
}

static void say_why(struct vmig_core *core, enum vmig_plan_why why)
{
	char time[TEXT];

	add(core, "pre-copy does not converge: ");
	if (why == VMIG_PLAN_TIME)
		add(core, "its time, %s, is used up; ", time_text((double)core->config.max_time_ns, time));
	else if (why == VMIG_PLAN_ROUNDS)
		add(core, "its %u rounds are used up; ", core->result.rounds);
}

static void say_culprit(struct vmig_core *core)
{
	uint32_t i = culprit(core);
	const struct vmig_core_device *dev = &core->devices[i];
	char left[TEXT], changes[TEXT], carries[TEXT];

	size_text((double)dev->left, left);
	size_text((double)dev->dirty_rate, changes);
	size_text((double)core->plan.bandwidth, carries);
	add(core, "device %u (%.40s) ", i, dev->info.name);
	if (!vmig_has_precopy(dev))
		add(core, "has no PRE_COPY: its %s can only be copied while all stand still", left);
	else if (core->plan.initial_acked != core->plan.initial_number)
		add(core, "has %s left, and the destination has not loaded all initial data", left);
	else if (core->plan.bandwidth && dev->dirty_rate)
		add(core, "changes %s/s, and the link carries %s/s", changes, carries);
	else
		add(core, "has %s left after each round", left);
}

/* Enough for one more round to leave less, or for what is left to fit as it is: whichever is less. 0: none would do. */
static double bandwidth_wanted(const struct vmig_core *core)
{
	const struct vmig_plan *plan = &core->plan;
	double room =
		(double)core->config.downtime_ns - (double)MIN(plan->fixed_ns, core->config.downtime_ns / 2);
	double fits = room > 0 ? (double)plan->remaining / room * NS_PER_S : 0;
	double converges = (double)plan->dirty_rate * 1.25;

	if (!plan->bandwidth || (double)plan->dirty_rate < (double)plan->bandwidth || !fits)
		return fits;
	return MIN(fits, converges);
}

static void say_help(struct vmig_core *core)
{
	const struct vmig_plan *plan = &core->plan;
	double wanted = bandwidth_wanted(core);
	char a[TEXT], b[TEXT], c[TEXT];

	add(core, "; %s are left, %s of downtime where %s are allowed", size_text((double)plan->remaining, a),
	    time_text((double)plan->expected_ns, b), time_text((double)core->config.downtime_ns, c));
	add(core, "; what would help: a downtime of %s", time_text((double)plan->expected_ns * 1.1, a));
	if (wanted > 0)
		add(core, ", a bandwidth of %s/s", size_text(wanted, a));
	if (wanted > 0 && core->config.bandwidth)
		add(core, " (it is limited to %s/s)", size_text((double)core->config.bandwidth, a));
	add(core, ", or a workload that changes less");
}

void vmig_plan_words(struct vmig_core *core, enum vmig_plan_why why, bool instead)
{
	core->plan.words[0] = '\0';
	say_why(core, why);
	say_culprit(core);
	say_help(core);
	if (!instead)
		add(core, "; it is switched over all the same");
}
