/* SPDX-License-Identifier: BSD-3-Clause */
/* Open a vfio-user server: connect, agree on VERSION, ask what the device is, make the handle. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "user/vfio_user.h"

#define TIMEOUT_MS 10000u
/* The least message that migration data or a register needs. */
#define XFER_MIN 256u

/* --- VERSION ------------------------------------------------------------------------------ */

static struct vmig_vu_version proposal(bool plain)
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
	if (!plain) {
		v.caps.present |= VMIG_VU_CAP_PRECOPY_INFO | VMIG_VU_CAP_DEVICE_INFO;
		v.caps.precopy_info = true;
		v.caps.device_info = true;
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

int vmig_vuc_hello(struct vmig_vuc *v, bool plain, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + 1024], in[VMIG_VU_VERSION_MAX];
	int fds[VMIG_LIMIT_MSG_FDS];
	struct vmig_vu_version ours = proposal(plain);
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
		return vmig_fault(error, r, "VERSION", "the device has another user");
	return r < 0 ? r : take_version(v, &ours, &call, error);
}

/* --- what the device is ------------------------------------------------------------------- */

static int ask_info(struct vmig_vuc *v, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_DEVICE_INFO_SIZE], in[64];
	struct vmig_vu_device_info m = { .argsz = VMIG_VU_DEVICE_INFO_SIZE }, got;
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_GET_INFO,
				      .fixed = in,
				      .fixed_max = sizeof(in) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	vmig_vu_device_info_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, call.fixed_len);
	if (vmig_vu_device_info_decode(&c, &got) < 0)
		return vmig_vuc_broken(
			v, error, "DEVICE_GET_INFO",
			"the reply contradicts itself, or there are too many regions or interrupts");
	v->info.flags = got.flags;
	v->info.n_regions = got.num_regions;
	v->info.n_irqs = got.num_irqs;
	v->regions = calloc(MAX(got.num_regions, 1u), sizeof(v->regions[0]));
	return v->regions ? 0 : vmig_fault(error, -ENOMEM, "DEVICE_GET_INFO", "no memory");
}

/* A refusal is a "no". 1: yes, 0: no, or how the connection ended. */
static int ask_feature(struct vmig_vuc *v, uint32_t flags, void *ret, size_t ret_max, size_t *ret_len,
		       struct vmig_error *error)
{
	int r = vmig_vuc_feature(v, flags, NULL, 0, ret, ret_max, ret_len, error);

	if (v->dead)
		return r;
	return !r;
}

static int probe(struct vmig_vuc *v, uint32_t feature, uint32_t operation, struct vmig_error *error)
{
	return ask_feature(v, feature | operation | VMIG_VU_FEATURE_PROBE, NULL, 0, NULL, error);
}

static int ask_migration(struct vmig_vuc *v, struct vmig_error *error)
{
	uint8_t in[VMIG_VU_MIGRATION_SIZE];
	struct vmig_cursor c;
	size_t len;
	int r = ask_feature(v, VMIG_VU_FEATURE_MIGRATION | VMIG_VU_FEATURE_GET, in, sizeof(in), &len, error);

	if (r <= 0)
		return r;
	c = vmig_cursor_over(in, len);
	if (vmig_vu_migration_decode(&c, &v->info.migration_flags) < 0)
		return vmig_vuc_broken(v, error, "MIGRATION", "the reply holds no flags");
	return 0;
}

/* All three, or there is no log. */
static int ask_log(struct vmig_vuc *v, struct vmig_error *error)
{
	int r = probe(v, VMIG_VU_FEATURE_DMA_LOGGING_START, VMIG_VU_FEATURE_SET, error);

	if (r > 0)
		r = probe(v, VMIG_VU_FEATURE_DMA_LOGGING_STOP, VMIG_VU_FEATURE_SET, error);
	if (r > 0)
		r = probe(v, VMIG_VU_FEATURE_DMA_LOGGING_REPORT, VMIG_VU_FEATURE_GET, error);
	if (r > 0)
		v->info.has |= VMIG_HAS_DMA_LOG;
	return MIN(r, 0);
}

/* The size query; and, if the server has it, the opt-in to be told of new initial data. */
static int ask_precopy(struct vmig_vuc *v, struct vmig_error *error)
{
	const uint32_t v2 = VMIG_VU_FEATURE_MIG_PRECOPY_INFO_V2;
	int r;

	if (!v->caps.precopy_info || !(v->info.migration_flags & VMIG_MIGRATION_PRE_COPY))
		return 0;
	v->info.has |= VMIG_HAS_PRECOPY_INFO;
	r = probe(v, v2, VMIG_VU_FEATURE_SET, error);
	if (r > 0)
		r = ask_feature(v, v2 | VMIG_VU_FEATURE_SET, NULL, 0, NULL, error);
	if (r > 0)
		v->info.has |= VMIG_HAS_REINIT;
	return MIN(r, 0);
}

