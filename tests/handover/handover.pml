/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * handover - a model of how a unit of devices passes from host to host, for spin. docs/ownership.md has the rules; their
 * numbers stand here where they are kept. Stages, steps, phases and verdicts have the names of the code, and a test
 * compares them.
 *
 *   Network     a set of messages that only grows; a receiver may read any of them at any time, any number of times, or
 *               never. That is loss, delay, another order, repetition, replay and a cut connection in one.
 *   Crash       a controller (a vmig process) loses what it knows, at any step. The device servers live on.
 *   Remains     what a dead or frozen controller had under way: of each host one command to a device, and one swap of the
 *               record, may take effect at any later time.
 *   Record      a swap is atomic; its outcome may stay unknown, with the swap done, not done, or yet to be done; the
 *               store may be away for some time.
 *   Operator    starts up to NA migrations, each from the owner of that moment to any other host.
 *
 * `newest` is a ghost: this copy of the device is the newest there is. Running it makes all other copies, and all data on
 * the way, old. Every run of the model ends, so that Final sees the end of each.
 *
 * Bounds: H hosts (2, 3), ND devices of the unit (1, 2), NA migrations, NS accepted offers (replays too), NC crashes,
 *   NP controllers that never return, NU swaps whose outcome stays unknown, NR times that the store goes away, NX device
 *   servers that die.
 * PIPE (must hold too): the promise is sent along with the last data.
 * Wrong on purpose, one rule each (must fail): V_NOEPOCH V_NORAISE V_NAK V_RESTART V_RUNFIRST V_NOPROMISE V_NOFENCE
 *   V_DISCARD V_NOATTEMPT V_REUSE V_NOBARRIER V_FREE V_ANYLIFE V_STABLE; tests/handover/check-model has the bounds.
 * ONLY_TWO leaves only "never two owners that run".
 */
#ifndef H
#define H 2
#endif
#ifndef ND
#define ND 1
#endif
#ifndef NA
#define NA 2
#endif
#ifndef NS
#define NS (NA + 1)
#endif
#ifndef NC
#define NC 1
#endif
#ifndef NP
#define NP 0
#endif
#ifndef NU
#define NU 1
#endif
#ifndef NR
#define NR 1
#endif
#ifndef NX
#define NX 0
#endif
#define NOBODY 3

/* --- devices: the state machine's states, as far as they matter ------------------------------------------------- */

#define DEV_BLANK       0 /* nothing of ours is in it: parked, whatever it calls that */
#define DEV_RUNNING     1
#define DEV_RUNNING_P2P 2
#define DEV_STOP        3 /* source: STOP_COPY or STOP; destination: RESUMING -> STOP, all loaded */
#define DEV_RESUMING    4

byte dev[H * ND];
bit newest[H * ND];    /* ghost */
byte bound[H * ND];    /* to this attempt, when it began to load */

#define X(h, i)    ((h) * ND + (i))
#define runs_(x)   (dev[x] == DEV_RUNNING || dev[x] == DEV_RUNNING_P2P)
#define intact_(x) (runs_(x) || dev[x] == DEV_STOP)

#if ND == 1
#define any_runs(h)   runs_(X(h, 0))
#define all_intact(h) intact_(X(h, 0))
#define all_newest(h) newest[X(h, 0)]
#define all(h, s)     (dev[X(h, 0)] == s)
#define BITS(h)       newest[X(h, 0)]
#define barrier_ok(h) true
#else
#define any_runs(h)   (runs_(X(h, 0)) || runs_(X(h, 1)))
#define all_intact(h) (intact_(X(h, 0)) && intact_(X(h, 1)))
#define all_newest(h) (newest[X(h, 0)] && newest[X(h, 1)])
#define all(h, s)     (dev[X(h, 0)] == s && dev[X(h, 1)] == s)
#define BITS(h)       (newest[X(h, 0)] + 2 * newest[X(h, 1)])
/* Who runs may touch the others: none of them is stopped, then. */
#define barrier_ok(h) (!((dev[X(h, 0)] == DEV_RUNNING && !runs_(X(h, 1))) || (dev[X(h, 1)] == DEV_RUNNING && !runs_(X(h, 0)))))
#endif

/* --- the record ------------------------------------------------------------------------------------------------- */

#define PHASE_NONE    0
#define PHASE_STABLE  1
#define PHASE_OPEN    2
#define PHASE_TAKEN   3
#define PHASE_RUNNING 4

