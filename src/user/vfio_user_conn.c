/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls, their replies, and who reads the socket: the rule is in vfio_user.h. */
#include <ctype.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "user/vfio_user.h"

/* Replies of ours that wait while somebody else sends. Beyond, the leader waits for the socket. */
#define OUT_BYTES_MAX (4u * VMIG_LIMIT_XFER_DEFAULT)

static const char *command_name(uint16_t command)
{
	const char *name = vmig_vu_command_name(command);

	return name ? name : "an unknown command";
}

static struct vmig_vuc_wait wait_from_now(struct vmig_vuc *v)
{
	uint64_t timeout = v->timeout_ms * NS_PER_MS, now = vmig_now_ns();

	if (!timeout)
		return (struct vmig_vuc_wait){ 0 };
	return (struct vmig_vuc_wait){ .deadline_ns = now + timeout, .poll_from_ns = now + timeout / 4 };
}

/* --- the end of a call, and of the connection (v->lock is held) --------------------------- */

static void complete(struct vmig_vuc *v, struct vmig_vuc_call *call, int result)
{
	call->result = result;
	if (call->ahead)
		v->ahead--;
	if (call->orphan) {
		free(call->park);
		free(call);
		return;
	}
	call->state = VMIG_VUC_DONE;
	if (call->waiting)
		pthread_cond_signal(&call->cond);
}

static void unlink_call(struct vmig_vuc *v, struct vmig_vuc_call **at)
{
	struct vmig_vuc_call *call = *at;

	*at = call->next;
	if (v->tail == &call->next)
		v->tail = at;
	call->next = NULL;
}

static void die_locked(struct vmig_vuc *v, const struct vmig_error *why)
{
	if (v->death.code)
		return;
	v->death = *why;
	v->dead = true;
	vmig_log(VMIG_LOG_WARNING, "%s: the connection is given up: %s: %s", v->info.name, why->where,
		 why->text);
	/* Whoever sits in recvmsg() or sendmsg() comes back, and the server learns of it. */
	shutdown(v->in.fd, SHUT_RDWR);
	while (v->calls) {
		struct vmig_vuc_call *call = v->calls;

		unlink_call(v, &v->calls);
		complete(v, call, -v->death.code);
	}
	pthread_cond_broadcast(&v->server_cond);
}

static int die_v(struct vmig_vuc *v, int code, const char *where, const char *format, va_list ap)
{
	struct vmig_error why;
	char text[sizeof(why.text)];

	vsnprintf(text, sizeof(text), format, ap);
	vmig_fault(&why, code, where, "%s", text);
	pthread_mutex_lock(&v->lock);
	die_locked(v, &why);
	pthread_mutex_unlock(&v->lock);
	return code;
}

int vmig_vuc_die(struct vmig_vuc *v, int code, const char *where, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	die_v(v, code, where, format, ap);
	va_end(ap);
	return code;
}

