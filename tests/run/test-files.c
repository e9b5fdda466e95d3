/* SPDX-License-Identifier: BSD-3-Clause */
/* The preload library's table of descriptors, between threads: no file is gone while it is in use, none stays behind. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "harness.h"
#include "tools/preload/preload.h"

/* --- in place of the core: a file that counts ------------------------------------------------ */

struct vmig_kabi_file {
	atomic_uint refs, uses;
};

static atomic_uint n_freed, n_broken;

void vmig_kabi_file_ref(struct vmig_kabi_file *file)
{
	if (!atomic_fetch_add(&file->refs, 1))
		atomic_fetch_add(&n_broken, 1);
}

void vmig_kabi_file_unref(struct vmig_kabi_file *file)
{
	unsigned int before = atomic_fetch_sub(&file->refs, 1);

	if (before == 1) {
		atomic_fetch_add(&n_freed, 1);
		free(file);
	} else if (!before) {
		atomic_fetch_add(&n_broken, 1);
	}
}

void preload_enter(void)
{
}

void preload_leave(void)
{
}

struct vmig_kabi_file *preload_passed(int fd)
{
	return NULL;
}

static struct vmig_kabi_file *new_file(void)
{
	struct vmig_kabi_file *file = calloc(1, sizeof(*file));

	ck_assert_ptr_nonnull(file);
	file->refs = 1;
	return file;
}

/* --- one thread ------------------------------------------------------------------------------ */

#define FD 700

TEST(what_is_borrowed_outlives_its_descriptor)
{
	struct vmig_kabi_file *file = new_file(), *other = new_file();

	ck_assert_int_eq(preload_file_set(FD, file), 0);
	ck_assert_ptr_eq(preload_file_borrow(FD), file);
	ck_assert_ptr_eq(preload_file_borrow(FD), file);
	preload_file_return(FD, file);
	preload_file_drop(FD);
	ck_assert(!preload_is_ours(FD));
	ck_assert_uint_eq(n_freed, 0);
	ck_assert_int_eq(preload_file_set(FD, other), 0);
	preload_file_return(FD, file);
	ck_assert_uint_eq(n_freed, 1);
	ck_assert_ptr_eq(preload_file_borrow(FD), other);
	preload_file_return(FD, other);
	preload_file_drop(FD);
	ck_assert_uint_eq(n_freed, 2);
	ck_assert_uint_eq(n_broken, 0);
}

/* By dup2() over another and back. */
TEST(a_file_that_comes_back_to_its_descriptor_is_counted_right)
{
	struct vmig_kabi_file *file = new_file();

	ck_assert_int_eq(preload_file_set(FD, file), 0);
	ck_assert_ptr_eq(preload_file_borrow(FD), file);
	vmig_kabi_file_ref(file);
	preload_file_drop(FD);
	ck_assert_int_eq(preload_file_set(FD, file), 0);
	ck_assert_ptr_eq(preload_file_borrow(FD), file);
	preload_file_return(FD, file);
	preload_file_return(FD, file);
	ck_assert_uint_eq(n_freed, 0);
	preload_file_drop(FD);
	ck_assert_uint_eq(n_freed, 1);
	ck_assert_uint_eq(n_broken, 0);
}

/* --- threads --------------------------------------------------------------------------------- */

#define USERS  3
#define ROUNDS 20000u

static atomic_bool over;

static void *use(void *opaque)
{
	while (!over) {
		struct vmig_kabi_file *file = preload_file_borrow(FD), *own;

		if (file) {
			atomic_fetch_add(&file->uses, 1); /* ASan tells if it is gone */
			preload_file_return(FD, file);
		}
		own = preload_file_get(FD);
		if (own)
			vmig_kabi_file_unref(own);
	}
	return NULL;
}

TEST(threads_borrow_while_another_closes)
{
	pthread_t threads[USERS];

	for (int i = 0; i < USERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, use, NULL), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		ck_assert_int_eq(preload_file_set(FD, new_file()), 0);
		preload_file_drop(FD);
	}
	over = true;
	for (int i = 0; i < USERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(n_freed, ROUNDS);
	ck_assert_uint_eq(n_broken, 0);
}

HARNESS("preload-files", T(what_is_borrowed_outlives_its_descriptor),
	T(a_file_that_comes_back_to_its_descriptor_is_counted_right), T(threads_borrow_while_another_closes))
