# SPDX-License-Identifier: BSD-3-Clause
"""scenarios - what happens in a cell. Each takes the cell and a folder, and returns a Pair with what it found."""
from migration import Found, Pair, migration_time, wait_for
from qmp import Failed, statuses
from vm import Vm

NIC_INJECT, INJECT_LOST = 0x28, 1

# The values of device_state (v1), and the states (v2) that a whole migration goes through, as requests.
V1_SOURCE = ["v1-pre-copy", "v1-stop-and-copy", "v1-stop"]
V1_DESTINATION = ["v1-resuming", "v1-running"]
PHASES = {
    "nic": (["PRE_COPY", "PRE_COPY_P2P", "STOP_COPY", "STOP"], ["RESUMING", "RUNNING_P2P", "RUNNING"]),
    "accel": (["STOP", "STOP_COPY", "STOP"], ["RESUMING", "RUNNING"]),
}


def phases(cell):
    """The last states of source and destination."""
    source, destination = (V1_SOURCE, V1_DESTINATION) if cell.v1 else PHASES[cell.model]
    if cell.paused:
        source = ["v1-stop", "v1-stop-and-copy", "v1-stop"] if cell.v1 else ["STOP", "STOP_COPY", "STOP"]
    return source, destination


def migrate(cell, folder):
    """Live, with both machines standing still for a moment at the end, to be compared."""
    pair = Pair(cell, folder)
    if cell.used:
        pair.use_destination()
    hop(pair)
    for _ in range(1, cell.hops):
        pair.go_on()
        hop(pair)
    pair.end()
    return pair


def hop(pair):
    cell = pair.cell
    if cell.still:
        quiet(pair.source)
        before = [row["digest"] for row in pair.source.guest.ask("d")]
    if cell.paused:
        pair.source.qmp.do("stop")
    pair.set_up()
    pair.start()
    pair.finish()
    pair.facts.append(migration_time(pair.source.qmp))
    arrive(pair)
    if cell.still:
        after = [row["digest"] for row in pair.destination.guest.ask("d")]
        pair.expect(before == after, f"state: the guest read digests {before}, and reads {after}")
        pair.destination.guest.ask("r")
    pair.check_work(pair.destination)
    pair.check_events()
    pair.check_phases(*phases(cell))
    if cell.devices > 1:
        check_quiescence(pair)
    pair.check_resets()


def quiet(vm):
    """No more doorbells: the rings fill up, and the devices send nothing more."""
    vm.guest.ask("q")
    vm.guest.settle()


def arrive(pair):
    """What left is what arrived, and it runs on."""
    if not pair.cell.at_once:
        pair.check_memory()
    digests = pair.digests()
    if not pair.cell.at_once:
        pair.destination.qmp.do("cont")
    pair.check_state(digests)


def check_quiescence(pair):
    """No device stops before all of them are quiet towards the others: the times of the source's transitions."""
    devices = pair.source.info()
    quiet = [device.time_of("PRE_COPY_P2P") for device in devices]
    stopped = [device.time_of("STOP_COPY") for device in devices]
    pair.expect(None not in quiet + stopped and max(quiet) < min(stopped),
                f"quiescence: quiet at {quiet}, stopped at {stopped}")


def cancel(cell, folder):
    """migrate_cancel in one phase; then the guest runs on, and a migration after that succeeds."""
    pair = Pair(cell, folder)
    if cell.detail == "precopy":
        pair.set_up(bandwidth=16 << 20)
        pair.start()
        pair.source.qmp.wait_status("active")
        # More than the guest's memory, which is nearly empty, comes to: the device's data are under way.
        wait_for(lambda: transferred(pair.source) > 4 << 20, "no data of the device in pre-copy")
        pair.expect(pair.source.info()[0].state in ("PRE_COPY", "v1-pre-copy"), "the device is not in pre-copy")
    elif cell.detail == "pre_switchover":
        pair.set_up(pause=True)
        pair.start()
        pair.source.qmp.wait_status("pre-switchover")
    else:
        # The destination has all and says so, but its word is held back.
        pair.set_up(pause=True, proxy="mute")
        pair.start()
        pair.source.qmp.wait_status("pre-switchover")
        pair.proxy.mute = True
        pair.source.qmp.do("migrate-continue", state="pre-switchover")
        pair.destination.qmp.wait_status("completed")
    pair.source.qmp.do("migrate_cancel")
    # Up to 10 QEMU closes the way back first, and sometimes takes that for a failure before it is cancelled.
    told = ("cancelled", "failed") if cell.detail == "acknowledgement" else ("cancelled",)
    pair.facts.append(f"QEMU says {pair.source.qmp.wait_status(*told)}")
    wait_for(lambda: pair.source.qmp.do("query-status")["status"] == "running", "the source does not run on")
    pair.running(pair.source)
    pair.source.qmp.forget()
    pair.new_destination()
    pair.set_up()
    pair.start()
    pair.finish()
    arrive(pair)
    pair.check_work(pair.destination)
    pair.check_resets()
    pair.end()
    return pair


