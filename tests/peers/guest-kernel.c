/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest-kernel NAME PATH PATH OTHER BUSY : the provider of kernel devices, against the kernel's own mtty driver.
 *
 * The first two PATHs are devices of one type (mtty-1), OTHER is one of another type (mtty-2), BUSY is another way to
 * the first device: its folder if PATH is its character device, and the reverse. NAME goes before each test's.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guest-kernel.h"

#define IRQ_MSI 1u /* INTx masks itself when it fires */

unsigned int guest_failed_checks;
const char *path_a, *path_b, *path_other, *path_busy;
struct vmig_device *a, *b;

/* --- what the tests are made of ----------------------------------------------------------- */

void fresh(void)
{
	CHECK_INT(vmig_device_reset(a), 0);
	CHECK_INT(vmig_device_reset(b), 0);
}

uint32_t state_of(struct vmig_device *dev)
{
	uint32_t state = VMIG_STATE_NONE;

	CHECK_INT(vmig_device_query_state(dev, &state), 0);
	return state;
}

int go(struct vmig_device *dev, uint32_t target, struct vmig_session **ret)
{
	return vmig_device_set_state(dev, target, VMIG_STATE_NONE, ret);
}

void set_scratch(struct vmig_device *dev, uint8_t v)
{
	CHECK_INT(vmig_device_region_write(dev, BAR0, SCRATCH, &v, 1), 0);
}

int scratch(struct vmig_device *dev)
{
	uint8_t v = 0;

	CHECK_INT(vmig_device_region_read(dev, BAR0, SCRATCH, &v, 1), 0);
	return v;
}

ssize_t read_up_to(struct vmig_session *session, void *buf, size_t len)
{
	const struct iovec iov = { .iov_base = buf, .iov_len = len };

	return vmig_session_readv(session, &iov, 1);
}

int write_all(struct vmig_session *session, const void *buf, size_t len)
{
	const struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	return vmig_session_writev(session, &iov, 1);
}

/* The whole state of @dev, which is left in STOP. */
size_t save(struct vmig_device *dev, uint8_t *buf, size_t room)
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

struct vmig_session *resume(struct vmig_device *dev)
{
	struct vmig_session *session = NULL;

	CHECK_INT(go(dev, VMIG_STATE_RESUMING, &session), 0);
	CHECK(session != NULL);
	return session;
}

/* After anything that went wrong: does a reset make it a good destination again? */
void check_usable(struct vmig_device *dev, const uint8_t *state, size_t len, uint8_t expected)
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

int count_fds(bool *ret_all_cloexec)
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

void good_state(uint8_t *buf)
{
	fresh();
	set_scratch(a, 0x33);
	CHECK_INT(save(a, buf, 256), STATE_SIZE);
}

void reopen_b(void)
{
	vmig_device_close(b);
	b = NULL;
	CHECK_INT(vmig_open_kernel(path_b, &b, NULL), 0);
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
	CHECK_INT(info.traits, VMIG_TRAIT_KEEPS_STATE | VMIG_TRAIT_ZERO_IS_DRAINED | VMIG_TRAIT_NO_POLL |
				       VMIG_TRAIT_MATCH_FIRST);
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

TESTS(tests_of_itself, T(says_what_it_is), T(regions_are_read_and_written),
      T(interrupts_are_wired_and_a_reset_unwires_them));

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
	failed = guest_run(argv[1], tests_of_itself, n_tests_of_itself);
	failed |= guest_run(argv[1], tests_of_data, n_tests_of_data);
	failed |= guest_run(argv[1], tests_of_state, n_tests_of_state);
	failed |= guest_run(argv[1], tests_of_dma, n_tests_of_dma);
	fresh();
	vmig_device_close(a);
	vmig_device_close(b);
	return failed;
}
