/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client against servers that break the protocol. Each wrong answer ends in EPROTO with words, the
 * handle says ECONNRESET from then on, and nothing is left behind: the harness counts descriptors.
 */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

#define FLAGS (VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY)
#define REPLY 1u
#define ERROR (1u << 5)

/* One wrong answer, to one command (or feature), and the call that meets it. */
struct wrong {
	const char *name;
	uint16_t command;
	uint32_t feature;
	void (*answer)(struct peer *p, struct peer_msg *m);
	int (*act)(struct vmig_device *dev);
	int code;
};

static bool hook(struct peer *p, struct peer_msg *m)
{
	const struct wrong *w = p->opaque;

	if (m->command != w->command || (w->feature && (peer_u32(m->body + 4) & 0xffff) != w->feature))
		return false;
	w->answer(p, m);
	return true;
}

/* --- calls -------------------------------------------------------------------------------- */

static int read_register(struct vmig_device *dev)
{
	uint32_t v;

	return vmig_device_region_read(dev, 0, 16, &v, sizeof(v));
}

static int write_register(struct vmig_device *dev)
{
	uint32_t v = 1;

	return vmig_device_region_write(dev, 0, 16, &v, sizeof(v));
}

static int query_region(struct vmig_device *dev)
{
	struct vmig_region region;

	return vmig_device_query_region(dev, 0, &region);
}

static int query_ioeventfds(struct vmig_device *dev)
{
	struct vmig_ioeventfd io[4];

	return vmig_device_query_ioeventfds(dev, 0, io, 4);
}

static int query_irq(struct vmig_device *dev)
{
	struct vmig_irq irq;

	return vmig_device_query_irq(dev, 1, &irq);
}

static int query_state(struct vmig_device *dev)
{
	uint32_t state;

	return vmig_device_query_state(dev, &state);
}

static int query_size(struct vmig_device *dev)
{
	uint64_t size;

	return vmig_device_query_stop_copy_size(dev, &size);
}

static int start_log(struct vmig_device *dev)
{
	struct vmig_range range = { 0, 1 << 20 };
	uint64_t page_size = 4096;

	return vmig_device_dma_log_start(dev, &page_size, &range, 1);
}

static int report_log(struct vmig_device *dev)
{
	uint64_t bits[4] = { 0 };

	return vmig_device_dma_log_report(dev, 0, 256 * 4096, 4096, bits);
}

static int map_and_unmap(struct vmig_device *dev)
{
	static uint8_t memory[4096];
	struct vmig_dma map = {
		.iova = 0x10000, .size = 4096, .prot = VMIG_DMA_READ, .fd = -1, .vaddr = memory
	};
	int r = vmig_device_map_dma(dev, &map);

	return r ? r : vmig_device_unmap_dma(dev, 0x10000, 4096);
}

static int save(struct vmig_device *dev)
{
	struct vmig_session *session;
	uint8_t buf[1000];
	struct iovec iov = { buf, sizeof(buf) };
	ssize_t n = vmig_device_set_state(dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, &session);

	/* No session: the server has said that it is in STOP_COPY already. */
	if (n < 0 || !session)
		return (int)n;
	while ((n = vmig_session_readv(session, &iov, 1)) > 0)
		;
	vmig_session_close(session);
	return (int)n;
}

static int load(struct vmig_device *dev)
{
	struct vmig_session *session;
	uint8_t buf[1000] = { 0 };
	struct iovec iov = { buf, sizeof(buf) };
	int r = vmig_device_set_state(dev, VMIG_STATE_RESUMING, VMIG_STATE_NONE, &session);

	for (int i = 0; i < 10 && !r && session; i++)
		r = vmig_session_writev(session, &iov, 1);
	if (!r && session)
		r = vmig_session_flush(session);
	vmig_session_close(session);
	return r;
}

/* --- wrong headers ------------------------------------------------------------------------ */

static void wrong_id(struct peer *p, struct peer_msg *m)
{
	m->id += 1000;
	peer_answer(p, m);
}

static void wrong_command(struct peer *p, struct peer_msg *m)
{
	peer_message(p, m->id, PEER_RESET, REPLY, 0, NULL, 0, NULL, 0);
}

static void wrong_type(struct peer *p, struct peer_msg *m)
{
	peer_message(p, m->id, m->command, 2, 0, m->body, 16, NULL, 0);
}

static void raw_header(struct peer *p, struct peer_msg *m, uint32_t size, uint32_t flags)
{
	uint8_t head[16] = { 0 };

	peer_put32(head, m->id | (uint32_t)m->command << 16);
	peer_put32(head + 4, size);
	peer_put32(head + 8, flags);
	peer_send(p, head, sizeof(head), NULL, 0);
}

