/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest-scratch PATH [VALUE [STATE]] : look into an mtty device between two commands, and prepare it. Sets the scratch
 * register to VALUE ("-": not), walks to STATE and leaves the device there; prints "RUNNING 0x5a".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/vmig.h>

#define BAR0    0u
#define SCRATCH 7u

static int run(struct vmig_device *dev, const char *value, const char *target)
{
	uint32_t state = VMIG_STATE_NONE;
	uint8_t scratch = 0;
	int r = 0;

	if (value && strcmp(value, "-")) {
		scratch = (uint8_t)strtoul(value, NULL, 0);
		r = vmig_device_region_write(dev, BAR0, SCRATCH, &scratch, 1);
	}
	if (!r && target)
		r = vmig_device_set_state(dev, vmig_state_from_name(target), VMIG_STATE_NONE, NULL);
	if (!r)
		r = vmig_device_region_read(dev, BAR0, SCRATCH, &scratch, 1);
	if (!r)
		r = vmig_device_query_state(dev, &state);
	if (!r)
		printf("%s 0x%02x\n", vmig_state_name(state), scratch);
	return r;
}

int main(int argc, char **argv)
{
	struct vmig_error error = { 0 };
	struct vmig_device *dev;
	int r;

	if (argc < 2)
		return 2;
	r = vmig_open_kernel(argv[1], &dev, &error);
	if (!r) {
		r = run(dev, argc > 2 ? argv[2] : NULL, argc > 3 ? argv[3] : NULL);
		vmig_device_query_error(dev, &error);
		vmig_device_close(dev);
	}
	if (r)
		printf("%s: %s\n", error.text, strerror(-r));
	return r ? 1 : 0;
}
