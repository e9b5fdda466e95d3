/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * mini-vmm - a VMM of its own, with two devices that do peer-to-peer DMA, migrated by libvmig.
 *
 *	mini-vmm destination unix:/tmp/m relay relay &
 *	mini-vmm source unix:/tmp/m relay relay
 *
 * Or with the devices behind vfio-user sockets, each in a process of its own:
 *
 *	mini-vmm device /tmp/a1 & mini-vmm device /tmp/a2 & mini-vmm device /tmp/b1 & mini-vmm device /tmp/b2 &
 *	mini-vmm destination unix:/tmp/m vfio-user:/tmp/b1 vfio-user:/tmp/b2 &
 *	mini-vmm source unix:/tmp/m vfio-user:/tmp/a1 vfio-user:/tmp/a2
 */
#include <stdio.h>
#include <string.h>

#include "relay.h"
#include "vmm.h"

#define RECORDS 3000u /* before, and again after */

static int report(struct vmm *vmm)
{
	struct guest g = guest_look(vmm);
	bool diary = guest_diary_is_right(vmm);
	uint64_t intruded = 0;

	for (uint32_t i = 0; i < VMM_DEVICES; i++) {
		uint64_t n = 1;

		if (vmm_read(vmm, i, RELAY_INTRUDED, &n))
			n = 1;
		intruded += n;
	}
	printf("%llu records by peer-to-peer DMA: %llu lost, %llu doubled, %llu corrupt; %llu written to a "
	       "device that "
	       "stood still; the guest's memory is %s\n",
	       (unsigned long long)g.seen, (unsigned long long)g.lost, (unsigned long long)g.doubled,
	       (unsigned long long)g.corrupt, (unsigned long long)intruded, diary ? "right" : "WRONG");
	return g.lost || g.doubled || g.corrupt || intruded || !diary || vmm->error;
}

static bool gets_on(struct vmm *vmm, uint64_t seen)
{
	bool there = guest_wait(vmm, seen);

	if (!there)
		fprintf(stderr, "mini-vmm: the guest does not get on: %s\n", strerror(vmm->error));
	return there;
}

/* If it was not to be, the guest goes on here. */
static int source(struct vmm *vmm, const char *address)
{
	int r = vmm_set_up(vmm);
	uint64_t seen;

	if (r) {
		fprintf(stderr, "mini-vmm: the devices cannot be set up: %s\n", strerror(-r));
		return 2;
	}
	guest_start(vmm);
	if (!gets_on(vmm, RECORDS))
		return 2;
	r = migrate_to(vmm, address);
	if (!r || !vmm->runs)
		return r;
	seen = guest_look(vmm).seen;
	if (!gets_on(vmm, seen + RECORDS))
		return 2;
	guest_pause(vmm);
	return report(vmm) ? 2 : r;
}

static int destination(struct vmm *vmm, const char *address)
{
	int r = migrate_from(vmm, address);
	uint64_t seen = vmm->runs ? guest_look(vmm).seen : 0;

	if (r)
		return r;
	if (!gets_on(vmm, seen + RECORDS))
		return 2;
	guest_pause(vmm);
	return report(vmm);
}

int main(int argc, char **argv)
{
	static struct vmm vmm;
	bool is_source = argc == 5 && !strcmp(argv[1], "source");
	int r = 2;

	if (argc == 3 && !strcmp(argv[1], "device"))
		return relay_serve(argv[2]);
	if (!is_source && (argc != 5 || strcmp(argv[1], "destination"))) {
		fprintf(stderr,
			"usage: mini-vmm source|destination ADDRESS DEVICE DEVICE\n"
			"       mini-vmm device SOCKET\n"
			"DEVICE: relay, vfio-user:SOCKET, group:NUMBER,NAME,FOLDER, cdev:vfioN,FOLDER\n");
		return 2;
	}
	if (!vmm_open(&vmm, argv + 3))
		r = is_source ? source(&vmm, argv[2]) : destination(&vmm, argv[2]);
	vmm_close(&vmm);
	return r;
}
