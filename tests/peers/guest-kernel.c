/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest-kernel NAME PATH PATH OTHER BUSY : the provider of kernel devices, against the kernel's own mtty driver.
 *
 * The first two PATHs are devices of one type (mtty-1), OTHER is one of another type (mtty-2), BUSY is another way to
 * the first device: its folder if PATH is its character device, and the reverse. NAME goes before each test's.
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmig/vmig.h>

#include "guest.h"

#define BAR0 0u
#define SCRATCH 7u /* of the UART's registers, the one that means nothing */
#define IRQ_MSI 1u /* INTx masks itself when it fires */
#define STATE_SIZE 60u
#define STATE_HEADER 24u /* the part that PRE_COPY gives */
#define STATE_SIZE_OTHER 96u
#define HOLD (2u << 20)

static const char *path_a, *path_b, *path_other, *path_busy;
static struct vmig_device *a, *b;

/* --- what the tests are made of ----------------------------------------------------------- */

static void fresh(void)
{
	CHECK_INT(vmig_device_reset(a), 0);
	CHECK_INT(vmig_device_reset(b), 0);
}

static uint32_t state_of(struct vmig_device *dev)
{
	uint32_t state = VMIG_STATE_NONE;

	CHECK_INT(vmig_device_query_state(dev, &state), 0);
	return state;
}

static int go(struct vmig_device *dev, uint32_t target, struct vmig_session **ret)
{
	return vmig_device_set_state(dev, target, VMIG_STATE_NONE, ret);
}

static void set_scratch(struct vmig_device *dev, uint8_t v)
{
	CHECK_INT(vmig_device_region_write(dev, BAR0, SCRATCH, &v, 1), 0);
}

static int scratch(struct vmig_device *dev)
{
	uint8_t v = 0;

	CHECK_INT(vmig_device_region_read(dev, BAR0, SCRATCH, &v, 1), 0);
	return v;
}

static ssize_t read_up_to(struct vmig_session *session, void *buf, size_t len)
{
	const struct iovec iov = { .iov_base = buf, .iov_len = len };

	return vmig_session_readv(session, &iov, 1);
}

static int write_all(struct vmig_session *session, const void *buf, size_t len)
{
	const struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	return vmig_session_writev(session, &iov, 1);
}

/* The whole state of @dev, which is left in STOP. */
static size_t save(struct vmig_device *dev, uint8_t *buf, size_t room)
{
	struct vmig_session *session = NULL;
	size_t len = 0;
	ssize_t n = -1;

	CHECK_INT(go(dev, VMIG_STATE_STOP_COPY, &session), 0);
	while (session && len < room && (n = read_up_to(session, buf + len, room - len)) > 0)
		len += (size_t)n;
	CHECK_INT(n, 0);
	vmig_session_close(session);
	CHECK_INT(go(dev, VMIG_STATE_STOP, NULL), 0);
	return len;
}

static struct vmig_session *resume(struct vmig_device *dev)
{
	struct vmig_session *session = NULL;

	CHECK_INT(go(dev, VMIG_STATE_RESUMING, &session), 0);
	CHECK(session != NULL);
	return session;
}

/* After anything that went wrong: does a reset make it a good destination again? */
static void check_usable(struct vmig_device *dev, const uint8_t *state, size_t len, uint8_t expected)
{
	struct vmig_session *session;

	CHECK_INT(vmig_device_reset(dev), 0);
	CHECK_INT(state_of(dev), VMIG_STATE_RUNNING);
	session = resume(dev);
	CHECK_INT(write_all(session, state, len), 0);
	CHECK_INT(go(dev, VMIG_STATE_RUNNING, NULL), 0);
	vmig_session_close(session);
	CHECK_INT(scratch(dev), expected);
}

static int count_fds(bool *ret_all_cloexec)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int n = 0;

	*ret_all_cloexec = true;
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		n++;
		if (fd > 2 && !(fcntl(fd, F_GETFD) & FD_CLOEXEC))
			*ret_all_cloexec = false;
	}
	closedir(dir);
	return n;
}

/* --- what it is --------------------------------------------------------------------------- */

