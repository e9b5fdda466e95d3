#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Connections: TLS by certificates and by a key, what is refused and how that is said, compression, faults.
. "$(dirname "$0")/tap.sh"

NIC=nic,state=1M
WORK="--workload --workload-time 20ms"
state() { "$VMIG" info --json "$1" >state.json; sed -n 's/.*"device-state": "\(.*\)".*/\1/p' state.json; }
in_state() { [ "$(state "$1")" = "$2" ] || fail "$1 is in $(state "$1"), not in $2"; }

# --- certificates, made for the case -------------------------------------------------------------
# certificate NAME SIGNER LINE... : NAME.pem and NAME.key; SIGNER - is itself
certificate() {
	local name=$1 signer=$2 how
	shift 2
	command -v certtool >/dev/null || skip "no certtool"
	printf '%s\n' "cn = \"$name\"" "$@" >"$name.cfg"
	certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile "$name.key" >/dev/null 2>&1
	how=(--generate-certificate --load-ca-certificate "$signer.pem" --load-ca-privkey "$signer.key")
	[ "$signer" != - ] || how=(--generate-self-signed)
	certtool "${how[@]}" --load-privkey "$name.key" --template "$name.cfg" --outfile "$name.pem" >certtool.log 2>&1 ||
		{ cat certtool.log >&2; fail "certtool: $name"; }
}
authority() { certificate "$1" - ca cert_signing_key "expiration_days = 2"; }
host() { certificate "$1" "$2" 'dns_name = "localhost"' 'ip_address = "127.0.0.1"' signing_key "${@:3}"; }
by() { echo "--tls-ca ca.pem --tls-cert $1.pem --tls-key $1.key"; }
key() { (umask 077; echo "lab:${1:-000102030405060708090a0b0c0d0e0f}" >"${2:-psk}"); }

