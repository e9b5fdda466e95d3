/* SPDX-License-Identifier: BSD-3-Clause */
/* What the handle checks before a provider sees it, and the sessions of providers that are odd or wrong. */
#include "harness.h"

#include <errno.h>
#include <string.h>

#include "script.h"

static struct script script;
static char buf[64];
static const struct iovec into = { buf, sizeof(buf) };

/* --- arguments -------------------------------------------------------------------------------- */

TEST(what_a_provider_lacks_is_not_supported)
{
	const struct vmig_device_info info = { .flags = 1,
					       .n_regions = 1,
					       .n_irqs = 1,
					       .migration_flags = 7,
					       .has = UINT32_MAX,
					       .dma_kinds = 7 };
	const struct vmig_dma map = { .size = 4096, .prot = 1, .fd = -1, .vaddr = buf };
	const struct vmig_irq_set irqs = { .flags = VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER,
					   .count = 1 };
	const struct vmig_range range = { 0, 4096 };
	struct vmig_ioeventfd ioeventfd;
	struct vmig_region region;
	struct vmig_irq irq;
	uint64_t size = 4096;
	uint32_t state;

	script_open_bare(&script, &info);
	ck_assert_int_eq(vmig_device_query_state(script.dev, &state), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_set_state(script.dev, 1, VMIG_STATE_NONE, NULL), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_reset(script.dev), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_query_stop_copy_size(script.dev, &size), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_query_region(script.dev, 0, &region), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_region_read(script.dev, 0, 0, buf, 1), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_region_write(script.dev, 0, 0, buf, 1), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_query_ioeventfds(script.dev, 0, &ioeventfd, 1), 0);
	ck_assert_int_eq(vmig_device_query_irq(script.dev, 0, &irq), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_set_irqs(script.dev, &irqs), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_map_dma(script.dev, &map), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_unmap_dma(script.dev, 0, 4096), -EOPNOTSUPP);
	size = 4096;
	ck_assert_int_eq(vmig_device_dma_log_start(script.dev, &size, &range, 1), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_dma_log_stop(script.dev), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_dma_log_report(script.dev, 0, 4096, 4096, &size), -EOPNOTSUPP);
	vmig_device_set_timeout(script.dev, 1);
	script_close(&script);
	vmig_device_close(NULL);
}

TEST(what_a_provider_does_not_announce_is_not_asked)
{
	const struct vmig_device_info info = { .migration_flags = 7 };
	const struct vmig_range range = { 0, 4096 };
	struct vmig_session *session;
	struct vmig_precopy sizes;
	uint64_t size = 4096;

	script_open_info(&script, &info);
	script.starts_session = true;
	ck_assert_int_eq(vmig_device_query_stop_copy_size(script.dev, &size), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_dma_log_start(script.dev, &size, &range, 1), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_dma_log_stop(script.dev), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_dma_log_report(script.dev, 0, 4096, 4096, &size), -EOPNOTSUPP);
	ck_assert_str_eq(script.asked, "");
	ck_assert_int_eq(vmig_device_set_state(script.dev, 6, VMIG_STATE_NONE, &session), 0);
	ck_assert_int_eq(vmig_session_query_precopy(session, &sizes), -EOPNOTSUPP);
	ck_assert_str_eq(script.asked, "get set:6");
	vmig_session_close(session);
	script_close(&script);
}

