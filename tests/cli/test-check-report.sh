#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The forms of vmig check's report: each is well formed with whatever a device is called or says, and says the same. (The page in a
# browser: tests/peers/peer-html.)
. "$(dirname "$0")/tap.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
broken='model:serial,fault=RUNNING>PRE_COPY:EIO'

# valid FILE : docs/check-report.schema.json takes it
valid() {
	/usr/bin/python3 - "$root/docs/check-report.schema.json" "$1" <<'PY' || fail "$1 is not as the schema says"
import json, sys
import jsonschema
schema, report = (json.load(open(name, encoding="utf-8")) for name in sys.argv[1:])
jsonschema.Draft202012Validator.check_schema(schema)
jsonschema.validate(report, schema, cls=jsonschema.Draft202012Validator)
PY
}
# page FILE EXPRESSION : elements are closed as they were opened, nothing is loaded, no script; and it is true of the elements `e`
# (tag, attributes) and the `text`
page() {
	python3 - "$1" "$2" <<'PY' || fail "$1: not a page, or not: $2"
import html.parser, re, sys
source = open(sys.argv[1], encoding="utf-8").read()
VOID, e, text, stack = {"meta", "input", "br", "link", "img"}, [], [], []
class Parser(html.parser.HTMLParser):
    def handle_starttag(self, tag, attrs):
        e.append((tag, dict(attrs)))
        if tag not in VOID:
            stack.append(tag)
    def handle_startendtag(self, tag, attrs):
        e.append((tag, dict(attrs)))
    def handle_endtag(self, tag):
        assert stack and stack.pop() == tag, (tag, self.getpos())
    def handle_data(self, data):
        if "style" not in stack:
            text.append(data)
parser = Parser(convert_charrefs=True)
parser.feed(source)
parser.close()
assert not stack, stack
assert not {t for t, _ in e} & {"script", "img", "iframe", "link", "object", "embed", "base", "form"}
for tag, attrs in e:
    for name, value in attrs.items():
        assert not name.startswith("on") and name not in ("src", "action", "style", "srcset"), (tag, name)
        assert name != "href" or value.startswith("#"), value
style = re.search(r"<style>(.*?)</style>", source, re.S)[1]
assert not re.search(r"url\(|@import|@font-face", style)
ids = [a["id"] for _, a in e if "id" in a]
assert len(ids) == len(set(ids)), "an id is there twice"
assert all(a["href"][1:] in ids for _, a in e if "href" in a), "a link leads nowhere"
text = "".join(text)
sys.exit(0 if eval(sys.argv[2]) else 1)
PY
}

