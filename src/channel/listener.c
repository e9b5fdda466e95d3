/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener - where peers come in.
 *
 * Where a connection begins with a handshake each peer gets a thread for it, so that one who is slow, or says
 * nothing, does not hold up the next. There are few of them; one more ends the oldest.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/limits.h"
#include "channel/listener.h"
#include "channel/net.h"
#include "channel/provider.h"
#include "channel/stack.h"

struct guest {
	struct vmig_listener *listener;
	pthread_t thread;
	int fd;       /* its socket, to be given to the layers */
	int end_fd;   /* the same socket, to end it by */
	uint64_t age; /* 0: no guest */
	atomic_bool done;
	int code;
	struct vmig_channel *channel; /* code 0 */
	struct vmig_error error;
};

struct vmig_listener {
	atomic_uint refs;
	pthread_mutex_t lock; /* of the guests: sessions look for their peers among them, too */
	struct vmig_stack *stack;
	struct vmig_net_listener net;
	struct vmig_error error;
	int done_fd; /* a guest is done */
	uint64_t ages;
	struct guest guests[VMIG_LIMIT_HANDSHAKES];
};

int vmig_listener_new_with(const char *address, const struct vmig_channel_options *options,
			   struct vmig_listener **ret, struct vmig_error *error)
{
	struct vmig_listener *listener = calloc(1, sizeof(*listener));
	int r;

	if (!listener)
		return vmig_fault(error, -ENOMEM, address, "no memory");
	atomic_init(&listener->refs, 1);
	pthread_mutex_init(&listener->lock, NULL);
	listener->net.fd = -1;
	listener->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (listener->done_fd < 0)
		r = vmig_fault(error, -errno, address, "cannot listen: %s", strerror(errno));
	else
		r = vmig_stack_new(address, options, &listener->stack, error);
	if (!r)
		r = vmig_net_listen(address, vmig_stack_anywhere(listener->stack), &listener->net, error);
	if (r) {
		vmig_listener_free(listener);
		return r;
	}
	listener->stack->listener = listener;
	*ret = listener;
	return 0;
}

struct vmig_listener *vmig_listener_ref(struct vmig_listener *listener)
{
	atomic_fetch_add(&listener->refs, 1);
	return listener;
}

int vmig_listener_new(const char *address, struct vmig_listener **ret, struct vmig_error *error)
{
	return vmig_listener_new_with(address, NULL, ret, error);
}

const char *vmig_listener_address(const struct vmig_listener *listener)
{
	return listener->net.address;
}

const struct vmig_error *vmig_listener_error(const struct vmig_listener *listener)
{
	return &listener->error;
}

static int make(struct vmig_stack *stack, int fd, struct vmig_channel **ret, struct vmig_error *error)
{
	int r = vmig_stack_answer(stack, fd, ret, error);

	if (r)
		return r;
	r = vmig_stack_top(stack, false, ret, error);
	if (r && r != -EALREADY)
		vmig_channel_close(*ret);
	return r;
}

/* --- guests --- */

static void *shake(void *arg)
{
	struct guest *guest = arg;
	uint64_t one = 1;

	guest->code = make(guest->listener->stack, guest->fd, &guest->channel, &guest->error);
	if (guest->code &&
	    guest->code != -EALREADY) /* end_fd is the same socket: it would stay open until somebody looks */
		shutdown(guest->end_fd, SHUT_RDWR);
	atomic_store(&guest->done, true);
	/* It can fail only when it has counted far beyond what there is. */
	(void)!write(guest->listener->done_fd, &one, sizeof(one));
	return NULL;
}

/* Waits for its thread; the channel, if there is one, is the caller's. */
static void let_go(struct guest *guest)
{
	pthread_join(guest->thread, NULL);
	close(guest->end_fd);
	guest->age = 0;
}

static void turn_out(struct guest *guest)
{
	shutdown(guest->end_fd, SHUT_RDWR);
	let_go(guest);
	if (!guest->code)
		vmig_channel_close(guest->channel);
}

/* A free place; if there is none the one who has been there the longest makes way. */
static struct guest *place(struct vmig_listener *listener)
{
	struct guest *oldest = &listener->guests[0];

	for (size_t i = 0; i < VMIG_LIMIT_HANDSHAKES; i++)
		if (listener->guests[i].age < oldest->age)
			oldest = &listener->guests[i];
	if (oldest->age)
		turn_out(oldest);
	return oldest;
}

/* Takes @fd over. */
static int welcome(struct vmig_listener *listener, int fd)
{
	struct guest *guest = place(listener);
	int r;

	*guest = (struct guest){ .listener = listener, .fd = fd };
	guest->end_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	r = guest->end_fd < 0 ? errno : pthread_create(&guest->thread, NULL, shake, guest);
	if (r) {
		if (guest->end_fd >= 0)
			close(guest->end_fd);
		close(fd);
		return -r;
	}
	pthread_setname_np(guest->thread, "vmig-handshake");
	guest->age = ++listener->ages;
	return 0;
}

