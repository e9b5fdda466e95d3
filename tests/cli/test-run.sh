#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vmig run by $WAY (LD_PRELOAD; where that cannot be, seccomp): a VMM that knows nothing of vmig, migrated between two runs; info, trace, faults; what is refused.
. "$(dirname "$0")/tap.sh"

WAY=${WAY:-preload}
if [ "$WAY" = seccomp ] && [ "${1:-}" != --one ] && ! "$VMIG" run --intercept=seccomp --quiet --device nic -- true 2>/dev/null; then
	echo "1..0 # SKIP user notification of seccomp cannot be had here"
	exit 0
fi
NIC=nic,state=4M
run() { timeout -k 5 "$WAIT" "$VMIG" run --intercept="$WAY" --quiet "$@"; }
# migrated DEVICE SOURCE-OPTIONS DESTINATION-OPTIONS : by the client, and it says that nothing was lost
migrated() {
	run --device "$1" -- "$CLIENT" source $2 2>src.err | run --device "$1" -- "$CLIENT" destination $3 >out 2>err ||
		fail "$(cat src.err)"
	has out '^ok: 1064 records'
}
# held NAME OPTION... : a run that stays until its standard input closes, with the device open once before
held() {
	local name=$1
	shift
	bg "$name" "$VMIG" run --intercept="$WAY" --name "$NAME$name" "$@" -- \
		bash -c '"$0" look && echo looked && exec sleep 1000' "$CLIENT"
	line "$name" '^looked'
}
NAME=t$$

