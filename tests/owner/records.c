/* SPDX-License-Identifier: BSD-3-Clause */
#include "records.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

struct vmig_uuid some_uuid(unsigned int number)
{
	struct vmig_uuid uuid = { { 0 } };

	memcpy(uuid.bytes, &number, sizeof(number));
	uuid.bytes[15] = 1;
	return uuid;
}

struct vmig_ownership some_record(unsigned int number)
{
	struct vmig_ownership r = {
		.device = some_uuid(number),
		.owner = "a",
		.epoch = 1,
		.phase = VMIG_OWNER_STABLE,
		.writer = some_uuid(902),
		.instance = some_uuid(901),
	};

	return r;
}

struct vmig_owner_actor some_actor(const char *me, const char *peer)
{
	struct vmig_owner_actor actor = {
		.me = me,
		.peer = peer,
		.attempt = some_uuid(900),
		.instance = some_uuid(901),
	};

	vmig_uuid_new(&actor.writer);
	return actor;
}

void make_folder(char ret[64])
{
	snprintf(ret, 64, "/tmp/vmig-test-owner.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(ret));
}

void remove_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	ck_assert_int_eq(rmdir(folder), 0);
}
