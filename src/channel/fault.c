/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel/fault.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/fault.h"
#include "base/io.h"
#include "channel/provider.h"

#define PIECES_MAX 32

struct fault_channel {
	struct vmig_channel *lower;
	struct vmig_fault_one fault;
	uint64_t sent;
	int wake_fd; /* readable: it is shut down */
};

/* --- the plan --- */

static const struct {
	const char *name;
	enum vmig_fault_what what;
} names[] = {
	{ "cut=", VMIG_FAULT_CUT },
	{ "corrupt=", VMIG_FAULT_CORRUPT },
	{ "drop=", VMIG_FAULT_DROP },
	{ "delay=", VMIG_FAULT_DELAY },
};

static bool parse_one(const char **text, struct vmig_fault_one *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t len = strlen(names[i].name);
		char *end;

		if (strncmp(*text, names[i].name, len) || (*text)[len] < '0' || (*text)[len] > '9')
			continue;
		errno = 0;
		ret->what = names[i].what;
		ret->at = strtoull(*text + len, &end, 10);
		*text = end;
		return !errno && (ret->what != VMIG_FAULT_DELAY || ret->at <= INT_MAX);
	}
	return false;
}

int vmig_fault_plan_parse(const char *text, struct vmig_fault_plan *ret, struct vmig_error *error)
{
	const char *at = text;

	memset(ret, 0, sizeof(*ret));
	for (;;) {
		if (ret->n == VMIG_FAULTS_MAX)
			return vmig_fault(error, -EINVAL, text, "more than %u faults", VMIG_FAULTS_MAX);
		if (!parse_one(&at, &ret->faults[ret->n++]) || (*at && *at != ','))
			return vmig_fault(error, -EINVAL, text,
					  "a fault is cut=, corrupt=, drop= or delay= and a number; with "
					  "commas between");
		if (!*at++)
			return 0;
	}
}

/* --- the channel --- */

static int cut(struct fault_channel *f)
{
	vmig_channel_shutdown(f->lower);
	return -ECONNRESET;
}

/* The byte at which it is to happen is the first of @at; what happened to it. */
static int strike(struct fault_channel *f, const struct iovec *at)
{
	uint8_t byte = *(const uint8_t *)at->iov_base ^ 0x55;
	struct iovec changed = { .iov_base = &byte, .iov_len = 1 };

	f->sent++;
	if (f->fault.what == VMIG_FAULT_CUT)
		return cut(f);
	return f->fault.what == VMIG_FAULT_CORRUPT ? vmig_channel_send(f->lower, &changed, 1) : 0;
}

static bool is_due(const struct fault_channel *f, size_t len)
{
	return f->fault.what != VMIG_FAULT_DELAY && f->fault.at >= f->sent && f->fault.at - f->sent < len;
}

static int send_struck(struct fault_channel *f, const struct iovec *iov, int n)
{
	struct iovec before[PIECES_MAX], after[PIECES_MAX], *rest = after;
	size_t len = (size_t)(f->fault.at - f->sent);
	int n_before, r = 0;

	memcpy(before, iov, (size_t)n * sizeof(*iov));
	memcpy(after, iov, (size_t)n * sizeof(*iov));
	n_before = vmig_iov_cut(before, n, len);
	if (len)
		r = vmig_channel_send(f->lower, before, n_before);
	f->sent += len;
	vmig_iov_skip(&rest, &n, len);
	if (!r)
		r = strike(f, rest);
	vmig_iov_skip(&rest, &n, 1);
	f->sent += vmig_iov_len(rest, n);
	return r || !n ? r : vmig_channel_send(f->lower, rest, n);
}

static int fault_send(void *self, const struct iovec *iov, int n)
{
	struct fault_channel *f = self;
	size_t len;
	int r;

	if (n < 0 || n > PIECES_MAX)
		return -EINVAL;
	if (f->fault.what == VMIG_FAULT_DELAY && f->fault.at) {
		r = vmig_channel_wait(f->wake_fd, POLLIN, -1, (uint32_t)f->fault.at);
		if (r != -ETIMEDOUT)
			return r ? r : -ECONNRESET;
	}
	len = vmig_iov_len(iov, n);
	if (is_due(f, len))
		return send_struck(f, iov, n);
	f->sent += len;
	return vmig_channel_send(f->lower, iov, n);
}

static ssize_t fault_recv(void *self, const struct iovec *iov, int n)
{
	struct fault_channel *f = self;

	return vmig_channel_recv(f->lower, iov, n);
}

static void fault_set_timeout(void *self, uint32_t ms)
{
	struct fault_channel *f = self;

	vmig_channel_set_timeout(f->lower, ms);
}

static void fault_shutdown(void *self)
{
	struct fault_channel *f = self;
	uint64_t one = 1;

	(void)!write(f->wake_fd, &one, sizeof(one));
	vmig_channel_shutdown(f->lower);
}

static void fault_close(void *self)
{
	struct fault_channel *f = self;

	vmig_channel_close(f->lower);
	close(f->wake_fd);
	free(f);
}

static const struct vmig_channel_ops fault_ops = {
	.send = fault_send,
	.recv = fault_recv,
	.set_timeout = fault_set_timeout,
	.shutdown = fault_shutdown,
	.close = fault_close,
};

int vmig_fault_wrap(struct vmig_fault_plan *plan, struct vmig_channel **channel)
{
	uint32_t i = plan->n ? atomic_fetch_add(&plan->next, 1) : 0;
	struct fault_channel *f;
	int r;

	if (i >= plan->n)
		return 0;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->lower = *channel;
	f->fault = plan->faults[i];
	f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = f->wake_fd < 0 ? -errno : vmig_channel_new(&fault_ops, f, false, channel);
	if (!r)
		return 0;
	if (f->wake_fd >= 0)
		close(f->wake_fd);
	free(f);
	return r;
}