byte owner, epoch, peer = NOBODY, phase = PHASE_NONE;
bit store_up = 1;

#define STEP_CREATE   1
#define STEP_OPEN     2
#define STEP_RAISE    3
#define STEP_COMMIT   4
#define STEP_BUMP     5
#define STEP_GIVEBACK 6
#define STEP_DONE     7

/* --- controllers ------------------------------------------------------------------------------------------------ */

/* Where a controller is. S_ and D_ are the stages of source and destination; DO_ are the verdicts of the restart rule. */
mtype = {
	DOWN, GONE, START, ASK,
	DO_RUN_ALL, DO_RAISE_THEN_RUN, DO_GIVE_BACK, DO_LOST_DEVICE, DO_FENCE, DO_KEEP,
	OWNS, FREE,
	S_HELLO, S_OFFER, S_PRECOPY, S_QUIESCE, S_SWITCHOVER, S_VERIFY, S_COMMIT,
	D_PRECOPY, D_VERIFY, D_COMMIT, D_RUN
};
mtype at[H];
byte my[H];       /* attempt */
byte saw[H];      /* the epoch that the next swap is to find */
bit same_life[H]; /* this very process has committed, and has run nothing since */

/* --- attempts and their messages -------------------------------------------------------------------------------- */

#define OFFER     1
#define ACCEPT    2
#define FIN       4
#define READY     8
#define PROMISE   16
#define COMMITTED 32
#define NAK       64

byte src[NA + 1], dst[NA + 1], of_epoch[NA + 1], sent[NA + 1], data[NA + 1] /* ghost: newest, a bit a device */, na = 0;

/* Is a message of attempt a one of attempt b? */
#ifdef V_NOATTEMPT
#define same(a, b) (of_epoch[a] == of_epoch[b] && src[a] == src[b])
#else
#define same(a, b) (a == b)
#endif

/* --- what is left to go wrong ----------------------------------------------------------------------------------- */

byte nc = NC, np = NP, nu = NU, nr = NR, ns = NS, nx = NX;
bit calm = 0;         /* nothing goes wrong any more, and nobody starts a migration */
bit lost = 0, ran = 1; /* ghosts: the owner's device server has died; it has run since it took over */

#define CMD_RUN   1
#define CMD_STOP  2
#define CMD_RESET 3
#define CMD_LOAD  4
byte left_cmd[H], left_cmd_arg[H];                 /* a command that is under way without its controller */
byte left_step[H], left_step_saw[H], left_step_a[H]; /* and a swap */

/* --- what is always so ------------------------------------------------------------------------------------------ */

#if H == 3
#define two_run  (any_runs(0) && any_runs(1) || any_runs(0) && any_runs(2) || any_runs(1) && any_runs(2))
#define at_home  ((!any_runs(0) || owner == 0) && (!any_runs(1) || owner == 1) && (!any_runs(2) || owner == 2))
#define n_run    (any_runs(0) + any_runs(1) + any_runs(2))
#define barriers (barrier_ok(0) && barrier_ok(1) && barrier_ok(2))
#define kept     (at[0] == DO_KEEP || at[1] == DO_KEEP || at[2] == DO_KEEP)
#else
#define two_run  (any_runs(0) && any_runs(1))
#define at_home  ((!any_runs(0) || owner == 0) && (!any_runs(1) || owner == 1))
#define n_run    (any_runs(0) + any_runs(1))
#define barriers (barrier_ok(0) && barrier_ok(1))
#define kept     (at[0] == DO_KEEP || at[1] == DO_KEEP)
#endif

#ifdef ONLY_TWO /* look for two owners that run, and for nothing else */
#define ALSO(x) assert(true || (x))
#else
#define ALSO(x) assert(x)
#endif
#define CHECK \
	assert(!two_run); \
	ALSO(at_home);                                             /* who runs is the owner */ \
	ALSO(NX > 0 || barriers); \
	ALSO(lost || (all_intact(owner) && all_newest(owner)))     /* the owner can run, with nothing lost */

/* --- what is done to a device ----------------------------------------------------------------------------------- */

inline make_old(i) {
	newest[X(0, i)] = 0; newest[X(1, i)] = 0;
#if H == 3
	newest[X(2, i)] = 0;
#endif
	k = 1;
	do
	:: k <= NA -> data[k] = data[k] & (3 - (1 << (i))); k++
	:: else -> k = 0; break
	od
}

