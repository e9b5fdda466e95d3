#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# serve and info, and every way in which a DEVICE cannot be had: one clear line, the right status.
. "$(dirname "$0")/tap.sh"

NIC=nic,state=1M

# --- serve ---------------------------------------------------------------------------------------
t_serve_says_ready_and_ends_on_sigterm() {
	bg a "$VMIG" serve $NIC --socket-path="$PWD/a"
	line a '^ready: .*/a$'
	[ -S a ] || fail "no socket"
	stop a
	[ ! -e a ] || fail "the socket is left behind"
}
t_serve_ends_on_sigint() {
	# A shell starts background jobs with SIGINT ignored; the command sets its own handler.
	serve a $NIC
	kill -INT "$pid_a"
	ended a 0
}
t_serve_on_a_connected_fd() {
	python3 - "$VMIG" <<'PY'
import socket, subprocess, sys
ours, theirs = socket.socketpair()
p = subprocess.Popen([sys.argv[1], "serve", "nic,state=1M", f"--fd={theirs.fileno()}"], pass_fds=[theirs.fileno()],
                     stdout=subprocess.PIPE, text=True)
theirs.close()
assert p.stdout.readline().startswith("ready: fd "), "not ready"
ours.close()  # the client goes, and so does the server
assert p.wait(60) == 0, p.returncode
PY
}
t_serve_on_a_listening_fd() {
	python3 - "$VMIG" <<'PY'
import signal, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX)
s.bind("a"); s.listen()
p = subprocess.Popen([sys.argv[1], "serve", "nic,state=1M", "--fd", str(s.fileno())], pass_fds=[s.fileno()],
                     stdout=subprocess.PIPE, text=True)
assert p.stdout.readline().startswith("ready: fd "), "not ready"
info = subprocess.run([sys.argv[1], "info", "--json", "vfio-user:a"], timeout=60)
assert info.returncode == 0
p.send_signal(signal.SIGTERM)
assert p.wait(60) == 0, p.returncode
PY
}
t_serve_replaces_a_stale_socket() {
	serve a $NIC
	kill -KILL "$pid_a"
	wait "$pid_a" || :
	[ -S a ] || fail "it should be left behind"
	rm a.fifo
	serve a $NIC
	expect 0 "$VMIG" info vfio-user:a
}
t_serve_where_somebody_listens() {
	serve a $NIC
	refused 1 '^vmig serve: a: .*in use.*; ' "$VMIG" serve $NIC --socket a
	expect 0 "$VMIG" info vfio-user:a
}
t_serve_in_no_folder() { refused 1 'no/where/a: .*No such file' "$VMIG" serve $NIC --socket no/where/a; }
t_serve_needs_a_place() {
	refused 2 '--socket' "$VMIG" serve $NIC
	refused 2 '--socket' "$VMIG" serve $NIC --socket a --fd 3
	refused 2 '--fd' "$VMIG" serve $NIC --fd x
	refused 2 '--fd' "$VMIG" serve $NIC --fd 77
}
t_unknown_model() { refused 2 'unknown model "modem".*nic' "$VMIG" serve modem --socket a; }
t_unknown_key() { refused 2 'unknown key "speed".*state' "$VMIG" serve nic,speed=3 --socket a; }
t_size_that_overflows() {
	refused 2 'state=.*too large' "$VMIG" serve nic,state=99999999999999999999 --socket a
	refused 2 'state=.*too large' "$VMIG" info model:nic,state=18446744073709551615G
}
t_help_of_serve_lists_models_and_keys() {
	expect 0 "$VMIG" help serve
	has out '^  model nic '
	has out '^    dirty-rate='
}

# --- info ----------------------------------------------------------------------------------------
t_info_for_people() {
	expect 0 "$VMIG" info model:$NIC
	has out '^  state +RUNNING$'
	has out '^  migration +STOP_COPY P2P PRE_COPY$'
	has out '^  arcs +STOP -> STOP_COPY RESUMING RUNNING_P2P; on to RUNNING PRE_COPY PRE_COPY_P2P$'
	has out 'STOP_COPY -> STOP; on to'
	has out '^  region 7 '
	has_not out 'STOP_COPY ->.* PRE_COPY'
}
t_info_for_programs() {
	expect 0 "$VMIG" info --json model:$NIC model:serial
	json out 'len(x[0]) == 2'
	json out '[d["device-id"] for d in x[0]] == ["model:nic,state=1M", "model:serial"]'
	json out 'all(k in d for d in x[0] for k in ("identity", "format", "migrates", "flags", "device-state", "states",
		"migration-flags", "arcs", "has", "traits", "dma-kinds", "regions", "irqs"))'
	json out 'len(x[0][0]["states"]) == 8'
	json out '[a["path"] for a in x[0][0]["arcs"] if (a["from"], a["to"]) == ("stop-copy", "pre-copy")] == [[]]'
	json out '[a["path"] for a in x[0][0]["arcs"] if (a["from"], a["to"]) == ("running", "stop")] == [["running-p2p", "stop"]]'
}
t_info_of_features_that_are_off() {
	expect 0 "$VMIG" info --json model:nic,state=1M,p2p=off,precopy=off
	json out 'x[0][0]["migration-flags"] == ["stop-copy"]'
	json out 'x[0][0]["states"] == ["error", "stop", "running", "stop-copy", "resuming"]'
}
t_info_through_a_socket_says_the_same() {
	serve a $NIC
	expect 0 "$VMIG" info --json vfio-user:a
	cp out there
	expect 0 "$VMIG" info --json model:$NIC
	python3 - <<'PY'
import json
a, b = json.load(open("there"))[0], json.load(open("out"))[0]
for k in ("identity", "format", "migration-flags", "flags", "states", "arcs", "irqs", "stop-copy-size", "device-state"):
    assert a.get(k) == b.get(k), (k, a.get(k), b.get(k))
assert [(r["index"], r["size"]) for r in a["regions"]] == [(r["index"], r["size"]) for r in b["regions"]]
PY
}
t_info_of_a_plain_server() {
	serve a $NIC --plain
	expect 0 "$VMIG" info --json vfio-user:a
	json out '"short-read-ends" in x[0][0]["traits"] and "precopy-info" not in x[0][0]["has"]'
}

