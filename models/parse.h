/* SPDX-License-Identifier: BSD-3-Clause */
/** parse - sizes, times and rates as people write them: the whole text is one, without blanks or sign. */
#ifndef MODELS_PARSE_H
#define MODELS_PARSE_H

#include <stdint.h>

/** "512", "64K", "16M", "1G", "2T": powers of 1024. -EINVAL: not a size; -ERANGE: too large. */
int parse_size(const char *text, uint64_t *ret);

/** "50ms", "10us", "7ns", "2s", "3m"; without a unit, seconds. Errors as parse_size(). */
int parse_time_ns(const char *text, uint64_t *ret);

/** A size a second: "64M/s" or "64M". Errors as parse_size(). */
int parse_rate(const char *text, uint64_t *ret);

/** The error of any of them in words that follow the text: "is too large", "is not a size like 64K or 1G". */
const char *parse_size_reason(int error);
const char *parse_time_reason(int error);
const char *parse_rate_reason(int error);

#endif
