/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "client.h"
#include "models/bytes.h"
#include "models/nic.h"

/* --- signals ------------------------------------------------------------------------------ */

static volatile sig_atomic_t n_signals;

static void on_alarm(int signal)
{
	(void)signal;
	n_signals++;
}

/* The digest of all data that is read: a read that is made twice would lose some of it. */
static uint64_t read_all(int device)
{
	static uint8_t buf[64 << 10];
	uint64_t digest = 0, at = 0;
	int data = client_set_state(device, VMIG_UAPI_DEVICE_STATE_STOP_COPY);
	ssize_t n;

	while ((n = read(data, buf, sizeof(buf))) > 0) {
		digest = hash64(digest, buf, (size_t)n);
		at += (uint64_t)n;
	}
	MUST(n == 0 && at > 0);
	MUST(!close(data));
	client_set_state(device, VMIG_UAPI_DEVICE_STATE_RUNNING);
	return digest;
}

/*
 * A signal that comes while a call is answered does not disturb it. One that comes before anybody has taken it up makes
 * the kernel restart the call, as SA_RESTART asks.
 */
static void ways_signals(struct client *client)
{
	struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { 0 };
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	uint64_t at, value;

	client_open(client);
	value = read_all(client->device);
	MUST(!sigaction(SIGALRM, &action, NULL) && !setitimer(ITIMER_REAL, &often, NULL));
	MUST(read_all(client->device) == value);
	at = client_region_offset(client->device, NIC_BAR_REGISTERS);
	for (int i = 0; i < 2000 || n_signals < 20; i++)
		MUST(pread(client->device, &value, sizeof(value), (off_t)at) == sizeof(value));
	MUST(!setitimer(ITIMER_REAL, &never, NULL));
	client_close(client);
}

/* --- filters of its own ------------------------------------------------------------------- */

static long set_filter(unsigned int flags)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog fprog = { 1, &allow };

	MUST(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog);
}

/* One more filter does no harm; a second listener is the program's EBUSY. */
static void ways_filter(struct client *client)
{
	MUST_FAIL(set_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER), EBUSY);
	MUST(!set_filter(0));
	client_open(client);
	client_map(client);
	nic_start(client);
	nic_take(client, 50);
	client_close(client);
}

/* --- calls of another ABI ----------------------------------------------------------------- */

/* By the gate of 32-bit programs: number 20 is getpid there. It does not return. */
static void ways_foreign(struct client *client)
{
	long r = 20;

	(void)client;
#ifdef __x86_64__
	__asm__ volatile("int $0x80" : "+a"(r) : : "memory");
#endif
	FAIL("returned %ld", r);
}

static void ways_x32(struct client *client)
{
	(void)client;
#ifdef __x86_64__
	MUST_FAIL(syscall(0x40000000 + SYS_getpid), ENOSYS);
#endif
}

/* --- calls beside others ------------------------------------------------------------------ */

#define BESIDE 20

static void *reset(void *arg)
{
	const struct client *client = arg;

	MUST(!ioctl(client->device, VMIG_UAPI_DEVICE_RESET));
	return NULL;
}

/* The test lets none of them return before all have come. */
static void ways_beside(struct client *client)
{
	pthread_t ids[BESIDE];

	client_open(client);
	for (int i = 0; i < BESIDE; i++)
		MUST(!pthread_create(&ids[i], NULL, reset, client));
	for (int i = 0; i < BESIDE; i++)
		MUST(!pthread_join(ids[i], NULL));
	client_close(client);
}

/* The test does not answer. */
static void ways_stuck(struct client *client)
{
	client_open(client);
	ioctl(client->device, VMIG_UAPI_DEVICE_RESET);
}

/* --- memory that is gone ------------------------------------------------------------------ */

/* The device goes on while the program has unmapped, and then replaced, what was mapped for DMA. */
static void ways_unmapped(struct client *client)
{
	client_open(client);
	client_map(client);
	nic_start(client);
	nic_take(client, 50);
	MUST(!munmap(client->memory, CLIENT_MEMORY));
	for (int i = 0; i < 50; i++)
		client_region_offset(client->device, 0);
	client_close(client);
}

static const struct {
	const char *name;
	void (*fn)(struct client *client);
} ways[] = {
	{ "signals", ways_signals },   { "filter", ways_filter }, { "foreign", ways_foreign },
	{ "x32", ways_x32 },           { "beside", ways_beside }, { "stuck", ways_stuck },
	{ "unmapped", ways_unmapped },
};

int ways_main(struct client *client, const char *what)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (strcmp(ways[i].name, what))
			continue;
		ways[i].fn(client);
		return 0;
	}
	return 2;
}
