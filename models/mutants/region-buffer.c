/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of the data that go through the migration region of v1. */
#include <sys/mman.h>
#include <unistd.h>

#include "region.h"

int mutant_v1_read(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	return vmig_device_region_read(m->inner, m->region.good.index, offset, buf, len);
}

int mutant_v1_write(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	return vmig_device_region_write(m->inner, m->region.good.index, offset, buf, len);
}

uint32_t mutant_v1_state(struct mutant *m)
{
	uint32_t state = V1_ERROR;

	(void)mutant_v1_read(m, V1_DEVICE_STATE, &state, sizeof(state));
	return state & V1_BITS;
}

int mutant_v1_go(struct mutant *m, uint32_t state)
{
	return mutant_v1_write(m, V1_DEVICE_STATE, &state, sizeof(state));
}

/* A register of 8 bytes, of which @r has come. */
static uint64_t *of_register(uint64_t offset, uint64_t at, void *buf, size_t len, int r)
{
	return !r && offset == at && len == sizeof(uint64_t) ? buf : NULL;
}

/* --- data_offset ---------------------------------------------------------------------------------- */

static int no_offset_in_stop(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	int r = mutant_v1_read(m, offset, buf, len);
	uint64_t *value = of_register(offset, V1_DATA_OFFSET, buf, len, r);

	if (value && mutant_v1_state(m) == V1_STOP)
		*value = 0;
	return r;
}

#define ODD 8

static void odd_size(struct mutant *m, struct vmig_region *region)
{
	region->size += 4096;
}

static int odd_offset(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	int r = mutant_v1_read(m, offset, buf, len);
	uint64_t *value = of_register(offset, V1_DATA_OFFSET, buf, len, r);

	if (value && mutant_v1_state(m) == V1_RESUMING)
		*value += ODD;
	return r;
}

static int odd_write(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	return mutant_v1_write(m, offset >= V1_REGISTERS + ODD ? offset - ODD : offset, buf, len);
}

/* --- pending_bytes -------------------------------------------------------------------------------- */

/* Once after the end; @live: was it entered from pre-copy? */
static int more_after_the_end(struct mutant *m, uint64_t offset, void *buf, size_t len, bool live)
{
	int r = mutant_v1_read(m, offset, buf, len);
	uint64_t *value = of_register(offset, V1_PENDING_BYTES, buf, len, r);

	if (value && !*value && mutant_v1_state(m) == V1_SAVING && m->region.flag == live &&
	    m->region.n_reads++ == 1)
		*value = 8;
	return r;
}

static int more_after_stop_and_copy(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	return more_after_the_end(m, offset, buf, len, false);
}

static int more_after_pre_copy(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	return more_after_the_end(m, offset, buf, len, true);
}

static int notes_way(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	if (offset == V1_DEVICE_STATE) {
		m->region.flag = mutant_v1_state(m) == V1_PRE_COPY;
		m->region.n_reads = 0;
	}
	return mutant_v1_write(m, offset, buf, len);
}

static int wants_all(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	uint64_t pending = 0, ignored;

	if (mutant_v1_asked(offset, buf, len) != V1_STOP || mutant_v1_state(m) != V1_SAVING)
		return mutant_v1_write(m, offset, buf, len);
	(void)mutant_v1_read(m, V1_PENDING_BYTES, &ignored, sizeof(ignored));
	(void)mutant_v1_read(m, V1_PENDING_BYTES, &pending, sizeof(pending));
	return pending ? -EBUSY : mutant_v1_write(m, offset, buf, len);
}

static int pending_shrinks(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	int r = mutant_v1_read(m, offset, buf, len);
	uint64_t *value = of_register(offset, V1_PENDING_BYTES, buf, len, r);

	m->region.n_reads = value ? m->region.n_reads + 1 : 0;
	if (value && *value > m->region.n_reads)
		*value -= m->region.n_reads - 1;
	return r;
}

static int pending_is_one(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	int r = mutant_v1_read(m, offset, buf, len);
	uint64_t *value = of_register(offset, V1_PENDING_BYTES, buf, len, r);

	if (value && *value)
		*value = 1;
	return r;
}