static void size_below_header(struct peer *p, struct peer_msg *m)
{
	raw_header(p, m, 15, REPLY);
}

static void size_of_4g(struct peer *p, struct peer_msg *m)
{
	raw_header(p, m, UINT32_MAX, REPLY);
}

static void error_with_body(struct peer *p, struct peer_msg *m)
{
	peer_message(p, m->id, m->command, REPLY | ERROR, EINVAL, m->body, 8, NULL, 0);
}

static void error_with_long_body(struct peer *p, struct peer_msg *m)
{
	static const uint8_t body[256];

	peer_message(p, m->id, m->command, REPLY | ERROR, EINVAL, body, sizeof(body), NULL, 0);
}

static void error_without_errno(struct peer *p, struct peer_msg *m)
{
	peer_error(p, m, 0);
}

static void error_with_wild_errno(struct peer *p, struct peer_msg *m)
{
	peer_error(p, m, 1 << 30);
}

static void header_and_gone(struct peer *p, struct peer_msg *m)
{
	raw_header(p, m, 16 + 8, REPLY);
	shutdown(p->fd, SHUT_RDWR);
}

static void half_header_and_gone(struct peer *p, struct peer_msg *m)
{
	peer_send(p, &m->id, 2, NULL, 0);
	shutdown(p->fd, SHUT_RDWR);
}

static void short_body(struct peer *p, struct peer_msg *m)
{
	peer_reply(p, m, m->body, m->len < 7 ? 0 : 7);
}

static void no_body(struct peer *p, struct peer_msg *m)
{
	peer_reply(p, m, NULL, 0);
}

static void long_body(struct peer *p, struct peer_msg *m)
{
	uint8_t *body = calloc(1, 5000);

	memcpy(body, m->body, m->len < 5000 ? m->len : 5000);
	peer_reply(p, m, body, 5000);
	free(body);
}

static void a_descriptor(struct peer *p, struct peer_msg *m)
{
	uint8_t body[20] = { 0 };
	int fd = 0;

	memcpy(body, m->body, 16);
	peer_message(p, m->id, m->command, REPLY, 0, body, sizeof(body), &fd, 1);
}

static void forty_descriptors(struct peer *p, struct peer_msg *m)
{
	uint8_t body[20] = { 0 };
	int fds[40] = { 0 };

	memcpy(body, m->body, 16);
	peer_message(p, m->id, m->command, REPLY, 0, body, sizeof(body), fds, 40);
}

static void error_with_descriptor(struct peer *p, struct peer_msg *m)
{
	int fd = 0;

	peer_message(p, m->id, m->command, REPLY | ERROR, EINVAL, NULL, 0, &fd, 1);
}

static const struct wrong headers[] = {
	{ "id", PEER_REGION_READ, 0, wrong_id, read_register, -EPROTO },
	{ "command", PEER_REGION_READ, 0, wrong_command, read_register, -EPROTO },
	{ "command, of an empty reply", PEER_DMA_MAP, 0, wrong_command, map_and_unmap, -EPROTO },
	{ "type", PEER_REGION_READ, 0, wrong_type, read_register, -EPROTO },
	{ "size 15", PEER_REGION_READ, 0, size_below_header, read_register, -EPROTO },
	{ "size 4 GiB", PEER_REGION_READ, 0, size_of_4g, read_register, -EPROTO },
	{ "size 4 GiB of data", PEER_DATA_READ, 0, size_of_4g, save, -EPROTO },
	{ "size 4 GiB of a feature", PEER_FEATURE, 8, size_of_4g, report_log, -EPROTO },
	{ "error with a body", PEER_REGION_READ, 0, error_with_body, read_register, -EINVAL },
	{ "error with a long body", PEER_REGION_READ, 0, error_with_long_body, read_register, -EPROTO },
	{ "error without errno", PEER_REGION_READ, 0, error_without_errno, read_register, -EREMOTEIO },
	{ "error with a wild errno", PEER_REGION_READ, 0, error_with_wild_errno, read_register, -EREMOTEIO },
	{ "gone behind the header", PEER_REGION_READ, 0, header_and_gone, read_register, -ECONNRESET },
	{ "gone in the header", PEER_REGION_READ, 0, half_header_and_gone, read_register, -ECONNRESET },
	{ "a descriptor", PEER_REGION_READ, 0, a_descriptor, read_register, -EPROTO },
	{ "40 descriptors", PEER_REGION_READ, 0, forty_descriptors, read_register, -EPROTO },
	{ "a descriptor with an error", PEER_REGION_INFO, 0, error_with_descriptor, query_region, -EPROTO },
};

