/* SPDX-License-Identifier: BSD-3-Clause */
/* A user of v1, as QEMU 7.2 is one: the migration region by pread, pwrite and mmap of the device's descriptor. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "models/nic.h"
#include "vmm.h"

#define PAGE     4096ull
#define BASE     0x40000000ull
#define STATE    0u
#define PENDING  8u
#define OFFSET   16u
#define SIZE     24u
#define RUNNING  VMIG_UAPI_DEVICE_STATE_V1_RUNNING
#define SAVING   VMIG_UAPI_DEVICE_STATE_V1_SAVING
#define RESUMING VMIG_UAPI_DEVICE_STATE_V1_RESUMING
#define V1_STATE (1u << 31) /* in the status */

/** One VMM with one device, and the region as it has found it. */
struct user {
	struct vmm vmm;
	int fd;
	uint64_t region, section_at, section_size;
	uint8_t *section; /* NULL: by pread and pwrite */
};

/* --- finding the region -------------------------------------------------------------------- */

struct region {
	struct vmig_uapi_region_info info;
	uint8_t rest[256];
};

static bool is_migration(const struct region *region)
{
	for (uint32_t at = region->info.cap_offset; at;) {
		struct vmig_uapi_region_info_cap_type type;

		memcpy(&type, (const uint8_t *)region + at, sizeof(type));
		if (type.header.id == VMIG_UAPI_REGION_INFO_CAP_TYPE && type.type == 3 && type.subtype == 1)
			return true;
		at = type.header.next;
	}
	return false;
}

/** QEMU: argsz of the struct, then as long as it was told to be. */
static void find_region(struct user *user, struct region *region)
{
	struct vmig_uapi_device_info info = { .argsz = 16 };

	ck_assert_int_eq(way_ioctl(&user->vmm.way, user->fd, VMIG_UAPI_DEVICE_GET_INFO, &info), 0);
	for (uint32_t i = 0; i < info.num_regions; i++) {
		memset(region, 0, sizeof(*region));
		region->info.argsz = sizeof(region->info);
		region->info.index = i;
		do {
			ck_assert_uint_le(region->info.argsz, sizeof(*region));
			ck_assert_int_eq(
				way_ioctl(&user->vmm.way, user->fd, VMIG_UAPI_DEVICE_GET_REGION_INFO, region),
				0);
		} while ((region->info.flags & VMIG_UAPI_REGION_INFO_FLAG_CAPS) && !region->info.cap_offset);
		if (is_migration(region))
			return;
	}
	ck_abort_msg("no migration region");
}

static void map_section(struct user *user, const struct region *region)
{
	struct vmig_uapi_region_info_cap_sparse_mmap sparse;
	struct vmig_uapi_region_sparse_mmap_area area;
	uint64_t where;
	int fd;

	memcpy(&sparse, (const uint8_t *)region + region->info.cap_offset, sizeof(sparse));
	ck_assert_uint_eq(sparse.header.id, VMIG_UAPI_REGION_INFO_CAP_SPARSE_MMAP);
	memcpy(&area, (const uint8_t *)region + region->info.cap_offset + sizeof(sparse), sizeof(area));
	ck_assert_int_eq(vmig_kabi_mmap(way_file(&user->vmm.way, user->fd), &user->vmm.way.task,
					region->info.offset + area.offset, area.size, PROT_READ | PROT_WRITE,
					&fd, &where),
			 0);
	user->section = mmap(NULL, area.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)where);
	ck_assert_ptr_ne(user->section, MAP_FAILED);
	user->section_at = area.offset;
	user->section_size = area.size;
}

static void open_user(struct user *user, const char *spec, bool maps)
{
	struct region region;

	memset(user, 0, sizeof(*user));
	vmm_init(&user->vmm, NULL, spec, NULL);
	vmm_open_container(&user->vmm);
	ck_assert_int_eq(vmm_map(&user->vmm, BASE, 0, VMM_MEMORY), 0);
	user->fd = user->vmm.fd[0];
	find_region(user, &region);
	user->region = region.info.offset;
	if (maps)
		map_section(user, &region);
}