int vmig_vuc_broken(struct vmig_vuc *v, struct vmig_error *error, const char *where, const char *format, ...)
{
	char text[sizeof(error->text)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	vmig_vuc_die(v, -EPROTO, where, "%s", text);
	return vmig_fault(error, -EPROTO, where, "%s", text);
}

/* What a failed send or receive means, in words. */
static int die_of(struct vmig_vuc *v, int code, const char *where)
{
	const char *text = "the socket failed";

	if (code == -ETIMEDOUT)
		text = "the server does not answer";
	else if (code == -ECONNRESET)
		text = "the server has closed the connection";
	else if (code == -EPROTO)
		text = "a command of the server's contradicts itself";
	return vmig_vuc_die(v, code, where, "%s", text);
}

/* --- receiving: whoever holds the role ---------------------------------------------------- */

static struct vmig_vuc_call *take_call(struct vmig_vuc *v, uint16_t id)
{
	struct vmig_vuc_call **at = &v->calls, *call;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	call = *at;
	if (call) {
		unlink_call(v, at);
		call->state = VMIG_VUC_RECEIVING;
	}
	return call;
}

/* The data: first into the caller's memory, then into a buffer of its own. */
static int receive_data(struct vmig_vuc *v, struct vmig_vuc_call *call, uint32_t len,
			struct vmig_vuc_wait *wait)
{
	struct iovec park;
	size_t room = vmig_iov_len(call->iov, call->n_iov);
	uint32_t direct = (uint32_t)MIN(room, len);
	int r = vmig_vuc_in_take(&v->in, call->iov, call->n_iov, direct, wait);

	if (!r && len > direct) {
		call->park_len = len - direct;
		call->park = malloc(call->park_len);
		if (!call->park)
			return vmig_vuc_die(v, -ENOMEM, command_name(call->command), "no memory for %u bytes",
					    call->park_len);
		park = (struct iovec){ call->park, call->park_len };
		r = vmig_vuc_in_take(&v->in, &park, 1, park.iov_len, wait);
	}
	call->data_len = len;
	return r < 0 ? die_of(v, r, command_name(call->command)) : 0;
}

static int receive_body(struct vmig_vuc *v, struct vmig_vuc_call *call, struct vmig_vuc_wait *wait)
{
	const struct vmig_vu_header *h = &call->reply;
	uint32_t fixed = vmig_vu_fixed_size(h), data = vmig_vu_payload(h) - fixed;
	struct iovec iov = { call->fixed, fixed };
	int r;

	if (h->flags & VMIG_VU_ERROR) {
		if (vmig_vu_payload(h))
			return vmig_vuc_die(v, -EPROTO, command_name(h->command),
					    "an error reply of %u bytes, where it is a header only", h->size);
		call->refused = true;
		return vmig_vu_header_errno(h);
	}
	if (fixed > call->fixed_max || data > call->data_max)
		return vmig_vuc_die(v, -EPROTO, command_name(h->command),
				    "the reply has %u bytes, but at most %u were asked for",
				    vmig_vu_payload(h), call->fixed_max + call->data_max);
	r = vmig_vuc_in_take(&v->in, &iov, 1, fixed, wait);
	if (r < 0)
		return die_of(v, r, command_name(h->command));
	call->fixed_len = fixed;
	return data ? receive_data(v, call, data, wait) : 0;
}

static int receive_fds(struct vmig_vuc *v, struct vmig_vuc_call *call, int result)
{
	bool surplus;
	uint32_t max = result ? 0 : call->fds_max;

	call->n_fds = vmig_vuc_in_take_fds(&v->in, call->fds, max, &surplus);
	if (!surplus)
		return result;
	while (call->n_fds)
		close(call->fds[--call->n_fds]);
	return vmig_vuc_die(v, -EPROTO, command_name(call->command),
			    "descriptors came that were not asked for");
}

static int receive_reply(struct vmig_vuc *v, const struct vmig_vu_header *h, struct vmig_vuc_wait *wait)
{
	struct vmig_vuc_call *call;
	int r;

	pthread_mutex_lock(&v->lock);
	call = take_call(v, h->id);
	pthread_mutex_unlock(&v->lock);
	if (!call)
		return vmig_vuc_die(v, -EPROTO, command_name(h->command),
				    "a reply with id %u, which no command has that is under way", h->id);
	call->reply = *h;
	if (h->command != call->command)
		r = vmig_vuc_die(v, -EPROTO, command_name(call->command), "the reply is one to %s (%u)",
				 command_name(h->command), h->command);
	else
		r = receive_body(v, call, wait);
	if (!v->dead)
		r = receive_fds(v, call, r);
	pthread_mutex_lock(&v->lock);
	complete(v, call, r);
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static void quote_bytes(char *to, size_t room, const uint8_t *bytes, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n && at + 1 < room; i++)
		to[at++] = isprint(bytes[i]) ? (char)bytes[i] : '.';
	to[at] = '\0';
}

/* Before VERSION is agreed on, whatever is wrong means that this is not a vfio-user server. */
static int not_vfio_user(struct vmig_vuc *v, const struct vmig_vu_header *h)
{
	char quote[VMIG_VU_HEADER_SIZE + 1];

	if (v->agreed)
		return vmig_vuc_die(v, -EPROTO, "header", "a message of %u bytes, type %u, command %u",
				    h->size, h->flags & VMIG_VU_TYPE_MASK, h->command);
	quote_bytes(quote, sizeof(quote), v->in.buf + v->in.start,
		    MIN(vmig_vuc_in_buffered(&v->in), VMIG_VU_HEADER_SIZE));
	return vmig_vuc_die(v, -EPROTO, "VERSION",
			    "what answers is not a vfio-user server: it begins with \"%s\"", quote);
}

static int no_header(struct vmig_vuc *v, int code)
{
	char quote[VMIG_VU_HEADER_SIZE + 1];
	const char *where = "DMA";

	if (!v->agreed && code == -ECONNRESET && vmig_vuc_in_buffered(&v->in)) {
		quote_bytes(quote, sizeof(quote), v->in.buf + v->in.start, vmig_vuc_in_buffered(&v->in));
		return vmig_vuc_die(v, -EPROTO, "VERSION",
				    "what answers is not a vfio-user server: it says \"%s\"", quote);
	}
	if (!v->agreed && code == -ECONNRESET)
		return vmig_vuc_die(v, code, "VERSION",
				    "the server closed the connection at once: it has another user, or is no "
				    "vfio-user server");
	pthread_mutex_lock(&v->lock);
	if (v->calls)
		where = command_name(v->calls->command);
	pthread_mutex_unlock(&v->lock);
	return die_of(v, code, where);
}

static void queue_out(struct vmig_vuc *v, struct vmig_vuc_out *out)
{
	pthread_mutex_lock(&v->lock);
	out->next = NULL;
	*v->out_tail = out;
	v->out_tail = &out->next;
	v->out_bytes += out->len;
	pthread_mutex_unlock(&v->lock);
}

static void flush_out(struct vmig_vuc *v, bool leader, bool sending);

static int receive_command(struct vmig_vuc *v, const struct vmig_vu_header *h, struct vmig_vuc_wait *wait)
{
	struct vmig_vuc_out *out;
	bool surplus;
	int r = vmig_vuc_serve_command(v, &v->in, h, wait, &out);

	if (r < 0)
		return die_of(v, r, command_name(h->command));
	vmig_vuc_in_take_fds(&v->in, NULL, 0, &surplus);
	if (out)
		queue_out(v, out);
	if (surplus)
		return vmig_vuc_die(v, -EPROTO, command_name(h->command),
				    "a command of the server's brought descriptors");
	if (out)
		flush_out(v, true, wait->sending);
	return 0;
}

/* Read one message and deal with it. Whatever is wrong kills the connection. -EAGAIN: only with wait->try. */
static int pump(struct vmig_vuc *v, size_t hint, struct vmig_vuc_wait *wait)
{
	struct vmig_vu_header h = { .size = 0 };
	struct vmig_cursor c;
	int r = vmig_vuc_in_fill(&v->in, VMIG_VU_HEADER_SIZE, hint, wait);

	if (r == -EAGAIN)
		return r;
	if (r < 0)
		return no_header(v, r);
	c = vmig_cursor_over(v->in.buf + v->in.start, VMIG_VU_HEADER_SIZE);
	r = vmig_vu_header_decode(&c, &h);
	if (r < 0 || vmig_vu_header_check(&h, VMIG_LIMIT_XFER_DEFAULT) < 0 ||
	    (!v->agreed && !vmig_vu_is_reply(&h)))
		return not_vfio_user(v, &h);
	if (!v->agreed && h.command != VMIG_VU_VERSION)
		return not_vfio_user(v, &h);
	v->in.start += VMIG_VU_HEADER_SIZE;
	return vmig_vu_is_reply(&h) ? receive_reply(v, &h, wait) : receive_command(v, &h, wait);
}

/* How far the next message may be read at once: as far as the oldest call's reply goes, if that is small. */
static size_t hint_of(const struct vmig_vuc *v)
{
	const struct vmig_vuc_call *call = v->calls;
	size_t size = VMIG_VU_HEADER_SIZE;

	if (!call || call->fds_max)
		return size;
	size += call->fixed_max;
	if (size + call->data_max <= VMIG_VUC_IN_SIZE / 2)
		size += call->data_max;
	return MIN(size, (size_t)VMIG_VUC_IN_SIZE);
}

/* Take the role for one message. v->lock is held, the role is free. */
static int lead(struct vmig_vuc *v, struct vmig_vuc_wait *wait)
{
	size_t hint = hint_of(v);
	int r;

	v->leading = true;
	pthread_mutex_unlock(&v->lock);
	r = pump(v, hint, wait);
	pthread_mutex_lock(&v->lock);
	v->leading = false;
	return r;
}

/* The role is free: wake one who waits, or else the one who reads for nobody. v->lock is held. */
static void pass_on(struct vmig_vuc *v)
{
	if (v->leading)
		return;
	for (struct vmig_vuc_call *call = v->calls; call; call = call->next) {
		if (call->waiting) {
			pthread_cond_signal(&call->cond);
			return;
		}
	}
	if (v->has_server)
		pthread_cond_signal(&v->server_cond);
}

void vmig_vuc_read_idle(struct vmig_vuc *v)
{
	struct vmig_vuc_wait wait = wait_from_now(v);

	/* What was read too far is the start of a message: the rest of it is due. */
	wait.try = !vmig_vuc_in_buffered(&v->in);
	lead(v, &wait);
	pass_on(v);
}

/* Sleep until the call is done or the role is free. v->lock is held. */
static void follow(struct vmig_vuc *v, struct vmig_vuc_call *call, const struct vmig_vuc_wait *wait)
{
	struct timespec until = { .tv_sec = (time_t)(wait->deadline_ns / NS_PER_S),
				  .tv_nsec = (long)(wait->deadline_ns % NS_PER_S) };
	struct vmig_error why;
	int r;

	call->waiting = true;
	/* After the end only a leader's last step is waited for: it comes soon. */
	if (!wait->deadline_ns || v->death.code)
		r = pthread_cond_wait(&call->cond, &v->lock);
	else
		r = pthread_cond_clockwait(&call->cond, &v->lock, CLOCK_MONOTONIC, &until);
	call->waiting = false;
	if (r == ETIMEDOUT && call->state != VMIG_VUC_DONE && !v->death.code) {
		vmig_fault(&why, -ETIMEDOUT, command_name(call->command), "the server does not answer");
		die_locked(v, &why);
	}
}

int vmig_vuc_wait_for(struct vmig_vuc *v, struct vmig_vuc_call *call)
{
	struct vmig_vuc_wait wait = wait_from_now(v);

	pthread_mutex_lock(&v->lock);
	while (call->state != VMIG_VUC_DONE) {
		if (v->leading)
			follow(v, call, &wait);
		else
			lead(v, &wait);
	}
	pass_on(v);
	pthread_mutex_unlock(&v->lock);
	return call->result;
}

static size_t queued_bytes(struct vmig_vuc *v)
{
	size_t bytes;

	pthread_mutex_lock(&v->lock);
	bytes = v->out_bytes;
	pthread_mutex_unlock(&v->lock);
	return bytes;
}

/* --- sending ------------------------------------------------------------------------------ */

/* While another thread reads, this long; then look again whether it still does. */
#define LOOK_AGAIN_NS (10 * NS_PER_MS)

static int poll_for_room(struct vmig_vuc *v, bool mine, const struct vmig_vuc_wait *wait)
{
	uint64_t deadline = wait->deadline_ns, soon = vmig_now_ns() + LOOK_AGAIN_NS;
	bool read = mine && queued_bytes(v) < OUT_BYTES_MAX;
	int r;

	if (!mine && (!deadline || soon < deadline))
		deadline = soon;
	r = vmig_vuc_poll(v->in.fd, (short)(POLLOUT | (read ? POLLIN : 0)), deadline);
	return r == -ETIMEDOUT && deadline != wait->deadline_ns ? 0 : r;
}

/* The socket is full. Wait until it is not, and read meanwhile if nobody else does. */
static int make_room(struct vmig_vuc *v, bool leader, struct vmig_vuc_wait *wait)
{
	struct vmig_vuc_wait try = *wait;
	bool mine = leader;
	int r;

	try.try = true;
	try.sending = true;
	if (!leader) {
		pthread_mutex_lock(&v->lock);
		mine = !v->leading;
		if (mine)
			v->leading = true;
		pthread_mutex_unlock(&v->lock);
	}
	r = poll_for_room(v, mine, wait);
	if (r > 0 && !(r & POLLOUT) && r & POLLIN) {
		r = pump(v, VMIG_VU_HEADER_SIZE, &try);
		r = r == -EAGAIN ? 0 : r;
	}
	if (!leader && mine) {
		pthread_mutex_lock(&v->lock);
		v->leading = false;
		pass_on(v);
		pthread_mutex_unlock(&v->lock);
	}
	return r < 0 ? r : 0;
}

static void put_fds(struct msghdr *msg, const int *fds, uint32_t n, char *room, size_t size)
{
	struct cmsghdr *c;

	if (!n)
		return;
	memset(room, 0, size);
	msg->msg_control = room;
	msg->msg_controllen = CMSG_SPACE(n * sizeof(int));
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
}

/* All of it. @careful: never wait for room without reading. @leader: the role is held already. send_lock is held. */
static int send_all(struct vmig_vuc *v, struct iovec *iov, int n, const int *fds, uint32_t n_fds,
		    bool careful, bool leader)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * VMIG_LIMIT_MSG_FDS)];
	struct vmig_vuc_wait wait = wait_from_now(v);
	ssize_t r;

	vmig_iov_skip(&iov, &n, 0);
	while (n) {
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n };

		put_fds(&msg, fds, n_fds, control, sizeof(control));
		r = sendmsg(v->in.fd, &msg, MSG_NOSIGNAL | (careful ? MSG_DONTWAIT : 0));
		if (r >= 0) {
			n_fds = 0;
			vmig_iov_skip(&iov, &n, (size_t)r);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EPIPE || errno == ECONNRESET)
			return -ECONNRESET;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return -errno;
		if (wait.deadline_ns && vmig_now_ns() >= wait.deadline_ns)
			return -ETIMEDOUT;
		r = careful ? make_room(v, leader, &wait) : 0;
		if (r < 0)
			return (int)r;
	}
	return 0;
}