/* --- wrong bodies ------------------------------------------------------------------------- */

static void more_than_asked(struct peer *p, struct peer_msg *m)
{
	uint8_t body[16 + 8] = { 0 };

	memcpy(body, m->body, 16);
	peer_put32(body + 12, 8);
	peer_reply(p, m, body, sizeof(body));
}

static void count_above_data(struct peer *p, struct peer_msg *m)
{
	uint8_t body[16 + 2] = { 0 };

	memcpy(body, m->body, 16);
	peer_reply(p, m, body, sizeof(body));
}

static void wild_count(struct peer *p, struct peer_msg *m)
{
	uint8_t body[16 + 4] = { 0 };

	memcpy(body, m->body, 16);
	peer_put32(body + 12, UINT32_MAX);
	peer_reply(p, m, body, sizeof(body));
}

static void other_region(struct peer *p, struct peer_msg *m)
{
	uint8_t body[16 + 4] = { 0 };

	memcpy(body, m->body, 16);
	peer_put32(body + 8, 5);
	peer_reply(p, m, body, m->command == PEER_REGION_READ ? 20 : 16);
}

static void written_less(struct peer *p, struct peer_msg *m)
{
	peer_put32(m->body + 12, 3);
	peer_reply(p, m, m->body, 16);
}

static void region_reply(struct peer *p, struct peer_msg *m, uint32_t flags, uint64_t size,
			 const uint8_t *caps, size_t caps_len, const int *fds, int n_fds)
{
	uint8_t body[256] = { 0 };

	peer_put32(body, (uint32_t)(32 + caps_len));
	peer_put32(body + 4, flags);
	memcpy(body + 8, m->body + 8, 4);
	peer_put32(body + 12, caps_len ? 32 : 0);
	peer_put64(body + 16, size);
	if (caps_len)
		memcpy(body + 32, caps, caps_len);
	peer_message(p, m->id, m->command, REPLY, 0, body, 32 + caps_len, fds, n_fds);
}

static void map_without_fd(struct peer *p, struct peer_msg *m)
{
	region_reply(p, m, 7, 65536, NULL, 0, NULL, 0);
}

static void map_with_fds(struct peer *p, struct peer_msg *m, off_t size, int n)
{
	int fd = memfd_create("region", MFD_CLOEXEC), fds[] = { fd, fd };

	ck_assert_int_eq(ftruncate(fd, size), 0);
	region_reply(p, m, 7, 65536, NULL, 0, fds, n);
	close(fd);
}

static void map_with_short_file(struct peer *p, struct peer_msg *m)
{
	map_with_fds(p, m, 65535, 1);
}

static void put_area(uint8_t *at, uint64_t offset, uint64_t size)
{
	peer_put64(at, offset);
	peer_put64(at + 8, size);
}

/* Two areas, with @n descriptors: of one file, or of two. */
static void two_areas(struct peer *p, struct peer_msg *m, int n, bool same)
{
	uint8_t caps[16 + 2 * 16] = { 1, 0, 1, 0, 0, 0, 0, 0, 2 }; /* sparse mmap, version 1, two areas */
	int fds[3];

	put_area(caps + 16, 0, 4096);
	put_area(caps + 32, 8192, 4096);
	for (int i = 0; i < n; i++) {
		fds[i] = same && i ? dup(fds[0]) : memfd_create("region", MFD_CLOEXEC);
		ck_assert_int_eq(ftruncate(fds[i], 65536), 0);
	}
	region_reply(p, m, 7 | 8, 65536, caps, sizeof(caps), fds, n);
	for (int i = 0; i < n; i++)
		close(fds[i]);
}

static void two_areas_three_fds(struct peer *p, struct peer_msg *m)
{
	two_areas(p, m, 3, true);
}

static bool answer_two_areas(struct peer *p, struct peer_msg *m)
{
	if (m->command != PEER_REGION_INFO)
		return false;
	two_areas(p, m, 2, p->opaque);
	return true;
}

/* libvfio-user sends a descriptor for each area. They are to be of the same file, or the region is not mapped. */
TEST(a_descriptor_for_each_area)
{
	for (int same = 0; same < 2; same++) {
		struct vmig_region region;
		struct vmig_device *dev;
		struct peer p;

		peer_init(&p);
		p.hook = answer_two_areas;
		p.opaque = same ? &p : NULL;
		p.migration_flags = 1;
		dev = peer_open(&p, NULL);
		ck_assert_int_eq(vmig_device_query_region(dev, 0, &region), 0);
		ck_assert_uint_eq(region.flags, same ? 7 : 3);
		ck_assert_int_eq(region.fd >= 0, same);
		ck_assert_uint_eq(region.n_areas, 2);
		vmig_device_close(dev);
		peer_stop(&p);
	}
}

