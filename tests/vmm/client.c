/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client source [OPTION...] >STREAM      drive the nic, migrate it (and the memory) to standard output
 * client destination [OPTION...] <STREAM go on with it: nothing is lost
 * client look                            open and close the device; how many times may be said
 *
 * --v1             by the migration region
 * --memfd          the guest's memory is shared, by file
 * --iommufd N --cdev M   descriptors that were passed
 * --second         the second device, not the first one
 * --fork           children come and go while the device is at work
 * --high           the device's descriptors are duplicated, and the first ones closed
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "models/nic.h"

#define TAKEN 1000u

struct stream_head {
	uint64_t magic, consumer, digest;
};

void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "client: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

void need(bool ok, const char *what)
{
	if (!ok)
		fail("%s: %s", what, strerror(errno));
}

void client_put(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len) {
		ssize_t n = write(fd, at, len);

		need(n > 0, "write");
		at += n;
		len -= (size_t)n;
	}
}

void client_get(int fd, void *data, size_t len)
{
	uint8_t *at = data;

	while (len) {
		ssize_t n = read(fd, at, len);

		need(n >= 0, "read");
		if (!n)
			fail("the stream ends early");
		at += n;
		len -= (size_t)n;
	}
}

/* One that only ends, one that closes its copies, one that becomes another program. */
static void make_children(struct client *c)
{
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();
		int status;

		need(pid >= 0, "fork");
		if (!pid && i == 1) {
			close(c->fd);
			close(c->container);
		}
		if (!pid && i == 2)
			execlp("true", "true", NULL);
		if (!pid)
			_exit(i == 2);
		need(waitpid(pid, &status, 0) == pid, "waitpid");
		if (status)
			fail("child %d ended with %d", i, status);
	}
}

static int move_up(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 200), other;

	need(high >= 200, "F_DUPFD_CLOEXEC");
	other = dup2(high, 240 + high % 10);
	need(other >= 240, "dup2");
	close(high);
	if (fd >= 0)
		close(fd);
	return other;
}

static void source(struct client *c, bool v1, bool forks, bool high)
{
	struct stream_head head = { .magic = NIC_MAGIC_VALUE };

	client_open(c);
	if (high)
		c->fd = move_up(c->fd);
	client_arm(c);
	client_start_queue(c);
	client_take(c, TAKEN);
	if (forks)
		make_children(c);
	client_take(c, TAKEN);
	client_fill(c);
	head.digest = client_digest(c);
	head.consumer = c->consumer;
	client_put(STDOUT_FILENO, &head, sizeof(head));
	(v1 ? client_save_v1 : client_save_v2)(c, STDOUT_FILENO);
	client_put(STDOUT_FILENO, c->memory, CLIENT_MEMORY);
	client_close(c);
}

static void destination(struct client *c, bool v1)
{
	struct stream_head head;
	uint64_t digest;

	client_open(c);
	client_get(STDIN_FILENO, &head, sizeof(head));
	if (head.magic != NIC_MAGIC_VALUE)
		fail("this is no stream");
	(v1 ? client_load_v1 : client_load_v2)(c, STDIN_FILENO);
	client_get(STDIN_FILENO, c->memory, CLIENT_MEMORY);
	c->consumer = head.consumer;
	digest = client_digest(c);
	if (digest != head.digest)
		fail("digest %llx, not %llx", (unsigned long long)digest, (unsigned long long)head.digest);
	client_arm(c);
	client_take(c, CLIENT_SLOTS + TAKEN);
	if (client_read(c, NIC_BAD_DOORBELLS) || client_read(c, NIC_DMA_FAULTS))
		fail("bad doorbells or DMA faults");
	client_close(c);
	printf("ok: %u records after, none lost\n", CLIENT_SLOTS + TAKEN);
}

int main(int argc, char **argv)
{
	struct client c = { .container = -1, .group = -1, .fd = -1 };
	bool v1 = false, forks = false, high = false;

	for (int i = 2; i < argc; i++) {
		v1 |= !strcmp(argv[i], "--v1");
		c.memfd |= !strcmp(argv[i], "--memfd");
		forks |= !strcmp(argv[i], "--fork");
		c.groups_before |= !strcmp(argv[i], "--second");
		high |= !strcmp(argv[i], "--high");
		if (!strcmp(argv[i], "--iommufd") && i + 1 < argc)
			c.iommufd = argv[++i];
		if (!strcmp(argv[i], "--cdev") && i + 1 < argc)
			c.cdev = argv[++i];
	}
	if (argc > 1 && !strcmp(argv[1], "source")) {
		source(&c, v1, forks, high);
	} else if (argc > 1 && !strcmp(argv[1], "destination")) {
		destination(&c, v1);
	} else if (argc > 1 && !strcmp(argv[1], "look")) {
		client_open(&c);
		printf("state %u\n", client_state_v2(&c));
		client_close(&c);
	} else {
		fail("usage: client source|destination|look [OPTION...]");
	}
	return 0;
}
