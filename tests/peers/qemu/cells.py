# SPDX-License-Identifier: BSD-3-Clause
"""cells - what is run: each cell is one scenario (scenarios.py) with one QEMU, one way in, one kind of device."""
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Cell:
    scenario: str
    qemu: str                       # 7.2 speaks v1; 10 and 11 speak v2
    model: str = "nic"
    state: str = "64M"
    rate: str = "16M/s"             # of the state's changes
    way: str = "preload"            # into the program: preload, seccomp; vfio-user: QEMU's own client, no way in
    iommu: str = "container"        # or iommufd
    section: str = ""               # v1: trapped, mapped, partitioned
    multifd: bool = False
    devices: int = 1
    poll: bool = False              # the guest polls; else it takes interrupts
    private: bool = False           # the guest's memory is QEMU's own; else a shared file
    nobody: bool = False            # all of it as the user nobody
    still: bool = False             # the guest rings no doorbells while it moves
    used: bool = False              # the destination's device has been used, and is never reset
    behind: bool = False            # the device is a server of its own, by vfio-user
    paused: bool = False            # the machine stands already when it is moved
    at_once: bool = False           # the destination runs at once, as it does outside of tests; else it is compared first
    sandbox: bool = False           # QEMU confines itself
    hops: int = 1                   # from machine to machine to machine
    fault: str = ""                 # of the source's device, as the model has it
    fault_to: str = ""              # of the destination's
    keys: str = ""                  # more of the model's keys
    run: tuple = ()                 # options of `vmig run` on the source
    detail: str = ""                # of the scenario
    expect: str = ""                # of the scenario
    always: bool = True             # else only with FULL=1

    @property
    def v1(self):
        return self.qemu == "7.2"

    @property
    def name(self):
        words = [self.scenario, self.detail, "qemu" + self.qemu.replace(".", "_"), self.model, self.state, self.way]
        words += [self.iommu if self.iommu != "container" else "", self.section]
        words += [w for w in ("multifd", "poll", "private", "nobody", "still", "used", "behind", "paused", "at_once", "sandbox") if getattr(self, w)]
        words += [f"{self.devices}_devices" if self.devices > 1 else "", f"{self.hops}_hops" if self.hops > 1 else ""]
        words += [self.fault, self.fault_to and "to_" + self.fault_to, self.keys, "_".join(self.run).strip("-")]
        text = ".".join(w for w in words if w)
        return "".join(c if c.isalnum() or c in "._" else "_" for c in text)

    def spec(self, incoming=False):
        """The device, for `vmig run --device` or `vmig serve`."""
        words = [self.model, "digest=on", f"dirty-rate={self.rate}"]
        words.append("aggregator=2" if self.model == "vgpu" else f"state={self.state}")
        words.append("records=500" if self.model == "vgpu" else "records=2000")
        # In a fault's cell they are the fault.
        words += self.keys.split(",") if self.keys and not (incoming and self.scenario == "fault") else []
        fault = self.fault_to if incoming else self.fault
        if fault:
            words.append(f"fault={fault}")
        if self.v1:
            words += ["v1=on", f"v1-section={self.section}"]
        return ",".join(words)


def migrations():
    """Every protocol, QEMU, way in, IOMMU model and kind of device: with 64 MiB always, with 1 GiB some of them."""
    v1 = Cell("migrate", "7.2", section="mapped")
    yield replace(v1, model="vgpu", state="")
    # QEMU reads a trapped section by 8 bytes: a state that changes fast would never be moved.
    yield replace(v1, section="trapped", rate="1M/s")
    yield v1
    yield replace(v1, section="partitioned", always=False)
    yield replace(v1, way="seccomp")
    yield replace(v1, state="1G")
    yield replace(v1, state="1G", section="trapped", rate="1M/s", always=False)
    yield replace(v1, state="1G", way="seccomp", always=False)
    yield replace(v1, model="vgpu", state="", way="seccomp", always=False)
    often = {("11", "nic", "iommufd", "preload", True), ("10", "nic", "container", "preload", False),
             ("11", "accel", "container", "seccomp", False)}
    for qemu in ("10", "11"):
        for model in ("nic", "accel"):
            for iommu in ("container", "iommufd"):
                for way in ("preload", "seccomp"):
                    for state in ("64M", "1G"):
                        for multifd in (False, True):
                            yield Cell("migrate", qemu, model, state=state, way=way, iommu=iommu, multifd=multifd,
                                       always=state == "64M" or (qemu, model, iommu, way, multifd) in often)


