/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/irq.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

/* Values as VFIO_IRQ_INFO_*. */
#define INFO_EVENTFD (1u << 0)
#define INFO_MASKABLE (1u << 1)
#define INFO_AUTOMASKED (1u << 2)

struct vmig_irq_line {
	int fd; /* our own; -1: nobody listens */
	bool masked;
	bool pending; /* an edge that waits for the unmask; of a level: the line is up */
};

int vmig_irqs_init(struct vmig_irqs *irqs, const struct vmig_irq *info, uint32_t n)
{
	*irqs = (struct vmig_irqs){ .n = n };
	pthread_mutex_init(&irqs->lock, NULL);
	irqs->info = calloc(n ? n : 1, sizeof(*irqs->info));
	irqs->lines = calloc(n ? n : 1, sizeof(*irqs->lines));
	if (!irqs->info || !irqs->lines)
		goto fail;
	for (uint32_t i = 0; i < n; i++) {
		irqs->info[i] = info[i];
		irqs->info[i].index = i;
		irqs->lines[i] = calloc(info[i].count ? info[i].count : 1, sizeof(**irqs->lines));
		if (!irqs->lines[i])
			goto fail;
		for (uint32_t k = 0; k < info[i].count; k++)
			irqs->lines[i][k].fd = -1;
	}
	return 0;
fail:
	irqs->n = irqs->lines ? irqs->n : 0;
	vmig_irqs_done(irqs);
	return -ENOMEM;
}

void vmig_irqs_done(struct vmig_irqs *irqs)
{
	for (uint32_t i = 0; i < irqs->n; i++) {
		for (uint32_t k = 0; irqs->lines[i] && k < irqs->info[i].count; k++)
			vmig_closep(&irqs->lines[i][k].fd);
		free(irqs->lines[i]);
	}
	free(irqs->lines);
	free(irqs->info);
	pthread_mutex_destroy(&irqs->lock);
}

/* --- signals ------------------------------------------------------------------------------ */

static void signal_line(const struct vmig_irq_line *line)
{
	struct pollfd can = { .fd = line->fd, .events = POLLOUT };
	const uint64_t one = 1;

	/*
	 * The eventfd is the user's, who may have filled it and left it blocking. Nothing is lost by
	 * not adding to a full one: it says "signalled" already.
	 */
	if (line->fd < 0 || poll(&can, 1, 0) <= 0 || !(can.revents & POLLOUT))
		return;
	if (write(line->fd, &one, sizeof(one)) < 0)
		return;
}

static bool is_level(const struct vmig_irqs *irqs, uint32_t index)
{
	return irqs->info[index].flags & INFO_AUTOMASKED;
}

/** Somebody listens, it is not masked, and something is pending: tell. */
static void deliver(const struct vmig_irqs *irqs, uint32_t index, struct vmig_irq_line *line)
{
	if (line->fd < 0 || line->masked || !line->pending)
		return;
	signal_line(line);
	if (is_level(irqs, index))
		line->masked = true;
	else
		line->pending = false;
}

static void raise_line(struct vmig_irqs *irqs, uint32_t index, struct vmig_irq_line *line)
{
	if (line->fd < 0 && !is_level(irqs, index))
		return;
	line->pending = true;
	deliver(irqs, index, line);
}

void vmig_irqs_raise(struct vmig_irqs *irqs, uint32_t index, uint32_t sub)
{
	if (index >= irqs->n || sub >= irqs->info[index].count)
		return;
	pthread_mutex_lock(&irqs->lock);
	raise_line(irqs, index, &irqs->lines[index][sub]);
	pthread_mutex_unlock(&irqs->lock);
}

void vmig_irqs_lower(struct vmig_irqs *irqs, uint32_t index, uint32_t sub)
{
	if (index >= irqs->n || sub >= irqs->info[index].count)
		return;
	pthread_mutex_lock(&irqs->lock);
	irqs->lines[index][sub].pending = false;
	pthread_mutex_unlock(&irqs->lock);
}

/* --- set ---------------------------------------------------------------------------------- */

static void disarm(struct vmig_irqs *irqs, uint32_t index, struct vmig_irq_line *line)
{
	vmig_closep(&line->fd);
	line->fd = -1;
	line->masked = false;
	if (!is_level(irqs, index))
		line->pending = false;
}

void vmig_irqs_reset(struct vmig_irqs *irqs)
{
	pthread_mutex_lock(&irqs->lock);
	for (uint32_t i = 0; i < irqs->n; i++) {
		for (uint32_t k = 0; k < irqs->info[i].count; k++) {
			disarm(irqs, i, &irqs->lines[i][k]);
			irqs->lines[i][k].pending = false;
		}
	}
	pthread_mutex_unlock(&irqs->lock);
}

