#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# migrate, send and receive.
. "$(dirname "$0")/tap.sh"

manual=$(cd "$(dirname "$0")/../../docs/man" && pwd)/vmig.1.scd
NIC=nic,state=4M
BUSY=$NIC,dirty-rate=4M/s
WORK="--workload --workload-time 100ms"
state() { "$VMIG" info --json "$1" >state.json; sed -n 's/.*"device-state": "\(.*\)".*/\1/p' state.json; }
in_state() { [ "$(state "$1")" = "$2" ] || fail "$1 is in $(state "$1"), not in $2"; }
RESULT='events("VMIG_RESULT")[-1]["data"]'

# --- migrate -------------------------------------------------------------------------------------
t_a_busy_device_moves_between_two_servers() {
	serve a $BUSY
	serve b $BUSY
	expect 0 "$VMIG" migrate vfio-user:a --to vfio-user:b $WORK
	has out '^precopy +[0-9]+ rounds?'
	has out '^total +.*downtime .* 0 resets'
	has out '^workload +[1-9][0-9]* records before, [1-9][0-9]* during, [1-9][0-9]* after: none lost, doubled, reordered'
	[ ! -s err ] || fail "stderr is not empty"
	in_state vfio-user:a stop
	in_state vfio-user:b running
}
t_in_one_process() {
	expect 0 "$VMIG" migrate model:$NIC --to model:$NIC $WORK
	has out '^workload .*none lost'
}
t_ping_pong() {
	serve a $BUSY
	serve b $BUSY
	for _ in 1 2; do
		expect 0 "$VMIG" migrate vfio-user:a --to vfio-user:b $WORK
		in_state vfio-user:b running
		expect 0 "$VMIG" migrate vfio-user:b --to vfio-user:a $WORK
		in_state vfio-user:a running
		in_state vfio-user:b stop
	done
}
t_three_devices_as_one() {
	local x
	for x in a b c; do serve $x nic,state=1M; serve "${x}2" nic,state=1M; done
	expect 0 "$VMIG" migrate vfio-user:a vfio-user:b vfio-user:c --to vfio-user:a2 vfio-user:b2 vfio-user:c2 --workload \
		--workload-time 100ms
	has out '^offer +3 devices accepted'
	[ "$(grep -c '^workload .*none lost' out)" = 3 ] || fail "not three verdicts"
	for x in a b c; do in_state vfio-user:$x stop; in_state vfio-user:${x}2 running; done
}
t_two_of_different_kinds() {
	expect 0 "$VMIG" migrate model:$NIC model:serial --to model:$NIC model:serial $WORK
}
t_all_or_none() {
	serve a $NIC
	serve b $NIC
	expect 1 "$VMIG" migrate vfio-user:a model:serial --to vfio-user:b model:$NIC --quiet
	one_line 'offer.*serial.*the source runs on'
	in_state vfio-user:a running
	in_state vfio-user:b running
}
t_without_precopy() {
	expect 0 "$VMIG" migrate model:$NIC --to model:$NIC --no-precopy $WORK
	has out '^precopy +none'
	expect 0 "$VMIG" migrate model:$NIC,precopy=off,p2p=off --to model:$NIC,precopy=off,p2p=off $WORK
	has out '^workload .*none lost'
}
t_to_and_from_a_plain_server() {
	serve a $NIC --plain
	serve b $NIC --plain
	expect 0 "$VMIG" migrate vfio-user:a --to vfio-user:b $WORK
	has out '^workload .*none lost'
}
t_options_of_the_source() {
	expect 0 "$VMIG" migrate model:$BUSY --to model:$BUSY --downtime 1s --bandwidth 1G/s --max-rounds 2 --timeout 20s
	has out '^precopy +[0-2] rounds?'
}
# Each changes faster than its link carries: what was asked for decides.
t_what_does_not_converge() {
	local fast=model:nic,state=16M,dirty-rate=400M/s slow='--bandwidth 32M/s --downtime 20ms'
	expect 1 "$VMIG" migrate $fast --to model:nic,state=16M $slow --on-no-converge abort
	has err 'not done, at precopy: pre-copy does not converge: .*device 0 .*what would help: a downtime of .*runs on'
	expect 1 "$VMIG" migrate $fast --to model:nic,state=16M $slow --on-no-converge=wait --max-time 1s
	has err 'not done, at precopy: .*its time, 1.0 s, is used up'
	expect 0 "$VMIG" migrate $fast --to model:nic,state=16M $slow --max-rounds 2
	has err 'warning: pre-copy does not converge: its 2 rounds are used up.*it is switched over all the same'
	refused 2 "--on-no-converge: 'panic' is none of" "$VMIG" migrate $fast --to model:nic,state=16M --on-no-converge panic
}
t_events_for_programs() {
	expect 0 "$VMIG" migrate model:$BUSY --to model:$BUSY --json $WORK
	json out '[e["data"]["status"] for e in events("MIGRATION")] == ["setup", "active", "device", "completed"]'
	json out 'all(set(e["timestamp"]) == {"seconds", "microseconds"} for e in x)'
	json out '"pre-copy-p2p" in [e["data"]["device-state"] for e in events("VFIO_MIGRATION")]'
	json out '[e["data"]["device-state"] for e in events("VFIO_MIGRATION") if e["data"]["side"] == "source"][-1] == "stop"'
	json out '[e["data"]["device-state"] for e in events("VFIO_MIGRATION") if e["data"]["side"] == "destination"][-1] == "running"'
	json out "$RESULT[\"exit-status\"] == 0 and $RESULT[\"transferred\"] >= 4 << 20 and $RESULT[\"downtime\"] > 0"
	json out "[s[\"stage\"] for s in $RESULT[\"stages\"]] == [\"hello\", \"offer\", \"precopy\", \"quiesce\", \"switchover\", \"verify\", \"commit\", \"run\"]"
	json out "$RESULT[\"workload\"][0][\"whole\"] and $RESULT[\"workload\"][0][\"lost\"] == 0"
}
t_every_field_of_an_event_is_in_the_manual() {
	expect 0 "$VMIG" migrate model:$BUSY --to model:$BUSY --json --bandwidth 32M/s $WORK
	python3 - "$manual" <<'PY' || fail "see above"
import json, re, sys
manual = set(re.findall(r"[_*]([A-Za-z_-]+?)[_*](?![A-Za-z])", open(sys.argv[1]).read()))
def names(o):
    for key, value in (o.items() if isinstance(o, dict) else []):
        yield key
        yield from (n for v in (value if isinstance(value, list) else [value]) for n in names(v) if key != "stages")
events = [json.loads(line) for line in open("out")]
missing = {n for e in events for n in names(e)} | {e["event"] for e in events}
missing -= manual
assert not missing, missing
PY
}
t_quiet_says_nothing() {
	expect 0 "$VMIG" migrate model:$NIC --to model:$NIC --quiet $WORK
	[ ! -s out ] && [ ! -s err ] || fail "it said something"
}
t_a_progress_line_only_on_a_terminal() {
	command -v script >/dev/null || skip "no script(1)"
	expect 0 "$VMIG" migrate model:$NIC --to model:$NIC --bandwidth 8M/s
	[ ! -s err ] || fail "stderr is not empty"
	expect 0 script -qec "'$VMIG' migrate model:$NIC --to model:$NIC --bandwidth 8M/s" /dev/null
	has out 'precopy .*/s +dirty .*/s +round [0-9]+ +expected downtime'
}

