#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# compat: who decides, every reason, many candidates, and input that is none. data/i915-as-written.json is the example of
# the discussion of July 2020 on the kernel's list, to the letter; data/i915.json the same with its commas mended.
. "$(dirname "$0")/tap.sh"
data=$(cd "$(dirname "$0")/data" && pwd)

# peer FILE GVT-VERSION TYPE AGGREGATOR PV-MODE [PCIID] : a device that says what it is, and nothing of what it accepts
peer() {
	printf '{"self": [{"pciid": "%s", "driver": "i915", "gvt-version": "%s", "mdev_type": "%s", "aggregator": "%s", "pv-mode": "%s"}]}\n' \
		"${6:-8086591d}" "$2" "$3" "$4" "$5" >"$1"
}
# descriptor FILE SELF [ACCEPTED]
descriptor() {
	if [ $# = 2 ]; then echo "{\"self\": [{$2}]}" >"$1"; else echo "{\"self\": [{$2}], \"compatible\": [$3]}" >"$1"; fi
}

export VMIG
within=$(cd "$(dirname "$0")" && pwd)/within

# --- the example of the discussion -----------------------------------------------------------------
t_the_example_as_written_is_refused_at_its_first_fault() {
	refused 2 'i915-as-written.json: not a descriptor: line 9, column 1: ' "$VMIG" compat "$data/i915-as-written.json" "$data/i915.json"
	# Each fault in its turn, as the ones before it are mended: a trailing comma, missing and trailing commas, the ellipsis.
	sed '8s/,$//' "$data/i915-as-written.json" >a; refused 2 'a: not a descriptor: line 18, column 9: ' "$VMIG" compat a a
	sed '8s/,$//; 17s/$/,/' "$data/i915-as-written.json" >b; refused 2 'b: not a descriptor: line 19, column 1: ' "$VMIG" compat b b
	sed '8s/,$//; 17s/$/,/; 24s/$/,/; 31s/$/,/; 18s/,$//; 25s/,$//; 32s/,$//' "$data/i915-as-written.json" >c
	refused 2 'c: not a descriptor: line 34, column 1: ' "$VMIG" compat c c
	sed '34d' c >d; expect 0 "$VMIG" compat d d
}
t_every_listed_peer_may_come_and_may_be_gone_to() {
	peer 1 v1 i915-GVTg_V5_2 1 none
	peer 2 v1 i915-GVTg_V5_4 2 none
	peer 3 v2 i915-GVTg_V5_4 2 none
	for p in 1 2 3; do
		expect 0 "$VMIG" compat $p "$data/i915.json"
		has out "the destination's list accepts it"
		expect 0 "$VMIG" compat "$data/i915.json" $p
		has out "the source's list of targets accepts it"
	done
}
t_peers_that_are_not_listed_may_not() {
	peer 1 v3 i915-GVTg_V5_4 2 none
	peer 2 v1 i915-GVTg_V5_8 1 none
	peer 3 v1 i915-GVTg_V5_2 1 none 80865917
	for row in '1 gvt-version' '2 mdev_type' '3 pciid'; do
		set -- $row
		expect 1 "$VMIG" compat "$1" "$data/i915.json"
		has out "the destination's list: $2: .* is not what is accepted"
		expect 1 "$VMIG" compat "$data/i915.json" "$1"
		has out "the source's list of targets: $2: "
		has out "^  $2 .* differs "
	done
}
t_pv_mode_is_a_set() {
	peer one v2 i915-GVTg_V5_4 2 context
	peer two v2 i915-GVTg_V5_4 2 'ppgtt,none'
	peer other v2 i915-GVTg_V5_4 2 'none, shadow'
	expect 0 "$VMIG" compat one "$data/i915.json"
	expect 0 "$VMIG" compat two "$data/i915.json"
	expect 1 "$VMIG" compat other "$data/i915.json"
	has out 'pv-mode: shadow is not one of those accepted'
}
t_an_older_release_does_not_know_a_newer_one() {
	# The newer one lists both; the older one, which was there first, cannot.
	descriptor old '"gvt-version": "v1"' '{"gvt-version": "v1"}'
	descriptor new '"gvt-version": "v2"' '{"gvt-version": "v1"}, {"gvt-version": "v2"}'
	expect 0 "$VMIG" compat old new
	expect 1 "$VMIG" compat new old
	expect 1 "$VMIG" compat --symmetric old new
	has out "the source's list"
}

# --- what it says ------------------------------------------------------------------------------------
t_json_has_every_attribute() {
	peer p v3 i915-GVTg_V5_4 2 none
	expect 1 "$VMIG" compat --json p "$data/i915.json"
	json out 'x[0]["version"] == 1 and x[0]["best"] is None'
	json out 'x[0]["candidates"][0]["compatible"] is False and x[0]["candidates"][0]["decided-by"] == "destination"'
	json out '{a["attribute"]: a["verdict"] for a in x[0]["candidates"][0]["attributes"]} == {"pciid": "ok", "driver": "ok",
		"gvt-version": "differs", "mdev_type": "ok", "aggregator": "ok", "pv-mode": "ok"}'
	json out 'x[0]["candidates"][0]["entry"] in (2, 3) and x[0]["candidates"][0]["entries"] == 3'
}
t_quiet_says_nothing() {
	peer p v3 i915-GVTg_V5_4 2 none
	expect 1 "$VMIG" compat --quiet p "$data/i915.json"
	[ ! -s out ] || fail "it speaks"
}
t_unknown_attributes_are_refused_unless_ignored() {
	descriptor s '"a": "1", "colour": "red", "shape": "round"'
	descriptor d '"a": "1"' '{"a": "1"}'
	expect 1 "$VMIG" compat s d
	has out '^  colour .* unknown '
	has out '^  shape .* unknown '
	expect 1 "$VMIG" compat --ignore colour s d
	expect 0 "$VMIG" compat --ignore colour,shape s d
	has out '^  colour .* ignored '
}
t_missing_attributes_are_refused_unless_ignored() {
	descriptor s '"a": "1"'
	descriptor d '"a": "1"' '{"a": "1", "queues": {"min": 2}}'
	expect 1 "$VMIG" compat s d
	has out '^  queues  *-  *at least 2  *missing '
	expect 0 "$VMIG" compat --ignore=queues s d
}
t_standard_input_is_a_descriptor() {
	expect 0 bash -c '"$1" compat - "$2" <"$2"' - "$VMIG" "$data/i915.json"
}