static void map_with_two_fds(struct peer *p, struct peer_msg *m)
{
	map_with_fds(p, m, 65536, 2);
}

static void chain_that_loops(struct peer *p, struct peer_msg *m)
{
	uint8_t caps[16] = { 0 };

	caps[0] = 9;
	caps[2] = 1;
	peer_put32(caps + 4, 32);
	region_reply(p, m, 3 | 8, 65536, caps, sizeof(caps), NULL, 0);
}

static void area_outside(struct peer *p, struct peer_msg *m)
{
	uint8_t caps[32] = { 0 };

	caps[0] = 1;
	caps[2] = 1;
	peer_put32(caps + 8, 1);
	peer_put64(caps + 16, 65536 - 4096);
	peer_put64(caps + 24, 8192);
	region_reply(p, m, 3 | 8, 65536, caps, sizeof(caps), NULL, 0);
}

static void info_of_another(struct peer *p, struct peer_msg *m)
{
	peer_put32(m->body + 8, 3);
	peer_answer(p, m);
}

static void vast_argsz(struct peer *p, struct peer_msg *m)
{
	uint8_t body[32] = { 0 };

	peer_put32(body, UINT32_MAX);
	memcpy(body + 8, m->body + 8, 4);
	peer_reply(p, m, body, sizeof(body));
}

/* One entry that names descriptor @index; one descriptor comes. */
static void io_fds(struct peer *p, struct peer_msg *m, uint32_t count, uint32_t index)
{
	uint8_t body[16 + 40] = { 0 };
	int fd = 0;

	peer_put32(body, sizeof(body));
	peer_put32(body + 12, count);
	peer_put64(body + 24, 4);
	peer_put32(body + 32, index);
	peer_message(p, m->id, m->command, REPLY, 0, body, sizeof(body), &fd, 1);
}

static void io_fd_beyond(struct peer *p, struct peer_msg *m)
{
	io_fds(p, m, 1, 1);
}

static void io_count_beyond(struct peer *p, struct peer_msg *m)
{
	io_fds(p, m, 0x10000000, 0);
}

/* All is well but for the descriptors, of which no message may bring so many. */
static void io_forty_fds(struct peer *p, struct peer_msg *m)
{
	uint8_t body[16] = { 16 };
	int fds[40] = { 0 };

	peer_message(p, m->id, m->command, REPLY, 0, body, sizeof(body), fds, 40);
}

static void too_many_irqs(struct peer *p, struct peer_msg *m)
{
	uint8_t body[16] = { 0 };

	peer_put32(body, 16);
	memcpy(body + 8, m->body + 8, 4);
	peer_put32(body + 12, 1 << 20);
	peer_reply(p, m, body, 16);
}

static void unmapped_another(struct peer *p, struct peer_msg *m)
{
	peer_put64(m->body + 8, 0x20000);
	peer_reply(p, m, m->body, m->len);
}

