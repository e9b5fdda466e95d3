/* SPDX-License-Identifier: BSD-3-Clause */
/** limits - every size that a peer, a file or a flag controls, by name. Tests stand at N-1, N and N+1. */
#ifndef VMIG_BASE_LIMITS_H
#define VMIG_BASE_LIMITS_H

/* One data transfer of vfio-user (MIG_DATA, REGION, DMA). Ours, and the most that a peer's wish is granted. */
#define VMIG_LIMIT_XFER_DEFAULT (1u << 20)
#define VMIG_LIMIT_XFER         (16u << 20)
/* A vfio-user message that is not a data transfer: the largest is a REPORT's bitmap. */
#define VMIG_LIMIT_MSG_BITMAP    (32u << 20) /* 1 TiB in 4 KiB pages */
#define VMIG_LIMIT_VERSION_JSON  4096u
#define VMIG_LIMIT_MSG_FDS       16u
#define VMIG_LIMIT_DMA_MAPS      65535u
#define VMIG_LIMIT_REGIONS       64u
#define VMIG_LIMIT_IRQ_INDICES   16u
#define VMIG_LIMIT_IRQS          2048u /* of one index, as MSI-X */
#define VMIG_LIMIT_LOG_RANGES    1024u
#define VMIG_LIMIT_LOG_BITMAP    (256u << 20) /* bytes of DMA log in all: 8 TiB in 4 KiB pages */
#define VMIG_LIMIT_WRITE_MULTI   128u
#define VMIG_LIMIT_REGION_INFO   (64u << 10) /* a region's info with its capabilities */
#define VMIG_LIMIT_PENDING       64u /* commands of a client that wait while a DMA message is under way */
#define VMIG_LIMIT_PENDING_BYTES (32u << 20) /* and their payloads: two of the largest */

/* The migration region of v1. */
#define VMIG_LIMIT_V1_SECTION     (1ull << 30) /* bytes of its data section */
#define VMIG_LIMIT_V1_TRANSACTION (1ull << 30) /* bytes between two reads of pending_bytes */
#define VMIG_LIMIT_V1_STALLS                                                                                 \
	(1u << 20) /* transactions of a stopped device while pending_bytes does not fall */

/* The kernel's ABI, as shown to a program. Mappings, interrupts, ranges and bitmaps are limited as above. */
#define VMIG_LIMIT_IOMMUFD_OBJECTS 1024u
#define VMIG_LIMIT_IOVA_RANGES     1024u

/* The migration stream. */
#define VMIG_LIMIT_RECORD_DATA    (1u << 20) /* one piece of device data */
#define VMIG_LIMIT_RECORD_CONTROL (64u << 10)
#define VMIG_LIMIT_USER_RECORD    (16u << 20)
#define VMIG_LIMIT_USER_RECORDS   (64u << 20) /* of all devices */
#define VMIG_LIMIT_DEVICES        256u
#define VMIG_LIMIT_CONNECTIONS    16u /* of one migration */

/* The ownership record. Names: VMIG_OWNER_NAME_MAX. The most devices of one swap: VMIG_LIMIT_DEVICES, or the store's own. */
#define VMIG_LIMIT_OWNER_ROW       (64u << 10) /* bytes of a row of a file, whoever wrote it */
#define VMIG_LIMIT_OWNER_REPLY     (1u << 20)  /* bytes of an etcd's answer */
#define VMIG_LIMIT_OWNER_UNIT_ETCD 128u     /* devices of one transaction, as etcd has it (--max-txn-ops) */
#define VMIG_LIMIT_OWNER_LISTED    1000000u /* records that one listing shows */
#define VMIG_LIMIT_OWNER_ENDPOINTS 16u
#define VMIG_LIMIT_OWNER_PREFIX    256u  /* bytes before each key */
#define VMIG_LIMIT_OWNER_PASSWORD  4096u /* and of a token that etcd gives for it */

/* The data of memory (docs/stream.md): one batch. */
#define VMIG_LIMIT_MEMORY_RUNS  256u
#define VMIG_LIMIT_MEMORY_BATCH (1u << 20) /* bytes of pages */
/* Memory as a whole. */
#define VMIG_LIMIT_MEMORY_PAGES (1ull << 32) /* that are tracked: 512 MiB of bits */

/* Connections. */
#define VMIG_LIMIT_TLS_FILE        (64u << 10) /* a certificate's or key's file */
#define VMIG_LIMIT_TLS_HANDSHAKE   (64u << 10) /* one handshake message of a peer */
#define VMIG_LIMIT_TLS_CHAIN       8u          /* certificates of a peer */
#define VMIG_LIMIT_TLS_IDENTITY    128u        /* bytes of a pre-shared key's */
#define VMIG_LIMIT_ZSTD_WINDOW_LOG 20          /* of a peer that compresses: 1 MiB of memory */
#define VMIG_LIMIT_REPLAY          (8u << 20)  /* bytes of a session that are kept until the peer has them */
#define VMIG_LIMIT_HANDSHAKES      16u /* peers that may be at it at one time; one more ends the oldest */

/* Programs that are supervised (vmig/supervise.h). */
#define VMIG_LIMIT_SUPERVISE_THREADS 256u  /* calls that are answered at one time; more wait */
#define VMIG_LIMIT_SUPERVISED        1024u /* processes, looked through for open descriptors */
#define VMIG_LIMIT_SUPERVISE_COPY                                                                            \
	(32u << 20)                /* bytes of memory that a device only reads, copied to where it can */
#define VMIG_LIMIT_PROC_LINE 4608u /* of /proc/PID/maps: a path and its front */

/* A descriptor (its JSON: VMIG_DESCRIPTOR_MAX). */
#define VMIG_LIMIT_DESCRIPTOR_ENTRIES    4096u
#define VMIG_LIMIT_DESCRIPTOR_SELF       16u /* entries that say what the device is */
#define VMIG_LIMIT_DESCRIPTOR_ATTRIBUTES 64u
#define VMIG_LIMIT_DESCRIPTOR_SET        64u  /* values of one attribute */
#define VMIG_LIMIT_DESCRIPTOR_TEXT       256u /* bytes of a name, and of a value */

#endif
