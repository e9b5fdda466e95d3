/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest-nic - a guest without an operating system, which drives vmig's reference devices and checks what they send.
 *
 * It is started by `qemu -kernel` and spoken to over the first serial line. A command is one character; the answer is
 * lines of "key=value ..." and, last, "." alone. It says nothing unasked, so that nothing is lost when the machine
 * moves from one host to another, but for "ready" when it starts and "fault" when the guest itself is broken.
 *
 *	p  how many devices there are          i  start, by interrupts      o  start, by polling
 *	c  counters of each device             q  ring no doorbells         r  ring them again
 *	d  digest of each device's state       k  check each device's state
 *	z  disable the queues                  a  digest of each as it arrived (of digest=on)
 */
#include "cpu.h"
#include "device.h"
#include "nic.h"

static void put_pair(const char *key, uint64_t value, unsigned int base)
{
	serial_put(" ");
	serial_put(key);
	serial_put("=");
	serial_put_number(value, base);
}

static void put_device(const struct device *dev)
{
	serial_put("device=");
	serial_put_number(dev->number, 10);
	serial_put(" kind=");
	serial_put(device_kind(dev));
}

static void put_counters(const struct device *dev)
{
	uint64_t taken = 0, expected = 0;
	uint32_t irqs = 0;

	for (unsigned int n = 0; n < dev->n_queues; n++) {
		taken += dev->queues[n].taken;
		expected += dev->queues[n].expected;
	}
	for (unsigned int n = 0; n < VECTORS; n++)
		irqs += interrupts[dev->number * VECTORS + n];
	put_device(dev);
	put_pair("taken", taken, 10);
	put_pair("expected", expected, 10);
	put_pair("lost", dev->lost, 10);
	put_pair("doubled", dev->doubled, 10);
	put_pair("corrupt", dev->corrupt, 10);
	put_pair("overruns", dev->overruns, 10);
	put_pair("bad_frames", dev->bad_frames, 10);
	put_pair("late", dev->late, 10);
	put_pair("interrupts", irqs, 10);
	put_pair("vectors", dev->n_vectors, 10);
	put_pair("sent", device_read(dev, NIC_RECORDS), 10);
	put_pair("bad_doorbells", device_read(dev, NIC_BAD_DOORBELLS), 10);
	put_pair("dma_faults", device_read(dev, NIC_DMA_FAULTS), 10);
	put_pair("changes", device_read(dev, NIC_CHANGES), 10);
	serial_put("\n");
}

static void each(void (*put)(const struct device *dev))
{
	for (unsigned int i = 0; i < n_devices; i++)
		put(&devices[i]);
}

static void put_digest(const struct device *dev)
{
	put_device(dev);
	put_pair("digest", device_control(dev, NIC_CONTROL_DIGEST), 16);
	serial_put("\n");
}

static void put_check(const struct device *dev)
{
	put_device(dev);
	put_pair("bad_pages", device_control(dev, NIC_CONTROL_CHECK), 10);
	serial_put("\n");
}

static void put_arrived(const struct device *dev)
{
	put_device(dev);
	put_pair("arrived", device_read(dev, NIC_ARRIVED), 16);
	serial_put("\n");
}

static void put_found(const struct device *dev)
{
	put_device(dev);
	put_pair("queues", device_read(dev, NIC_QUEUES), 10);
	put_pair("state", device_read(dev, NIC_STATE_SIZE), 10);
	put_pair("registers", dev->registers, 16);
	serial_put("\n");
}

static void obey(int command)
{
	switch (command) {
	case 'p':
		each(put_found);
		break;
	case 'i':
	case 'o':
		devices_start(command == 'o');
		break;
	case 'c':
		each(put_counters);
		break;
	case 'q':
	case 'r':
		devices_quiet(command == 'q');
		break;
	case 'd':
		each(put_digest);
		break;
	case 'a':
		each(put_arrived);
		break;
	case 'k':
		each(put_check);
		break;
	case 'z':
		devices_stop();
		break;
	default:
		serial_put("unknown\n");
	}
	serial_put(".\n");
}

void guest_main(void);

void guest_main(void)
{
	serial_init();
	cpu_init();
	devices_find();
	serial_put("ready\n.\n");
	for (;;) {
		uint32_t tick = ticks, seen = cpu_interrupts();
		int command = serial_get();

		if (command > ' ')
			obey(command);
		if (!devices_work(tick) && command < 0)
			cpu_wait(tick, seen);
	}
}
