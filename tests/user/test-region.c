/* SPDX-License-Identifier: BSD-3-Clause */
/* A device driven through its migration region: how it is found, and what is written to device_state. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vmig/region.h>

#include "registers.h"

#define STOP      VMIG_STATE_STOP
#define RUNNING   VMIG_STATE_RUNNING
#define STOP_COPY VMIG_STATE_STOP_COPY
#define RESUMING  VMIG_STATE_RESUMING
#define PRE_COPY  VMIG_STATE_PRE_COPY

static struct vmig_device *drive(struct registers *r)
{
	struct vmig_device *dev;
	struct vmig_error error;
	int code = vmig_drive_v1(r->dev, NULL, &dev, &error);

	ck_assert_msg(!code, "drive: %d: %s: %s", code, error.where, error.text);
	registers_log(r);
	return dev;
}

static void end(struct registers *r, struct vmig_device *dev)
{
	vmig_device_close(dev);
	registers_close(r);
}

static int go(struct vmig_device *dev, uint32_t target)
{
	return vmig_device_set_state(dev, target, VMIG_STATE_NONE, NULL);
}

static uint32_t state_of(struct vmig_device *dev)
{
	uint32_t state;

	ck_assert_int_eq(vmig_device_query_state(dev, &state), 0);
	return state;
}

/* --- how it is found ------------------------------------------------------------------------- */

static int try_to_drive(const struct registers_config *config)
{
	struct registers r;
	struct vmig_device *dev;
	struct vmig_error error = { 0 };
	int code;

	registers_open(&r, config);
	code = vmig_drive_v1(r.dev, NULL, &dev, &error);
	ck_assert_int_eq(code ? error.code : 0, -code);
	if (code)
		ck_assert_int_eq(r.closes, 0); /* it is the caller's still */
	vmig_device_close(code ? r.dev : dev);
	registers_close(&r);
	return code;
}

/* V1-01 "placed at the 0th offset of the VFIO_REGION_SUBTYPE_MIGRATION region". */
TEST(the_region_is_found_by_its_capability_wherever_it_is)
{
	for (uint32_t index = 0; index < 12; index++)
		ck_assert_int_eq(try_to_drive(&(struct registers_config){ .index = index, .n_regions = 12 }),
				 0);
}

TEST(another_type_or_subtype_is_not_it)
{
	ck_assert_int_eq(try_to_drive(&(struct registers_config){ .subtype = 2 }), -EOPNOTSUPP);
	ck_assert_int_eq(try_to_drive(&(struct registers_config){ .type = 2 }), -EOPNOTSUPP);
	ck_assert_int_eq(try_to_drive(&(struct registers_config){ .type = 0x80000003u }), -EOPNOTSUPP);
}

TEST(a_region_that_cannot_be_one_is_refused)
{
	ck_assert_int_eq(try_to_drive(&(struct registers_config){ .size = 32 }), -EPROTO);
	ck_assert_int_eq(try_to_drive(&(struct registers_config){ .flags = VMIG_REGION_READ }), -EPROTO);
	ck_assert_int_eq(try_to_drive(&(struct registers_config){ .flags = VMIG_REGION_WRITE }), -EPROTO);
}

TEST(the_region_is_not_shown_and_all_else_is_passed_on)
{
	const struct registers_config config = { .index = 1, .n_regions = 3 };
	struct vmig_irq_set irqs = { .flags = VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER };
	struct vmig_dma map = { .size = 4096, .prot = VMIG_DMA_READ, .fd = -1, .vaddr = &irqs };
	struct vmig_region region;
	struct registers r;
	struct vmig_device *dev;
	struct vmig_irq irq;
	struct vmig_error error;
	uint32_t value;

	registers_open(&r, &config);
	dev = drive(&r);
	ck_assert_int_eq(vmig_device_query_region(dev, 1, &region), 0);
	ck_assert_uint_eq(region.size, 0);
	ck_assert_int_eq(vmig_device_region_read(dev, 1, 0, &value, 4), -EINVAL);
	ck_assert_int_eq(vmig_device_region_write(dev, 1, 0, &value, 4), -EINVAL);
	ck_assert_int_eq(vmig_device_region_read(dev, 2, 0, &value, 4), 0);
	ck_assert_uint_eq(value, 0x5a5a5a5a);
	ck_assert_int_eq(vmig_device_region_write(dev, 0, 0, &value, 4), 0);
	ck_assert_int_eq(vmig_device_query_irq(dev, 0, &irq), 0);
	ck_assert_uint_eq(irq.count, 3);
	ck_assert_int_eq(vmig_device_set_irqs(dev, &irqs), 0);
	ck_assert_int_eq(vmig_device_map_dma(dev, &map), 0);
	ck_assert_int_eq(r.other_calls, 5);
	ck_assert_int_eq(vmig_device_unmap_dma(dev, 0, 4096), -ENOENT);
	vmig_device_query_error(dev, &error);
	ck_assert_str_eq(error.text, "there is no such mapping");
	ck_assert_str_eq(registers_log(&r), "");
	end(&r, dev);
}

