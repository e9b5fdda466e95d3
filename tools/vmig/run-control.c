/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket of a run: one JSON object a line, both ways.
 *
 *	{"vmig-run": 1, "command": "info"}     -> what run_json_info() makes, then the connection is closed
 *	{"vmig-run": 1, "command": "trace"}    -> {"call": {...}} for each call that there has been and will be,
 *	                                          {"lost": N} where the ring was faster, {"end": STATUS} at last
 *	anything else                          -> {"error": "..."}
 *
 * Nobody who connects can hold up the run: a client has one request, a bounded buffer for answers, and is never waited
 * for. The buffer of a slow one stays full while the ring goes on; it loses calls and is told so.
 */
#include "run-control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "run-json.h"

#define CLIENTS_MAX  16
#define REQUEST_MAX  4096
#define ANSWER_MAX   (4u << 20) /* of "info", with all devices and all their states */
#define TRACE_BUFFER (64u << 10)
#define TRACE_MS     20

_Static_assert(CLIENTS_MAX + 2 <= RUN_CONTROL_FDS, "all of them are polled");

struct client {
	int fd;
	bool traces, ending;
	char in[REQUEST_MAX];
	size_t in_len;
	char *out;
	size_t out_at, out_len, out_room;
	struct run_reader reader;
	uint64_t lost_said;
};

struct run_control {
	struct run *run;
	pid_t pid;
	int listen_fd;
	struct client *clients[CLIENTS_MAX];
	FILE *file;
	struct run_reader file_reader;
};

/* --- answers --------------------------------------------------------------------------------- */

static size_t waiting(const struct client *c)
{
	return c->out_len - c->out_at;
}

static bool make_room(struct client *c, size_t len)
{
	char *more;

	if (c->out_at) {
		memmove(c->out, c->out + c->out_at, waiting(c));
		c->out_len -= c->out_at;
		c->out_at = 0;
	}
	if (c->out_len + len <= c->out_room)
		return true;
	if (c->out_len + len > ANSWER_MAX)
		return false;
	more = realloc(c->out, c->out_len + len);
	if (!more)
		return false;
	c->out = more;
	c->out_room = c->out_len + len;
	return true;
}

/* Takes @o over. */
static void say(struct client *c, json_t *o)
{
	char *line = o ? json_dumps(o, JSON_COMPACT) : NULL;
	size_t len = line ? strlen(line) : 0;

	if (line && make_room(c, len + 1)) {
		memcpy(c->out + c->out_len, line, len);
		c->out[c->out_len + len] = '\n';
		c->out_len += len + 1;
	} else {
		c->ending = true;
	}
	free(line);
	json_decref(o);
}

static void count_watchers(struct run_control *control)
{
	uint32_t n = control->file ? 1 : 0;

	for (int i = 0; i < CLIENTS_MAX; i++)
		n += control->clients[i] && control->clients[i]->traces;
	__atomic_store_n(&control->run->shared->watched, n, __ATOMIC_RELAXED);
}

static void answer(struct run_control *control, struct client *c, const char *line, size_t len)
{
	json_t *o = json_loadb(line, len, 0, NULL);
	const char *command = json_string_value(json_object_get(o, "command"));

	if (json_integer_value(json_object_get(o, "vmig-run")) != RUN_PROTOCOL || !command)
		say(c, json_pack("{s:s}", "error", "not a request of version 1"));
	else if (!strcmp(command, "info"))
		say(c, run_json_info(control->run, control->pid));
	else if (!strcmp(command, "trace"))
		c->traces = true;
	else
		say(c, json_pack("{s:s}", "error", "unknown command"));
	c->ending = !c->traces;
	count_watchers(control);
	json_decref(o);
}

/* False: the client is to go. */
static bool receive(struct run_control *control, struct client *c)
{
	char *end;
	ssize_t n;

	if (c->traces || c->ending) {
		char rest[256];

		n = recv(c->fd, rest, sizeof(rest), MSG_DONTWAIT);
		return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
	}
	n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	c->in_len += (size_t)n;
	end = memchr(c->in, '\n', c->in_len);
	if (end)
		answer(control, c, c->in, (size_t)(end - c->in));
	return end || c->in_len < sizeof(c->in);
}