static const struct wrong bodies[] = {
	{ "region read: no body", PEER_REGION_READ, 0, no_body, read_register, -EPROTO },
	{ "region read: short body", PEER_REGION_READ, 0, short_body, read_register, -EPROTO },
	{ "region read: long body", PEER_REGION_READ, 0, long_body, read_register, -EPROTO },
	{ "region read: more than asked", PEER_REGION_READ, 0, more_than_asked, read_register, -EPROTO },
	{ "region read: count above data", PEER_REGION_READ, 0, count_above_data, read_register, -EPROTO },
	{ "region read: wild count", PEER_REGION_READ, 0, wild_count, read_register, -EPROTO },
	{ "region read: other region", PEER_REGION_READ, 0, other_region, read_register, -EPROTO },
	{ "region write: no body", PEER_REGION_WRITE, 0, no_body, write_register, -EPROTO },
	{ "region write: other region", PEER_REGION_WRITE, 0, other_region, write_register, -EPROTO },
	{ "region write: less was written", PEER_REGION_WRITE, 0, written_less, write_register, -EIO },
	{ "region info: no body", PEER_REGION_INFO, 0, no_body, query_region, -EPROTO },
	{ "region info: short body", PEER_REGION_INFO, 0, short_body, query_region, -EPROTO },
	{ "region info: long body", PEER_REGION_INFO, 0, long_body, query_region, -EPROTO },
	{ "region info: no descriptor", PEER_REGION_INFO, 0, map_without_fd, query_region, -EPROTO },
	{ "region info: short file", PEER_REGION_INFO, 0, map_with_short_file, query_region, -EPROTO },
	{ "region info: two areas, three descriptors", PEER_REGION_INFO, 0, two_areas_three_fds, query_region,
	  -EPROTO },
	{ "region info: two descriptors", PEER_REGION_INFO, 0, map_with_two_fds, query_region, -EPROTO },
	{ "region info: chain that loops", PEER_REGION_INFO, 0, chain_that_loops, query_region, -EPROTO },
	{ "region info: area outside", PEER_REGION_INFO, 0, area_outside, query_region, -EPROTO },
	{ "region info: another's", PEER_REGION_INFO, 0, info_of_another, query_region, -EPROTO },
	{ "region info: vast argsz", PEER_REGION_INFO, 0, vast_argsz, query_region, -EPROTO },
	{ "io fds: index beyond", PEER_IO_FDS, 0, io_fd_beyond, query_ioeventfds, -EPROTO },
	{ "io fds: count beyond", PEER_IO_FDS, 0, io_count_beyond, query_ioeventfds, -EPROTO },
	{ "io fds: forty descriptors", PEER_IO_FDS, 0, io_forty_fds, query_ioeventfds, -EPROTO },
	{ "io fds: no body", PEER_IO_FDS, 0, no_body, query_ioeventfds, -EPROTO },
	{ "irq info: too many", PEER_IRQ_INFO, 0, too_many_irqs, query_irq, -EPROTO },
	{ "irq info: no body", PEER_IRQ_INFO, 0, no_body, query_irq, -EPROTO },
	{ "unmap: another", PEER_DMA_UNMAP, 0, unmapped_another, map_and_unmap, -EPROTO },
	{ "unmap: no body", PEER_DMA_UNMAP, 0, no_body, map_and_unmap, -EPROTO },
};

/* --- wrong migration ---------------------------------------------------------------------- */

static void other_feature(struct peer *p, struct peer_msg *m)
{
	uint8_t body[32] = { 0 };

	peer_put32(body, 32);
	peer_put32(body + 4, 1u << 16 | 1);
	peer_reply(p, m, body, 16);
}

static void bitmap_of(struct peer *p, struct peer_msg *m, uint64_t iova, size_t len)
{
	uint8_t body[32 + 64] = { 0 };

	memcpy(body, m->body, 32);
	peer_put64(body + 8, iova);
	peer_reply(p, m, body, 32 + len);
}

static void short_bitmap(struct peer *p, struct peer_msg *m)
{
	bitmap_of(p, m, 0, 24);
}

static void long_bitmap(struct peer *p, struct peer_msg *m)
{
	bitmap_of(p, m, 0, 40);
}

static void bitmap_of_elsewhere(struct peer *p, struct peer_msg *m)
{
	bitmap_of(p, m, 4096, 32);
}

static void odd_page_size(struct peer *p, struct peer_msg *m)
{
	peer_put64(m->body + 8, 3000);
	peer_reply(p, m, m->body, m->len);
}

/* To a request for data: @size is claimed, @len bytes come. */
static void data_reply(struct peer *p, struct peer_msg *m, uint32_t size, uint32_t len)
{
	uint8_t *body = calloc(1, 8 + len);

	peer_put32(body, 8 + len);
	peer_put32(body + 4, size);
	peer_reply(p, m, body, 8 + len);
	free(body);
}

static void more_data_than_asked(struct peer *p, struct peer_msg *m)
{
	uint32_t asked = peer_u32(m->body + 4);

	data_reply(p, m, asked + 1, asked + 1);
}

static void more_padding_than_asked(struct peer *p, struct peer_msg *m)
{
	data_reply(p, m, 1, peer_u32(m->body + 4) + 1);
}

static void less_data_than_said(struct peer *p, struct peer_msg *m)
{
	data_reply(p, m, 100, 99);
}

/* Every second reply is short: what does the one behind a short one mean? */
static void data_behind_the_end(struct peer *p, struct peer_msg *m)
{
	uint32_t asked = peer_u32(m->body + 4), size = p->seen[PEER_DATA_READ] == 1 ? asked / 2 : asked;

	data_reply(p, m, size, size);
}

static void read_says_enomsg(struct peer *p, struct peer_msg *m)
{
	peer_error(p, m, ENOMSG);
}

