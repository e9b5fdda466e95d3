#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What needs no device: help, usage, and that the help and the man page say the same.
. "$(dirname "$0")/tap.sh"

verbs() { "$VMIG" help | sed -n 's/^  \([a-z]\{4,8\}\)  *[A-Z[].*/\1/p'; }
manual=$(cd "$(dirname "$0")/../../docs/man" && pwd)/vmig.1.scd

t_version() {
	expect 0 "$VMIG" --version
	has out '^vmig [0-9]+\.[0-9]+\.[0-9]+$'
}
t_no_verb_is_bad_usage() {
	expect 2 "$VMIG"
	has err '^usage: '
}
t_help_lists_the_verbs() {
	expect 0 "$VMIG" help
	has out '^usage: '
	expect 0 "$VMIG" --help
	has out '^usage: '
}
t_unknown_verb() {
	refused 2 "unknown verb 'fly'" "$VMIG" fly
	refused 2 "unknown verb 'fly'" "$VMIG" help fly
}
t_every_verb_has_help_with_an_example() {
	local v
	for v in $(verbs); do
		[ "$v" = help ] && continue
		expect 0 "$VMIG" "$v" --help
		has out "^usage: vmig $v "
		has out '^example:$'
		has out "^  .*vmig $v "
		cp out first
		expect 0 "$VMIG" help "$v"
		cmp first out
	done
}
t_every_verb_and_option_is_in_the_man_page() {
	local v o
	for v in $(verbs); do
		grep -q "\\*$v\\*" "$manual" || fail "no verb $v in the man page"
		[ "$v" = help ] && continue
		for o in $("$VMIG" help "$v" | sed -n 's/^  \(--[a-z0-9-]*\).*/\1/p'); do
			grep -q -- "\\*$o\\*" "$manual" || fail "no option $o in the man page"
		done
	done
}
t_the_manual_has_every_function_and_no_other() {
	local top
	top=$(cd "$(dirname "$manual")/../.." && pwd)
	# Comments mention functions too: what is declared starts a line, after its type.
	sed -n 's/^[a-z].*[ *]\(vmig_[a-z0-9_]*\)(.*/\1/p' "$top"/include/vmig/*.h | grep -v '_fn$' | sort -u >declared
	cat "$top"/docs/man/*.3.scd | grep -o '\bvmig_[a-z0-9_]*' | sort -u >named
	local f
	while read -r f; do
		grep -qx "$f" named || fail "$f() is not in the manual"
	done <declared
	sed -n '/^```$/,/^```$/s/^[a-z].*[ *]\(vmig_[a-z0-9_]*\)(.*/\1/p' "$top"/docs/man/*.3.scd | sort -u >promised
	while read -r f; do
		grep -qx "$f" declared || fail "the manual has $f(), the headers do not"
	done <promised
}
t_the_shell_completes_verbs_options_and_models() {
	PATH=$(dirname "$VMIG"):$PATH
	. "$(dirname "$manual")/../../tools/vmig/vmig.bash-completion"
	compopt() { :; } # only works within a completion
	complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vmig; }
	complete_words vmig re
	[ "${COMPREPLY[*]}" = "restore receive" ] || fail "verbs: ${COMPREPLY[*]}"
	complete_words vmig send --band
	[ "${COMPREPLY[*]}" = --bandwidth ] || fail "options: ${COMPREPLY[*]}"
	complete_words vmig serve n
	[ "${COMPREPLY[*]}" = nic ] || fail "models: ${COMPREPLY[*]}"
	complete_words vmig info vfio-
	[ "${COMPREPLY[*]}" = vfio-user: ] || fail "devices: ${COMPREPLY[*]}"
}
t_standard_output_that_is_full_is_noticed() {
	local rc=0
	"$VMIG" help >/dev/full 2>err || rc=$?
	[ $rc = 1 ] || fail "status $rc"
	one_line 'standard output.*No space left'
}
tap_main "$@"