# --- a VMM, unmodified ---------------------------------------------------------------------------
t_migrates_by_v2() { migrated $NIC "" ""; }
t_migrates_by_v1() { migrated $NIC,v1=on --v1 --v1; }
t_migrates_by_v1_with_a_mapped_section() { migrated $NIC,v1=on,v1-section=mapped --v1 --v1; }
t_migrates_with_shared_memory() { migrated $NIC --memfd --memfd; }
t_migrates_by_iommufd_with_passed_descriptors() {
	local words="--iommufd {iommufd} --cdev {cdev}"
	migrated $NIC "$words" "$words"
}
t_children_of_fork_and_exec_do_no_harm() { migrated $NIC --fork ""; }
t_duplicated_descriptors() {
	[ $WAY = preload ] || skip "by seccomp, descriptors stay above 4095: cli-run-seccomp"
	migrated $NIC --high ""
}
# Python: a program of another language, which has vfork(), close_range() and threads of its own.
python() { run --device $NIC -- python3 - >out 2>err || fail "$(cat err)"; }
t_a_child_of_vfork_closes_only_its_own() {
	python <<'PY'
import fcntl, os, subprocess
container = os.open("/dev/vfio/vfio", os.O_RDWR)
for _ in range(3):
    subprocess.run(["true"], close_fds=True, check=True)
    assert fcntl.ioctl(container, 0x3B64) == 0  # GET_API_VERSION
PY
}
t_a_range_that_is_closed_gives_the_group_back() {
	python <<'PY'
import errno, os
group = os.open("/dev/vfio/90", os.O_RDWR)
try:
    os.open("/dev/vfio/90", os.O_RDWR)
    raise SystemExit("two users of a group")
except OSError as e:
    assert e.errno == errno.EBUSY, e
more = os.dup(group)
os.close(group)
os.closerange(more, more + 10)
again = os.open("/dev/vfio/90", os.O_RDWR)
os.close(again)
PY
}
t_what_a_child_of_vfork_duplicates_is_not_ours() {
	[ $WAY = preload ] || skip "by seccomp, descriptors stay above 4095: cli-run-seccomp"
	python <<'PY'
import os, subprocess
container = os.open("/dev/vfio/vfio", os.O_RDWR)
subprocess.run(["true"], stdout=container, check=True)  # dup2() in memory that the child shares
os.write(1, b"still the standard output\n")
PY
	has out 'still'
}
t_a_dup2_of_nothing_closes_nothing() {
	python <<'PY'
import errno, fcntl, os
container = os.open("/dev/vfio/vfio", os.O_RDWR)
try:
    os.dup2(4000, container)
    raise SystemExit("a duplicate of nothing")
except OSError as e:
    assert e.errno == errno.EBADF, e
assert fcntl.ioctl(container, 0x3B64) == 0  # GET_API_VERSION
PY
}
t_a_program_that_closes_all_it_does_not_know() {
	python <<'PY'
import os
for _ in range(2):
    os.open("/dev/vfio/vfio", os.O_RDWR)
    os.closerange(3, 8192)
PY
}
t_a_daemon_uses_what_was_passed() {
	run --device $NIC -- python3 -c '
import fcntl, os, struct, sys
pid = os.fork()
if pid: sys.exit(os.waitpid(pid, 0)[1] != 0)
fcntl.ioctl(int(sys.argv[1]), 0x3B81, bytearray(struct.pack("III", 12, 0, 0)))  # IOAS_ALLOC
' {iommufd} >out 2>err || fail "$(cat err)"
}
t_a_private_mapping_of_a_region_is_refused() {
	NIC=$NIC,v1=on,v1-section=mapped
	python <<'PY'
import ctypes, errno, fcntl, mmap, os, struct
container = os.open("/dev/vfio/vfio", os.O_RDWR)
group = os.open("/dev/vfio/90", os.O_RDWR)
fcntl.ioctl(group, 0x3B68, struct.pack("i", container))  # SET_CONTAINER
fcntl.ioctl(container, 0x3B66, 3)  # SET_IOMMU
device = ctypes.CDLL(None).ioctl(group, 0x3B6A, b"x")  # GET_DEVICE_FD
def can(offset, flags):
    try:
        mmap.mmap(device, 4096, prot=mmap.PROT_READ, flags=flags, offset=offset).close()
        return True
    except OSError as e:
        assert e.errno == errno.EINVAL, e
        return False
    except ValueError:  # by seccomp, Python sees the file behind it, and its end
        return False
pages = [(region << 40) + 4096 * page for region in range(16) for page in range(4)]
shared = [at for at in pages if can(at, mmap.MAP_SHARED)]
assert shared and not [at for at in shared if can(at, mmap.MAP_PRIVATE)], shared
PY
}
t_signals_stay_with_the_program() {
	python <<'PY'
import os, signal
group = os.open("/dev/vfio/90", os.O_RDWR)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # the program's only thread: ours are not to take it
for _ in range(20):
    os.kill(os.getpid(), signal.SIGUSR1)
    assert signal.sigwait({signal.SIGUSR1}) == signal.SIGUSR1
PY
}
t_what_came_past_us_fails_aloud() {
	[ $WAY = preload ] || skip "this is about LD_PRELOAD"
	python <<'PY'
import ctypes, os, select
group = os.open("/dev/vfio/90", os.O_RDWR)
buf = ctypes.create_string_buffer(16)
libc = ctypes.CDLL(None, use_errno=True)
for number in (0, 1):  # read and write by syscall(): no function of the C library's that is interposed
    assert libc.syscall(number, group, buf, 16) == -1, number
assert select.select([group], [], [], 20)[0] == [group]  # poll() does not wait for ever
try:
    os.lseek(group, 0, os.SEEK_SET)
    raise SystemExit("it has a position")
except OSError:
    pass
PY
}
t_a_flipped_bit_is_noticed() {
	run --device $NIC -- "$CLIENT" source >stream
	python3 - <<'PY'
data = bytearray(open("stream", "rb").read())
data[len(data) // 2] ^= 1
open("stream", "wb").write(data)
PY
	local got=0
	run --device $NIC -- "$CLIENT" destination <stream >out 2>err || got=$?
	[ $got = 1 ] || fail "status $got"
	has err 'write: |state|digest'
}
t_a_vfio_user_device() {
	serve a $NIC
	serve b $NIC
	run --device "vfio-user:$PWD/a" -- "$CLIENT" source --memfd 2>src.err |
		run --device "vfio-user:$PWD/b" -- "$CLIENT" destination --memfd >out 2>err || fail "$(cat src.err)"
	has out '^ok: 1064 records'
}
t_a_vfio_user_device_and_private_memory() {
	serve a $NIC
	serve b $NIC
	run --device "vfio-user:$PWD/a" -- "$CLIENT" source 2>src.err |
		run --device "vfio-user:$PWD/b" -- "$CLIENT" destination >out 2>err || fail "$(cat src.err)"
	has out '^ok: 1064 records'
}
t_several_devices_are_several_groups() {
	run --device $NIC serial -- "$VMIG" info --json vfio:{0} vfio:{1} >out
	json out 'len(x[0]) == 2 and all(d["migrates"] for d in x[0])'
}
t_our_own_user_side_is_a_vmm_too() {
	run --device $NIC,dirty-rate=16M/s -- "$VMIG" save vfio:{} "$PWD/file" >out
	run --device $NIC -- "$VMIG" restore "$PWD/file" vfio:{} >out
	expect 0 "$VMIG" inspect --verify file
}
t_not_root() {
	[ "$(id -u)" = 0 ] || skip "this is not root, so all the others are this test"
	command -v setpriv >/dev/null || skip "there is no setpriv"
	local uid=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	chmod 755 "$dir"
	"${uid[@]}" test -x "$VMIG" -a -x "$CLIENT" || skip "nobody may not read the build folder"
	"${uid[@]}" "$VMIG" run --quiet --intercept="$WAY" --device $NIC -- "$CLIENT" source |
		"${uid[@]}" "$VMIG" run --quiet --intercept="$WAY" --device $NIC -- "$CLIENT" destination >out
	has out '^ok: 1064 records'
	[ -d /tmp/vmig-65534 ] || fail "its folder should be in /tmp: it may not write to XDG_RUNTIME_DIR"
}

# --- looking on ----------------------------------------------------------------------------------
t_info_of_a_run() {
	held a --device $NIC serial
	expect 0 "$VMIG" info --json "run:${NAME}a"
	json out 'x[0][0]["vmig-run"] == 1 and x[0][0]["intercept"] == "'$WAY'" and len(x[0][0]["devices"]) == 2'
	expect 0 "$VMIG" info "run:${NAME}a"
	has out "^run:${NAME}a  pid [0-9]+, by $WAY"
	has out '^  /dev/vfio/90  model:nic,state=4M$'
	has out '^    resets    [0-9]+$'
}
t_trace_of_a_run_ends_with_it() {
	held a --device $NIC
	bg trace "$VMIG" trace "run:${NAME}a"
	line trace 'open group'
	line trace 'GROUP_GET_DEVICE_FD'
	kill -TERM "$pid_a"
	ended trace 0
	has trace.out 'close container'
}
t_trace_as_json() {
	held a --device $NIC
	bg trace "$VMIG" trace --json "run:${NAME}a"
	line trace '"n":0,'
	kill -TERM "$pid_a"
	ended trace 0
	json trace.out 'x[-1] == {"end": 143} and [c["call"]["n"] for c in x[:-1]] == list(range(1, len(x)))'
}
t_trace_into_a_file() {
	run --trace "$PWD/calls" --device $NIC -- "$CLIENT" source >stream
	json calls 'len(x) > 100 and [c["n"] for c in x] == list(range(len(x)))'
	has calls 'SET_STATE RUNNING -> PRE_COPY'
	has calls 'SET_STATE PRE_COPY -> STOP_COPY'
}
t_data_of_v1_is_traced_while_somebody_looks() {
	run --trace "$PWD/calls" --device $NIC,v1=on,v1-section=trapped -- "$CLIENT" source --v1 >stream
	has calls 'read region 9 \+ 0x20, [0-9]+ bytes'
}
t_a_client_that_does_not_read_holds_up_nothing() {
	held a --device $NIC
	python3 - "${NAME}a" "$VMIG" <<'PY'
import json, os, socket, subprocess, sys
path = f"{os.environ['XDG_RUNTIME_DIR']}/vmig/{sys.argv[1]}/control"
def connect():
    s = socket.socket(socket.AF_UNIX); s.connect(path); return s
mute = [connect() for _ in range(8)]                    # they say nothing
for s in mute[:4]:
    s.sendall(b'{"vmig-run": 1, "command": "trace"}\n')  # they read nothing
mute[4].sendall(b"x" * 4095)                              # half a line
noise = connect(); noise.sendall(b"x" * 5000 + b"\n")     # too long a line
try:
    assert noise.recv(10) == b""
except ConnectionResetError:
    pass
for bad in (b"[]\n", b"{}\n", b"\xff\xfe\n", b'{"vmig-run": 2, "command": "info"}\n', b'{"vmig-run": 1, "command": "stop"}\n'):
    s = connect(); s.sendall(bad); assert "error" in json.loads(s.makefile().readline())
info = subprocess.run([sys.argv[2], "info", "--json", "run:" + sys.argv[1]], timeout=30, capture_output=True)
assert info.returncode == 0, info
many = []
for _ in range(40):                                       # too many at once: turned away, or in the queue
    s = connect(); s.setblocking(False); many.append(s)
for s in mute + many:
    s.close()
info = subprocess.run([sys.argv[2], "info", "--json", "run:" + sys.argv[1]], timeout=30, capture_output=True)
assert info.returncode == 0, info
PY
}
t_no_such_run() {
	refused 1 'run:nobody: there is no such run' "$VMIG" info run:nobody
	refused 1 'run:nobody: there is no such run' "$VMIG" trace run:nobody
	refused 2 'no name of a run' "$VMIG" trace run:../x
	refused 2 "is not run:NAME" "$VMIG" trace x
}

# --- faults --------------------------------------------------------------------------------------
t_an_arc_that_fails() {
	local got=0
	run --device $NIC --fault='RUNNING>PRE_COPY:EIO' -- "$CLIENT" source >/dev/null 2>err || got=$?
	[ $got = 1 ] || fail "status $got"
	one_line 'to state 6: Input/output error; it is in 2'
}
t_once_is_once() {
	run --trace "$PWD/calls" --device $NIC --fault='RUNNING>PRE_COPY:EBUSY:once' -- \
		bash -c '"$0" source >/dev/null; exec "$0" source' "$CLIENT" >stream 2>err || fail "the second one failed too"
	has err 'to state 6: Device or resource busy'
}
t_a_write_that_fails() {
	local got=0
	run --device $NIC -- "$CLIENT" source >stream
	run --device $NIC --fault=write@1M:ENOSPC -- "$CLIENT" destination <stream >out 2>err || got=$?
	[ $got = 1 ] || fail "status $got"
	one_line 'No space left'
}
t_a_fault_of_one_device_only() {
	run --device $NIC --device serial --fault='RUNNING>STOP:EIO' -- "$CLIENT" source >stream
	refused 2 'has the form WHERE:WHAT' "$VMIG" run --device $NIC --fault=x -- true
	refused 2 'for the device itself' "$VMIG" run --device $NIC --fault=load:EIO -- true
}

# --- the command ---------------------------------------------------------------------------------
t_status_is_the_commands() {
	expect 0 "$VMIG" run --device $NIC -- true
	expect 7 "$VMIG" run --device $NIC -- sh -c 'exit 7'
	expect 137 "$VMIG" run --device $NIC -- sh -c 'kill -KILL $$'
	refused 127 'not found' "$VMIG" run --device $NIC -- nosuchcommand
	echo '#!/no/interpreter' >bad && chmod +x bad
	refused 127 './bad: cannot be run' "$VMIG" run --device $NIC --quiet -- ./bad
	echo text >text
	refused 126 'Permission denied' "$VMIG" run --device $NIC -- ./text
}
t_words_in_braces() {
	local fd=300
	[ $WAY = preload ] || fd=4096
	run --name "$NAME" --device $NIC serial -- printf '%s\n' a={} {0} {1} {iommufd} '{cdev},{cdev1}' '{"x": {y}}' '{' >out
	printf '%s\n' "a=$dir/vmig/$NAME/d0" "$dir/vmig/$NAME/d0" "$dir/vmig/$NAME/d1" $fd $((fd + 1)),$((fd + 2)) \
		'{"x": {y}}' '{' | diff - out || fail "the words differ"
	refused 2 'only the devices 0 to 0' "$VMIG" run --device $NIC -- echo {1}
}
t_says_what_to_tell_the_vmm() {
	expect 0 "$VMIG" run --device $NIC -- true
	has err '^vmig run: model:nic,state=4M is /dev/vfio/90; for QEMU: -device vfio-pci,sysfsdev=/'
	expect 0 "$VMIG" run --device $NIC -- true {}
	[ ! -s err ] || fail "it says too much"
}
t_signals_are_forwarded() {
	bg a "$VMIG" run --name "${NAME}s" --device $NIC -- \
		bash -c 'trap "echo got; exit 5" USR1; echo ready; while :; do read -t 1 -r _ <> <(:); done'
	line a '^ready'
	kill -USR1 "$pid_a"
	line a '^got'
	ended a 5
}
t_what_is_left_behind_keeps_the_run() {
	bg a "$VMIG" run --name "${NAME}d" --device $NIC -- \
		bash -c '(exec >/dev/null 2>&1; exec sleep 1000) & echo "daemon $!"; exit 3'
	line a '^daemon '
	expect 0 "$VMIG" info "run:${NAME}d"
	kill -TERM "${REPLY#daemon }" 2>/dev/null || kill -TERM "$(ps -o pid= --ppid "$pid_a" | tail -1)"
	ended a 3
	[ ! -e "$dir/vmig/${NAME}d" ] || fail "the folder is left behind"
}
t_a_signal_ends_the_run_but_not_what_is_left_behind() {
	bg a "$VMIG" run --intercept="$WAY" --name "${NAME}l" --device $NIC -- \
		bash -c '(exec >/dev/null 2>&1; exec sleep 1000) & echo "daemon $!"; exit 3'
	line a '^daemon '
	local daemon=${REPLY#daemon }
	pids+=("$daemon")
	# When the command has ended, the daemon is the run's child.
	while [ "$(ps -o ppid= -p "$daemon" | tr -d ' ')" != "$pid_a" ]; do read -rt 0.05 _ <> <(:) || :; done
	kill -TERM "$pid_a"
	ended a 3
	kill -0 "$daemon" || fail "the daemon was ended too"
}
t_a_leftover_of_a_killed_run() {
	held a --device $NIC
	kill -KILL "$pid_a"
	wait "$pid_a" || :
	[ -e "$dir/vmig/${NAME}a/lock" ] || fail "it should be left behind"
	refused 1 'no such run' "$VMIG" info "run:${NAME}a"
	expect 0 "$VMIG" run --quiet --name "${NAME}a" --device $NIC -- true
	[ ! -e "$dir/vmig/${NAME}a" ] || fail "the folder is left behind"
}
t_the_run_is_killed_and_the_command_ends() {
	bg a "$VMIG" run --intercept="$WAY" --name "${NAME}k" --device $NIC -- bash -c 'echo "child $$"; exec sleep 1000'
	line a '^child '
	kill -KILL "$pid_a"
	timeout "$WAIT" tail --pid="${REPLY#child }" -f /dev/null || fail "the command runs on"
}
t_old_leftovers_are_swept_up() {
	held a --device $NIC
	kill -KILL "$pid_a"
	wait "$pid_a" || :
	touch -d '10 minutes ago' "$dir/vmig/${NAME}a"
	expect 0 "$VMIG" run --quiet --device $NIC -- true
	[ ! -e "$dir/vmig/${NAME}a" ] || fail "it is there still"
}
t_a_name_is_taken_once() {
	held a --device $NIC
	refused 1 "run:${NAME}a: there is one" "$VMIG" run --name "${NAME}a" --device $NIC -- true
	refused 2 'is not 1 to' "$VMIG" run --name a/b --device $NIC -- true
}
t_one_process_has_the_devices() {
	[ $WAY = preload ] || skip "by seccomp, all processes may have them"
	run --device $NIC -- bash -c 'exec 5<>/dev/vfio/90 && { "$0" look; true; }' "$CLIENT" >out 2>err
	has err '/dev/vfio/vfio: Device or resource busy'
}

# --- what cannot be --------------------------------------------------------------------------------
t_usage() {
	refused 2 "write it after '--'" "$VMIG" run --device $NIC
	refused 2 "write it after '--'" "$VMIG" run --device $NIC --
	refused 2 'no device' "$VMIG" run -- true
	refused 2 'is not a DEVICE' "$VMIG" run --device usb:3 -- true
	refused 2 'is not a way in' "$VMIG" run --intercept=magic --device $NIC -- true
	refused 2 'unknown model "modem"' "$VMIG" run --quiet --device modem -- true
	expect 1 "$VMIG" run --quiet --intercept="$WAY" --device "vfio-user:$PWD/none" -- "$CLIENT" look
	has err "^vmig run: vfio-user:.*/none: cannot be opened: .*No such file"
	[ $WAY = seccomp ] || has err '^client: /dev/vfio/vfio: No such device'
}
t_a_static_program_needs_another_way_in() {
	[ $WAY = preload ] || skip "this is about LD_PRELOAD"
	refused 1 'linked statically' "$VMIG" run --intercept=preload --device $NIC -- "$CLIENT_STATIC" look
}
t_a_device_that_is_not_asked_for_costs_nothing() {
	[ $WAY = preload ] || skip "this is about LD_PRELOAD"
	run --trace "$PWD/calls" --device $NIC -- sh -c 'cat /proc/self/maps >maps; echo done' >out
	[ ! -s calls ] || fail "there were calls"
	has_not maps '/shared'
}

# --- the C library's names -------------------------------------------------------------------------
t_every_variant_is_interposed() {
	[ $WAY = preload ] || skip "this is about LD_PRELOAD"
	nm -D --defined-only "$PRELOAD" | sed -n 's/.* T \([a-z_0-9]*\).*/\1/p' | sort >ours
	# What the C library has of this kind.
	nm -D --defined-only "$(ldd "$CLIENT" | sed -n 's/.*libc\.so\.6 => \([^ ]*\).*/\1/p')" |
		sed -n 's/.* [TWi] \([a-z_0-9]*\)@@.*/\1/p' | sort >libc
	grep -xE '(__)?(open|openat|open64|openat64)(_2)?|(__)?(p?read|p?write)(64)?(_chk)?|p?(read|write)v(64)?(v?2)?|mmap(64)?|(__)?lseek(64)?|(__)?close|close_range|closefrom|(__)?dup[23]?|(__)?fcntl(64)?|ioctl' libc >wanted
	[ "$(wc -l <wanted)" -gt 35 ] || fail "the C library was not understood: $(tr '\n' ' ' <wanted)"
	comm -13 ours wanted >missed
	[ ! -s missed ] || fail "missed: $(tr '\n' ' ' <missed)"
}
t_what_qemu_calls_is_interposed() {
	[ $WAY = preload ] || skip "this is about LD_PRELOAD"
	local qemu
	qemu=$(command -v qemu-system-x86_64) || skip "there is no qemu-system-x86_64"
	nm -D --defined-only "$PRELOAD" | sed -n 's/.* T \([a-z_0-9]*\).*/\1/p' | sort >ours
	nm -D --undefined-only "$qemu" | sed -n 's/.* [Uw] \([a-z_0-9]*\)@GLIBC.*/\1/p' | sort -u |
		grep -E '^_*(open|close|dup|fcntl|ioctl|p?read|p?write|mmap|lseek)' |
		grep -vE '^(opendir|openpty|openlog|closedir|closelog|readdir|readlink)' >wanted
	comm -13 ours wanted >missed
	[ ! -s missed ] || fail "missed: $(tr '\n' ' ' <missed)"
}
t_nothing_else_is_exported() {
	[ $WAY = preload ] || skip "this is about LD_PRELOAD"
	nm -D --defined-only "$PRELOAD" | sed -n 's/.* [A-Z] \([A-Za-z_0-9]*\).*/\1/p' | grep -vE '^_*(open|close|dup|fcntl|ioctl|p?read|p?write|mmap|lseek)' >more || :
	[ ! -s more ] || fail "exported too: $(tr '\n' ' ' <more)"
}

tap_main "$@"
