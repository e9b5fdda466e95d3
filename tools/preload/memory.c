/* SPDX-License-Identifier: BSD-3-Clause */
/* /proc/self/maps says which file is where, /proc/self/fd has it open: a memfd has no other name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "preload.h"

struct mapping {
	uint64_t start, end, offset, ino;
	dev_t dev;
	bool shared, writable;
};

static bool parse(const char *line, struct mapping *ret)
{
	unsigned int major, minor;
	char flags[5];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &ret->start, &ret->end,
		   flags, &ret->offset, &major, &minor, &ret->ino) != 7)
		return false;
	ret->dev = makedev(major, minor);
	ret->writable = flags[1] == 'w';
	ret->shared = flags[3] == 's';
	return true;
}

/* Does @next go on where @all ends, in the same file? mprotect() and the like divide mappings. */
static bool continues(const struct mapping *all, const struct mapping *next)
{
	return next->start == all->end && next->ino == all->ino && next->dev == all->dev &&
	       next->offset == all->offset + (all->end - all->start) && next->shared;
}

static bool find_mapping(uint64_t addr, uint64_t len, struct mapping *ret)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	struct mapping next, all = { 0 };
	char *line = NULL;
	size_t room = 0;

	while (maps && getline(&line, &room, maps) > 0) {
		if (!parse(line, &next) || next.end <= addr)
			continue;
		if (!all.end && (next.start > addr || !next.shared || !next.ino))
			break;
		if (all.end && !continues(&all, &next))
			break;
		if (!all.end)
			all = next;
		all.end = next.end;
		if (all.end - addr >= len)
			break;
	}
	free(line);
	if (maps)
		fclose(maps);
	*ret = all;
	return all.end && all.end - addr >= len;
}

static int open_mapped(const struct mapping *m)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	struct stat st;
	int found = -1;

	while (dir && found < 0 && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || preload_is_ours(fd) || fstat(fd, &st))
			continue;
		if (st.st_ino == m->ino && st.st_dev == m->dev && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR)
			found = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Where the program has closed the file since: the kernel has it still, for who may ask. */
static int open_map_file(const struct mapping *m)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/map_files/%" PRIx64 "-%" PRIx64, m->start, m->end);
	return open(path, O_RDWR | O_CLOEXEC);
}

int preload_memory_file(uint64_t addr, uint64_t len, uint64_t *ret_offset)
{
	struct mapping m;
	int fd;

	if (!find_mapping(addr, len, &m))
		return -1;
	fd = open_mapped(&m);
	if (fd < 0)
		fd = open_map_file(&m);
	if (fd >= 0)
		*ret_offset = m.offset + (addr - m.start);
	return fd;
}
