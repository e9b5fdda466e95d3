#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""main.py BUILD [FOLDER]: pages of vmig check --html, of good devices and broken ones, looked at in a headless Chromium. TAP.
Pages and pictures go into FOLDER, if one is named."""
import json
import os
import subprocess
import sys
import tempfile
import traceback

from browser import Browser

VMIG = os.path.join(sys.argv[1], "tools/vmig/vmig")
VMM = os.path.join(sys.argv[1], "tests/vmm/judged")  # what it does wrong is named
WINDOWS = [(width, dark) for width in (1280, 400) for dark in (False, True)]
LOOK = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "look.js"), encoding="utf-8").read()
NAME = "<img src=x onerror=\"window.bad=1\">'&<script>window.bad=2<_script>"
SECTIONS = ["summary", "findings", "states", "timings", "clauses", "checks", "unchecked"]
FAILS = "model:serial,fault=RUNNING>PRE_COPY:EIO"
# Name, arguments, and what must be seen.
PAGES = [
    ("clean", ["model:nic,state=64K", "--second", "model:nic,state=64K"], {"conforms": True}),
    ("observed", ["model:nic,state=64K,fault=rule:changes-when-saved"], {"conforms": True, "observation": True}),
    ("fails", [FAILS, "--baseline", "before.json"], {"conforms": False, "fail": True}),
    ("hangs", ["model:serial,fault=PRE_COPY_P2P>PRE_COPY:hang=60s", "--timeout", "2s"], {"conforms": False, "hang": True}),
    ("small", ["model:accel,state=64K"], {}),
    ("v1", ["v1+model:vgpu,state=64K"], {}),
]


def report(folder, name, arguments):
    """The page NAME.html, and the report as JSON."""
    got = subprocess.run([VMIG, "check", "--json", "--html", name + ".html", *arguments], cwd=folder, capture_output=True, check=False, timeout=120)
    if got.returncode not in (0, 1):
        raise RuntimeError(f"{name}: {got.stderr.decode()}")
    return json.loads(got.stdout)


def hostile_page(folder):
    """Of a device, and an earlier report, that have names which are no names."""
    with open(os.path.join(folder, "before.json"), encoding="utf-8") as f:
        before = json.load(f)
    before["device"] = before["vmig"] = before["kernel"] = before["checks"][0]["id"] = NAME
    with open(os.path.join(folder, "hostile.json"), "w", encoding="utf-8") as f:
        json.dump(before, f)
    server = subprocess.Popen([VMIG, "serve", "serial", "--socket", os.path.join(folder, NAME)], stdout=subprocess.PIPE)
    try:
        server.stdout.readline()
        return report(folder, "hostile", ["vfio-user:" + NAME, "--baseline", "hostile.json"])
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


class Test:
    def __init__(self, browser, folder, pictures):
        self.browser, self.folder, self.pictures = browser, folder, pictures

    def case(self, name, problems):
        print(f"{'not ok' if problems else 'ok'} - html.{name}", flush=True)
        for line in problems:
            print(f"# {line}"[:400], flush=True)

    def look(self, path, width, dark):
        """All that is wrong with a page in a window, whatever it says."""
        self.browser.open(path, width, dark=dark)
        problems = self.browser.run(LOOK)
        problems += ["complains: " + c for c in self.browser.complaints()]
        problems += ["loads " + url for url in self.browser.requests() if url != "file://" + os.path.abspath(path)]
        if self.browser.run("document.scripts.length"):
            problems.append("has a script")
        return problems

    def count(self, selector):
        return self.browser.run(f"document.querySelectorAll({json.dumps(selector)}).length")

    def visible(self, selector):
        return self.browser.run(f"[...document.querySelectorAll({json.dumps(selector)})].filter((e) => e.getBoundingClientRect().height > 0).length")

    # --- what a page must have

    def content(self, data, want):
        for section in SECTIONS + (["changes"] if "baseline" in data else []):
            if not self.visible("#" + section):
                yield f"there is no {section}"
        if self.count("#checks .row") != len(data["checks"]):
            yield "not all checks are there"
        if self.count("#clauses .row") != sum("verdict" in c for c in data["clauses"]):
            yield "not all clauses are there"
        if self.count("#timings tbody tr") != len(data["transitions"]):
            yield "not all transitions are there"
        if self.count(".evidence tbody tr") != sum(len(c["transitions"]) for c in data["checks"]):
            yield "not all evidence is there"
        if bool(self.count("#summary.pass")) != data["conforms"] or want.get("conforms", data["conforms"]) != data["conforms"]:
            yield "the wrong summary"
        for kind, of in (("fail", "fail"), ("hang", "hang"), ("observation", "obs")):
            if bool(self.visible(f"#findings .finding.{of}")) != bool(data["counts"][kind]):
                yield f"{data['counts'][kind]} times {kind}: it is not among what was found, or should not be"
            if want.get(kind) and not data["counts"][kind]:
                yield f"there is no {kind} to be shown"
        yield from self.picture(data)

    def picture(self, data):
        if data["migration-flags"] and self.visible("svg .arc") < 4:
            yield "the picture has no arcs"
        for came, of in (("wrong", "wrong"), ("no end", "noend")):
            if bool(self.count(f"svg .arc.{of}")) != any(t[came] and t["from"] != t["to"] and not t["reset"] for t in data["transitions"]):
                yield f"the picture does not show what was '{came}'"

    def by_verdict(self, data):
        """Of clauses and checks, only those of a verdict are shown."""
        counts = data["counts"]
        for which, n in (("bad", counts["fail"] + counts["hang"] + counts["error"]), ("obs", counts["observation"]),
                         ("pass", counts["pass"]), ("na", counts["not applicable"] + counts["skipped"]), ("all", len(data["checks"])),
                         ("apply", len(data["checks"]) - counts["not applicable"] - counts["skipped"])):
            self.browser.run(f"document.querySelector('label[for=show-{which}]').click()")
            if self.visible("#checks .row") != n:
                yield f"{self.visible('#checks .row')} of {n} checks are shown as '{which}'"
        self.browser.run("document.querySelector('#checks .row:not(.na, .skipped) summary').click()")
        if not self.visible("#checks .row .saw"):
            yield "a check does not open"

    def page(self, name, data, want):
        path = os.path.join(self.folder, name + ".html")
        for width, dark in WINDOWS:
            problems = self.look(path, width, dark)
            problems += self.content(data, want) if not dark else []
            if self.pictures:
                self.browser.screenshot(os.path.join(self.folder, f"{name}-{width}-{'dark' if dark else 'light'}.png"))
            problems += self.by_verdict(data) if not dark else []
            # And with all that can be opened.
            self.browser.run("document.querySelector('label[for=show-all]').click()")
            self.browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            problems += ["opened: " + p for p in self.browser.run(LOOK)]
            self.case(f"{name}.{width}.{'dark' if dark else 'light'}", problems)

    def user(self, name, arguments, finding):
        """Of a VMM (--user)."""
        got = subprocess.run([VMIG, "check", "--user", "--quiet", "--html", name + ".html", "--device", "nic,state=64K", "nic,state=64K", *arguments],
                             cwd=self.folder, capture_output=True, check=False, timeout=120)
        if got.returncode not in (0, 1):
            raise RuntimeError(f"{name}: {got.stderr.decode()}")
        for width, dark in WINDOWS:
            problems = self.look(os.path.join(self.folder, name + ".html"), width, dark)
            problems += [f"there is no {s}" for s in ("runs", "rules", "clauses") if not self.visible("#" + s)]
            problems += ["what was found is not there"] if finding and not self.visible(".finding." + finding) else []
            if self.pictures:
                self.browser.screenshot(os.path.join(self.folder, f"{name}-{width}-{'dark' if dark else 'light'}.png"))
            self.case(f"{name}.{width}.{'dark' if dark else 'light'}", problems)

    # --- that it would be seen

    def red(self, name, what, more):
        """A page with something wrong in it is found."""
        with open(os.path.join(self.folder, "clean.html"), encoding="utf-8") as f:
            source = f.read()
        path = os.path.join(self.folder, f"red-{name}.html")
        with open(path, "w", encoding="utf-8") as f:
            f.write(source.replace("default-src 'none'; style-src 'unsafe-inline'", "default-src * 'unsafe-inline'").replace("</main>", more + "</main>"))
        problems = self.look(path, 1280, False)
        self.case("red." + name, [] if any(what in p for p in problems) else [f"not found: {problems}"])


def run(test, folder):
    before = report(folder, "before", ["model:serial"])
    with open(os.path.join(folder, "before.json"), "w", encoding="utf-8") as f:
        json.dump(before, f)
    for name, arguments, want in PAGES:
        test.page(name, report(folder, name, arguments), want)
    if subprocess.run([VMIG, "run", "--intercept=seccomp", "--quiet", "--device", "serial", "--", "true"], capture_output=True, check=False).returncode:
        print("ok - html.user # SKIP seccomp cannot be had")
    else:
        test.user("user-good", ["--fail", "none", "--fail", "write:EIO", "--", VMM], None)
        test.user("user-bad", ["--fail", "none", "--", VMM, "touches-in-p2p"], "fail")
    test.page("hostile", hostile_page(folder), {"conforms": True})
    test.case("hostile.is_text", list(hostile(test)))
    test.red("loads", "loads http://192.0.2.1/x", "<img src='http://192.0.2.1/x' alt=''>")
    test.red("throws", "complains: ", "<script>throw new Error('x')</script>")
    test.red("small", "text of 9.0 px", "<p style='font-size: 9px'>small</p>")
    test.red("wide", "the page is ", "<div style='width: 2000px'>wide</div>")
    test.red("pale", "contrast of ", "<p style='color: #ddd'>pale</p>")


def hostile(test):
    if test.browser.run("window.bad") is not None:
        yield "a name was run as a script"
    if test.browser.run("document.title") != "vmig check: vfio-user:" + NAME:
        yield "the title is not the name"
    if test.browser.run("document.querySelector('h1').textContent") != "vfio-user:" + NAME:
        yield "the heading is not the name"
    if test.browser.run("document.querySelector('#changes .changed-list span.id').textContent") != NAME:
        yield "what is gone has not its name"
    if test.count("img, script, body b.bad"):
        yield "a name has become an element"


def main():
    browser = None
    with tempfile.TemporaryDirectory(prefix="vmig-html-") as temporary:
        folder = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else temporary
        os.makedirs(folder, exist_ok=True)
        try:
            browser = Browser()
            test = Test(browser, folder, folder != temporary)
            run(test, folder)
        except Exception:  # whatever it is: the TAP says it
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            print("not ok - html.script_ends_well")
        finally:
            if browser:
                browser.close()


main()
