/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All pairs of states of all four sets of features, walked through a socket. The oracle is a search for the shortest
 * way over the arcs as the uAPI's text lists them; it shares nothing with the library.
 */
#include "harness.h"
#include "peer.h"

#include <errno.h>
#include <unistd.h>

enum { ERROR, STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P, N_STATES };

#define P2P VMIG_MIGRATION_P2P
#define PRE VMIG_MIGRATION_PRE_COPY

/* The text's arcs: which features each needs, and which take it away. */
static const struct {
	uint8_t from, to;
	uint64_t needs, without;
} arcs[] = {
	{ RUNNING_P2P, STOP, P2P, 0 },
	{ STOP_COPY, STOP, 0, 0 },
	{ RESUMING, STOP, 0, 0 },
	{ STOP, RUNNING_P2P, P2P, 0 },
	{ RUNNING, RUNNING_P2P, P2P, 0 },
	{ RUNNING_P2P, RUNNING, P2P, 0 },
	{ STOP, STOP_COPY, 0, 0 },
	{ STOP, RESUMING, 0, 0 },
	{ RUNNING, STOP, 0, P2P },
	{ STOP, RUNNING, 0, P2P },
	{ RUNNING, PRE_COPY, PRE, 0 },
	{ PRE_COPY, RUNNING, PRE, 0 },
	{ RUNNING_P2P, PRE_COPY_P2P, PRE | P2P, 0 },
	{ PRE_COPY_P2P, RUNNING_P2P, PRE | P2P, 0 },
	{ PRE_COPY, PRE_COPY_P2P, PRE | P2P, 0 },
	{ PRE_COPY_P2P, PRE_COPY, PRE | P2P, 0 },
	{ PRE_COPY_P2P, STOP_COPY, PRE | P2P, 0 },
	{ PRE_COPY, STOP_COPY, PRE, P2P },
};

static bool is_arc(uint64_t features, uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < sizeof(arcs) / sizeof(arcs[0]); i++)
		if (arcs[i].from == from && arcs[i].to == to && (features & arcs[i].needs) == arcs[i].needs &&
		    !(features & arcs[i].without))
			return true;
	return false;
}

static bool saving(uint32_t state)
{
	return state == STOP_COPY || state == PRE_COPY || state == PRE_COPY_P2P;
}

static bool exists(uint64_t features, uint32_t state)
{
	if (state == RUNNING_P2P)
		return features & P2P;
	if (state == PRE_COPY)
		return features & PRE;
	if (state == PRE_COPY_P2P)
		return (features & (P2P | PRE)) == (P2P | PRE);
	return true;
}

/*
 * The length of the shortest way, or -1. "The saving group is not passed through": only between two of its own. And
 * "STOP_COPY -> PRE_COPY, STOP_COPY -> PRE_COPY_P2P: not possible".
 */
static int distance(uint64_t features, uint32_t from, uint32_t to)
{
	bool may_save = saving(from) && saving(to);
	int steps[N_STATES];

	if (!exists(features, from) || !exists(features, to) || from == ERROR || to == ERROR)
		return -1;
	if (from == STOP_COPY && (to == PRE_COPY || to == PRE_COPY_P2P))
		return -1;
	for (int s = 0; s < N_STATES; s++)
		steps[s] = -1;
	steps[from] = 0;
	for (int round = 0; round < N_STATES; round++)
		for (uint32_t s = 0; s < N_STATES; s++)
			for (uint32_t t = 0; t < N_STATES; t++)
				if (steps[s] == round && steps[t] < 0 && is_arc(features, s, t) &&
				    (t == to || !saving(t) || may_save))
					steps[t] = round + 1;
	return steps[to];
}

static const uint8_t state_bytes[64];

/* Bring a fresh device to @state; one of RESUMING has all its data, so that it may leave. */
static void bring_to(struct rig *rig, uint64_t features, uint32_t state)
{
	uint32_t drop[32];

	if (state == ERROR) {
		toy_break(rig->toy);
		ck_assert_int_eq(peer_set_state(&rig->peer, STOP), -EIO);
	} else {
		ck_assert_int_eq(peer_set_state(&rig->peer, state), 0);
	}
	if (state == RESUMING)
		ck_assert_int_eq(peer_mig_write(&rig->peer, state_bytes, sizeof(state_bytes)), 0);
	ck_assert_uint_eq(peer_state(&rig->peer), state);
	toy_trace(rig->toy, drop, 32);
}

static void check_way(uint64_t features, uint32_t from, uint32_t to, int want, const uint32_t *way, int n)
{
	uint32_t at = from;

	ck_assert_msg(n == want, "features %d, %u -> %u: %d steps, the shortest way has %d", (int)features,
		      from, to, n, want);
	for (int i = 0; i < n; i++) {
		ck_assert_msg(is_arc(features, at, way[i]), "%u -> %u walked %u -> %u", from, to, at, way[i]);
		at = way[i];
		ck_assert_msg(at == to || !saving(at) || (saving(from) && saving(to)), "%u -> %u passes %u",
			      from, to, at);
	}
	ck_assert_uint_eq(at, to);
}

