/* SPDX-License-Identifier: BSD-3-Clause */
/* guest - what runs in the machine: waits for interrupts, takes the records, keeps a diary of them in its memory. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"
#include "vmm.h"

#define PATIENCE_MS 30000

static uint64_t diary_word(uint64_t seq)
{
	return seq * 0x9e3779b97f4a7c15ull + 1;
}

/* First the write, then the mark: whoever sees no mark has not missed it. */
static void write_diary(struct vmm *vmm, uint64_t seq)
{
	uint64_t at = VMM_DIARY + seq % VMM_DIARY_WORDS * 8, word = diary_word(seq), page = at / 4096;

	memcpy(vmm->ram + at, &word, sizeof(word));
	__atomic_fetch_or(&vmm->dirty[page / 64], 1ull << page % 64, __ATOMIC_RELEASE);
}

bool guest_diary_is_right(struct vmm *vmm)
{
	uint64_t seen = vmm->guest.seen, from = seen > VMM_DIARY_WORDS ? seen - VMM_DIARY_WORDS : 0;

	for (uint64_t seq = from; seq < seen; seq++) {
		uint64_t word;

		memcpy(&word, vmm->ram + VMM_DIARY + seq % VMM_DIARY_WORDS * 8, sizeof(word));
		if (word != diary_word(seq))
			return false;
	}
	return true;
}

/* The record in the place of number @seq: is it that one? */
static void take(struct vmm *vmm, uint64_t seq)
{
	uint64_t got[RELAY_RECORD / 8], want[RELAY_RECORD / 8];

	memcpy(got, vmm->ram + VMM_RING + RELAY_RING_AT(seq), sizeof(got));
	relay_record(got[0], want);
	pthread_mutex_lock(&vmm->lock);
	vmm->guest.seen++;
	if (memcmp(got, want, sizeof(got)))
		vmm->guest.corrupt++;
	else if (got[0] > seq)
		vmm->guest.lost++;
	else if (got[0] < seq)
		vmm->guest.doubled++;
	pthread_mutex_unlock(&vmm->lock);
	write_diary(vmm, seq);
}

static int take_all(struct vmm *vmm)
{
	uint64_t *index = (uint64_t *)(void *)(vmm->ram + VMM_RING);
	uint64_t produced = __atomic_load_n(index, __ATOMIC_ACQUIRE), seen = vmm->guest.seen;
	int r = 0;

	if (produced == seen)
		return 0;
	if (produced < seen || produced - seen > RELAY_SLOTS)
		return -EPROTO;
	while (vmm->guest.seen < produced)
		take(vmm, vmm->guest.seen);
	/* Both may go on: the second's ring has room again, and so has the first's. */
	for (uint32_t i = 0; !r && i < VMM_DEVICES; i++)
		r = vmm_write(vmm, i, RELAY_BAR_REGISTERS, RELAY_CONSUMER, produced, 8);
	return r;
}

static void *run(void *opaque)
{
	struct vmm *vmm = opaque;
	struct pollfd fds[] = { { .fd = vmm->irq_fd, .events = POLLIN },
				{ .fd = vmm->kick_fd, .events = POLLIN } };
	uint64_t count;
	int r = 0;

	/* An interrupt may have been lost on the way: there may be records already. */
	while (!r && !__atomic_load_n(&vmm->stop, __ATOMIC_RELAXED)) {
		r = take_all(vmm);
		if (r || (poll(fds, 2, -1) < 0 && errno != EINTR))
			break;
		(void)!read(vmm->irq_fd, &count, sizeof(count));
	}
	__atomic_store_n(&vmm->error, -r, __ATOMIC_RELAXED);
	return NULL;
}

void guest_start(struct vmm *vmm)
{
	vmm->stop = false;
	vmm->runs = !pthread_create(&vmm->thread, NULL, run, vmm);
	if (!vmm->runs)
		vmm->error = EAGAIN;
}

void guest_pause(struct vmm *vmm)
{
	uint64_t one = 1;

	if (!vmm->runs)
		return;
	__atomic_store_n(&vmm->stop, true, __ATOMIC_RELAXED);
	(void)!write(vmm->kick_fd, &one, sizeof(one));
	pthread_join(vmm->thread, NULL);
	(void)!read(vmm->kick_fd, &one, sizeof(one));
	vmm->runs = false;
}

struct guest guest_look(struct vmm *vmm)
{
	struct guest guest;

	pthread_mutex_lock(&vmm->lock);
	guest = vmm->guest;
	pthread_mutex_unlock(&vmm->lock);
	return guest;
}

bool guest_wait(struct vmm *vmm, uint64_t seen)
{
	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		if (guest_look(vmm).seen >= seen || __atomic_load_n(&vmm->error, __ATOMIC_RELAXED))
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return guest_look(vmm).seen >= seen;
}
