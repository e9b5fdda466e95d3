/* SPDX-License-Identifier: BSD-3-Clause */
/** region - the registers of the migration region of v1, as the rules of it need them. */
#ifndef MODELS_MUTANTS_REGION_H
#define MODELS_MUTANTS_REGION_H

#include "rule.h"

#define V1_DEVICE_STATE  0u
#define V1_RESERVED      4u
#define V1_PENDING_BYTES 8u
#define V1_DATA_OFFSET   16u
#define V1_DATA_SIZE     24u
#define V1_REGISTERS     32u

#define V1_STOP     0u
#define V1_RUNNING  1u
#define V1_SAVING   2u
#define V1_PRE_COPY 3u
#define V1_RESUMING 4u
#define V1_ERROR    6u
#define V1_BITS     7u
#define V1_NONE     8u

/** The low bits that a write asks for; V1_NONE: it is not of device_state. */
static inline uint32_t mutant_v1_asked(uint64_t offset, const void *buf, size_t len)
{
	uint32_t value;

	if (offset != V1_DEVICE_STATE || len != sizeof(value))
		return V1_NONE;
	memcpy(&value, buf, sizeof(value));
	return value & V1_BITS;
}

#endif
