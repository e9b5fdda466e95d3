#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Devices of v1: shown by v1=on, driven by v1+.
. "$(dirname "$0")/tap.sh"

NIC=nic,state=4M,v1=on
BUSY=$NIC,dirty-rate=4M/s
WORK="--workload --workload-time 100ms"
state() { "$VMIG" info --json "$1" >state.json; sed -n 's/.*"device-state": "\(.*\)".*/\1/p' state.json; }
in_state() { [ "$(state "$1")" = "$2" ] || fail "$1 is in $(state "$1"), not in $2"; }

# --- moving --------------------------------------------------------------------------------------
t_a_busy_v1_device_moves_between_two_servers() {
	local section
	for section in mapped trapped partitioned; do
		serve "a_$section" "$BUSY,v1-section=$section"
		serve "b_$section" "$BUSY,v1-section=$section"
		expect 0 "$VMIG" migrate "v1+vfio-user:a_$section" --to "v1+vfio-user:b_$section" $WORK
		has out '^total +.*downtime .* 0 resets'
		has out '^workload +[1-9][0-9]* records before, [1-9][0-9]* during, [1-9][0-9]* after: none lost, doubled, reordered'
		in_state "v1+vfio-user:a_$section" stop
		in_state "v1+vfio-user:b_$section" running
	done
}
t_there_and_back_without_a_reset() {
	serve a "$BUSY"
	serve b "$BUSY"
	for _ in 1 2; do
		expect 0 "$VMIG" migrate v1+vfio-user:a --to v1+vfio-user:b $WORK
		has out ' 0 resets'
		expect 0 "$VMIG" migrate v1+vfio-user:b --to v1+vfio-user:a $WORK
		has out ' 0 resets'
	done
}
t_by_accesses_to_the_region_only() {
	serve a "$BUSY"
	expect 0 "$VMIG" migrate v1-no-mmap+vfio-user:a --to "v1+model:$NIC" $WORK
	has out '^workload .*none lost'
}
t_a_small_section() {
	expect 0 "$VMIG" migrate "v1+model:$BUSY,v1-size=4K" --to "v1+model:$NIC,v1-size=4K" $WORK
	has out '^workload .*none lost'
}
t_send_and_receive() {
	serve a "$BUSY"
	bg there "$VMIG" receive --json unix:there.sock "v1+model:$NIC"
	line there VMIG_LISTENING
	expect 0 "$VMIG" send v1+vfio-user:a unix:there.sock
	ended there 0
}
t_save_and_restore() {
	serve a "$NIC"
	serve b "$NIC"
	expect 0 "$VMIG" save v1+vfio-user:a file
	in_state v1+vfio-user:a stop
	expect 0 "$VMIG" inspect --verify file
	expect 0 "$VMIG" restore file v1+vfio-user:b
	in_state v1+vfio-user:b running
}
t_save_live_leaves_the_source_running() {
	serve a "$NIC"
	expect 0 "$VMIG" save --live v1+vfio-user:a file
	in_state v1+vfio-user:a running
}
t_two_devices_of_v1_and_one_of_v2() {
	# v1 has no P2P: these three do no DMA to each other.
	expect 0 "$VMIG" migrate --allow-no-p2p "v1+model:$NIC" model:nic,state=1M v1+model:serial,v1=on \
		--to "v1+model:$NIC" model:nic,state=1M v1+model:serial,v1=on $WORK
	has out '^offer +3 devices accepted'
}
t_what_is_served_by_v2_is_shown_as_v1_here() {
	serve a nic,state=1M
	expect 0 "$VMIG" save v1+vfio-user:a,v1=on file
	expect 0 "$VMIG" restore file v1+model:nic,state=1M,v1=on
}

# --- refusals ------------------------------------------------------------------------------------
t_another_format_is_refused() {
	serve a "$NIC"
	serve b nic,state=4M
	refused 1 'at offer: .*its data come in format v1, but .* takes v2; the source runs on' \
		"$VMIG" migrate --quiet v1+vfio-user:a --to vfio-user:b
	in_state v1+vfio-user:a running
	in_state vfio-user:b running
	# By now the record knows a, which was to be moved, as one that runs here.
	expect 1 "$VMIG" migrate --quiet vfio-user:b --to v1+vfio-user:a
	has err 'at hello: .* is in use'
	expect 1 "$VMIG" migrate --quiet --owner none vfio-user:b --to v1+vfio-user:a
	has err 'at offer: .*its data come in format v2, but .* takes v1; the source runs on'
	in_state vfio-user:b running
	in_state v1+vfio-user:a running
}
t_a_saved_v1_stream_does_not_go_into_a_v2_device() {
	serve b nic,state=4M
	expect 0 "$VMIG" save "v1+model:$NIC" file
	refused 1 'its data come in format v1, but .* takes v2' "$VMIG" restore --quiet file vfio-user:b
	in_state vfio-user:b running
}
t_a_larger_transaction_than_the_destination_has_room_for() {
	serve b "$NIC,v1-size=4K"
	expect 1 "$VMIG" migrate --quiet "v1+model:$NIC" --to v1+vfio-user:b
	has err 'does not fit the data section'
	in_state v1+vfio-user:b running
}
t_without_a_region_there_is_nothing_to_drive() {
	refused 1 'no migration region of v1.*; see ' "$VMIG" info v1+model:nic
}
t_not_driven_it_cannot_be_migrated() { refused 1 'no migration' "$VMIG" save --quiet "model:$NIC" file; }
t_bad_keys() {
	refused 2 'v1 is on or off' "$VMIG" info model:nic,v1=yes
	refused 2 'need v1=on' "$VMIG" info model:nic,v1-size=64K
	refused 2 'v1-section is trapped, mapped or partitioned' "$VMIG" info model:nic,v1=on,v1-section=x
	refused 2 'v1-size is a size' "$VMIG" info model:nic,v1=on,v1-size=x
	refused 2 'v1-fault is REGISTER' "$VMIG" info model:nic,v1=on,v1-fault=pending_bytes
	refused 2 'v1-fault is REGISTER' "$VMIG" info model:nic,v1=on,v1-fault=x:EIO
	refused 2 'v1-fault is REGISTER' "$VMIG" info model:nic,v1=on,v1-fault=data_size:EFOO
	refused 2 'unknown key "speed"' "$VMIG" serve nic,v1=on,speed=3 --socket a
	refused 2 "cannot be of that size" "$VMIG" info model:nic,v1=on,v1-size=5000
}