# --- many candidates -----------------------------------------------------------------------------------
t_candidates_are_ranked() {
	descriptor s '"version": "1.4.2"'
	for v in 1.4.0 1.3.9 1.6.0 2.0.0 1.5.1 1.4.7; do descriptor "d$v" "\"version\": \"$v\"" "{\"version\": \"$v\"}"; done
	expect 0 "$VMIG" compat s d1.4.0 d1.3.9 d1.6.0 d2.0.0 d1.5.1 d1.4.7
	has out '^ *1 *yes *d1.4.7:'; has out '^ *2 *yes *d1.4.0:'; has out '^ *3 *yes *d1.5.1:'; has out '^ *4 *yes *d1.6.0:'
	has out 'd1.3.9: .*newer minor'; has out 'd2.0.0: .*another major'
	has out 's: 4 of 6 candidates are compatible; best: d1.4.7; .* each'
	expect 1 "$VMIG" compat s d1.3.9 d2.0.0
}
t_a_candidate_that_cannot_be_read_does_not_hide_the_others() {
	descriptor s '"a": "1"'
	echo nonsense >bad
	expect 0 "$VMIG" compat s bad s
	has err 'bad: not a descriptor'
	has out 'unreadable *bad'
	echo '{"self": [{"a": "2"}]}' >other
	expect 2 "$VMIG" compat s bad other
}
t_ten_thousand_candidates() {
	descriptor s '"driver": "nic", "version": "3.2.1", "queues": 4'
	python3 - <<'PY'
import json, os
os.mkdir("c")
for i in range(10000):
    version = "3.%d.%d" % (i % 7, i % 11)
    json.dump({"self": [{"driver": "nic", "version": version}], "compatible": [
        {"driver": "other", "version": "1.0.0"}] * (i % 5) + [{"driver": "nic", "version": version, "queues": {"min": 1, "max": 1 + i % 9}}]},
        open("c/%05d" % i, "w"))
PY
	expect 0 "$within" 192 bash -c '"$VMIG" compat --json s c/*' 
	python3 - <<'PY' || fail "the ranking is wrong"
import json
x = json.load(open("out"))["candidates"]
assert len(x) == 10000
def facts(c):
    i = int(c["destination"][2:])
    return i % 7, i % 11, i % 9, i
yes = [facts(c) for c in x if c["compatible"]]
assert {f[3] for f in yes} == {i for i in range(10000) if i % 7 >= 2 and i % 9 >= 3}
assert yes == sorted(yes, key=lambda f: (f[0] - 2, -f[1], f[3]))
assert all(c["compatible"] for c in x[:len(yes)]) and not any(c["compatible"] for c in x[len(yes):])
assert all(c["took-ns"] > 0 for c in x)
PY
}