static void close_user(struct user *user)
{
	if (user->section)
		munmap(user->section, user->section_size);
	vmm_done(&user->vmm);
}

/* --- registers ---------------------------------------------------------------------------- */

static uint64_t get(struct user *user, uint32_t reg, size_t len)
{
	uint64_t value = 0;

	ck_assert_int_eq(way_pread(&user->vmm.way, user->fd, &value, len, user->region + reg), (int64_t)len);
	return value;
}

static int64_t put(struct user *user, uint32_t reg, uint64_t value, size_t len)
{
	int64_t r = way_pwrite(&user->vmm.way, user->fd, &value, len, user->region + reg);

	return r == (int64_t)len ? 0 : r;
}

static void set_state(struct user *user, uint32_t state)
{
	ck_assert_int_eq(put(user, STATE, state, 4), 0);
	ck_assert_uint_eq(get(user, STATE, 4), state);
	ck_assert_uint_eq(user->vmm.status[0].state, V1_STATE | state);
}

static void section_read(struct user *user, uint64_t at, uint8_t *buf, size_t len)
{
	if (user->section)
		memcpy(buf, user->section + (at - user->section_at), len);
	else
		ck_assert_int_eq(way_pread(&user->vmm.way, user->fd, buf, len, user->region + at),
				 (int64_t)len);
}

static void section_write(struct user *user, uint64_t at, const uint8_t *buf, size_t len)
{
	if (user->section)
		memcpy(user->section + (at - user->section_at), buf, len);
	else
		ck_assert_int_eq(way_pwrite(&user->vmm.way, user->fd, buf, len, user->region + at),
				 (int64_t)len);
}

/* --- the two ends ------------------------------------------------------------------------- */

struct stream {
	uint8_t *data;
	size_t len, sizes[4096];
	int n;
};

/** {pending_bytes, data_offset, data_size, the data}* */
static void save(struct user *user, struct stream *s, int most)
{
	while (most-- && get(user, PENDING, 8)) {
		uint64_t at = get(user, OFFSET, 8), size = get(user, SIZE, 8);

		ck_assert_uint_gt(size, 0);
		ck_assert_int_lt(s->n, 4096);
		s->data = realloc(s->data, s->len + size);
		section_read(user, at, s->data + s->len, size);
		s->sizes[s->n++] = size;
		s->len += size;
	}
}

static void load(struct user *user, const struct stream *s)
{
	const uint8_t *at = s->data;

	for (int i = 0; i < s->n; at += s->sizes[i++]) {
		section_write(user, get(user, OFFSET, 8), at, s->sizes[i]);
		ck_assert_int_eq(put(user, SIZE, s->sizes[i], 8), 0);
	}
}

static int64_t dirty_pages(struct user *user, uint32_t flags, uint64_t *bitmap)
{
	struct {
		struct vmig_uapi_iommu_type1_dirty_bitmap head;
		struct vmig_uapi_iommu_type1_dirty_bitmap_get get;
	} args = {
		.head = { .argsz = sizeof(args), .flags = flags },
		.get = { .iova = BASE,
			 .size = VMM_MEMORY,
			 .bitmap = { PAGE, VMM_MEMORY / PAGE / 8, bitmap } },
	};

	return way_ioctl(&user->vmm.way, user->vmm.container, VMIG_UAPI_IOMMU_DIRTY_PAGES, &args);
}

static void check_bytes(struct user *user, uint64_t saved, uint64_t loaded)
{
	ck_assert_uint_eq(user->vmm.status[0].saved, saved);
	ck_assert_uint_eq(user->vmm.status[0].loaded, loaded);
}

