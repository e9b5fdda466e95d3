/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections: what is sent arrives in its order, later; bandwidth is shared by who sends; and what can go wrong on the way. */
#include "sim/parts.h"

/* As many records that nobody reads a sender may have out: what a socket's buffers hold. */
#define WINDOW 16u
/* What a session says, more or less. */
#define TAPE_MAX 256u
/* Nor is there ever more on its way: what has no bound is found here. */
#define MOST 4096u

static int side_of(const struct vmig_sim_conn *c, const struct vmig_sim_end *end)
{
	return end->role == VMIG_SIM_SOURCE ? 0 : 1;
}

/* --- life --- */

uint32_t vmig_sim_connect(struct vmig_sim *sim, uint32_t source, uint32_t destination)
{
	uint32_t i = sim->next_conn;
	struct vmig_sim_conn *c;

	while (sim->conns[i].used)
		i = (i + 1) % sim->n_conns;
	sim->next_conn = (i + 1) % sim->n_conns;
	c = &sim->conns[i];
	c->used = true;
	c->half_open = false;
	c->cut = false;
	c->replayed = false;
	c->extra_ns = 0;
	c->ends[0] = source;
	c->ends[1] = destination;
	for (int s = 0; s < 2; s++) {
		c->shut[s] = false;
		c->told[s] = false;
		c->to[s].next_number = 0;
		c->to[s].expected = 0;
		c->to[s].last_ns = 0;
	}
	return i;
}

static void clear(struct vmig_sim_flow_queue *q)
{
	for (uint32_t i = 0; i < q->used; i++) {
		struct vmig_sim_message *m = &q->ring[(q->first + i) % q->room];

		free(m->payload);
		m->payload = NULL;
	}
	q->used = 0;
	q->first = 0;
}

void vmig_sim_conn_free(struct vmig_sim *sim, uint32_t conn)
{
	struct vmig_sim_conn *c = &sim->conns[conn];

	clear(&c->to[0]);
	clear(&c->to[1]);
	c->used = false;
}

/* --- sending --- */

static bool grow(struct vmig_sim *sim, struct vmig_sim_flow_queue *q)
{
	uint32_t room = q->room ? 2 * q->room : 16;
	struct vmig_sim_message *ring = calloc(room, sizeof(*ring));

	if (!ring) {
		vmig_sim_wrong(sim, "out of memory");
		return false;
	}
	for (uint32_t i = 0; i < q->used; i++)
		ring[i] = q->ring[(q->first + i) % q->room];
	free(q->ring);
	q->ring = ring;
	q->room = room;
	q->first = 0;
	return true;
}

/* The links are taken in turns, piece by piece, so that they are shared alike. When the last byte is out. */
static uint64_t take_link(struct vmig_sim *sim, uint32_t from, uint32_t to, uint64_t bytes)
{
	uint64_t rate = sim->config.bandwidth, shared = sim->config.shared_bandwidth, start = sim->now;
	uint64_t ns = rate ? (uint64_t)((double)bytes * NS_PER_S / (double)rate) : 0;
	uint64_t shared_ns = shared ? (uint64_t)((double)bytes * NS_PER_S / (double)shared) : 0;

	if (rate)
		start = MAX(start, MAX(sim->up_free[from], sim->down_free[to]));
	if (shared)
		start = MAX(start, sim->shared_free);
	sim->up_free[from] = start + ns;
	sim->down_free[to] = start + ns;
	sim->shared_free = start + shared_ns;
	return start + MAX(ns, shared_ns);
}

static void put(struct vmig_sim *sim, struct vmig_sim_conn *c, int to, const struct vmig_sim_message *m,
		const void *payload, uint64_t out_ns)
{
	struct vmig_sim_flow_queue *q = &c->to[to];
	struct vmig_sim_message *at;

	if (q->used == MOST)
		vmig_sim_wrong(sim, "more than %u records are on their way", MOST);
	if (q->used == q->room && !grow(sim, q))
		return;
	at = &q->ring[(q->first + q->used++) % q->room];
	*at = *m;
	at->payload = NULL;
	if (m->len) {
		at->payload = malloc(m->len);
		if (!at->payload) {
			vmig_sim_wrong(sim, "out of memory");
			return;
		}
		memcpy(at->payload, payload, m->len);
	}
	at->at_ns = MAX(q->last_ns, out_ns + vmig_sim_takes(sim, sim->config.latency_ns) + c->extra_ns);
	q->last_ns = at->at_ns;
	if (q->used == 1)
		vmig_sim_at(sim, at->at_ns, VMIG_SIM_EV_LOOK, c->ends[to], 0, sim->ends[c->ends[to]]->life);
}

/* --- replays --- */

void vmig_sim_tape_clear(struct vmig_sim_tape *tape)
{
	for (uint32_t i = 0; i < tape->used; i++)
		free(tape->messages[i].payload);
	free(tape->messages);
	*tape = (struct vmig_sim_tape){ 0 };
}

/* Only where it may be played. */
static void record(struct vmig_sim *sim, const struct vmig_sim_end *from, const struct vmig_sim_message *m,
		   const void *payload)
{
	struct vmig_sim_tape *tape = &sim->units[from->unit].tape;
	bool may = sim->config.faults && (sim->config.kinds & 1u << VMIG_SIM_REPLAY);

	if (!may || tape->used == TAPE_MAX)
		return;
	/* Another session. */
	if (!m->number)
		vmig_sim_tape_clear(tape);
	if (!tape->messages)
		tape->messages = calloc(TAPE_MAX, sizeof(*tape->messages));
	if (!tape->messages)
		return;
	tape->messages[tape->used] = *m;
	tape->messages[tape->used].payload = m->len ? malloc(m->len) : NULL;
	if (tape->messages[tape->used].payload)
		memcpy(tape->messages[tape->used].payload, payload, m->len);
	tape->used += !m->len || tape->messages[tape->used].payload;
}

