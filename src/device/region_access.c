/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An access to the region: "Field accesses from this structure are only supported at their native width
 * and alignment. Otherwise, the result is undefined and vendor drivers should return an error."
 */
#include <string.h>

#include "device/region.h"

struct field {
	uint32_t offset, size;
	const char *name;
};

static const struct field fields[] = {
	{ V1_DEVICE_STATE, 4, "device_state" },   { V1_RESERVED, 4, "reserved" },
	{ V1_PENDING_BYTES, 8, "pending_bytes" }, { V1_DATA_OFFSET, 8, "data_offset" },
	{ V1_DATA_SIZE, 8, "data_size" },
};

static const struct field *find_field(uint64_t offset, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].offset == offset && fields[i].size == len)
			return &fields[i];
	return NULL;
}

static bool in_section(const struct vmig_v1 *v, uint64_t offset, size_t len)
{
	return offset >= v->data_at && offset - v->data_at <= v->config.section_size &&
	       len <= v->config.section_size - (offset - v->data_at);
}

static int nothing_there(uint64_t offset, size_t len, struct vmig_error *error)
{
	return vmig_fault(
		error, -EINVAL, "migration region",
		"%zu bytes at %#llx are neither a field of its own width nor within the data section", len,
		(unsigned long long)offset);
}

/** The failure on purpose. Without the lock: it may block. */
static int inject(struct vmig_v1 *v, const struct field *field, bool is_write, uint64_t value,
		  struct vmig_error *error)
{
	int r = v->config.fault ? v->config.fault(v->config.opaque, field->offset, is_write, value) : 0;

	return r < 0 ? vmig_fault(error, r, field->name, "a failure on purpose") : 0;
}

/* --- registers ---------------------------------------------------------------------------- */

static int read_field(struct vmig_v1 *v, uint32_t offset, uint64_t *ret, struct vmig_error *error)
{
	*ret = 0;
	if (offset == V1_DEVICE_STATE)
		*ret = v->state;
	if (offset == V1_DEVICE_STATE || offset == V1_RESERVED)
		return 0;
	if (VMIG_UAPI_DEVICE_STATE_IS_ERROR(v->state))
		return vmig_fault(error, -EIO, "migration region",
				  "the device is in the error state: only a reset leads out");
	if (offset == V1_PENDING_BYTES)
		return vmig_v1_read_pending(v, ret, error);
	return offset == V1_DATA_OFFSET ? vmig_v1_read_data_offset(v, ret, error)
					: vmig_v1_read_data_size(v, ret, error);
}

static int write_field(struct vmig_v1 *v, uint32_t offset, uint64_t value, struct vmig_error *error)
{
	if (offset == V1_DEVICE_STATE)
		return vmig_v1_write_state(v, (uint32_t)value, error);
	if (offset == V1_DATA_SIZE)
		return vmig_v1_write_data_size(v, value, error);
	return 0; /* reserved, or read only: "writes are ignored" */
}

static int read_register(struct vmig_v1 *v, const struct field *field, void *buf, struct vmig_error *error)
{
	uint64_t value;
	int r = inject(v, field, false, 0, error);

	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	r = read_field(v, field->offset, &value, error);
	pthread_mutex_unlock(&v->lock);
	if (r < 0)
		return r;
	if (field->size == 4)
		memcpy(buf, &(uint32_t){ (uint32_t)value }, 4);
	else
		memcpy(buf, &value, 8);
	return 0;
}

static int write_register(struct vmig_v1 *v, const struct field *field, const void *buf,
			  struct vmig_error *error)
{
	uint64_t value = 0;
	uint32_t half;
	int r;

	memcpy(field->size == 4 ? (void *)&half : &value, buf, field->size);
	if (field->size == 4)
		value = half;
	r = inject(v, field, true, value, error);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	r = write_field(v, field->offset, value, error);
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* --- both --------------------------------------------------------------------------------- */

int vmig_v1_read(struct vmig_v1 *v, uint64_t offset, void *buf, size_t len, struct vmig_error *error)
{
	const struct field *field = find_field(offset, len);

	if (field)
		return read_register(v, field, buf, error);
	if (!in_section(v, offset, len))
		return nothing_there(offset, len, error);
	pthread_mutex_lock(&v->lock);
	memcpy(buf, v->section + (offset - v->data_at), len);
	pthread_mutex_unlock(&v->lock);
	return 0;
}

int vmig_v1_write(struct vmig_v1 *v, uint64_t offset, const void *buf, size_t len, struct vmig_error *error)
{
	const struct field *field = find_field(offset, len);
	bool loads;

	if (field)
		return write_register(v, field, buf, error);
	if (!in_section(v, offset, len))
		return nothing_there(offset, len, error);
	pthread_mutex_lock(&v->lock);
	loads = vmig_v1_bits(v) == V1_RESUMING;
	if (loads)
		memcpy(v->section + (offset - v->data_at), buf, len);
	pthread_mutex_unlock(&v->lock);
	return loads ? 0
		     : vmig_fault(error, -EINVAL, "migration region",
				  "the data section can be written in _RESUMING only");
}
