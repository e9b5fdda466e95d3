/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <vmig/uapi.h>

#include "client.h"

#define PIECE (256u << 10)

struct state_feature {
	struct vmig_uapi_device_feature head;
	struct vmig_uapi_device_feature_mig_state mig;
};

/* Returns data_fd. */
static int set_state(struct client *c, uint32_t state)
{
	struct state_feature f = { .head = { .argsz = sizeof(f),
					     .flags = VMIG_UAPI_DEVICE_FEATURE_SET |
						      VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE },
				   .mig = { .device_state = state, .data_fd = -1 } };

	if (ioctl(c->fd, VMIG_UAPI_DEVICE_FEATURE, &f))
		fail("to state %u: %s; it is in %u", state, strerror(errno), client_state_v2(c));
	return f.mig.data_fd;
}

uint32_t client_state_v2(struct client *c)
{
	struct state_feature f = { .head = { .argsz = sizeof(f),
					     .flags = VMIG_UAPI_DEVICE_FEATURE_GET |
						      VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE } };

	need(!ioctl(c->fd, VMIG_UAPI_DEVICE_FEATURE, &f), "GET of the state");
	return f.mig.device_state;
}

/* Until it is drained, or at its end. */
static uint64_t copy(int data_fd, int to)
{
	uint8_t *buf = malloc(PIECE);
	uint64_t total = 0;
	ssize_t n;

	need(buf, "memory");
	while ((n = read(data_fd, buf, PIECE)) > 0) {
		uint64_t len = (uint64_t)n;

		client_put(to, &len, sizeof(len));
		client_put(to, buf, len);
		total += len;
	}
	need(n == 0 || errno == ENOMSG, "read of data_fd");
	free(buf);
	return total;
}

void client_save_v2(struct client *c, int to)
{
	struct vmig_uapi_precopy_info info = { .argsz = sizeof(info) };
	int data_fd = set_state(c, VMIG_UAPI_DEVICE_STATE_PRE_COPY);
	uint64_t end = 0, n;

	need(data_fd >= 0, "data_fd");
	need(!ioctl(data_fd, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info), "PRECOPY_INFO");
	n = copy(data_fd, to);
	if (n < info.initial_bytes)
		fail("%llu bytes of %llu initial ones", (unsigned long long)n,
		     (unsigned long long)info.initial_bytes);
	if (set_state(c, VMIG_UAPI_DEVICE_STATE_STOP_COPY) >= 0)
		fail("a second data_fd");
	copy(data_fd, to);
	client_put(to, &end, sizeof(end));
	set_state(c, VMIG_UAPI_DEVICE_STATE_STOP);
	close(data_fd);
}

void client_load_v2(struct client *c, int from)
{
	int data_fd = set_state(c, VMIG_UAPI_DEVICE_STATE_RESUMING);
	uint8_t *buf = malloc(PIECE);
	uint64_t len;

	need(buf && data_fd >= 0, "data_fd");
	for (client_get(from, &len, sizeof(len)); len; client_get(from, &len, sizeof(len))) {
		if (len > PIECE)
			fail("a piece of %llu bytes", (unsigned long long)len);
		client_get(from, buf, len);
		client_put(data_fd, buf, len);
	}
	set_state(c, VMIG_UAPI_DEVICE_STATE_RUNNING);
	close(data_fd);
	free(buf);
}