t_json_is_as_the_schema_says() {
	local device
	expect 0 "$VMIG" check --json model:nic,state=64K --second model:nic,state=64K
	valid out
	expect 1 "$VMIG" check --json "$broken"
	valid out
	expect 1 "$VMIG" check --json --timeout 2s 'model:serial,fault=PRE_COPY_P2P>PRE_COPY:hang=60s'
	valid out
	json out 'any(t["no end"] for t in x[0]["transitions"])'
	json out 'any(a["came"] == "no end" and a["then"] is None for c in x[0]["checks"] for a in c["transitions"])'
}
t_transitions_are_counted_and_timed() {
	expect 1 "$VMIG" check --json "$broken"
	json out '{(t["from"], t["to"]): t["wrong"] for t in x[0]["transitions"]}["RUNNING", "PRE_COPY"] > 0'
	json out 'all(t["min-ns"] <= t["median-ns"] <= t["max-ns"] for t in x[0]["transitions"] if t["ok"])'
	json out 'any(a.get("error") == "EIO" for c in x[0]["checks"] for a in c["transitions"])'
	json out 'all(c["asked"] >= len(c["transitions"]) for c in x[0]["checks"])'
	json out 'sum(t[k] for t in x[0]["transitions"] for k in ("ok", "refused", "wrong", "no end")) <= sum(c["asked"] for c in x[0]["checks"])'
	expect 1 "$VMIG" check "$broken"
	has out '^transitions +ok +refused +wrong +no end +shortest +median +longest$'
	has out '^  RUNNING -> PRE_COPY +- +- +[0-9]+ +- '
	has out '^  RESUMING -> RUNNING by a reset +[0-9]+ '
}
t_what_does_not_apply_is_told_once() {
	expect 0 "$VMIG" check model:serial
	[ "$(grep -c 'the device is not reached by vfio-user:$' out)" = 1 ] || fail "a reason is not there once"
	has out '^ {18}vu-version-first, '
	has out '^  skipped +there is no second device \(--second\):$'
	! grep -qE '.{150}' <(sed -n '/not reached by/,/^clauses/p' out) || fail "lines are too long"
	python3 - "$VMIG" <<'PY' || fail "a check or a clause is not there"
import json, subprocess, sys
report = json.loads(subprocess.run([sys.argv[1], "check", "--json", "model:serial"], capture_output=True).stdout)
text = set(open("out").read().replace(",", " ").split())
assert {c["id"] for c in report["checks"]} | {c["id"] for c in report["clauses"] if "verdict" in c} <= text
PY
}
t_a_page_has_it_all() {
	expect 1 "$VMIG" check --quiet --html x.html "$broken"
	page x.html 'all(s in ids for s in ("summary", "findings", "states", "timings", "clauses", "checks", "unchecked"))'
	page x.html '"Does not conform" in text and "Input/output error" in text'
	page x.html 'sum(a.get("class", "").startswith("arc ") for t, a in e if t == "path") >= 12'
	page x.html 'any(a.get("class") == "arc wrong" for t, a in e)'
	page x.html 'any(a.get("class") == "arc ok" for t, a in e)'
	expect 0 "$VMIG" check --json --html y.html model:serial,p2p=off,precopy=off
	python3 - <<'PY' || fail "not all clauses and checks are in the page"
import json
report, page = json.load(open("out")), open("y.html", encoding="utf-8").read()
assert all(f'id="check-{c["id"]}"' in page for c in report["checks"])
assert all(f'id="clause-{c["id"]}"' in page for c in report["clauses"] if "verdict" in c)
PY
	page y.html '"Conforms" in text and "Nothing that breaks a rule" in text'
}
t_one_wrong_transition_of_many_is_seen() {
	expect 1 "$VMIG" check --json --html x.html model:nic,state=16K,fault=rule:takes-a-part
	json out '[t["wrong"] > 0 and t["ok"] > 0 for t in x[0]["transitions"] if (t["from"], t["to"]) == ("RESUMING", "STOP")] == [True]'
	page x.html 'sum(a.get("class") == "arc wrong" for t, a in e) == 1'
}
t_whatever_a_device_is_called() {
	local dir='<b onclick=alert(1)>&"'\''</b>'$'\xff\e'
	mkdir -p "$dir"
	serve a serial
	mv a "$dir/a"
	expect 0 "$VMIG" check --json --html x.html --junit x.xml "vfio-user:$dir/a"
	valid out
	json out 'x[0]["device"].endswith("</b>??/a")'
	page x.html '"<b onclick=alert(1)>&\"'\''</b>??/a" in text'
	python3 -c 'import xml.etree.ElementTree as t; assert t.parse("x.xml").getroot().get("name").endswith("</b>??/a")' || fail "JUnit"
	expect 0 "$VMIG" check "vfio-user:$dir/a"
	! grep -q $'\e' out || fail "a control character"
}
t_a_baseline_tells_what_is_new() {
	expect 0 "$VMIG" check --json model:serial
	mv out before.json
	expect 1 "$VMIG" check --baseline before.json "$broken"
	has out '^since before.json: model:serial$'
	has out '^  new failure +check +every-pair-of-states +fail, was pass$'
	has out '^  new failure +clause +set.complete +fail, was pass$'
	expect 1 "$VMIG" check --json --html x.html --baseline before.json "$broken"
	valid out
	json out 'all(c["change"] == "new failure" and c["before"] == "pass" for c in x[0]["baseline"]["checks"])'
	json out '"every-pair-of-states" in [c["id"] for c in x[0]["baseline"]["checks"]]'
	json out 'x[0]["baseline"]["gone-checks"] == [] and x[0]["baseline"]["device"] == "model:serial"'
	page x.html '"changes" in ids and "new failure" in text'
	mv out broken.json
	expect 0 "$VMIG" check --baseline broken.json model:serial
	has out '^  mended +check +every-pair-of-states +pass, was fail$'
	expect 0 "$VMIG" check --baseline before.json model:serial
	has_not out '^  (new failure|mended|changed|gone|new) '
	has out '^  checks: 0 new failures, 0 mended, 0 changed otherwise, 0 new, '
}
t_a_baseline_of_other_checks() {
	expect 0 "$VMIG" check --json model:serial
	python3 - <<'PY'
import json
report = json.load(open("out"))
report["checks"][0]["id"] = "<i>old</i>"
report["clauses"] = report["clauses"][1:]
report["later"] = {"member": 1}
json.dump(report, open("before.json", "w"))
PY
	expect 0 "$VMIG" check --json --html x.html --baseline before.json model:serial
	valid out
	json out '[c["id"] for c in x[0]["baseline"]["gone-checks"]] == ["<i>old</i>"]'
	json out '[c["change"] for c in x[0]["baseline"]["checks"]] == ["new"]'
	json out '[c["change"] for c in x[0]["baseline"]["clauses"]] == ["new"]'
	page x.html '"<i>old</i>" in text'
	expect 0 "$VMIG" check --baseline before.json model:serial
	has out '^  gone +check +<i>old</i> '
}
# wrong_baseline PATTERN PYTHON : a good report `r`, after the statement, is refused before the device is touched
wrong_baseline() {
	python3 - "$2" <<'PY'
import json, sys
r = json.load(open("good.json"))
exec(sys.argv[1])
open("bad.json", "w").write(r if isinstance(r, str) else json.dumps(r))
PY
	refused 2 "$1" "$VMIG" check --baseline bad.json vfio-user:none
}
t_a_wrong_baseline_is_refused_with_its_place() {
	expect 0 "$VMIG" check --json model:serial
	mv out good.json
	wrong_baseline 'bad.json: line 1, column [0-9]+: ' 'r = "{\"format\": 1,"'
	wrong_baseline 'bad.json: line 1, column [0-9]+: duplicate' 'r = "{\"format\": 1, \"format\": 1}"'
	wrong_baseline 'bad.json: this is no report of vmig check' 'r = [1]'
	wrong_baseline 'bad.json: this is no report of vmig check' 'del r["format"]'
	wrong_baseline 'bad.json: a report of format 2; this vmig reads 1 only' 'r["format"] = 2'
	wrong_baseline 'bad.json: device: is missing' 'del r["device"]'
	wrong_baseline 'bad.json: kernel: is not a string' 'r["kernel"] = 6'
	wrong_baseline 'bad.json: time: is too long' 'r["time"] = "9" * 256'
	wrong_baseline 'none: cannot be opened' 'r["time"] = "9" * 255'
	wrong_baseline 'bad.json: checks: is not an array' 'r["checks"] = {}'
	wrong_baseline 'bad.json: checks\[3\]: is not an object' 'r["checks"][3] = 3'
	wrong_baseline 'bad.json: checks\[3\].verdict: is no verdict' 'r["checks"][3]["verdict"] = "perhaps"'
	wrong_baseline 'bad.json: checks\[5\].id: is there twice' 'r["checks"][5]["id"] = r["checks"][0]["id"]'
	wrong_baseline 'bad.json: clauses\[0\].verdict: is missing' 'del r["clauses"][0]["verdict"]'
	wrong_baseline 'bad.json: clauses\[0\].id: is missing' 'r["clauses"] = [{}] * 4096'
	wrong_baseline 'bad.json: clauses: has too many rows' 'r["clauses"] = [{}] * 4097'
	wrong_baseline 'bad.json: transitions\[1\].from: is no state' 'r["transitions"][1]["from"] = "GONE"'
	wrong_baseline 'bad.json: transitions\[1\].median-ns: is no time' 'r["transitions"][1]["median-ns"] = -1'
	refused 2 'none.json: cannot be read' "$VMIG" check --baseline none.json vfio-user:none
	truncate -s $((64 * 1024 * 1024)) bad.json
	refused 2 'bad.json: line 1, column ' "$VMIG" check --baseline bad.json vfio-user:none
	truncate -s $((64 * 1024 * 1024 + 1)) bad.json
	refused 2 'bad.json: has more than 64 MiB' "$VMIG" check --baseline bad.json vfio-user:none
}
t_a_page_that_cannot_be_written() { refused 2 'cannot be written' "$VMIG" check --quiet --html no/file model:serial; }

tap_main "$@"