/* --- the current buffer --------------------------------------------------------------------------- */

static int size_shrinks(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	int r = mutant_v1_read(m, offset, buf, len);
	uint64_t *value = of_register(offset, V1_DATA_SIZE, buf, len, r);

	if (offset == V1_PENDING_BYTES)
		m->region.n_reads = 0;
	if (value && m->region.n_reads++)
		*value /= 2;
	return r;
}

/* Those that are read whole, a second time. */
static int data_go(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	int r = mutant_v1_read(m, offset, buf, len);

	if (offset == V1_PENDING_BYTES)
		m->region.n_reads = 0;
	if (!r && offset >= V1_REGISTERS && len > 8 && m->region.n_reads++)
		memset(buf, 0xdb, len);
	return r;
}

static int no_pieces(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	return offset >= V1_REGISTERS && len <= 8 ? -EINVAL : mutant_v1_read(m, offset, buf, len);
}

static int pre_copy_is_lost(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	int r = mutant_v1_read(m, offset, buf, len);

	if (!r && offset >= V1_REGISTERS && mutant_v1_state(m) == V1_PRE_COPY)
		memset(buf, 0xdb, len);
	return r;
}

static void other_file(struct mutant *m)
{
	const struct vmig_region *region = &m->region.good;

	m->region.fd = memfd_create("mutant", MFD_CLOEXEC);
	if (m->region.fd >= 0 && ftruncate(m->region.fd, (off_t)(region->fd_offset + region->size)))
		vmig_closep(&m->region.fd);
}

static void maps_other_file(struct mutant *m, struct vmig_region *region)
{
	if (region->fd >= 0)
		region->fd = m->region.fd;
}

/* --- loading -------------------------------------------------------------------------------------- */

static int notes_load(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	m->loaded |= offset == V1_DATA_SIZE;
	return mutant_v1_write(m, offset, buf, len);
}

static int does_not_run_again(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	if (m->loaded && mutant_v1_asked(offset, buf, len) == V1_RUNNING && mutant_v1_state(m) == V1_RESUMING)
		return -EIO;
	return notes_load(m, offset, buf, len);
}

/* Something that is saved, though nobody has touched the device. */
static int changes_when_restored(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	const uint64_t base = 4096;

	if (m->loaded && mutant_v1_asked(offset, buf, len) == V1_SAVING)
		(void)vmig_device_region_write(m->inner, 0, 0x1000, &base, sizeof(base));
	return notes_load(m, offset, buf, len);
}

/* The good device hears of data when the next ones are begun, or the load ends. */
static int tell_late(struct mutant *m)
{
	uint64_t size = m->region.late;

	m->region.late = 0;
	return size ? mutant_v1_write(m, V1_DATA_SIZE, &size, sizeof(size)) : 0;
}

static int consumes_late_read(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	int r = offset == V1_DATA_OFFSET ? tell_late(m) : 0;

	return r ? r : mutant_v1_read(m, offset, buf, len);
}

static int consumes_late_write(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	int r = offset == V1_DEVICE_STATE ? tell_late(m) : 0;

	if (r || offset != V1_DATA_SIZE || len != sizeof(m->region.late))
		return r ? r : mutant_v1_write(m, offset, buf, len);
	memcpy(&m->region.late, buf, len);
	return 0;
}

/* What begins like nothing that it saves is taken, and thrown away. */
static int takes_anything(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	if (offset >= V1_REGISTERS && *(const uint8_t *)buf == 0xa5)
		m->region.flag = true;
	if (!m->region.flag || offset >= V1_REGISTERS)
		return mutant_v1_write(m, offset, buf, len);
	if (offset == V1_DATA_SIZE)
		return 0;
	m->region.flag = false;
	return vmig_device_reset(m->inner);
}

static int takes_a_part(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	bool runs = mutant_v1_asked(offset, buf, len) == V1_RUNNING && mutant_v1_state(m) == V1_RESUMING;
	int r = mutant_v1_write(m, offset, buf, len);

	m->region.flag |= r && offset == V1_DATA_SIZE; /* that it has refused itself */
	if (!r || !runs || m->region.flag)
		return r;
	return vmig_device_reset(m->inner);
}

