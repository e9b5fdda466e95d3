/* SPDX-License-Identifier: BSD-3-Clause */
#include "vu-mutant.h"

const struct vu_mutant vu_mutants_v1[] = {
	{ 0 },
};