def fault(cell, folder):
    """Something fails on purpose; see cells.py for what is expected."""
    pair = Pair(cell, folder)
    pair.set_up(proxy={"bad_stream": "header", "flipped_bit": "data"}.get(cell.detail))
    pair.start()
    over = pair.source.qmp.wait(lambda events: [s for s in statuses(events) if s in ("completed", "failed")],
                                "the end of the migration")[0]
    pair.facts.append(f"QEMU says {over}")
    if cell.expect in ("late", "harmless"):
        pair.expect(over == "completed", f"QEMU says {over}, not completed")
        if over == "completed":
            fault_is_late(cell, pair)
    else:
        pair.expect(over == "failed", f"QEMU says {over}, not failed")
        if over == "failed":
            fault_is_told(cell, pair)
    pair.facts.append(f"resets {'+'.join(pair.resets())}")
    return pair


def fault_is_told(cell, pair):
    """The source runs on, and whole."""
    wait_for(lambda: pair.source.qmp.do("query-status")["status"] == "running", "the source does not run on")
    if cell.expect == "reset":
        # QEMU resets a device that it cannot bring back: its driver has to start it again, as after any reset.
        pair.expect(pair.resets()[0] == "1", "the source's device was not reset")
        pair.source.guest.ask("o" if cell.poll else "i")
    # Before that it has rung doorbells of a device that knew nothing of it.
    pair.running(pair.source, but="bad_doorbells" if cell.expect == "reset" else "")


def fault_is_late(cell, pair):
    """The source has been told that all is well before anybody could know better."""
    pair.destination.qmp.wait_status("completed")
    if cell.expect == "harmless":
        arrive(pair)
        pair.check_work(pair.destination)
        return
    pair.check_memory()
    if cell.v1:
        # QEMU 7.2 ends itself, so that nobody runs: the source has stopped and stays so.
        try:
            pair.destination.qmp.do("cont")
        except (Failed, OSError):
            pass
        wait_for(lambda: not pair.destination.alive(), "the destination does not end")
        return
    pair.destination.qmp.do("cont")
    pair.expect(pair.resets()[1] == "1", "the destination's device was not reset")
    pair.expect(pair.source.info()[0].state in ("STOP", "v1-stop"), "the source's device has not stopped")


def red(cell, folder):
    """A check is broken on purpose: it must find that, and no other may."""
    pair = Pair(cell, folder)
    pair.set_up()
    pair.start()
    if cell.detail == "lost_record":
        pair.source.qtest(f"writel {pair.registers[0] + NIC_INJECT:#x} {INJECT_LOST}")
    pair.finish()
    arrive(pair)
    try:
        pair.check_work(pair.destination, timeout=5)
    except Failed as failed:
        pair.wrong.append(f"records: {failed}")
    found = sorted({sentence.split(":")[0] for sentence in pair.wrong})
    pair.facts += [f"found: {sentence}" for sentence in pair.wrong]
    pair.wrong = [] if cell.expect in found else [f"the check of {cell.expect} has found nothing"]
    return pair


def unmigrated(cell, folder):
    """QEMU's own vfio-user client with one of our servers: the guest's driver works, for as long as it likes."""
    vm = Vm(cell, "vm", folder)
    vm.connect()
    pair = Found()
    if len(vm.guest.ready()) != cell.devices:
        raise Failed("the guest does not find its device")
    vm.guest.ask("i")
    rows = vm.guest.wait_taken(10000)
    pair.wrong += vm.guest.check()
    pair.facts.append("%d records, %d interrupts" % (rows[0]["taken"], rows[0]["interrupts"]))
    vm.guest.ask("q")
    vm.guest.settle()
    status = vm.quit()
    if status:
        pair.wrong.append(f"QEMU ends with status {status}")
    return pair


def transferred(vm):
    return vm.qmp.do("query-migrate").get("ram", {}).get("transferred", 0)


SCENARIOS = {"unmigrated": unmigrated, "migrate": migrate, "cancel": cancel, "fault": fault, "red": red}
