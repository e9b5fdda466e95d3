/* SPDX-License-Identifier: BSD-3-Clause */
/** guest - a test program for a guest that has libc and little else. A check that fails says where, and the test goes on. */
#ifndef VMIG_TESTS_PEERS_GUEST_H
#define VMIG_TESTS_PEERS_GUEST_H

#include <stdbool.h>
#include <stdio.h>

struct guest_test {
	const char *name;
	void (*fn)(void);
};

extern unsigned int guest_failed_checks; /* defined by the program */

#define CHECK(expression)                                                                                    \
	({                                                                                                   \
		bool ok_ = (expression);                                                                     \
		if (!ok_) {                                                                                  \
			printf("# %s:%d: %s\n", __FILE_NAME__, __LINE__, #expression);                       \
			guest_failed_checks++;                                                               \
		}                                                                                            \
		ok_;                                                                                         \
	})

/** Compare two numbers, and say both. */
#define CHECK_INT(a, b)                                                                                      \
	({                                                                                                   \
		long long a_ = (long long)(a), b_ = (long long)(b);                                          \
		if (a_ != b_) {                                                                              \
			printf("# %s:%d: %s is %lld, not %lld\n", __FILE_NAME__, __LINE__, #a, a_, b_);      \
			guest_failed_checks++;                                                               \
		}                                                                                            \
		a_ == b_;                                                                                    \
	})

/** Run all; TAP without numbers: whoever collects the streams of several guests counts. Returns the exit status. */
static inline int guest_run(const char *prefix, const struct guest_test *tests, int n)
{
	bool failed = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < n; i++) {
		guest_failed_checks = 0;
		tests[i].fn();
		printf("%sok - %s.%s\n", guest_failed_checks ? "not " : "", prefix, tests[i].name);
		failed |= guest_failed_checks;
	}
	return failed;
}

#endif
