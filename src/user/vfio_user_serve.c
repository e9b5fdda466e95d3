/* SPDX-License-Identifier: BSD-3-Clause */
/* The server's own commands, DMA_READ and DMA_WRITE, and the thread that serves them when no call is under way. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/log.h"
#include "user/vfio_user.h"

/* --- a command of the server's ------------------------------------------------------------ */

static struct vmig_vuc_out *new_out(size_t payload)
{
	struct vmig_vuc_out *out = malloc(sizeof(*out) + VMIG_VU_HEADER_SIZE + payload);

	if (out)
		out->len = VMIG_VU_HEADER_SIZE + payload;
	return out;
}

/* Make it a reply, or an error reply (a header only) if @result is negative. */
static void finish_out(struct vmig_vuc_out *out, const struct vmig_vu_header *request, int result)
{
	struct vmig_cursor c = vmig_cursor_into(out->bytes, VMIG_VU_HEADER_SIZE);
	struct vmig_vu_header h = { .id = request->id,
				    .command = request->command,
				    .flags = VMIG_VU_TYPE_REPLY };

	if (result < 0) {
		out->len = VMIG_VU_HEADER_SIZE;
		h.flags |= VMIG_VU_ERROR;
		h.error = (uint32_t)-result;
	}
	h.size = (uint32_t)out->len;
	vmig_vu_header_encode(&c, &h);
}

/* Known enough to be refused: skip what it carries. */
static int refuse(struct vmig_vuc_in *in, const struct vmig_vu_header *h, uint32_t left, int result,
		  struct vmig_vuc_wait *wait, struct vmig_vuc_out **ret)
{
	int r = vmig_vuc_in_skip(in, left, wait);

	if (r < 0)
		return r;
	*ret = new_out(0);
	if (!*ret)
		return -ENOMEM;
	finish_out(*ret, h, result);
	return 0;
}

/* Both directions: the reply of a read is as long as the request of a write. */
static int serve_rw(struct vmig_vuc *v, struct vmig_vuc_in *in, const struct vmig_vu_header *h,
		    const struct vmig_vu_dma_rw *m, struct vmig_vuc_wait *wait, struct vmig_vuc_out **ret)
{
	bool write = h->command == VMIG_VU_DMA_WRITE;
	struct vmig_vuc_out *out = new_out(VMIG_VU_DMA_RW_SIZE + (size_t)m->count);
	uint8_t *data = out ? out->bytes + VMIG_VU_HEADER_SIZE + VMIG_VU_DMA_RW_SIZE : NULL;
	struct iovec iov = { data, (size_t)m->count };
	struct vmig_cursor c;
	int r = 0;

	if (!out)
		return -ENOMEM;
	if (write)
		r = vmig_vuc_in_take(in, &iov, 1, iov.iov_len, wait);
	if (r < 0) {
		free(out);
		return r;
	}
	r = vmig_vuc_access(&v->maps, m->address, data, (size_t)m->count, write);
	if (write)
		out->len = VMIG_VU_HEADER_SIZE + VMIG_VU_DMA_RW_SIZE;
	c = vmig_cursor_into(out->bytes + VMIG_VU_HEADER_SIZE, VMIG_VU_DMA_RW_SIZE);
	vmig_vu_dma_rw_encode(&c, m);
	finish_out(out, h, r);
	*ret = out;
	return 0;
}

int vmig_vuc_serve_command(struct vmig_vuc *v, struct vmig_vuc_in *in, const struct vmig_vu_header *h,
			   struct vmig_vuc_wait *wait, struct vmig_vuc_out **ret)
{
	uint8_t fixed[VMIG_VU_DMA_RW_SIZE];
	uint32_t fixed_len = vmig_vu_fixed_size(h), left = vmig_vu_payload(h);
	struct iovec iov = { fixed, fixed_len };
	struct vmig_vu_dma_rw m;
	struct vmig_cursor c;
	int r;

	*ret = NULL;
	if (h->command != VMIG_VU_DMA_READ && h->command != VMIG_VU_DMA_WRITE)
		r = refuse(in, h, left, -EOPNOTSUPP, wait, ret);
	else if (fixed_len > sizeof(fixed))
		r = refuse(in, h, left, -EINVAL, wait, ret);
	else {
		r = vmig_vuc_in_take(in, &iov, 1, fixed_len, wait);
		if (r < 0)
			return r;
		left -= fixed_len;
		c = vmig_cursor_over(fixed, fixed_len);
		r = vmig_vu_dma_rw_decode(&c, h, VMIG_LIMIT_XFER_DEFAULT, &m);
		if (r < 0)
			r = refuse(in, h, left, -EINVAL, wait, ret);
		else
			r = serve_rw(v, in, h, &m, wait, ret);
	}
	if (!r && h->flags & VMIG_VU_NO_REPLY)
		free(steal_ptr(*ret));
	return r;
}