TEST(answers_are_handed_on)
{
	const struct vmig_range range = { 0, 4096 };
	struct vmig_region region;
	struct vmig_irq irq;
	uint64_t size;

	script_open(&script, 0);
	for (script.r = 0; script.r > -2; script.r--) {
		script_forget(&script);
		ck_assert_int_eq(vmig_device_query_stop_copy_size(script.dev, &size), script.r);
		ck_assert_uint_eq(size, 77);
		ck_assert_int_eq(vmig_device_query_region(script.dev, 1, &region), script.r);
		ck_assert_int_eq(vmig_device_region_read(script.dev, 1, 0, buf, 1), script.r);
		ck_assert_int_eq(vmig_device_region_write(script.dev, 1, 0, buf, 1), script.r);
		ck_assert_int_eq(vmig_device_query_irq(script.dev, 1, &irq), script.r);
		ck_assert_int_eq(vmig_device_unmap_dma(script.dev, 0, 4096), script.r);
		size = 4096;
		ck_assert_int_eq(vmig_device_dma_log_start(script.dev, &size, &range, 1), script.r);
		ck_assert_uint_eq(size, 65536); /* the one that the device chose */
		ck_assert_int_eq(vmig_device_dma_log_stop(script.dev), script.r);
		ck_assert_int_eq(vmig_device_dma_log_report(script.dev, 0, 4096, 4096, &size), script.r);
		ck_assert_str_eq(script.asked, "region:1 in:1 out:1 irq:1 unmap start stop report");
	}
	vmig_device_set_timeout(script.dev, 5);
	script_close(&script);
}

TEST(accesses_of_regions_are_checked)
{
	struct vmig_ioeventfd ioeventfd;
	struct vmig_region region;
	struct vmig_irq irq;

	script_open(&script, 0);
	ck_assert_int_eq(vmig_device_query_region(script.dev, 2, &region), -EINVAL);
	ck_assert_int_eq(vmig_device_query_region(script.dev, UINT32_MAX, &region), -EINVAL);
	ck_assert_int_eq(vmig_device_region_read(script.dev, 2, 0, buf, 1), -EINVAL);
	ck_assert_int_eq(vmig_device_region_write(script.dev, 2, 0, buf, 1), -EINVAL);
	ck_assert_int_eq(vmig_device_region_read(script.dev, 0, UINT64_MAX, buf, 1), -EINVAL);
	ck_assert_int_eq(vmig_device_region_write(script.dev, 0, UINT64_MAX - 6, buf, 8), -EINVAL);
	ck_assert_int_eq(vmig_device_query_ioeventfds(script.dev, 2, &ioeventfd, 1), -EINVAL);
	ck_assert_int_eq(vmig_device_query_ioeventfds(script.dev, 1, &ioeventfd, -1), -EINVAL);
	ck_assert_int_eq(vmig_device_query_irq(script.dev, 2, &irq), -EINVAL);
	ck_assert_int_eq(vmig_device_region_read(script.dev, 0, 0, NULL, 0), 0);
	ck_assert_str_eq(script.asked, "");
	script_close(&script);
}

