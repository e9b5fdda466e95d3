/* SPDX-License-Identifier: BSD-3-Clause */
/* Mutants of DMA, of regions, and of what is left of a user. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vu-mutant.h"

#define PAGE 4096u

static bool done(const struct vu_seen *m, uint16_t command)
{
	return vu_is(m, command) && !vu_seen_failed(m);
}

/* --- DMA_MAP ------------------------------------------------------------------------------------------ */

static bool map_payload(struct vu_proxy *p, struct vu_seen *m)
{
	if (done(m, C_DMA_MAP))
		vu_seen_payload(m, "0123", 4);
	return true;
}

static bool success_instead(struct vu_proxy *p, struct vu_seen *m)
{
	return VU_SUCCEED(p, m, NULL, 0);
}

static bool map_over(struct vu_proxy *p, struct vu_seen *m)
{
	bool over = vu_is(m, C_DMA_MAP) && vu_seen_failed(m) && m->at[12] == EEXIST;

	return over ? success_instead(p, m) : true;
}

static bool map_nothing(struct vu_proxy *p, struct vu_seen *m)
{
	bool nothing = vu_is(m, C_DMA_MAP) && m->len == PAYLOAD + 32 && !vu_seen_u64(m, 24);

	return nothing ? success_instead(p, m) : true;
}

/* --- DMA_UNMAP ---------------------------------------------------------------------------------------- */

static bool unmap_bare(struct vu_proxy *p, struct vu_seen *m)
{
	if (done(m, C_DMA_UNMAP))
		vu_seen_payload(m, NULL, 0);
	return true;
}

static bool unmap_parts(struct vu_proxy *p, struct vu_seen *m)
{
	bool part = vu_is(m, C_DMA_UNMAP) && vu_seen_failed(m) && vu_seen_u64(&p->last, 16) == 2 * PAGE;

	return part ? success_instead(p, m) : true;
}

static bool keep_memory(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_DMA_MAP) && m->n_fds)
		(void)mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, m->fds[0], 0);
	return true;
}

static bool unmap_none_of_all(struct vu_proxy *p, struct vu_seen *m)
{
	bool all = vu_is(m, C_DMA_UNMAP) && vu_seen_u32(m, 4) == 2;

	return all ? success_instead(p, m) : true;
}

/* --- what is left of a user ---------------------------------------------------------------------------- */

static bool keep_irq(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_SET_IRQS) && m->n_fds)
		(void)!dup(m->fds[0]);
	return true;
}

enum { USERS = 1 };

static bool count_users(struct vu_proxy *p, struct vu_seen *m)
{
	vu_mutant_memory[USERS] += vu_is(m, C_VERSION);
	return true;
}

static bool forget_state(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is_feature(m, GET | STATE) && vu_mutant_memory[USERS] > 1)
		vu_seen_set32(m, PAYLOAD + 8, 2);
	return true;
}

/* --- regions -------------------------------------------------------------------------------------------- */

static bool read_less(struct vu_proxy *p, struct vu_seen *m)
{
	if (done(m, C_REGION_READ) && vu_seen_u32(m, 8) == 7 && vu_seen_u32(m, 12) == 64)
		vu_seen_set32(m, PAYLOAD + 12, 63);
	return true;
}

static bool lose_write(struct vu_proxy *p, struct vu_seen *m)
{
	bool line = vu_is(m, C_REGION_WRITE) && vu_seen_u64(m, 0) == 0x3c && m->len == PAYLOAD + 17;

	return line ? VU_SUCCEED(p, m, m->at + PAYLOAD, 16) : true;
}

static bool read_any_region(struct vu_proxy *p, struct vu_seen *m)
{
	bool any = vu_is(m, C_REGION_READ) && vu_seen_u32(m, 8) == ~0u;

	return any ? VU_SUCCEED(p, m, "0123456789abcdef....", 20) : true;
}

static bool any_count(struct vu_proxy *p, struct vu_seen *m)
{
	bool large = vu_is(m, C_REGION_READ) && vu_seen_u32(m, 12) == 1u << 30;

	return large ? VU_SUCCEED(p, m, m->at + PAYLOAD, 16) : true;
}

static bool count_less(struct vu_proxy *p, struct vu_seen *m)
{
	if (done(m, C_WRITE_MULTI) && vu_seen_u64(m, 0) == 3)
		vu_seen_set32(m, PAYLOAD, 2);
	return true;
}

/* --- the device's DMA ----------------------------------------------------------------------------------- */

static bool no_offset(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_DMA_MAP) && m->n_fds)
		vu_seen_set32(m, PAYLOAD + 8, 0);
	return true;
}

static bool larger_limit(struct vu_proxy *p, struct vu_seen *m)
{
	char *at = vu_is(m, C_VERSION) ? memmem(m->at, m->len, "size\":256", 9) : NULL;

	if (at)
		memcpy(at + 6, "999", 3);
	return true;
}