def variants():
    """One aspect each."""
    nic, v1 = Cell("migrate", "11"), Cell("migrate", "7.2", section="mapped")
    yield replace(nic, still=True, rate="0")
    yield replace(nic, poll=True, qemu="10")
    yield replace(nic, private=True)
    yield replace(nic, private=True, way="seccomp", iommu="iommufd", qemu="10")
    yield replace(nic, nobody=True, iommu="iommufd")
    yield replace(nic, nobody=True, way="seccomp", qemu="10")
    yield replace(v1, nobody=True)
    yield replace(nic, sandbox=True)
    yield replace(nic, sandbox=True, way="seccomp")
    yield replace(nic, used=True)
    yield replace(v1, used=True)
    yield replace(nic, behind=True)
    yield replace(nic, behind=True, way="seccomp", qemu="10")
    yield replace(nic, devices=2, qemu="10", iommu="iommufd")
    yield replace(nic, devices=2)
    yield replace(nic, devices=2, multifd=True, way="seccomp")
    yield replace(nic, devices=4, iommu="iommufd", always=False)
    for cell in (nic, replace(nic, qemu="10", way="seccomp", iommu="iommufd"), v1):
        yield replace(cell, at_once=True)
        yield replace(cell, paused=True)
        yield replace(cell, hops=3)
    yield replace(nic, model="accel", paused=True, qemu="10")
    yield replace(nic, scenario="unmigrated", way="vfio-user")


def cancels():
    for qemu in ("7.2", "10", "11"):
        nic = Cell("cancel", qemu, section="mapped" if qemu == "7.2" else "")
        yield replace(nic, detail="precopy")
        yield replace(nic, detail="pre_switchover")
        yield replace(nic, detail="acknowledgement")


def faults():
    """expect: whole (QEMU says failed, the source's guest runs on and nothing is lost), reset (the same, but QEMU resets the
    source's device, and its guest must start it again), late (QEMU says completed: nothing in the protocol could tell the
    source), harmless (QEMU does without)."""
    for qemu in ("10", "11"):
        nic = Cell("fault", qemu, expect="whole")
        new = qemu == "11"
        yield replace(nic, fault="RUNNING>PRE_COPY:EIO", always=new)
        yield replace(nic, fault="PRE_COPY>PRE_COPY_P2P:EIO", expect="reset", always=new)
        yield replace(nic, fault="PRE_COPY_P2P>STOP_COPY:EIO", expect="reset")
        yield replace(nic, fault="read@1M:EIO", always=new)
        yield replace(nic, fault="precopy-info:EIO", expect="whole" if new else "harmless", always=False)
        yield replace(nic, model="accel", fault="RUNNING>STOP:EIO", expect="reset", always=False)
        yield replace(nic, model="accel", fault="STOP>STOP_COPY:EIO", always=not new)
        yield replace(nic, fault_to="RUNNING>RUNNING_P2P:EIO", always=False)
        yield replace(nic, fault_to="RUNNING_P2P>STOP:EIO", always=False)
        yield replace(nic, fault_to="STOP>RESUMING:EIO", always=not new)
        yield replace(nic, fault_to="write@1M:EIO")
        yield replace(nic, fault_to="write@1M:EIO", multifd=True, always=False)
        yield replace(nic, detail="bad_stream")
        yield replace(nic, detail="flipped_bit", always=new)
        yield replace(nic, fault_to="load:EIO", expect="late", always=new)
        yield replace(nic, fault_to="RESUMING>STOP:EIO", expect="late", always=False)
        yield replace(nic, fault_to="STOP>RUNNING_P2P:EIO", expect="late", always=False)
        yield replace(nic, run=("--fault", "PRE_COPY>PRE_COPY_P2P:EIO:once"), expect="reset", always=new)
        yield replace(nic, run=("--fault", "read@1M:EIO:once"), way="seccomp", always=new)
    nic = Cell("fault", "7.2", section="mapped", expect="whole")
    yield replace(nic, keys="v1-fault=pending_bytes:EIO:once", expect="harmless")
    yield replace(nic, keys="v1-fault=data_offset:EIO:once", always=False)
    yield replace(nic, keys="v1-fault=data_size:EIO:once", always=False)
    yield replace(nic, fault="RUNNING>PRE_COPY:EIO")
    yield replace(nic, fault="PRE_COPY_P2P>STOP_COPY:EIO", always=False)
    yield replace(nic, fault="read@1M:EIO", always=False)
    yield replace(nic, fault_to="write@1M:EIO")
    yield replace(nic, detail="bad_stream")
    yield replace(nic, fault_to="load:EIO", expect="late", always=False)


def broken():
    """The checks themselves: each of these must turn red, and says by which check."""
    nic = Cell("red", "11")
    yield replace(nic, detail="unreported_page", expect="memory", run=("--fault", "report:EAGAIN"))
    yield replace(nic, detail="lost_record", expect="records")
    # QEMU's own client says that such a device has moved, and leaves its state behind.
    yield replace(nic, detail="left_behind", expect="state", way="vfio-user")


def all_cells(full):
    for cells in (migrations(), variants(), cancels(), faults(), broken()):
        for cell in cells:
            if full or cell.always:
                yield cell
