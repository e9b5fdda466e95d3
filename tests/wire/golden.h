/* SPDX-License-Identifier: BSD-3-Clause */
/** golden - reads a file of golden vectors: commented hex with names. */
#ifndef VMIG_TESTS_WIRE_GOLDEN_H
#define VMIG_TESTS_WIRE_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

#define GOLDEN_MAX_LEN 1024

struct golden {
	char name[64];
	uint8_t bytes[GOLDEN_MAX_LEN];
	size_t len;
};

/** All vectors of the file, to be freed; *ret_n of them. Fails the test (ck_abort) at a line that it does not understand. */
struct golden *golden_load(const char *path, unsigned int *ret_n);

#endif
