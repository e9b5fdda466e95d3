/* SPDX-License-Identifier: BSD-3-Clause */
/** run-core - the devices of a run and the core over them, in whichever process has them. */
#ifndef VMIG_TOOLS_RUN_CORE_H
#define VMIG_TOOLS_RUN_CORE_H

#include "run-shared.h"

struct run_core;

/**
 * Open the devices that @shared names and show them: status and ring of @shared are theirs from now on.
 * @own_mmap: see struct vmig_kabi_config. @shared must outlive it. 0, or an exit status: it has been said.
 */
int run_core_open(struct run_shared *shared, bool own_mmap, struct run_core **ret);
struct vmig_kabi *run_core_kabi(const struct run_core *core);
/** What the device takes: VMIG_DMA_KIND_*. */
uint32_t run_core_dma_kinds(const struct run_core *core, uint32_t number);
/** No file may be open any more. NULL is allowed. */
void run_core_close(struct run_core *core);

#endif