static struct vmig_vuc_out *next_out(struct vmig_vuc *v)
{
	struct vmig_vuc_out *out;

	pthread_mutex_lock(&v->lock);
	out = v->out;
	if (out) {
		v->out = out->next;
		if (!v->out)
			v->out_tail = &v->out;
		v->out_bytes -= out->len;
	}
	pthread_mutex_unlock(&v->lock);
	return out;
}

/* Send the queued replies. send_lock is held. */
static void send_out(struct vmig_vuc *v, bool leader)
{
	struct vmig_vuc_out *out;

	while ((out = next_out(v))) {
		struct iovec iov = { out->bytes, out->len };
		int r = v->dead ? 0 : send_all(v, &iov, 1, NULL, 0, true, leader);

		free(out);
		if (r < 0)
			die_of(v, r, "reply");
	}
}

/* Whoever holds send_lock sends what others have queued; so look again after letting it go. */
static void flush_out(struct vmig_vuc *v, bool leader, bool sending)
{
	while (queued_bytes(v)) {
		if (pthread_mutex_trylock(&v->send_lock)) {
			if (sending || queued_bytes(v) < OUT_BYTES_MAX)
				return;
			pthread_mutex_lock(&v->send_lock);
		}
		send_out(v, leader);
		pthread_mutex_unlock(&v->send_lock);
	}
}

