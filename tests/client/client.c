/* SPDX-License-Identifier: BSD-3-Clause */
/*
 *	client [-i] [-p] [-n NUMBER] COMMAND
 *
 * -i by iommufd, -p memory of its own, -n which device. Commands:
 *	drive               500 records and their interrupts
 *	save, load          v2; the stream is stdout and stdin. save drives it before, load after
 *	                    (the device needs digest=on)
 *	save-v1, load-v1    likewise, by the migration region
 *	fds WHAT            see client-fds.c
 *	ways WHAT           see client-ways.c
 *	threads             many threads at once
 *	speed               how long a trapped call takes, how many MiB/s the data
 *	hang                opens the device and waits to be killed
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "models/nic.h"

#define PIECE (1u << 20)

static int drive(struct client *client)
{
	client_open(client);
	client_map(client);
	nic_start(client);
	nic_take(client, 500);
	nic_must_have_interrupted(client);
	client_close(client);
	return 0;
}

/* --- v2 ----------------------------------------------------------------------------------- */

/* Until there is nothing now (ENOMSG), or nothing more. */
static void copy_out(int data, FILE *to)
{
	static uint8_t buf[PIECE];
	uint64_t len;
	ssize_t n;

	while ((n = read(data, buf, sizeof(buf))) > 0) {
		len = (uint64_t)n;
		MUST(fwrite(&len, sizeof(len), 1, to) == 1 && fwrite(buf, len, 1, to) == 1);
	}
	MUST(!n || errno == ENOMSG);
}

static int save(struct client *client)
{
	struct vmig_uapi_precopy_info info = { .argsz = sizeof(info) };
	uint64_t end = 0;
	int data;

	client_open(client);
	client_map(client);
	nic_start(client);
	nic_take(client, 200);
	data = client_set_state(client->device, VMIG_UAPI_DEVICE_STATE_PRE_COPY);
	MUST(data >= 0);
	MUST(!ioctl(data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info) && info.initial_bytes);
	copy_out(data, stdout);
	nic_take(client, 200);
	MUST(client_set_state(client->device, VMIG_UAPI_DEVICE_STATE_STOP_COPY) == -1);
	copy_out(data, stdout);
	MUST(fwrite(&end, sizeof(end), 1, stdout) == 1);
	MUST(client_set_state(client->device, VMIG_UAPI_DEVICE_STATE_STOP) == -1);
	MUST(!close(data));
	nic_save(client, stdout);
	client_close(client);
	return 0;
}

static int load(struct client *client)
{
	static uint8_t buf[PIECE];
	uint64_t len;
	int data;

	client_open(client);
	client_map(client);
	data = client_set_state(client->device, VMIG_UAPI_DEVICE_STATE_RESUMING);
	MUST(data >= 0);
	while (fread(&len, sizeof(len), 1, stdin) == 1 && len) {
		MUST(len <= PIECE && fread(buf, len, 1, stdin) == 1);
		MUST(write(data, buf, len) == (ssize_t)len);
	}
	MUST(client_set_state(client->device, VMIG_UAPI_DEVICE_STATE_STOP) == -1);
	MUST(!close(data));
	nic_load(client, stdin);
	MUST(client_set_state(client->device, VMIG_UAPI_DEVICE_STATE_RUNNING) == -1);
	nic_check_arrived(client);
	nic_take(client, 400);
	MUST(client_state(client->device) == VMIG_UAPI_DEVICE_STATE_RUNNING);
	client_close(client);
	return 0;
}

/* --- v1 ----------------------------------------------------------------------------------- */

static int save_v1(struct client *client)
{
	client_open(client);
	client_map(client);
	nic_start(client);
	nic_take(client, 200);
	v1_save(client, stdout);
	nic_save(client, stdout);
	client_close(client);
	return 0;
}

static int load_v1(struct client *client)
{
	client_open(client);
	client_map(client);
	v1_load(client, stdin);
	nic_load(client, stdin);
	/* The write that ends resuming starts the device: what it needs must be there before. */
	v1_run(client);
	nic_check_arrived(client);
	nic_take(client, 400);
	client_close(client);
	return 0;
}

/* --- many at once ------------------------------------------------------------------------- */

#define THREADS 12
#define ROUNDS  300

static struct client shared;

static void *registers(void *arg)
{
	uint64_t at = client_region_offset(shared.device, NIC_BAR_REGISTERS), value;

	for (int i = 0; i < ROUNDS; i++) {
		MUST(pread(shared.device, &value, sizeof(value), (off_t)(at + NIC_MAGIC)) == sizeof(value));
		MUST((uint32_t)value == NIC_MAGIC_VALUE);
	}
	return arg;
}

