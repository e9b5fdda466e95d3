/* SPDX-License-Identifier: BSD-3-Clause */
/* replay FOLDER: run a fuzz target over every file of its corpus. TAP; a crash is on the file after the last line. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* In memory of exactly its size, so that a sanitizer sees a step over the end. */
static void run(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *bytes;
	size_t len;

	if (!f || fstat(fileno(f), &st)) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		exit(1);
	}
	len = (size_t)st.st_size;
	bytes = malloc(len ? len : 1);
	MUST(bytes && fread(bytes, 1, len, f) == len);
	fclose(f);
	LLVMFuzzerTestOneInput(bytes, len);
	free(bytes);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	struct dirent **files;
	int n = argc == 2 ? scandir(argv[1], &files, visible, alphasort) : -1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (n <= 0) {
		printf("Bail out! no corpus in %s\n", argc == 2 ? argv[1] : "(usage: replay FOLDER)");
		return 1;
	}
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", argv[1], files[i]->d_name);
		run(path);
		printf("ok %d - %s\n", i + 1, files[i]->d_name);
		free(files[i]);
	}
	free(files);
	return 0;
}
