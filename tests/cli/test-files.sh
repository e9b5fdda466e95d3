#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# save, restore, inspect: through files and pipes, and every way in which a file cannot be used.
. "$(dirname "$0")/tap.sh"

NIC=nic,state=1M
WORK="--workload --workload-time 100ms"
state() { "$VMIG" info --json "$1" >state.json; sed -n 's/.*"device-state": "\(.*\)".*/\1/p' state.json; }
in_state() { [ "$(state "$1")" = "$2" ] || fail "$1 is in $(state "$1"), not in $2"; }

# --- good paths ----------------------------------------------------------------------------------
t_save_and_restore() {
	serve a $NIC
	serve b $NIC
	expect 0 "$VMIG" save vfio-user:a file
	has out '^total '
	in_state vfio-user:a stop
	expect 0 "$VMIG" restore file vfio-user:b
	has out '^verify .*digests are right'
	in_state vfio-user:b running
}
t_save_in_this_process() {
	expect 0 "$VMIG" save model:$NIC model:serial file
	expect 0 "$VMIG" restore file model:$NIC model:serial
}
t_save_live_leaves_the_source_running() {
	serve a $NIC
	expect 0 "$VMIG" save --live vfio-user:a file
	in_state vfio-user:a running
	expect 0 "$VMIG" restore file model:$NIC
}
t_save_live_under_work() {
	serve a $NIC,dirty-rate=8M/s
	expect 0 "$VMIG" save --live $WORK vfio-user:a file
	has out '^workload .*records before, .*none lost'
	in_state vfio-user:a running
	expect 0 "$VMIG" inspect --verify file
}
t_a_workload_goes_through_a_file() {
	serve a $NIC
	serve b $NIC
	expect 0 "$VMIG" save $WORK vfio-user:a file
	expect 0 "$VMIG" restore $WORK --json file vfio-user:b
	json out 'events("VMIG_RESULT")[-1]["data"]["workload"][0]["whole"]'
	json out 'events("VMIG_RESULT")[-1]["data"]["workload"][0]["before"] > 0'
	json out 'events("VMIG_RESULT")[-1]["data"]["workload"][0]["after"] > 0'
}
t_a_workload_starts_on_what_was_saved_without() {
	expect 0 "$VMIG" save model:$NIC file
	expect 0 "$VMIG" restore $WORK file model:$NIC
	has out '^workload .*none lost'
}
t_a_workload_is_missed() {
	expect 0 "$VMIG" save $WORK model:$NIC file
	refused 1 '--workload' "$VMIG" restore --quiet file model:$NIC
}
t_save_replaces_a_file_in_one_step() {
	echo old >file
	expect 0 "$VMIG" save model:$NIC file
	expect 0 "$VMIG" inspect --verify file
}
t_through_a_pipe() {
	"$VMIG" save model:$NIC - 2>err | "$VMIG" restore - model:$NIC >out || fail "status $?"
	has out '^total '
	has err '^total '
}
t_through_a_pipe_with_json() {
	"$VMIG" save --json model:$NIC - 2>events >file
	json events 'events("VMIG_RESULT")[-1]["data"]["status"] == "completed"'
	expect 0 "$VMIG" inspect --verify file
}
t_inspect_for_people() {
	expect 0 "$VMIG" save model:$NIC file
	expect 0 "$VMIG" inspect file
	has out ' HELLO .* 1 device'
	has out ' OFFER .*nic, format v2, from model:nic'
	has out ' DEVICE_END .* in all'
	has out 'of their data: whole$'
}
t_inspect_for_programs() {
	expect 0 "$VMIG" save model:$NIC file
	expect 0 "$VMIG" inspect --json file
	json out 'x[0][0]["type"] == "HELLO" and x[0][0]["number"] == 0 and x[0][-1]["ok"]'
	json out 'all(k in r for r in x[0][:-1] for k in ("type", "length", "offset", "number", "digest", "digest-ok"))'
	json out 'sum(r["length"] for r in x[0] if r["type"] == "DATA") == x[0][-1]["total"] >= 1 << 20'
	expect 0 "$VMIG" inspect --json --verify file
	json out 'len(x[0]) == 1 and x[0][0]["ok"]'
}