static void says_what_it_is(void)
{
	struct vmig_device_info info;
	uint64_t size = 0;

	vmig_device_query_info(a, &info);
	CHECK_INT(info.migration_flags, 7);
	CHECK_INT(info.flags, VMIG_DEVICE_FLAG_PCI | VMIG_DEVICE_FLAG_RESET);
	CHECK_INT(info.n_regions, 9);
	CHECK_INT(info.n_irqs, 5);
	CHECK_INT(info.has, VMIG_HAS_PRECOPY_INFO | VMIG_HAS_STOP_COPY_SIZE | VMIG_HAS_DMA_LOG);
	CHECK_INT(info.traits, VMIG_TRAIT_KEEPS_STATE | VMIG_TRAIT_ZERO_IS_DRAINED | VMIG_TRAIT_NO_POLL);
	CHECK_INT(info.dma_kinds, VMIG_DMA_KIND_ADDRESS);
	CHECK(!strcmp(info.identity, "mdev:mtty-1"));
	CHECK(!strcmp(info.format, "v2"));
	CHECK(!strncmp(info.name, "vfio:", 5) && !strcmp(info.name + 5, path_a));
	CHECK_INT(vmig_device_query_stop_copy_size(a, &size), 0);
	CHECK_INT(size, STATE_SIZE);
}

static void regions_are_read_and_written(void)
{
	struct vmig_region region;
	uint32_t id = 0, wide = 0;

	CHECK_INT(vmig_device_query_region(a, BAR0, &region), 0);
	CHECK_INT(region.flags, VMIG_REGION_READ | VMIG_REGION_WRITE);
	CHECK_INT(region.size, 8);
	CHECK_INT(region.fd, -1);
	CHECK_INT(vmig_device_query_region(a, 1, &region), 0);
	CHECK_INT(region.size, 0);
	CHECK_INT(vmig_device_query_region(a, 9, &region), -EINVAL);
	CHECK_INT(vmig_device_region_read(a, VMIG_REGION_PCI_CONFIG, 0, &id, 4), 0);
	CHECK_INT(id, 0x32534348);
	CHECK_INT(vmig_device_region_read(a, BAR0, 6, &wide, 4), -EINVAL);
	CHECK_INT(vmig_device_region_read(a, 1, 0, &wide, 1), -EINVAL);
	set_scratch(a, 0x5a);
	set_scratch(b, 0x11);
	CHECK_INT(scratch(a), 0x5a);
	CHECK_INT(scratch(b), 0x11);
}

static bool fires(struct vmig_device *dev, int fd)
{
	const struct vmig_irq_set trigger = { .flags = VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER,
					      .index = IRQ_MSI,
					      .count = 1 };
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint64_t n;

	(void)!vmig_device_set_irqs(dev, &trigger);
	if (poll(&poll_fd, 1, 0) <= 0)
		return false;
	return read(fd, &n, sizeof(n)) == sizeof(n);
}

static void interrupts_are_wired_and_a_reset_unwires_them(void)
{
	struct vmig_irq irq;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const struct vmig_irq_set arm = { .flags = VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER,
					  .index = IRQ_MSI,
					  .count = 1,
					  .fds = &fd };

	CHECK_INT(vmig_device_query_irq(a, IRQ_MSI, &irq), 0);
	CHECK_INT(irq.count, 1);
	CHECK_INT(vmig_device_query_irq(a, 2, &irq),
		  0); /* the driver answers EINVAL: it has none of the kind */
	CHECK_INT(irq.count, 0);
	CHECK_INT(vmig_device_query_irq(a, 5, &irq), -EINVAL);
	CHECK(!fires(a, fd));
	CHECK_INT(vmig_device_set_irqs(a, &arm), 0);
	CHECK(fires(a, fd));
	CHECK(fires(a, fd));
	CHECK_INT(vmig_device_reset(a), 0);
	CHECK(!fires(a, fd));
	close(fd);
}

/* --- saving ------------------------------------------------------------------------------- */

