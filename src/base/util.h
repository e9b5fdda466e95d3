/* SPDX-License-Identifier: BSD-3-Clause */
/** util - the cleanup vocabulary and small arithmetic. */
#ifndef VMIG_BASE_UTIL_H
#define VMIG_BASE_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))
#define MUST_USE      __attribute__((warn_unused_result))

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void vmig_freep(void *p)
{
	free(*(void **)p);
}

static inline void vmig_closep(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}

#define _autofree_  _cleanup_(vmig_freep)
#define _autoclose_ _cleanup_(vmig_closep)

/** Take a pointer out of the variable that would free it. */
#define steal_ptr(p)                                                                                         \
	({                                                                                                   \
		__typeof__(p) *_p = &(p);                                                                    \
		__typeof__(p) _v = *_p;                                                                      \
		*_p = NULL;                                                                                  \
		_v;                                                                                          \
	})

/** Take a descriptor out of the variable that would close it. */
static inline int steal_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

static inline bool is_pow2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/** False if a + b does not fit. */
static inline bool add_fits(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return !__builtin_add_overflow(a, b, &sum);
}

#endif
