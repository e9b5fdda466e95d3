# SPDX-License-Identifier: BSD-3-Clause
"""status - one device, as `vmig info --json run:NAME` shows it."""


def words(state):
    """The uAPI's words: "pre-copy" is PRE_COPY. v1 has words of its own, which stay."""
    return state if state.startswith("v1-") else state.replace("-", "_").upper()


class Device:
    def __init__(self, row):
        self.row = row
        self.state = words(row["device-state"])
        self.resets = row["resets"]
        self.saved, self.loaded = row["saved"], row["loaded"]

    def transitions(self):
        """Those that the device made, without those that changed nothing: (time in ns, state)."""
        out = []
        for row in self.row["states"]:
            state = words(row["device-state"])
            if "error" not in row and (not out or out[-1][1] != state):
                out.append((row["time-ns"], state))
        return out

    def states(self):
        return [state for _, state in self.transitions()]

    def time_of(self, *states):
        """When one of them was first reached; None: never."""
        return next((time for time, s in self.transitions() if s in states), None)