inline run_device(h, i) {
	if
	:: dev[X(h, i)] == DEV_STOP ->
		ALSO(newest[X(h, i)]); /* never from old or mixed state */
		ran = 1; make_old(i); newest[X(h, i)] = 1; dev[X(h, i)] = DEV_RUNNING_P2P
	:: dev[X(h, i)] == DEV_RUNNING_P2P -> dev[X(h, i)] = DEV_RUNNING
	:: else
	fi
}

inline stop_device(h, i) {
	if
	:: dev[X(h, i)] == DEV_RUNNING -> dev[X(h, i)] = DEV_RUNNING_P2P
	:: dev[X(h, i)] == DEV_RUNNING_P2P -> dev[X(h, i)] = DEV_STOP
	:: else
	fi
}

/* The last data of attempt a, on what of it was loaded before. */
inline load_device(h, i, a) {
	dev[X(h, i)] = DEV_STOP;
	newest[X(h, i)] = (bound[X(h, i)] == a && ((data[a] >> (i)) & 1))
}

inline reset_device(x) {
	dev[x] = DEV_BLANK; newest[x] = 0; bound[x] = 0
}

inline reset_all(h) {
	reset_device(X(h, 0));
#if ND == 2
	reset_device(X(h, 1));
#endif
}

inline discard(h) {
	reset_all(h); my[h] = 0; saw[h] = 0; same_life[h] = 0; at[h] = FREE
}

/* --- what is done to the record: vmig_owner_next(), and a swap that finds the record as it was seen ------------- */

inline end_attempt() {
	epoch++; peer = NOBODY;
	if
	:: phase == PHASE_OPEN -> phase = PHASE_STABLE
	:: else ->
#ifdef V_STABLE
		phase = PHASE_STABLE /* wrong: whoever had it before would free its copy */
#else
		skip
#endif
	fi
}

inline swap(step, h, e, a) {
	ok = 0;
	if
	:: step == STEP_CREATE && phase == PHASE_NONE -> owner = h; epoch = 1; phase = PHASE_STABLE; ok = 1
	:: step == STEP_OPEN && owner == h && epoch == e && phase != PHASE_TAKEN ->
		epoch++; peer = dst[a]; phase = PHASE_OPEN; ok = 1
	:: step == STEP_RAISE && owner == h && epoch == e -> end_attempt(); ok = 1
#ifdef V_NOEPOCH
	:: step == STEP_COMMIT && owner == src[a] ->
#else
	:: step == STEP_COMMIT && owner == src[a] && epoch == e && peer == h && phase == PHASE_OPEN ->
#endif
		owner = h; epoch++; peer = NOBODY; phase = PHASE_TAKEN; ok = 1;
		ran = 0; lost = !(all_intact(h) && all_newest(h))
	:: step == STEP_BUMP && epoch == e && phase == PHASE_OPEN -> end_attempt(); ok = 1
	:: step == STEP_GIVEBACK && owner == h && epoch == e && phase == PHASE_TAKEN ->
		owner = src[a]; epoch++; phase = PHASE_STABLE; ok = 1;
		ran = 1; lost = !(all_intact(owner) && all_newest(owner))
	:: step == STEP_DONE && owner == h && epoch == e && phase == PHASE_TAKEN -> phase = PHASE_RUNNING; ok = 1
	:: else
	fi;
	CHECK
}

/* --- crashes ---------------------------------------------------------------------------------------------------- */

#define crash(h)         at[h] = DOWN; my[h] = 0; saw[h] = 0; same_life[h] = 0
#define may_leave_cmd(h) (nc > 0 && left_cmd[h] == 0)
#define leave_cmd(h, cmd, arg) nc--; left_cmd[h] = cmd; left_cmd_arg[h] = arg; crash(h)
#define may_leave_step(h) (nu > 0 && left_step[h] == 0)
#define leave_step(h, step, a) nu--; left_step[h] = step; left_step_saw[h] = saw[h]; left_step_a[h] = a

#define offered_(h, a) (dst[a] == h && (sent[a] & OFFER))
#if NA == 1
#define offered(h) offered_(h, 1)
#elif NA == 2
#define offered(h) (offered_(h, 1) || offered_(h, 2))
#else
#define offered(h) (offered_(h, 1) || offered_(h, 2) || offered_(h, 3))
#endif