static void precopy_drains_and_ends_only_in_stop_copy(void)
{
	struct vmig_session *session = NULL, *other = NULL;
	struct vmig_precopy sizes;
	uint8_t buf[256];

	fresh();
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY, &session), 0);
	if (!CHECK(session != NULL))
		return;
	CHECK_INT(vmig_session_query_precopy(session, &sizes), 0);
	CHECK_INT(sizes.initial_bytes, STATE_HEADER);
	CHECK_INT(sizes.dirty_bytes, 0);
	CHECK_INT(sizes.flags, 0);
	CHECK_INT(read_up_to(session, buf, 10), 10);
	CHECK_INT(vmig_session_query_precopy(session, &sizes), 0);
	CHECK_INT(sizes.initial_bytes, STATE_HEADER - 10);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), STATE_HEADER - 10);
	/* The driver's read() gives 0 here. */
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), -ENOMSG);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), -ENOMSG);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY_P2P, &other), 0);
	CHECK(!other);
	CHECK_INT(vmig_session_query_precopy(session, &sizes), 0);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), -ENOMSG);
	CHECK_INT(go(a, VMIG_STATE_STOP_COPY, &other), 0);
	CHECK(!other);
	CHECK_INT(vmig_session_query_precopy(session, &sizes), -EINVAL);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), STATE_SIZE - STATE_HEADER);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), 0);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), 0);
	CHECK_INT(go(a, VMIG_STATE_STOP, &other), 0);
	CHECK(!other);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), -ENODEV);
	vmig_session_close(session);
}

static void a_second_session_gives_the_same(void)
{
	uint8_t one[256], two[256];

	fresh();
	set_scratch(a, 0x77);
	CHECK_INT(save(a, one, sizeof(one)), STATE_SIZE);
	CHECK_INT(save(a, two, sizeof(two)), STATE_SIZE);
	CHECK(!memcmp(one, two, STATE_SIZE));
}

static void setting_the_current_state_changes_nothing(void)
{
	struct vmig_session *session = NULL, *other = NULL;
	uint8_t buf[256];

	fresh();
	CHECK_INT(go(a, VMIG_STATE_STOP_COPY, &session), 0);
	CHECK_INT(go(a, VMIG_STATE_STOP_COPY, &other), 0);
	CHECK(session && !other);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), STATE_SIZE);
	vmig_session_close(session);
}

static void precopy_is_cancelled_and_done_again(void)
{
	struct vmig_session *session = NULL;
	uint8_t buf[256];

	fresh();
	set_scratch(a, 0x21);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY, &session), 0);
	CHECK_INT(read_up_to(session, buf, 10), 10);
	CHECK_INT(go(a, VMIG_STATE_RUNNING, NULL), 0);
	CHECK_INT(read_up_to(session, buf, 10), -ENODEV);
	vmig_session_close(session);
	set_scratch(a, 0x22);
	CHECK_INT(save(a, buf, sizeof(buf)), STATE_SIZE);
	check_usable(b, buf, STATE_SIZE, 0x22);
}

/* --- loading ------------------------------------------------------------------------------ */

static void state_arrives_in_odd_pieces(void)
{
	struct vmig_session *session;
	uint8_t buf[256];

	fresh();
	set_scratch(a, 0xa5);
	set_scratch(b, 0x11);
	CHECK_INT(save(a, buf, sizeof(buf)), STATE_SIZE);
	session = resume(b);
	for (size_t at = 0; at < STATE_SIZE; at += 7) {
		size_t part = STATE_SIZE - at < 7 ? STATE_SIZE - at : 7, half = part / 2;
		const struct iovec iov[2] = { { .iov_base = buf + at, .iov_len = half },
					      { .iov_base = buf + at + half, .iov_len = part - half } };

		CHECK_INT(vmig_session_writev(session, iov, 2), 0);
	}
	CHECK_INT(vmig_session_flush(session), 0);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), 0);
	CHECK_INT(write_all(session, buf, 1), -ENODEV);
	vmig_session_close(session);
	CHECK_INT(scratch(b), 0xa5);
}

