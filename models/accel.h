/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * accel - what the accel has beside the registers, rings and records of nic.h.
 *
 * The driver gives each queue a ring of jobs as well (NIC_QUEUE_AREA: as many slots of ACCEL_JOB bytes as the ring
 * of records has). Job number n is in slot n mod slots; the driver tells how many there are by the queue's second
 * doorbell. The device reads a job, and sends its result as record number n: the record that a nic would send,
 * for its payload is computed from the job's. A job's slot is free again when its result has come.
 * A job that is damaged is counted in ACCEL_BAD_JOBS and its result is a damaged record.
 */
#ifndef MODELS_ACCEL_H
#define MODELS_ACCEL_H

#include "nic.h"

#define ACCEL_DEVICE 0x0fe1

#define ACCEL_MAGIC_VALUE 0x306c6361u /* "acl0", in NIC_MAGIC */

/* BAR 0, beside the nic's. */
#define ACCEL_BAD_JOBS 0x68u
#define ACCEL_MATCH    0x80u /* ACCEL_MATCH_LEN bytes: the match data of this device, readable in every state */

/* BAR 2: how many jobs queue q has been given, the low half, 4 bytes. */
#define ACCEL_DOORBELL_JOBS(q) (0x800u + (q)*4u)

/*
 * Match data: the first bytes of the stream. A device of other match data refuses it at the first byte that differs.
 */
#define ACCEL_MATCH_LEN     32u
#define ACCEL_MATCH_MAGIC   0u  /* u64, ACCEL_MATCH_MAGIC_VALUE */
#define ACCEL_MATCH_VERSION 8u  /* u32: the format of what follows */
#define ACCEL_MATCH_DEVICE  12u /* u32: device << 16 | vendor */
#define ACCEL_MATCH_QUEUES  16u /* u32 */
#define ACCEL_MATCH_ZERO    20u /* to the end: zeros */

#define ACCEL_MATCH_MAGIC_VALUE 0x48434d4c45434341ull /* "ACCELMCH" */
#define ACCEL_VERSION           1u

/* A job. */
#define ACCEL_JOB       64u
#define ACCEL_JOB_MAGIC 0x424f4a41u
/* Queue, number, payload and sum are where a record has them. */

/** Job number @seq of @queue. Its result is nic_record_make() of the same. */
static inline void accel_job_make(uint8_t *job, uint32_t queue, uint64_t seq)
{
	put_le32(job, ACCEL_JOB_MAGIC);
	put_le32(job + NIC_RECORD_QUEUE, queue);
	put_le64(job + NIC_RECORD_SEQ, seq);
	for (uint32_t i = NIC_RECORD_PAYLOAD; i < NIC_RECORD_SUM; i += 8)
		put_le64(job + i, seq * 64 + queue * 8 + i);
	put_le64(job + NIC_RECORD_SUM, hash64(queue, job, NIC_RECORD_SUM));
}

#endif
