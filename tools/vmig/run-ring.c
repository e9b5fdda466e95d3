/* SPDX-License-Identifier: BSD-3-Clause */
/* A slot is a seqlock. Its words are atomic, so that a torn read is only wrong, never undefined; it is thrown away. */
#include "run-ring.h"

#include <string.h>

_Static_assert(sizeof(struct vmig_kabi_call) % sizeof(uint64_t) == 0, "a call is made of words");
_Static_assert((RUN_RING_SLOTS & (RUN_RING_SLOTS - 1)) == 0, "a power of two");

static uint64_t get(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void set(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static uint64_t tag_whole(uint64_t number)
{
	return 2 * number + 2;
}

void run_ring_put(struct run_ring *ring, const struct vmig_kabi_call *call)
{
	uint64_t number = __atomic_fetch_add(&ring->head, 1, __ATOMIC_RELAXED);
	struct run_slot *slot = &ring->slots[number % RUN_RING_SLOTS];
	uint64_t whole = tag_whole(number), tag = get(&slot->tag);
	uint64_t words[RUN_CALL_WORDS];

	memcpy(words, call, sizeof(words));
	/* Odd: another thread has been at it for a whole lap. Larger: this thread is the one that is late. */
	if (tag & 1 || tag >= whole ||
	    !__atomic_compare_exchange_n(&slot->tag, &tag, whole | 1, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&ring->dropped, 1, __ATOMIC_RELAXED);
		return;
	}
	for (unsigned int i = 0; i < RUN_CALL_WORDS; i++)
		set(&slot->words[i], words[i]);
	set(&slot->tag, whole);
}

uint64_t run_ring_count(const struct run_ring *ring)
{
	return get(&ring->head);
}

/* 1; 0: not whole yet; -1: gone. */
static int copy(const struct run_slot *slot, uint64_t whole, struct vmig_kabi_call *ret)
{
	uint64_t words[RUN_CALL_WORDS], tag = get(&slot->tag);

	if (tag != whole)
		return tag > (whole | 1) ? -1 : 0;
	for (unsigned int i = 0; i < RUN_CALL_WORDS; i++)
		words[i] = get(&slot->words[i]);
	if (get(&slot->tag) != whole)
		return -1;
	memcpy(ret, words, sizeof(words));
	return 1;
}

static void lose(struct run_reader *reader, uint64_t up_to)
{
	reader->lost += up_to - reader->at;
	reader->at = up_to;
}

int run_ring_get(const struct run_ring *ring, struct run_reader *reader, bool last,
		 struct vmig_kabi_call *ret)
{
	uint64_t head = get(&ring->head);
	int r;

	/* More than a lap behind: go on in the middle, so that the writers are not at one's heels again at once. */
	if (head > reader->at && head - reader->at > RUN_RING_SLOTS)
		lose(reader, head - RUN_RING_SLOTS / 2);
	for (unsigned int i = 0; i < RUN_RING_SLOTS && reader->at < head; i++) {
		r = copy(&ring->slots[reader->at % RUN_RING_SLOTS], tag_whole(reader->at), ret);
		if (!r && !last && reader->waits_for != reader->at + 1) {
			reader->waits_for = reader->at + 1;
			return 0;
		}
		if (r == 1) {
			reader->at++;
			return 1;
		}
		lose(reader, reader->at + 1);
	}
	return 0;
}