# receive OPTION... : vmig receive in the background; its address in $to
receive() {
	bg there "$VMIG" receive tcp:127.0.0.1:0 model:$NIC "$@"
	line there '^listening: '
	to=${REPLY#listening: }
}
moved() { # OPTION... : and now one that is right
	expect 0 "$VMIG" send "${from:-model:$NIC}" "$to" --quiet "$@"
	ended there 0
}

t_certificates_both_ways() {
	authority ca; host here ca; host there ca
	serve a $NIC,dirty-rate=1M/s
	receive $(by there) $WORK
	from=vfio-user:a moved $(by here) $WORK
	has there.out '^workload .*none lost'
	in_state vfio-user:a stop
}
t_names() {
	authority ca; host here ca; certificate there ca 'dns_name = "there.example"' signing_key
	receive $(by there) --tls-peer localhost
	refused 1 "not for the name '127.0.0.1'" "$VMIG" send model:$NIC "$to" $(by here)
	refused 1 'does not let us in: the name in our certificate' "$VMIG" send model:$NIC "$to" $(by there) --tls-peer there.example
	moved $(by here) --tls-peer there.example
	has there.err 'somebody came and was refused: '
}
t_who_is_not_signed_by_the_ca_is_refused_and_the_next_is_served() {
	authority ca; authority other; host here ca; host there ca; host stranger other
	serve a $NIC
	receive $(by there)
	refused 1 'does not let us in: our certificate is not signed by its CA' "$VMIG" send vfio-user:a "$to" $(by stranger)
	in_state vfio-user:a running
	refused 1 'is not let in: its certificate is not signed by our CA' "$VMIG" send vfio-user:a "$to" \
		--tls-ca other.pem --tls-cert here.pem --tls-key here.key
	moved $(by here)
	has there.err 'somebody came and was refused: .*not signed by our CA; waiting for the next'
}
t_an_expired_certificate() {
	authority ca; host there ca
	host old ca 'activation_date = "2001-01-01 00:00:00"' 'expiration_date = "2002-01-01 00:00:00"'
	receive --once $(by there)
	refused 1 'our certificate has expired' "$VMIG" send model:$NIC "$to" $(by old)
	ended there 1
	has there.err 'its certificate has expired'
}
t_a_key_that_both_have() {
	key; key ff0102030405060708090a0b0c0d0e0f other
	receive --tls-psk psk
	expect 1 "$VMIG" send model:$NIC "$to" --tls-psk other
	one_line 'does not let us in'
	moved --tls-psk psk
	has there.err 'its key is another one than ours'
}
t_one_end_without_tls() {
	key
	receive --tls-psk psk
	expect 1 "$VMIG" send model:$NIC "$to" --quiet
	one_line 'the source runs on'
	moved --tls-psk psk
	has there.err 'what the other end says is not TLS: has it been told to use it'
	rm there.fifo
	receive
	refused 1 'not TLS|closed the connection' "$VMIG" send model:$NIC "$to" --tls-psk psk
	moved
	has there.err 'the other end speaks TLS, which was not asked for here'
}
t_a_secret_that_others_can_read() {
	authority ca; host here ca; key
	chmod 644 here.key psk
	refused 2 'here.key: others can read or change this secret \(mode 0644\): chmod 600 it' \
		"$VMIG" send model:$NIC tcp:127.0.0.1:1 $(by here)
	refused 2 'psk: others can read' "$VMIG" receive tcp:127.0.0.1:0 model:$NIC --tls-psk psk
	has_not err '000102030405'
}
t_options_that_do_not_go_together() {
	authority ca; host here ca; key
	refused 2 'certificates go both ways' "$VMIG" send model:$NIC tcp:127.0.0.1:1 --tls-ca ca.pem
	refused 2 'not both' "$VMIG" send model:$NIC tcp:127.0.0.1:1 $(by here) --tls-psk psk
	refused 2 'nowhere.pem: cannot be read' "$VMIG" send model:$NIC tcp:127.0.0.1:1 --tls-ca nowhere.pem --tls-cert here.pem --tls-key here.key
	refused 2 'IDENTITY:HEXKEY' "$VMIG" send model:$NIC tcp:127.0.0.1:1 --tls-psk here.key
}
t_plain_tcp_beyond_this_host() {
	refused 2 'whoever is on the way.*--tls-psk.*--insecure' "$VMIG" receive tcp:0.0.0.0:0 model:$NIC
	refused 2 'whoever is on the way.*--tls-psk.*--insecure' "$VMIG" send model:$NIC tcp:192.0.2.1:4444
	bg there "$VMIG" receive --insecure tcp:0.0.0.0:0 model:$NIC
	line there '^listening: tcp:0.0.0.0:'
	expect 0 "$VMIG" send --quiet model:$NIC "tcp:127.0.0.1:${REPLY##*:}"
	ended there 0
	key
	bg other "$VMIG" receive --tls-psk psk tcp:0.0.0.0:0 model:$NIC
	line other '^listening: tcp:0.0.0.0:'
	expect 0 "$VMIG" send --quiet --tls-psk psk model:$NIC "tcp:127.0.0.1:${REPLY##*:}"
	ended other 0
}
t_a_question_in_tls() {
	key
	receive --tls-psk psk
	expect 0 "$VMIG" compat model:$NIC "$to" --tls-psk psk
	expect 1 "$VMIG" compat model:serial "$to" --tls-psk psk
	moved --tls-psk psk
}
t_compression() {
	serve a $NIC,dirty-rate=1M/s
	receive --compress $WORK
	from=vfio-user:a moved --compress $WORK
	has there.out '^workload .*none lost'
	key
	rm there.fifo
	receive --compress --tls-psk psk
	moved --compress --tls-psk psk
}
t_one_end_that_compresses_alone() {
	receive --compress
	expect 2 "$VMIG" send model:$NIC "$to" --quiet
	one_line 'the other end compresses, which was not asked for here'
	moved --compress
	has there.err 'somebody came and was refused: .*compress'
	rm there.fifo
	receive
	refused 1 'compress' "$VMIG" send model:$NIC "$to" --compress
	moved
	has there.err 'the other end compresses, which was not asked for here'
}
# All faults come before the devices stop: a loss after that leads back, as it should. (What is compressed is soon over.)
all_layers() { # FAULTS OPTION...
	local faults=$1 to
	shift
	key
	serve a nic,state=4M,dirty-rate=1M/s
	bg there "$VMIG" receive tcp:127.0.0.1:0 model:nic,state=4M --tls-psk psk --reconnect=20s $WORK "$@"
	line there '^listening: '
	to=${REPLY#listening: }
	expect 0 "$VMIG" send vfio-user:a "$to" --tls-psk psk --reconnect=20s --connections 3 $WORK \
		--bandwidth 40M/s --x-channel-fault "$faults" "$@"
	ended there 0
	has there.out '^workload .*none lost'
	in_state vfio-user:a stop
}
t_a_session_in_tls_outlives_its_connections() { all_layers cut=3000,cut=6000,corrupt=4000,drop=5000,cut=7000; }
t_all_layers_at_once() { all_layers cut=2000 --compress; }
t_faults_on_purpose() {
	local fault
	key
	serve a $NIC
	for fault in cut=0 cut=50000 corrupt=600000 drop=600000; do
		rm -f there.fifo
		receive --once --tls-psk psk --timeout 5s
		expect 1 "$VMIG" send vfio-user:a "$to" --quiet --tls-psk psk --timeout 5s --x-channel-fault $fault
		one_line 'the source runs on|cannot be connected to'
		in_state vfio-user:a running
		# What was cut ends; what was changed is bad input.
		if [ "${fault%=*}" = cut ]; then ended there 1; else ended there 2; fi
	done
	for fault in corrupt=600000 corrupt=200001; do
		rm -f there.fifo
		receive --once --tls-psk psk
		expect 1 "$VMIG" send vfio-user:a "$to" --quiet --tls-psk psk --x-channel-fault $fault
		ended there 2
		has there.err 'what arrives is damaged'
	done
	refused 2 'a fault is cut=' "$VMIG" send vfio-user:a "$to" --x-channel-fault burn=1
}

tap_main "$@"
