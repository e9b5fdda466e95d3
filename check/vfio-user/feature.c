/* SPDX-License-Identifier: BSD-3-Clause */
/* DEVICE_FEATURE: get, set, probe; the states that a client may and may not ask for. */
#include <errno.h>
#include <string.h>

#include "wire.h"
#include "vu.h"

static void start(struct check_context *c, struct vu *vu)
{
	vu_start(c, vu);
	vu_needs_migration(vu);
}

void vu_probe(struct check_context *c)
{
	static const struct {
		const char *what;
		uint32_t flags;
		bool there;
	} ways[] = {
		{ "MIGRATION", VU_MIGRATION, true },
		{ "GET of MIGRATION", VU_GET | VU_MIGRATION, true },
		{ "SET of MIGRATION", VU_SET | VU_MIGRATION, false },
		{ "GET and SET of MIGRATION", VU_GET | VU_SET | VU_MIGRATION, false },
		{ "MIG_DEVICE_STATE", VU_STATE, true },
		{ "GET and SET of MIG_DEVICE_STATE", VU_GET | VU_SET | VU_STATE, true },
		{ "a feature that is not there", 0x7ffe, false },
	};
	struct vu vu;

	start(c, &vu);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int r = vu_feature(&vu, 8, VU_PROBE | ways[i].flags, NULL, 0);

		check_did(c, "probed %s", ways[i].what);
		if (r && ways[i].there)
			check_fail(c, "success", "%s", strerror(-r));
		if (!r && !ways[i].there)
			check_fail(c, "an error: only if all of the indicated methods are supported",
				   "success");
	}
}

static void same(struct vu *vu, const uint32_t *words, size_t len)
{
	vu_has(vu, len, "the reply payload must be the same as the request payload");
	if (memcmp(vu->in.body, words, len) != 0)
		check_fail(vu->c, "the reply payload must be the same as the request payload",
			   "%#x %#x ... instead of %#x %#x", vu_u32(vu, 0), vu_u32(vu, 4), words[0],
			   words[1]);
}

void vu_feature_same(struct check_context *c)
{
	const uint32_t probe[2] = { 8, VU_PROBE | VU_GET | VU_MIGRATION };
	const uint32_t set[4] = { 16, VU_SET | VU_STATE, VMIG_STATE_STOP, ~0u };
	struct vu vu;
	struct vu_body b = { 0 };

	start(c, &vu);
	check_did(c, "probed MIGRATION");
	vu_bytes(&b, probe, sizeof(probe));
	vu_must(&vu, VU_FEATURE, &b, "success");
	same(&vu, probe, sizeof(probe));
	check_did(c, "set the device state");
	b.len = 0;
	vu_bytes(&b, set, sizeof(set));
	vu_must(&vu, VU_FEATURE, &b, "success");
	same(&vu, set, sizeof(set));
	vu_to_running(&vu);
}

void vu_feature_get(struct check_context *c)
{
	static const uint32_t features[] = { VU_MIGRATION, VU_STATE };
	struct vu vu;

	start(c, &vu);
	for (size_t i = 0; i < 2; i++) {
		check_did(c, "got feature %u", features[i]);
		if (vu_feature(&vu, 64, VU_GET | features[i], NULL, 0))
			check_fail(c, "success", "%s", strerror((int)vu.in.error));
		vu_has(&vu, 16, "the data are added in the data section");
		if (vu_u32(&vu, 0) != 16 || vu_u32(&vu, 4) != (VU_GET | features[i]))
			check_fail(c, "the length of the data is added to argsz; the flags of the request",
				   "argsz %u, flags %#x", vu_u32(&vu, 0), vu_u32(&vu, 4));
	}
}

/* The most that may come. */
void vu_feature_argsz(struct check_context *c)
{
	struct vu vu;

	start(c, &vu);
	check_did(c, "got MIGRATION, with an argsz of 8");
	if (!vu_feature(&vu, 8, VU_GET | VU_MIGRATION, NULL, 0) && vu.in.len > 8)
		check_fail(c, "argsz is the maximum size of the reply payload", "%zu bytes", vu.in.len);
}