/* Descriptors come and go beside those that are used. */
static void *containers(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

		MUST(fd >= 0);
		MUST(ioctl(fd, VMIG_UAPI_GET_API_VERSION) == VMIG_UAPI_API_VERSION);
		MUST(!close(fd));
		MUST_FAIL(ioctl(fd, VMIG_UAPI_GET_API_VERSION), EBADF);
	}
	return arg;
}

static int threads(struct client *client)
{
	pthread_t ids[THREADS];

	shared = *client;
	client_open(&shared);
	client_map(&shared);
	nic_start(&shared);
	for (int i = 0; i < THREADS; i++)
		MUST(!pthread_create(&ids[i], NULL, i % 3 ? registers : containers, NULL));
	nic_take(&shared, 500);
	for (int i = 0; i < THREADS; i++)
		MUST(!pthread_join(ids[i], NULL));
	client_close(&shared);
	return 0;
}

/* --- speed -------------------------------------------------------------------------------- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void one_ioctl(struct client *client)
{
	ioctl(client->iommufd ? client->device : client->group, VMIG_UAPI_CHECK_EXTENSION, 0);
}

static uint64_t register_at;

static void one_read(struct client *client)
{
	uint64_t value;

	MUST(pread(client->device, &value, sizeof(value), (off_t)register_at) == sizeof(value));
}

static void one_open(struct client *client)
{
	(void)client;
	close(open("/dev/null", O_RDONLY));
}

/* The best of many batches: what others do on the machine is not what is measured. */
static double best_us(struct client *client, void (*fn)(struct client *client))
{
	double best = 1e9;

	for (int batch = 0; batch < 100; batch++) {
		double start = now(), took;

		for (int i = 0; i < 100; i++)
			fn(client);
		took = (now() - start) / 100 * 1e6;
		best = took < best ? took : best;
	}
	return best;
}

static void time_calls(struct client *client)
{
	register_at = client_region_offset(client->device, NIC_BAR_REGISTERS);
	printf("ioctl %.2f us, pread of a register %.2f us, open of another file %.2f us\n",
	       best_us(client, one_ioctl), best_us(client, one_read), best_us(client, one_open));
}

static void time_data(struct client *client, size_t piece)
{
	int data = client_set_state(client->device, VMIG_UAPI_DEVICE_STATE_STOP_COPY);
	uint8_t *buf = malloc(piece);
	double start = now();
	uint64_t total = 0;
	ssize_t n;

	MUST(buf && data >= 0);
	memset(buf, 1, piece);
	while ((n = read(data, buf, piece)) > 0)
		total += (uint64_t)n;
	printf("saving by %zu KiB: %.0f MiB/s (%llu MiB)\n", piece >> 10,
	       (double)total / (1 << 20) / (now() - start), (unsigned long long)total >> 20);
	client_set_state(client->device, VMIG_UAPI_DEVICE_STATE_RUNNING);
	close(data);
	free(buf);
}

static int speed(struct client *client)
{
	client_open(client);
	time_calls(client);
	time_data(client, 32 << 10);
	time_data(client, 256 << 10);
	time_data(client, 1 << 20);
	client_close(client);
	return 0;
}

__attribute__((noreturn)) static int hang(struct client *client)
{
	signal(SIGTERM, SIG_IGN);
	client_open(client);
	client_map(client);
	nic_start(client);
	puts("ready");
	fflush(stdout);
	/* Its end is not its fault. */
	MUST(freopen("/dev/null", "w", stderr));
	for (;;)
		nic_take(client, 1);
}

/* --- which -------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int (*fn)(struct client *client);
} commands[] = {
	{ "drive", drive },     { "save", save },       { "load", load },   { "save-v1", save_v1 },
	{ "load-v1", load_v1 }, { "threads", threads }, { "speed", speed }, { "hang", hang },
};

int main(int argc, char **argv)
{
	struct client client = { 0 };
	int option;

	while ((option = getopt(argc, argv, "ipn:")) != -1) {
		client.iommufd |= option == 'i';
		client.private |= option == 'p';
		if (option == 'n')
			client.number = atoi(optarg);
	}
	if (argc - optind == 2 && !strcmp(argv[optind], "fds"))
		return fds_main(&client, argv[optind + 1]);
	if (argc - optind == 2 && !strcmp(argv[optind], "ways"))
		return ways_main(&client, argv[optind + 1]);
	for (size_t i = 0; argc - optind == 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, argv[optind]))
			return commands[i].fn(&client);
	fprintf(stderr, "client: see the head of client.c\n");
	return 2;
}