struct vmig_cursor vmig_vuc_request(void *out, size_t size)
{
	return vmig_cursor_into((uint8_t *)out + VMIG_VU_HEADER_SIZE, size - VMIG_VU_HEADER_SIZE);
}

void vmig_vuc_request_end(struct vmig_vuc_call *call, void *out, const struct vmig_cursor *c)
{
	call->out = out;
	call->out_len = (size_t)(c->at - call->out);
}

/* Give it an id and a place among those that wait. */
static int enlist(struct vmig_vuc *v, struct vmig_vuc_call *call)
{
	int r = 0;

	pthread_mutex_lock(&v->lock);
	call->cond = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
	call->id = v->next_id++;
	call->next = NULL;
	if (v->death.code) {
		call->result = r = -ECONNRESET;
		call->state = VMIG_VUC_DONE;
		call->late = true;
	} else {
		call->state = VMIG_VUC_SENT;
		v->ahead += call->ahead;
		*v->tail = call;
		v->tail = &call->next;
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}

#define SEND_IOV_MAX (VMIG_SESSION_IOV_MAX + 1)

static int send_call(struct vmig_vuc *v, const struct vmig_vuc_call *call)
{
	struct iovec iov[SEND_IOV_MAX] = { { call->out, call->out_len } };
	int n = MIN(call->n_data, VMIG_SESSION_IOV_MAX);
	struct vmig_cursor c = vmig_cursor_into(call->out, VMIG_VU_HEADER_SIZE);
	struct vmig_vu_header h = { .id = call->id,
				    .command = call->command,
				    .size = (uint32_t)(call->out_len + vmig_iov_len(call->data, n)),
				    .flags = VMIG_VU_TYPE_COMMAND };

	vmig_vu_header_encode(&c, &h);
	for (int i = 0; i < n; i++)
		iov[i + 1] = call->data[i];
	return send_all(v, iov, n + 1, call->send_fds, call->n_send_fds, v->ahead, false);
}

void vmig_vuc_start(struct vmig_vuc *v, struct vmig_vuc_call *call)
{
	uint16_t command = call->command;
	int r;

	pthread_mutex_lock(&v->send_lock);
	if (!enlist(v, call)) {
		r = send_call(v, call);
		if (r < 0)
			die_of(v, r, command_name(command));
		if (queued_bytes(v))
			send_out(v, false);
	}
	pthread_mutex_unlock(&v->send_lock);
	flush_out(v, false, false);
}

void vmig_vuc_attach(struct vmig_vuc *v, struct vmig_vuc_call *call, struct iovec *iov, int n)
{
	pthread_mutex_lock(&v->lock);
	if (call->state == VMIG_VUC_SENT) {
		call->iov = iov;
		call->n_iov = n;
	}
	pthread_mutex_unlock(&v->lock);
}

bool vmig_vuc_is_done(struct vmig_vuc *v, struct vmig_vuc_call *call)
{
	bool done;

	pthread_mutex_lock(&v->lock);
	done = call->state == VMIG_VUC_DONE;
	pthread_mutex_unlock(&v->lock);
	return done;
}

void vmig_vuc_abandon(struct vmig_vuc *v, struct vmig_vuc_call *call)
{
	bool done;

	pthread_mutex_lock(&v->lock);
	done = call->state == VMIG_VUC_DONE;
	call->orphan = true;
	pthread_mutex_unlock(&v->lock);
	if (done) {
		free(call->park);
		free(call);
	}
}

int vmig_vuc_call_fault(struct vmig_vuc *v, const struct vmig_vuc_call *call, struct vmig_error *error)
{
	const char *where = command_name(call->command);
	struct vmig_error death;

	if (!call->result)
		return 0;
	if (call->refused)
		return vmig_fault(error, call->result, where,
				  call->result == -EREMOTEIO
					  ? "the server answered with an error, and no errno"
					  : "the server refuses");
	pthread_mutex_lock(&v->lock);
	death = v->death;
	pthread_mutex_unlock(&v->lock);
	if (call->late)
		return vmig_fault(error, call->result, where, "the connection was lost earlier: %s: %.150s",
				  death.where, death.text);
	if (strcmp(death.where, where))
		return vmig_fault(error, call->result, where, "%s: %.180s", death.where, death.text);
	return vmig_fault(error, call->result, where, "%s", death.text);
}

int vmig_vuc_call(struct vmig_vuc *v, struct vmig_vuc_call *call, struct vmig_error *error)
{
	vmig_vuc_start(v, call);
	return vmig_vuc_wait_for(v, call) ? vmig_vuc_call_fault(v, call, error) : 0;
}

/* --- life --------------------------------------------------------------------------------- */

int vmig_vuc_set_timeouts(struct vmig_vuc *v, uint32_t ms)
{
	struct timeval t = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	v->timeout_ms = ms;
	if (setsockopt(v->in.fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) < 0 ||
	    setsockopt(v->in.fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) < 0)
		return -errno;
	return 0;
}

void vmig_vuc_conn_init(struct vmig_vuc *v, int fd)
{
	v->in.fd = fd;
	v->tail = &v->calls;
	v->out_tail = &v->out;
	v->caps = vmig_vu_caps_default;
	pthread_mutex_init(&v->send_lock, NULL);
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->server_cond, NULL);
}

void vmig_vuc_conn_done(struct vmig_vuc *v)
{
	struct vmig_vuc_call *call;
	struct vmig_vuc_out *out;

	/* Only replies that nobody wants are still under way. */
	while ((call = v->calls)) {
		unlink_call(v, &v->calls);
		complete(v, call, -ECONNRESET);
	}
	while ((out = next_out(v)))
		free(out);
	vmig_vuc_in_done(&v->in);
	pthread_cond_destroy(&v->server_cond);
	pthread_mutex_destroy(&v->lock);
	pthread_mutex_destroy(&v->send_lock);
}
