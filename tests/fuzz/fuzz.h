/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * fuzz - what a fuzz target looks like: one function that takes any bytes. It is linked with libFuzzer
 * (option fuzz), and with replay.c into a test that runs it over its corpus.
 */
#ifndef VMIG_TESTS_FUZZ_FUZZ_H
#define VMIG_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** A property that must hold for every input. */
#define MUST(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                      \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

#endif