void vu_feature_exclusive(struct check_context *c)
{
	const uint32_t state[2] = { VMIG_STATE_RUNNING, ~0u };
	struct vu vu;

	start(c, &vu);
	check_did(c, "asked for GET and SET of the device state at once");
	if (!vu_feature(&vu, 16, VU_GET | VU_SET | VU_STATE, state, sizeof(state)))
		check_fail(c, "an error: they are mutually exclusive", "success");
	if (!vu_feature(&vu, 16, VU_STATE, state, sizeof(state)))
		check_observe(c, "an error, as nothing is asked for", "success");
}

/* Ours among them: 9 and 12 are of the kernel's, which a plain server need not have. */
void vu_feature_unknown(struct check_context *c)
{
	static const uint32_t unknown[] = { 0, 3, 4, 5, 100, 0xffff };
	struct vu vu;

	start(c, &vu);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		check_did(c, "got feature %u", unknown[i]);
		if (!vu_feature(&vu, 64, VU_GET | unknown[i], NULL, 0))
			check_observe(c, "only the features of migration are supported", "feature %u is",
				      unknown[i]);
	}
	vu_must_live(&vu);
}

void vu_migration_flags(struct check_context *c)
{
	struct vu vu;

	vu_start(c, &vu);
	if (!vu.migrates)
		check_end(c, CHECK_NOT_APPLICABLE, "", "it does not migrate by VFIO_USER_DEVICE_FEATURE");
	check_did(c, "got MIGRATION");
	if (!(vu.flags & VMIG_MIGRATION_STOP_COPY))
		check_fail(c, "at least VFIO_MIGRATION_STOP_COPY must be set", "flags %#llx",
			   (unsigned long long)vu.flags);
}

/* --- states that cannot be asked for --------------------------------------------------------------------- */

static void refused(struct vu *vu, uint32_t state)
{
	uint32_t before = vu_state(vu), after;

	check_did(vu->c, "asked for state %u in %s", state, check_state_name(before));
	if (!vu_set_state(vu, state, CHECK_WANT_ERROR))
		check_fail(vu->c, "an error", "success");
	if (vu->closed)
		check_fail(vu->c, "an error", "the connection was closed");
	after = vu_state(vu);
	if (after != before)
		check_fail(vu->c, "an error that changes nothing", "the device is in %s",
			   check_state_name(after));
}

static void refused_everywhere(struct vu *vu, uint32_t state)
{
	static const uint32_t from[] = { VMIG_STATE_RUNNING, VMIG_STATE_STOP, VMIG_STATE_STOP_COPY };

	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		vu_enter(vu, from[i]);
		refused(vu, state);
	}
	vu_to_running(vu);
}

void vu_state_error(struct check_context *c)
{
	struct vu vu;

	start(c, &vu);
	refused_everywhere(&vu, VMIG_STATE_ERROR);
}

void vu_state_unsupported(struct check_context *c)
{
	bool any = false;
	struct vu vu;

	start(c, &vu);
	for (uint32_t state = VMIG_STATE_STOP; state < VMIG_STATE_NR; state++) {
		if (vu_has_state(&vu, state))
			continue;
		any = true;
		refused_everywhere(&vu, state);
	}
	if (!any)
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has all states");
}

void vu_state_unknown(struct check_context *c)
{
	static const uint32_t unknown[] = { 8, 9, 100, 0x80000000, 0xfffffffe };
	struct vu vu;

	start(c, &vu);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		refused(&vu, unknown[i]);
	vu_must_live(&vu);
}

void vu_state_back(struct check_context *c)
{
	struct vu vu;

	start(c, &vu);
	if (!vu_has_state(&vu, VMIG_STATE_PRE_COPY))
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has no PRE_COPY");
	vu_enter(&vu, VMIG_STATE_STOP_COPY);
	refused(&vu, VMIG_STATE_PRE_COPY);
	vu_to_running(&vu);
}