void vmig_sim_replay(struct vmig_sim *sim, uint32_t destination)
{
	struct vmig_sim_tape *tape = &sim->units[sim->ends[destination]->unit].tape;
	struct vmig_sim_conn *c = &sim->conns[sim->ends[destination]->conn];

	for (uint32_t i = 0; i < tape->used; i++)
		put(sim, c, 1, &tape->messages[i], tape->messages[i].payload, sim->now);
	c->shut[0] = true;
	c->replayed = true;
}

uint64_t vmig_sim_send(struct vmig_sim *sim, struct vmig_sim_end *from, const struct vmig_sim_message *m,
		       const void *payload)
{
	struct vmig_sim_conn *c = &sim->conns[from->conn];
	int to = !side_of(c, from);
	struct vmig_sim_message numbered = *m;
	uint32_t other = sim->ends[c->ends[to]]->host;
	uint64_t out_ns = take_link(sim, from->host, other, m->bytes + m->len + VMIG_STREAM_HEADER_LEN);

	numbered.number = c->to[to].next_number++;
	numbered.attempt = from->attempt;
	if (from->role == VMIG_SIM_SOURCE)
		record(sim, from, &numbered, payload);
	if (c->half_open || c->replayed || c->cut || c->shut[!to] || c->shut[to] ||
	    vmig_sim_fault_due(sim, from->unit, VMIG_SIM_DROP))
		return out_ns;
	numbered.damaged = vmig_sim_fault_due(sim, from->unit, VMIG_SIM_DAMAGE);
	put(sim, c, to, &numbered, payload, out_ns);
	if (vmig_sim_fault_due(sim, from->unit, VMIG_SIM_DOUBLE))
		put(sim, c, to, &numbered, payload, out_ns);
	return out_ns;
}

bool vmig_sim_full(struct vmig_sim *sim, const struct vmig_sim_end *from)
{
	struct vmig_sim_conn *c = &sim->conns[from->conn];
	const struct vmig_sim_flow_queue *q = &c->to[!side_of(c, from)];

	return q->used >= WINDOW && q->ring[(q->first + WINDOW - 1) % q->room].at_ns <= sim->now;
}

/* --- receiving --- */

struct vmig_sim_message *vmig_sim_head(struct vmig_sim *sim, const struct vmig_sim_end *end)
{
	struct vmig_sim_conn *c = &sim->conns[end->conn];
	struct vmig_sim_flow_queue *q = &c->to[side_of(c, end)];

	if (end->conn == VMIG_SIM_NONE)
		return NULL;
	if (!q->used || q->ring[q->first].at_ns > sim->now)
		return NULL;
	return &q->ring[q->first];
}

/* A peer that waited for room goes on. */
static void wake_sender(struct vmig_sim *sim, struct vmig_sim_end *peer, uint32_t index)
{
	for (uint32_t i = 0; peer->alive && i < sim->config.devices; i++) {
		if (!peer->jobs[i].waits)
			continue;
		peer->jobs[i].waits = false;
		vmig_sim_at(sim, sim->now, VMIG_SIM_EV_PIECE, index, i, peer->life);
	}
}

void vmig_sim_pop(struct vmig_sim *sim, const struct vmig_sim_end *end)
{
	struct vmig_sim_conn *c = &sim->conns[end->conn];
	int side = side_of(c, end);
	struct vmig_sim_flow_queue *q = &c->to[side];

	free(q->ring[q->first].payload);
	q->ring[q->first].payload = NULL;
	q->first = (q->first + 1) % q->room;
	q->used--;
	if (q->used)
		vmig_sim_at(sim, MAX(sim->now, q->ring[q->first].at_ns), VMIG_SIM_EV_LOOK, c->ends[side], 0,
			    end->life);
	wake_sender(sim, sim->ends[c->ends[!side]], c->ends[!side]);
}

/* --- the end --- */

bool vmig_sim_end_is_seen(struct vmig_sim *sim, const struct vmig_sim_end *end)
{
	const struct vmig_sim_conn *c = &sim->conns[end->conn];
	int side = side_of(c, end);

	return !c->told[side] && !c->to[side].used && !(c->half_open && !c->shut[side]) &&
	       (c->cut || c->shut[0] || c->shut[1]);
}

static void look_both(struct vmig_sim *sim, const struct vmig_sim_conn *c)
{
	for (int s = 0; s < 2; s++)
		vmig_sim_at(sim, sim->now + vmig_sim_takes(sim, sim->config.latency_ns), VMIG_SIM_EV_LOOK,
			    c->ends[s], 0, sim->ends[c->ends[s]]->life);
}

void vmig_sim_shut(struct vmig_sim *sim, struct vmig_sim_end *end)
{
	struct vmig_sim_conn *c = &sim->conns[end->conn];
	int side = side_of(c, end);

	if (c->shut[side])
		return;
	c->shut[side] = true;
	clear(&c->to[side]);
	look_both(sim, c);
}

/* What has not arrived yet is lost. */
void vmig_sim_cut(struct vmig_sim *sim, uint32_t conn)
{
	struct vmig_sim_conn *c = &sim->conns[conn];

	c->cut = true;
	for (int s = 0; s < 2; s++) {
		struct vmig_sim_flow_queue *q = &c->to[s];

		while (q->used && q->ring[(q->first + q->used - 1) % q->room].at_ns > sim->now)
			free(q->ring[(q->first + --q->used) % q->room].payload);
	}
	look_both(sim, c);
}
