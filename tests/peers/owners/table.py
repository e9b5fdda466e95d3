# SPDX-License-Identifier: BSD-3-Clause
"""The cells: a fault at a stage, the repair, and what must be true then."""
import shutil
import signal
import tempfile
import time

from world import Device, EtcdStore, SqliteStore, World, wait_for

STAGES = ("hello", "offer", "precopy", "quiesce", "switchover", "verify", "commit", "run")
STORES = {"sqlite": SqliteStore, "etcd": EtcdStore}

# name: (who is held at the stage, what befalls whom)
FAULTS = {
    "kill-source": ("source", lambda w: w.sender.kill()),
    "kill-destination": ("destination", lambda w: w.receiver.kill()),
    "kill-source-device": ("source", lambda w: w.kill_device("a")),
    "kill-destination-device": ("destination", lambda w: w.kill_device("b")),
    "cut-link": ("source", lambda w: (w.link.met(), w.link.cut())),
    "half-open-link": ("source", lambda w: w.link.stall()),
    "freeze-source": ("source", lambda w: time.sleep(w.freeze)),
    "freeze-destination": ("destination", lambda w: time.sleep(w.freeze)),
    "corrupt-byte": ("source", lambda w: w.link.corrupt()),
    "disk-full": ("destination", lambda w: w.store.full()),
    "record-away": ("destination", lambda w: w.store.away()),
    "record-away-source": ("source", lambda w: w.store.away()),
}
NIC_CONTROL, NIC_RESULT, NIC_RECORDS, NIC_CHECK = 0x18, 0x20, 0x40, 1


class Wrong(Exception):
    """What must be true is not."""


def must(truth, what):
    if not truth:
        raise Wrong(what)


class Cell:
    """One of them. Its row, once it has run."""

    def __init__(self, store, stage, fault, devices=1):
        self.store, self.stage, self.fault, self.devices = store, stage, fault, devices
        self.name = f"{store}{'' if devices == 1 else f'-{devices}'}.{stage}.{fault}"
        self.row, self.said = {}, ""

    def run(self, vmig, timeout, freeze, keep=False):
        folder = tempfile.mkdtemp(prefix="vmig-owners.")
        world = None
        try:
            world = World(vmig, folder, STORES[self.store], timeout, self.devices)
            world.freeze = freeze
            self.begin(world)
            self.migrate(world)
            self.check(world)
        finally:
            if world:
                self.said = "".join(f"--- {p.name} ({p.status()}): {' '.join(p.words[1:])}\n{p.said()[-1500:]}{p.complaint()}"
                                    for p in world.processes if not p.name.startswith("serve"))
                world.close()
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)

    def begin(self, world):
        """The device has a name and a record, from an earlier migration."""
        process = world.run("begin", "migrate", *["model:" + world.model] * world.n, "--to", *world.devices("a"))
        must(process.status() == 0, "the device does not come to its first host")
        must(world.owners() == ["a"], f"after the first migration the owners are {world.owners()}")

    # --- the fault -------------------------------------------------------------------------------

    def migrate(self, world):
        side, strike = FAULTS[self.fault]
        hold = {"VMIG_HOLD": f"{self.stage}:{side}"}
        world.receiver = world.receive(**(hold if side == "destination" else {}))
        world.sender = world.send(**(hold if side == "source" else {}))
        held = world.sender if side == "source" else world.receiver
        self.row["reached"] = held.held(20)
        if self.row["reached"]:
            strike(world)
            held.signal(signal.SIGCONT)
        self.settle(world)

    def settle(self, world):
        """Until both controllers have ended by themselves. One that waits for a peer who never came is told to end."""
        patience = 3 * world.timeout + world.freeze + 10
        wait_for(lambda: world.sender.ended(), patience)
        wait_for(lambda: world.receiver.ended(), 3 * world.timeout + 5 if "VMIG_STAGE" in world.receiver.said() else 0.2)
        for process in (world.receiver, world.sender):
            process.signal(signal.SIGTERM)
            if not wait_for(process.ended, 2 * world.timeout + 30):
                process.kill()
                self.row["hung"] = process.name
        self.row["source"], self.row["destination"] = world.sender.status(), world.receiver.status()
        self.row["owners-after-fault"] = len(world.owners())

    # --- the repair, and what must be true ---------------------------------------------------------

    def resolve(self, world):
        """As an operator does: each side, until both are sure."""
        statuses = {}
        for turn in range(3):
            for side in "ab":
                process = world.run(f"resolve-{side}.{turn}", "owner", "resolve", "--json", *world.devices(side))
                statuses[side] = process.status()
            if 3 not in statuses.values():
                break
        self.row["resolve"] = f"{statuses['a']}/{statuses['b']}"
        return statuses

    def check(self, world):
        row = self.row
        must("hung" not in row, f"{row.get('hung')} does not end by itself")
        # 2: what came cannot be read.
        good = (0, 1, 3, 4, -signal.SIGKILL) + ((2,) if self.fault == "corrupt-byte" else ())
        must(row["source"] in good, f"the source's status is {row['source']}")
        must(row["destination"] in good + (2,), f"the destination's status is {row['destination']}")
        away = self.fault in ("record-away", "record-away-source", "disk-full")
        if away:
            # While it cannot be asked: nobody runs, and says 3; or somebody knew that he might.
            row["owners-while-away"] = len(world.owners())
            must(world.owners() or 3 in (row["source"], row["destination"]), "nobody runs, and nobody says 3")
            world.store.back()
        lost = world.restart_dead()
        statuses = self.resolve(world)
        must(not world.overlap(), f"both ran: {world.overlap()}")
        owners = world.owners()
        row["owners"] = "part" if owners and "?" in owners[0] else len(owners)
        must(len(owners) <= 1, "two owners")
        # Where one device was lost, the others may run on where they are; but never a part of them here, a part there.
        must(lost or not any("?" in owner for owner in owners), f"a part of the unit runs: {owners}")
        if not owners or "?" in owners[0]:
            must(lost, "nobody runs, though no device's state was lost")
            must(4 in statuses.values() or 4 in (row["source"], row["destination"]),
                 f"a device was lost, and nobody says 4: {statuses}")
        row["records"] = self.count(world, owners)
        if owners and "?" not in owners[0]:
            self.go_on(world, owners[0])

    def go_on(self, world, owner):
        """It is not stuck: it moves to the other host, with its workload."""
        other = "b" if owner == "a" else "a"
        process = world.run("again", "migrate", "--json", "--workload", "--workload-time", "50ms", *world.devices(owner),
                            "--to", *world.devices(other))
        must(process.status() == 0, "it cannot be moved again")
        must(not world.overlap(), f"both ran: {world.overlap()}")
        must(world.owners() == [other], f"then the owners are {world.owners()}")
        for load in process.events("VMIG_RESULT")[-1]["workload"]:
            must(load["whole"], f"the workload: {load}")

    def count(self, world, owners):
        lost = doubled = 0
        seen = [0] * world.n
        for process in (world.sender, world.receiver):
            for result in process.events("VMIG_RESULT"):
                for i, load in enumerate(result.get("workload") or []):
                    lost += load["lost"] + load["corrupt"]
                    doubled += load["doubled"] + load["reordered"]
                    seen[i] = max(seen[i], load["before"] + load["during"] + load["after"])
        for side in owners:
            for i, server in enumerate(world.servers[side[0]]):
                if not server.runs_now():
                    continue
                device = Device(server.socket)
                device.write(NIC_CONTROL, NIC_CHECK)
                must(device.read(NIC_RESULT) == 0, "the device's memory is not what its records say")
                must(device.read(NIC_RECORDS) >= seen[i], "the device has forgotten records")
                device.close()
        must(not lost and not doubled, f"{lost} records lost, {doubled} doubled")
        return f"{lost}/{doubled}"