# --- input that is none -----------------------------------------------------------------------------------
t_files_that_are_no_descriptors() {
	refused 2 'nowhere: cannot be opened: No such file' "$VMIG" compat nowhere "$data/i915.json"
	refused 2 '/: cannot be read: Is a directory' "$VMIG" compat "$data/i915.json" /
	printf '\xff\xfe\x00' >bytes; refused 2 'bytes: not a descriptor: line 1' "$VMIG" compat bytes "$data/i915.json"
	printf '{"self":[{"a":"\xc3\x28"}]}' >utf8; refused 2 'utf8: not a descriptor: line 1, .*unable to decode' "$VMIG" compat utf8 "$data/i915.json"
	head -c 300000 /dev/zero | tr '\0' '[' >deep; refused 2 'deep: not a descriptor: .*depth' "$VMIG" compat deep "$data/i915.json"
	: >empty; refused 2 'empty: not a descriptor: line 1' "$VMIG" compat empty "$data/i915.json"
	echo '{"self": [{"a": 1.5}]}' >real; refused 2 'real: not a descriptor: "self", entry 1, "a": neither' "$VMIG" compat real "$data/i915.json"
	descriptor twice '"a": "1", "a": "2"'; refused 2 'twice: not a descriptor: .*[Dd]uplicate' "$VMIG" compat twice "$data/i915.json"
	echo '{"self": [{"a": "1"}, {"a": 1}]}' >same; refused 2 'same: not a descriptor: .*one device twice' "$VMIG" compat same same
}
t_a_file_of_100_megabytes_is_not_read() {
	truncate -s 100M big
	expect 2 "$within" 64 "$VMIG" compat big big
	one_line 'big: longer than 1048576 bytes'
}
t_an_endless_input_is_not_read() {
	expect 2 "$within" 64 bash -c 'yes | "$VMIG" compat - -'
	has err '-: longer than 1048576 bytes'
}
t_values_that_cannot_be_compared_are_an_error_not_a_no() {
	descriptor s '"queues": "many"'
	descriptor d '"queues": 4' '{"queues": {"min": 1}}'
	refused 2 's against d: "queues": "many" is held against "at least 1", but is no number' "$VMIG" compat s d
}
t_a_candidate_that_is_given_twice() {
	refused 2 'i915.json: is given twice' "$VMIG" compat "$data/i915.json" "$data/i915.json" "$data/i915.json"
}
t_words_are_missing() {
	refused 2 'too few words' "$VMIG" compat "$data/i915.json"
}