static void loading_borrows_a_room(void)
{
	struct vmig_session *session;
	struct iovec room[VMIG_SESSION_IOV_MAX];
	uint8_t buf[256];
	int n = 0;

	fresh();
	set_scratch(a, 0xa6);
	CHECK_INT(save(a, buf, sizeof(buf)), STATE_SIZE);
	session = resume(b);
	if (CHECK_INT(vmig_session_room(session, STATE_SIZE, room, &n), STATE_SIZE)) {
		memcpy(room[0].iov_base, buf, STATE_SIZE);
		CHECK_INT(vmig_session_filled(session, STATE_SIZE), 0);
	}
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), 0);
	vmig_session_close(session);
	CHECK_INT(scratch(b), 0xa6);
}

/* mtty counts the bytes of a failed write as loaded: its RESUMING -> STOP would succeed. */
static void refused_data_never_leads_out_of_resuming(struct vmig_session *session, const uint8_t *good)
{
	struct vmig_error error;

	CHECK_INT(go(b, VMIG_STATE_STOP, NULL), -EIO);
	vmig_device_query_error(b, &error);
	CHECK(strstr(error.text, "reset") != NULL);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), -EIO);
	CHECK_INT(state_of(b), VMIG_STATE_RESUMING);
	vmig_session_close(session);
	CHECK_INT(go(b, VMIG_STATE_STOP, NULL), -EIO);
	check_usable(b, good, STATE_SIZE, 0x33);
}

static void good_state(uint8_t *buf)
{
	fresh();
	set_scratch(a, 0x33);
	CHECK_INT(save(a, buf, 256), STATE_SIZE);
}

static void a_corrupt_header_is_fatal(void)
{
	uint8_t good[256], bad[256];
	struct vmig_session *session;

	good_state(good);
	memcpy(bad, good, sizeof(bad));
	bad[0] ^= 1;
	session = resume(b);
	CHECK_INT(write_all(session, bad, STATE_SIZE), -EFAULT);
	refused_data_never_leads_out_of_resuming(session, good);
}

/* In one writev() the kernel would report the pieces before the bad one, and not its error. */
static void a_corrupt_header_in_a_later_piece_is_fatal(void)
{
	uint8_t good[256], bad[256];
	struct vmig_session *session;
	const struct iovec iov[3] = { { .iov_base = bad, .iov_len = 8 },
				      { .iov_base = bad + 8, .iov_len = 24 },
				      { .iov_base = bad + 32, .iov_len = STATE_SIZE - 32 } };

	good_state(good);
	memcpy(bad, good, sizeof(bad));
	bad[0] ^= 1;
	session = resume(b);
	CHECK_INT(vmig_session_writev(session, iov, 3), -EFAULT);
	refused_data_never_leads_out_of_resuming(session, good);
}

static void a_byte_too_many_is_fatal(void)
{
	uint8_t good[256];
	struct vmig_session *session;

	good_state(good);
	session = resume(b);
	CHECK_INT(write_all(session, good, STATE_SIZE), 0);
	CHECK_INT(write_all(session, good, 1), -ENOMEM);
	refused_data_never_leads_out_of_resuming(session, good);
}

static void a_byte_too_few_stays_in_resuming(void)
{
	uint8_t good[256];
	struct vmig_session *session;

	good_state(good);
	session = resume(b);
	CHECK_INT(write_all(session, good, STATE_SIZE - 1), 0);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), -EINVAL);
	CHECK_INT(state_of(b), VMIG_STATE_RESUMING);
	vmig_session_close(session);
	check_usable(b, good, STATE_SIZE, 0x33);
}

static void state_of_another_type_is_refused(void)
{
	struct vmig_device *other = NULL;
	struct vmig_device_info info;
	struct vmig_session *session;
	uint8_t good[256], foreign[256];
	uint64_t size = 0;

	good_state(good);
	if (!CHECK_INT(vmig_open_kernel(path_other, &other, NULL), 0))
		return;
	vmig_device_query_info(other, &info);
	CHECK(!strcmp(info.identity, "mdev:mtty-2"));
	CHECK_INT(vmig_device_query_stop_copy_size(other, &size), 0);
	CHECK_INT(size, STATE_SIZE_OTHER);
	CHECK_INT(save(other, foreign, sizeof(foreign)), STATE_SIZE_OTHER);
	CHECK_INT(go(other, VMIG_STATE_RUNNING, NULL), 0);
	vmig_device_close(other);
	session = resume(b);
	CHECK(write_all(session, foreign, STATE_SIZE_OTHER) < 0);
	refused_data_never_leads_out_of_resuming(session, good);
}

