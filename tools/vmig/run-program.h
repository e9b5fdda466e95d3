/* SPDX-License-Identifier: BSD-3-Clause */
/** run-program - what kind of program a command is. */
#ifndef VMIG_TOOLS_RUN_PROGRAM_H
#define VMIG_TOOLS_RUN_PROGRAM_H

/** The file that execvp() would take for @name, on the heap. NULL: errno tells (ENOENT, EACCES, ENOMEM). */
char *run_program_find(const char *name);

enum run_program {
	RUN_PROGRAM_DYNAMIC, /* of this machine's kind, with a dynamic loader (or it is one) */
	RUN_PROGRAM_STATIC,
	RUN_PROGRAM_FOREIGN,    /* of another word size or machine */
	RUN_PROGRAM_PRIVILEGED, /* setuid, setgid: the loader takes nothing from the environment */
	RUN_PROGRAM_OTHER,      /* no ELF, as a script; or it cannot be read */
};

enum run_program run_program_kind(const char *path);

#endif
