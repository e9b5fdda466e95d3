/* SPDX-License-Identifier: BSD-3-Clause */
/** log-file - the library's messages in a file. */
#ifndef VMIG_TOOLS_LOG_FILE_H
#define VMIG_TOOLS_LOG_FILE_H

/** From now on, for good: all messages are appended to @path, each in one write. 0 or -errno. */
int log_file_open(const char *path);

#endif