/* Of those who are done: who has come back to his session needs nothing more. */
static void let_go_who_is_back(struct vmig_listener *listener)
{
	for (size_t i = 0; i < VMIG_LIMIT_HANDSHAKES; i++) {
		struct guest *guest = &listener->guests[i];

		if (guest->age && atomic_load(&guest->done) && guest->code == -EALREADY)
			let_go(guest);
	}
}

/* The first who is done. False: nobody is. */
static bool one_is_done(struct vmig_listener *listener, struct vmig_channel **ret, int *ret_code)
{
	struct guest *first = NULL;

	let_go_who_is_back(listener);

	for (size_t i = 0; i < VMIG_LIMIT_HANDSHAKES; i++) {
		struct guest *guest = &listener->guests[i];

		if (guest->age && atomic_load(&guest->done) && (!first || guest->age < first->age))
			first = guest;
	}
	if (!first)
		return false;
	let_go(first);
	*ret_code = first->code ? -ECONNABORTED : 0;
	if (first->code)
		listener->error = first->error;
	else
		*ret = first->channel;
	return true;
}

/* --- accept --- */

static uint32_t left_ms(uint64_t end)
{
	uint64_t now = vmig_now_ns();

	return now < end ? (uint32_t)((end - now) / NS_PER_MS + 1) : 1;
}

static int take_one(struct vmig_listener *listener, bool *ret_guest, struct vmig_channel **ret)
{
	int fd, r = vmig_net_accept(&listener->net, &fd);

	*ret_guest = vmig_stack_shakes(listener->stack);
	if (r)
		return r;
	if (*ret_guest)
		return welcome(listener, fd);
	r = make(listener->stack, fd, ret, &listener->error);
	return r ? -ECONNABORTED : 0;
}

int vmig_listener_accept(struct vmig_listener *listener, uint32_t timeout_ms, struct vmig_channel **ret)
{
	uint64_t count, end = vmig_now_ns() + timeout_ms * NS_PER_MS;
	bool guest, done;
	int r;

	for (;;) {
		(void)!read(listener->done_fd, &count, sizeof(count));
		pthread_mutex_lock(&listener->lock);
		done = one_is_done(listener, ret, &r);
		pthread_mutex_unlock(&listener->lock);
		if (done)
			return r;
		r = vmig_channel_wait(listener->net.fd, POLLIN, listener->done_fd,
				      timeout_ms ? left_ms(end) : 0);
		if (r == -ECONNRESET) /* done_fd */
			continue;
		if (!r) {
			pthread_mutex_lock(&listener->lock);
			r = take_one(listener, &guest, ret);
			pthread_mutex_unlock(&listener->lock);
		}
		if (r == -ECONNABORTED || (!r && !guest))
			return r;
		if (r)
			return vmig_fault(&listener->error, r, listener->net.address, "nobody came in: %s",
					  strerror(-r));
		if (timeout_ms && vmig_now_ns() >= end)
			return vmig_fault(&listener->error, -ETIMEDOUT, listener->net.address,
					  "nobody came in");
	}
}

void vmig_listener_pump(struct vmig_listener *listener, uint32_t ms)
{
	struct vmig_channel *channel;
	bool guest = true;

	if (vmig_channel_wait(listener->net.fd, POLLIN, -1, ms))
		return;
	pthread_mutex_lock(&listener->lock);
	let_go_who_is_back(listener);
	if (!take_one(listener, &guest, &channel) && !guest)
		vmig_channel_close(channel);
	pthread_mutex_unlock(&listener->lock);
}

static void turn_all_out(struct vmig_listener *listener)
{
	pthread_mutex_lock(&listener->lock);
	for (size_t i = 0; i < VMIG_LIMIT_HANDSHAKES; i++)
		if (listener->guests[i].age)
			turn_out(&listener->guests[i]);
	pthread_mutex_unlock(&listener->lock);
}

void vmig_listener_unref(struct vmig_listener *listener)
{
	if (!listener || atomic_fetch_sub(&listener->refs, 1) > 1)
		return;
	turn_all_out(listener);
	if (listener->net.fd >= 0)
		vmig_net_listener_done(&listener->net);
	if (listener->done_fd >= 0)
		close(listener->done_fd);
	vmig_stack_unref(listener->stack);
	pthread_mutex_destroy(&listener->lock);
	free(listener);
}

void vmig_listener_free(struct vmig_listener *listener)
{
	if (!listener)
		return;
	/* Who is not asked for any more is not let in; sessions that go on still have their peers. */
	if (listener->stack) {
		atomic_store(&listener->stack->closed, true);
		turn_all_out(listener);
	}
	vmig_listener_unref(listener);
}
