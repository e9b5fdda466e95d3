/* SPDX-License-Identifier: BSD-3-Clause */
/** run-words - the words in braces in the command of `vmig run`. Pure. */
#ifndef VMIG_TOOLS_RUN_WORDS_H
#define VMIG_TOOLS_RUN_WORDS_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_WORD_MAX PATH_MAX

enum run_word { RUN_WORD_FOLDER, RUN_WORD_IOMMUFD, RUN_WORD_CDEV };

/** @text starts with '{'. How long the word is that stands there; 0: it is none of ours. */
size_t run_word_parse(const char *text, enum run_word *ret, uint32_t *ret_number);

/** What @kind, @number is to be; 0, or a negative errno that ends the replacing. */
typedef int run_word_fn(void *opaque, enum run_word kind, uint32_t number, char ret[RUN_WORD_MAX]);

/** A copy of @word with all of ours replaced. 0, -ENOMEM, or what @value says. */
int run_word_replace(const char *word, run_word_fn *value, void *opaque, char **ret);

#endif
