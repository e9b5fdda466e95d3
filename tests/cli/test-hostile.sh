#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A 'vmig receive' whose port somebody can reach who means harm: it refuses with a reason, keeps its memory, and serves the
# next one. What the records can do is in tests/engine/test-hostile.c.
. "$(dirname "$0")/tap.sh"

NIC=nic,state=1M
ENEMY="python3 $(cd "$(dirname "$0")" && pwd)/enemy.py"
MEMORY_KIB=65536 # most that it may ever have resident: an idle one has about 12 MiB
key() { (umask 077; echo "lab:000102030405060708090a0b0c0d0e0f" >psk); }

receive() { # OPTION...
	bg there "$VMIG" receive --timeout 3s tcp:127.0.0.1:0 model:$NIC "$@"
	line there '^listening: '
	to=${REPLY#listening: }
}
bounded() {
	local kib
	kib=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid_there/status")
	[ -n "$SANITIZED" ] || [ "$kib" -le $MEMORY_KIB ] || fail "it has had $kib KiB"
}
SANITIZED=${SANITIZED:-}
# The next one is served, and each refusal was given a reason.
served() { # OPTION...
	bounded
	expect 0 "$VMIG" send --quiet model:$NIC "$to" "$@"
	ended there 0
}

t_garbage() {
	receive
	timeout "$WAIT" $ENEMY garbage "$to"
	served
	has there.err 'somebody came and was refused: .*; waiting for the next'
}
t_garbage_for_tls() {
	key
	receive --tls-psk psk
	timeout "$WAIT" $ENEMY garbage "$to"
	served --tls-psk psk
	has there.err 'somebody came and was refused: what the other end says is not TLS'
}
t_garbage_for_compression() {
	receive --compress
	timeout "$WAIT" $ENEMY garbage "$to"
	served --compress
	has there.err 'somebody came and was refused: .*compress'
}
t_many_who_say_nothing() {
	receive
	timeout "$WAIT" $ENEMY nothing "$to"
	served
}
t_bytes_without_an_end() {
	receive
	timeout "$WAIT" $ENEMY endless "$to"
	served
}
t_bytes_without_an_end_for_tls() {
	key
	receive --tls-psk psk
	timeout "$WAIT" $ENEMY endless "$to"
	served --tls-psk psk
}
t_a_byte_now_and_then() {
	receive
	timeout "$WAIT" $ENEMY drip "$to"
	served
	has there.err 'takes too long|silent'
}
t_a_byte_now_and_then_for_tls() {
	key
	receive --tls-psk psk
	timeout "$WAIT" $ENEMY drip "$to"
	served --tls-psk psk
	has there.err 'did not end the handshake'
}
# Who has the key gets in while others hold every place, and long before they have to go.
t_a_crowd_in_the_handshake_holds_up_nobody() {
	key
	bg there "$VMIG" receive --timeout 60s tcp:127.0.0.1:0 model:$NIC --tls-psk psk
	line there '^listening: '
	to=${REPLY#listening: }
	bg crowd $ENEMY crowd "$to"
	line crowd crowded
	served --tls-psk psk
}
# recorded OPTION... : a migration that was good, kept in ./kept
recorded() {
	receive "$@"
	bg proxy $ENEMY record proxy "$to" kept
	line proxy ready
	expect 0 "$VMIG" send --quiet vfio-user:a unix:proxy --as first "$@"
	ended there 0
	ended proxy 0
	rm there.fifo proxy
}
t_an_older_session_in_tls_is_nothing() {
	key
	serve a $NIC
	recorded --tls-psk psk
	receive --tls-psk psk
	timeout "$WAIT" $ENEMY replay "$to" kept
	served --tls-psk psk
	has there.err 'somebody came and was refused: '
}
# Without TLS it is the record that knows that this has been.
t_an_older_session_is_refused_by_the_record() {
	serve a $NIC
	recorded
	receive
	timeout "$WAIT" $ENEMY replay "$to" kept
	served
	has there.err 'somebody came and was refused: .*'
}

tap_main "$@"
