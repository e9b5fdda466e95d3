/* SPDX-License-Identifier: BSD-3-Clause */
/** vfio_user - one client that is being served: what it has mapped, armed, opened. Private to the server. */
#ifndef VMIG_SERVER_VFIO_USER_H
#define VMIG_SERVER_VFIO_USER_H

#include <vmig/device.h>
#include <vmig/server.h>

#include "server/vfio_user_link.h"

/** One mapping of the client's: by its descriptor (@vaddr), or by asking for each access (@io). */
struct vmig_served_map {
	struct vmig_served *served;
	uint64_t iova, size;
	uint32_t prot; /* VMIG_DMA_* */
	void *vaddr;
	struct vmig_dma_io io;
	struct vmig_slink_target target;
};

/** The DMA log as the client has asked for it: see vfio_user_log.c. */
struct vmig_served_log {
	bool on;
	bool all;          /* asked for without ranges: what the device does not log counts as written */
	uint32_t n_ranges; /* of @all: what the device does log, by address, apart from each other */
	struct vmig_range ranges[VMIG_LIMIT_LOG_RANGES];
};

struct vmig_served {
	struct vmig_device *dev;
	struct vmig_device_info info;
	struct vmig_slink *link;
	struct vmig_slink *twin; /* set once, under link->lock; NULL: DMA goes by link */
	bool plain, dma_by_message;
	uint32_t max_xfer; /* ours; link->max is what was agreed on */
	struct vmig_vu_caps caps;

	struct vmig_session
		*session; /* of the client's last transition that started one; NULL: none is open */
	bool reinit;      /* the client has asked for PRECOPY_INFOv2 */
	struct vmig_served_log log;

	struct vmig_served_map **maps; /* by iova */
	uint32_t n_maps, maps_size;

	uint8_t *data; /* for what is made for a reply: vmig_served_data() */
	size_t data_size;
	uint64_t *bitmap; /* of the last report, zero again */
	size_t bitmap_size;
};

/** Takes @fd over when it succeeds. @config is not kept. */
MUST_USE int vmig_served_new(struct vmig_device *dev, const struct vmig_server_config *config, int fd,
			     struct vmig_served **ret);
/** Serve until the client goes (0), breaks the protocol, or vmig_served_abort(). All that it had is released. */
MUST_USE int vmig_served_run(struct vmig_served *s);
/** End vmig_served_run() soon, whatever it waits for of the client. Any thread. */
void vmig_served_abort(struct vmig_served *s);
void vmig_served_free(struct vmig_served *s);

/** The answer to a command: @fixed, then @iov. Nothing if it wanted none. */
int vmig_served_reply(struct vmig_served *s, const struct vmig_slink_msg *m, const void *fixed, size_t len,
		      const struct iovec *iov, int n, const int *fds, int n_fds);
/** The same for what a cursor has written since @start. */
int vmig_served_reply_to(struct vmig_served *s, const struct vmig_slink_msg *m, const void *start,
			 const struct vmig_cursor *end);

/** Memory for a reply, at least @len bytes; its content is lost with the next call. NULL: there is none. */
void *vmig_served_data(struct vmig_served *s, size_t len);

/**
 * The commands. Each has answered, or returns a negative errno for the answer (-EPROTO is told to the
 * client as EINVAL). A failure of the answer itself kills the link, which the loop sees.
 */
int vmig_served_version(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_dma_map(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_dma_unmap(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_get_info(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_region_info(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_region_io_fds(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_irq_info(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_set_irqs(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_region_read(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_region_write(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_write_multi(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_reset(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_feature(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_data_read(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_data_write(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_precopy_info(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_identity(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_descriptor(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_opaque(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_tag(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_set_tag(struct vmig_served *s, struct vmig_slink_msg *m);
int vmig_served_opaque_check(struct vmig_served *s, struct vmig_slink_msg *m);

/** The DMA log's features. @c is behind struct vmig_vu_feature. */
int vmig_served_log_start(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c);
int vmig_served_log_stop(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c);
int vmig_served_log_report(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c);

int vmig_served_dirty_pages(struct vmig_served *s, struct vmig_slink_msg *m);

/** The client's session has ended, or ends now. */
void vmig_served_end_session(struct vmig_served *s);
/** The file of a listening socket that we have made; an empty path: none. */
struct vmig_socket_file {
	char path[108]; /* what a socket's address holds */
	dev_t dev;
	ino_t ino;
};

/** Listen at @path; a stale socket there is replaced. -EADDRINUSE, -EINVAL, -ENAMETOOLONG, ... */
MUST_USE int vmig_socket_file_listen(const char *path, struct vmig_socket_file *ret, int *ret_fd);
/** Remove it, unless somebody has put another one there meanwhile. */
void vmig_socket_file_remove(const struct vmig_socket_file *file);

/** When the client goes. */
void vmig_served_drop_maps(struct vmig_served *s);
void vmig_served_drop_irqs(struct vmig_served *s);
void vmig_served_drop_log(struct vmig_served *s);

#endif
