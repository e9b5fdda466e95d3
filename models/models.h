/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * models - the reference devices: each an ordinary user of the public device API.
 *
 * A spec is the model's name and its options: "nic,state=1G,dirty-rate=64M/s,fault=read:EIO".
 */
#ifndef MODELS_MODELS_H
#define MODELS_MODELS_H

#include <vmig/device.h>
#include <vmig/region.h>

/**
 * Open the model that @spec names. The handle owns it; the device is in RUNNING.
 *
 * Returns 0, or, with a sentence in *error (may be NULL):
 *   -EINVAL   unknown model or key, a key that is given twice, a bad or too large value
 *   -ENOMEM   no memory for the state
 */
int models_open(const char *spec, struct vmig_device **ret, struct vmig_error *error);

/** Would models_open() take @spec? Opens nothing. 0 or -EINVAL, with a sentence. */
int models_check(const char *spec, struct vmig_error *error);

/** The same, shown through a migration region (vmig_show_v1()); @config may be NULL. models_open() of a model that
 *  migrates in no other way is this with all defaults. */
int models_open_v1(const char *spec, const struct vmig_v1_config *config, struct vmig_device **ret,
		   struct vmig_error *error);

struct model_info {
	const char *name, *summary;
	bool v1_only;
};

/** What there is; ends with a NULL name. */
const struct model_info *models_list(void);

/** Does the model that @spec names migrate through a migration region only? False also for one that does not exist. */
bool models_v1_only(const char *spec);

struct model_key {
	const char *name, *value, *summary; /* "state", "SIZE", "bytes of internal state" */
};

/** The keys of @model with their defaults, for a help text; ends with a NULL name. NULL: no such model. */
const struct model_key *models_keys(const char *model);

/* --- private: the models ------------------------------------------------------------------------- */

struct model_options;

int nic_open(const struct model_options *options, struct vmig_device **ret);
int accel_open(const struct model_options *options, struct vmig_device **ret);
int vgpu_open(const struct model_options *options, struct vmig_device **ret);
int serial_open(const struct model_options *options, struct vmig_device **ret);

#endif
