# SPDX-License-Identifier: BSD-3-Clause
"""qmp - the machine protocol of a QEMU: commands, answers, and the events that come in between. Every wait is bounded."""
import json
import os
import select
import socket
import time

TIMEOUT = float(os.environ.get("WAIT", "60"))  # seconds that a single wait may take


class Failed(Exception):
    """What a cell says when it fails: one sentence."""


class Line:
    """A UNIX socket that is read line by line."""

    def __init__(self, path, alive, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        self.path, self.rest = path, b""
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(path)
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if not alive():
                    raise Failed(f"ended before it listened at {os.path.basename(path)}") from None
                if time.monotonic() > deadline:
                    raise Failed(f"does not listen at {os.path.basename(path)}") from None
                time.sleep(0.01)

    def send(self, text):
        self.socket.sendall(text.encode())

    def line(self, deadline):
        """The next line, or None when there is none by then (a past deadline: only what is there)."""
        while b"\n" not in self.rest:
            if not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
                return None
            data = self.socket.recv(65536)
            if not data:
                raise Failed(f"closed {os.path.basename(self.path)}")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode(errors="replace")

    def close(self):
        self.socket.close()


class Qmp(Line):
    def __init__(self, path, alive):
        super().__init__(path, alive)
        self.events = []
        self._message(time.monotonic() + TIMEOUT)
        self.do("qmp_capabilities")

    def _message(self, deadline):
        """One message that is no event; None: none by then. Events are kept."""
        while True:
            line = self.line(deadline)
            if line is None:
                return None
            message = json.loads(line)
            if "event" not in message:
                return message
            self._keep(message)

    def _keep(self, event):
        # One for each pass over the memory, of which there may be thousands in a second.
        if event["event"] != "MIGRATION_PASS":
            self.events.append(event)

    def ask(self, command, **arguments):
        """The whole answer, an error too."""
        self.send(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        answer = self._message(time.monotonic() + TIMEOUT)
        if answer is None:
            raise Failed(f"{command}: no answer")
        return answer

    def do(self, command, **arguments):
        answer = self.ask(command, **arguments)
        if "error" in answer:
            raise Failed(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def hmp(self, line):
        return self.do("human-monitor-command", **{"command-line": line})

    def poll(self):
        """Take the events that have come."""
        if self._message(0) is not None:
            raise Failed("an answer to nothing")

    def wait(self, found, what, timeout=TIMEOUT):
        """Until found(events) is true; returns it."""
        deadline = time.monotonic() + timeout
        while True:
            result = found(self.events)
            if result:
                return result
            line = self.line(deadline)
            if line is None or time.monotonic() > deadline:
                raise Failed(f"{what}: not within {timeout:.0f} s")
            message = json.loads(line)
            if "event" not in message:
                raise Failed("an answer to nothing")
            self._keep(message)

    def wait_status(self, *wanted, timeout=TIMEOUT):
        """Until the migration has one of these states (an event each); returns it. It fails when it is over otherwise."""
        over = ("completed", "failed", "cancelled")

        def found(events):
            for status in statuses(events):
                if status in wanted or status in over:
                    return status
            return None

        status = self.wait(found, "migration to be " + " or ".join(wanted), timeout)
        if status not in wanted:
            raise Failed(f"the migration is {status}, not {' or '.join(wanted)}")
        return status

    def forget(self):
        """Events of one migration are not those of the next."""
        self.poll()
        self.events.clear()


def statuses(events):
    return [e["data"]["status"] for e in events if e["event"] == "MIGRATION"]


def device_states(events, device):
    """What QEMU says that the device went through, in the uAPI's words; not what it only prepares for (QEMU 11)."""
    states = [e["data"]["device-state"] for e in events
              if e["event"] == "VFIO_MIGRATION" and e["data"]["device-id"] == device]
    return [state.replace("-", "_").upper() for state in states if not state.endswith("-prepare")]
