/* SPDX-License-Identifier: BSD-3-Clause */
/** All of libvmig. */
#ifndef VMIG_VMIG_H
#define VMIG_VMIG_H

#include <vmig/channel.h>
#include <vmig/compat.h>
#include <vmig/device.h>
#include <vmig/error.h>
#include <vmig/kernel_abi.h>
#include <vmig/log.h>
#include <vmig/memory.h>
#include <vmig/migrate.h>
#include <vmig/model.h>
#include <vmig/owner.h>
#include <vmig/plan.h>
#include <vmig/region.h>
#include <vmig/server.h>
#include <vmig/session.h>
#include <vmig/space.h>
#include <vmig/state.h>
#include <vmig/stream.h>
#include <vmig/supervise.h>
#include <vmig/user.h>
#include <vmig/uuid.h>
#include <vmig/version.h>

#endif
