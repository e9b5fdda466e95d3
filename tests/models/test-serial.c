/* SPDX-License-Identifier: BSD-3-Clause */
/* The serial port: a 16550 by its registers, and on the move. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "models/bytes.h"
#include "models/pci.h"
#include "models/serial.h"
#include "rig.h"

#define TRIGGER (VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER)

static uint8_t get(struct vmig_device *dev, uint32_t reg)
{
	uint8_t value;

	ck_assert_int_eq(vmig_device_region_read(dev, SERIAL_BAR_UART, reg, &value, 1), 0);
	return value;
}

static void put(struct vmig_device *dev, uint32_t reg, uint8_t value)
{
	ck_assert_int_eq(vmig_device_region_write(dev, SERIAL_BAR_UART, reg, &value, 1), 0);
}

/* The other end of the line sends. */
static void input(struct vmig_device *dev, const char *text)
{
	for (; *text; text++)
		ck_assert_int_eq(vmig_device_region_write(dev, SERIAL_BAR_LINE, SERIAL_LINE_INPUT, text, 1),
				 0);
}

static int arm(struct vmig_device *dev, uint32_t index)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct vmig_irq_set set = { .flags = TRIGGER, .index = index, .count = 1, .fds = &fd };

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(vmig_device_set_irqs(dev, &set), 0);
	return fd;
}