TEST(it_says_what_it_is)
{
	struct vmig_device_info info;
	struct registers r;
	struct vmig_device *dev;

	registers_open(&r, NULL);
	dev = drive(&r);
	vmig_device_query_info(dev, &info);
	ck_assert_uint_eq(info.migration_flags, VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY);
	ck_assert_uint_eq(info.traits,
			  VMIG_TRAIT_LATE_VALIDATION | VMIG_TRAIT_TRANSACTION_SIZES | VMIG_TRAIT_NO_POLL);
	ck_assert_str_eq(info.format, "v1");
	ck_assert_str_eq(info.identity, "test:registers");
	ck_assert_str_eq(info.name, "v1+registers");
	ck_assert_uint_eq(info.n_regions, 0);
	end(&r, dev);
}

/* --- every pair of states -------------------------------------------------------------------- */

/* "STOP" after RESUMING is the sixth: the device itself is still in _RESUMING then. */
enum { LOADED = 8, N_FROM };

static void bring_to(struct registers *r, struct vmig_device *dev, uint32_t from,
		     struct vmig_session **session)
{
	struct iovec end_frame = { (char[]){ "VM1T\0\0\0\0\0\0\0\0\0\0\0" }, 16 };
	uint32_t first = from == LOADED ? RESUMING : from;

	ck_assert_int_eq(vmig_device_set_state(dev, first, VMIG_STATE_NONE, session), 0);
	if (from == LOADED || from == RESUMING)
		ck_assert_int_eq(vmig_session_writev(*session, &end_frame, 1), 0);
	if (from == LOADED)
		ck_assert_int_eq(go(dev, STOP), 0);
	registers_log(r);
}

/* What is written for each pair; "S" reads before a write are those of a read-modify-write. NULL: refused, nothing written. */
static const char *const ways[N_FROM][VMIG_STATE_NR] = {
	[STOP] = { [STOP] = "S",
		   [RUNNING] = "S S=1",
		   [STOP_COPY] = "S S=2",
		   [RESUMING] = "S S=1 S S=4",
		   [PRE_COPY] = "S S=1 S S=3" },
	[RUNNING] = { [STOP] = "S S=0",
		      [RUNNING] = "S",
		      [STOP_COPY] = "S S=2",
		      [RESUMING] = "S S=4",
		      [PRE_COPY] = "S S=3" },
	[STOP_COPY] = { [STOP] = "S S=0",
			[RUNNING] = "S S=1",
			[STOP_COPY] = "S",
			[RESUMING] = "S S=1 S S=4" },
	[RESUMING] = { [STOP] = "S", [RUNNING] = "S S=1", [RESUMING] = "S", [PRE_COPY] = "S S=1 S S=3" },
	[PRE_COPY] = { [STOP] = "S S=1 S S=0",
		       [RUNNING] = "S S=1",
		       [STOP_COPY] = "S S=2",
		       [RESUMING] = "S S=1 S S=4",
		       [PRE_COPY] = "S" },
	[LOADED] = { [STOP] = "S", [RUNNING] = "S S=1", [PRE_COPY] = "S S=1 S S=3" },
};