static int ask_sizes(struct vmig_vuc *v, struct vmig_error *error)
{
	int r = probe(v, VMIG_VU_FEATURE_MIG_DATA_SIZE, VMIG_VU_FEATURE_GET, error);

	if (r > 0)
		v->info.has |= VMIG_HAS_STOP_COPY_SIZE;
	return MIN(r, 0);
}

/* --- identity ----------------------------------------------------------------------------- */

/* Traits of the device itself; the others belong to the way to it. */
#define DEVICE_TRAITS                                                                                        \
	(VMIG_TRAIT_LATE_VALIDATION | VMIG_TRAIT_RESET_KEEPS_FSM | VMIG_TRAIT_INFO_STARTS_ROUND |            \
	 VMIG_TRAIT_TRANSACTION_SIZES)

static int ask_identity(struct vmig_vuc *v, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_QUERY_SIZE], in[VMIG_VU_IDENTITY_SIZE + VMIG_IDENTITY_MAX];
	struct vmig_vu_query m = { .argsz = sizeof(in) };
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_IDENTITY,
				      .fixed = in,
				      .fixed_max = sizeof(in) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	struct vmig_vu_identity got;
	int r;

	vmig_vu_query_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, call.fixed_len);
	if (vmig_vu_identity_decode(&c, &got) < 0)
		return vmig_vuc_broken(v, error, "DEVICE_IDENTITY", "the identity cannot be read");
	v->info.traits |= got.traits & DEVICE_TRAITS;
	v->info.has &= (uint32_t)got.has | ~(VMIG_HAS_PRECOPY_INFO | VMIG_HAS_REINIT);
	memcpy(v->info.identity, got.identity, sizeof(v->info.identity));
	return 0;
}

#define PCI_VENDOR 0x00u
#define PCI_SUBSYSTEM_VENDOR 0x2cu
#define PCI_IDS_END 0x30u

/* A plain server says nothing of itself, but PCI config space does. */
static int identify_pci(struct vmig_vuc *v, struct vmig_error *error)
{
	uint8_t config[PCI_IDS_END];
	struct vmig_cursor ids = vmig_cursor_over(config + PCI_VENDOR, 4), sub;
	uint16_t vendor, device, sub_vendor, sub_device;
	int r;

	if (!(v->info.flags & VMIG_DEVICE_FLAG_PCI) || v->info.n_regions <= VMIG_REGION_PCI_CONFIG)
		return 0;
	r = vmig_vuc_region_read(v, VMIG_REGION_PCI_CONFIG, 0, config, sizeof(config), error);
	if (r < 0)
		return v->dead ? r : 0;
	sub = vmig_cursor_over(config + PCI_SUBSYSTEM_VENDOR, 4);
	vendor = vmig_cursor_u16(&ids);
	device = vmig_cursor_u16(&ids);
	sub_vendor = vmig_cursor_u16(&sub);
	sub_device = vmig_cursor_u16(&sub);
	snprintf(v->info.identity, sizeof(v->info.identity), "pci:%04x:%04x/%04x:%04x", vendor, device,
		 sub_vendor, sub_device);
	return 0;
}

int vmig_vuc_ask(struct vmig_vuc *v, struct vmig_error *error)
{
	int r;

	v->info.traits = VMIG_TRAIT_KEEPS_STATE | VMIG_TRAIT_NO_POLL;
	v->info.dma_kinds = VMIG_DMA_KIND_ADDRESS | VMIG_DMA_KIND_MESSAGE;
	if (v->caps.max_msg_fds)
		v->info.dma_kinds |= VMIG_DMA_KIND_FD;
	snprintf(v->info.format, sizeof(v->info.format), "v2");
	snprintf(v->info.identity, sizeof(v->info.identity), "vfio-user:unknown");
	r = ask_info(v, error);
	if (!r)
		r = ask_migration(v, error);
	if (!r && v->info.migration_flags)
		r = ask_sizes(v, error);
	if (!r && v->info.migration_flags)
		r = ask_log(v, error);
	if (!r)
		r = ask_precopy(v, error);
	if (r < 0)
		return r;
	if (v->caps.device_info)
		return ask_identity(v, error);
	v->info.traits |= VMIG_TRAIT_SHORT_READ_ENDS;
	return identify_pci(v, error);
}

/* --- the handle --------------------------------------------------------------------------- */

static void vuc_close(void *p)
{
	struct vmig_vuc *v = p;

	vmig_vuc_stop_server(v);
	vmig_vuc_conn_done(v);
	vmig_vuc_regions_done(v);
	vmig_vuc_maps_done(&v->maps);
	pthread_mutex_destroy(&v->data_lock);
	pthread_mutex_destroy(&v->region_lock);
	pthread_mutex_destroy(&v->scratch_lock);
	free(v->scratch);
	free(v);
}

static void vuc_set_timeout(void *p, uint32_t ms)
{
	struct vmig_vuc *v = p;

	if (vmig_vuc_set_timeouts(v, ms) < 0)
		vmig_log(VMIG_LOG_WARNING, "%s: the timeout cannot be set", v->info.name);
}

