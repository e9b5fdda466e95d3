/* SPDX-License-Identifier: BSD-3-Clause */
#include "kernel-mutant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/uapi.h>

#include "kernel-rule.h"

#define SPEC "nic,state=16K"

static const struct kernel_rule *const tables[] = { kernel_rules_states, kernel_rules_sessions,
						    kernel_rules_data, kernel_rules_feature,
						    kernel_rules_info };

static const struct kernel_rule *find(const char *name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct kernel_rule *rule = tables[i]; rule->name; rule++)
			if (!strcmp(rule->name, name))
				return rule;
	return NULL;
}

const char *kernel_mutant_spec(const char *name)
{
	const struct kernel_rule *rule = name ? find(name) : NULL;

	if (!name)
		return SPEC;
	return rule ? (rule->spec ? rule->spec : SPEC) : NULL;
}

int kernel_mutant_error(int error)
{
	errno = error;
	return -1;
}

/* --- what the good one does ----------------------------------------------------------------------------- */

int kernel_good_ioctl(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return m->good.ioctl(m->good.opaque, fd, request, arg);
}

struct feature_arg *kernel_feature_of(unsigned long request, void *arg)
{
	return request == VMIG_UAPI_DEVICE_FEATURE ? arg : NULL;
}

bool kernel_is(const struct feature_arg *f, uint32_t number, uint32_t methods)
{
	return f && f->flags == (number | methods);
}

int kernel_good_set(struct kernel_mutant *m, int fd, uint32_t state)
{
	struct feature_arg f = { sizeof(f),
				 VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE | VMIG_UAPI_DEVICE_FEATURE_SET,
				 { { state, -1 } } };

	return kernel_good_ioctl(m, fd, VMIG_UAPI_DEVICE_FEATURE, &f);
}

/* Where the device is, as its answers tell. */
static void note(struct kernel_mutant *m, int fd, unsigned long request, const struct feature_arg *before,
		 const struct feature_arg *after, int r)
{
	if (r < 0)
		return;
	if (request == VMIG_UAPI_DEVICE_FEATURE || request == VMIG_UAPI_DEVICE_RESET)
		m->device_fd = fd;
	if (request == VMIG_UAPI_DEVICE_RESET)
		m->from = m->state, m->state = VMIG_STATE_RUNNING, m->was_reset = true;
	if (!kernel_is(before, VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE, VMIG_UAPI_DEVICE_FEATURE_SET) ||
	    before->state.device_state == m->state)
		return;
	m->from = m->state;
	m->state = before->state.device_state;
	m->was_reset = false;
	m->written = m->state == VMIG_STATE_RESUMING ? 0 : m->written;
	m->refused = false;
	if (m->state == VMIG_STATE_STOP_COPY)
		m->saved = 0;
	if (after->state.data_fd >= 0)
		m->session_fd = after->state.data_fd;
}

/* --- its calls ------------------------------------------------------------------------------------------- */

static int do_open(void *opaque, const char *path)
{
	struct kernel_mutant *m = opaque;

	return m->good.open(m->good.opaque, path);
}

static int do_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
	struct kernel_mutant *m = opaque;
	struct feature_arg before = { 0 }, *f = kernel_feature_of(request, arg);
	int r;

	if (f)
		memcpy(&before, f, sizeof(before));
	r = m->rule->ioctl ? m->rule->ioctl(m, fd, request, arg) : kernel_good_ioctl(m, fd, request, arg);
	note(m, fd, request, f ? &before : NULL, f, r);
	return r;
}

static ssize_t do_read(void *opaque, int fd, void *buf, size_t len)
{
	struct kernel_mutant *m = opaque;
	ssize_t r = m->good.read(m->good.opaque, fd, buf, len);

	if (r > 0 && m->state == VMIG_STATE_STOP_COPY) {
		if (!m->saved)
			m->first = *(uint8_t *)buf;
		m->saved += (size_t)r;
	}
	return m->rule->read ? m->rule->read(m, fd, buf, len, r) : r;
}

static ssize_t do_write(void *opaque, int fd, const void *buf, size_t len)
{
	struct kernel_mutant *m = opaque;
	ssize_t r = m->rule->write ? m->rule->write(m, fd, buf, len)
				   : m->good.write(m->good.opaque, fd, buf, len);

	if (r > 0)
		m->written += (size_t)r;
	return r;
}

static int do_poll(void *opaque, struct pollfd *fds, nfds_t n, int timeout_ms)
{
	struct kernel_mutant *m = opaque;
	int r = m->good.poll(m->good.opaque, fds, n, timeout_ms);

	return m->rule->poll ? m->rule->poll(m, fds, r) : r;
}

static int do_close(void *opaque, int fd)
{
	struct kernel_mutant *m = opaque;

	if (m->rule->close)
		m->rule->close(m, fd);
	if (fd == m->device_fd)
		m->device_fd = -1;
	return m->good.close(m->good.opaque, fd);
}

static int do_dup(void *opaque, int fd)
{
	struct kernel_mutant *m = opaque;

	return m->good.dup(m->good.opaque, fd);
}

static off_t do_lseek(void *opaque, int fd, off_t offset, int whence)
{
	struct kernel_mutant *m = opaque;

	return m->rule->seeks ? offset : m->good.lseek(m->good.opaque, fd, offset, whence);
}

void kernel_mutant_break(const char *name, struct check_calls *calls)
{
	struct kernel_mutant *m;

	if (!name)
		return;
	m = calloc(1, sizeof(*m));
	if (!m)
		abort();
	*m = (struct kernel_mutant){
		.rule = find(name), .good = *calls, .state = VMIG_STATE_RUNNING, .device_fd = -1
	};
	*calls = (struct check_calls){ do_open,  do_ioctl, do_read,  do_write, do_poll,
				       do_close, do_dup,   do_lseek, m };
}