static uint64_t signals(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

TEST(its_ids_are_those_that_drivers_know)
{
	struct vmig_device *dev = rig_open("serial");
	uint8_t config[PCI_CONFIG_SIZE];
	struct vmig_device_info info;

	vmig_device_query_info(dev, &info);
	ck_assert_str_eq(info.identity, "pci:1b36:0002/serial");
	ck_assert_uint_eq(info.migration_flags, 7);
	ck_assert_int_eq(vmig_device_region_read(dev, VMIG_REGION_PCI_CONFIG, 0, config, sizeof(config)), 0);
	ck_assert_uint_eq(get_le32(config), 0x00021b36);
	ck_assert_uint_eq(get_le32(config + 8) >> 8, 0x070002);
	ck_assert_uint_eq(config[PCI_BAR(0)] & 1, 1);
	ck_assert_uint_eq(config[0x3d], 1);
	vmig_device_close(dev);
}

TEST(with_msi_it_has_the_ids_of_a_card_whose_driver_uses_that)
{
	struct vmig_device *dev = rig_open("serial,irq=msi");
	uint8_t config[PCI_CONFIG_SIZE];
	struct vmig_device_info info;

	vmig_device_query_info(dev, &info);
	ck_assert_str_eq(info.identity, "pci:9710:9900/serial");
	ck_assert_int_eq(vmig_device_region_read(dev, VMIG_REGION_PCI_CONFIG, 0, config, sizeof(config)), 0);
	ck_assert_uint_eq(get_le32(config), 0x99009710);
	ck_assert_uint_eq(get_le32(config + 0x2c), 0x1000a000);
	vmig_device_close(dev);
}

TEST(another_cards_state_is_refused)
{
	struct vmig_device *a = rig_open("serial"), *b = rig_open("serial,irq=msi");
	struct bytes stream = { 0 };

	rig_set(a, VMIG_STATE_STOP);
	rig_save_all(a, &stream);
	ck_assert_int_lt(rig_load_all(b, stream.data, stream.len), 0);
	bytes_free(&stream);
	vmig_device_close(a);
	vmig_device_close(b);
}

TEST(the_line_tells_what_waits_in_the_receiver)
{
	struct vmig_device *dev = rig_open("serial");
	uint32_t waiting;

	put(dev, UART_FCR, 1);
	input(dev, "abc");
	get(dev, UART_DATA);
	ck_assert_int_eq(vmig_device_region_read(dev, SERIAL_BAR_LINE, SERIAL_LINE_WAITING, &waiting, 4), 0);
	ck_assert_uint_eq(get_le32((uint8_t *)&waiting), 2);
	vmig_device_close(dev);
}

TEST(power_on_is_as_of_a_16550a)
{
	struct vmig_device *dev = rig_open("serial");

	ck_assert_uint_eq(get(dev, UART_IER), 0);
	ck_assert_uint_eq(get(dev, UART_IIR), UART_IIR_NONE);
	ck_assert_uint_eq(get(dev, UART_LSR), UART_LSR_EMPTY);
	ck_assert_uint_eq(get(dev, UART_MSR), 0xb0);
	/* How a driver tells a 16550A from older ones. */
	put(dev, UART_FCR, 1);
	ck_assert_uint_eq(get(dev, UART_IIR), 0xc0 | UART_IIR_NONE);
	put(dev, UART_SCR, 0x5a);
	ck_assert_uint_eq(get(dev, UART_SCR), 0x5a);
	vmig_device_close(dev);
}

TEST(the_divisor_is_behind_its_latch)
{
	struct vmig_device *dev = rig_open("serial");

	put(dev, UART_IER, 0x05);
	put(dev, UART_LCR, UART_LCR_DLAB | 3);
	put(dev, 0, 0x34);
	put(dev, 1, 0x12);
	ck_assert_uint_eq(get(dev, 0), 0x34);
	ck_assert_uint_eq(get(dev, 1), 0x12);
	put(dev, UART_LCR, 3);
	ck_assert_uint_eq(get(dev, UART_IER), 0x05);
	vmig_device_close(dev);
}

TEST(loopback_gives_back_what_is_sent)
{
	struct vmig_device *dev = rig_open("serial");
	uint8_t line[8];

	put(dev, UART_FCR, 1);
	put(dev, UART_MCR, UART_MCR_LOOP | 0x0a);
	ck_assert_uint_eq(get(dev, UART_MSR) & 0xf0, 0x90);
	for (char c = 'a'; c < 'a' + 16; c++)
		put(dev, UART_DATA, (uint8_t)c);
	ck_assert_uint_eq(get(dev, UART_LSR), UART_LSR_EMPTY | UART_LSR_DATA);
	put(dev, UART_DATA, '!'); /* one too many */
	ck_assert_uint_eq(get(dev, UART_LSR), UART_LSR_EMPTY | UART_LSR_DATA | UART_LSR_OVERRUN);
	for (char c = 'a'; c < 'a' + 16; c++)
		ck_assert_uint_eq(get(dev, UART_DATA), (uint8_t)c);
	ck_assert_uint_eq(get(dev, UART_LSR), UART_LSR_EMPTY);
	/* Nothing of it went out. */
	ck_assert_int_eq(vmig_device_region_read(dev, SERIAL_BAR_LINE, SERIAL_LINE_COUNT, line, 8), 0);
	ck_assert_uint_eq(get_le64(line), 0);
	vmig_device_close(dev);
}

TEST(causes_come_by_priority)
{
	struct vmig_device *dev = rig_open("serial");

	put(dev, UART_FCR, 1 | 0x40); /* a trigger of four */
	put(dev, UART_IER, 0x0f);
	ck_assert_uint_eq(get(dev, UART_IIR) & 0x0f, 0x02); /* empty; being asked clears it */
	ck_assert_uint_eq(get(dev, UART_IIR) & 0x0f, 0x01);
	input(dev, "abc");
	ck_assert_uint_eq(get(dev, UART_IIR) & 0x0f, 0x0c); /* below the trigger: waited long enough */
	input(dev, "defghijklmnopq");
	ck_assert_uint_eq(get(dev, UART_IIR) & 0x0f, 0x06); /* overrun */
	get(dev, UART_LSR);
	ck_assert_uint_eq(get(dev, UART_IIR) & 0x0f, 0x04);
	for (int i = 0; i < 16; i++)
		get(dev, UART_DATA);
	put(dev, UART_MCR, UART_MCR_LOOP);
	ck_assert_uint_eq(get(dev, UART_IIR) & 0x0f, 0x00); /* the modem's lines fell */
	get(dev, UART_MSR);
	ck_assert_uint_eq(get(dev, UART_IIR) & 0x0f, 0x01);
	vmig_device_close(dev);
}

TEST(intx_is_a_level)
{
	struct vmig_device *dev = rig_open("serial");
	struct vmig_irq_set unmask = { .flags = VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_UNMASK, .count = 1 };
	int fd = arm(dev, PCI_IRQ_INTX);

	put(dev, UART_IER, 1);
	ck_assert_uint_eq(signals(fd), 0);
	input(dev, "x");
	ck_assert_uint_eq(signals(fd), 1);
	/* Unmasked with the line still up: once more. */
	ck_assert_int_eq(vmig_device_set_irqs(dev, &unmask), 0);
	ck_assert_uint_eq(signals(fd), 1);
	ck_assert_uint_eq(get(dev, UART_DATA), 'x');
	ck_assert_int_eq(vmig_device_set_irqs(dev, &unmask), 0);
	ck_assert_uint_eq(signals(fd), 0);
	vmig_device_close(dev);
	close(fd);
}

TEST(msi_is_an_edge)
{
	struct vmig_device *dev = rig_open("serial");
	int intx = arm(dev, PCI_IRQ_INTX), msi = arm(dev, PCI_IRQ_MSI);
	uint8_t config[PCI_CONFIG_SIZE];
	const uint8_t on = 1;

	ck_assert_int_eq(vmig_device_region_read(dev, VMIG_REGION_PCI_CONFIG, 0, config, sizeof(config)), 0);
	ck_assert_uint_eq(config[config[PCI_CAPABILITIES]], PCI_CAP_MSI);
	ck_assert_int_eq(
		vmig_device_region_write(dev, VMIG_REGION_PCI_CONFIG, config[PCI_CAPABILITIES] + 2u, &on, 1),
		0);
	put(dev, UART_IER, 1);
	input(dev, "xy");
	ck_assert_uint_eq(signals(msi), 1);
	get(dev, UART_DATA);
	get(dev, UART_DATA);
	input(dev, "z");
	ck_assert_uint_eq(signals(msi), 1);
	ck_assert_uint_eq(signals(intx), 0);
	vmig_device_close(dev);
	close(intx);
	close(msi);
}

/* As after a migration: the VMM has armed MSI and has left the enable bit as it was. */
TEST(msi_comes_to_who_listens_whatever_the_config_space_says)
{
	struct vmig_device *dev = rig_open("serial,irq=msi");
	int msi = arm(dev, PCI_IRQ_MSI);

	put(dev, UART_IER, 1);
	input(dev, "x");
	ck_assert_uint_eq(signals(msi), 1);
	get(dev, UART_DATA);
	input(dev, "y");
	ck_assert_uint_eq(signals(msi), 1);
	vmig_device_close(dev);
	close(msi);
}

/* Every register, what is in the FIFO and what was sent; an interrupt that nobody served is raised there. */
TEST(all_of_it_moves)
{
	struct vmig_device *a = rig_open("serial"), *b = rig_open("serial,p2p=off");
	struct bytes stream = { 0 };
	struct pollfd poll_fd;
	uint8_t line[SERIAL_LINE_SIZE];
	int fd = arm(b, PCI_IRQ_INTX);

	put(a, UART_FCR, 1);
	put(a, UART_IER, 1);
	put(a, UART_SCR, 0x77);
	put(a, UART_DATA, 'T');
	input(a, "hello");
	rig_set(a, VMIG_STATE_STOP);
	rig_save_all(a, &stream);
	ck_assert_int_eq(rig_load_all(b, stream.data, stream.len), 0);
	ck_assert_uint_eq(get(b, UART_SCR), 0x77);
	ck_assert_uint_eq(signals(fd), 0); /* not while it stands still */
	rig_set(b, VMIG_STATE_RUNNING);
	poll_fd = (struct pollfd){ .fd = fd, .events = POLLIN };
	ck_assert_int_eq(poll(&poll_fd, 1, -1), 1);
	for (const char *c = "hello"; *c; c++)
		ck_assert_uint_eq(get(b, UART_DATA), (uint8_t)*c);
	ck_assert_int_eq(vmig_device_region_read(b, SERIAL_BAR_LINE, 0, line, sizeof(line)), 0);
	ck_assert_uint_eq(get_le64(line), 1);
	ck_assert_uint_eq(line[SERIAL_LINE_SENT], 'T');
	bytes_free(&stream);
	vmig_device_close(a);
	vmig_device_close(b);
	close(fd);
}

HARNESS("serial", T(its_ids_are_those_that_drivers_know),
	T(with_msi_it_has_the_ids_of_a_card_whose_driver_uses_that), T(another_cards_state_is_refused),
	T(the_line_tells_what_waits_in_the_receiver), T(power_on_is_as_of_a_16550a),
	T(the_divisor_is_behind_its_latch), T(loopback_gives_back_what_is_sent), T(causes_come_by_priority),
	T(intx_is_a_level), T(msi_is_an_edge), T(msi_comes_to_who_listens_whatever_the_config_space_says),
	T(all_of_it_moves))
