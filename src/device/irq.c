/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/irq.h"

#include <fcntl.h>
#include <poll.h>

#include "device/irq_watch.h"

/* Values as VFIO_IRQ_INFO_*. */
#define INFO_EVENTFD    (1u << 0)
#define INFO_MASKABLE   (1u << 1)
#define INFO_AUTOMASKED (1u << 2)

/* What an eventfd is bound to. */
enum bound { TRIGGER, MASK, UNMASK, N_BOUND };

struct vmig_irq_line {
	int fd[N_BOUND]; /* our own; -1: none. TRIGGER: we signal it; the others: we wait for them */
	bool masked;
	bool pending; /* an edge that waits for the unmask; of a level: the line is up */
};

/** The key of a watched eventfd, and back. */
static uint64_t key_of(uint32_t index, uint32_t sub, enum bound bound)
{
	return ((uint64_t)index << 32 | sub) << 2 | bound;
}

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
			for (int b = 0; b < N_BOUND; b++)
				irqs->lines[i][k].fd[b] = -1;
	}
	return 0;
fail:
	irqs->n = irqs->lines ? irqs->n : 0;
	vmig_irqs_done(irqs);
	return -ENOMEM;
}

void vmig_irqs_done(struct vmig_irqs *irqs)
{
	/* First the thread: it looks at the lines. */
	vmig_irq_watch_free(irqs->watch);
	for (uint32_t i = 0; i < irqs->n; i++) {
		for (uint32_t k = 0; irqs->lines[i] && k < irqs->info[i].count; k++)
			for (int b = 0; b < N_BOUND; b++)
				vmig_closep(&irqs->lines[i][k].fd[b]);
		free(irqs->lines[i]);
	}
	free(irqs->lines);
	free(irqs->info);
	pthread_mutex_destroy(&irqs->lock);
}

/* --- signals ------------------------------------------------------------------------------ */

static void signal_line(const struct vmig_irq_line *line)
{
	struct pollfd can = { .fd = line->fd[TRIGGER], .events = POLLOUT };
	const uint64_t one = 1;

	/*
	 * The eventfd is the user's, who may have filled it and left it blocking. Nothing is lost by
	 * not adding to a full one: it says "signalled" already.
	 */
	if (line->fd[TRIGGER] < 0 || poll(&can, 1, 0) <= 0 || !(can.revents & POLLOUT))
		return;
	if (write(line->fd[TRIGGER], &one, sizeof(one)) < 0)
		return;
}

static bool is_level(const struct vmig_irqs *irqs, uint32_t index)
{
	return irqs->info[index].flags & INFO_AUTOMASKED;
}

/** Somebody listens, it is not masked, and something is pending: tell. */
static void deliver(const struct vmig_irqs *irqs, uint32_t index, struct vmig_irq_line *line)
{
	if (line->fd[TRIGGER] < 0 || line->masked || !line->pending)
		return;
	signal_line(line);
	if (is_level(irqs, index))
		line->masked = true;
	else
		line->pending = false;
}

