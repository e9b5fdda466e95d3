/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A user that never asks for a new state never reads one, even after a failed combination: over both views of a device
 * whose every arc may fail, the register of v1 and the states of v2, and over both on top of each other.
 */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/v1.h"
#include "handle/provider.h"
#include "stack.h"

/* --- a device that fails --------------------------------------------------------------------- */

struct shaky {
	uint64_t features;
	uint32_t state;
	bool sound;      /* fails no more */
	uint64_t walked; /* the states that it was in, as bits */
};

static ssize_t shaky_readv(void *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct shaky *shaky = s;

	if (rand() % 3 == 0)
		return shaky->state == VMIG_STATE_STOP_COPY ? 0 : -ENOMSG;
	memset(iov->iov_base, 7, iov->iov_len);
	return (ssize_t)iov->iov_len;
}

static int shaky_writev(void *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	return 0;
}

static const struct vmig_session_ops saves = { .readv = shaky_readv }, loads = { .writev = shaky_writev };

/* One arc at a time, as a kernel driver does; a failed combination leaves it wherever it was on its way. */
static int set_state(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error)
{
	struct shaky *shaky = p;
	bool saved = shaky->state == VMIG_STATE_STOP_COPY || shaky->state >= VMIG_STATE_PRE_COPY;
	uint32_t next;

	if (shaky->state == VMIG_STATE_ERROR)
		return -EIO;
	while (shaky->state != target) {
		if (vmig_state_next(shaky->features, shaky->state, target, &next))
			return -EINVAL;
		if (!shaky->sound && rand() % 4 == 0) {
			if (rand() % 8 == 0)
				shaky->state = VMIG_STATE_ERROR;
			return -EIO;
		}
		saved = saved && (next == VMIG_STATE_STOP_COPY || next >= VMIG_STATE_PRE_COPY);
		shaky->state = next;
		shaky->walked |= 1u << next;
	}
	ret->s = p;
	if (target == VMIG_STATE_RESUMING)
		ret->ops = &loads;
	else if ((target == VMIG_STATE_STOP_COPY || target >= VMIG_STATE_PRE_COPY) && !saved)
		ret->ops = &saves;
	return 0;
}

static int query_state(void *p, uint32_t *ret_state, struct vmig_error *error)
{
	*ret_state = ((struct shaky *)p)->state;
	return 0;
}

static int reset(void *p, struct vmig_error *error)
{
	((struct shaky *)p)->state = VMIG_STATE_RUNNING;
	return 0;
}

static const struct vmig_provider_ops shaky_ops = { .query_state = query_state,
						    .set_state = set_state,
						    .reset = reset };

static const uint64_t feature_sets[] = { 1, 3, 5, 7 };

static void open_shaky(struct shaky *shaky, uint64_t features, const char *layers, struct stack *stack)
{
	const struct vmig_device_info info = {
		.flags = VMIG_DEVICE_FLAG_RESET, .migration_flags = features, .format = "v2", .name = "shaky"
	};
	struct vmig_device *dev;

	*shaky = (struct shaky){ .features = features, .state = VMIG_STATE_RUNNING };
	ck_assert_int_eq(vmig_device_new(&shaky_ops, shaky, &info, &dev), 0);
	stack_open(stack, dev, layers, &(struct vmig_v1_config){ .section_size = 4096 });
}

/* A socket is slow. */
static int rounds(const char *layers)
{
	return strchr(layers, 'v') ? 40 : 200;
}

/* --- the view of v2 -------------------------------------------------------------------------- */

static const uint32_t targets[] = { VMIG_STATE_RUNNING, VMIG_STATE_STOP, VMIG_STATE_STOP_COPY,
				    VMIG_STATE_RESUMING, VMIG_STATE_PRE_COPY };

/* What a user does who knows of the states in @known only, some of the targets. */
struct user {
	uint32_t known;
	uint32_t asked; /* as bits */
	struct vmig_session *session;
	int failed, done;
};

static uint32_t pick(const struct user *user)
{
	for (;;) {
		uint32_t target = targets[(size_t)rand() % ARRAY_SIZE(targets)];

		if (user->known & 1u << target)
			return target;
	}
}

static void some_data(struct user *user)
{
	char buf[600];
	struct iovec iov = { buf, sizeof(buf) };

	if (user->session && rand() % 2)
		(void)!vmig_session_readv(user->session, &iov, 1);
}