static const struct wrong migration[] = {
	{ "state: other feature", PEER_FEATURE, 2, other_feature, query_state, -EPROTO },
	{ "state: no body", PEER_FEATURE, 2, no_body, query_state, -EPROTO },
	{ "state: short body", PEER_FEATURE, 2, short_body, query_state, -EPROTO },
	{ "state: long body", PEER_FEATURE, 2, long_body, query_state, -EPROTO },
	{ "log start: page size", PEER_FEATURE, 6, odd_page_size, start_log, -EPROTO },
	{ "report: no body", PEER_FEATURE, 8, no_body, report_log, -EPROTO },
	{ "report: short bitmap", PEER_FEATURE, 8, short_bitmap, report_log, -EPROTO },
	{ "report: long bitmap", PEER_FEATURE, 8, long_bitmap, report_log, -EPROTO },
	{ "report: another range", PEER_FEATURE, 8, bitmap_of_elsewhere, report_log, -EPROTO },
	{ "data: no body", PEER_DATA_READ, 0, no_body, save, -EPROTO },
	{ "data: more than asked", PEER_DATA_READ, 0, more_data_than_asked, save, -EPROTO },
	{ "data: more padding than asked", PEER_DATA_READ, 0, more_padding_than_asked, save, -EPROTO },
	{ "data: less than said", PEER_DATA_READ, 0, less_data_than_said, save, -EPROTO },
	{ "data: behind the end", PEER_DATA_READ, 0, data_behind_the_end, save, -EPROTO },
	{ "data: ENOMSG in STOP_COPY", PEER_DATA_READ, 0, read_says_enomsg, save, -EREMOTEIO },
	{ "data: gone", PEER_DATA_READ, 0, header_and_gone, save, -ECONNRESET },
	{ "load: long body", PEER_DATA_WRITE, 0, long_body, load, -EPROTO },
	{ "load: gone", PEER_DATA_WRITE, 0, header_and_gone, load, -ECONNRESET },
};

static void meet(const struct wrong *w, unsigned int segments)
{
	/* The answer is hooked when the handle exists: opening asks for some of these too. */
	static const struct wrong nothing = { .command = 0xffff };
	struct vmig_vfio_user_config config = { .timeout_ms = 5000 };
	uint8_t data[3000] = { 0 };
	struct vmig_device *dev;
	struct vmig_error error;
	struct peer p;
	int r;

	peer_init(&p);
	p.migration_flags = FLAGS;
	p.hook = hook;
	p.opaque = (void *)(uintptr_t)&nothing;
	p.segments = segments;
	p.data = data;
	p.data_len = sizeof(data);
	dev = peer_open(&p, &config);
	p.opaque = (void *)(uintptr_t)w;
	r = w->act(dev);
	vmig_device_query_error(dev, &error);
	ck_assert_msg(r == w->code, "%s: %d, not %d: %s: %s", w->name, r, w->code, error.where, error.text);
	ck_assert_int_eq(error.code, -r);
	ck_assert_str_ne(error.text, "");
	p.opaque = (void *)(uintptr_t)&nothing;
	/* A refusal leaves the connection as it is; anything worse ends it. */
	if (r == -EPROTO || r == -ECONNRESET)
		ck_assert_int_eq(write_register(dev), -ECONNRESET);
	else
		ck_assert_int_eq(write_register(dev), 0);
	vmig_device_close(dev);
	peer_stop(&p);
}

#define MEET_ALL(list)                                                                                       \
	for (size_t i = 0; i < sizeof(list) / sizeof((list)[0]); i++) {                                      \
		meet(&(list)[i], 0);                                                                         \
		meet(&(list)[i], harness_seed() | 1);                                                        \
	}

TEST(wrong_headers)
{
	MEET_ALL(headers);
}

TEST(wrong_bodies)
{
	MEET_ALL(bodies);
}

TEST(wrong_migration)
{
	MEET_ALL(migration);
}

/* --- at open ------------------------------------------------------------------------------ */

struct greeting {
	const char *name;
	const char *caps;
	int code;
};

#define CAPS(x) "{\"capabilities\":{" x "}}"

static const struct greeting greetings[] = {
	{ "no JSON", "{", -EPROTO },
	{ "another type", CAPS("\"max_msg_fds\":\"8\""), -EPROTO },
	{ "a transfer size of 0", CAPS("\"max_data_xfer_size\":0"), -EPROTO },
	{ "a negative one", CAPS("\"max_data_xfer_size\":-1"), -EPROTO },
	{ "one of 2^32", CAPS("\"max_data_xfer_size\":4294967296"), -EPROTO },
	{ "one of no use", CAPS("\"max_data_xfer_size\":255"), -EPROTO },
	{ "a twin socket that is not there", CAPS("\"twin_socket\":{\"supported\":true}"), -EPROTO },
};