static void raise_line(struct vmig_irqs *irqs, uint32_t index, struct vmig_irq_line *line)
{
	if (line->fd[TRIGGER] < 0 && !is_level(irqs, index))
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

/* --- eventfds ----------------------------------------------------------------------------- */

static void unbind(struct vmig_irqs *irqs, struct vmig_irq_line *line, enum bound bound)
{
	if (line->fd[bound] < 0)
		return;
	if (bound != TRIGGER)
		vmig_irq_watch_remove(irqs->watch, line->fd[bound]);
	close(line->fd[bound]);
	line->fd[bound] = -1;
}

/** Nobody listens any more. The line of a level stays as the device has it. */
static void disarm(struct vmig_irqs *irqs, uint32_t index, struct vmig_irq_line *line)
{
	unbind(irqs, line, TRIGGER);
	line->masked = false;
	if (!is_level(irqs, index))
		line->pending = false;
}

void vmig_irqs_reset(struct vmig_irqs *irqs)
{
	pthread_mutex_lock(&irqs->lock);
	for (uint32_t i = 0; i < irqs->n; i++) {
		for (uint32_t k = 0; k < irqs->info[i].count; k++) {
			struct vmig_irq_line *line = &irqs->lines[i][k];

			disarm(irqs, i, line);
			unbind(irqs, line, MASK);
			unbind(irqs, line, UNMASK);
			line->pending = false;
		}
	}
	pthread_mutex_unlock(&irqs->lock);
}

/** A user has signalled one of the eventfds that mask or unmask. In the watch's thread. */
static void signalled(void *opaque, uint64_t key)
{
	struct vmig_irqs *irqs = opaque;
	uint32_t index = (uint32_t)(key >> 34), sub = (uint32_t)(key >> 2);
	enum bound bound = key & 3;
	struct vmig_irq_line *line = &irqs->lines[index][sub];

	pthread_mutex_lock(&irqs->lock);
	/* It may have been taken away, or replaced, since it was seen. */
	if (line->fd[bound] >= 0 && vmig_eventfd_take(line->fd[bound])) {
		line->masked = bound == MASK;
		deliver(irqs, index, line);
	}
	pthread_mutex_unlock(&irqs->lock);
}

static void close_all(int *fds, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		vmig_closep(&fds[i]);
}

/** Descriptors of our own for those of @set, or none at all. -1 stays -1. */
static int dup_all(const struct vmig_irq_set *set, int *own, struct vmig_error *error)
{
	for (uint32_t i = 0; i < set->count; i++) {
		own[i] = -1;
		if (set->fds[i] == -1)
			continue;
		if (!vmig_is_eventfd(set->fds[i])) {
			close_all(own, i);
			return vmig_fault(error, -EINVAL, "SET_IRQS", "descriptor %d is no eventfd",
					  set->fds[i]);
		}
		own[i] = fcntl(set->fds[i], F_DUPFD_CLOEXEC, 0);
		if (own[i] < 0) {
			int code = -errno;

			close_all(own, i);
			return vmig_fault(error, code, "SET_IRQS", "no descriptor left for an eventfd");
		}
	}
	return 0;
}

/** Have the new ones watched: all, or none. */
static int watch_all(struct vmig_irqs *irqs, const struct vmig_irq_set *set, const int *own, enum bound bound)
{
	uint32_t done;
	int r = 0;

	if (!irqs->watch)
		r = vmig_irq_watch_new(signalled, irqs, &irqs->watch);
	for (done = 0; done < set->count && !r; done++)
		if (own[done] >= 0)
			r = vmig_irq_watch_add(irqs->watch, own[done],
					       key_of(set->index, set->start + done, bound));
	while (r < 0 && done-- > 0)
		if (own[done] >= 0)
			vmig_irq_watch_remove(irqs->watch, own[done]);
	return r;
}

static void bind_all(struct vmig_irqs *irqs, const struct vmig_irq_set *set, const int *own, enum bound bound)
{
	for (uint32_t i = 0; i < set->count; i++) {
		struct vmig_irq_line *line = &irqs->lines[set->index][set->start + i];

		if (own[i] < 0 && bound == TRIGGER) {
			disarm(irqs, set->index, line);
			continue;
		}
		unbind(irqs, line, bound);
		line->fd[bound] = own[i];
		deliver(irqs, set->index, line);
	}
}

static int set_eventfds(struct vmig_irqs *irqs, const struct vmig_irq_set *set, uint32_t action,
			struct vmig_error *error)
{
	enum bound bound = action == VMIG_IRQ_ACTION_MASK     ? MASK
			   : action == VMIG_IRQ_ACTION_UNMASK ? UNMASK
							      : TRIGGER;
	_autofree_ int *own = reallocarray(NULL, set->count, sizeof(*own));
	int r;

	if (!own)
		return vmig_fault(error, -ENOMEM, "SET_IRQS", "no memory");
	r = dup_all(set, own, error);
	if (r < 0)
		return r;
	pthread_mutex_lock(&irqs->lock);
	if (bound != TRIGGER)
		r = watch_all(irqs, set, own, bound);
	if (!r)
		bind_all(irqs, set, own, bound);
	pthread_mutex_unlock(&irqs->lock);
	if (r < 0) {
		close_all(own, set->count);
		return vmig_fault(error, r, "SET_IRQS", "the eventfds cannot be waited for");
	}
	return 0;
}

/* --- set ---------------------------------------------------------------------------------- */

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
		return set_eventfds(irqs, set, action, error);
	pthread_mutex_lock(&irqs->lock);
	for (uint32_t i = 0; !set->count && i < irqs->info[set->index].count; i++) {
		disarm(irqs, set->index, &irqs->lines[set->index][i]);
		unbind(irqs, &irqs->lines[set->index][i], MASK);
		unbind(irqs, &irqs->lines[set->index][i], UNMASK);
	}
	for (uint32_t i = 0; i < set->count; i++)
		if (!(set->flags & VMIG_IRQ_DATA_BOOL) || set->bools[i])
			act(irqs, set->index, &irqs->lines[set->index][set->start + i], action);
	pthread_mutex_unlock(&irqs->lock);
	return 0;
}