/* --- states ------------------------------------------------------------------------------- */

static void never_back_from_stop_copy(void)
{
	struct vmig_session *session = NULL;

	fresh();
	CHECK_INT(go(a, VMIG_STATE_STOP_COPY, &session), 0);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY, NULL), -EINVAL);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY_P2P, NULL), -EINVAL);
	CHECK_INT(state_of(a), VMIG_STATE_STOP_COPY);
	vmig_session_close(session);
	/* A handle that was not there when the state was entered. */
	vmig_device_close(a);
	CHECK_INT(vmig_open_kernel(path_a, &a, NULL), 0);
	CHECK_INT(state_of(a), VMIG_STATE_STOP_COPY);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY, NULL), -EINVAL);
	CHECK_INT(go(a, VMIG_STATE_RUNNING, NULL), 0);
}

/* From a state with all the data that it wants; a session is expected where the uAPI has one. */
static void walk_pair(uint32_t from, uint32_t to, const uint8_t *state)
{
	struct vmig_session *first = NULL, *second = NULL;
	uint32_t next;
	int r, expected = vmig_state_next(7, from, to, &next);

	if (to == VMIG_STATE_ERROR)
		expected = -EINVAL;
	CHECK_INT(vmig_device_reset(b), 0);
	CHECK_INT(go(b, from, &first), 0);
	if (from == VMIG_STATE_RESUMING)
		CHECK_INT(write_all(first, state, STATE_SIZE), 0);
	r = go(b, to, &second);
	if (r != expected || state_of(b) != (r ? from : to))
		CHECK(!printf("# %s -> %s: %d, expected %d; now in %u\n", vmig_state_name(from),
			      vmig_state_name(to), r, expected, state_of(b)));
	vmig_session_close(first);
	vmig_session_close(second);
}

static void every_pair_of_states(void)
{
	uint8_t state[256];

	good_state(state);
	for (uint32_t from = VMIG_STATE_STOP; from < VMIG_STATE_NR; from++)
		for (uint32_t to = VMIG_STATE_ERROR; to <= VMIG_STATE_NR; to++)
			walk_pair(from, to, state);
}

static void recovery_state_is_taken_after_a_failure(void)
{
	struct vmig_session *session = NULL;

	fresh();
	CHECK_INT(go(b, VMIG_STATE_PRE_COPY, &session), 0);
	CHECK_INT(vmig_device_set_state(b, VMIG_STATE_NR, VMIG_STATE_RUNNING, NULL), -EINVAL);
	vmig_session_close(session);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), 0);
}

static void a_reset_ends_sessions(void)
{
	struct vmig_session *session = NULL;
	struct vmig_device_info before, after;
	uint8_t buf[16];

	fresh();
	vmig_device_query_info(a, &before);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY, &session), 0);
	CHECK_INT(vmig_device_reset(a), 0);
	vmig_device_query_info(a, &after);
	CHECK(after.generation > before.generation);
	CHECK_INT(state_of(a), VMIG_STATE_RUNNING);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), -ENODEV);
	vmig_session_close(session);
}

static void reopen_b(void)
{
	vmig_device_close(b);
	b = NULL;
	CHECK_INT(vmig_open_kernel(path_b, &b, NULL), 0);
}

static void state_outlives_its_user(void)
{
	fresh();
	set_scratch(b, 0x42);
	CHECK_INT(go(b, VMIG_STATE_STOP, NULL), 0);
	reopen_b();
	CHECK_INT(state_of(b), VMIG_STATE_STOP);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), 0);
	CHECK_INT(scratch(b), 0x42);
}

/* Another user may have left anything in there, with a write that failed. */
static void resuming_that_was_found_is_left_by_reset_only(void)
{
	struct vmig_session *session;
	uint8_t good[256];

	good_state(good);
	session = resume(b);
	CHECK_INT(write_all(session, good, STATE_SIZE), 0);
	vmig_session_close(session);
	reopen_b();
	CHECK_INT(state_of(b), VMIG_STATE_RESUMING);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), -EIO);
	check_usable(b, good, STATE_SIZE, 0x33);
}

