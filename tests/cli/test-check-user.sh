#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vmig check --user: a VMM that does all right is clean in both forms, whatever fails; each misbehaviour is found by its rule.
. "$(dirname "$0")/tap.sh"

V1="nic,state=256K,v1=on nic,state=256K,v1=on"

able() { "$VMIG" run --intercept=seccomp --quiet --device serial -- true 2>err || skip "seccomp cannot be had: $(cat err)"; }
# judged STATUS OPTION... -- WORD... : the VMM, with these words
judged() {
	local status=$1
	shift
	able
	expect "$status" "$VMIG" check --user --json "$@"
	json out 'all(not s["hung"] and not s["crashed"] for s in x[0]["scenarios"])'
}
clean() {
	judged 0 "$@"
	json out 'all(r["verdict"] in ("pass", "not applicable") for r in x[0]["rules"])'
}
kept() { json out "sum(r['verdict'] == 'pass' for r in x[0]['rules']) >= $1"; }

t_a_good_vmm_is_clean_whatever_fails() {
	clean -- "$VMM"
	kept 25
	json out '[s["name"] for s in x[0]["scenarios"] if s["loaded"]][0] == "none"'
	json out 'sum(s["struck"] for s in x[0]["scenarios"]) == 14'
}
t_by_iommufd() {
	clean --device nic,state=256K nic,state=256K --fail none --fail write:EIO -- "$VMM" --iommufd {iommufd} {cdev0} {cdev1}
	kept 20
}
t_by_v1() {
	clean --device $V1 --fail none --fail write:EIO --fail 'PRE_COPY>STOP_COPY:EIO' --fail 'read:EIO' \
		--fail 'PRE_COPY_P2P>STOP_COPY:error' -- "$VMM" --v1
	kept 14
	json out 'any(r["id"] == "v1-writes-what-was-read" and r["verdict"] == "pass" for r in x[0]["rules"])'
}
t_by_preload() {
	[ "${PRELOAD:-}" ] || skip "a sanitizer's runtime wants to be the first library"
	expect 0 "$VMIG" check --user --intercept preload --json -- "$VMM"
	kept 20
}
# One line each: the rule that finds it, alone; its verdict, what fails, the misbehaviour, more words for the VMM.
found() {
	local rule verdict fail wrong more devices
	able
	while read -r rule verdict fail wrong more; do
		devices="nic,state=64K nic,state=64K"
		[ "$more" ] && devices=$V1
		echo "$rule $verdict $wrong" >>out
		"$VMIG" check --user --json --device $devices --fail "$fail" -- "$VMM" $more "$wrong" >>out 2>err || true
	done
	python3 - <<-'PY' || fail "another rule, or none, or more"
		import json
		lines = open("out").read().splitlines()
		for want, got in zip(lines[::2], lines[1::2]):
		    rule, verdict, wrong = want.split()
		    found = {r["id"]: r["verdict"] for r in json.loads(got)["rules"] if r["verdict"] not in ("pass", "not applicable")}
		    assert found == {rule: verdict}, (wrong, found)
	PY
}
t_misbehaviour_in_v2_is_found() {
	found <<-'END'
		never-asks-for-error fail none asks-for-error
		knows-the-state observation none does-not-know-the-state
		lives-with-future-flags observation future-flags gives-up-at-a-future-flag
		leaves-pre-copy-at-zero observation none never-asks-for-sizes
		leaves-pre-copy-at-zero observation none leaves-pre-copy-early
		hands-off-in-p2p fail none touches-in-p2p
		hands-off-when-stopped observation none touches-when-stopped
		sizes-in-pre-copy-only observation none asks-for-sizes-late
		reads-to-the-end fail none does-not-read-to-the-end
		drained-is-not-the-end fail none takes-drained-for-the-end
		uses-no-ended-session fail none uses-an-ended-session
		closes-data-fd fail none leaves-data-fd-open
		log-starts-once fail none starts-the-log-twice
		log-stops-what-started fail none stops-the-log-twice
		log-reports-in-ranges fail none reports-other-ranges
		log-reported-after-stop fail none no-last-report
		log-is-stopped observation none leaves-the-log-on
	END
}
t_misbehaviour_after_a_failure_is_found() {
	found <<-'END'
		heeds-a-failure fail source:PRE_COPY_P2P>STOP_COPY:EIO goes-on-after-a-failure
		returns-without-a-reset observation source:PRE_COPY_P2P>STOP_COPY:EIO resets-at-once
		resets-from-error fail source:PRE_COPY_P2P>STOP_COPY:error asks-in-error
		aborts-a-load-by-reset fail destination:write:EIO writes-on-after-a-failure
		aborts-a-load-by-reset fail destination:write:EIO leaves-a-failed-load
		uses-no-failed-load fail destination:load:EINVAL works-with-nothing
		keeps-the-source fail destination:load:EINVAL gives-up-the-source
	END
}
t_misbehaviour_in_v1_is_found() {
	found <<-'END'
		v1-reads-until-zero fail none v1-stops-early --v1
		v1-order-of-saving fail none v1-size-without-offset --v1
		v1-asks-after-failure fail source:PRE_COPY_P2P>STOP_COPY:EIO v1-writes-after-a-failure --v1
	END
}
# Over the kernel's ABI vmig is a user as others are.
t_vmig_itself() {
	clean -- "$VMIG" migrate vfio:{0} --to vfio:{1}
	kept 20
	clean --device nic,state=64K nic,state=64K nic,state=64K nic,state=64K --fail none --fail write:EIO -- \
		"$VMIG" migrate vfio:{0} vfio:{1} --to vfio:{2} vfio:{3}
	json out 'any(r["id"] == "p2p-before-stop" and r["verdict"] == "pass" for r in x[0]["rules"])'
}
t_vmig_itself_by_v1() {
	clean --device $V1 --fail none --fail 'source:PRE_COPY_P2P>STOP_COPY:EIO' --fail source:read:EIO --fail destination:write:EIO -- \
		"$VMIG" migrate v1+vfio:{0} --to v1+vfio:{1}
	# A device of v1 judges its data when it is to run: that is after the commit, which vmig says beforehand.
	judged 1 --device $V1 --fail destination:load:EINVAL -- "$VMIG" migrate v1+vfio:{0} --to v1+vfio:{1}
	json out '[r["id"] for r in x[0]["rules"] if r["verdict"] == "fail"] == ["keeps-the-source"]'
}
t_who_does_nothing_is_not_judged() {
	able
	expect 2 "$VMIG" check --user --fail none -- "$VMM" does-nothing
	has err 'did not migrate a device'
	expect 2 "$VMIG" check --user --fail none -- true
}
t_a_hang_is_ended_and_reported() {
	able
	expect 1 "$VMIG" check --user --fail none --timeout 200ms --tap -- "$VMM" hangs
	has out '^not ok 1 - none: the command ends'
	expect 1 "$VMIG" check --user --fail none --timeout 200ms --tap -- sh -c 'setsid "$0" hangs & exit 0' "$VMM"
	has out '^not ok 1 - none: the command ends'
}
t_forms_of_the_report() {
	able
	expect 1 "$VMIG" check --user --fail none --fail 'PRE_COPY>STOP_COPY:EIO' --junit j.xml -- "$VMM" leaves-data-fd-open
	has out '^  fail  *closes-data-fd '
	has out '^  *clauses   set.user-closes$'
	has out 'as before: the data_fd of a session that saved was left open'
	python3 -c 'import sys, xml.etree.ElementTree as e; s = e.parse("j.xml").getroot(); assert s.get("failures") == "2", s.attrib'
	expect 1 "$VMIG" check --user --fail none --tap -- "$VMM" leaves-data-fd-open
	has out '^not ok [0-9]* - none: closes-data-fd$'
}
t_a_page_of_html() {
	able
	expect 1 "$VMIG" check --user --fail none --html p.html -- "$VMM" leaves-data-fd-open
	python3 - <<-'PY' || fail "the page"
		import html.parser
		class Page(html.parser.HTMLParser):
		    open, ids, text = [], [], ""
		    def handle_starttag(self, tag, attrs):
		        self.ids += [v for k, v in attrs if k == "id"]
		        assert tag != "script" and not any(k in ("src", "href") for k, _ in attrs)
		        if tag not in ("meta",): self.open.append(tag)
		    def handle_endtag(self, tag):
		        assert self.open.pop() == tag, tag
		    def handle_data(self, data):
		        self.text += data
		page = Page()
		page.feed(open("p.html").read())
		assert page.ids == ["runs", "rules", "clauses"] and not page.open
		assert "the data_fd of a session that saved was left open" in page.text and "set.user-closes" in page.text
	PY
}
t_what_is_refused() {
	refused 2 "no command" "$VMIG" check --user --device nic
	refused 2 "has the form WHERE:WHAT" "$VMIG" check --user --fail nonsense -- true
	refused 2 "for --user" "$VMIG" check model:nic --fail none
	refused 127 "not found" "$VMIG" check --user --fail none -- ./no-such-program
}

tap_main "$@"
