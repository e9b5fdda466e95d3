/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may come in. The caller's thread serves one client after another; a second thread accepts, turns away whoever
 * comes while one is served, and hears vmig_server_stop(): the caller's thread may be blocked on its client.
 *
 * Whoever comes with "take" in its VERSION gets the device: the one before it is cut off, which ends whatever the serving
 * thread waits for of that client, frozen or not. What that thread is doing in the device it finishes; what the client had
 * sent beyond is dropped with its connection. So when VERSION is answered, nothing of the old user's is under way.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/vfio_user.h"

/* Those who wait to be turned away. They are told as the answer to their VERSION, and must send it soon. */
#define MAX_GUESTS        8
#define GUEST_PATIENCE_NS (5 * NS_PER_S)

#define GUEST_MAX (VMIG_VU_HEADER_SIZE + VMIG_VU_VERSION_MAX)

/* Its first message is kept: should it come in, that is the first that is served. */
struct guest {
	int fd;
	uint64_t until_ns;
	struct vmig_vu_header h; /* once all of it is there */
	size_t got, skip;        /* bytes in @in; of a message that is no VERSION, still to be dropped */
	uint8_t in[GUEST_MAX];
};

struct vmig_server {
	struct vmig_device *dev;
	struct vmig_server_config config;
	struct vmig_socket_file file;
	int listen_fd; /* -1: one connected client is all there is */
	int stop_fd;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct vmig_served *served; /* the client now */
	int served_fd, next_fd;     /* the client's, and one that follows it; -1: none */
	uint8_t next_in[GUEST_MAX]; /* what has been received of the one that follows */
	size_t next_len;
	bool ending;
	int error;

	struct guest guests[MAX_GUESTS]; /* the accepting thread's own */
};

/* --- where clients come from -------------------------------------------------------------- */

static int take_given_fd(struct vmig_server *server, int fd)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len))
		return -errno;
	if (listens)
		server->listen_fd = fd;
	else
		server->next_fd = fd;
	return 0;
}

/* --- the accepting thread ------------------------------------------------------------------------- */

static bool hung_up(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

/* Called with the lock. */
static void drop_next(struct vmig_server *server)
{
	vmig_closep(&server->next_fd);
	server->next_fd = -1;
}

/* Called with the lock. A client that has hung up is on its way out: the next one need not be turned away. */
static bool has_room(struct vmig_server *server)
{
	if (server->next_fd >= 0 && hung_up(server->next_fd))
		drop_next(server);
	return server->next_fd < 0 && (server->served_fd < 0 || hung_up(server->served_fd));
}

/* Called with the lock: it follows, and its place is free. */
static void follow(struct vmig_server *server, int fd, const void *in, size_t len)
{
	server->next_fd = fd;
	if (len)
		memcpy(server->next_in, in, len);
	server->next_len = len;
	pthread_cond_signal(&server->changed);
}

/* Nobody is here: no need to hear what it wants. */
static bool let_in(struct vmig_server *server, int fd)
{
	bool in;

	pthread_mutex_lock(&server->lock);
	in = server->next_fd < 0 && server->served_fd < 0;
	if (in)
		follow(server, fd, NULL, 0);
	pthread_mutex_unlock(&server->lock);
	return in;
}

/* Called with the lock. Whoever is served is cut off, and whoever waited behind it. */
static void make_room(struct vmig_server *server)
{
	drop_next(server);
	if (server->served)
		vmig_served_abort(server->served);
}

/* A guest has said what it wants. */
static bool let_guest_in(struct vmig_server *server, const struct guest *g, bool takes)
{
	bool in;

	pthread_mutex_lock(&server->lock);
	if (takes)
		make_room(server);
	in = takes || has_room(server);
	if (in)
		follow(server, g->fd, g->in, g->got);
	pthread_mutex_unlock(&server->lock);
	return in;
}

static void send_away(struct guest *g)
{
	vmig_closep(&g->fd);
	g->fd = -1;
}

/* Out of descriptors: whoever knocks stays at the door, and would keep this thread spinning. */
static void wait_for_fds(struct vmig_server *server, int error)
{
	struct pollfd p = { .fd = server->stop_fd, .events = POLLIN };

	if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS)
		poll(&p, 1, 100);
}

static void accept_one(struct vmig_server *server)
{
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		wait_for_fds(server, errno);
	if (fd < 0 || let_in(server, fd))
		return;
	for (int i = 0; i < MAX_GUESTS; i++) {
		if (server->guests[i].fd >= 0)
			continue;
		server->guests[i].fd = fd;
		server->guests[i].got = server->guests[i].skip = 0;
		server->guests[i].until_ns = vmig_now_ns() + GUEST_PATIENCE_NS;
		return;
	}
	close(fd);
}