/* Data flows in the states that the text says, and in no other. */
static void check_session(struct rig *rig, uint32_t state)
{
	ck_assert_int_eq(peer_mig_read(&rig->peer, 8), saving(state) ? 8 : -EINVAL);
	if (state != RESUMING)
		ck_assert_int_lt(peer_mig_write(&rig->peer, state_bytes, 8), 0);
}

static void walk(uint64_t features, uint32_t from, uint32_t to)
{
	struct toy_config config = { .features = features, .state_size = sizeof(state_bytes) };
	int want = distance(features, from, to);
	struct rig rig;
	uint32_t way[32];
	int r, n;

	rig_start(&rig, &config);
	bring_to(&rig, features, from);
	r = peer_set_state(&rig.peer, to);
	n = (int)toy_trace(rig.toy, way, 32);
	ck_assert_msg((r == 0) == (want >= 0), "features %d: %u -> %u gives %d", (int)features, from, to, r);
	if (r) {
		ck_assert_int_eq(r, -EINVAL);
		ck_assert_int_eq(n, 0);
	} else {
		check_way(features, from, to, want, way, n);
	}
	ck_assert_uint_eq(peer_state(&rig.peer), r ? from : to);
	check_session(&rig, r ? from : to);
	ck_assert_int_eq(rig_end(&rig), 0);
}

static void walk_all(uint64_t features)
{
	for (uint32_t from = 0; from < N_STATES; from++)
		for (uint32_t to = 0; to < N_STATES; to++)
			if (exists(features, from))
				walk(features | VMIG_MIGRATION_STOP_COPY, from, to);
}

TEST(all_pairs_without_options)
{
	walk_all(0);
}

TEST(all_pairs_with_p2p)
{
	walk_all(P2P);
}

TEST(all_pairs_with_precopy)
{
	walk_all(PRE);
}

TEST(all_pairs_with_both)
{
	walk_all(PRE | P2P);
}

TEST(states_that_nobody_knows)
{
	static const uint32_t unknown[] = { 8, 9, 31, 32, 64, 255, 256, 0x7fffffff, 0x80000000, UINT32_MAX };
	struct rig rig;

	rig_start(&rig, NULL);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		ck_assert_msg(peer_set_state(&rig.peer, unknown[i]) == -EINVAL, "state %u", unknown[i]);
	ck_assert_uint_eq(peer_state(&rig.peer), RUNNING);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(a_reset_leads_out_of_error)
{
	struct rig rig;

	rig_start(&rig, NULL);
	bring_to(&rig, 7, ERROR);
	ck_assert_int_eq(peer_set_state(&rig.peer, RUNNING), -EINVAL);
	ck_assert_int_eq(peer_call(&rig.peer, C_RESET, NULL), 0);
	ck_assert_uint_eq(peer_state(&rig.peer), RUNNING);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* The session that carries on through PRE_COPY_P2P to STOP_COPY is one: its bytes go on where they stopped. */
TEST(a_session_carries_on)
{
	struct toy_config config = { .state_size = 64 };
	struct rig rig;

	rig_start(&rig, &config);
	for (int i = 0; i < 64; i++)
		toy_state(rig.toy)[i] = (uint8_t)i;
	ck_assert_int_eq(peer_set_state(&rig.peer, PRE_COPY), 0);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 16), 16);
	ck_assert_int_eq(peer_set_state(&rig.peer, PRE_COPY_P2P), 0);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 100), 16);
	ck_assert_uint_eq(rig.peer.in.body.at[8], 16);
	ck_assert_int_eq(peer_set_state(&rig.peer, STOP_COPY), 0);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 100), 32);
	ck_assert_uint_eq(rig.peer.in.body.at[8], 32);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 100), 0);
	/* Out and in again: a new one, from the beginning. */
	ck_assert_int_eq(peer_set_state(&rig.peer, STOP), 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, STOP_COPY), 0);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 100), 64);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(a_device_that_does_not_migrate)
{
	struct toy_config config = { .features = TOY_STAYS };
	struct rig rig;

	rig_start(&rig, &config);
	ck_assert_int_eq(peer_feature(&rig.peer, 16, GET | 1, NULL), -ENOTTY);
	ck_assert_int_eq(peer_feature(&rig.peer, 16, GET | 2, NULL), -ENOTTY);
	ck_assert_int_eq(peer_set_state(&rig.peer, STOP), -ENOTTY);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 8), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

HARNESS("server-states", T(all_pairs_without_options), T(all_pairs_with_p2p), T(all_pairs_with_precopy),
	T(all_pairs_with_both), T(states_that_nobody_knows), T(a_reset_leads_out_of_error),
	T(a_session_carries_on), T(a_device_that_does_not_migrate))
