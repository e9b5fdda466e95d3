/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of vfio-user, as a check calls them; how it begins, and what the device must have for it. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wire.h"

/* What the suite can do. */
#define HELLO                                                                                                \
	"{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576,\"max_dma_maps\":65535,"        \
	"\"pgsizes\":4096,\"write_multiple\":true,\"migration\":{\"pgsize\":4096}}}"
#define MAX_DATA (1u << 20) /* the default of the text */

/* --- how it begins -------------------------------------------------------------------------------- */

void vu_bare(struct check_context *c, struct vu *ret)
{
	uint32_t patience = c->target->patience_ms;

	/* Whoever gives a check longer than usual has a slow device. */
	if (!patience && c->target->timeout_ms / 2 > VU_PATIENCE_MS)
		patience = c->target->timeout_ms / 2;
	*ret = (struct vu){
		.c = c, .fd = c->socket, .twin = -1, .max_data = MAX_DATA, .our_max_data = MAX_DATA
	};
	ret->patience_ms = patience ? (int)patience : VU_PATIENCE_MS;
}

void vu_close(struct vu *vu)
{
	close(vu->fd);
	if (vu->twin >= 0)
		close(vu->twin);
	vu->fd = vu->twin = -1;
}

bool vu_again(struct vu *vu)
{
	struct check_context *c = vu->c;
	char why[CHECK_TEXT_MAX] = "";

	if (vu->fd >= 0)
		vu_close(vu);
	free(vu->in.body);
	if (c->target->open_socket(c->target->opaque, &c->socket, why, sizeof(why)))
		return false;
	vu_bare(c, vu);
	return true;
}

struct vu_body vu_version_body(uint16_t major, uint16_t minor, const char *json)
{
	struct vu_body b = { 0 };

	vu_16(&b, major);
	vu_16(&b, minor);
	if (json)
		vu_bytes(&b, json, strlen(json) + 1);
	return b;
}

/* A number of the capabilities; @most is the default, too. */
static uint32_t number_of(const json_t *all, const char *name, uint32_t most)
{
	const json_t *v = json_object_get(all, name);

	if (json_is_integer(v) && json_integer_value(v) > 0 && json_integer_value(v) < most)
		return (uint32_t)json_integer_value(v);
	return most;
}

static uint32_t max_data_of(const json_t *all)
{
	return number_of(all, "max_data_xfer_size", MAX_DATA);
}

/* Of the reply's descriptors it is the only one that is kept. */
static void take_twin(struct vu *vu, const json_t *twin)
{
	const json_t *at = json_object_get(twin, "fd_index");

	if (json_is_true(json_object_get(twin, "supported")) && json_is_integer(at) &&
	    json_integer_value(at) >= 0 && json_integer_value(at) < vu->in.n_fds)
		vu->twin = dup(vu->in.fds[json_integer_value(at)]);
}

static void take_capabilities(struct vu *vu)
{
	const char *text = (const char *)vu->in.body + 4;
	json_t *root = vu->in.len > 4 ? json_loadb(text, strnlen(text, vu->in.len - 4), 0, NULL) : NULL;
	const json_t *all = json_object_get(root, "capabilities");

	vu->max_data = max_data_of(all);
	vu->max_dma_maps = number_of(all, "max_dma_maps", 65535);
	vu->write_multiple = json_is_true(json_object_get(all, "write_multiple"));
	vu->migration = json_is_object(json_object_get(all, "migration"));
	take_twin(vu, json_object_get(all, "twin_socket"));
	json_decref(root);
}

static uint32_t our_max_data(const char *proposed)
{
	json_t *root = json_loads(proposed, 0, NULL);
	uint32_t max = max_data_of(json_object_get(root, "capabilities"));

	json_decref(root);
	return max;
}

static void look_at_device(struct vu *vu)
{
	struct vu_body b = { 0 };

	vu_32(&b, 16);
	vu_32(&b, 0);
	vu_64(&b, 0);
	vu_must(vu, VU_GET_INFO, &b, "VFIO_USER_DEVICE_GET_INFO is answered");
	vu->device_flags = vu_u32(vu, 4);
	vu->n_regions = vu_u32(vu, 8);
	vu->n_irqs = vu_u32(vu, 12);
	vu->migrates = !vu_feature(vu, 16, VU_GET | VU_MIGRATION, NULL, 0);
	if (vu->migrates)
		vu->flags = vu_u64(vu, 8);
}