#if ND == 1
#define choose_device(i) i = 0
#else
#define choose_device(i) if :: i = 0 :: i = 1 fi
#endif

/* An attempt that one of attempt my[h] is taken for, and of which `what` was sent; NA + 1: there is none. */
inline find(h, what) {
	a = 1;
	do
	:: a <= NA && same(a, my[h]) && (sent[a] & what) -> break
	:: a <= NA && !(same(a, my[h]) && (sent[a] & what)) -> a++
	:: a > NA -> break
	od
}

proctype Controller(byte h) {
	byte i, a, k;
	bit ok;

	do
	:: atomic { at[h] == DOWN -> at[h] = START }
	:: atomic { nc > 0 && at[h] != DOWN && at[h] != GONE && at[h] != START ->
		nc--; crash(h);
		if
		:: np > 0 -> np--; at[h] = GONE
		:: true
		fi }

	/* --- the restart rule, also when in doubt: vmig_owner_decide() --- */

	:: atomic { at[h] == START -> /* the devices are taken for this life alone: what was under way is drained or refused */
#ifndef V_NOFENCE
		left_cmd[h] = 0; left_cmd_arg[h] = 0;
#endif
		at[h] = ASK }

	:: atomic { at[h] == ASK && store_up ->
		CHECK;
		if
		:: owner == h && all_intact(h) && any_runs(h) -> at[h] = DO_RUN_ALL
		:: owner == h && all_intact(h) && !any_runs(h) ->
#ifdef V_RESTART
			at[h] = DO_RUN_ALL /* wrong: the record says that it is mine, so run */
#else
			saw[h] = epoch; at[h] = DO_RAISE_THEN_RUN
#endif
		:: owner == h && !all_intact(h) ->
			ALSO(lost);
			if
#ifdef V_ANYLIFE
			:: phase == PHASE_TAKEN && !any_runs(h) -> saw[h] = epoch; at[h] = DO_GIVE_BACK /* wrong: it may have run */
#else
			:: phase == PHASE_TAKEN && same_life[h] && !any_runs(h) -> saw[h] = epoch; at[h] = DO_GIVE_BACK
#endif
			:: else -> at[h] = DO_LOST_DEVICE
			fi
		:: owner != h ->
			ALSO(!any_runs(h)); /* DO_DOUBT: the protocol does not lead here */
			if
#ifdef V_DISCARD
			:: false /* wrong: a commit of mine may be under way */
#else
			:: peer == h -> saw[h] = epoch; at[h] = DO_FENCE
#endif
			:: else ->
				if
				:: phase == PHASE_TAKEN && all_intact(h) -> my[h] = 0; at[h] = DO_KEEP
				:: else -> discard(h); CHECK /* DO_DISCARD */
				fi
			fi
		fi }

	:: atomic { at[h] == DO_FENCE && store_up ->
		if
		:: swap(STEP_BUMP, h, saw[h], 0);
			if
			:: ok -> discard(h); CHECK
			:: else -> at[h] = ASK
			fi
		:: nu > 0 -> nu--; swap(STEP_BUMP, h, saw[h], 0); at[h] = ASK
		:: may_leave_step(h) -> leave_step(h, STEP_BUMP, 0); at[h] = ASK
		fi;
		saw[h] = 0; ok = 0 }

	:: atomic { at[h] == DO_RAISE_THEN_RUN && store_up -> /* 12 */
		if
		:: swap(STEP_RAISE, h, saw[h], 0); if :: ok -> at[h] = DO_RUN_ALL :: else -> at[h] = ASK fi
		:: nu > 0 -> nu--; swap(STEP_RAISE, h, saw[h], 0); at[h] = ASK
		:: may_leave_step(h) -> leave_step(h, STEP_RAISE, 0); at[h] = ASK
		fi;
		saw[h] = 0; ok = 0 }

	:: atomic { at[h] == DO_GIVE_BACK && store_up -> /* 13 */
		ALSO(!any_runs(h));
#ifdef V_ANYLIFE
		if :: my[h] == 0 -> my[h] = na :: else fi;
#endif
		if
		:: swap(STEP_GIVEBACK, h, saw[h], my[h]); if :: ok -> discard(h); CHECK :: else -> at[h] = ASK fi
		:: nu > 0 -> nu--; swap(STEP_GIVEBACK, h, saw[h], my[h]); at[h] = ASK
		:: may_leave_step(h) -> leave_step(h, STEP_GIVEBACK, my[h]); at[h] = ASK
		fi;
		saw[h] = 0; ok = 0 }

	:: atomic { at[h] == DO_KEEP && store_up && owner == h -> at[h] = ASK }
	:: atomic { at[h] == DO_KEEP && store_up && owner != h && phase != PHASE_TAKEN -> discard(h); CHECK } /* 11 */

	/* --- run: all to RUNNING_P2P, then all to RUNNING (10) --- */

	:: atomic { (at[h] == DO_RUN_ALL || at[h] == D_RUN) && all_intact(h) && !all(h, DEV_RUNNING) ->
		choose_device(i);
#if ND == 2
		if
		:: dev[X(h, i)] == DEV_STOP
		:: dev[X(h, i)] == DEV_RUNNING_P2P && runs_(X(h, 1 - i))
		:: else -> i = 1 - i
		fi;
#endif
		if
		:: same_life[h] = 0; run_device(h, i); CHECK
		:: may_leave_cmd(h) -> leave_cmd(h, CMD_RUN, i)
		fi;
		i = 0 }
	:: atomic { (at[h] == DO_RUN_ALL || at[h] == D_RUN) && all(h, DEV_RUNNING) ->
#ifdef V_REUSE
		if
		:: my[h] > 0 && src[my[h]] == h -> at[h] = S_PRECOPY /* wrong: an attempt goes on after it was rolled back */
		:: else -> my[h] = 0; at[h] = OWNS
		fi }
#else
		my[h] = 0; at[h] = OWNS }
