/* SPDX-License-Identifier: BSD-3-Clause */
#include "vu-mutant.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmig/server.h>

#include "models/models.h"

#define SPEC   "nic,state=16K,records=1000000"
#define HEADER PAYLOAD
#define LAST   256u
#define LARGE  (64u << 20) /* what says that it is larger is passed on as it comes */

_Atomic uint64_t vu_mutant_memory[4];

const struct vu_mutant *vu_mutant_find(const char *name)
{
	const struct vu_mutant *const tables[] = { vu_mutants_frame, vu_mutants_dma, vu_mutants_log,
						   vu_mutants_state, vu_mutants_v1 };

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct vu_mutant *m = tables[i]; m->name; m++)
			if (!strcmp(m->name, name))
				return m;
	return NULL;
}

/* --- messages ------------------------------------------------------------------------------------------ */

static void *room(void *at, size_t len)
{
	at = realloc(at, len + 1);
	if (!at)
		abort();
	return at;
}

uint16_t vu_seen_id(const struct vu_seen *m)
{
	uint16_t v;

	memcpy(&v, m->at, 2);
	return v;
}

uint16_t vu_seen_command(const struct vu_seen *m)
{
	uint16_t v;

	memcpy(&v, m->at + 2, 2);
	return v;
}

static uint32_t word(const struct vu_seen *m, size_t at)
{
	uint32_t v = 0;

	if (at + 4 <= m->len)
		memcpy(&v, m->at + at, 4);
	return v;
}

uint32_t vu_seen_flags(const struct vu_seen *m)
{
	return word(m, 8);
}

bool vu_seen_failed(const struct vu_seen *m)
{
	return vu_seen_flags(m) & 0x20;
}

uint32_t vu_seen_u32(const struct vu_seen *m, size_t at)
{
	return word(m, HEADER + at);
}

uint64_t vu_seen_u64(const struct vu_seen *m, size_t at)
{
	return word(m, HEADER + at) | (uint64_t)word(m, HEADER + at + 4) << 32;
}

void vu_seen_set16(struct vu_seen *m, size_t at, uint16_t v)
{
	if (at + 2 <= m->len)
		memcpy(m->at + at, &v, 2);
}

void vu_seen_set32(struct vu_seen *m, size_t at, uint32_t v)
{
	if (at + 4 <= m->len)
		memcpy(m->at + at, &v, 4);
}

void vu_seen_payload(struct vu_seen *m, const void *data, size_t len)
{
	uint8_t *at = room(NULL, HEADER + len);

	memcpy(at, m->at, HEADER);
	if (len)
		memcpy(at + HEADER, data, len);
	free(m->at);
	m->at = at;
	m->len = HEADER + len;
	vu_seen_set32(m, 4, (uint32_t)m->len);
}

bool vu_seen_has(const struct vu_seen *m, const char *text)
{
	return memmem(m->at + HEADER, m->len - HEADER, text, strlen(text));
}

void vu_seen_copy(struct vu_seen *to, const struct vu_seen *m)
{
	to->at = room(to->at, m->len);
	memcpy(to->at, m->at, m->len);
	to->len = m->len;
	to->n_fds = 0;
}

bool vu_is(const struct vu_seen *m, uint16_t command)
{
	return m->len >= PAYLOAD && vu_seen_command(m) == command;
}

bool vu_is_feature(const struct vu_seen *m, uint32_t flags)
{
	return vu_is(m, C_FEATURE) && vu_seen_u32(m, 4) == flags;
}

static void tell(struct vu_proxy *p, const struct vu_seen *m, uint32_t flags, uint32_t error,
		 const void *data, size_t len)
{
	struct vu_seen reply = { 0 };

	vu_seen_copy(&reply, m);
	vu_seen_payload(&reply, data, len);
	vu_seen_set32(&reply, 8, flags);
	vu_seen_set32(&reply, 12, error);
	vu_send_on(p->user, &reply);
	free(reply.at);
}

void vu_succeed(struct vu_proxy *p, const struct vu_seen *m, const void *data, size_t len)
{
	tell(p, m, 1, 0, data, len);
}

void vu_fail(struct vu_proxy *p, const struct vu_seen *m, int error)
{
	tell(p, m, 0x21, (uint32_t)error, NULL, 0);
}

void vu_hang_up(struct vu_proxy *p)
{
	shutdown(p->user, SHUT_RDWR);
	shutdown(p->server, SHUT_RDWR);
}

void vu_send_on(int to, const struct vu_seen *m)
{
	char control[CMSG_SPACE(VU_MUTANT_FDS * sizeof(int))] = { 0 };
	struct iovec iov = { m->at, m->len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (m->n_fds) {
		struct cmsghdr *c;

		h.msg_control = control;
		h.msg_controllen = CMSG_SPACE((size_t)m->n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)m->n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), m->fds, (size_t)m->n_fds * sizeof(int));
	}
	while (iov.iov_len) {
		ssize_t n = sendmsg(to, &h, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return; /* it has gone: its end is seen by whoever reads */
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		h.msg_controllen = 0;
	}
}

/* --- receiving ------------------------------------------------------------------------------------------- */

static void take_fds(struct vu_seen *m, struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
		for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (m->n_fds < VU_MUTANT_FDS)
				m->fds[m->n_fds++] = fd;
			else
				close(fd);
		}
}

