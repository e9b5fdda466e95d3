/* SPDX-License-Identifier: BSD-3-Clause */
#include "run-core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "models/fault.h"

struct core_device {
	struct vmig_device *dev;
	struct fault faults[RUN_FAULTS_MAX];
	uint32_t n_faults;
	uint8_t *fired; /* in shared memory */
};

struct run_core {
	struct run_shared *shared;
	struct vmig_kabi *kabi;
	uint32_t n;
	struct core_device devices[RUN_DEVICES_MAX];
};

static void on_call(void *opaque, const struct vmig_kabi_call *call)
{
	struct run_core *core = opaque;

	run_ring_put(&core->shared->ring, call);
}

static int check_fault(struct fault *fault, enum vmig_kabi_fault where, uint32_t from, uint32_t to,
		       uint64_t bytes)
{
	switch (where) {
	case VMIG_KABI_FAULT_ARC:
		return fault_check_arc(fault, from, to, NULL);
	case VMIG_KABI_FAULT_READ:
		return fault_check(fault, FAULT_READ, bytes, NULL);
	case VMIG_KABI_FAULT_WRITE:
		return fault_check(fault, FAULT_WRITE, bytes, NULL);
	case VMIG_KABI_FAULT_PRECOPY_INFO:
		return fault_check(fault, FAULT_PRECOPY_INFO, bytes, NULL);
	case VMIG_KABI_FAULT_RESET:
		return fault_check(fault, FAULT_RESET, bytes, NULL);
	case VMIG_KABI_FAULT_REPORT:
		return fault_check(fault, FAULT_REPORT, bytes, NULL);
	}
	return 0;
}

static int on_fault(void *opaque, enum vmig_kabi_fault where, uint32_t from, uint32_t to, uint64_t bytes)
{
	struct core_device *d = opaque;
	int r = 0;

	for (uint32_t i = 0; i < d->n_faults && !r; i++) {
		r = check_fault(&d->faults[i], where, from, to, bytes);
		if (__atomic_load_n(&d->faults[i].fired, __ATOMIC_RELAXED))
			__atomic_store_n(&d->fired[i], 1, __ATOMIC_RELAXED);
	}
	return r;
}

static void on_log(enum vmig_log_level level, const char *line, void *opaque)
{
	tool_warn("%s", line);
}

static int open_one(struct run_core *core, uint32_t i)
{
	const struct run_device_spec *spec = &core->shared->devices[i];
	struct core_device *d = &core->devices[i];
	const char *why;
	int r = tool_device_open(spec->spec, 0, &d->dev);

	if (r)
		return r;
	core->n = i + 1;
	d->fired = core->shared->fired[i];
	for (uint32_t f = 0; f < spec->n_faults && f < RUN_FAULTS_MAX; f++) {
		if (fault_parse(spec->faults[f], &d->faults[f], &why))
			return tool_fail(VMIG_BAD_INPUT, "--fault: '%s' %s", spec->faults[f], why);
		d->faults[f].fired = d->fired[f];
		d->n_faults = f + 1;
	}
	return 0;
}

static int show(struct run_core *core, bool own_mmap)
{
	struct vmig_kabi_device devices[RUN_DEVICES_MAX];
	struct vmig_kabi_config config = { .first_group = RUN_GROUP,
					   .n_devices = core->n,
					   .devices = devices,
					   .trace = on_call,
					   .opaque = core,
					   .trace_all = &core->shared->watched,
					   .own_mmap = own_mmap,
					   .digest = core->shared->digest };
	int r;

	for (uint32_t i = 0; i < core->n; i++)
		devices[i] = (struct vmig_kabi_device){ .dev = core->devices[i].dev,
							.status = &core->shared->status[i],
							.no_mmap = core->shared->no_mmap,
							.more_flags = core->shared->more_flags,
							.fault = core->devices[i].n_faults ? on_fault : NULL,
							.opaque = &core->devices[i] };
	r = vmig_kabi_new(&config, &core->kabi);
	return r ? tool_fail(VMIG_NOT_DONE, "the devices cannot be shown: %s", strerror(-r)) : 0;
}

int run_core_open(struct run_shared *shared, bool own_mmap, struct run_core **ret)
{
	struct run_core *core = calloc(1, sizeof(*core));
	int r = 0;

	if (!core)
		return tool_fail(VMIG_NOT_DONE, "%s", strerror(ENOMEM));
	vmig_log_set(VMIG_LOG_WARNING, on_log, NULL);
	core->shared = shared;
	for (uint32_t i = 0; i < shared->n_devices && i < RUN_DEVICES_MAX && !r; i++)
		r = open_one(core, i);
	r = r ? r : show(core, own_mmap);
	if (r)
		run_core_close(core);
	else
		*ret = core;
	return r;
}

struct vmig_kabi *run_core_kabi(const struct run_core *core)
{
	return core->kabi;
}

uint32_t run_core_dma_kinds(const struct run_core *core, uint32_t number)
{
	struct vmig_device_info info;

	vmig_device_query_info(core->devices[number].dev, &info);
	return info.dma_kinds;
}

void run_core_close(struct run_core *core)
{
	if (!core)
		return;
	vmig_kabi_free(core->kabi);
	for (uint32_t i = 0; i < core->n; i++)
		vmig_device_close(core->devices[i].dev);
	free(core);
}
