#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vmig run by seccomp: a static VMM, migrated between two runs; several devices, daemons, deaths; what is refused.
. "$(dirname "$0")/tap.sh"

NIC=nic,state=4M
NAME=s$$
run() { timeout -k 5 "$WAIT" "$VMIG" run --intercept=seccomp --quiet "$@"; }
able() {
	"$VMIG" run --intercept=seccomp --quiet --device $NIC -- true 2>err || skip "seccomp cannot be had: $(cat err)"
}
# migrated DEVICE SOURCE-OPTIONS DESTINATION-OPTIONS : by the client, and it says that nothing was lost
migrated() {
	able
	run --device "$1" -- "$CLIENT_STATIC" source $2 2>src.err |
		run --device "$1" -- "$CLIENT_STATIC" destination $3 >out 2>err || fail "$(cat src.err)"
	has out '^ok: 1064 records'
}
held() {
	local name=$1
	shift
	able
	bg "$name" "$VMIG" run --intercept=seccomp --name "$NAME$name" "$@" -- "$HOLDER" hang
	line "$name" '^ready'
}

t_a_static_program_migrates_by_v2() { migrated $NIC "" ""; }
t_with_shared_memory() { migrated $NIC --memfd --memfd; }
t_by_v1() { migrated $NIC,v1=on --v1 --v1; }
t_by_v1_with_a_section_that_is_mapped() {
	local section
	able
	for section in mapped partitioned; do
		run --device $NIC,digest=on,v1=on,v1-section=$section -- "$HOLDER" save-v1 |
			run --device $NIC,digest=on,v1=on,v1-section=$section -- "$HOLDER" -p load-v1
	done
}
t_by_iommufd_with_passed_descriptors() {
	local words="--iommufd {iommufd} --cdev {cdev}"
	migrated $NIC "$words" "$words"
}
t_from_preload_to_seccomp_and_back() {
	able
	run --device $NIC -- "$CLIENT" source |
		timeout "$WAIT" "$VMIG" run --intercept=preload --quiet --device $NIC -- "$CLIENT" destination >out
	has out '^ok: 1064 records'
	timeout "$WAIT" "$VMIG" run --intercept=preload --quiet --device $NIC -- "$CLIENT" source |
		run --device $NIC -- "$CLIENT" destination >out
	has out '^ok: 1064 records'
}
t_auto_takes_it_for_a_static_program() {
	able
	"$VMIG" run --quiet --device $NIC -- "$CLIENT_STATIC" look >out
	has out '^state 2'
}
t_a_vfio_user_device() {
	serve a $NIC
	serve b $NIC
	able
	run --device "vfio-user:$PWD/a" -- "$CLIENT_STATIC" source --memfd 2>src.err |
		run --device "vfio-user:$PWD/b" -- "$CLIENT_STATIC" destination >out 2>err || fail "$(cat src.err)"
	has out '^ok: 1064 records'
}
t_our_own_user_side_is_a_vmm_too() {
	able
	run --device $NIC $NIC -- "$VMIG" migrate vfio:{0} --to vfio:{1} --workload >out
	has out 'none lost, doubled, reordered or corrupt'
}
t_children_and_threads() {
	able
	run --device $NIC -- "$HOLDER" fds fork
	run --device $NIC -- "$HOLDER" threads
}
t_a_daemon_keeps_the_run() {
	able
	run --device $NIC -- "$HOLDER" fds daemon
	run --device $NIC -- "$HOLDER" -p fds daemon
}
t_not_root() {
	[ "$(id -u)" = 0 ] || skip "this is not root, so all the others are this test"
	command -v setpriv >/dev/null || skip "there is no setpriv"
	able
	local uid=(setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs)
	chmod 755 "$dir"
	"${uid[@]}" test -x "$VMIG" -a -x "$CLIENT_STATIC" || skip "nobody may not read the build folder"
	"${uid[@]}" "$VMIG" run --quiet --intercept=seccomp --device $NIC -- "$CLIENT_STATIC" source --memfd |
		"${uid[@]}" "$VMIG" run --quiet --intercept=seccomp --device $NIC -- "$CLIENT_STATIC" destination >out
	has out '^ok: 1064 records'
}
t_info_and_trace() {
	held a --device $NIC
	expect 0 "$VMIG" info "run:${NAME}a"
	has out "^run:${NAME}a  pid [0-9]+, by seccomp"
	run --trace "$PWD/calls" --device $NIC -- "$CLIENT_STATIC" source >stream
	has calls 'SET_STATE PRE_COPY -> STOP_COPY'
}

# --- deaths ----------------------------------------------------------------------------------------
t_the_program_is_killed() {
	held a --device $NIC
	kill -KILL "$(ps -o pid= --ppid "$pid_a" | head -1)"
	ended a 137
}
t_the_run_is_killed() {
	held a --device $NIC
	local child
	child=$(ps -o pid= --ppid "$pid_a" | tr -d ' ')
	kill -KILL "$pid_a"
	wait "$pid_a" || :
	# It ignores SIGTERM.
	timeout "$WAIT" tail --pid="$child" -f /dev/null || fail "the program is left"
}

# --- what cannot be --------------------------------------------------------------------------------
t_a_run_within_a_run() {
	able
	run --device $NIC -- "$VMIG" run --intercept=seccomp --device $NIC -- true >out 2>err && fail "that cannot be"
	has err 'supervised by another already'
}
t_a_low_limit_of_open_files() {
	able
	# With privilege it is raised.
	(ulimit -n 4000 && run --device $NIC -- true) 2>err || has err 'hard limit of open files'
}
# A device in a kernel (here: that of another run) reaches memory of this process only.
t_a_kernels_device_needs_shared_memory() {
	able
	local outer=(timeout -k 5 "$WAIT" "$VMIG" run --intercept=preload --quiet --device $NIC --)
	"${outer[@]}" "$VMIG" run --intercept=seccomp --quiet --device vfio:{} -- "$CLIENT_STATIC" source --memfd >stream
	"${outer[@]}" "$VMIG" run --intercept=seccomp --quiet --device vfio:{} -- "$CLIENT_STATIC" destination --memfd <stream >out
	has out '^ok: 1064 records'
	"${outer[@]}" "$VMIG" run --intercept=seccomp --device vfio:{} -- "$CLIENT_STATIC" source >out 2>err && fail "that cannot be"
	has err 'its memory has to be shared'
	has err 'give the program.s memory a file that is mapped shared'
}

tap_main "$@"
