#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""judged QEMU FOLDER,... FOLDER,... [IOMMUFD CDEV CDEV] : a live migration between two QEMUs, with the devices that are
found here already: this is the COMMAND of `vmig check --user`. By the folders for sysfsdev= (as many on each side), or one
device each by passed descriptors. The machine on the destination runs at once. CANCEL=1 in the environment: it is cancelled in pre-copy. The last line on stdout is what QEMU has said of it. Status: 0 it was tried."""
import os
import shutil
import sys
import tempfile
import time

from cells import Cell
from main import place
from qmp import Failed, device_states, statuses
from vm import Vm, kill_all

CANCEL = os.environ.get("CANCEL") == "1"
PATIENCE = float(os.environ.get("PATIENCE", "15"))


class Machine(Vm):
    """One whose devices are here already: at their folders, or as descriptors."""

    def __init__(self, cell, name, folder, sysfs, fds, incoming=False):
        self.sysfs, self.fds = sysfs, fds
        super().__init__(cell, name, folder, incoming)

    def _keep(self):
        return tuple(int(fd) for fd in self.fds)

    def _words(self, incoming):
        words = self._qemu(incoming)
        for old, new in zip(("{iommufd}", "{cdev}"), self.fds):
            words = [word.replace(old, new) for word in words]
        for n, folder in enumerate(self.sysfs):
            number = n if len(self.sysfs) > 1 else ""
            words = [word.replace(f"sysfsdev={{{number}}}", f"sysfsdev={folder}") for word in words]
        return words


def set_up(source, destination, folder):
    names = ["events", "return-path"] + ([] if source.cell.v1 else ["switchover-ack"])
    states = [{"capability": name, "state": True} for name in names]
    for vm in (source, destination):
        vm.qmp.do("migrate-set-capabilities", capabilities=states)
    # The whole of a small state fits in it, so that no bandwidth that QEMU guesses decides what is seen.
    limits = {"max-bandwidth": 1 << 20, "downtime-limit": 1} if CANCEL else {"max-bandwidth": 10 << 30, "downtime-limit": 2000000}
    source.qmp.do("migrate-set-parameters", **limits)
    destination.qmp.do("migrate-incoming", uri=f"unix:{folder}/m")
    source.qmp.do("migrate", uri=f"unix:{folder}/m")


def goes_on(vm):
    """Does the machine run, and its guest with its device? Waits a moment for it."""
    try:
        deadline = time.monotonic() + PATIENCE
        while vm.qmp.do("query-status")["status"] != "running":
            if time.monotonic() > deadline:
                return "stands"
            time.sleep(0.02)
        vm.guest.ask("c")
        vm.guest.wait_taken(200, 2)
        return "works"
    except (Failed, OSError) as failed:
        if not vm.alive():
            return "is gone"
        return "runs, and its device does not work" if "records more" in str(failed) else "runs, and its guest does not"


def migrate(source, destination, folder):
    """What the source says of it, and what becomes of both machines."""
    source.connect()
    destination.connect()
    source.guest.ready()
    source.guest.ask("i")
    source.guest.wait_taken(200)
    set_up(source, destination, folder)
    if CANCEL:
        source.qmp.wait(lambda events: "PRE_COPY" in device_states(events, "vf0"), "the device in pre-copy")
        source.qmp.do("migrate_cancel")
    over = source.qmp.wait(lambda events: [s for s in statuses(events) if s in ("completed", "failed", "cancelled")],
                           "the end of the migration")[0]
    there = goes_on(destination) if over == "completed" else "waited"
    here = "stands" if over == "completed" else goes_on(source)
    return f"QEMU says {over}; the source {here}, the destination {there}"


def end(vm):
    try:
        if vm.alive():
            vm.quit()
    except (Failed, OSError):
        pass


def main(words):
    qemu, sysfs, fds = words[0], [w.split(",") for w in words[1:3]], words[3:]
    cell = Cell("migrate", qemu, way="seccomp", iommu="iommufd" if fds else "container", at_once=True, devices=len(sysfs[0]))
    folder = place()
    try:
        source = Machine(cell, "src", folder, sysfs[0], fds[:2])
        destination = Machine(cell, "dst", folder, sysfs[1], fds[:1] + fds[2:], incoming=True)
        try:
            said = migrate(source, destination, folder)
        except Failed as failed:
            said = f"not tried: {failed}"
        # The source first, as management does when the other side has it.
        end(source)
        end(destination)
        logs = source.last_words() + destination.last_words()
    finally:
        kill_all()
        shutil.rmtree(folder, ignore_errors=True)
    for line in logs:
        print(f"# {line}", file=sys.stderr)
    print(said, flush=True)
    if os.environ.get("SAID"):
        with open(os.environ["SAID"], "a", encoding="utf-8") as file:
            file.write(f"{os.environ.get('VMIG_CHECK_SCENARIO', '-')}\t{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