class RedCell(Cell):
    """That a check finds what it stands for: the rules are broken on purpose, past vmig."""

    def __init__(self, name, strike, finds):
        super().__init__("sqlite", "red", name)
        self.strike, self.finds = strike, finds

    def migrate(self, world):
        self.row["reached"] = True
        world.receiver = world.receive()
        world.sender = world.send()
        self.settle(world)
        self.strike(world)

    def run(self, *args, **keywords):
        try:
            super().run(*args, **keywords)
        except Wrong as e:
            if self.finds not in str(e):
                raise
            return
        raise Wrong(f"'{self.finds}' was not found")


def both_run(world):
    device = Device(world.servers["a"][0].socket)
    device.set_state(2)
    device.close()


def nobody_runs(world):
    device = Device(world.servers["b"][0].socket)
    device.set_state(1)
    device.close()
    world.kill_device("a")  # so that nothing can be resolved
    world.restart_dead()
    world.kill_device("b")


RED = [RedCell("both-run", both_run, "both ran"), RedCell("nobody-runs", nobody_runs, "nobody says 4")]


# A unit of three, with one record: what a fault of one of them does to the others.
UNIT = 3


def cells(pattern=""):
    every = [Cell(store, stage, fault, devices) for store, devices in (("sqlite", 1), ("etcd", 1), ("sqlite", UNIT))
             for stage in STAGES for fault in FAULTS]
    return [cell for cell in every + RED if pattern in cell.name]


def pruned():
    """Every stage and every fault with both records, and all at the commit."""
    some = list(RED)
    for i, stage in enumerate(STAGES):
        for k, fault in enumerate(FAULTS):
            if (i + 2 * k) % 3 == 0 or stage == "commit":
                some.append(Cell(("sqlite", "etcd")[(i + k) % 2], stage, fault))
            if (i + k) % len(STAGES) == 0:
                some.append(Cell("sqlite", stage, fault, UNIT))
    return some
