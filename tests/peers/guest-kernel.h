/* SPDX-License-Identifier: BSD-3-Clause */
/** guest-kernel - what the files of this test program share. */
#ifndef VMIG_TESTS_PEERS_GUEST_KERNEL_H
#define VMIG_TESTS_PEERS_GUEST_KERNEL_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include <vmig/vmig.h>

#include "guest.h"

#define BAR0             0u
#define SCRATCH          7u /* of the UART's registers, the one that means nothing */
#define STATE_SIZE       60u
#define STATE_HEADER     24u /* the part that PRE_COPY gives */
#define STATE_SIZE_OTHER 96u

/* See guest-kernel.c. a and b are open on the first two. */
extern const char *path_a, *path_b, *path_other, *path_busy;
extern struct vmig_device *a, *b;

/** Both devices as after a reset. */
void fresh(void);
uint32_t state_of(struct vmig_device *dev);
/** Without recovery. */
int go(struct vmig_device *dev, uint32_t target, struct vmig_session **ret);
void set_scratch(struct vmig_device *dev, uint8_t v);
int scratch(struct vmig_device *dev);
ssize_t read_up_to(struct vmig_session *session, void *buf, size_t len);
int write_all(struct vmig_session *session, const void *buf, size_t len);
/** The whole state of @dev, which is left in STOP. */
size_t save(struct vmig_device *dev, uint8_t *buf, size_t room);
/** A loading session of @dev. */
struct vmig_session *resume(struct vmig_device *dev);
/** After anything that went wrong: does a reset make it a good destination again? */
void check_usable(struct vmig_device *dev, const uint8_t *state, size_t len, uint8_t expected);
/** The descriptors of this process; does an exec close all of them? */
int count_fds(bool *ret_all_cloexec);
/** A whole state with 0x33 in the scratch register. @buf has 256 bytes. */
void good_state(uint8_t *buf);
void reopen_b(void);

extern const struct guest_test tests_of_data[], tests_of_state[], tests_of_dma[];
extern const int n_tests_of_data, n_tests_of_state, n_tests_of_dma;

#define T(test) ((struct guest_test){ #test, test })
#define TESTS(table, ...)                                                                                    \
	const struct guest_test table[] = { __VA_ARGS__ };                                                   \
	const int n_##table = sizeof(table) / sizeof(table[0])

#endif