TEST(wrong_capabilities)
{
	struct vmig_error error;

	for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
		struct peer p;
		int r;

		peer_init(&p);
		p.caps = greetings[i].caps;
		r = peer_open_fails(&p, NULL, &error);
		ck_assert_msg(r == greetings[i].code, "%s: %d: %s", greetings[i].name, r, error.text);
	}
}

static void version_reply(struct peer *p, struct peer_msg *m, uint32_t version, const char *json, size_t len,
			  int n_fds)
{
	uint8_t body[300] = { 0 };
	int fds[2] = { 0, 0 };

	peer_put32(body, version);
	memcpy(body + 4, json, len);
	peer_message(p, m->id, m->command, REPLY, 0, body, 4 + len, fds, n_fds);
}

static void another_major(struct peer *p, struct peer_msg *m)
{
	version_reply(p, m, 1, "{}", 3, 0);
}

static void newer_minor(struct peer *p, struct peer_msg *m)
{
	version_reply(p, m, 1u << 16, "{}", 3, 0);
}

static void no_nul(struct peer *p, struct peer_msg *m)
{
	version_reply(p, m, 0, "{}", 2, 0);
}

static void stray_descriptors(struct peer *p, struct peer_msg *m)
{
	version_reply(p, m, 0, "{", 2, 2);
}

static void twin_index_beyond(struct peer *p, struct peer_msg *m)
{
	static const char json[] = CAPS("\"twin_socket\":{\"supported\":true,\"fd_index\":2}");

	version_reply(p, m, 0, json, sizeof(json), 2);
}

static void greets_like_qemu(struct peer *p, struct peer_msg *m)
{
	static const char hello[] = "{\"QMP\": {\"version\": {\"qemu\": {}}}}\r\n";

	peer_send(p, hello, sizeof(hello) - 1, NULL, 0);
}

static void says_little(struct peer *p, struct peer_msg *m)
{
	peer_send(p, "hello\n", 6, NULL, 0);
	shutdown(p->fd, SHUT_WR);
}

static void echoes(struct peer *p, struct peer_msg *m)
{
	peer_message(p, m->id, m->command, m->flags, m->error, m->body, m->len, NULL, 0);
}

static void is_gone(struct peer *p, struct peer_msg *m)
{
	shutdown(p->fd, SHUT_RDWR);
}

static void is_busy(struct peer *p, struct peer_msg *m)
{
	peer_error(p, m, EBUSY);
}

static void too_many_regions(struct peer *p, struct peer_msg *m)
{
	uint8_t body[16] = { 16 };

	peer_put32(body + 8, 65);
	peer_reply(p, m, body, 16);
}

static const struct wrong opens[] = {
	{ "another major", PEER_VERSION, 0, another_major, NULL, -EPROTO },
	{ "newer minor", PEER_VERSION, 0, newer_minor, NULL, -EPROTO },
	{ "no NUL", PEER_VERSION, 0, no_nul, NULL, -EPROTO },
	{ "stray descriptors", PEER_VERSION, 0, stray_descriptors, NULL, -EPROTO },
	{ "forty descriptors", PEER_VERSION, 0, forty_descriptors, NULL, -EPROTO },
	{ "twin index beyond", PEER_VERSION, 0, twin_index_beyond, NULL, -EPROTO },
	{ "no body", PEER_VERSION, 0, no_body, NULL, -EPROTO },
	{ "long body", PEER_VERSION, 0, long_body, NULL, -EPROTO },
	{ "QMP", PEER_VERSION, 0, greets_like_qemu, NULL, -EPROTO },
	{ "a few bytes", PEER_VERSION, 0, says_little, NULL, -EPROTO },
	{ "an echo", PEER_VERSION, 0, echoes, NULL, -EPROTO },
	{ "gone", PEER_VERSION, 0, is_gone, NULL, -ECONNRESET },
	{ "busy", PEER_VERSION, 0, is_busy, NULL, -EBUSY },
	{ "too many regions", PEER_GET_INFO, 0, too_many_regions, NULL, -EPROTO },
	{ "no info", PEER_GET_INFO, 0, no_body, NULL, -EPROTO },
	{ "info is refused", PEER_GET_INFO, 0, error_without_errno, NULL, -EREMOTEIO },
	{ "no migration flags", PEER_FEATURE, 1, no_body, NULL, -EPROTO },
	{ "gone while asked", PEER_FEATURE, 9, is_gone, NULL, -ECONNRESET },
};

