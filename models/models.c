/* SPDX-License-Identifier: BSD-3-Clause */
/* models - the registry, and the options in a spec. */
#include "models.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "mutants/mutants.h"
#include "options.h"

#define SPEC_MAX 1024

static const struct model_info infos[] = {
	{ "nic", "a network card as an mlx5 virtual function: P2P, pre-copy, DMA logging, large state",
	  false },
	{ "accel", "an accelerator as a hisi_acc virtual function: no P2P, match data first in the stream",
	  false },
	{ "vgpu", "a mediated GPU as of i915 GVT-g: v1 only, types, several of one as one device", true },
	{ "serial", "a 16550 serial port, for which every guest has a driver: small state", false },
	{ NULL, NULL, false },
};

static const struct model_key nic_keys[] = {
	{ "state", "SIZE", "internal state; a multiple of 4K (16M)" },
	{ "dirty-rate", "SIZE/s", "internal state that changes in a second while it runs (0)" },
	{ "queues", "N", "queues, 1 to 64 (2)" },
	{ "records", "N", "records that each queue sends in a second (10000)" },
	{ "p2p", "on|off", "the P2P states (on)" },
	{ "precopy", "on|off", "the PRE_COPY states (on)" },
	{ "digest", "on|off", "digest the state when it has been loaded, for NIC_ARRIVED (off)" },
	{ "version", "X.Y.Z", "what its descriptor and its stream say (1.0.0)" },
	{ "fault", "WHERE:WHAT",
	  "fail on purpose: an arc like STOP>STOP_COPY, read, write, load, precopy-info or "
	  "reset; an errno like EIO, error or hang=TIME; :once; or rule:NAME" },
	{ NULL, NULL, NULL },
};

static const struct model_key accel_keys[] = {
	{ "state", "SIZE", "internal state; a multiple of 4K (16M)" },
	{ "dirty-rate", "SIZE/s", "internal state that changes in a second while it runs (0)" },
	{ "queues", "N", "queues, 1 to 64 (2)" },
	{ "records", "N", "jobs that each queue does in a second (10000)" },
	{ "precopy", "on|off", "the PRE_COPY state, with the match data only (off)" },
	{ "log", "iommu|device", "who logs its DMA: not itself, or itself (iommu)" },
	{ "digest", "on|off", "digest the state when it has been loaded, for NIC_ARRIVED (off)" },
	{ "version", "X.Y.Z", "what its descriptor and its stream say (1.0.0)" },
	{ "fault", "WHERE:WHAT", "fail on purpose, as of the nic" },
	{ NULL, NULL, NULL },
};

static const struct model_key vgpu_keys[] = {
	{ "type", "TYPE",
	  "i915-GVTg_V5_2, with 8M of state and 2 engines, or i915-GVTg_V5_4, with half of it (V5_4)" },
	{ "aggregator", "N", "so many of the type are one device, 1 to 8 (1)" },
	{ "state", "SIZE", "internal state of one; a multiple of 4K (by type)" },
	{ "dirty-rate", "SIZE/s", "internal state that changes in a second while it runs (0)" },
	{ "records", "N", "frames that each engine draws in a second (1000)" },
	{ "precopy", "on|off", "state is saved while it runs (on)" },
	{ "digest", "on|off", "digest the state when it has been loaded, for NIC_ARRIVED (off)" },
	{ "gvt-version", "vN", "of its descriptor and its stream: it reads its own and the one before (v1)" },
	{ "pv-mode", "none|all", "what the device uses; all: none, ppgtt and context (none)" },
	{ "fault", "WHERE:WHAT", "fail on purpose, as of the nic" },
	{ NULL, NULL, NULL },
};

