/* SPDX-License-Identifier: BSD-3-Clause */
/** options - the keys that models have, all in one table; which model has which is in models.c. */
#ifndef MODELS_OPTIONS_H
#define MODELS_OPTIONS_H

#include "common.h"

struct model_setter {
	const char *key;
	/** A negative errno, and *ret_why (static) is the end of a sentence about @value. */
	int (*set)(struct model_options *o, const char *value, const char **ret_why);
};

/** Ends with a NULL key. Fewer than 32. */
extern const struct model_setter model_setters[];

#endif
