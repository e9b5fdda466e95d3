/* SPDX-License-Identifier: BSD-3-Clause */
/* Open a vfio-user server: connect, agree, ask, and make the handle. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "user/vfio_user.h"

#define TIMEOUT_MS 10000u

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
	.query_descriptor = vmig_vuc_query_descriptor,
	.query_opaque = vmig_vuc_query_opaque,
	.check_opaque = vmig_vuc_check_opaque,
	.query_tag = vmig_vuc_query_tag,
	.set_tag = vmig_vuc_set_tag,
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
		r = vmig_vuc_hello(v, config, error);
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
