/* SPDX-License-Identifier: BSD-3-Clause */
/* VERSION: what is proposed to a vfio-user server, and what is agreed on. */
#include <string.h>

#include "base/log.h"
#include "user/vfio_user.h"

/* The least message that migration data or a register needs. */
#define XFER_MIN 256u

static struct vmig_vu_version proposal(const struct vmig_vfio_user_config *config)
{
	struct vmig_vu_version v = { .major = VMIG_VU_MAJOR, .minor = VMIG_VU_MINOR };

	v.caps = (struct vmig_vu_caps){
		.present = VMIG_VU_CAP_MAX_MSG_FDS | VMIG_VU_CAP_MAX_DATA_XFER_SIZE |
			   VMIG_VU_CAP_MAX_DMA_MAPS | VMIG_VU_CAP_PGSIZES | VMIG_VU_CAP_TWIN_SOCKET |
			   VMIG_VU_CAP_WRITE_MULTIPLE | VMIG_VU_CAP_MIGRATION,
		.max_msg_fds = VMIG_LIMIT_MSG_FDS,
		.max_data_xfer_size = VMIG_LIMIT_XFER_DEFAULT,
		.max_dma_maps = VMIG_LIMIT_DMA_MAPS,
		.pgsizes = 4096,
		.twin_socket = true,
		.write_multiple = true,
		.migration_pgsize = 4096,
		.migration_max_bitmap_size = VMIG_LIMIT_MSG_BITMAP,
	};
	if (!config->plain) {
		v.caps.present |= VMIG_VU_CAP_PRECOPY_INFO | VMIG_VU_CAP_DEVICE_INFO | VMIG_VU_CAP_COMPAT |
				  VMIG_VU_CAP_TAG;
		v.caps.precopy_info = true;
		v.caps.device_info = true;
		v.caps.compat = true;
		v.caps.tag = true;
	}
	if (!config->plain && config->take) {
		v.caps.present |= VMIG_VU_CAP_TAKE;
		v.caps.take = true;
	}
	return v;
}

/* What the server says beyond the proposal is not used: some always answer with all that they have. */
static void agree(struct vmig_vuc *v, const struct vmig_vu_caps *ours, const struct vmig_vu_caps *theirs)
{
	struct vmig_vu_caps *c = &v->caps;

	if (theirs->present & ~(ours->present | VMIG_VU_CAP_TWIN_FD_INDEX))
		vmig_log(VMIG_LOG_INFO, "%s: the server names capabilities that were not proposed: ignored",
			 v->info.name);
	*c = *theirs;
	c->max_msg_fds = MIN(theirs->max_msg_fds, ours->max_msg_fds);
	c->max_data_xfer_size = MIN(theirs->max_data_xfer_size, ours->max_data_xfer_size);
	c->max_dma_maps = MIN(theirs->max_dma_maps, ours->max_dma_maps);
	c->twin_socket = theirs->twin_socket && ours->twin_socket;
	c->write_multiple = theirs->write_multiple && ours->write_multiple;
	c->precopy_info = theirs->precopy_info && ours->precopy_info;
	c->device_info = theirs->device_info && ours->device_info;
	c->compat = theirs->compat && ours->compat;
	c->tag = theirs->tag && ours->tag;
	c->take = theirs->take && ours->take;
}

/* Why VERSION's reply is no agreement, or NULL. */
static const char *version_fault(const struct vmig_vu_version *ours, const struct vmig_vu_version *got)
{
	if (got->major != ours->major)
		return "it speaks another major version";
	if (got->minor > ours->minor)
		return "its minor version is above the one proposed";
	if (got->caps.max_data_xfer_size < XFER_MIN)
		return "its max_data_xfer_size is too small to be of use";
	return NULL;
}

static int take_twin(struct vmig_vuc *v, const struct vmig_vu_caps *caps, int *fds, uint32_t n_fds)
{
	bool wanted = v->caps.twin_socket,
	     there = caps->present & VMIG_VU_CAP_TWIN_FD_INDEX && caps->twin_fd_index < n_fds;

	if (wanted && there)
		v->twin_fd = steal_fd(&fds[caps->twin_fd_index]);
	for (uint32_t i = 0; i < n_fds; i++)
		vmig_closep(&fds[i]);
	return wanted && !there ? -EPROTO : 0;
}

static int take_version(struct vmig_vuc *v, const struct vmig_vu_version *ours,
			const struct vmig_vuc_call *call, struct vmig_error *error)
{
	struct vmig_cursor c = vmig_cursor_over(call->fixed, call->fixed_len);
	struct vmig_vu_version got;
	const char *why;
	int r = vmig_vu_version_decode(&c, &got);

	if (r < 0) {
		for (uint32_t i = 0; i < call->n_fds; i++)
			close(call->fds[i]);
		return vmig_vuc_broken(v, error, "VERSION", "the server's capabilities cannot be read");
	}
	agree(v, &ours->caps, &got.caps);
	r = take_twin(v, &got.caps, call->fds, call->n_fds);
	why = version_fault(ours, &got);
	if (why)
		return vmig_vuc_broken(v, error, "VERSION", "%s: version %u.%u, max_data_xfer_size %u", why,
				       got.major, got.minor, got.caps.max_data_xfer_size);
	if (r < 0)
		return vmig_vuc_broken(v, error, "VERSION",
				       "the twin socket that the server speaks of did not come");
	v->agreed = true;
	return 0;
}

int vmig_vuc_hello(struct vmig_vuc *v, const struct vmig_vfio_user_config *config, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + 1024], in[VMIG_VU_VERSION_MAX];
	int fds[VMIG_LIMIT_MSG_FDS];
	struct vmig_vu_version ours = proposal(config);
	struct vmig_vuc_call call = { .command = VMIG_VU_VERSION,
				      .fixed = in,
				      .fixed_max = sizeof(in),
				      .fds = fds,
				      .fds_max = ARRAY_SIZE(fds) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r = vmig_vu_version_encode(&c, &ours);

	if (r < 0)
		return vmig_fault(error, r, "VERSION", "no memory");
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r == -EBUSY && call.refused)
		return vmig_fault(error, r, "VERSION", "the device has another user%s",
				  config->take ? ", and the server does not take it from that one" : "");
	return r < 0 ? r : take_version(v, &ours, &call, error);
}