static void hello(struct vu *vu, const char *json)
{
	struct vu_body b = vu_version_body(0, 0, json);
	int r = vu_call(vu, VU_VERSION, &b);

	if (r)
		check_end(vu->c, CHECK_ERROR, "VFIO_USER_VERSION 0.0 is answered", "%s", strerror(-r));
	take_capabilities(vu);
	if (json)
		vu->our_max_data = our_max_data(json);
}

void vu_start_with(struct check_context *c, struct vu *ret, const char *json)
{
	vu_bare(c, ret);
	hello(ret, json);
	look_at_device(ret);
	if (ret->migrates)
		vu_to_running(ret);
}

void vu_start(struct check_context *c, struct vu *ret)
{
	vu_start_with(c, ret, HELLO);
}

void vu_must_live(struct vu *vu)
{
	struct vu_body b = { 0 };
	int r;

	vu_32(&b, 16);
	vu_32(&b, 0);
	vu_64(&b, 0);
	if (!vu->closed && !vu_call(vu, VU_GET_INFO, &b))
		return;
	if (!vu_again(vu))
		check_observe(vu->c, "the server serves on, or the next user", "nobody listens any more");
	b = vu_version_body(0, 0, HELLO);
	r = vu_call(vu, VU_VERSION, &b);
	if (r)
		check_fail(vu->c, "the server serves on, or the next user", "%s to the next user's VERSION",
			   strerror(-r));
}

/* An epoll lets go of a file when nobody has it open any more; and there is always room to write to these. */
int vu_watch(struct vu *vu, int fd)
{
	struct epoll_event event = { .events = EPOLLOUT };
	int watch = epoll_create1(EPOLL_CLOEXEC);

	if (watch < 0 || epoll_ctl(watch, EPOLL_CTL_ADD, fd, &event))
		check_end(vu->c, CHECK_ERROR, "", "epoll: %s", strerror(errno));
	return watch;
}

bool vu_is_open(int watch)
{
	struct epoll_event event;

	return epoll_wait(watch, &event, 1, 0) > 0;
}

/* --- DMA ------------------------------------------------------------------------------------------ */

int vu_map(struct vu *vu, uint32_t flags, uint64_t iova, uint64_t size, int fd, uint64_t offset)
{
	struct vu_body b = { .fd = fd };

	vu_32(&b, 32);
	vu_32(&b, flags);
	vu_64(&b, offset);
	vu_64(&b, iova);
	vu_64(&b, size);
	return vu_call(vu, VU_DMA_MAP, &b);
}

int vu_unmap(struct vu *vu, uint32_t flags, uint64_t iova, uint64_t size)
{
	struct vu_body b = { 0 };

	vu_32(&b, 24);
	vu_32(&b, flags);
	vu_64(&b, iova);
	vu_64(&b, size);
	return vu_call(vu, VU_DMA_UNMAP, &b);
}

int vu_memfd(struct vu *vu, uint64_t size, uint8_t **ret_at)
{
	int fd = memfd_create("check", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *at = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, (off_t)size))
		at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		check_end(vu->c, CHECK_ERROR, "", "no memory: %s", strerror(errno));
	*ret_at = at;
	return fd;
}

void vu_needs_maps(struct vu *vu, bool by_fd)
{
	const uint64_t iova = 1ull << 30;
	uint8_t *at;
	int fd = by_fd ? vu_memfd(vu, VU_PAGE, &at) : -1, r;

	r = vu_map(vu, 3, iova, VU_PAGE, fd, 0);
	if (r)
		check_end(vu->c, CHECK_NOT_APPLICABLE, "", "the device takes no memory %s a descriptor: %s",
			  by_fd ? "with" : "without", strerror(-r));
	r = vu_unmap(vu, 0, iova, VU_PAGE);
	if (r)
		check_end(vu->c, CHECK_NOT_APPLICABLE, "", "what is mapped cannot be unmapped: %s",
			  strerror(-r));
	if (by_fd) {
		munmap(at, VU_PAGE);
		close(fd);
	}
}

void vu_map_messages(struct vu *vu, uint32_t flags, uint64_t iova, uint64_t size, uint8_t **ret_at)
{
	uint8_t *at = calloc(1, size);
	int r;

	if (!at || vu->n_memory == VU_MEMORY_NR)
		check_end(vu->c, CHECK_ERROR, "", "no memory");
	vu->memory[vu->n_memory++] = (struct vu_memory){ iova, size, at, (flags & 1) != 0, (flags & 2) != 0 };
	r = vu_map(vu, flags, iova, size, -1, 0);
	if (r)
		check_end(vu->c, CHECK_NOT_APPLICABLE, "",
			  "the device takes no memory without a descriptor: %s", strerror(-r));
	*ret_at = at;
}