/* The first one goes astray. */
static bool elsewhere(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_DMA_WRITE) && !(vu_seen_flags(m) & 1) && !p->n++)
		vu_seen_set32(m, PAYLOAD + 4, 1);
	return true;
}

static bool note_dma(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_DMA_WRITE)) {
		p->words[0]++;
		vu_seen_copy(&p->held, m);
	}
	return true;
}

/* Who waits for an answer hears nothing else. */
static bool stall(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_DMA_WRITE))
		p->words[0] = 0;
	return !p->words[0] || !vu_is(m, C_GET_INFO);
}

#define STRAY 0xfffe

static bool drop_stray(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_DMA_WRITE))
		p->words[0] = 0;
	return !(vu_is(m, C_DMA_WRITE) && vu_seen_id(m) == STRAY);
}

/* Once more, after the memory was unmapped in mid-flight. */
static bool write_again(struct vu_proxy *p, struct vu_seen *m)
{
	note_dma(p, m);
	if (!done(m, C_DMA_UNMAP) || !p->words[0])
		return true;
	vu_send_on(p->user, m);
	vu_seen_set16(&p->held, 0, STRAY);
	p->words[0] = 0;
	usleep(1000); /* the user answers what it has kept first; either order is wrong */
	vu_send_on(p->user, &p->held);
	return false;
}

static bool write_to_all(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_DMA_MAP) && vu_seen_u32(m, 4) == 1)
		vu_seen_set32(m, PAYLOAD + 4, 3);
	return true;
}

/* Bits are lost on the way. */
static bool read_wrong(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_DMA_READ) && vu_seen_flags(m) & 1 && m->len > PAYLOAD + 16)
		m->at[PAYLOAD + 16] ^= 1;
	return true;
}

/* --- the twin socket: what should come there comes here --------------------------------------------------- */

static int twin = -1;

static void *twin_to_user(void *opaque)
{
	int user = (int)(intptr_t)opaque;
	uint8_t buf[8192];
	ssize_t n;

	while ((n = read(twin, buf, sizeof(buf))) > 0)
		if (write(user, buf, (size_t)n) != n)
			break;
	return NULL;
}

static bool take_twin(struct vu_proxy *p, struct vu_seen *m)
{
	pthread_t thread;
	int fds[2];

	if (!vu_is(m, C_VERSION) || m->n_fds != 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return true;
	twin = m->fds[0];
	m->fds[0] = fds[0]; /* the other end of it stays open, and silent */
	pthread_create(&thread, NULL, twin_to_user, (void *)(intptr_t)dup(p->user));
	pthread_detach(thread);
	return true;
}

static bool hide_twin(struct vu_proxy *p, struct vu_seen *m)
{
	char *at = vu_is(m, C_VERSION) ? memmem(m->at, m->len, "twin_socket", 11) : NULL;

	if (at)
		at[0] = 'T';
	return true;
}

/* There is room for a few of them only. */
static bool few_maps(struct vu_proxy *p, struct vu_seen *m)
{
	if (!vu_is(m, C_DMA_MAP) || ++p->n <= 500)
		return true;
	vu_fail(p, m, ENOSPC);
	return false;
}

static bool answer_twin(struct vu_proxy *p, struct vu_seen *m)
{
	if (!(vu_seen_flags(m) & 1) || twin < 0)
		return true;
	vu_send_on(twin, m);
	return false;
}

const struct vu_mutant vu_mutants_dma[] = {
	{ "map-with-payload", .reply = map_payload },
	{ "maps-over", .reply = map_over },
	{ "maps-nothing", .request = map_nothing },
	{ "unmap-without-payload", .reply = unmap_bare },
	{ "unmaps-parts", .reply = unmap_parts },
	{ "keeps-memory", .request = keep_memory },
	{ "unmaps-none-of-all", .request = unmap_none_of_all },
	{ "keeps-interrupts", .request = keep_irq },
	{ "forgets-state", .request = count_users, .reply = forget_state },
	{ "region-read-of-less", .reply = read_less },
	{ "loses-region-write", .request = lose_write },
	{ "reads-any-region", .request = read_any_region },
	{ "any-count", .request = any_count },
	{ "counts-less", .reply = count_less },
	{ "ignores-offset", .request = no_offset },
	{ "ignores-limit", .request = larger_limit },
	{ "writes-elsewhere", .reply = elsewhere },
	{ "stalls", .request = stall, .reply = note_dma },
	{ "writes-after-unmap", .request = drop_stray, .reply = write_again },
	{ "writes-to-read-only", .request = write_to_all },
	{ "reads-wrong", .request = read_wrong, .spec = "accel,state=16K,records=1000000" },
	{ "no-twin", .request = hide_twin },
	{ "few-mappings", .request = few_maps },
	{ "no-use-of-twin", .request = answer_twin, .reply = take_twin },
	{ 0 },
};