/* The handle asks for the state before PRE_COPY, and after a failure. */
static const char *without_reads(const char *log, char *ret)
{
	char *to = ret;

	for (const char *at = log; *at; at += strcspn(at, " "), at += *at == ' ')
		if (!strncmp(at, "S=", 2))
			to += sprintf(to, "%.*s ", (int)strcspn(at, " "), at);
	*to = '\0';
	return ret;
}

static void check_pair(uint32_t from, uint32_t to)
{
	struct vmig_session *session = NULL;
	char is[64], wants[64];
	struct registers r;
	struct vmig_device *dev;
	int code;

	registers_open(&r, NULL);
	dev = drive(&r);
	bring_to(&r, dev, from, &session);
	code = go(dev, to);
	ck_assert_msg(!code == !!ways[from][to], "%u to %u: %d", from, to, code);
	without_reads(registers_log(&r), is);
	without_reads(ways[from][to] ? ways[from][to] : "", wants);
	ck_assert_msg(!strcmp(is, wants), "%u to %u: \"%s\", not \"%s\"", from, to, is, wants);
	if (code)
		ck_assert_int_eq(code, -EINVAL);
	ck_assert_uint_eq(state_of(dev), code ? from == LOADED ? STOP : from : to);
	vmig_session_close(session);
	end(&r, dev);
}

/* V1-29 "may optionally change the VFIO device state from _RUNNING to _STOP", V1-37 "the device state should be
 * transitioned from the _RUNNING to the _RESUMING state", V1-39 "the application should change the state from _RESUMING
 * to _RUNNING". */
TEST(every_pair_of_states_is_what_v1_can_do)
{
	static const uint32_t from[] = { STOP, RUNNING, STOP_COPY, RESUMING, PRE_COPY, LOADED };

	for (size_t i = 0; i < 6; i++)
		for (uint32_t to = 0; to < VMIG_STATE_NR; to++)
			check_pair(from[i], to);
}

TEST(the_arcs_are_probed_as_they_are_written)
{
	struct registers r;
	struct vmig_device *dev;

	registers_open(&r, NULL);
	dev = drive(&r);
	for (uint32_t from = 0; from < VMIG_STATE_NR; from++) {
		for (uint32_t to = 0; to < VMIG_STATE_NR; to++) {
			uint32_t next = VMIG_STATE_NONE;
			int code = vmig_device_probe_arc(dev, from, to, &next);
			const char *way = ways[from][to];

			ck_assert_msg(!code == !!way, "%u to %u: %d", from, to, code);
			if (way)
				ck_assert_uint_eq(next, strstr(way, "S=1 S S=") ? RUNNING : to);
		}
	}
	ck_assert_str_eq(registers_log(&r), "");
	end(&r, dev);
}

TEST(p2p_states_are_not_this_devices)
{
	struct registers r;
	struct vmig_device *dev;

	registers_open(&r, NULL);
	dev = drive(&r);
	ck_assert_int_eq(go(dev, VMIG_STATE_RUNNING_P2P), -EINVAL);
	ck_assert_int_eq(go(dev, VMIG_STATE_PRE_COPY_P2P), -EINVAL);
	ck_assert_int_eq(go(dev, 8), -EINVAL);
	ck_assert_str_eq(registers_log(&r), "");
	end(&r, dev);
}

/* --- the register ---------------------------------------------------------------------------- */

/* V1-21 "To preserve them, the user application should perform a read-modify-write operation on this field". */
TEST(reserved_bits_are_preserved)
{
	struct registers r;
	struct vmig_device *dev;

	registers_open(&r, NULL);
	dev = drive(&r);
	r.state |= 0xabcdef08;
	ck_assert_int_eq(go(dev, PRE_COPY), 0);
	ck_assert_uint_eq(r.state, 0xabcdef0b);
	r.state ^= 0x10; /* the device may change them: each write has what was read just before */
	ck_assert_int_eq(go(dev, STOP), 0);
	ck_assert_uint_eq(r.state, 0xabcdef18);
	ck_assert_uint_eq(state_of(dev), STOP);
	end(&r, dev);
}

