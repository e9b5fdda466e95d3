/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the server may reach of the user's memory: the mappings, and its DMA_READ and DMA_WRITE.
 *
 * The server is not trusted: every address, size and direction is checked against the mappings. A
 * mapping leaves the table only after the server has let it go (until then it may be asked for), and
 * unmap returns when no access is under way.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/log.h"
#include "user/vfio_user.h"

void vmig_vuc_maps_init(struct vmig_vuc_maps *maps)
{
	pthread_mutex_init(&maps->lock, NULL);
	pthread_cond_init(&maps->idle, NULL);
}

void vmig_vuc_maps_done(struct vmig_vuc_maps *maps)
{
	for (uint32_t i = 0; i < maps->n; i++)
		free(maps->maps[i]);
	free(maps->maps);
	pthread_cond_destroy(&maps->idle);
	pthread_mutex_destroy(&maps->lock);
}

/* --- the table (maps->lock is held) ------------------------------------------------------- */

/* The first mapping that ends behind @iova; maps->n: none. */
static uint32_t find(const struct vmig_vuc_maps *maps, uint64_t iova)
{
	uint32_t low = 0, high = maps->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct vmig_dma *m = &maps->maps[mid]->map;

		if (m->iova + (m->size - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct vmig_vuc_mapping *find_holding(const struct vmig_vuc_maps *maps, uint64_t iova)
{
	uint32_t i = find(maps, iova);

	return i < maps->n && maps->maps[i]->map.iova <= iova ? maps->maps[i] : NULL;
}

static int make_place(struct vmig_vuc_maps *maps)
{
	uint32_t room = maps->room ? maps->room * 2 : 16;
	struct vmig_vuc_mapping **grown;

	if (maps->n < maps->room)
		return 0;
	grown = realloc(maps->maps, room * sizeof(grown[0]));
	if (!grown)
		return -ENOMEM;
	maps->maps = grown;
	maps->room = room;
	return 0;
}

static int insert(struct vmig_vuc_maps *maps, struct vmig_vuc_mapping *m, uint32_t max)
{
	uint32_t i = find(maps, m->map.iova);
	int r;

	if (i < maps->n && maps->maps[i]->map.iova <= m->map.iova + (m->map.size - 1))
		return -EEXIST;
	if (maps->n >= max)
		return -ENOSPC;
	r = make_place(maps);
	if (r < 0)
		return r;
	memmove(maps->maps + i + 1, maps->maps + i, (maps->n - i) * sizeof(maps->maps[0]));
	maps->maps[i] = m;
	maps->n++;
	return 0;
}

static void drop(struct vmig_vuc_maps *maps, uint64_t iova)
{
	uint32_t i = find(maps, iova);
	struct vmig_vuc_mapping *m = i < maps->n ? maps->maps[i] : NULL;

	if (!m || m->map.iova != iova)
		return;
	memmove(maps->maps + i, maps->maps + i + 1, (maps->n - i - 1) * sizeof(maps->maps[0]));
	maps->n--;
	while (m->busy)
		pthread_cond_wait(&maps->idle, &maps->lock);
	free(m);
}

/* --- one access --------------------------------------------------------------------------- */

static int copy(const struct vmig_dma *m, uint64_t iova, uint8_t *buf, size_t len, bool write)
{
	uint8_t *at = m->vaddr ? (uint8_t *)m->vaddr + (iova - m->iova) : NULL;

	if (at && write)
		memcpy(at, buf, len);
	else if (at)
		memcpy(buf, at, len);
	else if (m->io)
		return write ? m->io->write(m->io->opaque, iova, buf, len)
			     : m->io->read(m->io->opaque, iova, buf, len);
	else
		return -EFAULT; /* only its descriptor is known here */
	return 0;
}

/* Up to the end of the mapping that holds @iova. The bytes done, or -EFAULT, or what the memory's owner says. */
static ssize_t access_part(struct vmig_vuc_maps *maps, uint64_t iova, uint8_t *buf, size_t len, bool write)
{
	struct vmig_vuc_mapping *m;
	size_t part;
	int r;

	pthread_mutex_lock(&maps->lock);
	m = find_holding(maps, iova);
	if (!m || !(m->map.prot & (write ? VMIG_DMA_WRITE : VMIG_DMA_READ))) {
		pthread_mutex_unlock(&maps->lock);
		return -EFAULT;
	}
	m->busy++;
	pthread_mutex_unlock(&maps->lock);
	part = (size_t)MIN(len, m->map.size - (iova - m->map.iova));
	r = copy(&m->map, iova, buf, part, write);
	pthread_mutex_lock(&maps->lock);
	if (!--m->busy)
		pthread_cond_broadcast(&maps->idle);
	pthread_mutex_unlock(&maps->lock);
	return r < 0 ? r : (ssize_t)part;
}

static int access_memory(struct vmig_vuc_maps *maps, uint64_t iova, uint8_t *buf, size_t len, bool write)
{
	if (!len || !add_fits(iova, len - 1))
		return -EINVAL;
	while (len) {
		ssize_t n = access_part(maps, iova, buf, len, write);

		if (n < 0)
			return (int)n;
		iova += (size_t)n;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

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
	r = access_memory(&v->maps, m->address, data, (size_t)m->count, write);
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
static int start_server(struct vmig_vuc *v, bool by_message)
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

/* --- map and unmap ------------------------------------------------------------------------ */

static int send_map(struct vmig_vuc *v, const struct vmig_dma *map, bool with_fd, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_DMA_MAP_SIZE], in[VMIG_VU_DMA_MAP_SIZE];
	struct vmig_vu_dma_map m = { .argsz = VMIG_VU_DMA_MAP_SIZE,
				     .flags = map->prot,
				     .offset = with_fd ? map->fd_offset : 0,
				     .address = map->iova,
				     .size = map->size };
	struct vmig_vuc_call call = { .command = VMIG_VU_DMA_MAP,
				      .fixed = in,
				      .fixed_max = sizeof(in),
				      .send_fds = &map->fd,
				      .n_send_fds = with_fd };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));

	vmig_vu_dma_map_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	return vmig_vuc_call(v, &call, error);
}

static int map_fault(struct vmig_error *error, int code, const struct vmig_dma *map)
{
	const char *why = "no memory for the mapping";

	if (code == -EEXIST)
		why = "it overlaps a mapping";
	else if (code == -ENOSPC)
		why = "the server takes no more mappings";
	return vmig_fault(error, code, "DMA_MAP", "0x%llx, size 0x%llx: %s", (unsigned long long)map->iova,
			  (unsigned long long)map->size, why);
}

static void forget(struct vmig_vuc *v, uint64_t iova)
{
	pthread_mutex_lock(&v->maps.lock);
	drop(&v->maps, iova);
	pthread_mutex_unlock(&v->maps.lock);
}

int vmig_vuc_map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	struct vmig_vuc_mapping *m = calloc(1, sizeof(*m));
	bool with_fd = map->fd >= 0 && v->caps.max_msg_fds;
	int r = m ? 0 : -ENOMEM;

	/* It is in the table before the server hears of it, who may use it at once. */
	if (m) {
		m->map = *map;
		m->map.fd = -1;
		pthread_mutex_lock(&v->maps.lock);
		r = insert(&v->maps, m, v->caps.max_dma_maps);
		pthread_mutex_unlock(&v->maps.lock);
	}
	if (r < 0) {
		free(m);
		return map_fault(error, r, map);
	}
	r = start_server(v, !with_fd);
	if (r < 0)
		vmig_fault(error, r, "DMA_MAP", "no thread can be started to serve the memory");
	else
		r = send_map(v, map, with_fd, error);
	if (r < 0)
		forget(v, map->iova);
	return r;
}

static int send_unmap(struct vmig_vuc *v, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_DMA_UNMAP_SIZE], in[64];
	struct vmig_vu_dma_unmap m = { .argsz = VMIG_VU_DMA_UNMAP_SIZE, .address = iova, .size = size },
				 reply;
	struct vmig_vuc_call call = { .command = VMIG_VU_DMA_UNMAP, .fixed = in, .fixed_max = sizeof(in) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	vmig_vu_dma_unmap_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, call.fixed_len);
	if (vmig_vu_dma_unmap_decode(&c, &reply) < 0 || reply.address != iova || reply.size != size)
		return vmig_vuc_broken(v, error, "DMA_UNMAP",
				       "the reply is not about the mapping that was asked for");
	return 0;
}

/* Whatever the server says, it reaches nothing there through us afterwards. */
int vmig_vuc_unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	struct vmig_vuc_mapping *m;
	int r;

	pthread_mutex_lock(&v->maps.lock);
	m = find_holding(&v->maps, iova);
	r = m && m->map.iova == iova && m->map.size == size ? 0 : -ENOENT;
	pthread_mutex_unlock(&v->maps.lock);
	if (r < 0)
		return vmig_fault(error, r, "DMA_UNMAP", "there is no mapping at 0x%llx of size 0x%llx",
				  (unsigned long long)iova, (unsigned long long)size);
	r = send_unmap(v, iova, size, error);
	forget(v, iova);
	return r;
}
