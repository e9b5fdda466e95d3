/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * migrate - all that a VMM says to libvmig: the devices and the memory as one unit, when its guest stands still, what is its
 * own to carry (PCI configuration, interrupts, the vCPUs; here the guest's counters), and that the guest runs again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay.h"
#include "vmm.h"

#define CONFIG_SIZE 256u

/* What is the VMM's of one device. Its irq wiring is the same everywhere, so that it is armed says it all. */
struct record {
	uint8_t config[CONFIG_SIZE];
	uint64_t armed;
	struct guest guest;
};

/* --- callbacks ----------------------------------------------------------------------------- */

static int quiesce(void *opaque)
{
	guest_pause(opaque);
	return 0;
}

static void resume(void *opaque)
{
	guest_start(opaque);
}

static int save_record(void *opaque, uint32_t device, void **ret, size_t *ret_len)
{
	struct vmm *vmm = opaque;
	struct record *record;
	int r;

	if (device >= VMM_DEVICES)
		return 0; /* the memory */
	record = calloc(1, sizeof(*record));
	if (!record)
		return -ENOMEM;
	r = vmig_device_region_read(vmm->devices[device], VMIG_REGION_PCI_CONFIG, 0, record->config,
				    CONFIG_SIZE);
	record->armed = device == VMM_SECOND;
	record->guest = vmm->guest;
	*ret = record;
	*ret_len = sizeof(*record);
	return r;
}

/* The device stands in STOP with its state loaded. What can fail is done here: after this the guest runs. */
static int load_record(void *opaque, uint32_t device, const void *bytes, size_t len)
{
	struct vmm *vmm = opaque;
	struct record record;
	int r = 0;

	if (device >= VMM_DEVICES || len != sizeof(record))
		return device >= VMM_DEVICES && !len ? 0 : -EBADMSG;
	memcpy(&record, bytes, sizeof(record));
	if (record.armed)
		r = vmm_arm(vmm, device);
	if (!r)
		r = vmig_device_region_write(vmm->devices[device], VMIG_REGION_PCI_CONFIG, RELAY_COMMAND,
					     record.config + RELAY_COMMAND, 2);
	vmm->guest = record.guest;
	return r;
}

static void start(void *opaque)
{
	guest_start(opaque);
}

static void on_event(const struct vmig_migrate_event *event, void *opaque)
{
	(void)opaque;
	if (event->kind == VMIG_EVENT_WARNING)
		fprintf(stderr, "mini-vmm: warning: %s\n", event->text);
}

/* --- both ends ----------------------------------------------------------------------------- */

static int finish(const struct vmig_migrate_result *result, int r)
{
	if (r == VMIG_DONE)
		return 0;
	fprintf(stderr, "mini-vmm: not done, at %s: %s\n", vmig_stage_name(result->stage),
		r < 0 ? strerror(-r) : result->reason);
	return r < 0 ? 2 : r;
}

int migrate_to(struct vmm *vmm, const char *address)
{
	struct vmig_device *unit[] = { vmm->devices[VMM_FIRST], vmm->devices[VMM_SECOND], vmm->memory };
	const struct vmig_migrate_user user = {
		.quiesce = quiesce, .resume = resume, .save_record = save_record, .opaque = vmm
	};
	const struct vmig_migrate_options options = { .event = on_event };
	static struct vmig_migrate_result result;
	struct vmig_channel *channel;
	struct vmig_error error;
	int r = vmig_channel_connect(address, 10000, &channel, &error);

	if (r) {
		fprintf(stderr, "mini-vmm: %s: %s\n", address, error.text);
		return 1;
	}
	r = vmig_migrate_source(unit, 3, channel, &user, &options, &result);
	vmig_channel_close(channel);
	if (!r)
		printf("sent: %u rounds, %llu bytes, downtime %llu us\n", result.rounds,
		       (unsigned long long)result.bytes, (unsigned long long)result.downtime_ns / 1000);
	return finish(&result, r);
}

int migrate_from(struct vmm *vmm, const char *address)
{
	struct vmig_device *unit[] = { vmm->devices[VMM_FIRST], vmm->devices[VMM_SECOND], vmm->memory };
	const struct vmig_migrate_user user = { .load_record = load_record, .start = start, .opaque = vmm };
	const struct vmig_migrate_options options = { .event = on_event };
	static struct vmig_migrate_result result;
	struct vmig_listener *listener;
	struct vmig_channel *channel;
	struct vmig_error error;
	int r = vmig_listener_new(address, &listener, &error);

	if (r) {
		fprintf(stderr, "mini-vmm: %s: %s\n", address, error.text);
		return 1;
	}
	printf("listening: %s\n", address);
	fflush(stdout);
	r = vmig_listener_accept(listener, 60000, &channel);
	vmig_listener_free(listener);
	if (r)
		return 1;
	r = vmig_migrate_destination(unit, 3, channel, &user, &options, &result);
	vmig_channel_close(channel);
	return finish(&result, r);
}