/* --- users -------------------------------------------------------------------------------- */

static void check_busy(const char *path)
{
	struct vmig_device *dev = NULL;
	struct vmig_error error = { 0 };

	CHECK_INT(vmig_open_kernel(path, &dev, &error), -EBUSY);
	CHECK(!dev && strstr(error.text, "another user"));
}

static void a_second_user_is_told(void)
{
	check_busy(path_a);
	check_busy(path_busy);
}

static void descriptors_come_and_go(void)
{
	struct vmig_session *session = NULL;
	struct vmig_device *dev = NULL;
	bool cloexec;
	int before = count_fds(&cloexec);

	CHECK_INT(vmig_open_kernel(path_other, &dev, NULL), 0);
	CHECK_INT(go(dev, VMIG_STATE_PRE_COPY, &session), 0);
	CHECK(count_fds(&cloexec) > before);
	CHECK(cloexec);
	/* A device that is closed before its session. */
	vmig_device_close(dev);
	vmig_session_close(session);
	CHECK_INT(count_fds(&cloexec), before);
	CHECK_INT(vmig_open_kernel(path_other, &dev, NULL), 0);
	CHECK_INT(vmig_device_reset(dev), 0);
	vmig_device_close(dev);
}

/* --- DMA ---------------------------------------------------------------------------------- */

static struct vmig_dma map_of(void *memory, uint64_t iova, uint64_t size)
{
	return (struct vmig_dma){
		.iova = iova, .size = size, .prot = VMIG_DMA_READ | VMIG_DMA_WRITE, .fd = -1, .vaddr = memory
	};
}

