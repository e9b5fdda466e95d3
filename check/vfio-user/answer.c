/* SPDX-License-Identifier: BSD-3-Clause */
/* The server's own commands: DMA of the device's, to memory that it has without a descriptor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

void vu_wrong(struct vu *vu, const char *format, ...)
{
	va_list ap;

	if (*vu->dma_wrong)
		return;
	va_start(ap, format);
	vsnprintf(vu->dma_wrong, sizeof(vu->dma_wrong), format, ap);
	va_end(ap);
}

/* The memory of an access, or NULL. */
static uint8_t *reached(struct vu *vu, const struct vu_message *m, uint64_t address, uint64_t count)
{
	for (uint32_t i = 0; i < vu->n_memory; i++) {
		const struct vu_memory *mem = &vu->memory[i];

		if (address < mem->iova || address - mem->iova > mem->size ||
		    count > mem->size - (address - mem->iova))
			continue;
		if (m->command == VU_DMA_READ ? !mem->readable : !mem->writeable)
			vu_wrong(vu, "%s of memory that is not mapped so",
				 m->command == VU_DMA_READ ? "a read" : "a write");
		return mem->at + (address - mem->iova);
	}
	vu_wrong(vu, "an access to %#llx, %llu bytes, where nothing is mapped", (unsigned long long)address,
		 (unsigned long long)count);
	return NULL;
}

/* Where the data of an access are, or NULL: it is refused. */
static uint8_t *allowed(struct vu *vu, const struct vu_message *m, uint64_t *ret_address, uint64_t *ret_count)
{
	bool reads = m->command == VU_DMA_READ;

	if ((!reads && m->command != VU_DMA_WRITE) || m->len < 16) {
		vu_wrong(vu, "command %u of the server, %zu bytes", m->command, m->len);
		return NULL;
	}
	memcpy(ret_address, m->body, 8);
	memcpy(ret_count, m->body + 8, 8);
	vu->n_dma++;
	vu->dma_largest = *ret_count > vu->dma_largest ? *ret_count : vu->dma_largest;
	if (m->len != 16 + (reads ? 0 : *ret_count)) {
		vu_wrong(vu, "a count of %llu with %zu bytes", (unsigned long long)*ret_count, m->len);
		return NULL;
	}
	if (*ret_count > vu->our_max_data) {
		vu_wrong(vu, "a count of %llu, beyond max_data_xfer_size", (unsigned long long)*ret_count);
		return *ret_count > VU_BODY_MAX ? NULL : reached(vu, m, *ret_address, *ret_count);
	}
	return reached(vu, m, *ret_address, *ret_count);
}

void vu_answer(struct vu *vu, int to, const struct vu_message *m)
{
	const uint32_t refused = EINVAL;
	uint64_t address = 0, count = 0;
	uint8_t *at = allowed(vu, m, &address, &count), *out;
	bool reads = m->command == VU_DMA_READ;
	size_t len = at ? VU_HEADER + 16 + (reads ? count : 0) : VU_HEADER;

	out = calloc(1, len);
	if (!out)
		check_end(vu->c, CHECK_ERROR, "", "no memory");
	vu_put_header(out, m->id, m->command, (uint32_t)len, VU_REPLY | (at ? 0 : VU_ERROR));
	if (!at)
		memcpy(out + 12, &refused, 4);
	if (at) {
		memcpy(out + 16, &address, 8);
		memcpy(out + 24, &count, 8);
	}
	if (at && reads)
		memcpy(out + 32, at, count);
	if (at && !reads)
		memcpy(at, m->body + 16, count);
	if (!(m->flags & VU_NO_REPLY))
		vu_send_to(vu, to, out, len, -1);
	free(out);
}

void vu_answer_held(struct vu *vu)
{
	vu->hold = false;
	if (vu->n_held)
		vu_answer(vu, vu->twin >= 0 ? vu->twin : vu->fd, &vu->held);
	vu->n_held = 0;
}