static bool transmit(struct client *c)
{
	ssize_t n;

	if (!waiting(c))
		return !c->ending;
	n = send(c->fd, c->out + c->out_at, waiting(c), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->out_at += (size_t)n;
	return waiting(c) || !c->ending;
}

/* --- the trace ------------------------------------------------------------------------------- */

static void say_lost(struct client *c)
{
	if (c->reader.lost == c->lost_said)
		return;
	say(c, json_pack("{s:I}", "lost", (json_int_t)(c->reader.lost - c->lost_said)));
	c->lost_said = c->reader.lost;
}

static void trace_to_client(struct run_control *control, struct client *c, bool last)
{
	struct vmig_kabi_call call;

	while (waiting(c) < TRACE_BUFFER &&
	       run_ring_get(&control->run->shared->ring, &c->reader, last, &call) > 0) {
		say_lost(c);
		say(c, json_pack("{s:o}", "call", run_json_call(&call, c->reader.at - 1)));
	}
	say_lost(c);
}

static void trace_to_file(struct run_control *control, bool last)
{
	/* What has come until now: a program may be faster than this, and there is more to look after. */
	uint64_t until = run_ring_count(&control->run->shared->ring);
	uint64_t lost = control->file_reader.lost;
	struct vmig_kabi_call call;
	char *line;
	json_t *o;

	while (control->file_reader.at < until &&
	       run_ring_get(&control->run->shared->ring, &control->file_reader, last, &call) > 0) {
		o = run_json_call(&call, control->file_reader.at - 1);
		line = json_dumps(o, JSON_COMPACT);
		if (line)
			fprintf(control->file, "%s\n", line);
		free(line);
		json_decref(o);
	}
	if (control->file_reader.lost != lost)
		fprintf(control->file, "{\"lost\":%llu}\n",
			(unsigned long long)(control->file_reader.lost - lost));
	fflush(control->file);
}

/* --- clients --------------------------------------------------------------------------------- */

static void close_client(struct run_control *control, int i)
{
	struct client *c = control->clients[i];

	close(c->fd);
	free(c->out);
	free(c);
	control->clients[i] = NULL;
	count_watchers(control);
}

static void accept_one(struct run_control *control)
{
	int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c = fd < 0 ? NULL : calloc(1, sizeof(*c));

	for (int i = 0; i < CLIENTS_MAX && c; i++) {
		if (control->clients[i])
			continue;
		c->fd = fd;
		control->clients[i] = c;
		return;
	}
	free(c);
	if (fd >= 0)
		close(fd); /* too many: it may come again */
}

int run_control_fds(const struct run_control *control, struct pollfd *fds, int max, int *ret_ms)
{
	int n = 0;

	fds[n++] = (struct pollfd){ .fd = control->listen_fd, .events = POLLIN };
	*ret_ms = control->file ? TRACE_MS : -1;
	for (int i = 0; i < CLIENTS_MAX && n < max; i++) {
		const struct client *c = control->clients[i];

		fds[n] = (struct pollfd){ .fd = c ? c->fd : -1, .events = POLLIN };
		if (c && (waiting(c) || c->ending))
			fds[n].events |= POLLOUT;
		if (c && c->traces)
			*ret_ms = TRACE_MS;
		n++;
	}
	return n;
}

static void step_client(struct run_control *control, int i, short events)
{
	struct client *c = control->clients[i];
	bool stays = true;

	if (events & (POLLIN | POLLHUP | POLLERR))
		stays = receive(control, c);
	if (stays && c->traces)
		trace_to_client(control, c, false);
	if (stays && (waiting(c) || c->ending))
		stays = transmit(c);
	if (!stays)
		close_client(control, i);
}

void run_control_step(struct run_control *control, const struct pollfd *fds, int n)
{
	for (int i = 0; i < CLIENTS_MAX && i + 1 < n; i++)
		if (control->clients[i] && control->clients[i]->fd == fds[i + 1].fd)
			step_client(control, i, fds[i + 1].revents);
	if (n > 0 && fds[0].revents)
		accept_one(control);
	if (control->file)
		trace_to_file(control, false);
}

/* --- life ------------------------------------------------------------------------------------ */

static int listen_at(const char *folder)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", folder);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, CLIENTS_MAX)) {
		close(fd);
		return -1;
	}
	return fd;
}

int run_control_new(struct run *run, struct run_control **ret)
{
	struct run_control *control = calloc(1, sizeof(*control));

	if (!control)
		return tool_fail(VMIG_NOT_DONE, "%s", strerror(ENOMEM));
	control->run = run;
	control->listen_fd = listen_at(run->folder);
	if (control->listen_fd < 0) {
		free(control);
		return tool_fail(VMIG_NOT_DONE, "%s/control: cannot listen: %m", run->folder);
	}
	control->file = run->o->trace ? fopen(run->o->trace, "we") : NULL;
	if (run->o->trace && !control->file) {
		close(control->listen_fd);
		free(control);
		return tool_fail(VMIG_NOT_DONE, "--trace: %s: %m", run->o->trace);
	}
	count_watchers(control);
	*ret = control;
	return 0;
}

void run_control_started(struct run_control *control, pid_t pid)
{
	control->pid = pid;
}

/* What is left in the buffers goes as far as it goes without waiting: the run is over. */
static void end_client(struct run_control *control, int i, int status)
{
	struct client *c = control->clients[i];
	int flags = fcntl(c->fd, F_GETFL);
	struct timeval limit = { .tv_sec = 1 };
	time_t until = time(NULL) + 2;

	if (!c->traces)
		return close_client(control, i);
	/* A reader that reads gets all that there is; one that does not has two seconds. */
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (flags >= 0)
		fcntl(c->fd, F_SETFL, flags & ~O_NONBLOCK);
	do {
		trace_to_client(control, c, true);
		if (c->reader.at >= run_ring_count(&control->run->shared->ring) && !c->ending) {
			say(c, json_pack("{s:i}", "end", status));
			c->ending = true;
		}
		if (send(c->fd, c->out + c->out_at, waiting(c), MSG_NOSIGNAL) != (ssize_t)waiting(c))
			break;
		c->out_at = c->out_len;
	} while (!c->ending && time(NULL) < until);
	close_client(control, i);
}

void run_control_free(struct run_control *control, int status)
{
	if (!control)
		return;
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (control->clients[i])
			end_client(control, i, status);
	close(control->listen_fd);
	if (control->file) {
		trace_to_file(control, true);
		if (fclose(control->file))
			tool_warn("--trace: %s: %m", control->run->o->trace);
		if (control->file_reader.lost)
			tool_warn("--trace: %llu calls came too fast to be written",
				  (unsigned long long)control->file_reader.lost);
	}
	free(control);
}
