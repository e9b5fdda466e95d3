#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vmig check: good devices are clean over every transport and in both forms; what it says, and in which forms.
. "$(dirname "$0")/tap.sh"

# clean DEVICE [OPTION...] : nothing is red
clean() {
	expect 0 "$VMIG" check "$@" --json
	json out 'all(c["verdict"] in ("pass", "observation", "not applicable", "skipped") for c in x[0]["checks"])'
	json out 'sum(c["verdict"] == "pass" for c in x[0]["checks"]) >= 13'
}
both() { clean "$1" --second "$1"; }

t_models_in_process() {
	local spec
	for spec in nic,state=64K nic,state=64K,p2p=off nic,state=64K,precopy=off nic,state=64K,dirty-rate=1M/s accel,state=64K \
		accel,state=64K,log=device accel,state=64K,precopy=on serial; do
		both "model:$spec"
	done
}
# of_v1 DEVICE... : clean, and its migration region is checked, too; SECTIONS are the forms of the data section
SECTIONS="trapped mapped partitioned"
TOUCH="--touch 0:0x1000:0020000000000000" # a register of a queue's
of_v1() {
	clean "$@"
	json out 'sum(c["id"].startswith("v1-") and c["verdict"] == "pass" for c in x[0]["checks"]) >= 26'
	json out '{c["verdict"] for c in x[0]["checks"] if c["id"] in ("v1-restore-and-save", "v1-consumed", "v1-other-ways")} == {"pass"}'
}
t_models_by_v1() {
	local section nic=v1+model:nic,state=64K,v1=on
	for section in $SECTIONS; do
		of_v1 $nic,v1-section=$section,v1-size=20K --second $nic,v1-size=20K --dangerous $TOUCH
		[ $section = trapped ] ||
			json out '{c["verdict"] for c in x[0]["checks"] if c["id"] in ("v1-restore-mapped", "v1-mapped-data")} == {"pass"}'
	done
	of_v1 v1+model:vgpu,state=64K --second v1+model:vgpu,state=64K $TOUCH
	of_v1 v1+model:accel,state=64K,v1=on $TOUCH
	of_v1 v1-no-mmap+model:serial,v1=on --second v1+model:serial,v1=on --touch 0:7:5a
}
t_a_rule_of_v1_is_broken() {
	expect 1 "$VMIG" check v1+model:nic,state=16K,v1=on,fault=rule:v1-takes-5
	has out '^  fail +v1-invalid-states '
	has out '^  fail +v1.bits.invalid +must '
	refused 2 'with v1=on' "$VMIG" check model:nic,fault=rule:v1-takes-5
}
t_by_vfio_user() {
	serve a nic,state=64K
	serve b nic,state=64K
	clean vfio-user:a --second vfio-user:b
	serve c accel,state=64K,precopy=on
	clean vfio-user:c --dangerous
	serve d serial
	clean vfio-user:d
}
t_by_plain_vfio_user() {
	serve a nic,state=64K --plain
	clean vfio-user:a
}
t_v1_by_vfio_user() {
	local section
	for section in $SECTIONS; do
		serve $section nic,state=64K,v1=on,v1-section=$section,v1-size=20K
		of_v1 v1+vfio-user:$section $TOUCH
	done
	serve b vgpu,state=64K
	of_v1 v1+vfio-user:b --dangerous $TOUCH
}
t_v1_by_the_kernels_abi() {
	local way section n=0
	for way in ${WAYS:-preload seccomp}; do
		"$VMIG" run --intercept=$way --quiet --device serial -- true 2>err || continue
		for section in $SECTIONS; do
			expect 0 "$VMIG" run --intercept=$way --quiet --device nic,state=64K,v1=on,v1-section=$section,v1-size=20K -- \
				"$VMIG" check v1+vfio:{} --dangerous --json $TOUCH
			json out 'sum(c["id"].startswith("v1-") and c["verdict"] == "pass" for c in x[0]["checks"]) >= 26'
			n=$((n + 1))
		done
	done
	[ $n -gt 0 ] || skip "no way in: $(cat err)"
}
# A folder whose device has no group any more, so that it is opened by its character device.
only_cdev() {
	mkdir -p "$1/vfio-dev/vfio$2"
	ln -s /sys/bus/pci "$1/subsystem"; ln -s /sys/bus/pci/drivers/vmig "$1/driver"; ln -s /sys/kernel/iommu_groups/none "$1/iommu_group"
}
of_kernel() { # WAY MODEL PATH PATH : clean, bad data and all
	expect 0 "$VMIG" run --intercept=$1 --quiet --device "$2" --device "$2" -- "$VMIG" check vfio:"$3" --second vfio:"$4" --dangerous --json
	json out 'sum(c["verdict"] == "pass" for c in x[0]["checks"]) >= 45'
	json out 'all(c["verdict"] == "pass" for c in x[0]["checks"] if c["id"] in ("restore-into-second", "stop-copy-to-pre-copy", "get-gives-no-fd"))'
}
t_by_the_kernels_abi() {
	local way model n=0
	only_cdev a 0; only_cdev b 1
	for way in ${WAYS:-preload seccomp}; do
		"$VMIG" run --intercept=$way --quiet --device serial -- true 2>err || continue
		for model in nic,state=64K accel,state=64K,precopy=on serial; do
			of_kernel $way $model {} {1}
			of_kernel $way $model "$PWD/a" "$PWD/b"
			n=$((n + 1))
		done
	done
	[ $n -gt 0 ] || skip "no way in: $(cat err)"
}
# A device of another process, and one that does not tell the sizes of its pre-copy: who is shown it may ask for them all the same.
t_by_the_kernels_abi_over_vfio_user() {
	local way name n=0
	serve a nic,state=64K
	serve b nic,state=64K --plain
	for way in ${WAYS:-preload seccomp}; do
		"$VMIG" run --intercept=$way --quiet --device serial -- true 2>err || continue
		for name in a b; do
			expect 0 "$VMIG" run --intercept=$way --quiet --device vfio-user:$PWD/$name -- "$VMIG" check vfio:{} --dangerous --json
			json out 'sum(c["verdict"] == "pass" for c in x[0]["checks"]) >= 45'
			json out 'all(c["verdict"] == "pass" for c in x[0]["checks"] if c["id"] in ("precopy-info", "initial-bytes-shrink", "precopy-info-flags", "read-when-both-are-zero"))'
			n=$((n + 1))
		done
	done
	[ $n -gt 0 ] || skip "no way in: $(cat err)"
}
t_a_fault_is_found_and_named() {
	expect 1 "$VMIG" check 'model:nic,state=64K,fault=RUNNING>PRE_COPY:EIO'
	has out '^  fail +every-pair-of-states '
	has out 'saw +Input/output error'
	has out '^  fail +set.complete +must '
	has out ' failed, '
}
# only CHECK : the checks that are red are this one, and it has failed
only() { # CHECK... : these fail, in this order
	json out "[(c['id'], c['verdict']) for c in x[0]['checks'] if c['verdict'] in ('fail', 'hang', 'error')] == [(w, 'fail') for w in '$*'.split()]"
}
t_a_broken_rule_is_found_by_its_check() {
	expect 1 "$VMIG" check --json model:nic,state=64K,fault=rule:info-in-stop-copy --second model:nic,state=64K
	only precopy-info-in-stop-copy
	refused 2 'no rule of this name' "$VMIG" check model:nic,fault=rule:none
}
t_a_broken_rule_is_found_by_vfio_user() {
	serve a nic,state=64K,fault=rule:takes-a-part
	expect 1 "$VMIG" check --json vfio-user:a
	only truncated-stream vu-data-part # by the handle, and by the messages
}
t_a_broken_rule_is_found_by_v1() {
	expect 1 "$VMIG" check --json v1+model:nic,state=64K,v1=on,fault=rule:no-config-in-stop
	only config-space-in-stop
	serve a vgpu,state=64K,fault=rule:no-config-in-stop
	expect 1 "$VMIG" check --json v1+vfio-user:a
	only config-space-in-stop
}
t_a_broken_rule_is_found_by_the_kernels_abi() {
	local way n=0
	for way in ${WAYS:-preload seccomp}; do
		"$VMIG" run --intercept=$way --quiet --device serial -- true 2>err || continue
		expect 1 "$VMIG" run --intercept=$way --quiet --device nic,state=64K,fault=rule:log-starts-never-again -- \
			"$VMIG" check vfio:{} --dangerous --json
		json out 'any(c["id"] == "log-starts-again" and c["verdict"] == "fail" for c in x[0]["checks"])'
		n=$((n + 1))
	done
	[ $n -gt 0 ] || skip "no way in: $(cat err)"
}
t_a_touched_register_moves() {
	expect 0 "$VMIG" check --json model:serial --second model:serial --touch 0:7:5a
	json out '{c["verdict"] for c in x[0]["checks"] if c["id"] == "touched-register-moves"} == {"pass"}'
	expect 1 "$VMIG" check --json model:nic,state=64K,fault=rule:forgets-a-register --touch 0:0x1000:0020000000000000
	only touched-register-moves
}
t_a_wrong_touch() { for t in 0:7 x:7:5a 0:7:5 0:7:5g 0:-7:5a; do refused 2 'a region, an offset' "$VMIG" check --touch $t model:serial; done; }
t_help_lists_the_rules() {
	expect 0 "$VMIG" help serve
	has out '^    reports-late +STOP to RUNNING_P2P'
}
t_a_hang_is_found() {
	expect 1 "$VMIG" check 'model:serial,fault=PRE_COPY_P2P>PRE_COPY:hang=60s' --timeout 4s
	has out '^  hang +every-pair-of-states '
}
t_tap() {
	expect 1 "$VMIG" check --tap 'model:nic,state=64K,fault=RUNNING>PRE_COPY:EIO'
	has out '^1\.\.[0-9]+$'
	has out '^not ok 2 - every-pair-of-states$'
	has out '^# saw: Input/output error'
	has out '^ok [0-9]+ - restore-into-second # SKIP skipped: '
	[ "$(grep -cE '^(not )?ok ' out)" = "$(sed -n 's/^1\.\.//p' out)" ] || fail "plan"
}
t_junit() {
	expect 1 "$VMIG" check --quiet --junit x.xml 'model:serial,fault=RUNNING>PRE_COPY:EIO'
	python3 - <<'PY'
import xml.etree.ElementTree as tree
suite = tree.parse("x.xml").getroot()
cases = suite.findall("testcase")
assert suite.tag == "testsuite" and len(cases) == int(suite.get("tests")) > 40
assert len(suite.findall("testcase/failure")) == int(suite.get("failures")) > 0
assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped")) > 0
PY
}
t_json_has_every_clause() {
	expect 0 "$VMIG" check --json model:serial
	json out 'len(x[0]["clauses"]) > 80 and all(("verdict" in c) != ("why-no-check" in c) for c in x[0]["clauses"])'
	json out 'all(c["clauses"] and c["did"] for c in x[0]["checks"])'
}
t_a_device_of_v1_that_is_not_driven_is_not_checked() { refused 2 'does not migrate.*v1\+DEVICE' "$VMIG" check model:vgpu; }
t_no_device() { refused 2 'cannot be opened' "$VMIG" check vfio-user:none; }
t_two_devices() { refused 2 'one DEVICE at a time' "$VMIG" check model:nic model:nic; }
t_a_wrong_device() { refused 2 'is not a DEVICE' "$VMIG" check nothing; }
t_a_junit_that_cannot_be_written() { refused 2 'cannot be written' "$VMIG" check --quiet --junit no/file model:serial; }

tap_main "$@"