static bool is_eventfd(int fd)
{
	char path[40], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return fcntl(fd, F_GETFD) >= 0; /* no /proc: take its word */
	target[n] = '\0';
	return !strcmp(target, "anon_inode:[eventfd]");
}

/** Descriptors of our own for those of @set, or none at all. -1 stays -1. */
static int dup_all(const struct vmig_irq_set *set, int *own, struct vmig_error *error)
{
	for (uint32_t i = 0; i < set->count; i++) {
		own[i] = -1;
		if (set->fds[i] == -1)
			continue;
		if (set->fds[i] >= 0 && is_eventfd(set->fds[i]))
			own[i] = fcntl(set->fds[i], F_DUPFD_CLOEXEC, 0);
		if (own[i] < 0) {
			int code = set->fds[i] >= 0 && is_eventfd(set->fds[i]) ? -errno : -EINVAL;

			while (i-- > 0)
				vmig_closep(&own[i]);
			return vmig_fault(error, code, "SET_IRQS",
					  "descriptor %d is no eventfd, or there are too many", set->fds[i]);
		}
	}
	return 0;
}

static void arm(struct vmig_irqs *irqs, const struct vmig_irq_set *set, int *own)
{
	for (uint32_t i = 0; i < set->count; i++) {
		struct vmig_irq_line *line = &irqs->lines[set->index][set->start + i];

		if (own[i] < 0) {
			disarm(irqs, set->index, line);
			continue;
		}
		vmig_closep(&line->fd);
		line->fd = own[i];
		deliver(irqs, set->index, line);
	}
}

static int set_eventfds(struct vmig_irqs *irqs, const struct vmig_irq_set *set, struct vmig_error *error)
{
	_autofree_ int *own = NULL;
	int r;

	if (!(set->flags & VMIG_IRQ_ACTION_TRIGGER))
		return vmig_fault(error, -EOPNOTSUPP, "SET_IRQS", "masks by eventfd are not supported");
	own = reallocarray(NULL, set->count, sizeof(*own));
	if (!own)
		return vmig_fault(error, -ENOMEM, "SET_IRQS", "no memory");
	r = dup_all(set, own, error);
	if (r < 0)
		return r;
	pthread_mutex_lock(&irqs->lock);
	arm(irqs, set, own);
	pthread_mutex_unlock(&irqs->lock);
	return 0;
}

/** What a plain action does to one line. TRIGGER is a test by loopback: as if the device had raised an edge. */
static void act(struct vmig_irqs *irqs, uint32_t index, struct vmig_irq_line *line, uint32_t action)
{
	if (action == VMIG_IRQ_ACTION_MASK) {
		line->masked = true;
	} else if (action == VMIG_IRQ_ACTION_UNMASK) {
		line->masked = false;
		deliver(irqs, index, line);
	} else if (!is_level(irqs, index)) {
		raise_line(irqs, index, line);
	} else if (!line->masked) {
		signal_line(line);
	}
}

static int check(const struct vmig_irqs *irqs, const struct vmig_irq_set *set, struct vmig_error *error)
{
	const struct vmig_irq *info = &irqs->info[set->index];
	bool masks = set->flags & (VMIG_IRQ_ACTION_MASK | VMIG_IRQ_ACTION_UNMASK);

	if (set->start >= info->count || set->count > info->count - set->start)
		return vmig_fault(error, -EINVAL, "SET_IRQS", "index %u has %u interrupts, not %u from %u on",
				  set->index, info->count, set->count, set->start);
	if (masks && !(info->flags & INFO_MASKABLE))
		return vmig_fault(error, -EINVAL, "SET_IRQS", "index %u cannot be masked", set->index);
	if ((set->flags & VMIG_IRQ_DATA_EVENTFD) && !(info->flags & INFO_EVENTFD))
		return vmig_fault(error, -EINVAL, "SET_IRQS", "index %u takes no eventfd", set->index);
	return 0;
}

int vmig_irqs_set(struct vmig_irqs *irqs, const struct vmig_irq_set *set, struct vmig_error *error)
{
	uint32_t action =
		set->flags & (VMIG_IRQ_ACTION_MASK | VMIG_IRQ_ACTION_UNMASK | VMIG_IRQ_ACTION_TRIGGER);
	int r = check(irqs, set, error);

	if (r < 0)
		return r;
	if (set->flags & VMIG_IRQ_DATA_EVENTFD)
		return set_eventfds(irqs, set, error);
	pthread_mutex_lock(&irqs->lock);
	if (!set->count)
		for (uint32_t i = 0; i < irqs->info[set->index].count; i++)
			disarm(irqs, set->index, &irqs->lines[set->index][i]);
	for (uint32_t i = 0; i < set->count; i++)
		if (!(set->flags & VMIG_IRQ_DATA_BOOL) || set->bools[i])
			act(irqs, set->index, &irqs->lines[set->index][set->start + i], action);
	pthread_mutex_unlock(&irqs->lock);
	return 0;
}