# --- devices, and their drivers ------------------------------------------------------------------------------
t_devices_publish_descriptors() {
	expect 0 "$VMIG" info --descriptor model:vgpu,type=i915-GVTg_V5_2
	json out 'x[0]["self"] == [{"pciid": "8086591d", "driver": "i915", "gvt-version": "v1", "mdev_type": "i915-GVTg_V5_2",
		"aggregator": "1", "pv-mode": "none"}]'
	cp out vgpu.json
	expect 0 "$VMIG" compat vgpu.json vgpu.json
	serve a vgpu,aggregator=2
	expect 0 "$VMIG" compat vgpu.json vfio-user:a
	expect 0 "$VMIG" compat vfio-user:a vgpu.json
	expect 0 "$VMIG" info --descriptor vfio-user:a
	cp out over-socket
	expect 0 "$VMIG" info --descriptor model:vgpu,aggregator=2
	cmp out over-socket
	stop a
}
t_a_plain_server_publishes_none() {
	serve a nic,state=1M --plain
	refused 1 'its descriptor cannot be had' "$VMIG" info --descriptor vfio-user:a
	refused 1 'its driver tells no version data' "$VMIG" info --opaque vfio-user:a
	stop a
}
t_the_driver_has_the_last_word() {
	serve a accel,state=1M,queues=4
	"$VMIG" info --opaque model:accel,state=1M,queues=4 >good
	"$VMIG" info --opaque model:accel,state=1M,queues=2 >queues
	"$VMIG" info --opaque vfio-user:a >same
	cmp good same
	expect 0 "$VMIG" compat --opaque good vfio-user:a
	has out '^vfio-user:a: yes: the driver takes it'
	expect 1 "$VMIG" compat --opaque queues vfio-user:a
	has out '^vfio-user:a: no: the driver refuses it: the match data are others'
	expect 1 "$VMIG" compat --json --opaque queues vfio-user:a
	json out 'x[0]["compatible"] is False and x[0]["decided-by"] == "driver" and "match data" in x[0]["reason"]'
	: >empty
	refused 2 'empty: is empty' "$VMIG" compat --opaque empty vfio-user:a
	head -c 4097 /dev/zero >long
	refused 2 'long: longer than 4096 bytes' "$VMIG" compat --opaque long vfio-user:a
	refused 2 'one device' "$VMIG" compat --opaque good "$data/i915.json"
	stop a
}
t_a_descriptor_that_is_wrong_is_called_so() {
	# Devices that publish less than their drivers look at.
	local from=model:nic,state=1M,fault=descriptor:error to=model:nic,state=1M,queues=3,fault=descriptor:error
	expect 1 "$VMIG" compat $from $to
	has out ': no$'
	has out 'the descriptors say yes, and are wrong: the driver refuses it: it has another number of queues'
	expect 1 "$VMIG" compat --json $from $to
	json out 'x[0]["candidates"][0]["compatible"] is False and x[0]["candidates"][0]["decided-by"] == "driver" and x[0]["best"] is None'
	expect 0 "$VMIG" compat $from $from,version=1.0.0
	has out "accepts it, and so does its driver"
	expect 1 "$VMIG" migrate --quiet $from --to $to
	has err 'it has another number of queues \(the descriptors say yes: one of them is wrong\)'
}
t_another_host_is_asked_and_goes_on_waiting() {
	serve b accel,state=1M,queues=4
	bg r "$VMIG" receive tcp:127.0.0.1:0 vfio-user:b
	line r '^listening: '
	local to=${REPLY#listening: }
	expect 0 "$VMIG" compat model:accel,state=1M,queues=4 "$to"
	has out 'yes$'
	expect 1 "$VMIG" compat model:accel,state=1M,queues=2 "$to"
	has out 'queues: 2 is not what is accepted'
	has out 'match data are others'
	# A descriptor alone, without a device.
	"$VMIG" info --descriptor model:accel,state=1M,queues=4 >good; "$VMIG" info --descriptor model:nic,state=1M >nic
	expect 0 "$VMIG" compat --json good "$to"
	json out 'x[0]["compatible"] is True and x[0]["reasons"] == []'
	expect 1 "$VMIG" compat --json nic "$to"
	json out 'x[0]["compatible"] is False and any("driver: vmig-nic" in r for r in x[0]["reasons"])'
	refused 2 'cannot be opened' "$VMIG" compat nowhere "$to"
	refused 2 'by its own rules' "$VMIG" compat --symmetric good "$to"
	# And then it takes one.
	expect 0 "$VMIG" send --quiet model:accel,state=1M,queues=4 "$to"
	ended r 0
	stop b
}
t_nobody_answers() { refused 1 'nobody listens|refused' "$VMIG" compat model:nic,state=64K tcp:127.0.0.1:1; }
# refused_at_offer SOURCE DESTINATION PATTERN : exit 1, every reason, and the source never left RUNNING
refused_at_offer() {
	serve a "$1"; serve b "$2"
	expect 1 "$VMIG" migrate --json vfio-user:a --to vfio-user:b
	cp out events; cp err reasons
	has reasons "not done, at offer: the destination refuses: .*$3.*; the source runs on"
	json events '{e["data"]["device-state"] for e in events("VFIO_MIGRATION")} <= {"running"}'
	json events '[[e["data"][k] for k in ("outcome", "stage", "resets", "downtime")] for e in events("VMIG_RESULT")] == [["not-done", "offer", 0, 0]]'
	expect 0 "$VMIG" info --json vfio-user:a vfio-user:b
	json out 'all(d["device-state"] == "running" for d in x[0])'
	stop a; stop b
}
t_another_type_fails_at_the_offer() { refused_at_offer nic,state=1M accel,state=1M 'driver: vmig-nic is not what is accepted'; }
t_another_size_fails_at_the_offer() { refused_at_offer nic,state=1M nic,state=2M 'state: 1048576 is not what is accepted'; }
t_an_older_minor_fails_at_the_offer() {
	refused_at_offer nic,state=1M,version=1.2.0 nic,state=1M,version=1.1.9 'version: a newer minor version.*newer minor version'
}
t_another_queue_count_of_the_accel_fails_at_the_offer() {
	refused_at_offer accel,state=1M,queues=4 accel,state=1M,queues=2 'queues: 4 is not what is accepted.*match data are others'
}
t_a_newer_minor_takes_an_older_one() {
	expect 0 "$VMIG" migrate --quiet model:nic,state=1M,version=1.1.9 --to model:nic,state=1M,version=1.2.0
}
t_every_reason_of_every_device_at_once() {
	expect 1 "$VMIG" migrate --quiet model:nic,state=1M model:serial --to model:nic,state=2M,queues=3 model:serial,version=2.0.0
	has err 'device 0 .*queues: .*device 0 .*state: .*device 1 .*version: another major'
}
tap_main "$@"
