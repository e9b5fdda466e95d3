/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci.h"

#include "cpu.h"

#define ADDRESS 0xcf8
#define DATA    0xcfc

#define COMMAND        0x04u
#define COMMAND_MEMORY 0x2u
#define COMMAND_MASTER 0x4u
#define CAPABILITIES   0x34u
#define CAP_MSI        0x05u
#define CAP_MSIX       0x11u
#define MSI_ENABLE     0x00010000u /* in the capability's first 32 bits */
#define MSIX_ENABLE    0x80000000u
#define MSIX_MASK_ALL  0x40000000u

uint32_t pci_read32(unsigned int slot, unsigned int offset)
{
	out32(ADDRESS, 0x80000000u | slot << 11 | (offset & 0xfc));
	return in32(DATA);
}

void pci_write32(unsigned int slot, unsigned int offset, uint32_t value)
{
	out32(ADDRESS, 0x80000000u | slot << 11 | (offset & 0xfc));
	out32(DATA, value);
}

uint32_t pci_bar(unsigned int slot, unsigned int n)
{
	return pci_read32(slot, 0x10 + n * 4) & ~15u;
}

void pci_enable(unsigned int slot)
{
	/* The upper half is the status, whose bits are cleared by ones. */
	uint32_t command = pci_read32(slot, COMMAND) & 0xffff;

	pci_write32(slot, COMMAND, command | COMMAND_MEMORY | COMMAND_MASTER);
}

static unsigned int find_cap(unsigned int slot, uint32_t id)
{
	unsigned int at = pci_read32(slot, CAPABILITIES) & 0xfc;

	/* Bounded: a list that bites its tail must not hang the guest. */
	for (unsigned int i = 0; at && i < 48; i++) {
		uint32_t cap = pci_read32(slot, at);

		if ((cap & 0xff) == id)
			return at;
		at = cap >> 8 & 0xfc;
	}
	return 0;
}

static void enable_msix(unsigned int slot, unsigned int cap, unsigned int vector, unsigned int n)
{
	uint32_t table = pci_read32(slot, cap + 4);
	volatile uint32_t *entry = (volatile uint32_t *)(pci_bar(slot, table & 7) + (table & ~7u));

	/* Off first: where it is on already, a VMM would see no change in what follows. */
	pci_write32(slot, cap, pci_read32(slot, cap) & ~MSIX_ENABLE);
	for (unsigned int i = 0; i < n; i++, entry += 4) {
		entry[0] = MSI_ADDRESS;
		entry[1] = 0;
		entry[2] = MSI_DATA(vector + i);
		entry[3] = 0; /* not masked */
	}
	pci_write32(slot, cap, (pci_read32(slot, cap) | MSIX_ENABLE) & ~MSIX_MASK_ALL);
}

static void enable_msi(unsigned int slot, unsigned int cap, unsigned int vector)
{
	pci_write32(slot, cap, pci_read32(slot, cap) & ~MSI_ENABLE);
	pci_write32(slot, cap + 4, MSI_ADDRESS);
	pci_write32(slot, cap + 8, 0);
	pci_write32(slot, cap + 12, MSI_DATA(vector));
	pci_write32(slot, cap, pci_read32(slot, cap) | MSI_ENABLE);
}

unsigned int pci_enable_msi(unsigned int slot, unsigned int vector, unsigned int n_vectors)
{
	unsigned int msix = find_cap(slot, CAP_MSIX), msi = find_cap(slot, CAP_MSI);

	if (msix) {
		unsigned int has = (pci_read32(slot, msix) >> 16 & 0x7ff) + 1;

		n_vectors = n_vectors < has ? n_vectors : has;
		enable_msix(slot, msix, vector, n_vectors);
		return n_vectors;
	}
	if (!msi)
		return 0;
	enable_msi(slot, msi, vector);
	return 1;
}