# --- devices that cannot be had ------------------------------------------------------------------
t_no_such_socket() { refused 1 '^vmig info: vfio-user:nowhere: .*No such file.*; .*vmig serve' "$VMIG" info vfio-user:nowhere; }
t_nobody_listens() {
	python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("a")'
	refused 1 'vfio-user:a: .*refused.*; ' "$VMIG" info vfio-user:a
}
t_not_a_socket() {
	echo hello >file
	refused 1 'vfio-user:file: ' "$VMIG" info vfio-user:file
}
t_a_socket_that_is_not_vfio_user() {
	cat >other.py <<'PY'
import socket
s = socket.socket(socket.AF_UNIX); s.bind("other"); s.listen()
print("ready", flush=True)
c, _ = s.accept()
c.recv(4096)
c.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
c.recv(1)
PY
	bg other python3 other.py
	line other ready
	refused 1 'vfio-user:other: .*; see whether a vfio-user server' "$VMIG" info vfio-user:other
}
t_a_server_that_closes_at_once() {
	cat >other.py <<'PY'
import socket
s = socket.socket(socket.AF_UNIX); s.bind("other"); s.listen()
print("ready", flush=True)
c, _ = s.accept()
c.close()
s.accept()
PY
	bg other python3 other.py
	line other ready
	refused 1 'vfio-user:other: ' "$VMIG" info vfio-user:other
}
t_a_server_that_hangs() {
	cat >other.py <<'PY'
import socket
s = socket.socket(socket.AF_UNIX); s.bind("other"); s.listen()
print("ready", flush=True)
c, _ = s.accept()
while c.recv(4096):
    pass
s.accept()
PY
	bg other python3 other.py
	line other ready
	refused 1 'vfio-user:other: .*timed out.*--timeout' "$VMIG" info --timeout 200ms vfio-user:other
}
t_a_device_with_another_user() {
	serve a $NIC
	bg hold "$VMIG" receive unix:hold.sock vfio-user:a
	line hold '^listening: '
	refused 1 'vfio-user:a: .*busy.*; ' "$VMIG" info vfio-user:a
}
t_a_device_that_hangs_in_a_transition() {
	serve a "$NIC,fault=RUNNING>PRE_COPY:hang=1s:once"
	expect 4 "$VMIG" save --quiet --timeout 300ms vfio-user:a file
	one_line 'LOST AT PRECOPY: .*PRE_COPY.*does not answer'
	[ ! -e file ] || fail "a file is left"
	expect 0 "$VMIG" info --recover vfio-user:a
	has out '^  state +RUNNING'
}
t_a_device_without_migration() {
	# The least that a vfio-user server can be: no region, no interrupt, no feature.
	cat >least.py <<'PY'
import socket, struct
s = socket.socket(socket.AF_UNIX); s.bind("least"); s.listen()
print("ready", flush=True)
VERSION, INFO = 1, 4
while True:
    c, _ = s.accept()
    while len(head := c.recv(16, socket.MSG_WAITALL)) == 16:
        ident, command, size, flags, error = struct.unpack("<HHIII", head)
        c.recv(size - 16, socket.MSG_WAITALL) if size > 16 else None
        body, error = b"", 0
        if command == VERSION:
            body = struct.pack("<HH", 0, 0) + b'{"capabilities":{}}\0'
        elif command == INFO:
            body = struct.pack("<IIII", 16, 0, 0, 0)
        else:
            error = 25  # ENOTTY
        c.sendall(struct.pack("<HHIII", ident, command, 16 + len(body), 33 if error else 1, error) + body)
PY
	bg least python3 least.py
	line least ready
	expect 0 "$VMIG" info vfio-user:least
	has out 'does not migrate$'
	expect 0 "$VMIG" info --json vfio-user:least
	json out 'x[0][0]["migrates"] is False and "device-state" not in x[0][0]'
	refused 1 'vfio-user:least: .*no migration' "$VMIG" save --quiet vfio-user:least file
	[ ! -e file ] || fail "a file is left"
	refused 1 'vfio-user:least: .*no migration' "$VMIG" migrate --quiet model:$NIC --to vfio-user:least
	refused 1 'vfio-user:least: cannot be brought back' "$VMIG" info --recover vfio-user:least
}
t_not_a_device() {
	refused 2 "'nic' is not a DEVICE: write " "$VMIG" info nic
	refused 2 'is not a DEVICE' "$VMIG" info vfio-user:
	refused 2 'is not a DEVICE' "$VMIG" save nic file
}
t_no_such_kernel_device() {
	refused 1 'vfio:/dev/vfio/devices/vfio999: ' "$VMIG" info vfio:/dev/vfio/devices/vfio999
	refused 1 'vfio:/sys/nowhere: ' "$VMIG" info vfio:/sys/nowhere
}
t_a_model_that_migrates_by_v1_only() {
	local spec=model:vgpu,state=64K,aggregator=2
	expect 0 "$VMIG" info $spec
	has out "drive it as v1\\+$spec"
	expect 0 "$VMIG" info $spec,v1-section=trapped,v1-size=64K
	has out 'region 9 .*read write$'
	refused 2 'migrates by v1 only' "$VMIG" info $spec,v1=off
	expect 0 "$VMIG" migrate v1+$spec --to v1+$spec,v1-section=partitioned --workload
	has out 'none lost, doubled, reordered or corrupt'
	refused 1 "aggregator: 2 is not what is accepted" "$VMIG" migrate --quiet v1+$spec --to v1+model:vgpu,state=128K
}
t_one_bad_device_of_two() {
	expect 1 "$VMIG" info --json model:$NIC vfio-user:nowhere
	one_line 'nowhere'
	json out 'len(x[0]) == 1'
}
# hold SOCKET : has the device, and says so; then it is as good as frozen
hold() {
	bg user python3 -c 'import signal, socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(struct.pack("<HHIII", 1, 1, 20, 0, 0) + bytes(4))
print("has it" if s.recv(16) else "has it not", flush=True)
signal.pause()' "$1"
	line user '^has it$'
}
# It is cut off, and the device is as it left it.
t_a_device_is_taken_from_a_frozen_user() {
	serve a $NIC
	hold a
	refused 1 'another user.*--take' "$VMIG" info vfio-user:a
	expect 0 "$VMIG" info --json --take vfio-user:a
	json out 'x[0][0]["device-state"] == "running"'
	expect 0 "$VMIG" info vfio-user:a
	stop a
}
t_resolve_takes_a_device_from_a_frozen_user() {
	serve a $NIC
	hold a
	refused 1 'carries an identity' "$VMIG" owner resolve vfio-user:a
	stop a
}
t_a_plain_server_keeps_its_user() {
	serve a $NIC --plain
	hold a
	refused 1 'does not take it' "$VMIG" info --take vfio-user:a
}
# --- whose state it holds -----------------------------------------------------------------------
t_info_says_whose_state_it_holds() {
	serve a $NIC
	expect 0 "$VMIG" info vfio-user:a
	has out '^  holds +nobody'
	expect 0 "$VMIG" info --json vfio-user:a
	json out 'x[0][0]["tag"]["identity"] is None and len(x[0][0]["tag"]["instance"]) == 36'
	serve b $NIC --plain
	expect 0 "$VMIG" info --json vfio-user:b
	json out '"tag" not in x[0][0]'
	stop a
	stop b
}
t_a_server_logs_what_becomes_of_its_device() {
	serve a $NIC --log log
	expect 0 "$VMIG" save vfio-user:a /dev/null
	stop a
	has log '^[0-9]{10,} step: RUNNING to PRE_COPY$'
	has log '^[0-9]{10,} state: STOP_COPY$'
	refused 2 'nowhere/log' "$VMIG" serve $NIC --socket b --log nowhere/log
}
# --- what a server gives up ---------------------------------------------------------------------
t_a_server_gives_up_what_it_does_not_need() {
	serve a $NIC
	grep -q '^NoNewPrivs:.*1$' "/proc/$pid_a/status" || fail "it may gain privileges"
	grep -q '^Max core file size *0 *0 ' "/proc/$pid_a/limits" || fail "it leaves cores"
	# A sanitizer needs the rest.
	if ! nm -D "$VMIG" | grep -q '__[at]san_init'; then
		grep -q '^Seccomp:.*2$' "/proc/$pid_a/status" || fail "it may call anything"
	fi
	stop a
	serve b $NIC --no-sandbox
	grep -q '^NoNewPrivs:.*0$' "/proc/$pid_b/status" || fail "--no-sandbox does nothing"
	stop b
}
tap_main "$@"