#endif
	:: atomic { (at[h] == DO_RUN_ALL || at[h] == D_RUN) && !all_intact(h) -> ALSO(lost); at[h] = ASK }
	:: atomic { at[h] == OWNS && store_up && owner == h && phase == PHASE_TAKEN -> /* 11 */
		swap(STEP_DONE, h, epoch, 0); ok = 0 }

	/* --- source --- */

	:: atomic { at[h] == OWNS && na < NA && !calm && store_up && phase != PHASE_TAKEN -> /* 1 */
		ALSO(owner == h);
		na++; a = na; src[a] = h;
		if
		:: h != 0 -> dst[a] = 0
		:: h != 1 -> dst[a] = 1
#if H == 3
		:: h != 2 && (na > 1 || h != 0) -> dst[a] = 2
#endif
		fi;
		my[h] = a; saw[h] = epoch; at[h] = S_HELLO; a = 0 }
	:: atomic { at[h] == S_HELLO && store_up -> /* 2 */
		a = my[h];
		if
#ifdef V_NOATTEMPT
		:: of_epoch[a] = epoch; peer = dst[a]; phase = PHASE_OPEN; ok = 1 /* wrong: attempts share an epoch */
#else
		:: swap(STEP_OPEN, h, saw[h], a); of_epoch[a] = saw[h] + 1
#endif
		:: nu > 0 -> nu--; swap(STEP_OPEN, h, saw[h], a); ok = 0 /* the attempt is forgotten */
		:: may_leave_step(h) -> leave_step(h, STEP_OPEN, a); ok = 0
		fi;
		if
		:: ok -> sent[a] = OFFER; at[h] = S_OFFER
		:: else -> of_epoch[a] = 0; my[h] = 0; at[h] = OWNS
		fi;
		saw[h] = 0; a = 0; ok = 0 }
	:: atomic { at[h] == S_OFFER ->
		if
		:: sent[my[h]] & ACCEPT -> at[h] = S_PRECOPY
		:: my[h] = 0; at[h] = OWNS
		fi }
	:: atomic { at[h] == S_PRECOPY -> /* 4 */
		if
		:: at[h] = S_QUIESCE
		:: my[h] = 0; at[h] = OWNS
		fi }
	:: atomic { at[h] == S_QUIESCE -> at[h] = S_SWITCHOVER } /* the record knows nothing of the devices' user */
	:: atomic { at[h] == S_SWITCHOVER && all_intact(h) && !all(h, DEV_STOP) -> /* 5 */
		choose_device(i);
#if ND == 2 && !defined(V_NOBARRIER)
		if
		:: dev[X(h, i)] == DEV_RUNNING
		:: dev[X(h, i)] == DEV_RUNNING_P2P && dev[X(h, 1 - i)] != DEV_RUNNING
		:: else -> i = 1 - i
		fi;
#endif
		if
		:: stop_device(h, i); CHECK
		:: may_leave_cmd(h) -> leave_cmd(h, CMD_STOP, i)
		:: my[h] = 0; at[h] = DO_RUN_ALL /* 7 */
		fi;
		i = 0 }
	:: atomic { at[h] == S_SWITCHOVER && all(h, DEV_STOP) ->
		a = my[h]; sent[a] = sent[a] | FIN; data[a] = BITS(h); at[h] = S_VERIFY;
#ifdef PIPE
		sent[a] = sent[a] | PROMISE; at[h] = S_COMMIT;
#endif
		a = 0 }
	:: atomic { at[h] == S_VERIFY ->
		if
		:: sent[my[h]] & READY -> sent[my[h]] = sent[my[h]] | PROMISE; at[h] = S_COMMIT /* 8 */
#ifdef V_REUSE
		:: at[h] = DO_RUN_ALL
#endif
		:: my[h] = 0; at[h] = DO_RUN_ALL /* 7 */
		fi }
	:: atomic { at[h] == S_COMMIT ->
		if
#ifdef V_FREE
		:: sent[my[h]] & COMMITTED -> discard(h); CHECK /* wrong: it has not run there yet */
#else
		:: sent[my[h]] & COMMITTED -> my[h] = 0; at[h] = DO_KEEP
#endif
#ifdef V_NAK
		:: sent[my[h]] & NAK -> my[h] = 0; at[h] = DO_RUN_ALL /* wrong: the destination says no, so run */
#endif
#ifdef V_NORAISE
		:: my[h] = 0; at[h] = DO_RUN_ALL /* wrong: no answer in time, so run */
#else
		:: my[h] = 0; at[h] = ASK /* 12 */
#endif
		fi }
	:: atomic { (at[h] == OWNS || at[h] == S_HELLO || at[h] == S_PRECOPY || at[h] == S_SWITCHOVER) && !all_intact(h) ->
		ALSO(lost); my[h] = 0; saw[h] = 0; at[h] = DO_LOST_DEVICE }

	/* --- destination --- */

	:: atomic { at[h] == FREE && ns > 0 && offered(h) -> /* 3 */
		ALSO(lost || owner != h);
		if
		:: offered_(h, 1) -> a = 1
#if NA > 1
		:: offered_(h, 2) -> a = 2
#endif
#if NA > 2
		:: offered_(h, 3) -> a = 3
#endif
		fi;
		ns--;
		if
		:: reset_all(h); dev[X(h, 0)] = DEV_RESUMING; bound[X(h, 0)] = a;
#if ND == 2
			dev[X(h, 1)] = DEV_RESUMING; bound[X(h, 1)] = a;
#endif
			sent[a] = sent[a] | ACCEPT; my[h] = a; at[h] = D_PRECOPY
		:: may_leave_cmd(h) -> leave_cmd(h, CMD_RESET, 0)
		fi;
		a = 0 }
	:: atomic { at[h] == D_PRECOPY && !all(h, DEV_STOP) ->
		find(h, FIN);
		if
		:: a <= NA ->
			i = 0;
#if ND == 2
			if :: dev[X(h, 0)] != DEV_RESUMING -> i = 1 :: dev[X(h, 1)] == DEV_RESUMING -> i = 1 :: dev[X(h, 0)] == DEV_RESUMING -> i = 0 fi;
#endif
			if
			:: dev[X(h, i)] == DEV_RESUMING ->
				if
#ifdef V_NOATTEMPT
				:: bound[X(h, i)] = a; load_device(h, i, a) /* all of an older attempt, played again */
#endif
				:: load_device(h, i, a)
				:: may_leave_cmd(h) -> leave_cmd(h, CMD_LOAD, i + 2 * a)
				:: discard(h)
				fi
			:: else -> discard(h)
			fi
		:: else -> discard(h) /* the commit has not been asked for */
		fi;
		a = 0; i = 0 }
	:: atomic { at[h] == D_PRECOPY && all(h, DEV_STOP) -> sent[my[h]] = sent[my[h]] | READY; at[h] = D_VERIFY } /* 6 */
	:: atomic { at[h] == D_VERIFY ->
		find(h, PROMISE);
#ifdef V_NOPROMISE
		if :: a > NA -> a = my[h] :: else fi;
#endif
		if
		:: a <= NA && all(h, DEV_STOP) ->
			saw[h] = of_epoch[a]; same_life[h] = 1; at[h] = D_COMMIT;
#ifdef V_RUNFIRST
			i = 0; run_device(h, 0); CHECK
#endif
		:: sent[my[h]] = sent[my[h]] | NAK; discard(h)
		fi;
		a = 0 }
	:: atomic { at[h] == D_COMMIT && store_up -> /* 9 */
		if
		:: !all_intact(h) -> at[h] = ASK
		:: swap(STEP_COMMIT, h, saw[h], my[h]);
			if
			:: ok || (owner == h && epoch == saw[h] + 1 && phase == PHASE_TAKEN) -> /* done now, or when it was tried before */
				sent[my[h]] = sent[my[h]] | COMMITTED; at[h] = D_RUN
			:: else ->
				if
				:: owner == h -> at[h] = ASK
				:: else -> discard(h); CHECK
				fi
			fi;
			saw[h] = 0
		:: nu > 0 -> nu--; swap(STEP_COMMIT, h, saw[h], my[h]); if :: true :: saw[h] = 0; at[h] = ASK fi
		:: may_leave_step(h) -> leave_step(h, STEP_COMMIT, my[h]); if :: true :: saw[h] = 0; at[h] = ASK fi
		fi;
		ok = 0 }
	od
}

