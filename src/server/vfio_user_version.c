/* SPDX-License-Identifier: BSD-3-Clause */
/* VERSION: what both sides can do. The answer offers only what was proposed. */
#include <sys/socket.h>

#include "server/vfio_user.h"

/* The smallest page of a mapping. */
#define PAGE 4096ull

static bool proposed(const struct vmig_vu_caps *caps, uint32_t cap)
{
	return (caps->present & cap) == cap;
}

static void agree_sizes(const struct vmig_served *s, const struct vmig_vu_caps *theirs,
			struct vmig_vu_caps *ours)
{
	ours->present |= theirs->present & (VMIG_VU_CAP_MAX_MSG_FDS | VMIG_VU_CAP_MAX_DATA_XFER_SIZE |
					    VMIG_VU_CAP_MAX_DMA_MAPS | VMIG_VU_CAP_PGSIZES);
	ours->max_msg_fds = MIN(theirs->max_msg_fds, VMIG_LIMIT_MSG_FDS);
	ours->max_data_xfer_size = MIN(theirs->max_data_xfer_size, s->max_xfer);
	ours->max_dma_maps = MIN(theirs->max_dma_maps, VMIG_LIMIT_DMA_MAPS);
	ours->pgsizes = theirs->pgsizes & ~(PAGE - 1);
	/* Less than the default must be said, proposed or not: it takes something away. */
	if (ours->max_data_xfer_size < theirs->max_data_xfer_size)
		ours->present |= VMIG_VU_CAP_MAX_DATA_XFER_SIZE;
}

static void agree_features(const struct vmig_served *s, const struct vmig_vu_caps *theirs,
			   struct vmig_vu_caps *ours)
{
	if (proposed(theirs, VMIG_VU_CAP_WRITE_MULTIPLE) && theirs->write_multiple) {
		ours->present |= VMIG_VU_CAP_WRITE_MULTIPLE;
		ours->write_multiple = true;
	}
	if (proposed(theirs, VMIG_VU_CAP_MIGRATION)) {
		uint64_t most = theirs->migration_max_bitmap_size;

		ours->present |= VMIG_VU_CAP_MIGRATION;
		ours->migration_pgsize = theirs->migration_pgsize ? PAGE : 0;
		ours->migration_max_bitmap_size = MIN(most, VMIG_LIMIT_MSG_BITMAP);
	}
	if (proposed(theirs, VMIG_VU_CAP_PRECOPY_INFO) && theirs->precopy_info && !s->plain) {
		ours->present |= VMIG_VU_CAP_PRECOPY_INFO;
		ours->precopy_info = true;
	}
	if (proposed(theirs, VMIG_VU_CAP_DEVICE_INFO) && theirs->device_info && !s->plain) {
		ours->present |= VMIG_VU_CAP_DEVICE_INFO;
		ours->device_info = true;
	}
	if (proposed(theirs, VMIG_VU_CAP_COMPAT) && theirs->compat && !s->plain) {
		ours->present |= VMIG_VU_CAP_COMPAT;
		ours->compat = true;
	}
	if (proposed(theirs, VMIG_VU_CAP_TAG) && theirs->tag && !s->plain && s->info.has & VMIG_HAS_TAG) {
		ours->present |= VMIG_VU_CAP_TAG;
		ours->tag = true;
	}
	/* Whoever has come so far has the device to itself. */
	if (proposed(theirs, VMIG_VU_CAP_TAKE) && theirs->take && !s->plain) {
		ours->present |= VMIG_VU_CAP_TAKE;
		ours->take = true;
	}
}

/* The socket for our own commands: our end is kept, the client's goes with the answer. */
static int make_twin(struct vmig_served *s, struct vmig_vu_caps *ours, int *ret_fd)
{
	struct vmig_slink *twin;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	r = vmig_slink_new(fds[0], &twin);
	if (r < 0) {
		close(fds[0]);
		close(fds[1]);
		return r;
	}
	twin->takes_none = true;
	twin->versioned = true;
	twin->max = ours->max_data_xfer_size;
	twin->server = pthread_self();
	twin->main = s->link;
	pthread_mutex_lock(&s->link->lock);
	s->twin = twin;
	r = s->link->dead;
	pthread_mutex_unlock(&s->link->lock);
	ours->present |= VMIG_VU_CAP_TWIN_SOCKET | VMIG_VU_CAP_TWIN_FD_INDEX;
	ours->twin_socket = true;
	ours->twin_fd_index = 0;
	*ret_fd = fds[1];
	return r;
}

static int answer(struct vmig_served *s, struct vmig_slink_msg *m, const struct vmig_vu_version *v,
		  int twin_fd)
{
	uint8_t out[VMIG_VU_VERSION_MAX];
	struct vmig_cursor c = vmig_cursor_into(out, sizeof(out));
	int r = vmig_vu_version_encode(&c, v);

	if (r < 0)
		return r;
	if (!vmig_cursor_ok(&c))
		return -EMSGSIZE;
	s->caps = v->caps;
	/* What a client can take says what we may send it unasked; what it sends and asks for is held to our own limit,
	 * for libvfio-user's clients go beyond theirs. */
	s->link->max = s->max_xfer;
	s->link->versioned = true;
	return vmig_served_reply(s, m, out, sizeof(out) - c.left, NULL, 0, &twin_fd, twin_fd >= 0);
}

int vmig_served_version(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_version theirs, ours = { .caps = vmig_vu_caps_default };
	_autoclose_ int twin_fd = -1;
	int r;

	if (s->link->versioned)
		return -EINVAL;
	r = vmig_vu_version_decode(&c, &theirs);
	if (r < 0)
		return r;
	if (theirs.major != VMIG_VU_MAJOR)
		return -EINVAL;
	ours.major = VMIG_VU_MAJOR;
	ours.minor = MIN(theirs.minor, VMIG_VU_MINOR);
	agree_sizes(s, &theirs.caps, &ours.caps);
	if (!ours.caps.pgsizes)
		return -EINVAL; /* no page size that both know */
	agree_features(s, &theirs.caps, &ours.caps);
	if (proposed(&theirs.caps, VMIG_VU_CAP_TWIN_SOCKET) && theirs.caps.twin_socket)
		r = make_twin(s, &ours.caps, &twin_fd);
	return r < 0 ? r : answer(s, m, &ours, twin_fd);
}
