/* SPDX-License-Identifier: BSD-3-Clause */
/* serial - a 16550 on PCI: small state, a driver in every guest. */
#include "serial.h"

#include <errno.h>
#include <stdlib.h>

#include "bytes.h"
#include "common.h"
#include "models.h"

struct serial {
	struct model_base base;
	pthread_mutex_t lock;
	struct pci_config pci;
	struct uart uart;
	bool raised; /* the user has been told that the line is up */
};

/*
 * With the lock: tell the user what the interrupt line does, by the pin and as a message. Who listens to which is the
 * user's business (SET_IRQS): after a migration the enable bit of this side's config space may be unwritten, since the
 * VMM keeps that space itself.
 */
static void update_line(struct serial *serial)
{
	bool off = pci_msi_enabled(&serial->pci, PCI_CAP_MSI) ||
		   pci_command(&serial->pci) & PCI_COMMAND_INTX_OFF;
	bool up = uart_interrupt(&serial->uart);

	if (!up || off)
		vmig_model_lower(serial->base.model, PCI_IRQ_INTX, 0);
	else
		vmig_model_raise(serial->base.model, PCI_IRQ_INTX, 0);
	if (up && !serial->raised)
		vmig_model_raise(serial->base.model, PCI_IRQ_MSI, 0);
	serial->raised = up;
}

/* --- regions -------------------------------------------------------------------------------------- */

static void read_line(const struct serial *serial, uint64_t offset, void *buf, size_t len)
{
	uint8_t page[SERIAL_LINE_SIZE] = { 0 };

	put_le64(page + SERIAL_LINE_COUNT, serial->uart.n_sent);
	put_le32(page + SERIAL_LINE_WAITING, serial->uart.n);
	memcpy(page + SERIAL_LINE_SENT, serial->uart.line, UART_LINE);
	memcpy(buf, page + offset, len);
}

static int serial_region_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	struct serial *serial = opaque;
	uint8_t *to = buf;

	pthread_mutex_lock(&serial->lock);
	if (index == VMIG_REGION_PCI_CONFIG)
		pci_read(&serial->pci, offset, buf, len);
	else if (index == SERIAL_BAR_LINE)
		read_line(serial, offset, buf, len);
	else
		for (size_t i = 0; i < len; i++)
			to[i] = uart_read(&serial->uart, (unsigned int)(offset + i));
	/* Who looks at a stopped device must not make it speak. */
	if (worker_level(&serial->base.worker) == WORKER_FULL)
		update_line(serial);
	pthread_mutex_unlock(&serial->lock);
	return 0;
}

static int serial_region_write(void *opaque, uint32_t index, uint64_t offset, const void *buf, size_t len)
{
	struct serial *serial = opaque;
	const uint8_t *from = buf;

	pthread_mutex_lock(&serial->lock);
	for (size_t i = 0; index == SERIAL_BAR_UART && i < len; i++)
		uart_write(&serial->uart, (unsigned int)(offset + i), from[i]);
	if (index == VMIG_REGION_PCI_CONFIG)
		pci_write(&serial->pci, offset, buf, len);
	else if (index == SERIAL_BAR_LINE && offset == SERIAL_LINE_INPUT && len)
		uart_receive(&serial->uart, from[0]);
	/* Who looks at a stopped device must not make it speak. */
	if (worker_level(&serial->base.worker) == WORKER_FULL)
		update_line(serial);
	pthread_mutex_unlock(&serial->lock);
	return 0;
}

/* --- state ---------------------------------------------------------------------------------------- */

static size_t serial_save(void *opaque, uint8_t *buf)
{
	struct serial *serial = opaque;

	uart_save(&serial->uart, buf);
	return UART_SAVED_LEN;
}

static int serial_check(void *opaque, const uint8_t *registers, size_t len)
{
	return len == UART_SAVED_LEN ? uart_check(registers) : -EINVAL;
}

static void serial_load(void *opaque, const uint8_t *registers)
{
	struct serial *serial = opaque;

	pthread_mutex_lock(&serial->lock);
	uart_load(&serial->uart, registers);
	serial->raised = false; /* this user has been told nothing yet: see serial_tick() */
	pthread_mutex_unlock(&serial->lock);
}

