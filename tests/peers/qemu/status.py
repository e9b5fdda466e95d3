# SPDX-License-Identifier: BSD-3-Clause
"""status - one device, as `vmig info --json run:NAME` shows it."""


class Device:
    def __init__(self, row):
        self.row = row
        self.state = row["state"]
        self.resets = row["resets"]
        self.saved, self.loaded = row["saved"], row["loaded"]

    def transitions(self):
        """Those that the device made: (time in ns, state)."""
        return [(t["time_ns"], t["state"]) for t in self.row["states"] if not t["result"]]

    def states(self):
        """In order, without those that changed nothing."""
        out = []
        for _, state in self.transitions():
            if not out or out[-1] != state:
                out.append(state)
        return out

    def time_of(self, state):
        """When it was first reached; None: never."""
        return next((time for time, s in self.transitions() if s == state), None)
