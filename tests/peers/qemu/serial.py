#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""serial [--keep] [PATTERN...] : a Linux guest with our serial port, bound by the guest's own driver (8250_pci), in unmodified
QEMUs. Characters go both ways, before, during and after a live migration: all must arrive, in order, once. TAP lines.
KERNEL and INITRD are in the environment."""
import fnmatch
import hashlib
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass, replace

import main as cells_main
from cells import Cell
from migration import Pair, migration_time
from qmp import TIMEOUT, Failed, Line, Qmp, statuses
from scenarios import PHASES, SCENARIOS, V1_DESTINATION, V1_SOURCE
from vm import Vm, kill_all, qemu_command

RAM = 160 << 20
COUNT, WAITING, INPUT, SENT, RING, FIFO = 0x000, 0x008, 0x010, 0x400, 1024, 16  # models/serial.h
KINDS = {"intx": "IO-APIC", "msi": "PCI-MSI"}  # of /proc/interrupts


@dataclass(frozen=True)
class SerialCell(Cell):
    irq: str = "intx"

    def spec(self, incoming=False):
        v1 = f",v1=on,v1-section={self.section}" if self.v1 else ""
        return f"serial,irq={self.irq}{v1}"


class Console(Line):
    """The guest's console: orders, and answers among the kernel's own words."""

    def answer(self, word):
        deadline = time.monotonic() + TIMEOUT
        while True:
            line = self.line(deadline)
            if line is None:
                raise Failed(f"the guest does not say \"{word}\"")
            words = line.strip("\r").split()
            if words[:2] == ["@@", word]:
                return words[2:]
            if words[:1] == ["@@"] or "Kernel panic" in line:
                raise Failed(f"the guest says: {line}")

    def ask(self, order, word=None):
        self.send(order + "\n")
        return self.answer(word or order)


    def log(self):
        """What the guest knows about its trouble: its last words, and interrupts."""
        try:
            return f"interrupts {' '.join(self.ask('irq'))}; {' '.join(self.ask('log'))}"
        except Failed as failed:
            return str(failed)


class SerialVm(Vm):
    def connect(self):
        self.guest = Console(f"{self.at}.serial", self.alive)
        self.qmp = Qmp(f"{self.at}.qmp", self.alive)

    def _qemu(self, incoming):
        self.ram = RAM - 8192 if self.cell.v1 else RAM  # see RAM_7_2 in vm.py
        words = qemu_command(self.cell.qemu) + ["-machine", "q35,accel=tcg,memory-backend=ram", "-cpu", "max"]
        words += ["-m", f"{self.ram >> 10}K"]
        words += ["-object", f"memory-backend-file,id=ram,size={self.ram},mem-path={self.at}.ram,share=on"]
        words += ["-nodefaults", "-display", "none", "-vga", "none", "-monitor", "none"]
        words += ["-kernel", os.environ["KERNEL"], "-initrd", os.environ["INITRD"]]
        words += ["-append", "console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable no_timer_check oops=panic"]
        words += ["-qmp", f"unix:{self.at}.qmp,server=on,wait=off", "-serial", f"unix:{self.at}.serial,server=on,wait=on"]
        words += ["-qtest", f"unix:{self.at}.qtest,server=on,wait=off", "-qtest-log", "/dev/null", "-no-reboot"]
        if self.cell.iommu == "iommufd":
            words += ["-object", "iommufd,id=iommufd0,fd={iommufd}"]
        words += ["-device", self._qemu_device(0)]
        return words + (["-incoming", "defer", "-S"] if incoming else [])


class Wire:
    """The other end of the line: what it has sent to the port, and what it has of the port."""

    def __init__(self):
        self.bar, self.fed, self.got = 0, b"", b""

    def find(self, vm):
        """Where the guest's firmware has put BAR 1."""
        for line in vm.qmp.hmp("info pci").splitlines():
            if "BAR1: 32 bit memory at" in line:
                self.bar = int(line.split(" at ")[1].split()[0], 16)
        if self.bar in (0, 0xffffffff):
            raise Failed("the serial port has no BAR 1")

    def take(self, vm):
        """What the port has sent since."""
        seen, count = len(self.got), vm.register(self.bar + COUNT)
        if count == seen:
            return
        ring = vm.qtest(f"read {self.bar + SENT:#x} {RING:#x}").to_bytes(RING, "big")
        if count < seen or vm.register(self.bar + COUNT) - seen > RING:
            raise Failed(f"the port has sent {count} characters, {seen} were seen: more than are kept, or fewer")
        self.got += bytes(ring[i % RING] for i in range(seen, count))

    def feed(self, vm):
        """Send what the port's FIFO has room for, at most half of it."""
        room = FIFO - vm.qtest(f"readl {self.bar + WAITING:#x}")
        for _ in range(min(room, FIFO // 2)):
            value = 33 + (len(self.fed) * 7 + len(self.fed) // 94) % 94
            vm.qtest(f"writeb {self.bar + INPUT:#x} {value:#x}")
            self.fed += bytes([value])

    def work(self, vm, characters):
        """Both ways, until there are so many more each way."""
        deadline, fed, got = time.monotonic() + TIMEOUT, len(self.fed), len(self.got)
        while len(self.fed) < fed + characters or len(self.got) < got + characters:
            self.take(vm)
            self.feed(vm)
            if time.monotonic() > deadline:
                raise Failed(f"{vm.name}: of {characters} characters {len(self.fed) - fed} went in, {len(self.got) - got} "
                             f"came out; the guest has {vm.guest.log()}")
            time.sleep(0.02)


class SerialPair(Pair):
    def __init__(self, cell, folder, destination=True):
        self.cell, self.folder, self.n, self.wrong, self.facts = cell, folder, 1, [], []
        self.wire = Wire()
        self.source = SerialVm(cell, "src", folder)
        self.machines = [self.source]
        if destination:
            self.destination = SerialVm(cell, "dst", folder, incoming=True)
            self.machines.append(self.destination)
            self.destination.connect()
        self.source.connect()
        start = time.monotonic()
        self.source.guest.answer("ready")
        self.facts.append(f"boot {time.monotonic() - start:.0f} s")
        self.wire.find(self.source)

    def interrupts(self, vm):
        count, kind = vm.guest.ask("irq")
        self.expect(KINDS[self.cell.irq] in kind, f"interrupts: the driver uses {kind}, not {self.cell.irq}")
        return int(count)

    def check_characters(self, vm):
        """The guest says what it has sent and what has come."""
        lines = int(vm.guest.ask("stop", "sent")[0])
        wanted = b"".join(b"%07d\n" % n for n in range(lines))
        deadline = time.monotonic() + TIMEOUT
        while len(self.wire.got) < len(wanted) and time.monotonic() < deadline:
            self.wire.take(vm)
        self.compare("sent", wanted, self.wire.got)
        while int(vm.guest.ask("in")[0]) < len(self.wire.fed) and time.monotonic() < deadline:
            time.sleep(0.05)
        count, digest = vm.guest.ask("in")[:2]
        self.expect((int(count), digest) == (len(self.wire.fed), hashlib.md5(self.wire.fed).hexdigest()),
                    f"received: {len(self.wire.fed)} characters went in, the guest has {count}, or others")
        self.facts.append(f"{len(wanted)} characters out, {len(self.wire.fed)} in")

    def compare(self, what, wanted, got):
        at = next((i for i, (a, b) in enumerate(zip(wanted, got)) if a != b), min(len(wanted), len(got)))
        self.expect(wanted == got, f"{what}: {len(wanted)} characters became {len(got)}; they differ at {at}: "
                    f"{wanted[at:at + 12]!r} became {got[at:at + 12]!r}")

    def end(self):
        for vm in self.machines:
            status = vm.quit()
            self.expect(status == 0, f"{vm.name} ends with status {status}")

    def logs(self):
        out = []
        for vm in self.machines:
            out += [f"{vm.name}: {line}" for line in vm.last_words()]
            out.append(f"{vm.name}: migration {' '.join(statuses(vm.qmp.events)) if vm.qmp else '-'}")
        return out


def move(cell, folder):
    pair = SerialPair(cell, folder)
    wire, source, destination = pair.wire, pair.source, pair.destination
    wire.work(source, 300)
    pair.interrupts(source)
    # Slowly, until enough has gone both ways; then what is left at once.
    pair.set_up(bandwidth=4 << 20)
    pair.start()
    source.qmp.wait_status("active")
    wire.work(source, 300)
    status = statuses(source.qmp.events)[-1]
    pair.expect(status == "active", f"the migration is {status} before enough has gone both ways")
    for vm in (source,):
        wire.feed(vm)  # in the port's FIFO, or the guest's buffers, when it goes
    source.qmp.do("migrate-set-parameters", **{"max-bandwidth": 10 << 30})
    deadline = time.monotonic() + TIMEOUT
    while statuses(source.qmp.events)[-1] not in ("completed", "failed"):
        wire.take(source)
        source.qmp.poll()
        if time.monotonic() > deadline:
            raise Failed("the migration does not end")
    pair.finish()
    pair.facts.append(migration_time(source.qmp))
    wire.take(source)
    pair.check_memory()
    destination.qmp.do("cont")
    wire.work(destination, 300)
    before = pair.interrupts(destination)
    wire.work(destination, 50)
    pair.expect(pair.interrupts(destination) > before, "interrupts: none on the destination")
    pair.check_characters(destination)
    pair.check_events()
    pair.check_phases(*((V1_SOURCE, V1_DESTINATION) if cell.v1 else PHASES["nic"]))
    pair.check_resets()
    pair.end()
    return pair


def stay(cell, folder):
    """QEMU as a vfio-user client of ours, which does not migrate the device: the guest's driver works with it."""
    pair = SerialPair(cell, folder, destination=False)
    pair.wire.work(pair.source, 500)
    before = pair.interrupts(pair.source)
    pair.wire.work(pair.source, 200)
    pair.expect(pair.interrupts(pair.source) > before, "interrupts: none")
    pair.check_characters(pair.source)
    pair.end()
    return pair


def cells(full):
    v2 = SerialCell("serial", "11", model="serial", state="")
    yield replace(v2, irq="intx", detail="intx")
    yield replace(v2, irq="msi", detail="msi", way="seccomp", iommu="iommufd")
    yield replace(v2, irq="msi", detail="msi", qemu="10")
    yield replace(v2, irq="intx", detail="intx", qemu="7.2", section="mapped")
    yield replace(v2, irq="msi", detail="msi", qemu="7.2", section="trapped", way="seccomp", always=False)
    yield replace(v2, irq="intx", detail="intx", qemu="10", iommu="iommufd", way="seccomp", always=False)
    yield replace(v2, scenario="client", irq="intx", detail="intx", way="vfio-user")
    yield replace(v2, scenario="client", irq="msi", detail="msi", way="vfio-user")


def main(words):
    SCENARIOS.update(serial=move, client=stay)
    keep, patterns = "--keep" in words, [w for w in words if not w.startswith("--")]
    chosen = [c for c in cells(True) if c.always or os.environ.get("FULL") or patterns]
    if patterns:
        chosen = [c for c in chosen if any(fnmatch.fnmatch(c.name, f"*{p}*") for p in patterns)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work = cells_main.place()
    try:
        good = [cells_main.report(cell, work, keep) for cell in chosen]
    finally:
        kill_all()
        if not keep:
            shutil.rmtree(work, ignore_errors=True)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
