/* SPDX-License-Identifier: BSD-3-Clause */
/** pci - the configuration space of a model: 256 bytes, of which some bits can be written. */
#ifndef MODELS_PCI_H
#define MODELS_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE 256u
#define PCI_N_REGIONS   9u /* as VFIO_PCI_NUM_REGIONS */
#define PCI_N_IRQS      5u

#define PCI_IRQ_INTX 0u
#define PCI_IRQ_MSI  1u
#define PCI_IRQ_MSIX 2u

/* As VFIO_IRQ_INFO_*. */
#define PCI_IRQ_EVENTFD    (1u << 0)
#define PCI_IRQ_MASKABLE   (1u << 1)
#define PCI_IRQ_AUTOMASKED (1u << 2)
#define PCI_IRQ_NORESIZE   (1u << 3)

#define PCI_COMMAND          0x04u
#define PCI_COMMAND_IO       (1u << 0)
#define PCI_COMMAND_MEMORY   (1u << 1)
#define PCI_COMMAND_MASTER   (1u << 2)
#define PCI_COMMAND_INTX_OFF (1u << 10)
#define PCI_BAR(n)           (0x10u + 4 * (n))
#define PCI_BAR_IO           1u
#define PCI_CAPABILITIES     0x34u
#define PCI_INTERRUPT_LINE   0x3cu
#define PCI_CAP_MSI          0x05u
#define PCI_CAP_MSIX         0x11u
#define PCI_MSI_ENABLE       (1u << 0)  /* of the capability's control word */
#define PCI_MSIX_ENABLE      (1u << 15) /* likewise */

struct pci_ids {
	uint16_t vendor, device;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
	uint16_t sub_vendor, sub_device; /* both 0: those of all virtual devices */
};

struct pci_config {
	uint8_t bytes[PCI_CONFIG_SIZE], writable[PCI_CONFIG_SIZE], power_on[PCI_CONFIG_SIZE];
	uint8_t next_cap, last_cap; /* where to put one, and which one to chain it to */
};

/** With an interrupt pin (INTA) if @intx. */
void pci_init(struct pci_config *pci, const struct pci_ids *ids, bool intx);
/** A 32-bit BAR; @size is a power of two, at least 16 (memory) or 4 (I/O). */
void pci_add_bar(struct pci_config *pci, unsigned int n, uint32_t size, bool io);
void pci_add_msi(struct pci_config *pci);
/** @n vectors; table and pending bits are in BAR @bar. */
void pci_add_msix(struct pci_config *pci, unsigned int n, unsigned int bar, uint32_t table, uint32_t pending);
/** What is there now is the state of power-on. */
void pci_seal(struct pci_config *pci);
void pci_reset(struct pci_config *pci);

/** @offset and @len are within the space. */
void pci_read(const struct pci_config *pci, uint64_t offset, void *buf, size_t len);
void pci_write(struct pci_config *pci, uint64_t offset, const void *buf, size_t len);

uint16_t pci_command(const struct pci_config *pci);
/** Is MSI (MSI-X) enabled? */
bool pci_msi_enabled(const struct pci_config *pci, uint8_t capability);

#endif