static void ask(struct user *user, struct vmig_device *dev)
{
	uint32_t target = pick(user), recover = rand() % 2 ? pick(user) : VMIG_STATE_NONE, state;
	struct vmig_session *session = NULL;
	int r;

	user->asked |= 1u << target;
	if (recover != VMIG_STATE_NONE)
		user->asked |= 1u << recover;
	r = vmig_device_set_state(dev, target, recover, &session);
	user->failed += r < 0;
	user->done += !r;
	if (session) {
		vmig_session_close(user->session);
		user->session = session;
	}
	some_data(user);
	ck_assert_int_eq(vmig_device_query_state(dev, &state), 0);
	ck_assert_msg(user->asked & 1u << state || state == VMIG_STATE_ERROR,
		      "to %u, or back to %u: %d: reads %u, and asked only for %#x", target, recover, r, state,
		      user->asked);
	if (!r)
		ck_assert_uint_eq(state, target);
	if (state == VMIG_STATE_ERROR || rand() % 16 == 0)
		ck_assert_int_eq(vmig_device_reset(dev), 0);
}

static void ask_on(const char *layers, uint64_t features, uint32_t known)
{
	struct user user = { .known = known | 1u << VMIG_STATE_RUNNING, .asked = 1u << VMIG_STATE_RUNNING };
	struct shaky shaky;
	struct stack stack;

	open_shaky(&shaky, features, layers, &stack);
	for (int i = 0; i < rounds(layers); i++)
		ask(&user, stack.dev);
	/* But for who never leaves RUNNING, or only for a pre-copy that the device does not have. */
	if (user.known & 1u << VMIG_STATE_STOP_COPY)
		ck_assert(user.failed > 0 && user.done > 0);
	vmig_session_close(user.session);
	stack_close(&stack);
}

TEST(a_user_of_v2_reads_only_what_it_has_asked_for)
{
	static const char *const layers[] = { "sd", "sdsd", "svd" };

	srand(harness_seed());
	for (size_t l = 0; l < ARRAY_SIZE(layers); l++)
		for (size_t f = 0; f < ARRAY_SIZE(feature_sets); f++)
			for (uint32_t set = 0; set < 32; set++) {
				uint32_t known = 0;

				for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
					known |= set & 1u << i ? 1u << targets[i] : 0;
				ask_on(layers[l], feature_sets[f], known);
			}
}

/* --- the view of v1 -------------------------------------------------------------------------- */

static void write_on(const char *layers, uint64_t features, uint32_t known)
{
	uint32_t asked = 1u << 1;
	struct shaky shaky;
	struct stack stack;
	struct v1 v;

	open_shaky(&shaky, features, layers, &stack);
	v1_open(&v, stack.dev);
	for (int i = 0; i < rounds(layers); i++) {
		uint32_t value = (uint32_t)rand() % 5, state;

		if (!(known & 1u << value))
			continue;
		asked |= 1u << value;
		(void)!v1_put32(&v, V1_DEVICE_STATE, value);
		state = v1_state(&v);
		ck_assert_msg(state < 7 && (asked & 1u << state || state == 6),
			      "wrote %u: reads %u, and asked only for %#x", value, state, asked);
		if (state == 6 || rand() % 16 == 0)
			ck_assert_int_eq(vmig_device_reset(v.dev), 0);
	}
	v.dev = NULL;
	v1_close(&v);
	stack_close(&stack);
}

TEST(a_user_of_v1_reads_only_what_it_has_asked_for)
{
	static const char *const layers[] = { "s", "sds", "sv" };

	srand(harness_seed());
	for (size_t l = 0; l < ARRAY_SIZE(layers); l++)
		for (size_t f = 0; f < ARRAY_SIZE(feature_sets); f++)
			for (uint32_t known = 0; known < 32; known++)
				write_on(layers[l], feature_sets[f], known);
}

/* "P2P unsupported": the device may walk through its own P2P states; whoever looks at it through v1 sees none. */
TEST(the_device_itself_walks_through_p2p)
{
	struct shaky shaky;
	struct stack stack;

	open_shaky(&shaky, 7, "sd", &stack);
	shaky.sound = true;
	ck_assert_int_eq(vmig_device_set_state(stack.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), 0);
	ck_assert(shaky.walked & 1u << VMIG_STATE_RUNNING_P2P);
	ck_assert_int_eq(vmig_device_set_state(stack.dev, VMIG_STATE_RUNNING_P2P, VMIG_STATE_NONE, NULL),
			 -EINVAL);
	stack_close(&stack);
}

HARNESS("compose-views", T_SLOW(a_user_of_v2_reads_only_what_it_has_asked_for, 60),
	T_SLOW(a_user_of_v1_reads_only_what_it_has_asked_for, 60), T(the_device_itself_walks_through_p2p))
