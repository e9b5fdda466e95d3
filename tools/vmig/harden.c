/* SPDX-License-Identifier: BSD-3-Clause */
#include "harden.h"

#include <fcntl.h>
#include <libgen.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harden-calls.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

void harden_process(bool secrets)
{
	const struct rlimit none = { 0, 0 };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	if (secrets && !SANITIZED)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* --- files: Landlock ------------------------------------------------------------------------- */

#define FILE_RIGHTS                                                                                          \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | TRUNCATE)
#define READ_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_RIGHTS                                                                                         \
	(READ_RIGHTS | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |                         \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | TRUNCATE)
#define SOCKET_RIGHTS (LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define TRUNCATE      (1ull << 14) /* from the third version on */
/* All of the first version: what is not named here cannot be forbidden. */
#define ALL_RIGHTS ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static uint64_t rights_of(uint32_t access)
{
	return (access & HARDEN_READ ? READ_RIGHTS : 0) | (access & HARDEN_WRITE ? WRITE_RIGHTS : 0) |
	       (access & HARDEN_SOCKET ? SOCKET_RIGHTS : 0);
}

static int open_path(const struct harden_path *p)
{
	char *copy = strdup(p->path);
	int fd = copy ? open(p->folder ? dirname(copy) : copy, O_PATH | O_CLOEXEC) : -1;

	free(copy);
	return fd;
}

static void allow(int ruleset, const struct harden_path *p, uint64_t handled)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights_of(p->access) & handled };
	struct stat st;

	rule.parent_fd = p->path ? open_path(p) : -1;
	if (rule.parent_fd < 0)
		return;
	if (!fstat(rule.parent_fd, &st) && !S_ISDIR(st.st_mode))
		rule.allowed_access &= FILE_RIGHTS;
	syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
}

void harden_files(const struct harden_path *paths, int n)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = ALL_RIGHTS };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int ruleset;

	if (abi < 1 || SANITIZED)
		return;
	if (abi >= 3)
		attr.handled_access_fs |= TRUNCATE;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (ruleset < 0)
		return;
	for (int i = 0; i < n; i++)
		allow(ruleset, &paths[i], attr.handled_access_fs);
	syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
}

/* --- calls: seccomp ---------------------------------------------------------------------------- */

void harden_calls(enum harden_role role)
{
	if (!SANITIZED)
		harden_calls_install(role);
}
