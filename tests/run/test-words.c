/* SPDX-License-Identifier: BSD-3-Clause */
/* The words in braces, the names of runs, and what kind of program a file is. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "tools/vmig/run-folder.h"
#include "tools/vmig/run-program.h"
#include "tools/vmig/run-words.h"

static int value(void *opaque, enum run_word kind, uint32_t number, char ret[RUN_WORD_MAX])
{
	static const char *const kinds[] = { "folder", "iommufd", "cdev" };

	if (number > 99)
		return -ENODEV;
	snprintf(ret, RUN_WORD_MAX, "<%s %u>", kinds[kind], number);
	return 0;
}

static void becomes(const char *word, const char *want)
{
	char *got;

	ck_assert_int_eq(run_word_replace(word, value, NULL, &got), 0);
	ck_assert_str_eq(got, want);
	free(got);
}

TEST(ours_are_replaced)
{
	becomes("{}", "<folder 0>");
	becomes("a{}b", "a<folder 0>b");
	becomes("{1}{02}", "<folder 1><folder 2>");
	becomes("fd={iommufd},{cdev},{cdev12}", "fd=<iommufd 0>,<cdev 0>,<cdev 12>");
}

TEST(all_else_stays)
{
	static const char *const words[] = { "",     "plain",     "{",       "}",     "{ }",
					     "{x}",  "{\"a\":1}", "{iommu}", "{cdev", "{cdevx}",
					     "{-1}", "{12345}",   "{1 }",    "${x}",  "{iommufd0}" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		becomes(words[i], words[i]);
	becomes("{{}}", "{<folder 0>}");
}

TEST(a_device_that_is_not_there)
{
	char *got;

	ck_assert_int_eq(run_word_replace("x{100}", value, NULL, &got), -ENODEV);
}

TEST(names)
{
	char longest[RUN_NAME_MAX + 2];

	memset(longest, 'a', sizeof(longest));
	longest[RUN_NAME_MAX] = 0;
	ck_assert(run_name_is_good(longest));
	longest[RUN_NAME_MAX] = 'a';
	longest[RUN_NAME_MAX + 1] = 0;
	ck_assert(!run_name_is_good(longest));
	ck_assert(run_name_is_good("vm-1.A_b"));
	ck_assert(!run_name_is_good(""));
	ck_assert(!run_name_is_good("."));
	ck_assert(!run_name_is_good(".."));
	ck_assert(!run_name_is_good("a/b"));
	ck_assert(!run_name_is_good("a b"));
}

static enum run_program kind_of(const void *data, size_t len, mode_t mode)
{
	char path[] = "/tmp/vmig-program.XXXXXX";
	int fd = mkstemp(path);
	enum run_program kind;

	ck_assert(fd >= 0 && write(fd, data, len) == (ssize_t)len && !fchmod(fd, mode));
	close(fd);
	kind = run_program_kind(path);
	unlink(path);
	return kind;
}

TEST(kinds_of_programs)
{
	uint8_t elf[64] = "\177ELF\2\1\1";

	ck_assert_int_eq(run_program_kind("/bin/sh"), RUN_PROGRAM_DYNAMIC);
	ck_assert_int_eq(run_program_kind("/no/such"), RUN_PROGRAM_OTHER);
	ck_assert_int_eq(kind_of("#!/bin/sh\n", 10, 0700), RUN_PROGRAM_OTHER);
	ck_assert_int_eq(kind_of("", 0, 0700), RUN_PROGRAM_OTHER);
	ck_assert_int_eq(kind_of(elf, sizeof(elf), 0700), RUN_PROGRAM_FOREIGN);
	memset(elf + 7, 0xff, sizeof(elf) - 7); /* hostile numbers */
	ck_assert_int_eq(kind_of(elf, sizeof(elf), 0700), RUN_PROGRAM_FOREIGN);
	ck_assert_int_eq(
		kind_of("\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\3\0................................", 52, 0700),
		RUN_PROGRAM_FOREIGN);
}

TEST(programs_are_found_as_execvp_finds_them)
{
	char *path = run_program_find("sh");

	ck_assert_ptr_nonnull(path);
	ck_assert(path[0] == '/');
	free(path);
	ck_assert_ptr_null(run_program_find("no-such-program-at-all"));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_null(run_program_find("/etc/passwd"));
	ck_assert_int_eq(errno, EACCES);
	ck_assert_ptr_null(run_program_find(""));
}

HARNESS("run-words", T(ours_are_replaced), T(all_else_stays), T(a_device_that_is_not_there), T(names),
	T(kinds_of_programs), T(programs_are_found_as_execvp_finds_them))
