#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""main.py [--all] [--list] [--jobs N] [--keep] [--table FILE] [PATTERN] : who runs a device after each fault at each stage.

Real processes: two 'vmig serve', 'vmig receive', 'vmig send', a record in sqlite or in a real etcd. TAP; and a table."""
import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import threading

import table

SAY = threading.Lock()


def run_one(cell, args):
    try:
        cell.run(args.vmig, args.timeout, args.freeze, args.keep)
        why = None
    except Exception as e:  # pylint: disable=broad-except
        why = f"{type(e).__name__}: {e}"
    with SAY:
        if why is None and not cell.row.get("reached"):
            print(f"ok - owners.{cell.name} # SKIP this stage is not met by that side")
        else:
            print(f"{'not ok' if why else 'ok'} - owners.{cell.name}")
        if why:
            print("\n".join("# " + line for line in f"{why}\n{cell.row}\n{cell.said}".splitlines()))
        sys.stdout.flush()
    cell.row["wrong"] = why
    return why is None


def text_of(cell):
    row = cell.row
    if row.get("wrong"):
        return "**WRONG**"
    if not row.get("reached"):
        return "not met"
    dead = lambda s: "killed" if s == -9 else str(s)  # noqa: E731
    away = f"{row['owners-while-away']}→" if "owners-while-away" in row else ""
    return f"{away}{row.get('owners')} ({dead(row.get('source'))}, {dead(row.get('destination'))})"


def write_table(cells, to):
    to.write("# Who runs a device after a fault\n\n"
             "Made by `tests/peers/peer-owners build --all --table FILE`. In each cell: how many sides run the device when what was "
             "killed has been restarted and\n`vmig owner resolve` has been said on both sides (before the arrow: while the record "
             "could not be asked), and the exit statuses of `vmig send` and\n`vmig receive`. A cell that is not **WRONG** also says: "
             "at no moment did two run, no record of the workload was lost or doubled, and what runs could be\nmoved again. 0 is what "
             "cannot be had otherwise: the state of the only device that had all of it was killed. \"part\": of several, those whose state\n"
             "was not lost run on. 4 at a freeze: `vmig send` found its call to the device timed out when it was woken, and took the "
             "device for lost.\n")
    for store, n in (("sqlite", 1), ("etcd", 1), ("sqlite", table.UNIT)):
        here = {(c.stage, c.fault): c for c in cells if (c.store, c.devices) == (store, n) and c.stage in table.STAGES}
        if not here:
            continue
        to.write(f"\n## {store}{'' if n == 1 else f', {n} devices as one'}\n\n| fault | {' | '.join(table.STAGES)} |\n|---|{'---|' * len(table.STAGES)}\n")
        for fault in table.FAULTS:
            row = [text_of(here[s, fault]) if (s, fault) in here else " " for s in table.STAGES]
            to.write(f"| {fault} | {' | '.join(row)} |\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vmig", default=os.environ.get("VMIG", "build/tools/vmig/vmig"))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--table")
    parser.add_argument("pattern", nargs="?", default="")
    args = parser.parse_args()
    full = os.environ.get("FULL") == "1"
    args.vmig = os.path.abspath(args.vmig)
    args.timeout, args.freeze = (10, 30) if full else (2, 5)
    cells = table.cells(args.pattern) if args.all or args.pattern else table.pruned()
    if not shutil.which("etcd"):
        for cell in [c for c in cells if c.store == "etcd"]:
            print(f"ok - owners.{cell.name} # SKIP there is no etcd")
        cells = [c for c in cells if c.store != "etcd"]
    if subprocess.run([args.vmig, "help", "owner"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
        for cell in cells:
            print(f"ok - owners.{cell.name} # SKIP there is no 'vmig owner' yet")
        return 0
    if args.list:
        print("\n".join(cell.name for cell in cells))
        return 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        good = list(pool.map(lambda cell: run_one(cell, args), cells))
    if args.table:
        with open(args.table, "w", encoding="utf-8") as f:
            write_table(cells, f)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