static ssize_t receive(int from, struct vu_seen *m, size_t len)
{
	union {
		char room[CMSG_SPACE(VU_MUTANT_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr h = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t n;

	m->at = room(m->at, m->len + len);
	iov = (struct iovec){ m->at + m->len, len };
	do {
		n = recvmsg(from, &h, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		take_fds(m, &h);
		m->len += (size_t)n;
	}
	return n;
}

enum got {
	GOT_MESSAGE,
	GOT_PIECES /* the header is no good, or came in pieces that a mutant does not take */,
	GOT_END
};

/* @pieces: how many recvmsg() the header took. */
static enum got receive_message(int from, struct vu_seen *m, unsigned int *pieces)
{
	*pieces = 0;
	m->len = 0;
	m->n_fds = 0;
	while (m->len < HEADER) {
		if (receive(from, m, HEADER - m->len) <= 0)
			return GOT_END;
		(*pieces)++;
	}
	if (word(m, 4) < HEADER || word(m, 4) > LARGE)
		return GOT_PIECES;
	while (m->len < word(m, 4))
		if (receive(from, m, word(m, 4) - m->len) <= 0)
			return GOT_END;
	return GOT_MESSAGE;
}

/* --- between the two --------------------------------------------------------------------------------------- */

static void drop_fds(struct vu_seen *m)
{
	while (m->n_fds)
		close(m->fds[--m->n_fds]);
}

/* What is no message is passed on like all that follows it. */
static void pump(int from, int to, struct vu_seen *m)
{
	do {
		vu_send_on(to, m);
		drop_fds(m);
		m->len = 0;
	} while (receive(from, m, 4096) > 0);
	shutdown(to, SHUT_WR);
}

/* Replies come in the order of their requests, and these checks wait for each. */
static void note_request(struct vu_proxy *p, const struct vu_seen *m)
{
	struct vu_seen part = { m->at, m->len < LAST ? m->len : LAST, { 0 }, 0 };

	if (vu_seen_flags(m) & 1)
		return; /* a reply to the server */
	vu_seen_copy(&p->last, &part);
	p->asked = 0;
	if (vu_is_feature(m, SET | STATE) && m->len == PAYLOAD + 16) {
		p->asked = vu_seen_u32(m, 8);
		p->n_states++;
	}
	if (vu_is(m, C_DATA_WRITE))
		p->n_writes++;
}

static void note_reply(struct vu_proxy *p, const struct vu_seen *m)
{
	if (!vu_is(m, C_FEATURE) || !p->asked || vu_seen_failed(m))
		return;
	p->state = p->asked;
	p->had_stop_copy |= p->asked == 3;
}

static bool pass(struct vu_proxy *p, bool (*alter)(struct vu_proxy *p, struct vu_seen *m), int to,
		 struct vu_seen *m)
{
	if (!alter || alter(p, m))
		vu_send_on(to, m);
	drop_fds(m);
	return true;
}

/* False: that was the last of it. */
static bool from_user(struct vu_proxy *p, struct vu_seen *m)
{
	unsigned int pieces;
	enum got got = receive_message(p->user, m, &pieces);

	p->words[3] = pieces;
	if (got == GOT_MESSAGE) {
		note_request(p, m);
		pass(p, p->mutant ? p->mutant->request : NULL, p->server, m);
		p->versioned = true;
		return true;
	}
	if (got == GOT_END && m->len)
		vu_mutant_memory[3]++; /* users who left in the midst of a message */
	if (got == GOT_PIECES && p->mutant && p->mutant->request && !p->mutant->request(p, m))
		return true;
	if (m->len && got != GOT_END)
		pump(p->user, p->server, m);
	else if (m->len)
		vu_send_on(p->server, m);
	drop_fds(m);
	shutdown(p->server, SHUT_WR);
	return false;
}

static bool from_server(struct vu_proxy *p, struct vu_seen *m)
{
	unsigned int pieces;

	if (receive_message(p->server, m, &pieces) != GOT_MESSAGE) {
		shutdown(p->user, SHUT_WR);
		return false;
	}
	note_reply(p, m);
	return pass(p, p->mutant ? p->mutant->reply : NULL, p->user, m);
}

/* Until the server has nothing more to say. */
static void *between(void *opaque)
{
	struct vu_proxy *p = opaque;
	struct pollfd fds[2] = { { .fd = p->user, .events = POLLIN }, { .fd = p->server, .events = POLLIN } };
	struct vu_seen in = { 0 }, out = { 0 };

	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents && !from_server(p, &out))
			break;
		if (fds[0].revents && !from_user(p, &in))
			fds[0].fd = -1;
	}
	close(p->user);
	close(p->server);
	free(in.at);
	free(out.at);
	free(p->held.at);
	free(p->last.at);
	free(p);
	return NULL;
}

/* --- the good server ------------------------------------------------------------------------------------------ */

static struct vmig_device *device;
/* One user at a time: the next one waits until the one before has gone. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void *serve(void *fd)
{
	const struct vmig_server_config config = { 0 };

	pthread_mutex_lock(&turn);
	(void)vmig_server_serve(device, &config, (int)(intptr_t)fd);
	pthread_mutex_unlock(&turn);
	return NULL;
}

static int start(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, run, arg);

	if (!r)
		pthread_detach(thread);
	return -r;
}

static int open_device(const struct vu_mutant *mutant)
{
	const char *spec = mutant && mutant->spec ? mutant->spec : SPEC;

	return mutant && mutant->v1 ? models_open_v1(spec, NULL, &device, NULL)
				    : models_open(spec, &device, NULL);
}

int vu_mutant_connect(const struct vu_mutant *mutant, int *ret_fd)
{
	struct vu_proxy *p = calloc(1, sizeof(*p));
	int user[2], server[2], r = 0;

	if (!p)
		return -ENOMEM;
	if (!device)
		r = open_device(mutant);
	if (!r && (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, user) ||
		   socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, server)))
		r = -errno;
	if (r)
		return r;
	*p = (struct vu_proxy){ .mutant = mutant, .user = user[1], .server = server[1] };
	r = start(serve, (void *)(intptr_t)server[0]);
	r = r ? r : start(between, p);
	*ret_fd = user[0];
	return r;
}
