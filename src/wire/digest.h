/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * digest - XXH3-64 (seed 0) of bytes, in one go or piece by piece, and the chain that a device's records make.
 *
 * Against accidents, not against forgery: who can change the stream can change its digests too.
 */
#ifndef VMIG_WIRE_DIGEST_H
#define VMIG_WIRE_DIGEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/** Room for the state of xxhash; nobody looks inside. */
struct vmig_digest {
	_Alignas(64) unsigned char state[640];
};

void vmig_digest_start(struct vmig_digest *d);
void vmig_digest_add(struct vmig_digest *d, const void *data, size_t len);
uint64_t vmig_digest_value(const struct vmig_digest *d);

/** The digest of @len bytes, or of all pieces one after the other. */
uint64_t vmig_digest_of(const void *data, size_t len);
uint64_t vmig_digest_of_iov(const struct iovec *iov, int n);

/**
 * One link of a device's chain: the digest of (@before, @length, @payload) as three little-endian u64.
 * The chain starts at 0. So each byte is hashed once, and a record that is lost, doubled, moved or
 * cut in another way changes the end.
 */
uint64_t vmig_digest_chain(uint64_t before, uint64_t length, uint64_t payload);

#endif
