#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# mini-vmm is migrated: two devices with peer-to-peer DMA between them, their memory, interrupts and guest.
. "$(dirname "$0")/../tests/cli/tap.sh"

good='^[0-9]+ records by peer-to-peer DMA: 0 lost, 0 doubled, 0 corrupt; 0 written to a device that stood still; the guest.s memory is right$'
devices() { # NAME... : each a process
	local name
	for name; do
		bg "$name" "$MINI_VMM" device "$name"
		line "$name" '^ready: '
	done
}
# moved DESTINATION-DEVICES SOURCE-DEVICES : each two words
moved() {
	bg there "$MINI_VMM" destination unix:s $1
	line there '^listening: '
	expect 0 "$MINI_VMM" source unix:s $2
	has out '^sent: [0-9]+ rounds, [0-9]+ bytes, downtime [0-9]+ us$'
	ended there 0
	has there.out "$good"
	has_not err 'warning'
}
t_devices_in_the_process() { moved "relay relay" "relay relay"; }
t_devices_behind_vfio_user_sockets() {
	devices a1 a2 b1 b2
	moved "vfio-user:b1 vfio-user:b2" "vfio-user:a1 vfio-user:a2"
}
t_one_device_of_each() {
	devices a1 b2
	moved "relay vfio-user:b2" "vfio-user:a1 relay"
}
# of_the_kernel DEVICES : which the VMM opens itself, at the /dev/vfio that vmig run shows
of_the_kernel() {
	[ "${WAY:-}" = preload ] || skip "under a sanitizer there is no preload"
	devices a1 a2 b1 b2
	local run="$VMIG run --quiet --intercept=preload"
	bg there $run --device "vfio-user:$PWD/b1" "vfio-user:$PWD/b2" -- "$MINI_VMM" destination "unix:$PWD/s" $1
	line there '^listening: '
	expect 0 $run --device "vfio-user:$PWD/a1" "vfio-user:$PWD/a2" -- "$MINI_VMM" source "unix:$PWD/s" $1
	ended there 0
	has there.out "$good"
}
t_devices_of_the_kernel_by_their_groups() { of_the_kernel "group:90,d0,{0} group:91,d1,{1}"; }
t_devices_of_the_kernel_by_iommufd() { of_the_kernel "cdev:vfio0,{0} cdev:vfio1,{1}"; }
t_a_guest_goes_on_where_nobody_listens() {
	expect 1 "$MINI_VMM" source unix:nowhere relay relay
	has out "$good"
}
t_a_guest_goes_on_where_it_is_refused() {
	bg there "$VMIG" receive unix:s model:nic
	line there '^listening: '
	expect 1 "$MINI_VMM" source unix:s relay relay
	has out "$good"
	has err 'not done, at offer: the destination refuses: '
}
t_usage() { expect 2 "$MINI_VMM" source; }
tap_main "$@"
