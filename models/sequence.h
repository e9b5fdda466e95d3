/* SPDX-License-Identifier: BSD-3-Clause */
/** sequence - which numbers of a series have come, and which are lost, doubled or out of order. */
#ifndef MODELS_SEQUENCE_H
#define MODELS_SEQUENCE_H

#include <stdint.h>

/* A number that comes later than so many that follow it counts as lost, and then as doubled. */
#define SEQUENCE_WINDOW 1024u

struct sequence {
	uint64_t expected;
	uint64_t lost, doubled, reordered;
	uint64_t seen[SEQUENCE_WINDOW / 64]; /* bit n mod WINDOW, of the WINDOW numbers before @expected */
};

/** The next number is @first; all before it have come. */
void sequence_init(struct sequence *sequence, uint64_t first);

/** Number @n has come. */
void sequence_take(struct sequence *sequence, uint64_t n);

#endif
