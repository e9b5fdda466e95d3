#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""user [--write-golden] [QEMU...] : what `vmig check --user` says of unmodified QEMUs, compared with
tests/peers/golden/user-qemu-NAME.txt. A golden file has the version that it is about. Another version is told; one that
does something else fails, and says how to renew it. TAP lines."""
import json
import os
import subprocess
import sys
import tempfile
import time

from main import cannot_be_had
from vm import TOP, VMIG

HERE = os.path.dirname(os.path.realpath(__file__))
GOLDEN = f"{TOP}/tests/peers/golden"
NIC = ["nic,state=1M,dirty-rate=1M/s", "nic,state=1M"]
ACCEL = ["accel,state=1M", "accel,state=1M"]  # no pre-copy, no P2P
# Nothing can be mapped, so QEMU reads the section of v1 by 8 bytes, each a call that is stopped.
NIC_V1 = ["nic,state=64K,dirty-rate=0,v1=on", "nic,state=64K,v1=on"]
SOURCE = ["source:RUNNING>PRE_COPY:EIO", "source:PRE_COPY>PRE_COPY_P2P:EIO", "source:PRE_COPY_P2P>STOP_COPY:error",
          "source:read:EIO"]
DESTINATION = ["destination:write:EIO", "destination:load:EINVAL"]
V2 = [("container", NIC, ["none", "future-flags", *SOURCE, "source:precopy-info:EIO", *DESTINATION, "destination:RESUMING>STOP:error"]),
      ("container", NIC[:1] * 2 + NIC[1:] * 2, ["none"]),
      ("container", ACCEL, ["none", "source:STOP>STOP_COPY:EIO"]),
      ("container, cancelled", NIC, ["none"]),
      ("iommufd", NIC, ["none", "destination:load:EINVAL"])]
# How far the other side has come when one fails or is told to stop is chance: of such a run only the rules about that are
# listed as kept. So is whether a session is drained when pre-copy is left.
CANCELLED = {"closes-data-fd", "uses-no-ended-session"}
CHANCE = {"drained-is-not-the-end"}
REACTIONS = {"heeds-a-failure", "resets-from-error", "returns-without-a-reset", "aborts-a-load-by-reset", "uses-no-failed-load",
             "keeps-the-source", "v1-asks-after-failure", "v1-resets-from-error", "v1-ends-on-error"}
RUNS = {"7.2": [("container", NIC_V1, ["none", *SOURCE, *DESTINATION])], "10": V2, "11": V2}


def version_of(qemu):
    return subprocess.run([f"{TOP}/lab/qemu", "version", qemu], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def judge(qemu, iommu, devices, fails, folder):
    """The report, and what QEMU has said in each scenario."""
    said = f"{folder}/said"
    open(said, "w", encoding="utf-8").close()
    half = len(devices) // 2
    folders = [",".join(f"{{{n}}}" for n in side) for side in (range(half), range(half, len(devices)))]
    command = ["python3", f"{HERE}/judged.py", qemu, *folders] + (["{iommufd}", "{cdev0}", "{cdev1}"] if iommu == "iommufd" else [])
    words = [VMIG, "check", "--user", "--json", "--timeout", "120s", "--device", *devices]
    words += [word for fail in fails for word in ("--fail", fail)] + ["--"] + command
    out = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                         env=dict(os.environ, SAID=said, XDG_RUNTIME_DIR=folder, CANCEL=str(int("cancelled" in iommu))))
    try:
        report = json.loads(out.stdout)
    except ValueError:
        raise SystemExit(f"vmig check: {out.stderr[-2000:]}") from None
    with open(said, encoding="utf-8") as file:
        return report, dict(line.rstrip("\n").split("\t") for line in file), out.stderr


def text_of(iommu, devices, report, said):
    """Nothing that is another one the next time: no number, no time, no address."""
    clauses = {rule["id"]: ", ".join(rule["clauses"]) for rule in report["rules"]}
    for scenario in report["scenarios"]:
        number = f"{len(devices) // 2} of " if len(devices) > 2 else ""
        yield f"\n{iommu}, {number}{devices[0]}: {scenario['name']}"
        yield "  it does not end" if scenario["hung"] else f"  {said.get(scenario['name'], 'it says nothing')}"
        whole = scenario["name"] in ("none", "future-flags") and "cancelled" not in iommu
        shown = CANCELLED if "cancelled" in iommu else REACTIONS
        if not scenario["struck"]:
            yield "  the failure did not strike"
        for rule in scenario["rules"]:
            if rule["verdict"] == "pass":
                if rule["id"] in shown or (whole and rule["id"] not in CHANCE):
                    yield f"  pass         {rule['id']}"
            elif rule["verdict"] != "not applicable":
                yield f"  {rule['verdict']:11}  {rule['id']}  ({clauses[rule['id']]})"
                yield f"               saw: {rule['saw']}"
                yield f"               expected: {rule['expected']}"


def look(qemu, folder):
    lines, logs = [], ""
    version = version_of(qemu)
    lines.append(f"QEMU {version} as a user of devices, as vmig check --user sees it. Renewed by: tests/peers/peer-user build "
                 f"--write-golden {qemu}")
    for iommu, devices, fails in RUNS[qemu]:
        report, said, log = judge(qemu, iommu, devices, fails, folder)
        lines += text_of(iommu, devices, report, said)
        logs += log
    return version, "\n".join(lines) + "\n", logs


def differences(want, got):
    import difflib  # pylint: disable=import-outside-toplevel
    return [line.rstrip("\n") for line in difflib.unified_diff(want.splitlines(), got.splitlines(), "golden", "now", n=2,
                                                             lineterm="")]


def body(text):
    """Without the line that has the version."""
    return text.split("\n", 1)[1]


def compare(qemu, folder, write):
    path = f"{GOLDEN}/user-qemu-{qemu}.txt"
    start = time.monotonic()
    version, got, logs = look(qemu, folder)
    again = ""
    if not write and os.path.exists(path) and body(got) != body(open(path, encoding="utf-8").read()):
        # A machine that is busy can make one of two sides end before the other has said its word.
        version, got, logs = look(qemu, folder)
        again = " (the second of two attempts)"
    if write:
        with open(path, "w", encoding="utf-8") as file:
            file.write(got)
    with open(path, encoding="utf-8") as file:
        want = file.read()
    of = want.split()[1]
    wrong = [] if body(got) == body(want) else differences(want, got)
    other = [] if of == version else [f"the golden file is of QEMU {of}, and this is QEMU {version}: look at what has changed, and "
                                      f"renew it by tests/peers/peer-user build --write-golden {qemu}"]
    # A newer package that does the same is no failure: a distribution's update must not turn this red.
    print(f"{'not ok' if wrong else 'ok'} - user.qemu_{qemu.replace('.', '_')}_is_as_it_was")
    for line in other + wrong + (logs.splitlines()[-40:] if wrong else []):
        print(f"# {line}")
    print(f"# QEMU {version}: {time.monotonic() - start:.1f} s{again}", flush=True)


def main(words):
    write = "--write-golden" in words
    names = [word for word in words if not word.startswith("--")] or list(RUNS)
    for qemu in names:
        why = cannot_be_had(qemu)
        if why:
            print(f"ok - user.qemu_{qemu.replace('.', '_')}_is_as_it_was # SKIP {why}", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="vmig-user.") as folder:
            compare(qemu, folder, write)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
