# SPDX-License-Identifier: BSD-3-Clause
# Migrations that a record decides: what the command says, its exit statuses, and who runs after a death.
. "$(dirname "${BASH_SOURCE[0]}")/tap.sh"
NIC=nic,state=1M
state() { "$VMIG" info --json "vfio-user:$1" | sed -n 's/.*"device-state": "\([a-z0-9-]*\)".*/\1/p'; }
are() { # STATE SOCKET...
	local want=$1 socket; shift
	for socket; do [ "$(state "$socket")" = "$want" ] || fail "$socket is in $(state "$socket"), not in $want"; done
}
move() { expect "$1" "$VMIG" migrate "${@:4}" "vfio-user:$2" --to "vfio-user:$3"; }

t_the_record_s_time_has_a_line_of_its_own() {
	serve a $NIC; serve b $NIC
	move 0 a b
	has out '^record +[0-9.]+ [mun]?s of the downtime, epoch 3 '
	are stop a; are running b
}

t_a_device_goes_on_and_comes_back() {
	serve a $NIC; serve b $NIC; serve c $NIC
	move 0 a b; move 0 b c; move 0 c a
	are running a; are stop b c
}

t_an_old_copy_is_not_moved() {
	serve a $NIC; serve b $NIC; serve c $NIC
	move 0 a b
	move 1 a c; one_line 'old copy; nothing is run here'
	move 1 a c --owner none; one_line 'stopped copy'
	refused 1 'vmig owner resolve' "$VMIG" info --recover vfio-user:a
	are stop a; are running b c
}

t_a_device_in_use_is_no_destination() {
	serve a $NIC; serve b $NIC; serve c $NIC
	move 0 a b
	move 1 c b; one_line 'is in use'
	are running b c
}

t_an_owner_is_known_by_its_server() {
	serve a $NIC; serve b $NIC; serve c $NIC; serve d $NIC
	move 0 a b
	mv b moved
	move 0 moved c
	move 1 c d --as somebody; one_line 'say so with --as'
	are running c
}

t_without_a_record_it_is_the_source_s_word() {
	serve a $NIC; serve b $NIC
	move 0 a b --owner none
	has_not out '^record'
}

t_what_names_no_record_is_bad_usage() {
	serve a $NIC; serve b $NIC
	move 2 a b --owner nothing; one_line 'names no store'
	move 2 a b --id xyz; one_line 'not a UUID'
	are running a b
}

t_programs_are_told_whose_it_is() {
	serve a $NIC; serve b $NIC
	move 0 a b --json
	json out 'events("VMIG_RESULT")[0]["data"]["owner"]["epoch"] == 3'
	json out '0 < events("VMIG_RESULT")[0]["data"]["owner"]["downtime"] <= events("VMIG_RESULT")[0]["data"]["downtime"]'
}

# held STAGE SIDE : both ends, in two processes; that one stops where the stage begins
held() {
	local there="" here=""
	[ "$2" = source ] && here=VMIG_HOLD=$1:source || there=VMIG_HOLD=$1:destination
	bg receiver env $there "$VMIG" receive --once --json --timeout 60s unix:sock vfio-user:b
	line receiver VMIG_LISTENING
	bg sender env $here "$VMIG" send --json --timeout 60s vfio-user:a unix:sock
	[ "$2" = source ] && line sender "\"stage\":\"$1\"" || line receiver "\"stage\":\"$1\",\"side\":\"$2\""
}

# It has not taken over, and never will: the source raises, and runs.
t_a_destination_that_dies_before_the_commit() {
	serve a $NIC; serve b $NIC
	held commit destination
	kill -KILL "$pid_receiver"
	ended sender 1
	are running a
	# What the dead one left has an identity, and is not run.
	expect 0 "$VMIG" migrate vfio-user:a --to vfio-user:b
	are stop a; are running b
}

# It has taken over and has not run: its next process does.
t_a_destination_that_dies_after_the_commit() {
	serve a $NIC; serve b $NIC; serve c $NIC
	held run destination
	kill -KILL "$pid_receiver"
	kill -INT "$pid_sender" # which would wait for it
	ended sender 3
	grep -q "has not written that it runs" sender.err || fail "$(cat sender.err)"
	are stop-copy a; are stop b
	move 0 b c
	are running c; are stop b
}

# The source dies with its promise out, and the destination has it.
t_a_source_that_dies_after_the_promise() {
	serve a $NIC; serve b $NIC; serve c $NIC
	held run source
	kill -KILL "$pid_sender"
	ended receiver 0
	are running b
	move 1 a c; one_line 'old copy'
}

# It dies before its promise, all stopped: by the record it is still the owner, and goes on.
t_a_source_that_dies_before_the_promise() {
	serve a $NIC; serve b $NIC; serve c $NIC
	held commit source
	kill -KILL "$pid_sender"
	ended receiver 1
	are stop-copy a
	move 0 a c
	are running c
}

