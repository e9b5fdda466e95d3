#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""main [--list] [--keep] [PATTERN...] : run the cells whose name has one of the patterns; without any, all of
this run (FULL=1 in the environment: of all). TAP lines; what was measured follows each, as a comment."""
import fnmatch
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from cells import all_cells
from migration import Stuck
from qmp import Failed
from scenarios import SCENARIOS
from vm import TOP, kill_all


def place():
    """A folder for what a cell makes: in memory where there is room, for it holds the machines' memory."""
    shm = "/dev/shm"
    try:
        room = os.statvfs(shm)
        roomy = os.access(shm, os.W_OK) and room.f_bavail * room.f_bsize > 1 << 30
    except OSError:
        roomy = False
    folder = tempfile.mkdtemp(prefix="vmig-qemu.", dir=shm if roomy else None)
    os.chmod(folder, 0o755)
    return folder


def cannot_be_had(qemu, known={}):
    """Why there is no such QEMU here; None: there is."""
    if qemu not in known:
        out = subprocess.run([f"{TOP}/lab/qemu", "ready", qemu], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             check=False)
        last = (out.stdout.strip().splitlines() or ["lab/qemu says nothing"])[-1]
        # 77: no mirror has it. Anything else is a fault of the lab, and no reason to skip.
        known[qemu] = last if out.returncode == 77 else None
        if out.returncode not in (0, 77):
            print(f"not ok - qemu.lab_has_qemu_{qemu}\n# {last}", flush=True)
            known[qemu] = last
    return known[qemu]


def run(cell, folder):
    """Returns the sentences of what is wrong, what was measured, and the last lines of the logs."""
    pair = None
    try:
        try:
            pair = SCENARIOS[cell.scenario](cell, folder)
        except Stuck:
            kill_all()
            os.mkdir(f"{folder}/2")
            os.chmod(f"{folder}/2", os.stat(folder).st_mode)
            pair = SCENARIOS[cell.scenario](cell, f"{folder}/2")
            pair.facts.append("at the second attempt: QEMU's multifd was stuck at the first")
        return pair.wrong, pair.facts, pair.logs() if pair.wrong else []
    except Exception as failed:  # pylint: disable=broad-except # whatever it is, the other cells are to run
        logs = [] if isinstance(failed, Failed) else traceback.format_exc().splitlines()
        for name in sorted(os.listdir(folder)):
            if name.endswith(".log"):
                with open(f"{folder}/{name}", "rb") as file:
                    logs += [f"{name}: {line}" for line in file.read().decode(errors="replace").splitlines()[-15:]]
        return [f"{failed}" or repr(failed)], [], logs
    finally:
        kill_all()


def report(cell, work, keep):
    # A short name: it holds sockets, whose paths must be short.
    folder, start = f"{work}/{len(os.listdir(work)) + 1}", time.monotonic()
    why = cannot_be_had(cell.qemu)
    if why:
        print(f"ok - qemu.{cell.name} # SKIP {why}", flush=True)
        return True
    os.mkdir(folder)
    os.chmod(folder, 0o777 if cell.nobody else 0o700)
    wrong, facts, logs = run(cell, folder)
    print(f"{'not ok' if wrong else 'ok'} - qemu.{cell.name}")
    for line in wrong + [f"  {line}" for line in logs]:
        print(f"# {line}")
    print(f"# {cell.name}: {'; '.join([f'{time.monotonic() - start:.1f} s'] + facts)}", flush=True)
    if keep:
        print(f"# kept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return not wrong


def main(words):
    flags, patterns = [w for w in words if w.startswith("--")], [w for w in words if not w.startswith("--")]
    cells = list(all_cells(bool(os.environ.get("FULL")) or bool(patterns)))
    if patterns:
        cells = [c for c in cells if any(fnmatch.fnmatch(c.name, f"*{p}*") for p in patterns)]
    if "--list" in flags:
        print("\n".join(c.name for c in cells))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work = place()
    try:
        good = [report(cell, work, "--keep" in flags) for cell in cells]
    finally:
        kill_all()
        if "--keep" not in flags:
            shutil.rmtree(work, ignore_errors=True)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
