#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""qemu BUILD [ROW] : a device's state through an unmodified QEMU, beside the same device through vmig's own send and
receive over the same kind of socket, in the same run. A nic of 1 GiB that changes nothing, in a machine of 64 MiB.

Value: the state's bytes by the time in which QEMU's source has the device in STOP_COPY (v1: in _SAVING alone): all of the
state moves then. Limit: the bytes by vmig's downtime, which has more in it: digests, the destination's word, the commit.
As in bench.h, a round is limit, candidate, limit. Prints rows, and adds them to BUILD/bench.json. A QEMU that is not here
is not fetched: its rows are left out, and say so."""
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import replace

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, f"{TOP}/tests/peers/qemu")
os.environ.setdefault("VMIG_OWNER", "none")  # what is measured is the way of the data
ROUNDS = 3
MIB = 1 << 20
STATE = 1 << 30


def is_missing(qemu):
    """Why there is no such QEMU here; None: there is."""
    out = subprocess.run([f"{TOP}/lab/qemu", "have", qemu], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         check=False)
    return out.stdout.strip().splitlines()[-1] if out.returncode else None


def vmig_rate(cell, folder):
    """MiB/s of vmig send, from its own report."""
    address = f"unix:{folder}/vmig"
    device = ("v1+model:" if cell.v1 else "model:") + cell.spec()
    receive = subprocess.Popen([VMIG, "receive", address, "--quiet", "--json", device], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: os.path.exists(f"{folder}/vmig") or receive.poll(), "vmig receive does not listen")
        out = subprocess.run([VMIG, "send", "--json", device, address], stdout=subprocess.PIPE, text=True, check=False)
        if out.returncode or receive.wait(TIMEOUT):
            raise Failed("vmig send and receive have not moved it")
    finally:
        receive.kill()
    result = json.loads(out.stdout.splitlines()[-1])["data"]
    return STATE / MIB / (result["downtime"] / 1000)


def qemu_rate(cell, folder):
    folder = f"{folder}/{cell.name}"
    os.mkdir(folder)
    try:
        pair = Pair(cell, folder)
        pair.set_up(downtime=2000000)
        pair.start()
        pair.finish()
        # From the last transition but one, to STOP_COPY, to the last one, to STOP, when all has been sent.
        (start, _), (end, _) = pair.source.info()[0].transitions()[-2:]
        return STATE / MIB / ((end - start) / 1e9)
    finally:
        kill_all()
        shutil.rmtree(folder)


def measure(name, cell, folder):
    before, candidates, after = [], [], []
    for _ in range(ROUNDS):
        before.append(vmig_rate(cell, folder))
        candidates.append(qemu_rate(cell, folder))
        after.append(vmig_rate(cell, folder))
    value, limit = statistics.median(candidates), statistics.median(before + after)
    repeat = statistics.median(before) / statistics.median(after)
    valid = abs(repeat - 1) <= 0.1
    print(f"{name:<24} {value:9.2f} {limit:9.2f} MiB/s {value / limit:6.2f}  {'':8}  {repeat:5.2f}  "
          f"{'' if valid else 'invalid: the limit does not repeat'}", flush=True)
    return {"name": name, "value": value, "unit": "MiB/s", "limit": limit, "ratio": value / limit, "repeat": repeat,
            "valid": valid}


def main():
    build, only = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    nic = Still("bench", "10", state="1G", rate="0", keys="precopy=off")
    new, old = replace(nic, qemu="11"), replace(nic, qemu="7.2")
    rows = {"qemu-10": nic, "qemu-11": new, "qemu-11-multifd": replace(new, multifd=True),
            "qemu-11-seccomp": replace(new, way="seccomp"), "qemu-7.2-mapped": replace(old, section="mapped"),
            "qemu-7.2-trapped": replace(old, section="trapped")}
    missing = {qemu: is_missing(qemu) for qemu in {cell.qemu for cell in rows.values()}}
    folder, results, whole = place(), [], True
    try:
        for name, cell in rows.items():
            if name.startswith(only) and missing[cell.qemu]:
                print(f"{name:<24} skipped: {missing[cell.qemu]}")
            elif name.startswith(only):
                try:
                    results.append(measure(name, cell, folder))
                except Failed as failed:
                    print(f"{name:<24} failed: {failed}")
                    whole = False
    finally:
        kill_all()
        shutil.rmtree(folder, ignore_errors=True)
    path, known = f"{build}/bench.json", []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            known = [row for row in json.load(file) if row["name"] not in rows]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(known + results, file, indent=2)
    return 0 if whole else 1


os.environ.setdefault("VMIG", f"{os.path.realpath(sys.argv[1])}/tools/vmig/vmig")
os.environ.setdefault("GUEST", f"{os.path.realpath(sys.argv[1])}/tests/peers/guest-nic")
from cells import Cell  # noqa: E402 (these read the environment)
from main import place  # noqa: E402
from migration import Pair, wait_for  # noqa: E402
from qmp import TIMEOUT, Failed  # noqa: E402
from vm import VMIG, kill_all  # noqa: E402


class Still(Cell):
    """The device takes no digest of its own when it has been loaded."""

    def spec(self, incoming=False):
        return super().spec(incoming).replace("digest=on,", "")


sys.exit(main())