TEST(wrong_at_open)
{
	struct vmig_error error;

	for (size_t i = 0; i < sizeof(opens) / sizeof(opens[0]); i++) {
		struct peer p;
		int r;

		peer_init(&p);
		p.migration_flags = FLAGS;
		p.hook = hook;
		p.opaque = (void *)(uintptr_t)&opens[i];
		r = peer_open_fails(&p, NULL, &error);
		ck_assert_msg(r == opens[i].code, "%s: %d: %s: %s", opens[i].name, r, error.where,
			      error.text);
		if (opens[i].answer == greets_like_qemu)
			ck_assert_msg(strstr(error.text, "{\"QMP\": {"), "%s", error.text);
		if (opens[i].answer == says_little)
			ck_assert_msg(strstr(error.text, "hello"), "%s", error.text);
	}
}

/* --- silence ------------------------------------------------------------------------------ */

struct silence {
	unsigned int answers; /* so many, then none */
};

static bool hook_silence(struct peer *p, struct peer_msg *m)
{
	struct silence *s = p->opaque;

	if (!s->answers)
		return true;
	s->answers--;
	return false;
}

/* All the calls, one after the other. The first failure. */
static int do_everything(struct vmig_device *dev)
{
	static int (*const calls[])(struct vmig_device *) = {
		read_register, write_register,    query_region, query_ioeventfds, query_irq,
		query_state,   query_size,        start_log,    report_log,       map_and_unmap,
		save,          vmig_device_reset, load,
	};
	int r = 0;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && !r; i++)
		r = calls[i](dev);
	return r;
}

/* The server answers so many messages and hangs. 0: it never came to that. */
static int hang_after(unsigned int answers)
{
	struct vmig_vfio_user_config config = { .timeout_ms = 20 };
	struct silence silence = { answers };
	struct vmig_device *dev = NULL;
	struct vmig_error error;
	uint8_t data[3000] = { 0 };
	struct peer p;
	int r;

	peer_init(&p);
	p.migration_flags = FLAGS;
	p.hook = hook_silence;
	p.opaque = &silence;
	p.data = data;
	p.data_len = sizeof(data);
	peer_start(&p);
	r = vmig_open_vfio_user_fd(p.client_fd, &config, &dev, &error);
	if (!r) {
		r = do_everything(dev);
		if (r)
			ck_assert_int_eq(read_register(dev), -ECONNRESET);
		vmig_device_close(dev);
	}
	peer_stop(&p);
	return r;
}

TEST(a_server_that_hangs_at_any_message)
{
	unsigned int answers = 0;
	int r;

	while ((r = hang_after(answers)) == -ETIMEDOUT)
		answers++;
	/* It got through, with all that it asks answered. */
	ck_assert_int_eq(r, 0);
	ck_assert_uint_gt(answers, 30);
}

/* --- any wrong byte ----------------------------------------------------------------------- */

struct noise {
	unsigned int seed, rate;
	bool on;
};

/* Answer through a pair of sockets, and pass it on with a byte changed now and then. */
static bool hook_noise(struct peer *p, struct peer_msg *m)
{
	struct noise *noise = p->opaque;
	uint8_t bytes[65536];
	int pair[2], real = p->fd;
	ssize_t n;

	if (!noise->on || rand_r(&noise->seed) % noise->rate)
		return false;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	p->fd = pair[0];
	peer_answer(p, m);
	p->fd = real;
	n = recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT);
	close(pair[0]);
	close(pair[1]);
	if (n <= 0)
		return true;
	bytes[(size_t)rand_r(&noise->seed) % (size_t)(rand_r(&noise->seed) % 2 && n > 64 ? 64 : n)] ^=
		(uint8_t)(1u << rand_r(&noise->seed) % 8);
	peer_send(p, bytes, (size_t)n, NULL, 0);
	return true;
}

TEST(any_wrong_byte)
{
	struct noise noise = { .seed = harness_seed(), .rate = 20 };
	struct vmig_vfio_user_config config = { .timeout_ms = 10 };
	uint8_t data[3000] = { 0 };

	for (int i = 0; i < 200; i++) {
		struct vmig_device *dev = NULL;
		struct peer p;

		peer_init(&p);
		p.migration_flags = FLAGS;
		p.hook = hook_noise;
		p.opaque = &noise;
		p.data = data;
		p.data_len = sizeof(data);
		noise.on = true;
		peer_start(&p);
		if (!vmig_open_vfio_user_fd(p.client_fd, &config, &dev, NULL)) {
			do_everything(dev);
			vmig_device_close(dev);
		}
		peer_stop(&p);
	}
}

HARNESS("client-hostile", T(a_descriptor_for_each_area), T(wrong_headers), T(wrong_bodies),
	T(wrong_migration), T(wrong_capabilities), T(wrong_at_open),
	T_SLOW(a_server_that_hangs_at_any_message, 60), T_SLOW(any_wrong_byte, 60))