static const struct vmig_provider_ops vuc_ops = {
	.close = vuc_close,
	.set_timeout = vuc_set_timeout,
	.query_state = vmig_vuc_query_state,
	.set_state = vmig_vuc_set_state,
	.reset = vmig_vuc_reset,
	.query_stop_copy_size = vmig_vuc_query_stop_copy_size,
	.query_region = vmig_vuc_query_region,
	.region_read = vmig_vuc_region_read,
	.region_write = vmig_vuc_region_write,
	.query_ioeventfds = vmig_vuc_query_ioeventfds,
	.query_irq = vmig_vuc_query_irq,
	.set_irqs = vmig_vuc_set_irqs,
	.map_dma = vmig_vuc_map_dma,
	.unmap_dma = vmig_vuc_unmap_dma,
	.dma_log_start = vmig_vuc_log_start,
	.dma_log_stop = vmig_vuc_log_stop,
	.dma_log_report = vmig_vuc_log_report,
};

static struct vmig_vuc *new_vuc(int fd, const struct vmig_vfio_user_config *config, const char *name)
{
	struct vmig_vuc *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	vmig_vuc_conn_init(v, fd);
	vmig_vuc_maps_init(&v->maps);
	pthread_mutex_init(&v->data_lock, NULL);
	pthread_mutex_init(&v->region_lock, NULL);
	pthread_mutex_init(&v->scratch_lock, NULL);
	v->twin_fd = -1;
	v->wake_fd = -1;
	v->state = VMIG_STATE_NONE;
	v->depth = MIN(config->depth ? config->depth : VMIG_VUC_DEPTH, VMIG_VUC_DEPTH_MAX);
	v->max_write = config->max_write;
	snprintf(v->info.name, sizeof(v->info.name), "vfio-user:%s", name);
	return v;
}

/* Takes @fd over. */
static int open_fd(int fd, const struct vmig_vfio_user_config *config, const char *name,
		   struct vmig_device **ret, struct vmig_error *error)
{
	struct vmig_vuc *v = new_vuc(fd, config, name);
	int r;

	if (!v) {
		close(fd);
		return vmig_fault(error, -ENOMEM, "open", "%s: no memory", name);
	}
	r = vmig_vuc_set_timeouts(v, config->timeout_ms ? config->timeout_ms : TIMEOUT_MS);
	if (r < 0)
		vmig_fault(error, r, "open", "%s: this is no socket that can be used", name);
	if (!r)
		r = vmig_vuc_hello(v, config->plain, error);
	if (!r)
		r = vmig_vuc_ask(v, error);
	if (!r) {
		r = vmig_device_new(&vuc_ops, v, &v->info, &v->dev);
		if (r < 0)
			vmig_fault(error, r, "open", "%s: no memory", name);
	}
	if (r < 0) {
		vuc_close(v);
		return r;
	}
	*ret = v->dev;
	return 0;
}

static const struct vmig_vfio_user_config no_config;

int vmig_open_vfio_user_fd(int fd, const struct vmig_vfio_user_config *config, struct vmig_device **ret,
			   struct vmig_error *ret_error)
{
	struct vmig_error ignored;
	char name[24];

	snprintf(name, sizeof(name), "fd=%d", fd);
	return open_fd(fd, config ? config : &no_config, name, ret, ret_error ? ret_error : &ignored);
}

/* --- connect ------------------------------------------------------------------------------ */

static int connect_fault(struct vmig_error *error, int code, const char *path)
{
	const char *why = "it cannot be connected to";

	switch (code) {
	case -ENOENT:
		why = "there is no such socket";
		break;
	case -ECONNREFUSED:
		why = "nobody listens there";
		break;
	case -EACCES:
		why = "it may not be connected to";
		break;
	case -EAGAIN:
		code = -ETIMEDOUT;
		why = "the server does not take connections: it hangs, or has another user";
		break;
	case -EPROTOTYPE:
		code = -EPROTO;
		why = "it is not a stream socket";
		break;
	case -ENAMETOOLONG:
		why = "the path is too long for a socket";
		break;
	}
	return vmig_fault(error, code, "connect", "%s: %s", path, why);
}

static int connect_to(const char *path, uint32_t timeout_ms)
{
	struct timeval t = { .tv_sec = (time_t)(timeout_ms / 1000),
			     .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_autoclose_ int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* While the queue of those who want to connect is full, connect() waits so long. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return steal_fd(&fd);
}

int vmig_open_vfio_user(const char *path, const struct vmig_vfio_user_config *config,
			struct vmig_device **ret, struct vmig_error *ret_error)
{
	struct vmig_error ignored, *error = ret_error ? ret_error : &ignored;
	int fd;

	if (!config)
		config = &no_config;
	fd = connect_to(path, config->timeout_ms ? config->timeout_ms : TIMEOUT_MS);
	if (fd < 0)
		return connect_fault(error, fd, path);
	return open_fd(fd, config, path, ret, error);
}
