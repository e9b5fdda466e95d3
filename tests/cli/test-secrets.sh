#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What must not be seen: a key is in no output, whatever goes wrong; and whoever listens has given up what it does not need.
. "$(dirname "$0")/tap.sh"

NIC=nic,state=1M
KEY=5ec4e7c0ffee5ec4e7c0ffee5ec4e7c0ffee5ec4e7c0ffee5ec4e7c0ffee5ec4
OTHER=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
unseen() { # FILE...
	! grep -qiE "${KEY:0:12}|${KEY:20:12}|${OTHER:0:12}" "$@" || fail "a key is shown"
}
listen() { # OPTION...
	serve b $NIC --log b.log
	bg there "$VMIG" receive --json "$@" unix:s vfio-user:b
	line there VMIG_LISTENING
}
gone() {
	kill -TERM "$pid_there"
	rest there
	wait "$pid_there" || :
}

sanitized() { nm -D "$VMIG" | grep -q '__[at]san_init'; }

t_a_key_that_is_right_is_not_shown() {
	serve a $NIC --log a.log
	(umask 077; echo "me:$KEY" >psk)
	listen --tls-psk psk
	expect 0 "$VMIG" send --json vfio-user:a unix:s --tls-psk psk
	ended there 0
	unseen out err there.out there.err a.log b.log
}
t_a_key_that_is_wrong_is_not_shown() {
	serve a $NIC
	(umask 077; echo "me:$KEY" >psk; echo "me:$OTHER" >other)
	listen --tls-psk psk --timeout 5s
	expect 1 "$VMIG" send --json vfio-user:a unix:s --tls-psk other --timeout 5s
	gone
	unseen out err there.out there.err
}
t_a_file_of_a_key_that_cannot_be_read_is_not_shown() {
	serve a $NIC
	for line in "$KEY" "me:${KEY}zz" "me $KEY" "me:${KEY}x:$OTHER"; do
		(umask 077; echo "$line" >psk)
		expect 2 "$VMIG" send vfio-user:a unix:nowhere --tls-psk psk
		unseen out err
	done
}
t_a_receive_gives_up_what_it_does_not_need() {
	listen
	grep -q '^NoNewPrivs:.*1$' "/proc/$pid_there/status" || fail "it may gain privileges"
	grep -q '^Max core file size *0 *0 ' "/proc/$pid_there/limits" || fail "it leaves cores"
	if ! sanitized; then
		grep -q '^Seccomp:.*2$' "/proc/$pid_there/status" || fail "it may call anything"
	fi
	gone
}
t_a_run_gives_up_what_it_does_not_need_and_its_command_does_not() {
	! sanitized || skip "a sanitizer has to come before the library of this way in"
	expect 0 "$VMIG" run --intercept preload --device $NIC -- sh -c \
		'grep -h ^NoNewPrivs: /proc/$PPID/status /proc/self/status; ulimit -c unlimited; /bin/true && echo it can'
	[ "$(grep -c '^NoNewPrivs:.*1$' out)" = 1 ] || fail "not one of the two has given up privileges"
	has out '^it can$'
}
tap_main "$@"
