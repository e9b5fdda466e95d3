/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RESUMING: the write of data_size says that so much lies in the section, and returns when the device
 * has taken it. By way of a room, so that each byte is copied once, and before the device looks at it:
 * the user may still be writing to what is mapped.
 */
#include "base/io.h"
#include "device/region.h"

static int put(struct vmig_v1 *v, const uint8_t *data, uint64_t len)
{
	int r = 0;

	while (len && !r) {
		struct iovec iov[VMIG_SESSION_IOV_MAX];
		ssize_t got;
		int n;

		got = vmig_session_room(v->session, len, iov, &n);
		if (got < 0)
			return (int)got;
		vmig_iov_from_buf(iov, n, data, (size_t)got);
		r = vmig_session_filled(v->session, (size_t)got);
		data += got;
		len -= (uint64_t)got;
	}
	return r ? r : vmig_session_flush(v->session);
}

int vmig_v1_write_data_size(struct vmig_v1 *v, uint64_t value, struct vmig_error *error)
{
	int r;

	if (vmig_v1_bits(v) != V1_RESUMING)
		return vmig_fault(error, -EINVAL, "data_size", "it can be written in _RESUMING only");
	if (value > v->config.section_size)
		return vmig_fault(error, -EINVAL, "data_size", "%llu bytes: the section has %llu",
				  (unsigned long long)value, (unsigned long long)v->config.section_size);
	if (v->load_error)
		return vmig_fault(error, v->load_error, "data_size",
				  "an earlier piece was refused: reset the device");
	if (!v->session)
		return vmig_fault(error, -EIO, "data_size", "loading has ended");
	r = put(v, v->section, value);
	if (r < 0) {
		v->load_error = r;
		return vmig_v1_passed(v, r, error);
	}
	v->loaded = value;
	return 0;
}
