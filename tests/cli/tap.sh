# SPDX-License-Identifier: BSD-3-Clause
# tap.sh - tests of the command. Sourced by a file of functions t_NAME, which ends with: tap_main "$@"
#
# Each case runs in a process and a temporary folder of its own, under `timeout`. What it starts in the
# background (bg, serve) is killed by pid when it ends. Nothing sleeps: waiting is reading a line, with a bound.
# The command is $VMIG. A case fails when a command in it fails (set -e); skip REASON ends it as skipped.
set -u
VMIG=${VMIG:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/tools/vmig/vmig}
WAIT=${WAIT:-60} # seconds that a single wait may take
CASE_TIMEOUT=${CASE_TIMEOUT:-180}

tap_main() {
	if [ "${1:-}" = --one ]; then tap_one "$2"; return; fi
	local names name n=0 log rc
	mapfile -t names < <(sed -n 's/^\(t_[a-z0-9_]*\)() .*/\1/p' "$0")
	[ $# -gt 0 ] && names=("${@/#/t_}")
	echo "1..${#names[@]}"
	for name in "${names[@]}"; do
		n=$((n + 1)); rc=0
		log=$(timeout -k 5 "$CASE_TIMEOUT" bash "$0" --one "$name" 2>&1 </dev/null) || rc=$?
		case $rc in
		0) echo "ok $n - ${name#t_}" ;;
		77) echo "ok $n - ${name#t_} # SKIP ${log##*SKIP }" ;;
		*) echo "not ok $n - ${name#t_}"; sed 's/^/# /' <<<"status $rc"$'\n'"$log" ;;
		esac
	done
}

tap_one() {
	pids=()
	dir=$(mktemp -d "${TMPDIR:-/tmp}/vmig-cli.XXXXXX")
	trap 'tap_clean $?' EXIT
	trap 'exit 124' TERM INT
	cd "$dir"
	export XDG_RUNTIME_DIR=$dir # the folders of runs go with it
	export VMIG_OWNER=sqlite:$dir/owner.db # and what is recorded of the devices
	set -e
	"$1"
}

tap_clean() {
	local pid
	set +e
	for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
	wait
	cd /
	rm -rf "$dir"
	exit "$1"
}

skip() { echo "SKIP $*"; exit 77; }
fail() { echo "FAILED: $*" >&2; show; exit 1; }
show() { [ ! -e out ] || { echo "--- stdout"; head -c 4000 out; } >&2; [ ! -e err ] || { echo "--- stderr"; head -c 4000 err; } >&2; }

# expect STATUS COMMAND... : stdout into ./out, stderr into ./err
expect() {
	local want=$1 got=0
	shift
	timeout -k 5 "$WAIT" "$@" >out 2>err || got=$?
	[ "$got" = "$want" ] || fail "status $got, not $want: $*"
}
# one_line PATTERN : stderr is one line, and it matches
one_line() {
	[ "$(wc -l <err)" = 1 ] || fail "stderr is not one line"
	grep -qE -- "$1" err || fail "stderr does not match /$1/"
}
has() { grep -qE -- "$2" "$1" || fail "$1 does not match /$2/"; }
has_not() { ! grep -qE -- "$2" "$1" || fail "$1 matches /$2/"; }
# refused STATUS PATTERN COMMAND... : that status, one line, and nothing on stdout
refused() {
	local status=$1 pattern=$2
	shift 2
	expect "$status" "$@"
	one_line "$pattern"
}
# json FILE FILTER : every line (or the whole) is JSON and the Python expression over the list `x` of values is true
json() {
	python3 - "$1" "$2" <<'PY' || fail "$1: not JSON, or not: $2"
import json, sys
text = open(sys.argv[1]).read()
try:
    x = [json.loads(text)]
except ValueError:
    x = [json.loads(line) for line in text.splitlines()]
def events(name):
    return [e for e in x if e.get("event") == name]
sys.exit(0 if eval(sys.argv[2]) else 1)
PY
}

# bg NAME COMMAND... : in the background; its pid in $pid_NAME; stdout is read by line(); stderr into ./NAME.err
bg() {
	local name=$1 fd
	shift
	mkfifo "$name.fifo"
	"$@" >"$name.fifo" 2>"$name.err" </dev/null &
	printf -v "pid_$name" %s "$!"
	pids+=("$!")
	exec {fd}<"$name.fifo"
	printf -v "fd_$name" %s "$fd"
}
# line NAME PATTERN : read NAME's stdout until a line matches; the line in $REPLY
line() {
	local fd="fd_$1"
	while IFS= read -r -t "$WAIT" REPLY <&"${!fd}"; do
		if [[ $REPLY =~ $2 ]]; then return 0; fi
	done
	cat "$1.err" >&2
	fail "$1 did not say /$2/"
}
# rest NAME : read the rest of NAME's stdout into ./NAME.out
rest() {
	local fd="fd_$1"
	timeout -k 5 "$WAIT" cat <&"${!fd}" >"$1.out" || fail "$1 does not end"
}
# ended NAME STATUS : wait for its end (its stdout has been read or is short)
ended() {
	local pid="pid_$1" got=0
	rest "$1"
	wait "${!pid}" || got=$?
	[ "$got" = "$2" ] || { cat "$1.out" "$1.err" >&2; fail "$1: status $got, not $2"; }
}
# serve NAME MODEL[,KEY=VALUE...] [OPTION...] : a device server, which listens at ./NAME when this returns
serve() {
	local name=$1 model=$2
	shift 2
	bg "$name" "$VMIG" serve "$model" --socket "$name" "$@"
	line "$name" "^ready: "
}
# stop NAME : as an operator does, and it ends cleanly
stop() {
	local pid="pid_$1"
	kill -TERM "${!pid}"
	ended "$1" 0
}