TEST(mappings_are_checked)
{
	const uint64_t top = UINT64_MAX - 4095;
	const struct {
		struct vmig_dma map;
		int r;
	} cases[] = {
		{ { .size = 4096, .prot = 3, .fd = -1, .vaddr = buf }, 0 },
		{ { .iova = top, .size = 4096, .prot = 3, .fd = -1, .vaddr = buf }, 0 },
		{ { .size = 0, .prot = 3, .fd = -1, .vaddr = buf }, -EINVAL },
		{ { .size = 4095, .prot = 3, .fd = -1, .vaddr = buf }, -EINVAL },
		{ { .iova = 1, .size = 4096, .prot = 3, .fd = -1, .vaddr = buf }, -EINVAL },
		{ { .iova = top, .size = 8192, .prot = 3, .fd = -1, .vaddr = buf }, -EINVAL },
		{ { .size = 4096, .prot = 0, .fd = -1, .vaddr = buf }, -EINVAL },
		{ { .size = 4096, .prot = 4, .fd = -1, .vaddr = buf }, -EINVAL },
		{ { .size = 4096, .prot = 7, .fd = -1, .vaddr = buf }, 0 },
		{ { .size = 4096, .prot = 15, .fd = -1, .vaddr = buf }, -EINVAL },
		{ { .size = 4096, .prot = 3, .fd = -1 }, -EINVAL },
		{ { .size = 4096, .prot = 3, .fd = 0, .fd_offset = top, .vaddr = buf }, -EINVAL },
		{ { .size = 4096, .prot = 3, .fd = 0 }, -EOPNOTSUPP }, /* this one takes addresses only */
		{ { .size = 4096, .prot = 3, .fd = 0, .vaddr = buf }, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		script_open(&script, 0);
		ck_assert_msg(vmig_device_map_dma(script.dev, &cases[i].map) == cases[i].r, "case %zu", i);
		ck_assert_str_eq(script.asked, cases[i].r ? "" : "map");
		script_close(&script);
	}
}

TEST(log_arguments_are_checked)
{
	const struct vmig_range good = { 0, 8192 }, odd = { 4096, 8192 };
	uint64_t page = 8192, zero = 0, odd_page = 12288, bits = 0;

	script_open(&script, 0);
	ck_assert_int_eq(vmig_device_dma_log_start(script.dev, &zero, &good, 1), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_start(script.dev, &odd_page, &good, 1), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_start(script.dev, &page, &good, 0), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_start(script.dev, &page, &odd, 1), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_report(script.dev, 0, 0, 4096, &bits), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_report(script.dev, 0, 4096, 0, &bits), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_report(script.dev, 0, 4096, 4097, &bits), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_report(script.dev, 4096, UINT64_MAX, 4096, &bits), -EINVAL);
	ck_assert_str_eq(script.asked, "");
	script_close(&script);
}

/* --- zero is drained --------------------------------------------------------------------------- */

static struct vmig_session *start(uint32_t state)
{
	struct vmig_session *session;

	script.starts_session = true;
	ck_assert_int_eq(vmig_device_set_state(script.dev, state, VMIG_STATE_NONE, &session), 0);
	script.starts_session = false;
	script_forget(&script);
	return session;
}

/** The answers of a provider that says 0 when it is drained, read in @state. */
static ssize_t read_zero(uint32_t traits, uint32_t state, uint32_t state_after, const char *asked)
{
	struct vmig_session *session;
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	ssize_t got;
	int n;

	script_open(&script, VMIG_TRAIT_ZERO_IS_DRAINED | traits);
	session = start(state);
	script.state_after = state_after;
	got = traits ? vmig_session_lend(session, 10, iov, &n) : vmig_session_readv(session, &into, 1);
	ck_assert_str_eq(script.asked, asked);
	vmig_session_close(session);
	script_close(&script);
	return got;
}

TEST(zero_in_pre_copy_is_drained)
{
	ck_assert_int_eq(read_zero(0, VMIG_STATE_PRE_COPY, 0, "read get"), -ENOMSG);
	ck_assert_int_eq(read_zero(0, VMIG_STATE_PRE_COPY_P2P, 0, "read get"), -ENOMSG);
	ck_assert_int_eq(read_zero(VMIG_TRAIT_LENDS, VMIG_STATE_PRE_COPY, 0, "lend get"), -ENOMSG);
}

TEST(zero_in_stop_copy_is_the_end_when_it_is_said_again)
{
	ck_assert_int_eq(read_zero(0, VMIG_STATE_STOP_COPY, 0, "read get read"), 0);
	ck_assert_int_eq(read_zero(VMIG_TRAIT_LENDS, VMIG_STATE_STOP_COPY, 0, "lend get lend"), 0);
	/* The state moved while it was read: the 0 may be that of PRE_COPY. */
	ck_assert_int_eq(read_zero(0, VMIG_STATE_PRE_COPY, VMIG_STATE_STOP_COPY, "read get read"), 0);
	ck_assert_int_eq(read_zero(0, VMIG_STATE_STOP_COPY, VMIG_STATE_STOP, "read get"), -ENODEV);
}

TEST(zero_before_the_transition_does_not_hide_what_comes_after)
{
	static const ssize_t reads[] = { 0, 33 };
	struct vmig_session *session;

	script_open(&script, VMIG_TRAIT_ZERO_IS_DRAINED);
	session = start(VMIG_STATE_PRE_COPY);
	script.reads = reads;
	script.n_reads = 2;
	script.state_after = VMIG_STATE_STOP_COPY;
	ck_assert_int_eq(vmig_session_readv(session, &into, 1), 33);
	vmig_session_close(session);
	script_close(&script);
}

TEST(zero_without_the_trait_is_the_end)
{
	struct vmig_session *session;

	script_open(&script, 0);
	session = start(VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(vmig_session_readv(session, &into, 1), 0);
	ck_assert_str_eq(script.asked, "read");
	vmig_session_close(session);
	script_close(&script);
}

/* --- providers that are wrong -------------------------------------------------------------------- */

TEST(a_loan_that_is_not_what_it_says_is_refused)
{
	static const ssize_t reads[] = { 8, 20, 20 };
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	struct vmig_session *session;
	int n;

	script_open(&script, VMIG_TRAIT_LENDS);
	session = start(VMIG_STATE_STOP_COPY);
	script.reads = reads;
	script.n_reads = 3;
	script.lies = true;
	ck_assert_int_eq(vmig_session_lend(session, 10, iov, &n), -EIO);
	script.lies = false;
	ck_assert_int_eq(vmig_session_lend(session, 10, iov, &n), -EIO); /* more than was asked for */
	ck_assert_int_eq(vmig_session_readv(session, &(struct iovec){ buf, 10 }, 1), -EIO);
	ck_assert_int_eq(script.given_back, 3);
	vmig_session_close(session);
	script_close(&script);
}

TEST(a_room_that_is_not_what_it_says_is_refused)
{
	static const ssize_t rooms[] = { 8, 20, 0, -EIO, 5 };
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	struct vmig_session *session;
	int n;

	script_open(&script, VMIG_TRAIT_ROOMS);
	script.loading = true;
	session = start(VMIG_STATE_RESUMING);
	script.reads = rooms;
	script.n_reads = 5;
	script.lies = true;
	ck_assert_int_eq(vmig_session_room(session, 10, iov, &n), -EIO);
	script.lies = false;
	ck_assert_int_eq(vmig_session_room(session, 10, iov, &n), -EIO);
	ck_assert_int_eq(vmig_session_room(session, 10, iov, &n), -EIO);
	ck_assert_int_eq(vmig_session_room(session, 10, iov, &n), -EIO);
	ck_assert_int_eq(vmig_session_filled(session, 1), -EINVAL);
	ck_assert_int_eq(vmig_session_room(session, 10, iov, &n), 5);
	ck_assert_int_eq(vmig_session_filled(session, 0), 0);
	ck_assert_str_eq(script.asked, "filled:0"); /* a provider may hold something for it */
	vmig_session_close(session);
	script_close(&script);
}

TEST(a_flush_reaches_the_provider)
{
	struct vmig_session *session;

	script_open(&script, 0);
	script.loading = true;
	session = start(VMIG_STATE_RESUMING);
	script.r = -EIO;
	ck_assert_int_eq(vmig_session_flush(session), -EIO);
	ck_assert_int_eq(vmig_session_writev(session, &into, 1), -EIO);
	ck_assert_str_eq(script.asked, "flush write");
	vmig_session_close(session);
	script_close(&script);
}

HARNESS("handle-calls", T(what_a_provider_lacks_is_not_supported),
	T(what_a_provider_does_not_announce_is_not_asked), T(answers_are_handed_on),
	T(accesses_of_regions_are_checked), T(mappings_are_checked), T(log_arguments_are_checked),
	T(zero_in_pre_copy_is_drained), T(zero_in_stop_copy_is_the_end_when_it_is_said_again),
	T(zero_before_the_transition_does_not_hide_what_comes_after), T(zero_without_the_trait_is_the_end),
	T(a_loan_that_is_not_what_it_says_is_refused), T(a_room_that_is_not_what_it_says_is_refused),
	T(a_flush_reaches_the_provider))
