/* SPDX-License-Identifier: BSD-3-Clause */
#include "sequence.h"

#include <string.h>

#include "bytes.h"

static uint64_t bit(uint64_t n)
{
	return 1ull << (n % 64);
}

static uint64_t *word(struct sequence *sequence, uint64_t n)
{
	return &sequence->seen[n % SEQUENCE_WINDOW / 64];
}

void sequence_init(struct sequence *sequence, uint64_t first)
{
	*sequence = (struct sequence){ .expected = first };
	memset(sequence->seen, 0xff, sizeof(sequence->seen));
}

static void skip(struct sequence *sequence, uint64_t n)
{
	sequence->lost += n;
	for (uint64_t i = n - MIN(n, SEQUENCE_WINDOW); i < n; i++)
		*word(sequence, sequence->expected + i) &= ~bit(sequence->expected + i);
	sequence->expected += n;
}

void sequence_take(struct sequence *sequence, uint64_t n)
{
	if (n >= sequence->expected) {
		skip(sequence, n - sequence->expected);
		sequence->expected++;
	} else if (sequence->expected - n <= SEQUENCE_WINDOW && !(*word(sequence, n) & bit(n))) {
		sequence->lost--; /* it was only late */
		sequence->reordered++;
	} else {
		sequence->doubled++;
		return;
	}
	*word(sequence, n) |= bit(n);
}
