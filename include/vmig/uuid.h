/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * uuid - 16 bytes that name one device, attempt, instance or write among all there are (RFC 9562).
 */
#ifndef VMIG_UUID_H
#define VMIG_UUID_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** All zero: none. */
struct vmig_uuid {
	uint8_t bytes[16];
};

/** A new one, random (version 4). */
void vmig_uuid_new(struct vmig_uuid *ret);

/** 8-4-4-4-12 hexadecimal digits, and nothing else. -EINVAL: it is not that; *ret is as it was. */
int vmig_uuid_parse(const char *text, struct vmig_uuid *ret);

#define VMIG_UUID_TEXT_MAX 37

/** Its text, in lower case, in @ret, which is returned. */
const char *vmig_uuid_text(const struct vmig_uuid *uuid, char ret[VMIG_UUID_TEXT_MAX]);

bool vmig_uuid_is_none(const struct vmig_uuid *uuid);
bool vmig_uuid_equal(const struct vmig_uuid *a, const struct vmig_uuid *b);

#ifdef __cplusplus
}
#endif
#endif
