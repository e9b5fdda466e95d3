/* SPDX-License-Identifier: BSD-3-Clause */
/** records - records and actors for tests, and a folder that goes with the test. */
#ifndef VMIG_TESTS_RECORDS_H
#define VMIG_TESTS_RECORDS_H

#include <vmig/owner.h>

/** Always the same one for @number (not 0). */
struct vmig_uuid some_uuid(unsigned int number);
/** "a" owns device @number, epoch 1, stable. */
struct vmig_ownership some_record(unsigned int number);
/** @me with a fresh writer; attempt and instance are some_uuid(900) and some_uuid(901). */
struct vmig_owner_actor some_actor(const char *me, const char *peer);

/** A new folder under /tmp; its name is in @ret. */
void make_folder(char ret[64]);
/** With the files in it (one level). */
void remove_folder(const char *folder);

#endif
