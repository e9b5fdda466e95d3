/* SPDX-License-Identifier: BSD-3-Clause */
#include "run-program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define HEADERS_MAX 64

static bool can_run(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return false;
	if (S_ISREG(st.st_mode) && !access(path, X_OK))
		return true;
	errno = EACCES;
	return false;
}

char *run_program_find(const char *name)
{
	const char *path = getenv("PATH"), *end;
	char full[PATH_MAX];
	int best = ENOENT;

	if (strchr(name, '/'))
		return can_run(name) ? strdup(name) : NULL;
	for (path = path ? path : "/bin:/usr/bin";; path = end + 1) {
		end = strchrnul(path, ':');
		if (*name && snprintf(full, sizeof(full), "%.*s%s%s", (int)(end - path), path,
				      end == path ? "" : "/", name) < (int)sizeof(full)) {
			if (can_run(full))
				return strdup(full);
			best = errno == EACCES ? EACCES : best;
		}
		if (!*end)
			break;
	}
	errno = best;
	return NULL;
}

/* The loader itself has no interpreter, but does what one does: ld.so --library-path ... PROGRAM. */
static bool is_loader(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return !strncmp(name, "ld-linux", 8) || !strncmp(name, "ld-2.", 5) || !strcmp(name, "ld.so");
}

static enum run_program elf_kind(int fd, const char *path)
{
	Elf64_Ehdr header, own;
	Elf64_Phdr segments[HEADERS_MAX];
	ssize_t n = pread(fd, &header, sizeof(header), 0);
	int own_fd;

	if (n < (ssize_t)sizeof(Elf32_Ehdr) || memcmp(header.e_ident, ELFMAG, SELFMAG))
		return RUN_PROGRAM_OTHER;
	own_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (own_fd >= 0) {
		n = pread(own_fd, &own, sizeof(own), 0);
		close(own_fd);
		if (n == sizeof(own) &&
		    (header.e_ident[EI_CLASS] != own.e_ident[EI_CLASS] || header.e_machine != own.e_machine))
			return RUN_PROGRAM_FOREIGN;
	}
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(segments[0]))
		return RUN_PROGRAM_OTHER;
	n = header.e_phnum < HEADERS_MAX ? header.e_phnum : HEADERS_MAX;
	if (pread(fd, segments, (size_t)n * sizeof(segments[0]), (off_t)header.e_phoff) !=
	    n * (ssize_t)sizeof(segments[0]))
		return RUN_PROGRAM_OTHER;
	for (ssize_t i = 0; i < n; i++)
		if (segments[i].p_type == PT_INTERP)
			return RUN_PROGRAM_DYNAMIC;
	return is_loader(path) ? RUN_PROGRAM_DYNAMIC : RUN_PROGRAM_STATIC;
}

enum run_program run_program_kind(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum run_program kind = RUN_PROGRAM_OTHER;
	struct stat st;

	if (fd < 0)
		return stat(path, &st) || !(st.st_mode & (S_ISUID | S_ISGID)) ? RUN_PROGRAM_OTHER
									      : RUN_PROGRAM_PRIVILEGED;
	if (fstat(fd, &st))
		kind = RUN_PROGRAM_OTHER;
	else if ((st.st_mode & S_ISUID && st.st_uid != geteuid()) ||
		 (st.st_mode & S_ISGID && st.st_gid != getegid()) ||
		 (geteuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0))
		kind = RUN_PROGRAM_PRIVILEGED;
	else
		kind = elf_kind(fd, path);
	close(fd);
	return kind;
}