# Without the record nobody runs what has stopped.
t_a_record_that_is_away() {
	serve a $NIC; serve b $NIC; serve c $NIC
	held commit source
	kill -KILL "$pid_sender"
	ended receiver 1
	mv owner.db away; mkdir owner.db
	move 3 a c
	are stop-copy a; are running c
	move 1 c b # what runs, runs on
	rmdir owner.db; mv away owner.db
	move 0 a c
	are running c
}

# --- vmig owner ------------------------------------------------------------------------------------
owner_of_all() { "$VMIG" owner show --json | sed -n 's/.*"owner": "\(.*\)".*/\1/p'; }
device_of_all() { "$VMIG" owner show --json | sed -n 's/.*"device": "\(.*\)".*/\1/p'; }
show_has() { expect 0 "$VMIG" owner show; has out "$1"; }
# Both ends are dead: the destination has taken over and has not run.
taken_and_dead() {
	held run destination
	kill -KILL "$pid_receiver" "$pid_sender"
	are stop-copy a; are stop b
	show_has '  taken .*  epoch 3  owner .*/b$'
}

t_owner_shows_the_records() {
	serve a $NIC; serve b $NIC
	expect 0 "$VMIG" owner show; has out '^0 records in store [0-9a-f-]{36}$'
	move 0 a b
	show_has '^[0-9a-f-]{36}  running  epoch 3  owner .*/b$'
	expect 0 "$VMIG" owner show "$(device_of_all)" --json
	json out '[(r["phase"], r["epoch"], r["peer"]) for r in x[0]["records"]] == [("running", 3, "")]'
	expect 1 "$VMIG" owner show 00000000-0000-0000-0000-00000000000a; one_line 'has no record'
}
t_owner_bad_usage() {
	refused 2 'is not the UUID' "$VMIG" owner show xyz
	refused 2 "it is 'vmig owner show' or" "$VMIG" owner forget
	refused 2 'too few words' "$VMIG" owner
	refused 2 'resolve what' "$VMIG" owner resolve
	refused 2 'no record to ask' "$VMIG" owner show --owner none
	refused 2 'name the DEVICEs' "$VMIG" owner resolve --lost x 00000000-0000-0000-0000-00000000000a
	refused 1 'has no record' "$VMIG" owner resolve 00000000-0000-0000-0000-00000000000a
	refused 3 'is no file' "$VMIG" owner show --owner sqlite:/tmp
}
t_owner_resolve_runs_what_is_the_owner_s() {
	serve a $NIC; serve b $NIC
	held commit source
	kill -KILL "$pid_sender"
	ended receiver 1
	are stop-copy a
	mv owner.db away; mkdir owner.db
	expect 3 "$VMIG" owner resolve vfio-user:a
	are stop-copy a
	rmdir owner.db; mv away owner.db
	expect 0 "$VMIG" owner resolve vfio-user:a; has out 'raise-then-run'
	are running a
	show_has '  stable .*owner .*/a$'
	expect 0 "$VMIG" owner resolve vfio-user:a
	are running a
}
t_owner_resolve_keeps_the_copy_until_the_other_runs() {
	serve a $NIC; serve b $NIC
	taken_and_dead
	expect 1 "$VMIG" owner resolve vfio-user:a; one_line 'keep'
	are stop-copy a
	expect 0 "$VMIG" owner resolve vfio-user:b
	are running b
	show_has '  running .*owner .*/b$'
	expect 0 "$VMIG" owner resolve vfio-user:a; has out 'discard'
	are running b
	[ "$(state a)" != stop-copy ] || fail "the old copy is still there"
}
# Its device server is dead, too: the operator has the last word, and has to say whose loss it is.
t_owner_resolve_lost_runs_the_copy() {
	serve a $NIC; serve b $NIC
	taken_and_dead
	local lost; lost=$(owner_of_all)
	kill -KILL "$pid_b"
	refused 1 'nothing was changed' "$VMIG" owner resolve --lost somebody vfio-user:a
	are stop-copy a
	expect 0 "$VMIG" owner resolve --lost "$lost" vfio-user:a
	grep -q 'by your word' err || fail "it does not say at whose risk"
	are running a
	show_has '  stable .*owner .*/a$'
	refused 1 'is not a stopped copy' "$VMIG" owner resolve --lost "$lost" vfio-user:a
	are running a
}
t_owner_resolve_lost_is_for_what_was_taken_only() {
	serve a $NIC; serve b $NIC
	move 0 a b
	refused 1 'its phase is running' "$VMIG" owner resolve --lost "$(owner_of_all)" vfio-user:a
	are running b; are stop a
}
t_owner_resolve_ends_an_attempt() {
	serve a $NIC; serve b $NIC
	held verify source
	show_has '  open .*, which may be taken over by '
	local device; device=$(device_of_all)
	expect 0 "$VMIG" owner resolve "$device"; has out 'the attempt to hand it over to .*/b is ended; it is .*/a'
	show_has '  stable .*owner .*/a$'
	expect 0 "$VMIG" owner resolve "$device"; has out 'no attempt is open'
	kill -KILL "$pid_sender"
	expect 0 "$VMIG" owner resolve vfio-user:a
	are running a
}

tap_main "$@"
