/* SPDX-License-Identifier: BSD-3-Clause */
/* options - what each key of a spec means. */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "nic.h"
#include "parse.h"

#define RECORDS_MAX    10000000u
#define AGGREGATOR_MAX 8u

static int set_state(struct model_options *o, const char *value, const char **ret_why)
{
	int r = parse_size(value, &o->state);

	*ret_why = parse_size_reason(r);
	if (r)
		return r;
	*ret_why = "is not a multiple of 4K between 4K and 1T";
	return !o->state || o->state % IMAGE_PAGE || o->state > IMAGE_SIZE_MAX ? -EINVAL : 0;
}

static int set_dirty_rate(struct model_options *o, const char *value, const char **ret_why)
{
	int r = parse_rate(value, &o->dirty_rate);

	*ret_why = parse_rate_reason(r);
	if (r)
		return r;
	*ret_why = "is more than 1T/s";
	return o->dirty_rate > IMAGE_SIZE_MAX ? -ERANGE : 0;
}

static int set_queues(struct model_options *o, const char *value, const char **ret_why)
{
	uint64_t n;

	*ret_why = "is not a number from 1 to 64";
	if (parse_size(value, &n) || !n || n > NIC_QUEUES_MAX)
		return -EINVAL;
	o->queues = (uint32_t)n;
	return 0;
}

static int set_records(struct model_options *o, const char *value, const char **ret_why)
{
	*ret_why = "is not a number from 0 to 10000000";
	return parse_size(value, &o->records) || o->records > RECORDS_MAX ? -EINVAL : 0;
}

static int set_switch(bool *to, const char *value, const char **ret_why)
{
	*ret_why = "is neither on nor off";
	*to = !strcmp(value, "on");
	return *to || !strcmp(value, "off") ? 0 : -EINVAL;
}

static int set_p2p(struct model_options *o, const char *value, const char **ret_why)
{
	return set_switch(&o->p2p, value, ret_why);
}

static int set_precopy(struct model_options *o, const char *value, const char **ret_why)
{
	return set_switch(&o->precopy, value, ret_why);
}

static int set_digest(struct model_options *o, const char *value, const char **ret_why)
{
	return set_switch(&o->digest, value, ret_why);
}

static int set_type(struct model_options *o, const char *value, const char **ret_why)
{
	*ret_why = "is neither i915-GVTg_V5_2 nor i915-GVTg_V5_4";
	o->type = !strcmp(value, "i915-GVTg_V5_2") ? 2 : 4;
	return o->type == 2 || !strcmp(value, "i915-GVTg_V5_4") ? 0 : -EINVAL;
}

static int set_aggregator(struct model_options *o, const char *value, const char **ret_why)
{
	uint64_t n;

	*ret_why = "is not a number from 1 to 8";
	if (parse_size(value, &n) || !n || n > AGGREGATOR_MAX)
		return -EINVAL;
	o->aggregator = (uint32_t)n;
	return 0;
}

static int set_fault(struct model_options *o, const char *value, const char **ret_why)
{
	return fault_parse(value, &o->fault, ret_why);
}

static int set_version(struct model_options *o, const char *value, const char **ret_why)
{
	unsigned int v[3];
	int n = 0;

	*ret_why = "is not X.Y.Z, each at most 65535";
	if (sscanf(value, "%5u.%5u.%5u%n", &v[0], &v[1], &v[2], &n) != 3 || value[n])
		return -EINVAL;
	for (int i = 0; i < 3; i++) {
		o->version[i] = v[i];
		if (v[i] > UINT16_MAX)
			return -EINVAL;
	}
	return 0;
}

static int set_gvt_version(struct model_options *o, const char *value, const char **ret_why)
{
	uint64_t n;

	*ret_why = "is not v1 to v99";
	if (*value != 'v' || parse_size(value + 1, &n) || !n || n > 99)
		return -EINVAL;
	o->version[1] = (uint32_t)n;
	return 0;
}

static int set_irq(struct model_options *o, const char *value, const char **ret_why)
{
	*ret_why = "is neither intx nor msi";
	o->msi = !strcmp(value, "msi");
	return o->msi || !strcmp(value, "intx") ? 0 : -EINVAL;
}

static int set_log(struct model_options *o, const char *value, const char **ret_why)
{
	*ret_why = "is neither iommu nor device";
	o->device_log = !strcmp(value, "device");
	return o->device_log || !strcmp(value, "iommu") ? 0 : -EINVAL;
}

static int set_pv_mode(struct model_options *o, const char *value, const char **ret_why)
{
	*ret_why = "is neither none nor all";
	o->pv = !strcmp(value, "all");
	return o->pv || !strcmp(value, "none") ? 0 : -EINVAL;
}

const struct model_setter model_setters[] = {
	{ "state", set_state },     { "dirty-rate", set_dirty_rate },
	{ "queues", set_queues },   { "records", set_records },
	{ "p2p", set_p2p },         { "precopy", set_precopy },
	{ "digest", set_digest },   { "fault", set_fault },
	{ "version", set_version }, { "gvt-version", set_gvt_version },
	{ "pv-mode", set_pv_mode }, { "irq", set_irq },
	{ "type", set_type },       { "aggregator", set_aggregator },
	{ "log", set_log },         { NULL, NULL },
};