# --- bad files -----------------------------------------------------------------------------------
t_no_file() {
	refused 2 'nowhere: cannot be read.*No such file' "$VMIG" restore nowhere model:$NIC
	refused 2 'nowhere: cannot be read.*No such file' "$VMIG" inspect nowhere
}
t_a_folder() { refused 2 '\.: ' "$VMIG" inspect .; }
t_an_empty_file() {
	: >file
	refused 2 'cut short' "$VMIG" inspect file
	refused 2 'cut short' "$VMIG" restore --quiet file model:$NIC
}
t_not_a_stream() {
	head -c 5000 "$VMIG" >file
	refused 2 'byte 0: this is not a migration stream' "$VMIG" inspect --quiet file
	refused 2 'not a migration stream' "$VMIG" restore --quiet file model:$NIC
}
flip() { # FILE OFFSET : one bit
	python3 -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2])); b = f.read(1)[0] ^ 16; f.seek(-1, 1); f.write(bytes([b]))' "$@"
}
t_a_flipped_bit_is_refused() {
	local size at
	serve a $NIC
	expect 0 "$VMIG" save model:$NIC file
	size=$(stat -c %s file)
	for at in 3 20 40 100 $((size / 3)) $((size / 2)) $((size - 60)) $((size - 1)); do
		cp file bad
		flip bad $at
		refused 2 'byte [0-9]+' "$VMIG" inspect --quiet bad
		refused 2 'refused at .*byte [0-9]+' "$VMIG" restore --quiet bad vfio-user:a
		in_state vfio-user:a running
	done
	expect 0 "$VMIG" restore --quiet file vfio-user:a
}
t_a_flipped_bit_through_a_pipe_is_refused() {
	serve a $NIC
	expect 0 "$VMIG" save model:$NIC file
	flip file $(($(stat -c %s file) / 2))
	expect 2 bash -c "cat file | '$VMIG' restore --quiet - vfio-user:a"
	one_line 'digest is wrong'
	in_state vfio-user:a running
}
t_a_truncated_file_is_refused() {
	local size at
	serve a $NIC
	expect 0 "$VMIG" save model:$NIC file
	size=$(stat -c %s file)
	for at in 10 31 32 50 200 $((size / 2)) $((size - 1)); do
		head -c $at file >bad
		refused 2 'cut short at byte' "$VMIG" inspect --quiet bad
		has err "byte $at\\b"
		refused 2 'cut short' "$VMIG" restore --quiet bad vfio-user:a
		in_state vfio-user:a running
	done
	expect 0 "$VMIG" restore --quiet file vfio-user:a
}
t_another_type_is_refused() {
	serve a $NIC
	expect 0 "$VMIG" save model:serial file
	refused 1 'serial.*nic' "$VMIG" restore --quiet file vfio-user:a
	in_state vfio-user:a running
	expect 0 "$VMIG" save model:$NIC file
	expect 0 "$VMIG" restore --quiet file vfio-user:a
}
t_another_number_of_devices_is_refused() {
	expect 0 "$VMIG" save model:$NIC file
	refused 1 '1 device.*2' "$VMIG" restore --quiet file model:$NIC model:$NIC
}
t_another_size_of_state_is_refused() {
	expect 0 "$VMIG" save model:$NIC file
	serve a nic,state=2M
	refused 1 '.' "$VMIG" restore --quiet file vfio-user:a
	in_state vfio-user:a running
}

# --- where it cannot be written ------------------------------------------------------------------
t_no_folder_to_save_in() { refused 1 'no/where: cannot be written.*No such file' "$VMIG" save model:$NIC no/where; }
t_a_full_disk() {
	serve a $NIC
	refused 1 'no space left.*the source runs on' "$VMIG" save --quiet vfio-user:a /dev/full
	in_state vfio-user:a running
	refused 1 'no space left.*the source runs on' bash -c "'$VMIG' save --quiet vfio-user:a - >/dev/full"
	in_state vfio-user:a running
}
t_a_full_file_system() {
	[ "$(id -u)" = 0 ] || skip "only root can mount"
	mkdir small
	unshare -m bash -c "mount -t tmpfs -o size=256k none small && touch small/probe" || skip "no tmpfs here"
	serve a $NIC
	refused 1 'no space left.*the source runs on' unshare -m bash -c \
		"mount -t tmpfs -o size=256k none small && '$VMIG' save --quiet vfio-user:a small/file; s=\$?; ls small >left; exit \$s"
	[ ! -s left ] || fail "a half file is left"
	in_state vfio-user:a running
}
t_a_closed_pipe() {
	serve a $NIC
	refused 1 'the source runs on' bash -c "'$VMIG' save --quiet vfio-user:a - | true; exit \${PIPESTATUS[0]}"
	in_state vfio-user:a running
}
t_words_in_the_wrong_place() {
	refused 2 'last word has to be the FILE' "$VMIG" save model:$NIC model:$NIC
	refused 2 'first word has to be the FILE' "$VMIG" restore model:$NIC model:$NIC
	refused 2 'too few words' "$VMIG" save model:$NIC
	refused 2 'one FILE' "$VMIG" inspect a b
}
tap_main "$@"
