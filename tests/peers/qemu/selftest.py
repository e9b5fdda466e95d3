#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""selftest - the checks of migration.py themselves, on made-up machines: each is green when all is well, and red when what
it stands for is broken. (The cells red.* of the real run do so with real ones.) TAP."""
import sys
from dataclasses import replace

from cells import Cell, all_cells
from migration import Pair
from proxy import HEADER, PAGES, Proxy
from scenarios import check_quiescence
from status import Device

SOURCE = ("running", "pre-copy", "pre-copy-p2p", "stop-copy", "stop")
DESTINATION = ("running", "resuming", "running-p2p", "running")


def device(*states, resets=1, start=0):
    return Device({"device-state": states[-1], "resets": resets, "saved": 0, "loaded": 0,
                   "states": [{"device-state": s, "time-ns": start + i} for i, s in enumerate(states)]})


class Made:
    """A machine: what the checks ask of one."""

    def __init__(self, devices, said=(), memory=bytes(8192)):
        self.name, self.devices, self.memory, self.rows = "made", devices, memory, []
        self.events = [{"event": "VFIO_MIGRATION", "data": {"device-id": "vf0", "device-state": s}} for s in said]
        self.qmp = self.guest = self

    def poll(self):
        pass

    def alive(self):
        return True

    def info(self):
        return self.devices

    def resets(self):
        return sum(d.resets for d in self.devices)

    def pages(self):
        return self.memory

    def ask(self, _):
        return self.rows


def pair(source, destination):
    made = Pair.__new__(Pair)
    made.cell, made.wrong, made.facts = Cell("migrate", "11"), [], []
    made.source, made.destination, made.before = source, destination, [1, 1]
    return made


def good():
    return pair(Made([device(*SOURCE)], SOURCE[1:]), Made([device(*DESTINATION)], DESTINATION[1:]))


def finds(check, change=lambda p: None):
    made = good()
    change(made)
    check(made)
    return bool(made.wrong)


def set_events(said):
    def change(made):
        made.source.events = Made([], said).events
    return change


def set_source(*devices):
    def change(made):
        made.source.devices = list(devices)
    return change


def flip_memory(made):
    made.destination.memory = bytes(5000) + b"\1" + bytes(3191)


def cut_memory(made):
    made.destination.memory = bytes(4096)


def phases(made):
    made.check_phases(["PRE_COPY", "PRE_COPY_P2P", "STOP_COPY", "STOP"], ["RESUMING", "RUNNING_P2P", "RUNNING"])


def state(digest):
    def check(made):
        made.destination.rows = [{"arrived": "0x10"}]
        made.check_state([digest])
    return check


def flips(what, frames):
    proxy = Proxy.__new__(Proxy)
    proxy.what, proxy.seen, proxy.done = what, 0, False
    frame = PAGES + bytes(HEADER + 4096 - len(PAGES))
    before = frame * frames
    after = proxy._flip(before)
    return sum((a ^ b).bit_count() for a, b in zip(before, after))


TESTS = {
    "events_that_the_device_saw": not finds(Pair.check_events),
    "preparing_is_no_state": not finds(Pair.check_events, set_events(("pre-copy", "pre-copy-p2p-prepare", "stop"))),
    "an_event_too_many": finds(Pair.check_events, set_events(("pre-copy", "resuming", "stop"))),
    "events_in_another_order": finds(Pair.check_events, set_events(("stop-copy", "pre-copy-p2p", "stop"))),
    "no_events": finds(Pair.check_events, set_events(())),
    "phases_of_the_protocol": not finds(phases),
    "a_phase_left_out": finds(phases, set_source(device("running", "pre-copy", "stop-copy", "stop"))),
    "equal_memory": not finds(Pair.check_memory),
    "a_byte_of_memory": finds(Pair.check_memory, flip_memory),
    "less_memory": finds(Pair.check_memory, cut_memory),
    "an_equal_digest": not finds(state(0x10)),
    "another_digest": finds(state(0x11)),
    "no_resets": not finds(Pair.check_resets),
    "a_reset": finds(Pair.check_resets, set_source(device(*SOURCE, resets=2))),
    "two_that_are_quiet_before_either_stops": not finds(check_quiescence, set_source(device(*SOURCE), device(*SOURCE))),
    "one_that_stops_early": finds(check_quiescence, set_source(device(*SOURCE), device(*SOURCE, start=1))),
    "one_bit_of_data": flips("data", 5) == 1,
    "one_bit_of_a_header": flips("header", 5) == 1,
    "no_bit_of_the_first_frames": flips("data", 2) == 0,
    "cells_have_names_of_their_own": len({c.name for c in all_cells(True)}) == len(list(all_cells(True))),
    "a_fault_is_the_sources": "EIO" not in replace(Cell("fault", "7.2"), keys="v1-fault=data_size:EIO").spec(True),
}

print(f"1..{len(TESTS)}")
for number, (name, passed) in enumerate(TESTS.items(), 1):
    print(f"{'ok' if passed else 'not ok'} {number} - {name}")
sys.exit(0 if all(TESTS.values()) else 1)
