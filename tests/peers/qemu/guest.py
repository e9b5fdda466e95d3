# SPDX-License-Identifier: BSD-3-Clause
"""guest - the guest of tests/peers/guest-nic, over its serial line."""
import time

from qmp import TIMEOUT, Failed, Line

# Counters that must stay zero: what only a device, or a migration, that is broken makes.
WRONG = ("lost", "doubled", "corrupt", "overruns", "bad_frames", "bad_doorbells", "dma_faults")


class Guest(Line):
    def answer(self):
        """The lines up to the dot, each as a dict."""
        deadline, rows = time.monotonic() + TIMEOUT, []
        while True:
            line = self.line(deadline)
            if line is None:
                raise Failed("the guest does not answer")
            line = line.strip("\r")
            if line == "fault":
                raise Failed("the guest has crashed")
            if line == ".":
                return rows
            if line:
                rows.append(dict(pair.split("=") if "=" in pair else (pair, "") for pair in line.split()))

    def ask(self, command):
        self.send(command)
        return self.answer()

    def ready(self):
        if "ready" not in self.answer()[0]:
            raise Failed("the guest says something else than ready")
        return self.ask("p")

    def counters(self):
        return [{k: v if k == "kind" else int(v) for k, v in row.items()} for row in self.ask("c")]

    def taken(self):
        return sum(row["taken"] for row in self.counters())

    def wait_taken(self, more, timeout=TIMEOUT):
        """Until every device has sent so many more records; returns the counters."""
        deadline = time.monotonic() + timeout
        start = [row["taken"] for row in self.counters()]
        while True:
            rows = self.counters()
            if all(row["taken"] >= s + more for row, s in zip(rows, start)):
                return rows
            if time.monotonic() > deadline:
                raise Failed(f"no {more} records more: {rows}")
            time.sleep(0.02)

    def settle(self):
        """After "q": until the rings are full and the devices still; returns the counters."""
        deadline, before = time.monotonic() + TIMEOUT, None
        while True:
            rows = self.counters()
            now = [row["sent"] for row in rows]
            if now == before and all(row["sent"] == row["taken"] for row in rows):
                return rows
            if time.monotonic() > deadline:
                raise Failed(f"the devices do not come to rest: {rows}")
            before = now
            time.sleep(0.1)

    def check(self, but=""):
        """What is wrong, as sentences: records, and pages of the devices' state. but: a counter that says nothing."""
        wrong = [f"device {row['device']}: {row[key]} {key}" for row in self.counters() for key in WRONG
                 if row[key] and key != but]
        wrong += [f"device {row['device']}: {row['bad_pages']} bad pages of state" for row in self.ask("k")
                  if row["bad_pages"] != "0"]
        return wrong