static void serial_reset(void *opaque)
{
	struct serial *serial = opaque;

	pthread_mutex_lock(&serial->lock);
	uart_reset(&serial->uart);
	pci_reset(&serial->pci);
	serial->raised = false;
	pthread_mutex_unlock(&serial->lock);
}

/* When the device runs again: an interrupt that was pending on the other side is raised on this one. */
static bool serial_tick(void *opaque, enum worker_level level, uint64_t elapsed_ns)
{
	struct serial *serial = opaque;

	if (level != WORKER_FULL)
		return false;
	pthread_mutex_lock(&serial->lock);
	update_line(serial);
	pthread_mutex_unlock(&serial->lock);
	return false;
}

/* --- making one ----------------------------------------------------------------------------------- */

static void serial_free(void *opaque)
{
	struct serial *serial = opaque;

	pthread_mutex_destroy(&serial->lock);
	free(serial);
}

static const struct model_kind serial_kind = {
	.save = serial_save,
	.check = serial_check,
	.load = serial_load,
	.reset = serial_reset,
	.tick = serial_tick,
	.registers_len = UART_SAVED_LEN,
	.region_read = serial_region_read,
	.region_write = serial_region_write,
	.free = serial_free,
};

static void init_pci(struct pci_config *pci, bool msi)
{
	/* Class: communication, serial, 16550-compatible. */
	static const struct pci_ids ids = { SERIAL_VENDOR, SERIAL_DEVICE, 0x070002, 1, 0, 0 };
	static const struct pci_ids msi_ids = { SERIAL_MSI_VENDOR,     SERIAL_MSI_DEVICE,    0x070002, 0,
						SERIAL_MSI_SUB_VENDOR, SERIAL_MSI_SUB_DEVICE };

	pci_init(pci, msi ? &msi_ids : &ids, true);
	pci_add_bar(pci, SERIAL_BAR_UART, UART_REGISTERS, true);
	pci_add_bar(pci, SERIAL_BAR_LINE, SERIAL_LINE_SIZE, false);
	pci_add_msi(pci);
	pci_seal(pci);
}

int serial_open(const struct model_options *options, struct vmig_device **ret)
{
	struct vmig_region regions[PCI_N_REGIONS];
	struct vmig_irq irqs[PCI_N_IRQS];
	const struct model_setup setup = {
		.name = "serial",
		.identity = options->msi ? "pci:9710:9900/serial" : "pci:1b36:0002/serial",
		.device = options->msi ? (uint64_t)SERIAL_MSI_DEVICE << 16 | SERIAL_MSI_VENDOR
				       : SERIAL_DEVICE << 16 | SERIAL_VENDOR,
		.lanes = 1,
		.log = VMIG_HAS_DMA_LOG,
		.regions = regions,
		.irqs = irqs,
	};
	struct serial *serial = calloc(1, sizeof(*serial));
	int r;

	if (!serial)
		return -ENOMEM;
	model_no_regions(regions, irqs);
	model_region(&regions[SERIAL_BAR_UART], UART_REGISTERS);
	model_region(&regions[SERIAL_BAR_LINE], SERIAL_LINE_SIZE);
	model_region(&regions[VMIG_REGION_PCI_CONFIG], PCI_CONFIG_SIZE);
	irqs[PCI_IRQ_INTX].count = 1;
	irqs[PCI_IRQ_INTX].flags = PCI_IRQ_EVENTFD | PCI_IRQ_MASKABLE | PCI_IRQ_AUTOMASKED;
	irqs[PCI_IRQ_MSI].count = 1;
	irqs[PCI_IRQ_MSI].flags = PCI_IRQ_EVENTFD | PCI_IRQ_NORESIZE;
	pthread_mutex_init(&serial->lock, NULL);
	init_pci(&serial->pci, options->msi);
	uart_reset(&serial->uart);
	r = model_base_open(&serial->base, &serial_kind, serial, options, &setup, ret);
	if (r)
		serial_free(serial);
	return r;
}