/* What dead controllers have left under way. */
proctype Remains() {
	byte k, h, i, a;
	bit ok;

	do
	:: atomic {
		if
		:: left_cmd[0] > 0 -> h = 0
		:: left_cmd[1] > 0 -> h = 1
#if H == 3
		:: left_cmd[2] > 0 -> h = 2
#endif
		fi;
		i = left_cmd_arg[h] & 1; a = left_cmd_arg[h] / 2;
		if
		:: left_cmd[h] == CMD_RUN -> run_device(h, i)
		:: left_cmd[h] == CMD_STOP -> stop_device(h, i)
		:: left_cmd[h] == CMD_RESET -> reset_all(h)
		:: left_cmd[h] == CMD_LOAD && dev[X(h, i)] == DEV_RESUMING -> load_device(h, i, a)
		:: else
		fi;
		left_cmd[h] = 0; left_cmd_arg[h] = 0; h = 0; i = 0; a = 0; CHECK }
	:: atomic {
		if
		:: left_step[0] > 0 && store_up -> h = 0
		:: left_step[1] > 0 && store_up -> h = 1
#if H == 3
		:: left_step[2] > 0 && store_up -> h = 2
#endif
		fi;
		swap(left_step[h], h, left_step_saw[h], left_step_a[h]);
		left_step[h] = 0; left_step_saw[h] = 0; left_step_a[h] = 0; h = 0; ok = 0 }
	od
}