static void migrate(bool maps)
{
	uint64_t bitmap[VMM_MEMORY / PAGE / 64], digest;
	static struct stream s;
	struct user from, to;

	s = (struct stream){ 0 };
	open_user(&from, "v1+nic,state=4M,dirty-rate=16M/s", maps);
	open_user(&to, "v1+nic,state=4M", maps);
	ck_assert_int_eq(dirty_pages(&from, VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_START, NULL), 0);
	ck_assert_int_eq(dirty_pages(&from, VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, bitmap), 0);
	set_state(&from, RUNNING | SAVING);
	save(&from, &s, 3);
	set_state(&from, SAVING);
	ck_assert_int_eq(dirty_pages(&from, VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, bitmap), 0);
	set_state(&from, SAVING); /* it does that */
	save(&from, &s, -1);
	set_state(&from, 0);
	digest = vmm_digest(&from.vmm, from.fd);
	ck_assert_int_eq(dirty_pages(&from, VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_STOP, NULL), 0);

	set_state(&to, RESUMING);
	load(&to, &s);
	set_state(&to, RUNNING);
	ck_assert_uint_eq(vmm_digest(&to.vmm, to.fd), digest);
	check_bytes(&from, s.len, 0);
	check_bytes(&to, 0, s.len);
	free(s.data);
	close_user(&from);
	close_user(&to);
}

TEST(qemu_7_moves_a_nic_by_its_region)
{
	migrate(false);
}

TEST(qemu_7_moves_a_nic_by_its_mapped_section)
{
	migrate(true);
}

TEST(a_device_of_v1_has_no_features_of_v2)
{
	struct vmig_uapi_device_feature_migration mig;
	struct user user;

	open_user(&user, "v1+nic,state=64K", false);
	ck_assert_int_eq(vmm_feature(&user.vmm, user.fd, VMIG_UAPI_DEVICE_FEATURE_GET | 1, &mig, sizeof(mig)),
			 -ENOTTY);
	ck_assert_int_eq(
		vmm_feature(&user.vmm, user.fd, VMIG_UAPI_DEVICE_FEATURE_PROBE | 1 << 17 | 6, NULL, 0),
		-ENOTTY);
	close_user(&user);
}

/* "Native width and alignment only": an access is judged as it was made, not in pieces that might pass. */
TEST(a_register_is_accessed_as_the_program_accesses_it)
{
	uint64_t value[4];
	struct user user;

	open_user(&user, "v1+nic,state=64K", false);
	ck_assert_int_eq(put(&user, STATE, RUNNING, 8), -EINVAL);
	ck_assert_int_eq(put(&user, STATE, RUNNING, 2), -EINVAL);
	ck_assert_int_eq(way_pread(&user.vmm.way, user.fd, value, 32, user.region), -EINVAL);
	ck_assert_int_eq(way_pread(&user.vmm.way, user.fd, value, 4, user.region + PENDING), -EINVAL);
	/* Two registers, each of which could be read. */
	ck_assert_int_eq(way_pread(&user.vmm.way, user.fd, value, 16, user.region + PENDING), -EINVAL);
	ck_assert_uint_eq(get(&user, STATE, 4), RUNNING);
	close_user(&user);
}

static int fail_saving(void *opaque, enum vmig_kabi_fault where, uint32_t from, uint32_t to, uint64_t bytes)
{
	return where == VMIG_KABI_FAULT_ARC && from == (V1_STATE | RUNNING) && to == (V1_STATE | SAVING)
		       ? -EIO
		       : 0;
}