/* 1: so much is there; 0: not yet; -1: not to be had. */
static int hear(struct guest *g, size_t want)
{
	while (g->got < want) {
		ssize_t n = recv(g->fd, g->in + g->got, want - g->got, MSG_DONTWAIT);

		if (n <= 0)
			return n < 0 && errno == EAGAIN ? 0 : -1;
		g->got += (size_t)n;
	}
	return 1;
}

static int hear_and_drop(struct guest *g)
{
	char waste[4096];

	while (g->skip) {
		ssize_t n = recv(g->fd, waste, MIN(sizeof(waste), g->skip), MSG_DONTWAIT);

		if (n <= 0)
			return n < 0 && errno == EAGAIN ? 0 : -1;
		g->skip -= (size_t)n;
	}
	return 1;
}

/* Read what has come of the guest's first message. 1: all of it; 0: not yet; -1: not to be had. */
static int hear_guest(struct guest *g)
{
	struct vmig_cursor c = vmig_cursor_over(g->in, VMIG_VU_HEADER_SIZE);
	bool had_header = g->got >= VMIG_VU_HEADER_SIZE;
	int r = hear(g, VMIG_VU_HEADER_SIZE);

	if (r <= 0)
		return r;
	if (!had_header) {
		if (vmig_vu_header_decode(&c, &g->h) || vmig_vu_header_check(&g->h, VMIG_LIMIT_XFER_DEFAULT))
			return -1;
		g->skip = g->h.command == VMIG_VU_VERSION ? 0 : vmig_vu_payload(&g->h);
	}
	return g->h.command == VMIG_VU_VERSION ? hear(g, g->h.size) : hear_and_drop(g);
}

/* Does it want the device from whoever has it? */
static bool takes(const struct vmig_server *server, const struct guest *g)
{
	struct vmig_cursor c = vmig_cursor_over(g->in + VMIG_VU_HEADER_SIZE, g->got - VMIG_VU_HEADER_SIZE);
	struct vmig_vu_version version;

	if (server->config.plain || g->h.command != VMIG_VU_VERSION || vmig_vu_is_reply(&g->h) ||
	    vmig_vu_version_decode(&c, &version))
		return false;
	return version.caps.take && version.major == VMIG_VU_MAJOR;
}