proctype World() {
	byte x;

	do
	:: atomic { !calm -> calm = 1; nc = 0; nu = 0; nr = 0; nx = 0 } /* at any time */
	:: atomic { store_up && nr > 0 -> nr--; store_up = 0 }
	:: atomic { !store_up -> store_up = 1 }
#if NX > 0
	:: atomic { nx > 0 -> /* a device server dies, and another takes its place */
		nx--;
		if
		:: x = 0
		:: x = 1
#if H * ND > 2
		:: x = 2
#endif
#if H * ND > 3
		:: x = 3
#endif
		fi;
		if
		:: intact_(x) && owner == x / ND -> lost = 1
		:: else
		fi;
		reset_device(x); x = 0 }
#endif
	od
}

/* Nothing can move any more: exactly one side runs, the owner, with all its devices; and no copy is kept for nothing. */
proctype Final() {
	timeout ->
		assert(!two_run);
#if NC == 0 && NX == 1
		ALSO(!(lost && !ran)); /* an owner that has run nothing does not end with the device lost */
#endif
		ALSO(lost || at[owner] == GONE || (n_run == 1 && all(owner, DEV_RUNNING) && phase != PHASE_TAKEN && !kept));
		false
}

init {
	byte i;
	bit ok;

	atomic {
		at[0] = OWNS; at[1] = FREE;
#if H == 3
		at[2] = FREE;
#endif
		dev[0] = DEV_RUNNING; newest[0] = 1;
#if ND == 2
		dev[1] = DEV_RUNNING; newest[1] = 1;
#endif
		swap(STEP_CREATE, 0, 0, 0);
		run Controller(0); run Controller(1);
#if H == 3
		run Controller(2);
#endif
		run Remains(); run World(); run Final()
	}
}
