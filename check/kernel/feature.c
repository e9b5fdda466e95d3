/* SPDX-License-Identifier: BSD-3-Clause */
/* VFIO_DEVICE_FEATURE itself: what PROBE says and what is done, and arguments that are none. */
#include "kernel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEAD ((uint32_t)sizeof(struct vmig_uapi_device_feature))

/* Those of migration, what they can be asked for, and how long their data are. */
static const struct feature {
	uint32_t number, methods;
	uint32_t len;
	const char *name;
} features[] = {
	{ VMIG_UAPI_DEVICE_FEATURE_MIGRATION, GET, 8, "MIGRATION" },
	{ VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE, GET | SET, 8, "MIG_DEVICE_STATE" },
	{ VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START, SET, 24, "DMA_LOGGING_START" },
	{ VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP, SET, 0, "DMA_LOGGING_STOP" },
	{ VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT, GET, 32, "DMA_LOGGING_REPORT" },
	{ VMIG_UAPI_DEVICE_FEATURE_MIG_DATA_SIZE, GET, 8, "MIG_DATA_SIZE" },
	{ VMIG_UAPI_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, SET, 0, "MIG_PRECOPY_INFOv2" },
};

#define FOR_EACH_FEATURE(f)                                                                                  \
	for (const struct feature *f = features; f < features + sizeof(features) / sizeof(features[0]); f++)

static const char *methods_name(uint32_t methods)
{
	static const char *const names[] = { "no method", "GET", "SET", "GET and SET" };

	return names[(methods & GET ? 1 : 0) + (methods & SET ? 2 : 0)];
}

static bool is_there(struct check_context *c, const struct feature *f)
{
	return !kernel_feature(c, f->number | PROBE, NULL, 0);
}

static void probe(struct check_context *c, const struct feature *f, uint32_t methods)
{
	int r = kernel_feature(c, f->number | PROBE | methods, NULL, 0);
	bool can = (f->methods & methods) == methods;

	check_did(c, "PROBE %s with %s, without data", f->name, methods_name(methods));
	if (can && r)
		check_fail(c, "it succeeds, as the feature can be asked for so", "%s", strerror(-r));
	if (!can && !r)
		check_fail(c, "an error, as the feature cannot be asked for so", "it succeeds");
}

/* A feature that is not there must not be found by PROBE. */
static void probe_unknown(struct check_context *c)
{
	check_did(c, "PROBE of a feature that nobody has (0xfff7)");
	if (!kernel_feature(c, 0xfff7 | PROBE, NULL, 0))
		check_fail(c, "an error", "it succeeds");
}

void check_kernel_probe(struct check_context *c)
{
	FOR_EACH_FEATURE(f)
	if (is_there(c, f)) {
		probe(c, f, GET);
		probe(c, f, SET);
		probe(c, f, GET | SET);
	}
	probe_unknown(c);
}

/* Something that would be good, were it asked for by the right method; what it does is nothing. */
static int ask(struct check_context *c, const struct feature *f, uint32_t argsz, uint32_t flags)
{
	uint64_t data[8] = { 0 };

	if (f->number == VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE)
		data[0] = VMIG_STATE_STOP;
	return kernel_feature_sized(c, argsz, f->number | flags, data, sizeof(data) / 2);
}

static void refused(struct check_context *c, const struct feature *f, uint32_t argsz, uint32_t flags)
{
	if (!ask(c, f, argsz, flags))
		check_fail(c, "an error", "it succeeds");
	kernel_in_state(c, VMIG_STATE_RUNNING);
}

void check_kernel_methods(struct check_context *c)
{
	kernel_bring(c, VMIG_STATE_RUNNING);
	FOR_EACH_FEATURE(f)
	{
		if (!is_there(c, f))
			continue;
		for (uint32_t methods = 0; methods <= (GET | SET); methods += GET) {
			if (methods == GET || methods == SET ? f->methods & methods : false)
				continue;
			check_did(c, "asked for %s with %s, without PROBE", f->name, methods_name(methods));
			refused(c, f, HEAD + f->len, methods);
		}
	}
}

/* Bits that have no meaning. A later one would be lost on a device that lets them pass. */
void check_kernel_flags(struct check_context *c)
{
	kernel_bring(c, VMIG_STATE_RUNNING);
	for (uint32_t bit = PROBE << 1; bit; bit <<= 1) {
		check_did(c, "GET MIG_DEVICE_STATE with the bit %#x in flags", bit);
		refused(c, &features[1], HEAD + features[1].len, GET | bit);
	}
}

/* What is shorter than what would be read or written, and what is longer, as of a user who knows more. */
void check_kernel_argsz(struct check_context *c)
{
	static const uint32_t shorter[] = { 0, 4, HEAD - 1, HEAD, HEAD + 4, HEAD + 7 };

	kernel_bring(c, VMIG_STATE_RUNNING);
	FOR_EACH_FEATURE(f)
	for (size_t i = 0; i < sizeof(shorter) / sizeof(shorter[0]) && f->len && is_there(c, f); i++) {
		uint32_t method = f->methods & SET ? SET : GET;

		check_did(c, "%s %s with an argsz of %u", methods_name(method), f->name, shorter[i]);
		refused(c, f, shorter[i], method);
	}
	FOR_EACH_FEATURE(f)
	{
		int r;

		/* Of the others it does something. */
		if (!(f->methods & GET) || f->number == VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT ||
		    !is_there(c, f))
			continue;
		check_did(c, "GET %s with an argsz of %u, more than it needs", f->name, HEAD + 24);
		r = ask(c, f, HEAD + 24, GET);
		if (r)
			check_fail(c, "it succeeds: argsz may be larger", "%s", strerror(-r));
	}
}
