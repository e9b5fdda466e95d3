/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver of the nic's first queue. */
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client.h"
#include "models/nic.h"
#include "models/pci.h"

#define INDEX   0x1000u /* of the producer, in the memory */
#define RING    0x10000u
#define WAIT_MS 15000
#define CONFIG  7u

static void put(const struct client *client, uint32_t region, uint32_t offset, uint64_t value, size_t len)
{
	uint64_t at = client_region_offset(client->device, region) + offset;
	uint8_t buf[8];

	put_le64(buf, value);
	MUST(pwrite(client->device, buf, len, (off_t)at) == (ssize_t)len);
}

static uint64_t get(const struct client *client, uint32_t region, uint32_t offset, size_t len)
{
	uint64_t at = client_region_offset(client->device, region) + offset;
	uint8_t buf[8] = { 0 };

	MUST(pread(client->device, buf, len, (off_t)at) == (ssize_t)len);
	return get_le64(buf);
}

static uint64_t producer(const struct client *client)
{
	return __atomic_load_n((const uint64_t *)(client->memory + INDEX), __ATOMIC_ACQUIRE);
}

static uint8_t find_msix(const struct client *client)
{
	uint8_t at = (uint8_t)get(client, CONFIG, PCI_CAPABILITIES, 1);

	while (at && get(client, CONFIG, at, 1) != PCI_CAP_MSIX)
		at = (uint8_t)get(client, CONFIG, at + 1u, 1);
	MUST(at);
	return at;
}

/* Interrupts and configuration space are the user's: they do not move with the device. */
static void arm(struct client *client)
{
	struct {
		struct vmig_uapi_irq_set head;
		int32_t fd;
	} set = { .head = { .argsz = sizeof(set),
			    .flags = VMIG_UAPI_IRQ_SET_DATA_EVENTFD | VMIG_UAPI_IRQ_SET_ACTION_TRIGGER,
			    .index = PCI_IRQ_MSIX,
			    .count = 1 } };

	if (client->irq < 0)
		client->irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	set.fd = client->irq;
	MUST(!ioctl(client->device, VMIG_UAPI_DEVICE_SET_IRQS, &set));
	put(client, CONFIG, find_msix(client) + 2u, PCI_MSIX_ENABLE, 2);
	put(client, CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

void nic_start(struct client *client)
{
	arm(client);
	put(client, NIC_BAR_REGISTERS, NIC_QUEUE(0) + NIC_QUEUE_BASE, RING, 8);
	put(client, NIC_BAR_REGISTERS, NIC_QUEUE(0) + NIC_QUEUE_INDEX, INDEX, 8);
	put(client, NIC_BAR_REGISTERS, NIC_QUEUE(0) + NIC_QUEUE_SLOTS, CLIENT_SLOTS, 8);
	client->consumer = get(client, NIC_BAR_REGISTERS, NIC_QUEUE(0) + NIC_QUEUE_PRODUCER, 8);
	put_le64(client->memory + INDEX, client->consumer);
	put(client, NIC_BAR_REGISTERS, NIC_QUEUE(0) + NIC_QUEUE_CONTROL, 1, 8);
	MUST(get(client, NIC_BAR_REGISTERS, NIC_QUEUE(0) + NIC_QUEUE_CONTROL, 8) & NIC_QUEUE_STATUS_ENABLED);
}

static void wait_for_interrupt(struct client *client)
{
	struct pollfd pollfd = { .fd = client->irq, .events = POLLIN };
	uint64_t n;

	if (poll(&pollfd, 1, WAIT_MS) != 1)
		FAIL("no interrupt, after %llu records", (unsigned long long)client->consumer);
	MUST(read(client->irq, &n, sizeof(n)) == sizeof(n));
	client->interrupts += n;
}

/* Where records came faster than they were taken, nobody has waited yet. */
void nic_must_have_interrupted(struct client *client)
{
	if (!client->interrupts)
		wait_for_interrupt(client);
}

void nic_take(struct client *client, uint64_t n)
{
	uint8_t want[NIC_RECORD];

	for (uint64_t end = client->consumer + n; client->consumer < end;) {
		if (client->consumer == producer(client)) {
			wait_for_interrupt(client);
			continue;
		}
		nic_record_make(want, 0, client->consumer);
		if (memcmp(client->memory + RING + client->consumer % CLIENT_SLOTS * NIC_RECORD, want,
			   NIC_RECORD) != 0)
			FAIL("record %llu is not what it should be", (unsigned long long)client->consumer);
		client->consumer++;
		put(client, NIC_BAR_DOORBELLS, NIC_DOORBELL(0), client->consumer, 4);
	}
	/* Who is never faster than the device has never had to wait: what was raised is there all the same. */
	if (!client->interrupts)
		wait_for_interrupt(client);
}

static uint64_t nic_digest(struct client *client)
{
	put(client, NIC_BAR_REGISTERS, NIC_CONTROL, NIC_CONTROL_DIGEST, 8);
	return get(client, NIC_BAR_REGISTERS, NIC_RESULT, 8);
}

void nic_save(struct client *client, FILE *to)
{
	uint64_t digest = nic_digest(client);

	MUST(fwrite(client->memory, CLIENT_MEMORY, 1, to) == 1);
	MUST(fwrite(&client->consumer, sizeof(client->consumer), 1, to) == 1);
	MUST(fwrite(&digest, sizeof(digest), 1, to) == 1);
	MUST(!fflush(to));
}

void nic_load(struct client *client, FILE *from)
{
	MUST(fread(client->memory, CLIENT_MEMORY, 1, from) == 1);
	MUST(fread(&client->consumer, sizeof(client->consumer), 1, from) == 1);
	MUST(fread(&client->digest, sizeof(client->digest), 1, from) == 1);
	arm(client);
}

void nic_check_arrived(struct client *client)
{
	if (get(client, NIC_BAR_REGISTERS, NIC_ARRIVED, 8) != client->digest)
		FAIL("another state has arrived than was sent");
}