TEST(transitions_are_noted_and_can_be_made_to_fail)
{
	const struct vmig_kabi_device device = { .fault = fail_saving };
	struct region region;
	struct user user = { .fd = -1 };

	vmm_init(&user.vmm, &(struct vmig_kabi_config){ .devices = &device }, "v1+nic,state=64K", NULL);
	vmm_open_container(&user.vmm);
	user.fd = user.vmm.fd[0];
	find_region(&user, &region);
	user.region = region.info.offset;
	ck_assert_uint_eq(user.vmm.status[0].state, V1_STATE | RUNNING);
	ck_assert_int_eq(put(&user, STATE, SAVING, 4), -EIO);
	ck_assert_uint_eq(get(&user, STATE, 4), RUNNING);
	ck_assert_uint_eq(user.vmm.status[0].state, V1_STATE | RUNNING);
	set_state(&user, RUNNING | SAVING);
	ck_assert_uint_eq(user.vmm.status[0].n_states, 2);
	ck_assert_uint_eq(user.vmm.status[0].states[0].state, V1_STATE | SAVING);
	ck_assert_int_eq(user.vmm.status[0].states[0].result, -EIO);
	ck_assert_int_eq(user.vmm.status[0].states[1].result, 0);
	ck_assert_int_eq(way_ioctl(&user.vmm.way, user.fd, VMIG_UAPI_DEVICE_RESET, NULL), 0);
	ck_assert_uint_eq(user.vmm.status[0].state, V1_STATE | RUNNING);
	ck_assert_uint_eq(get(&user, STATE, 4), RUNNING);
	close_user(&user);
}

/* data_size may be read again; what pending_bytes or another state says is that the data has been taken. */
TEST(a_transaction_is_counted_once)
{
	struct user user;
	uint64_t size;

	open_user(&user, "v1+nic,state=4M", false);
	set_state(&user, SAVING);
	ck_assert_uint_gt(get(&user, PENDING, 8), 0);
	get(&user, OFFSET, 8);
	size = get(&user, SIZE, 8);
	ck_assert_uint_eq(get(&user, SIZE, 8), size);
	check_bytes(&user, 0, 0);
	get(&user, PENDING, 8);
	check_bytes(&user, size, 0);
	get(&user, PENDING, 8);
	check_bytes(&user, size, 0);
	get(&user, OFFSET, 8);
	size += get(&user, SIZE, 8);
	set_state(&user, 0);
	check_bytes(&user, size, 0);
	/* When loading, data_size is what was written; what was refused does not count. */
	set_state(&user, RUNNING);
	set_state(&user, RESUMING);
	get(&user, SIZE, 8);
	ck_assert_int_eq(put(&user, SIZE, 1ull << 40, 8), -EINVAL);
	get(&user, PENDING, 8);
	check_bytes(&user, size, 0);
	close_user(&user);
}

static void count_call(void *opaque, const struct vmig_kabi_call *call)
{
	++*(int *)opaque;
}

/* Registers are always told. */
TEST(accesses_to_the_section_are_told_to_who_asks_for_all)
{
	uint32_t all = 0;
	int n = 0;
	const struct vmig_kabi_config config = { .trace = count_call, .opaque = &n, .trace_all = &all };
	struct region region;
	struct user user = { .fd = -1 };
	uint64_t value;

	vmm_init(&user.vmm, &config, "v1+nic,state=64K", NULL);
	vmm_open_container(&user.vmm);
	user.fd = user.vmm.fd[0];
	find_region(&user, &region);
	user.region = region.info.offset;
	n = 0;
	get(&user, PENDING, 8);
	get(&user, SIZE, 8);
	ck_assert_int_eq(n, 2);
	value = get(&user, OFFSET, 8);
	n = 0;
	for (uint32_t i = 0; i < 8; i++)
		get(&user, (uint32_t)value + 8 * i, 8);
	ck_assert_int_eq(n, 0);
	all = 1;
	get(&user, (uint32_t)value, 8);
	ck_assert_int_eq(n, 1);
	close_user(&user);
}

HARNESS("kernel-abi-v1", T(a_transaction_is_counted_once),
	T(accesses_to_the_section_are_told_to_who_asks_for_all), T(qemu_7_moves_a_nic_by_its_region),
	T(qemu_7_moves_a_nic_by_its_mapped_section), T(a_device_of_v1_has_no_features_of_v2),
	T(a_register_is_accessed_as_the_program_accesses_it),
	T(transitions_are_noted_and_can_be_made_to_fail))