static int takes_any_order(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	if (offset >= V1_REGISTERS)
		m->region.other = *(const uint8_t *)buf == 0xa5; /* that is foreign, not in another order */
	if (offset == V1_DEVICE_STATE && m->region.flag) {
		m->region.flag = false;
		return vmig_device_reset(m->inner);
	}
	if (offset != V1_DATA_SIZE || len != 8 || m->region.other)
		return mutant_v1_write(m, offset, buf, len);
	m->region.flag |= mutant_v1_write(m, offset, buf, len) != 0;
	return 0;
}

static int loads_nothing(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	if (offset == V1_DATA_SIZE && len == 8)
		return 0;
	if (mutant_v1_asked(offset, buf, len) == V1_RUNNING && mutant_v1_state(m) == V1_RESUMING)
		return vmig_device_reset(m->inner);
	return mutant_v1_write(m, offset, buf, len);
}

static unsigned int n_open;

static void one_more(struct mutant *m)
{
	m->region.other = n_open++ > 0;
}

static void one_less(struct mutant *m)
{
	n_open--;
}

static int not_beside_another(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	return offset == V1_DATA_SIZE && m->region.other ? -EINVAL : mutant_v1_write(m, offset, buf, len);
}

/* device_state is told as @region.offset, once: after a failure. */
static int tells_failure_read(struct mutant *m, uint64_t offset, void *buf, size_t len)
{
	int r = mutant_v1_read(m, offset, buf, len);

	if (!r && offset == V1_DEVICE_STATE && len == 4 && m->region.other)
		memcpy(buf, &(uint32_t){ V1_SAVING }, 4);
	return r;
}

static int tells_failure_write(struct mutant *m, uint64_t offset, const void *buf, size_t len)
{
	int r = mutant_v1_write(m, offset, buf, len);

	m->region.other = r && offset == V1_DATA_SIZE;
	return r;
}

static int reset_fails_after_failure(struct mutant *m)
{
	int r = m->region.other ? -EIO : 0;

	m->region.other = false;
	return r;
}

static int tells_failed(struct mutant *m)
{
	m->region.other = false;
	return 0;
}

const struct mutant_rule mutant_buffer_rules[] = {
	{ "v1-no-offset-in-stop", .v1_read = no_offset_in_stop },
	{ "v1-odd-offset", .v1_region = odd_size, .v1_read = odd_offset, .v1_write = odd_write },
	{ "v1-more-after-the-end", .v1_read = more_after_stop_and_copy, .v1_write = notes_way },
	{ "v1-more-after-pre-copy", .v1_read = more_after_pre_copy, .v1_write = notes_way },
	{ "v1-wants-all-taken", .v1_write = wants_all },
	{ "v1-pending-shrinks", .v1_read = pending_shrinks },
	{ "v1-pending-is-one", .v1_read = pending_is_one },
	{ "v1-size-shrinks", .v1_read = size_shrinks },
	{ "v1-data-go", .v1_read = data_go },
	{ "v1-no-pieces", .v1_read = no_pieces },
	{ "v1-pre-copy-is-lost", .v1_read = pre_copy_is_lost },
	{ "v1-maps-other-file", .open = other_file, .v1_region = maps_other_file },
	{ "v1-does-not-run-again", .v1_write = does_not_run_again },
	{ "v1-changes-when-restored", .v1_write = changes_when_restored },
	{ "v1-consumes-late", .v1_read = consumes_late_read, .v1_write = consumes_late_write },
	{ "v1-takes-anything", .v1_write = takes_anything },
	{ "v1-takes-a-part", .v1_write = takes_a_part },
	{ "v1-takes-any-order", .v1_write = takes_any_order },
	{ "v1-loads-nothing", .v1_write = loads_nothing },
	{ "v1-not-beside-another", .open = one_more, .close = one_less, .v1_write = not_beside_another },
	{ "v1-wrong-state-after-failure", .v1_read = tells_failure_read, .v1_write = tells_failure_write,
	  .reset = tells_failed },
	{ "v1-failure-stays", .v1_write = tells_failure_write, .reset = reset_fails_after_failure },
	{ NULL },
};