# --- what does not happen ------------------------------------------------------------------------
t_a_destination_of_another_type() {
	serve a $NIC
	refused 1 'not done, at offer: .*nic.*serial.*; the source runs on' "$VMIG" migrate --quiet vfio-user:a --to model:serial
	in_state vfio-user:a running
}
t_the_same_number_on_both_sides() {
	refused 2 'too few words' "$VMIG" migrate model:$NIC
	refused 2 'as many devices' "$VMIG" migrate model:$NIC model:$NIC
	refused 2 'as many devices' "$VMIG" migrate model:$NIC --to model:$NIC model:$NIC
	refused 2 'as many devices' "$VMIG" migrate --to model:$NIC model:$NIC
}
t_a_workload_without_a_nic() { refused 2 '--workload: .*nic' "$VMIG" migrate model:serial --to model:serial --workload; }
t_bad_options() {
	refused 2 "--downtime: 'soon' is not a time" "$VMIG" migrate model:$NIC --to model:$NIC --downtime soon
	refused 2 "--bandwidth: 'fast' is not a rate" "$VMIG" migrate model:$NIC --to model:$NIC --bandwidth fast
	refused 2 '--bandwidth: .*too large' "$VMIG" migrate model:$NIC --to model:$NIC --bandwidth 99999999999G/s
	refused 2 "--max-rounds: '-1'" "$VMIG" migrate model:$NIC --to model:$NIC --max-rounds -1
	refused 2 "unknown option '--frob'" "$VMIG" migrate --frob
	refused 2 'a value is missing' "$VMIG" migrate model:$NIC --timeout
	refused 2 'takes no value' "$VMIG" migrate --quiet=yes
}
# A fault anywhere before the commit: the source is back in RUNNING, its workload whole, the destination usable.
t_faults_of_the_source_roll_back() {
	local f
	for f in 'RUNNING>PRE_COPY:EIO' 'read:EIO' 'read@2M:EIO' 'PRE_COPY>PRE_COPY_P2P:EIO' 'PRE_COPY_P2P>STOP_COPY:EIO'; do
		serve a "$NIC,fault=$f:once"
		serve b $NIC
		expect 1 "$VMIG" migrate vfio-user:a --to vfio-user:b $WORK
		one_line 'the source runs on'
		has out '^workload .*none lost'
		in_state vfio-user:a running
		in_state vfio-user:b running
		expect 0 "$VMIG" migrate vfio-user:a --to vfio-user:b --quiet $WORK
		stop a; stop b; rm ./*.fifo
	done
}
t_faults_of_the_destination_roll_back() {
	local f
	for f in 'STOP>RESUMING:EIO' 'write:EIO' 'write@2M:EIO' 'load:EINVAL' 'RESUMING>STOP:EIO'; do
		serve a $NIC
		serve b "$NIC,fault=$f:once"
		expect 1 "$VMIG" migrate vfio-user:a --to vfio-user:b $WORK
		one_line 'the source runs on'
		has out '^workload .*none lost'
		in_state vfio-user:a running
		in_state vfio-user:b running
		expect 0 "$VMIG" migrate vfio-user:a --to vfio-user:b --quiet $WORK
		stop a; stop b; rm ./*.fifo
	done
}
t_a_source_that_is_lost_is_said_in_capitals() {
	serve a "$NIC,fault=PRE_COPY_P2P>STOP_COPY:error"
	expect 4 "$VMIG" migrate vfio-user:a --to model:$NIC --quiet
	one_line 'LOST AT SWITCHOVER: THE SOURCE DOES NOT RUN.*vmig info --recover vfio-user:a'
	expect 0 "$VMIG" info --recover vfio-user:a
	has out 'RUNNING \(was ERROR: reset\)'
}
t_ctrl_c_rolls_back() {
	serve a $NIC
	serve b $NIC
	bg move "$VMIG" migrate vfio-user:a --to vfio-user:b --json --bandwidth 256K/s $WORK
	line move '"pre-copy"'
	kill -INT "$pid_move"
	ended move 1
	grep -q 'cancelled.*the source runs on' move.err || fail "$(cat move.err)"
	json move.out 'events("MIGRATION")[-1]["data"]["status"] == "cancelled"'
	json move.out "$RESULT[\"workload\"][0][\"whole\"]"
	in_state vfio-user:a running
	in_state vfio-user:b running
}

t_a_device_that_dies_afterwards_is_noticed() {
	serve a $NIC
	serve b $NIC
	bg move "$VMIG" migrate vfio-user:a --to vfio-user:b --json --workload --workload-time 2s
	line move '"stage":"run","side":"destination"'
	line move '"device-id":"vfio-user:b","device-state":"running","side":"destination"'
	kill -KILL "$pid_b"
	ended move 1
	grep -q 'moved, but its workload is not whole' move.err || fail "$(cat move.err)"
	json move.out "not $RESULT[\"workload\"][0][\"whole\"]"
}

# --- send and receive ----------------------------------------------------------------------------
t_over_tcp() {
	serve a $BUSY
	serve b $BUSY
	bg there "$VMIG" receive tcp:127.0.0.1:0 vfio-user:b $WORK
	line there '^listening: tcp:127.0.0.1:[1-9]'
	expect 0 "$VMIG" send vfio-user:a "${REPLY#listening: }" $WORK
	has out '^run +released'
	has out '^workload .*none lost'
	ended there 0
	has there.out '^run +runs here'
	has there.out '^workload +[1-9][0-9]* records before, [0-9]+ during, [1-9][0-9]* after: none lost'
	in_state vfio-user:a stop
	in_state vfio-user:b running
}
t_over_a_unix_socket() {
	bg there "$VMIG" receive unix:s model:$NIC --json
	line there '"VMIG_LISTENING"'
	expect 0 "$VMIG" send model:$NIC unix:s
	ended there 0
	json there.out 'events("VMIG_RESULT")[-1]["data"]["side"] == "destination"'
	[ ! -e s ] || fail "the socket is left behind"
}
t_nobody_receives() {
	refused 1 'unix:nowhere: .*; start the other end' "$VMIG" send model:$NIC unix:nowhere
	refused 1 'tcp:127.0.0.1:1: .*; start the other end' "$VMIG" send model:$NIC tcp:127.0.0.1:1
}
t_an_address_in_use() {
	bg there "$VMIG" receive tcp:127.0.0.1:0 model:$NIC
	line there '^listening: '
	refused 1 'in use.*; take another address' "$VMIG" receive "${REPLY#listening: }" model:$NIC
}
t_not_an_address() {
	refused 2 'has to be the ADDRESS' "$VMIG" send model:$NIC host:4444
	refused 2 'has to be the ADDRESS' "$VMIG" receive 4444 model:$NIC
	refused 2 'tcp:nowhere' "$VMIG" receive tcp:nowhere model:$NIC
	refused 2 'tcp:127.0.0.1:x' "$VMIG" send model:$NIC tcp:127.0.0.1:x
}
t_another_type_at_the_other_end() {
	serve a $NIC
	bg there "$VMIG" receive --once unix:s model:serial --quiet
	line there '^listening: '
	refused 1 'refuses.*nic.*serial.*the source runs on' "$VMIG" send vfio-user:a unix:s --quiet
	ended there 1
	in_state vfio-user:a running
}
t_a_peer_that_is_not_vmig() {
	cat >other.py <<'PY'
import socket
s = socket.socket(socket.AF_UNIX); s.bind("s"); s.listen()
print("ready", flush=True)
c, _ = s.accept()
c.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 10)
while c.recv(65536):
    pass
PY
	serve a $NIC
	bg other python3 other.py
	line other ready
	expect 2 "$VMIG" send vfio-user:a unix:s --quiet
	one_line 'not a migration stream'
	in_state vfio-user:a running
}
t_a_peer_that_is_silent() {
	cat >other.py <<'PY'
import socket
s = socket.socket(socket.AF_UNIX); s.bind("s"); s.listen()
print("ready", flush=True)
c, _ = s.accept()
while c.recv(65536):
    pass
PY
	serve a $NIC
	bg other python3 other.py
	line other ready
	refused 1 'silent.*the source runs on' "$VMIG" send vfio-user:a unix:s --quiet --timeout 300ms
	in_state vfio-user:a running
}
t_receive_is_cancelled() {
	bg there "$VMIG" receive unix:s model:$NIC
	line there '^listening: '
	kill -INT "$pid_there"
	ended there 1
	grep -q cancelled there.err || fail "$(cat there.err)"
	[ ! -e s ] || fail "the socket is left behind"
}
tap_main "$@"
