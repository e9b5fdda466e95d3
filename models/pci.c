/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci.h"

#include <string.h>

#include "bytes.h"

#define STATUS_CAPABILITIES 0x10u
#define FIRST_CAP           0x40u

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static unsigned int get16(const uint8_t *p)
{
	return p[0] | (unsigned int)p[1] << 8;
}

void pci_init(struct pci_config *pci, const struct pci_ids *ids, bool intx)
{
	uint8_t *b = pci->bytes, *w = pci->writable;

	*pci = (struct pci_config){ .next_cap = FIRST_CAP };
	put16(b, ids->vendor);
	put16(b + 2, ids->device);
	put_le32(b + 8, ids->class_code << 8 | ids->revision);
	put16(b + 0x2c, ids->sub_vendor ? ids->sub_vendor : 0x1af4);
	put16(b + 0x2e, ids->sub_vendor ? ids->sub_device : 0x1100);
	b[0x3d] = intx;
	put16(w + PCI_COMMAND,
	      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
	w[0x0c] = 0xff; /* cache line size and latency timer: kept, without effect */
	w[0x0d] = 0xff;
	w[PCI_INTERRUPT_LINE] = 0xff;
}

void pci_add_bar(struct pci_config *pci, unsigned int n, uint32_t size, bool io)
{
	put_le32(pci->bytes + PCI_BAR(n), io ? PCI_BAR_IO : 0);
	/* The address bits below the size read as zero: that is how the size is found. */
	put_le32(pci->writable + PCI_BAR(n), ~(size - 1) & (io ? ~3u : ~15u));
}

static uint8_t add_cap(struct pci_config *pci, uint8_t id, uint8_t len)
{
	uint8_t at = pci->next_cap;

	pci->bytes[6] |= STATUS_CAPABILITIES;
	pci->bytes[pci->last_cap ? pci->last_cap + 1u : PCI_CAPABILITIES] = at;
	pci->bytes[at] = id;
	pci->last_cap = at;
	pci->next_cap = (uint8_t)(at + ((len + 3u) & ~3u));
	return at;
}

void pci_add_msi(struct pci_config *pci)
{
	uint8_t at = add_cap(pci, PCI_CAP_MSI, 14);

	put16(pci->bytes + at + 2, 0x80); /* one vector, 64-bit address */
	put16(pci->writable + at + 2, 0x71);
	put_le32(pci->writable + at + 4, ~3u);
	put_le32(pci->writable + at + 8, ~0u);
	put16(pci->writable + at + 12, 0xffff);
}

void pci_add_msix(struct pci_config *pci, unsigned int n, unsigned int bar, uint32_t table, uint32_t pending)
{
	uint8_t at = add_cap(pci, PCI_CAP_MSIX, 12);

	put16(pci->bytes + at + 2, n - 1);
	put16(pci->writable + at + 2, 0xc000); /* enable, and mask all */
	put_le32(pci->bytes + at + 4, table | bar);
	put_le32(pci->bytes + at + 8, pending | bar);
}

void pci_seal(struct pci_config *pci)
{
	memcpy(pci->power_on, pci->bytes, sizeof(pci->bytes));
}

void pci_reset(struct pci_config *pci)
{
	memcpy(pci->bytes, pci->power_on, sizeof(pci->bytes));
}

void pci_read(const struct pci_config *pci, uint64_t offset, void *buf, size_t len)
{
	memcpy(buf, pci->bytes + offset, len);
}

void pci_write(struct pci_config *pci, uint64_t offset, const void *buf, size_t len)
{
	const uint8_t *from = buf;

	for (size_t i = 0; i < len; i++) {
		uint8_t w = pci->writable[offset + i], *b = &pci->bytes[offset + i];

		*b = (uint8_t)((*b & ~w) | (from[i] & w));
	}
}

uint16_t pci_command(const struct pci_config *pci)
{
	return (uint16_t)get16(pci->bytes + PCI_COMMAND);
}

bool pci_msi_enabled(const struct pci_config *pci, uint8_t capability)
{
	unsigned int enable = capability == PCI_CAP_MSI ? PCI_MSI_ENABLE : PCI_MSIX_ENABLE;

	for (uint8_t at = pci->bytes[PCI_CAPABILITIES]; at; at = pci->bytes[at + 1u])
		if (pci->bytes[at] == capability)
			return get16(pci->bytes + at + 2) & enable;
	return false;
}