/* V1-12 "if write(device_state, state) returns an error, read device_state again". */
TEST(after_a_failed_write_the_state_is_read)
{
	struct registers r;
	struct vmig_device *dev;

	registers_open(&r, NULL);
	dev = drive(&r);
	r.fail_at = "S=2";
	r.fail_with = -EBUSY;
	ck_assert_int_eq(go(dev, STOP_COPY), -EBUSY);
	ck_assert_str_eq(registers_log(&r), "S S S=2 S");
	ck_assert_uint_eq(state_of(dev), RUNNING);
	/* V1-16 "may attempt to transition the device to any valid state reachable from the current state". */
	ck_assert_int_eq(go(dev, PRE_COPY), 0);
	end(&r, dev);
}

/* V1-15 "must use the device reset ioctl to recover the device from VFIO_DEVICE_STATE_ERROR state". */
TEST(only_a_reset_leads_out_of_the_error_state)
{
	struct registers r;
	struct vmig_device *dev;

	registers_open(&r, NULL);
	dev = drive(&r);
	r.fail_at = "S=2";
	r.fail_with = -EIO;
	r.fail_to_error = true;
	ck_assert_int_eq(vmig_device_set_state(dev, STOP_COPY, RUNNING, NULL), -EIO);
	ck_assert_uint_eq(state_of(dev), VMIG_STATE_ERROR);
	registers_log(&r);
	for (uint32_t to = STOP; to <= RESUMING; to++)
		ck_assert_int_eq(go(dev, to), -EIO);
	ck_assert_ptr_null(strchr(registers_log(&r), '=')); /* not a single write */
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	ck_assert_int_eq(r.resets, 1);
	ck_assert_uint_eq(state_of(dev), RUNNING);
	end(&r, dev);
}

TEST(invalid_states_of_the_device_are_an_error_of_it)
{
	static const uint32_t invalid[] = { 5, 7, 0x80000005u };
	struct registers r;
	struct vmig_device *dev;
	uint32_t state;

	registers_open(&r, NULL);
	dev = drive(&r);
	for (size_t i = 0; i < 3; i++) {
		r.state = invalid[i];
		ck_assert_int_eq(vmig_device_query_state(dev, &state), -EPROTO);
		ck_assert_int_eq(go(dev, STOP), -EPROTO);
		ck_assert_int_eq(go(dev, PRE_COPY), -EPROTO);
	}
	ck_assert_ptr_null(strchr(registers_log(&r), '='));
	end(&r, dev);
}

TEST(a_half_loaded_device_of_another_user_must_be_reset)
{
	struct registers r;
	struct vmig_device *dev;

	registers_open(&r, NULL);
	r.state = 4;
	dev = drive(&r);
	ck_assert_uint_eq(state_of(dev), RESUMING);
	ck_assert_int_eq(go(dev, RUNNING), -EIO);
	ck_assert_int_eq(go(dev, STOP), -EIO);
	ck_assert_ptr_null(strchr(registers_log(&r), '='));
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	ck_assert_int_eq(go(dev, RESUMING), 0);
	end(&r, dev);
}

TEST(a_device_that_fails_in_between_is_seen_running)
{
	struct registers r;
	struct vmig_device *dev;

	registers_open(&r, NULL);
	dev = drive(&r);
	ck_assert_int_eq(go(dev, STOP), 0);
	r.fail_at = "S=3";
	r.fail_with = -EIO;
	ck_assert_int_eq(go(dev, PRE_COPY), -EIO);
	ck_assert_uint_eq(state_of(dev), RUNNING);
	end(&r, dev);
}

HARNESS("region", T(the_region_is_found_by_its_capability_wherever_it_is),
	T(another_type_or_subtype_is_not_it), T(a_region_that_cannot_be_one_is_refused),
	T(the_region_is_not_shown_and_all_else_is_passed_on), T(it_says_what_it_is),
	T(every_pair_of_states_is_what_v1_can_do), T(the_arcs_are_probed_as_they_are_written),
	T(p2p_states_are_not_this_devices), T(reserved_bits_are_preserved),
	T(after_a_failed_write_the_state_is_read), T(only_a_reset_leads_out_of_the_error_state),
	T(invalid_states_of_the_device_are_an_error_of_it),
	T(a_half_loaded_device_of_another_user_must_be_reset),
	T(a_device_that_fails_in_between_is_seen_running))