static void mappings_are_exact(void)
{
	void *memory = mmap(NULL, HOLD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vmig_dma low = map_of(memory, 0, HOLD), high = map_of(memory, 1ull << 32, HOLD),
			middle = map_of(memory, HOLD - 4096, 8192), file = map_of(NULL, 1ull << 33, 4096);

	file.fd = 0;
	CHECK_INT(vmig_device_map_dma(a, &low), 0);
	CHECK_INT(vmig_device_map_dma(b, &low), 0);
	CHECK_INT(vmig_device_map_dma(a, &high), 0);
	CHECK_INT(vmig_device_map_dma(a, &low), -EEXIST);
	CHECK_INT(vmig_device_map_dma(a, &middle), -EEXIST);
	CHECK_INT(vmig_device_map_dma(a, &file), -EOPNOTSUPP);
	CHECK_INT(vmig_device_unmap_dma(a, 0, HOLD - 4096), -ENOENT);
	CHECK_INT(vmig_device_unmap_dma(a, 4096, HOLD - 4096), -ENOENT);
	CHECK_INT(vmig_device_unmap_dma(a, 0, 1ull << 34), -ENOENT);
	CHECK_INT(vmig_device_unmap_dma(a, 0, HOLD), 0);
	CHECK_INT(vmig_device_unmap_dma(a, 0, HOLD), -ENOENT);
	CHECK_INT(vmig_device_map_dma(a, &middle), 0);
	CHECK_INT(vmig_device_unmap_dma(a, middle.iova, middle.size), 0);
	CHECK_INT(vmig_device_unmap_dma(a, high.iova, high.size), 0);
	CHECK_INT(vmig_device_reset(b), 0);
	CHECK_INT(vmig_device_map_dma(b, &low), -EEXIST); /* mappings outlive a reset */
	CHECK_INT(vmig_device_unmap_dma(b, 0, HOLD), 0);
	munmap(memory, HOLD);
}

static void a_mapping_dies_with_its_handle(void)
{
	void *memory = mmap(NULL, HOLD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vmig_dma low = map_of(memory, 0, HOLD);

	CHECK_INT(vmig_device_map_dma(b, &low), 0);
	reopen_b();
	CHECK_INT(vmig_device_map_dma(b, &low), 0);
	CHECK_INT(vmig_device_unmap_dma(b, 0, HOLD), 0);
	munmap(memory, HOLD);
}

static void a_thousand_mappings(void)
{
	char *memory = mmap(NULL, 4096 * 1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int bad = 0;

	/* Not in their order: 7 has no factor in common with 1000. */
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t at = i * 7 % 1000 * 4096;
		struct vmig_dma map = map_of(memory + at, at * 2, 4096);

		bad += vmig_device_map_dma(a, &map) != 0;
	}
	for (uint64_t i = 0; i < 1000; i++)
		bad += vmig_device_unmap_dma(a, i * 11 % 1000 * 8192, 4096) != 0;
	CHECK_INT(bad, 0);
	munmap(memory, 4096 * 1000);
}

static void dma_log_in_the_kernels_dialect(void)
{
	const struct vmig_range ranges[2] = { { .iova = 0, .length = 1 << 20 },
					      { .iova = 1 << 21, .length = 1 << 20 } };
	uint64_t page_size = 4096, bitmap[4] = { 0 };
	int r;

	fresh();
	CHECK_INT(vmig_device_dma_log_report(a, 0, 1 << 20, 4096, bitmap), -EINVAL);
	CHECK_INT(vmig_device_dma_log_start(a, &page_size, ranges, 0), -EINVAL);
	CHECK_INT(vmig_device_dma_log_start(a, &page_size, ranges, 2), 0);
	CHECK_INT(page_size, 4096);
	CHECK_INT(vmig_device_dma_log_start(a, &page_size, ranges, 2), -EBUSY);
	/* Debian's own modules cannot report; those of the lab can. */
	r = vmig_device_dma_log_report(a, 0, 1 << 20, 4096, bitmap);
	CHECK(!r || r == -EOPNOTSUPP);
	CHECK(!bitmap[0]); /* mtty does no DMA */
	CHECK_INT(vmig_device_dma_log_stop(a), 0);
	CHECK_INT(vmig_device_dma_log_start(a, &page_size, ranges, 1), 0);
	CHECK_INT(vmig_device_reset(a), 0);
	CHECK_INT(vmig_device_dma_log_report(a, 0, 1 << 20, 4096, bitmap), -EINVAL); /* a reset stops it */
}

#define T(name)                                                                                              \
	{                                                                                                    \
#name, name                                                                                  \
	}
static const struct guest_test tests[] = {
	T(says_what_it_is),
	T(regions_are_read_and_written),
	T(interrupts_are_wired_and_a_reset_unwires_them),
	T(precopy_drains_and_ends_only_in_stop_copy),
	T(a_second_session_gives_the_same),
	T(setting_the_current_state_changes_nothing),
	T(precopy_is_cancelled_and_done_again),
	T(state_arrives_in_odd_pieces),
	T(loading_borrows_a_room),
	T(a_corrupt_header_is_fatal),
	T(a_corrupt_header_in_a_later_piece_is_fatal),
	T(a_byte_too_many_is_fatal),
	T(a_byte_too_few_stays_in_resuming),
	T(state_of_another_type_is_refused),
	T(never_back_from_stop_copy),
	T(every_pair_of_states),
	T(recovery_state_is_taken_after_a_failure),
	T(a_reset_ends_sessions),
	T(state_outlives_its_user),
	T(resuming_that_was_found_is_left_by_reset_only),
	T(a_second_user_is_told),
	T(descriptors_come_and_go),
	T(mappings_are_exact),
	T(a_mapping_dies_with_its_handle),
	T(a_thousand_mappings),
	T(dma_log_in_the_kernels_dialect),
};

int main(int argc, char **argv)
{
	struct vmig_error error = { 0 };
	int failed;

	if (argc != 6)
		return 2;
	path_a = argv[2];
	path_b = argv[3];
	path_other = argv[4];
	path_busy = argv[5];
	if (vmig_open_kernel(path_a, &a, &error) || vmig_open_kernel(path_b, &b, &error)) {
		printf("# %s: %s: %s\nnot ok - %s.opens\n", error.where, error.text, strerror(error.code),
		       argv[1]);
		return 1;
	}
	failed = guest_run(argv[1], tests, sizeof(tests) / sizeof(tests[0]));
	fresh();
	vmig_device_close(a);
	vmig_device_close(b);
	return failed;
}
