/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending, without ever waiting for a server that waits for us: the rule is in vfio_user.h. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "user/vfio_user_conn.h"

/* Replies of ours that wait while somebody else sends. Beyond, the leader waits for the socket. */
#define OUT_BYTES_MAX (4u * VMIG_LIMIT_XFER_DEFAULT)

void vmig_vuc_queue_out(struct vmig_vuc *v, struct vmig_vuc_out *out)
{
	pthread_mutex_lock(&v->lock);
	out->next = NULL;
	*v->out_tail = out;
	v->out_tail = &out->next;
	v->out_bytes += out->len;
	pthread_mutex_unlock(&v->lock);
}

static size_t queued_bytes(struct vmig_vuc *v)
{
	size_t bytes;

	pthread_mutex_lock(&v->lock);
	bytes = v->out_bytes;
	pthread_mutex_unlock(&v->lock);
	return bytes;
}

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
		r = vmig_vuc_pump(v, VMIG_VU_HEADER_SIZE, &try);
		r = r == -EAGAIN ? 0 : r;
	}
	if (!leader && mine) {
		pthread_mutex_lock(&v->lock);
		v->leading = false;
		vmig_vuc_pass_on(v);
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
	struct vmig_vuc_wait wait = vmig_vuc_wait_from_now(v);
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

struct vmig_vuc_out *vmig_vuc_next_out(struct vmig_vuc *v)
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

	while ((out = vmig_vuc_next_out(v))) {
		struct iovec iov = { out->bytes, out->len };
		int r = v->dead ? 0 : send_all(v, &iov, 1, NULL, 0, true, leader);

		free(out);
		if (r < 0)
			vmig_vuc_die_of(v, r, "reply");
	}
}

/* Whoever holds send_lock sends what others have queued; so look again after letting it go. */
void vmig_vuc_flush_out(struct vmig_vuc *v, bool leader, bool sending)
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
	if (!vmig_vuc_enlist(v, call)) {
		r = send_call(v, call);
		if (r < 0)
			vmig_vuc_die_of(v, r, vmig_vuc_command_name(command));
		if (queued_bytes(v))
			send_out(v, false);
	}
	pthread_mutex_unlock(&v->send_lock);
	vmig_vuc_flush_out(v, false, false);
}
