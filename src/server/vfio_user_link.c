/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vfio_user_link.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/io.h"

int vmig_slink_new(int fd, struct vmig_slink **ret)
{
	struct vmig_slink *link = calloc(1, sizeof(*link));
	int err = -ENOMEM;

	if (!link)
		return -ENOMEM;
	link->in = calloc(1, sizeof(*link->in));
	link->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (link->wake_fd < 0)
		err = -errno;
	if (!link->in || link->wake_fd < 0) {
		vmig_closep(&link->wake_fd);
		free(link->in);
		free(link);
		return err;
	}
	link->fd = fd;
	link->max = VMIG_LIMIT_XFER_DEFAULT;
	link->queue_end = &link->queue;
	pthread_mutex_init(&link->tx, NULL);
	pthread_mutex_init(&link->lock, NULL);
	pthread_cond_init(&link->changed, NULL);
	*ret = link;
	return 0;
}

void vmig_slink_give(struct vmig_slink *link, const void *bytes, size_t len)
{
	memcpy(link->buf, bytes, len);
	link->tail = len;
}

void vmig_slink_free(struct vmig_slink *link)
{
	if (!link)
		return;
	while (link->queue) {
		struct vmig_slink_msg *msg = link->queue;

		link->queue = msg->next;
		vmig_slink_msg_free(msg);
	}
	for (int i = 0; i < link->n_held; i++)
		vmig_closep(&link->held[i].fd);
	vmig_slink_msg_free(link->in);
	vmig_slink_msg_free(link->spare);
	close(link->wake_fd);
	close(link->fd);
	pthread_cond_destroy(&link->changed);
	pthread_mutex_destroy(&link->lock);
	pthread_mutex_destroy(&link->tx);
	free(link);
}

/* --- sending ---------------------------------------------------------------------------------- */

static int send_all(int fd, struct msghdr *m)
{
	struct iovec *iov = m->msg_iov;
	int n = (int)m->msg_iovlen;

	while (n) {
		ssize_t sent;

		m->msg_iov = iov;
		m->msg_iovlen = (size_t)n;
		sent = sendmsg(fd, m, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EPIPE ? -ECONNRESET : -errno;
		m->msg_control = NULL; /* descriptors go with the first byte */
		m->msg_controllen = 0;
		vmig_iov_skip(&iov, &n, (size_t)sent);
	}
	return 0;
}

static void put_fds(struct msghdr *m, void *room, const int *fds, int n)
{
	struct cmsghdr *c;

	m->msg_control = room;
	m->msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
}

int vmig_slink_send(struct vmig_slink *link, struct vmig_vu_header *h, const void *fixed, size_t fixed_len,
		    const struct iovec *iov, int n, const int *fds, int n_fds)
{
	union {
		char room[CMSG_SPACE(VMIG_LIMIT_MSG_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	uint8_t head[VMIG_VU_HEADER_SIZE];
	struct vmig_cursor c = vmig_cursor_into(head, sizeof(head));
	struct iovec all[2 + VMIG_SESSION_IOV_MAX] = { { head, sizeof(head) },
						       { (void *)(uintptr_t)fixed, fixed_len } };
	struct msghdr m = { .msg_iov = all, .msg_iovlen = (size_t)(2 + n) };
	int r;

	h->size = (uint32_t)(VMIG_VU_HEADER_SIZE + fixed_len + (n ? vmig_iov_len(iov, n) : 0));
	vmig_vu_header_encode(&c, h);
	for (int i = 0; i < n; i++)
		all[2 + i] = iov[i];
	if (n_fds)
		put_fds(&m, &control, fds, n_fds);
	pthread_mutex_lock(&link->tx);
	r = send_all(link->fd, &m);
	pthread_mutex_unlock(&link->tx);
	if (r < 0)
		vmig_slink_kill(link, r);
	return r;
}
