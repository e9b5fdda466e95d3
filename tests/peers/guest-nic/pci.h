/* SPDX-License-Identifier: BSD-3-Clause */
/** pci - configuration space of bus 0, by its two I/O ports. The firmware has placed the BARs. */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include <stdbool.h>
#include <stdint.h>

uint32_t pci_read32(unsigned int slot, unsigned int offset);
void pci_write32(unsigned int slot, unsigned int offset, uint32_t value);
/** Where the BAR is in memory; 0: nowhere. */
uint32_t pci_bar(unsigned int slot, unsigned int n);
/** Memory and bus mastering on. */
void pci_enable(unsigned int slot);
/**
 * Let interrupt @n of the device raise device vector @vector + n, for @n_vectors of them, by MSI-X or, where there is
 * only that, one by MSI. Returns how many vectors the device uses; 0: it has neither.
 */
unsigned int pci_enable_msi(unsigned int slot, unsigned int vector, unsigned int n_vectors);

#endif