/* --- the thread that serves --------------------------------------------------------------- */

static int serve_twin(struct vmig_vuc *v, struct vmig_vuc_in *in)
{
	struct vmig_vuc_wait wait = { .deadline_ns = 0 };
	struct vmig_vuc_out *out;
	struct vmig_vu_header h;
	struct vmig_cursor c;
	bool surplus;
	size_t sent = 0;
	int r = vmig_vuc_in_fill(in, VMIG_VU_HEADER_SIZE, VMIG_VU_HEADER_SIZE, &wait);

	if (r < 0)
		return r;
	c = vmig_cursor_over(in->buf + in->start, VMIG_VU_HEADER_SIZE);
	if (vmig_vu_header_decode(&c, &h) < 0 || vmig_vu_header_check(&h, VMIG_LIMIT_XFER_DEFAULT) < 0 ||
	    vmig_vu_is_reply(&h))
		return -EPROTO;
	in->start += VMIG_VU_HEADER_SIZE;
	r = vmig_vuc_serve_command(v, in, &h, &wait, &out);
	vmig_vuc_in_take_fds(in, NULL, 0, &surplus);
	if (r < 0 || !out)
		return r;
	while (sent < out->len && !r) {
		ssize_t n = send(in->fd, out->bytes + sent, out->len - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		else if (errno != EINTR)
			r = -errno;
	}
	free(out);
	return surplus ? -EPROTO : r;
}

static void *run_twin(void *p)
{
	struct vmig_vuc *v = p;
	struct vmig_vuc_in *in = calloc(1, sizeof(*in));
	int r = in ? 0 : -ENOMEM;

	if (in)
		in->fd = v->twin_fd;
	while (!r)
		r = serve_twin(v, in);
	if (r == -EPROTO)
		vmig_vuc_die(v, r, "twin socket", "what came is no command of vfio-user");
	else
		vmig_log(VMIG_LOG_DEBUG, "%s: the twin socket has ended", v->info.name);
	/* The descriptor itself stays until the handle is closed, so that its number cannot be reused meanwhile. */
	shutdown(v->twin_fd, SHUT_RDWR);
	if (in) {
		in->fd = -1;
		vmig_vuc_in_done(in);
	}
	free(in);
	return NULL;
}

/* Without a twin socket: read the main one while nobody else does. v->lock is held. */
static void serve_idle(struct vmig_vuc *v)
{
	struct pollfd p[] = { { .fd = v->in.fd, .events = POLLIN }, { .fd = v->wake_fd, .events = POLLIN } };

	if (v->leading) {
		pthread_cond_wait(&v->server_cond, &v->lock);
		return;
	}
	if (!vmig_vuc_in_buffered(&v->in)) {
		pthread_mutex_unlock(&v->lock);
		poll(p, ARRAY_SIZE(p), -1);
		pthread_mutex_lock(&v->lock);
	}
	if (!v->stop && !v->dead && !v->leading)
		vmig_vuc_read_idle(v);
}

static void *run_idle(void *p)
{
	struct vmig_vuc *v = p;

	pthread_mutex_lock(&v->lock);
	while (!v->stop && !v->dead)
		serve_idle(v);
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

/* The program's signals are not for this thread, but for those that its own accesses raise. */
static int create_thread(struct vmig_vuc *v, void *(*run)(void *))
{
	sigset_t mask, before;
	int r;

	sigfillset(&mask);
	sigdelset(&mask, SIGBUS);
	sigdelset(&mask, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &mask, &before);
	r = -pthread_create(&v->server, NULL, run, v);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* @by_message: the server has no other way to some mapping. */
int vmig_vuc_start_server(struct vmig_vuc *v, bool by_message)
{
	bool twin = v->twin_fd >= 0;
	int r = 0;

	pthread_mutex_lock(&v->lock);
	if (!v->has_server && (by_message || twin)) {
		if (v->wake_fd < 0)
			v->wake_fd = eventfd(0, EFD_CLOEXEC);
		r = v->wake_fd < 0 ? -errno : create_thread(v, twin ? run_twin : run_idle);
		v->has_server = !r;
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}

void vmig_vuc_stop_server(struct vmig_vuc *v)
{
	pthread_mutex_lock(&v->lock);
	v->stop = true;
	pthread_cond_broadcast(&v->server_cond);
	pthread_mutex_unlock(&v->lock);
	if (v->twin_fd >= 0)
		shutdown(v->twin_fd, SHUT_RDWR);
	if (v->wake_fd >= 0)
		eventfd_write(v->wake_fd, 1);
	/* It may be in the middle of a message that does not come. */
	shutdown(v->in.fd, SHUT_RDWR);
	if (v->has_server)
		pthread_join(v->server, NULL);
	if (v->twin_fd >= 0)
		close(v->twin_fd);
	if (v->wake_fd >= 0)
		close(v->wake_fd);
}
