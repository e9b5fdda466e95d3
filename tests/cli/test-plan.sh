#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vmig plan: answers about devices, and about sizes.
. "$(dirname "$0")/tap.sh"
CALM='--state 1G --dirty-rate 10M/s --bandwidth 1G/s --latency 100us'

t_sizes_alone() {
	expect 0 "$VMIG" plan $CALM
	has out '^plan +1 host, each 1 device of 1.0 GiB in all, changing 10.0 MiB/s; 1.0 GiB/s$'
	has out '^time +1.0 s$'
	has out '^converges +yes$'
}
t_what_does_not_converge() {
	expect 1 "$VMIG" plan --state 1G --dirty-rate 8G/s --bandwidth 1G/s
	has out '^converges +no: pre-copy does not converge: device 0 .* changes .*what would help: a downtime of'
	expect 1 "$VMIG" plan --state 1G --dirty-rate 8G/s --bandwidth 1G/s --on-no-converge abort --json
	json out 'events("VMIG_PLAN")[0]["data"]["done"] == 0 and not events("VMIG_PLAN")[0]["data"]["converges"]'
}
t_many_hosts_wait_for_the_record() {
	expect 0 "$VMIG" plan $CALM --json
	cp out one
	expect 0 "$VMIG" plan $CALM --hosts 200 --json
	json out 'events("VMIG_PLAN")[0]["data"]["done"] == 200'
	python3 - <<'PY' || fail "200 hosts are down no longer than one"
import json
one, many = (json.loads(open(f).read())["data"] for f in ("one", "out"))
assert many["record-time"] > 10 * one["record-time"] and many["downtime"] > one["downtime"], (one, many)
PY
}
t_hosts_share_what_they_have_in_common() {
	expect 0 "$VMIG" plan $CALM --hosts 10 --shared-bandwidth 2G/s --downtime 10s --json
	json out '4900 < events("VMIG_PLAN")[0]["data"]["total-time"] < 6000'
}
t_a_device_is_looked_at_and_runs_on() {
	serve a nic,state=16M,dirty-rate=8M/s
	expect 0 "$VMIG" plan vfio-user:a --bandwidth 1G/s --json
	json out '16 << 20 <= events("VMIG_PLAN")[0]["data"]["state"] < 17 << 20'
	json out 'events("VMIG_PLAN")[0]["data"]["dirty-rate"] > 0'
	expect 0 "$VMIG" info vfio-user:a
	has out 'state +RUNNING'
}
t_a_device_without_precopy() {
	expect 0 "$VMIG" plan model:nic,state=64M,precopy=off --bandwidth 1G/s
	has out '^rounds +0$'
}
t_bad_options() {
	refused 2 'neither a DEVICE nor a size' "$VMIG" plan --bandwidth 1G/s
	refused 2 '--bandwidth is missing' "$VMIG" plan --state 1G
	refused 2 '--hosts: 10001 are too many' "$VMIG" plan --state 1G --bandwidth 1G/s --hosts 10001
	refused 2 "--on-no-converge: 'panic'" "$VMIG" plan --state 1G --bandwidth 1G/s --on-no-converge panic
	refused 2 'too large to be true' "$VMIG" plan --state 2000T --bandwidth 1G/s
}
tap_main "$@"