static const struct model_key serial_keys[] = {
	{ "irq", "intx|msi", "what Linux's driver uses with it, which it tells by the ids (intx)" },
	{ "state", "SIZE", "internal state beside the registers; a multiple of 4K (4K)" },
	{ "dirty-rate", "SIZE/s", "internal state that changes in a second while it runs (0)" },
	{ "p2p", "on|off", "the P2P states (on)" },
	{ "precopy", "on|off", "the PRE_COPY states (on)" },
	{ "version", "X.Y.Z", "what its descriptor and its stream say (1.0.0)" },
	{ "fault", "WHERE:WHAT", "fail on purpose, as of the nic" },
	{ NULL, NULL, NULL },
};

static const struct model {
	const struct model_info *info;
	const struct model_key *keys;
	struct model_options defaults;
	int (*open)(const struct model_options *options, struct vmig_device **ret);
} models[] = {
	{ &infos[0],
	  nic_keys,
	  { .state = 16u << 20,
	    .queues = 2,
	    .records = 10000,
	    .p2p = true,
	    .precopy = true,
	    .version = { 1 } },
	  nic_open },
	{ &infos[1],
	  accel_keys,
	  { .state = 16u << 20, .queues = 2, .records = 10000, .version = { 1 } },
	  accel_open },
	{ &infos[2],
	  vgpu_keys,
	  { .records = 1000, .precopy = true, .type = 4, .aggregator = 1, .version = { 0, 1 } },
	  vgpu_open },
	{ &infos[3],
	  serial_keys,
	  { .state = 4096, .p2p = true, .precopy = true, .version = { 1 } },
	  serial_open },
};

__attribute__((format(printf, 3, 4))) static int fail(struct vmig_error *error, int code, const char *format,
						      ...)
{
	va_list ap;

	if (!error)
		return code;
	*error = (struct vmig_error){ .code = -code, .from = VMIG_STATE_NONE, .to = VMIG_STATE_NONE };
	snprintf(error->where, sizeof(error->where), "model");
	va_start(ap, format);
	vsnprintf(error->text, sizeof(error->text), format, ap);
	va_end(ap);
	return code;
}

static const struct model *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		if (!strcmp(models[i].info->name, name))
			return &models[i];
	return NULL;
}

const struct model_info *models_list(void)
{
	return infos;
}

const struct model_key *models_keys(const char *name)
{
	const struct model *model = find(name);

	return model ? model->keys : NULL;
}

/* --- the spec ------------------------------------------------------------------------------------ */

static const char *list_models(char *buf, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(models) && n < size; i++)
		n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? ", " : "", models[i].info->name);
	return buf;
}

static const char *list_keys(const struct model *model, char *buf, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; model->keys[i].name && n < size; i++)
		n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? ", " : "", model->keys[i].name);
	return buf;
}

static const struct model_setter *find_setter(const struct model *model, const char *key)
{
	for (size_t i = 0; model->keys[i].name; i++)
		for (const struct model_setter *setter = model_setters; setter->key; setter++)
			if (!strcmp(model->keys[i].name, key) && !strcmp(setter->key, key))
				return setter;
	return NULL;
}

/* One "key=value". @seen has a bit for each setter. */
static int set_option(const struct model *model, char *option, struct model_options *o, uint32_t *seen,
		      struct vmig_error *error)
{
	char *value = strchr(option, '='), keys[128];
	const struct model_setter *setter;
	const char *why;
	int r;

	if (value)
		*value++ = 0;
	setter = find_setter(model, option);
	if (!setter)
		return fail(error, -EINVAL, "unknown key \"%.40s\" of model %s; it has: %s", option,
			    model->info->name, list_keys(model, keys, sizeof(keys)));
	if (!value)
		return fail(error, -EINVAL, "key \"%s\" of model %s has no value", option, model->info->name);
	if (*seen & 1u << (setter - model_setters))
		return fail(error, -EINVAL, "key \"%s\" of model %s is given twice", option,
			    model->info->name);
	*seen |= 1u << (setter - model_setters);
	r = setter->set(o, value, &why);
	if (!r)
		return 0;
	return fail(error, -EINVAL, "%s of model %s: \"%.60s\" %s", option, model->info->name, value, why);
}