# --- faults --------------------------------------------------------------------------------------
# What fails before the commit leaves the source running.
source_runs_on() {
	serve "$1" "$BUSY,v1-fault=$2"
	expect 1 "$VMIG" migrate --quiet "v1+vfio-user:$1" --to "v1+model:$NIC"
	has err 'the source runs on'
	has err "$3"
	in_state "v1+vfio-user:$1" running
}
t_each_register_may_fail_at_the_source() {
	source_runs_on a device_state=3:EIO:once 'device_state'
	source_runs_on b device_state=2:EBUSY:once 'device_state'
	source_runs_on c pending_bytes:EIO:once 'pending_bytes'
	source_runs_on d data_offset:EREMOTEIO:once 'data_offset'
	source_runs_on e data_size:EIO:once 'data_size'
}
t_each_register_may_fail_at_the_destination() {
	local fault n=0
	for fault in device_state=4:EIO data_offset:EIO data_size=:ENOSPC; do
		n=$((n + 1))
		serve "a$n" "$BUSY"
		serve "b$n" "$NIC,v1-fault=$fault:once"
		expect 1 "$VMIG" migrate --quiet "v1+vfio-user:a$n" --to "v1+vfio-user:b$n"
		has err 'the source runs on'
		in_state "v1+vfio-user:a$n" running
		in_state "v1+vfio-user:b$n" running
	done
}

# --- info ----------------------------------------------------------------------------------------
t_info_names_a_v1_device_and_says_how_to_drive_it() {
	serve a "$NIC"
	expect 0 "$VMIG" info vfio-user:a
	has out '^  state +does not migrate by v2$'
	has out '^  v1 +by the migration region 9: drive it as v1\+vfio-user:a$'
	expect 0 "$VMIG" info --json vfio-user:a
	json out 'x[0][0]["v1-region"] == 9 and not x[0][0]["migrates"]'
	expect 0 "$VMIG" info --json v1+vfio-user:a
	json out 'x[0][0]["format"] == "v1" and x[0][0]["migration-flags"] == ["stop-copy", "pre-copy"]'
	json out '{"late-validation", "transaction-sizes"} <= set(x[0][0]["traits"]) and "v1-region" not in x[0][0]'
}
t_v1_is_off_unless_asked_for() {
	expect 0 "$VMIG" info --json model:nic,state=1M model:nic,state=1M,v1=off
	json out 'all("v1-region" not in d and d["migrates"] and d["format"] == "v2" for d in x[0])'
}
t_arcs() {
	expect 0 "$VMIG" info --arcs "v1+model:$NIC"
	has out '^  from, to +ERROR STOP RUNNING STOP_COPY RESUMING PRE_COPY$'
	has out '^  RUNNING +- +1 +\. +1 +1 +1$'
	has out '^  STOP_COPY +- +1 +1 +\. +\+ +-$'
	expect 0 "$VMIG" info --arcs model:nic,state=1M
	has out '^  RUNNING +- +\+ +\. +\+ +\+ +1 +1 +\+$'
	expect 0 "$VMIG" info --arcs --json "v1+model:$NIC"
	json out '[a["path"] for a in x[0][0]["arcs"] if (a["from"], a["to"]) == ("running", "resuming")] == [["resuming"]]'
	json out '[a["path"] for a in x[0][0]["arcs"] if (a["from"], a["to"]) == ("stop", "resuming")] == [["running", "resuming"]]'
	json out '[a["path"] for a in x[0][0]["arcs"] if (a["from"], a["to"]) == ("resuming", "stop-copy")] == [[]]'
	expect 0 "$VMIG" info --arcs "model:$NIC"
	has out 'drive it as v1\+model:'
}
t_help_lists_the_keys_of_v1() {
	expect 0 "$VMIG" help serve
	has out '^    v1=on\|off '
	has out '^    v1-fault=WHERE:ERRNO '
}
tap_main "$@"
