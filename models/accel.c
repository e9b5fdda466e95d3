/* SPDX-License-Identifier: BSD-3-Clause */
/* accel - an accelerator as the hisi_acc virtual functions: it does jobs. Its stream starts with match data. */
#include "models.h"
#include "rings.h"

/* The payload of a result is computed from the job's. */
static void do_job(uint8_t *record, const uint8_t *job, uint32_t queue)
{
	put_le32(record, NIC_RECORD_MAGIC);
	put_le32(record + NIC_RECORD_QUEUE, queue);
	put_le64(record + NIC_RECORD_SEQ, get_le64(job + NIC_RECORD_SEQ));
	for (uint32_t i = NIC_RECORD_PAYLOAD; i < NIC_RECORD_SUM; i += 8)
		put_le64(record + i, mix64(get_le64(job + i)));
	put_le64(record + NIC_RECORD_SUM, hash64(queue, record, NIC_RECORD_SUM));
}

static bool is_good(const uint8_t *job, uint32_t queue, uint64_t number)
{
	return get_le32(job) == ACCEL_JOB_MAGIC && get_le32(job + NIC_RECORD_QUEUE) == queue &&
	       get_le64(job + NIC_RECORD_SEQ) == number &&
	       get_le64(job + NIC_RECORD_SUM) == hash64(queue, job, NIC_RECORD_SUM);
}

static int accel_make(struct rings *rings, struct rings_batch *batch, uint8_t *records)
{
	uint64_t at = batch->area + batch->producer % batch->slots * ACCEL_JOB;
	uint8_t jobs[RINGS_BATCH * ACCEL_JOB];
	int r = vmig_model_dma_read(rings->base.model, at, jobs, batch->n * ACCEL_JOB);

	if (r)
		return r;
	for (uint32_t i = 0; i < batch->n; i++) {
		uint8_t *record = records + i * NIC_RECORD, *job = jobs + i * ACCEL_JOB;
		bool good = is_good(job, batch->queue, batch->producer + i);

		/* Of numbers that are wrong on purpose there is no job. */
		if (batch->seq[i] != batch->producer + i)
			nic_record_make(record, batch->queue, batch->seq[i]);
		else
			do_job(record, job, batch->queue);
		record[NIC_RECORD_SUM] ^= !good;
		batch->bad_jobs += !good;
	}
	return 0;
}

static void make_match(uint8_t *match, uint32_t queues)
{
	memset(match, 0, ACCEL_MATCH_LEN);
	put_le64(match + ACCEL_MATCH_MAGIC, ACCEL_MATCH_MAGIC_VALUE);
	put_le32(match + ACCEL_MATCH_VERSION, ACCEL_VERSION);
	put_le32(match + ACCEL_MATCH_DEVICE, (uint32_t)ACCEL_DEVICE << 16 | NIC_VENDOR);
	put_le32(match + ACCEL_MATCH_QUEUES, queues);
}

static uint64_t accel_read(const struct rings *rings, uint32_t offset)
{
	uint8_t match[ACCEL_MATCH_LEN];

	if (offset == ACCEL_BAD_JOBS)
		return rings->bad_jobs;
	if (offset < ACCEL_MATCH || offset >= ACCEL_MATCH + ACCEL_MATCH_LEN)
		return 0;
	make_match(match, rings->setup.queues);
	return get_le64(match + offset - ACCEL_MATCH);
}

int accel_open(const struct model_options *options, struct vmig_device **ret)
{
	uint8_t match[ACCEL_MATCH_LEN];
	const struct rings_setup setup = {
		.class = nic_class_of(ACCEL_DEVICE),
		.name = "accel",
		.identity = "pci:1b36:0fe1/accel",
		.device = (uint64_t)ACCEL_DEVICE << 16 | NIC_VENDOR,
		.class_code = 0x120000,
		.queues = options->queues,
		.log = options->device_log ? VMIG_HAS_DMA_LOG : VMIG_HAS_IOMMU_LOG,
		.match = match,
		.match_len = sizeof(match),
		.late = true,
		.make = accel_make,
		.read = accel_read,
	};

	make_match(match, options->queues);
	return rings_open(&setup, options, ret);
}