static void answer_busy(const struct guest *g)
{
	struct vmig_vu_header h = { .id = g->h.id,
				    .command = g->h.command,
				    .size = VMIG_VU_HEADER_SIZE,
				    .flags = VMIG_VU_TYPE_REPLY | VMIG_VU_ERROR,
				    .error = EBUSY };
	uint8_t out[VMIG_VU_HEADER_SIZE];
	struct vmig_cursor c = vmig_cursor_into(out, sizeof(out));

	vmig_vu_header_encode(&c, &h);
	/* So small a message fits, or the guest has sent nonsense all the time. */
	(void)!send(g->fd, out, sizeof(out), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void attend_guest(struct vmig_server *server, struct guest *g)
{
	int r = hear_guest(g);

	if (r > 0 && g->h.command == VMIG_VU_VERSION && let_guest_in(server, g, takes(server, g)))
		g->fd = -1;
	else if (r > 0)
		answer_busy(g);
	if (r)
		send_away(g);
}

/* ms until the first guest's patience ends; -1: there is none. */
static int dismiss_the_silent(struct vmig_server *server)
{
	uint64_t now = vmig_now_ns(), first = UINT64_MAX;

	for (int i = 0; i < MAX_GUESTS; i++) {
		struct guest *g = &server->guests[i];

		if (g->fd < 0)
			continue;
		if (g->until_ns <= now)
			send_away(g);
		else
			first = MIN(first, g->until_ns);
	}
	return first == UINT64_MAX ? -1 : (int)((first - now) / NS_PER_MS + 1);
}

static void end(struct vmig_server *server, int error)
{
	pthread_mutex_lock(&server->lock);
	server->ending = true;
	server->error = error;
	if (server->served)
		vmig_served_abort(server->served);
	pthread_cond_signal(&server->changed);
	pthread_mutex_unlock(&server->lock);
}

static void *accept_all(void *arg)
{
	struct vmig_server *server = arg;
	struct pollfd p[2 + MAX_GUESTS];

	for (;;) {
		int wait_ms = dismiss_the_silent(server);

		p[0] = (struct pollfd){ .fd = server->stop_fd, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = server->listen_fd, .events = POLLIN };
		for (int i = 0; i < MAX_GUESTS; i++)
			p[2 + i] = (struct pollfd){ .fd = server->guests[i].fd, .events = POLLIN };
		if (poll(p, ARRAY_SIZE(p), wait_ms) < 0 && errno != EINTR) {
			end(server, -errno);
			break;
		}
		if (p[0].revents) {
			end(server, 0);
			break;
		}
		for (int i = 0; i < MAX_GUESTS; i++)
			if (p[2 + i].revents)
				attend_guest(server, &server->guests[i]);
		if (p[1].revents)
			accept_one(server);
	}
	for (int i = 0; i < MAX_GUESTS; i++)
		send_away(&server->guests[i]);
	return NULL;
}

/* --- the serving thread --------------------------------------------------------------------------- */

/* The next client, or NULL: it is over. */
static struct vmig_served *next_client(struct vmig_server *server)
{
	struct vmig_served *served;

	pthread_mutex_lock(&server->lock);
	while (!server->ending && !server->served) {
		int fd = server->next_fd;

		if (fd < 0 && server->listen_fd < 0)
			break;
		if (fd < 0) {
			pthread_cond_wait(&server->changed, &server->lock);
			continue;
		}
		server->next_fd = -1;
		if (vmig_served_new(server->dev, &server->config, fd, &server->served)) {
			close(fd);
			continue;
		}
		server->served_fd = fd;
		vmig_slink_give(server->served->link, server->next_in, server->next_len);
	}
	served = server->ending ? NULL : server->served;
	pthread_mutex_unlock(&server->lock);
	return served;
}

static void client_gone(struct vmig_server *server)
{
	struct vmig_served *served;

	pthread_mutex_lock(&server->lock);
	served = server->served;
	server->served = NULL;
	server->served_fd = -1;
	pthread_mutex_unlock(&server->lock);
	vmig_served_free(served);
}

/* Signals are for the caller's threads. */
static int start_accepting(struct vmig_server *server, pthread_t *ret)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret, NULL, accept_all, server);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int vmig_server_run(struct vmig_server *server)
{
	struct vmig_served *served;
	pthread_t accepting;
	int r = start_accepting(server, &accepting);

	if (r < 0)
		return r;
	while ((served = next_client(server))) {
		/* One bad client is no reason to turn away the next; why it was dropped is logged. */
		(void)!vmig_served_run(served);
		client_gone(server);
	}
	client_gone(server);
	vmig_server_stop(server);
	pthread_join(accepting, NULL);
	return server->error;
}

/* --- the rest -------------------------------------------------------------------------------------- */

int vmig_server_new(struct vmig_device *dev, const struct vmig_server_config *config,
		    struct vmig_server **ret)
{
	struct vmig_server *server;
	int r;

	if (config->max_data_xfer_size > VMIG_LIMIT_XFER)
		return -EINVAL;
	server = calloc(1, sizeof(*server));
	if (!server)
		return -ENOMEM;
	server->dev = dev;
	server->config = *config;
	server->listen_fd = server->served_fd = server->next_fd = -1;
	for (int i = 0; i < MAX_GUESTS; i++)
		server->guests[i].fd = -1;
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = server->stop_fd < 0 ? -errno : 0;
	if (!r)
		r = config->socket_path
			    ? vmig_socket_file_listen(config->socket_path, &server->file, &server->listen_fd)
			    : take_given_fd(server, config->fd);
	if (r < 0) {
		vmig_server_free(server);
		return r;
	}
	*ret = server;
	return 0;
}

void vmig_server_stop(struct vmig_server *server)
{
	int saved = errno;

	eventfd_write(server->stop_fd, 1);
	errno = saved;
}

void vmig_server_free(struct vmig_server *server)
{
	if (!server)
		return;
	vmig_socket_file_remove(&server->file);
	vmig_closep(&server->listen_fd);
	vmig_closep(&server->next_fd);
	vmig_closep(&server->stop_fd);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

int vmig_server_serve(struct vmig_device *dev, const struct vmig_server_config *config, int fd)
{
	struct vmig_served *served;
	int r = config->max_data_xfer_size > VMIG_LIMIT_XFER ? -EINVAL
							     : vmig_served_new(dev, config, fd, &served);

	if (r < 0) {
		close(fd);
		return r;
	}
	r = vmig_served_run(served);
	vmig_served_free(served);
	return r;
}
