/* SPDX-License-Identifier: BSD-3-Clause */
/* What the command line asks for, checked as far as that is possible without the devices. */
#include <errno.h>
#include <string.h>

#include "device.h"
#include "models/fault.h"
#include "run.h"

/* "nic,state=1G" is a model, as for `vmig serve`; anything with a colon before a comma is a DEVICE as elsewhere. */
static int copy_spec(const char *word, struct run_device_spec *ret)
{
	const char *prefix = strcspn(word, ":") < strcspn(word, ",=") ? "" : "model:";
	int n = snprintf(ret->spec, sizeof(ret->spec), "%s%s", prefix, word);

	if (n < 0 || (size_t)n >= sizeof(ret->spec))
		return tool_fail(VMIG_BAD_INPUT, "a DEVICE is longer than %u bytes", RUN_SPEC_MAX - 1);
	if (!tool_device_is(ret->spec))
		return tool_fail(VMIG_BAD_INPUT,
				 "'%s' is not a DEVICE: write nic, model:NAME, vfio-user:PATH or vfio:PATH",
				 word);
	return 0;
}

static int add_fault(const char *text, struct run_device_spec *device)
{
	struct fault fault;
	const char *why;

	if (fault_parse(text, &fault, &why))
		return tool_fail(VMIG_BAD_INPUT, "--fault: '%s' %s", text, why);
	if (fault.where == FAULT_LOAD || fault.where == FAULT_RULE || fault.to_error)
		return tool_fail(VMIG_BAD_INPUT,
				 "--fault: '%s' is for the device itself: give the model fault=%s", text,
				 text);
	if (strlen(text) >= RUN_FAULT_MAX || device->n_faults == RUN_FAULTS_MAX)
		return tool_fail(VMIG_BAD_INPUT, "--fault: at most %u for a device, each at most %u bytes",
				 RUN_FAULTS_MAX, RUN_FAULT_MAX - 1);
	strcpy(device->faults[device->n_faults++], text);
	return 0;
}

static int add_faults(const struct tool_options *o, struct run_shared *shared)
{
	int r = 0;

	for (int i = 0; i < o->n_faults && !r; i++) {
		uint32_t first = 0, end = shared->n_devices;

		if (o->faults[i].n_before) {
			first = (uint32_t)o->faults[i].n_before - 1;
			end = first + 1;
		}
		for (uint32_t d = first; d < end && !r; d++)
			r = add_fault(o->faults[i].text, &shared->devices[d]);
	}
	return r;
}

int run_plan(struct run *run)
{
	const struct tool_options *o = run->o;
	int n = o->n_before_command, r = 0;

	if (n > (int)RUN_DEVICES_MAX)
		return tool_fail(VMIG_BAD_INPUT, "%d devices: at most %u", n, RUN_DEVICES_MAX);
	run->shared->n_devices = (uint32_t)n;
	run->shared->no_mmap = o->no_mmap;
	run->shared->digest = run->watch != NULL;
	run->shared->more_flags = run->watch ? run->watch->more_flags : 0;
	for (int i = 0; i < n && !r; i++) {
		r = copy_spec(o->words[i], &run->shared->devices[i]);
		r = r ? r : tool_device_check(run->shared->devices[i].spec);
	}
	return r ? r : add_faults(o, run->shared);
}