/* *ret_model and its options, of @spec. */
static int parse_spec(const char *spec, const struct model **ret_model, struct model_options *ret,
		      struct vmig_error *error)
{
	char copy[SPEC_MAX], names[64], *rest = copy, *option;
	const struct model *model;
	uint32_t seen = 0;
	int r = 0;

	if (strlen(spec) >= sizeof(copy))
		return fail(error, -EINVAL, "a model's options are longer than %d bytes", SPEC_MAX - 1);
	strcpy(copy, spec);
	option = strsep(&rest, ",");
	model = find(option);
	if (!model)
		return fail(error, -EINVAL, "unknown model \"%.60s\"; there are: %s", option,
			    list_models(names, sizeof(names)));
	*ret_model = model;
	*ret = model->defaults;
	while (!r && (option = strsep(&rest, ",")))
		r = set_option(model, option, ret, &seen, error);
	return r;
}

static int show_v1(const struct model *model, struct vmig_device *plain, const struct vmig_v1_config *config,
		   struct vmig_device **ret, struct vmig_error *error)
{
	int r = vmig_show_v1(plain, config, ret);

	if (!r)
		return 0;
	vmig_device_close(plain);
	return fail(error, r, "model %s cannot be shown through a migration region: %s", model->info->name,
		    r == -EINVAL ? "its data section cannot be of that size" : strerror(-r));
}

/* With the rule broken that is to be, if it is one of @v1. *@dev is replaced, or closed. */
static int break_rule(const struct model_options *o, bool v1, struct vmig_device **dev)
{
	struct vmig_device *good = *dev;
	int r;

	if (o->fault.where != FAULT_RULE || mutant_is_v1(o->fault.rule) != v1)
		return 0;
	r = mutant_new(o->fault.rule, good, dev);
	if (r)
		vmig_device_close(good);
	return r;
}

static int open_plain(const struct model *model, const struct model_options *o, struct vmig_device **ret)
{
	int r = model->open(o, ret);

	return r ? r : break_rule(o, false, ret);
}

static int open_spec(const char *spec, bool v1, const struct vmig_v1_config *config, struct vmig_device **ret,
		     struct vmig_error *error)
{
	const struct model *model = NULL;
	struct vmig_device *plain, *shown = NULL;
	struct model_options o;
	int r = parse_spec(spec, &model, &o, error);

	if (r)
		return r;
	v1 |= model->info->v1_only;
	if (!v1 && o.fault.where == FAULT_RULE && mutant_is_v1(o.fault.rule))
		return fail(error, -EINVAL, "model %s: that rule is one of v1: with v1=on",
			    model->info->name);
	r = open_plain(model, &o, &plain);
	if (r)
		return fail(error, r, "model %s with a state of %llu bytes cannot be made", model->info->name,
			    (unsigned long long)o.state);
	if (v1) {
		r = show_v1(model, plain, config, &shown, error);
		r = r ? r : break_rule(&o, true, &shown);
	}
	if (!r)
		*ret = v1 ? shown : plain;
	return r;
}

bool models_v1_only(const char *spec)
{
	size_t len = strcspn(spec, ",");

	for (const struct model_info *info = infos; info->name; info++)
		if (strlen(info->name) == len && !strncmp(spec, info->name, len))
			return info->v1_only;
	return false;
}

int models_check(const char *spec, struct vmig_error *error)
{
	const struct model *model = NULL;
	struct model_options o;

	return parse_spec(spec, &model, &o, error);
}

int models_open(const char *spec, struct vmig_device **ret, struct vmig_error *error)
{
	return open_spec(spec, false, NULL, ret, error);
}

int models_open_v1(const char *spec, const struct vmig_v1_config *config, struct vmig_device **ret,
		   struct vmig_error *error)
{
	return open_spec(spec, true, config, ret, error);
}
