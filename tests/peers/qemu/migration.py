# SPDX-License-Identifier: BSD-3-Clause
"""migration - two machines and what moves between them; and what must be true when it has arrived."""
import time
from dataclasses import replace

from proxy import Proxy
from qmp import TIMEOUT, Failed, device_states, statuses
from vm import Vm

NIC_CONTROL, NIC_RESULT = 0x18, 0x20
CONTROL_DIGEST = 2


class Stuck(Failed):
    """Seen with QEMU 11 on a busy machine, once in some 100 times: its multifd channels wait for its main channel, whose
    sender waits for them, and no call of ours is under way on either side."""


class Found:
    """What a scenario returns. wrong: what is found, as sentences; facts: what is measured."""

    def __init__(self):
        self.wrong, self.facts = [], []

    def logs(self):
        return []


class Pair(Found):
    """Source and destination of a cell, both at work."""

    def __init__(self, cell, folder):
        super().__init__()
        self.cell, self.folder, self.n = cell, folder, 0
        self.source = Vm(cell, "src", folder)
        self.new_destination()
        self.source.connect()
        self.registers = [int(row["registers"], 16) for row in self.source.guest.ready()]
        if len(self.registers) != cell.devices:
            raise Failed(f"the guest finds {len(self.registers)} devices, not {cell.devices}")
        self.source.guest.ask("o" if cell.poll else "i")
        self.source.guest.wait_taken(1000)

    def new_destination(self):
        """Another one, after the last one is gone."""
        if self.n and self.destination:
            self.destination.kill()
        self.n += 1
        # What fails on purpose fails once: the next destination is sound.
        cell = self.cell if self.n == 1 else replace(self.cell, fault_to="")
        self.destination = Vm(cell, f"dst{self.n}", self.folder, incoming=True)
        self.destination.connect()

    def use_destination(self):
        """Set the destination's device to work before anything arrives, by what its processor would do, and leave it."""
        bar0, bar2, ring, index = 0xe0000000, 0xe0010000, 0x2000000, 0x2100000
        vm, config = self.destination, lambda at, value: (f"outl 0xcf8 {0x80002000 | at:#x}", f"outl 0xcfc {value:#x}")
        queue = bar0 + 0x1000
        vm.qtest(*config(0x10, bar0), *config(0x18, bar2), *config(0x04, 6),
                 f"writel {queue:#x} {ring:#x}", f"writel {queue + 8:#x} {index:#x}", f"writel {queue + 0x10:#x} 64",
                 f"writel {queue + 0x18:#x} 1")
        wait_for(lambda: vm.register(bar0 + 0x40) >= 64, "the destination's device does nothing")

    def go_on(self):
        """What was the destination is the next source."""
        status = self.source.quit()
        self.expect(status == 0, f"{self.source.name} ends with status {status}")
        self.source.kill()
        self.source, self.destination = self.destination, None
        self.source.qmp.forget()
        self.new_destination()

    # --- moving ---

    def set_up(self, bandwidth=10 << 30, downtime=None, pause=False, proxy=None):
        """Capabilities of both sides; the destination listens. pause: before the switch-over; proxy: what one is to do, see proxy.py."""
        cell = self.cell
        names = ["events", "return-path"]
        if cell.qemu != "7.2":
            names.append("switchover-ack")
        if cell.multifd:
            names.append("multifd")
        states = [{"capability": name, "state": True} for name in names]
        states.append({"capability": "pause-before-switchover", "state": pause})
        # Without pre-copy all of the state is moved while the machine stands: QEMU must be allowed to, whatever bandwidth it
        # takes for granted (what it has seen, and there was nothing yet to be seen).
        if downtime is None:
            downtime = 2000000 if cell.model == "accel" or cell.paused else 300
        for vm in (self.source, self.destination):
            vm.qmp.do("migrate-set-capabilities", capabilities=states)
            if cell.multifd:
                vm.qmp.do("migrate-set-parameters", **{"multifd-channels": 4})
        self.before = [vm.resets() for vm in (self.source, self.destination)]
        self.source.qmp.do("migrate-set-parameters", **{"max-bandwidth": bandwidth, "downtime-limit": downtime})
        listen = f"{self.folder}/m{self.n}"
        self.uri = f"unix:{listen}"
        self.destination.qmp.do("migrate-incoming", uri=self.uri)
        if proxy:
            self.proxy = Proxy(f"{listen}p", listen, proxy)
            self.uri = f"unix:{listen}p"

    def start(self):
        self.source.qmp.do("migrate", uri=self.uri)

    def finish(self):
        # By 8 bytes at a time: some 10 MiB/s.
        slow = self.cell.section == "trapped"
        try:
            self.source.qmp.wait_status("completed", timeout=TIMEOUT * (10 if slow else 1))
        except Failed as failed:
            if self.cell.multifd and self.nothing_arrived():
                raise Stuck(str(failed)) from failed
            raise
        self.destination.qmp.wait_status("completed")

    def nothing_arrived(self):
        """The source's devices have been read, and nothing has been written to the destination's: what there is, is in
        QEMU's channels."""
        return (all(d.saved for d in self.source.info()) and
                all(d.state == "RESUMING" and not d.loaded for d in self.destination.info()))

    # --- what must be true ---

    def expect(self, true, sentence):
        if not true:
            self.wrong.append(sentence)

    def check_memory(self):
        """Both machines stand: every page of the one is the other's."""
        a, b = self.source.pages(), self.destination.pages()
        if len(a) != len(b):
            self.wrong.append(f"memory: {len(a)} bytes became {len(b)}")
        elif a[:] != b[:]:
            pages = [p for p in range(0, len(a), 4096) if a[p:p + 4096] != b[p:p + 4096]]
            first = ", ".join(f"{page:#x}" for page in pages[:4])
            self.wrong.append(f"memory: {len(pages)} pages differ: {first}{' ...' if pages[4:] else ''}")

    def digests(self):
        """Of the devices of the source, which stands."""
        out = []
        for base in self.registers:
            self.source.qtest(f"writel {base + NIC_CONTROL:#x} {CONTROL_DIGEST}")
            out.append(self.source.register(base + NIC_RESULT))
        return out

    def check_state(self, digests):
        """The digest of each device's state as it arrived, which it took itself."""
        arrived = [int(row["arrived"], 16) for row in self.destination.guest.ask("a")]
        for n, (sent, got) in enumerate(zip(digests, arrived)):
            self.expect(sent == got, f"state: device {n} left with digest {sent:016x} and arrived with {got:016x}")

    def check_work(self, vm, more=1000, timeout=TIMEOUT, but=""):
        """The guest goes on, and all that has come was right."""
        before = vm.guest.counters()
        rows = vm.guest.wait_taken(more, timeout)
        self.wrong += [f"records: {w}" for w in vm.guest.check(but)]
        for a, b in zip(before, rows):
            self.expect(self.cell.poll or b["interrupts"] > a["interrupts"], f"records: device {a['device']}: no interrupts")
        self.facts.append("%d records, %d interrupts, %d late" % tuple(sum(r[k] for r in rows)
                                                                     for k in ("taken", "interrupts", "late")))

    def check_events(self):
        """What QEMU says that the devices went through is a subsequence of what they saw."""
        if self.cell.v1:
            return
        for vm in (self.source, self.destination):
            vm.qmp.poll()
            for n, device in enumerate(vm.info()):
                said, saw = device_states(vm.qmp.events, f"vf{n}"), device.states()
                self.expect(said, f"events: {vm.name} says nothing of vf{n}")
                rest = iter(saw)
                self.expect(all(state in rest for state in said), f"events: QEMU says {said}, the device saw {saw}")

    def check_phases(self, source, destination):
        """The last states of each; what came before is the machine's start."""
        for vm, wanted in ((self.source, source), (self.destination, destination)):
            for n, device in enumerate(vm.info()):
                saw = device.states()
                self.expect(saw[-len(wanted):] == wanted, f"phases: {vm.name}'s device {n} saw {saw}, not {wanted}")

    def running(self, vm, but=""):
        """The machine runs, its devices are in RUNNING, and the work goes on."""
        status = vm.qmp.do("query-status")["status"]
        self.expect(status == "running", f"{vm.name} is {status}")
        for n, device in enumerate(vm.info()):
            self.expect(device.state in ("RUNNING", "v1-running"), f"{vm.name}'s device {n} is in {device.state}")
        self.check_work(vm, but=but)

    @staticmethod
    def _resets(vm):
        """None: it is gone, perhaps while it was asked."""
        if not vm.alive():
            return None
        try:
            return vm.resets()
        except Failed:
            wait_for(lambda: not vm.alive(), "a run that lives does not answer")
            return None

    def resets(self):
        """Of each side's devices since the migration was set up; "-": it is gone."""
        after = [self._resets(vm) for vm in (self.source, self.destination)]
        return ["-" if a is None else str(a - b) for a, b in zip(after, self.before)]

    def check_resets(self):
        """A migration resets nothing; a machine that starts resets its devices once."""
        self.facts.append(f"resets {'+'.join(self.resets())}")
        self.expect(self.resets() == ["0", "0"], "resets: a device was reset by the migration")

    def end(self):
        """Both end as an operator ends them."""
        for vm in (self.source, self.destination):
            status = vm.quit()
            self.expect(status == 0, f"{vm.name} ends with status {status}")

    def logs(self):
        out = []
        for vm in (self.source, self.destination):
            out += [f"{vm.name}: {line}" for line in vm.last_words()]
            out.append(f"{vm.name}: migration {' '.join(statuses(vm.qmp.events)) if vm.qmp else '-'}")
        return out


def wait_for(true, sentence):
    deadline = time.monotonic() + TIMEOUT
    while not true():
        if time.monotonic() > deadline:
            raise Failed(sentence)
        time.sleep(0.05)


def migration_time(qmp):
    info = qmp.do("query-migrate")
    ram = info.get("ram", {})
    vfio = info.get("vfio", {})
    return "%d ms, downtime %d ms, device %d MiB, memory %d MiB" % (
        info.get("total-time", 0), info.get("downtime", 0), vfio.get("transferred", 0) >> 20, ram.get("transferred", 0) >> 20)

