#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A connection that is lost and comes back; several of them.
. "$(dirname "$0")/tap.sh"

PROXY=$(cd "$(dirname "$0")" && pwd)/proxy.py
WORK="--workload --workload-time 20ms"
state() { "$VMIG" info --json "$1" >state.json; sed -n 's/.*"device-state": "\(.*\)".*/\1/p' state.json; }
in_state() { [ "$(state "$1")" = "$2" ] || fail "$1 is in $(state "$1"), not in $2"; }

# receive DEVICE OPTION... : vmig receive in the background, as ${there:-there}; its port in $port
receive() {
	bg "${there:-there}" "$VMIG" receive tcp:127.0.0.1:0 "$@"
	line "${there:-there}" '^listening: '
	port=${REPLY##*:}
}
# proxy CUT... : before $port; its address in $to
proxy() {
	bg proxy python3 "$PROXY" "$port" "$@"
	line proxy '^proxy: '
	to=tcp:127.0.0.1:${REPLY#proxy: }
}

t_ten_cuts_cost_little_and_lose_nothing() {
	receive model:nic,state=512M --reconnect $WORK
	proxy 30000000 50000000 1000 20000000 40000000 30000000 100 45000000 35000000 25000000
	expect 0 "$VMIG" send model:nic,state=512M,dirty-rate=1M/s "$to" --reconnect --json $WORK
	ended there 0
	has there.out '^workload .*none lost'
	stop proxy
	has proxy.out '^cuts: 10$'
	moved=$(tail -n 1 out | sed -n 's/.*"transferred": *\([0-9]*\), *"passes".*/\1/p')
	carried=$(sed -n 's/^carried: //p' proxy.out)
	[ "$carried" -le $((moved * 12 / 10)) ] || fail "$carried bytes were carried for $moved"
}
t_a_connection_that_stays_away_ends_it() {
	serve a nic,state=64M
	receive model:nic,state=64M --reconnect=1s
	proxy 1000000 stop
	expect 1 "$VMIG" send vfio-user:a "$to" --reconnect=1s
	has err 'the connection was lost: waiting'
	in_state vfio-user:a running
}
t_both_ends_have_to_say_it() {
	receive model:nic,state=1M --once
	expect 1 "$VMIG" send model:nic,state=1M "tcp:127.0.0.1:$port" --reconnect
	has err 'give --reconnect to both ends'
	ended there 2
	there=other receive model:nic,state=1M --once --reconnect
	expect 1 "$VMIG" send model:nic,state=1M "tcp:127.0.0.1:$port"
	ended other 1
	has other.err 'give --reconnect to both ends'
}
t_several_connections() {
	receive model:nic,state=8M model:nic,state=8M model:nic,state=8M $WORK
	expect 0 "$VMIG" send model:nic,state=8M model:nic,state=8M,dirty-rate=1M/s model:nic,state=8M \
		"tcp:127.0.0.1:$port" --connections 2 $WORK
	ended there 0
	has there.out '^workload .*none lost'
}
t_several_that_are_cut() {
	receive model:nic,state=64M model:nic,state=64M --reconnect $WORK
	proxy 1000000
	expect 0 "$VMIG" send model:nic,state=64M model:nic,state=64M "$to" --connections 2 --reconnect $WORK
	ended there 0
	has there.out '^workload .*none lost'
	stop proxy
}

tap_main "$@"
