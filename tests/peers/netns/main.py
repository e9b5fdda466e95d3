#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""main.py BUILD: migrations between two network namespaces, over a link with a bandwidth and a latency. Emits TAP.

The bandwidth is tbf's. The latency is netem's, or, where the kernel has none, that of relay.py in front of the receiver.
What each migration expected of its downtime when pre-copy ended is held against what it was; of a few runs the median counts, since
this machine has other things to do, too.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
RUNS, MOST = 5, 15  # more of them where the first were disturbed
WITHIN = 0.25
WAIT = 60
# name, rate, one-way latency, the device, what is allowed
CELLS = [
    ("a_slow_link", "200mbit", 0, "nic,state=32M,dirty-rate=8M/s", "300ms"),
    ("a_slow_and_long_link", "200mbit", 5, "nic,state=32M,dirty-rate=8M/s", "300ms"),
    ("a_long_link", "400mbit", 20, "nic,state=32M,dirty-rate=4M/s", "400ms"),
]


def sh(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True)


class Net:
    """Two namespaces and a pair of interfaces; all of it goes with the object."""

    def __init__(self):
        self.names = [f"vmig-{os.getpid()}-{end}" for end in "ab"]
        for name in self.names:
            sh("ip", "netns", "add", name)
        a, b = self.names
        sh("ip", "link", "add", "v0", "netns", a, "type", "veth", "peer", "name", "v0", "netns", b)
        for name, address in zip(self.names, ("10.111.0.1/24", "10.111.0.2/24")):
            self.run(name, "ip", "addr", "add", address, "dev", "v0")
            self.run(name, "ip", "link", "set", "v0", "up")
            self.run(name, "ip", "link", "set", "lo", "up")

    def run(self, name, *words, check=True):
        return sh("ip", "netns", "exec", name, *words, check=check)

    def shape(self, rate, latency):
        """True: the latency is the kernel's."""
        for name in self.names:
            self.run(name, "tc", "qdisc", "del", "dev", "v0", "root", check=False)
            self.run(name, "tc", "qdisc", "add", "dev", "v0", "root", "handle", "1:", "tbf", "rate", rate, "burst",
                     "64kb", "latency", "50ms")
        return bool(latency) and all(
            self.run(name, "tc", "qdisc", "add", "dev", "v0", "parent", "1:1", "netem", "delay", f"{latency}ms",
                     "limit", "10000", check=False).returncode == 0 for name in self.names)

    def close(self):
        for name in self.names:
            sh("ip", "netns", "del", name, check=False)


class Run:
    """One migration and all that it needs."""

    def __init__(self, vmig, net, folder):
        self.vmig, self.net, self.folder, self.started = vmig, net, folder, []

    def start(self, end, ready, *words):
        child = subprocess.Popen(["ip", "netns", "exec", self.net.names[end], *words], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, cwd=self.folder)
        self.started.append(child)
        for line in child.stdout:
            if line.startswith(ready):
                return line.split()[-1]
        raise RuntimeError(f"{' '.join(words)} did not begin")

    def migrate(self, device, downtime, latency):
        for name, end in ("a", 0), ("b", 1):
            self.start(end, "ready:", self.vmig, "serve", device, "--socket", f"{self.folder}/{name}")
        bind = "127.0.0.1" if latency else "10.111.0.2"
        port = self.start(1, "listening:", self.vmig, "receive", f"tcp:{bind}:0", "vfio-user:b", "--insecure",
                          "--as", "b").split(":")[-1]
        if latency:
            port = self.start(1, "relay:", sys.executable, f"{HERE}/relay.py", "10.111.0.2", port, str(latency))
        sent = subprocess.run(["ip", "netns", "exec", self.net.names[0], self.vmig, "send", "--json", "vfio-user:a",
                               f"tcp:10.111.0.2:{port}", "--insecure", "--as", "a", "--downtime", downtime],
                              capture_output=True, text=True, timeout=WAIT, cwd=self.folder)
        if sent.returncode:
            raise RuntimeError(f"status {sent.returncode}: {sent.stderr.strip()}")
        events = [json.loads(line) for line in sent.stdout.splitlines()]
        return next(e["data"] for e in events if e["event"] == "VMIG_RESULT")

    def close(self):
        for child in self.started:
            child.kill()
            child.wait()
            child.stdout.close()


def one(vmig, net, device, downtime, latency):
    with tempfile.TemporaryDirectory(prefix="vmig-netns.") as folder:
        os.environ["VMIG_OWNER"] = f"sqlite:{folder}/owner.db"
        run = Run(vmig, net, folder)
        try:
            return run.migrate(device, downtime, latency)
        finally:
            run.close()


def cell(vmig, net, name, rate, latency, device, downtime):
    relayed = 0 if net.shape(rate, latency) else latency
    errors = []
    while len(errors) < RUNS or (len(errors) < MOST and statistics.median(errors) > WITHIN):
        r = one(vmig, net, device, downtime, relayed)
        expected, was = r["expected-downtime"], r["downtime"]
        errors.append(abs(expected - was) / was)
        print(f"# {name}: {r['passes']} rounds, expected {expected:.1f} ms, was {was:.1f} ms", flush=True)
    error = statistics.median(errors)
    how = "tbf" + ("" if not latency else ", a relay for the latency" if relayed else " and netem")
    print(f"# {name}: {rate}, {latency} ms one way ({how}): the median error is {100 * error:.0f} %")
    print(f"{'ok' if error <= WITHIN else 'not ok'} - {name}", flush=True)


def main():
    vmig = f"{sys.argv[1]}/tools/vmig/vmig"
    try:
        os.nice(-15)  # what else this machine does is not to be measured
    except OSError:
        pass
    try:
        net = Net()
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"ok - netns # SKIP no network namespaces can be made here: {getattr(e, 'stderr', '') or e}".strip())
        return
    try:
        for row in CELLS:
            try:
                cell(vmig, net, *row)
            except (RuntimeError, StopIteration, KeyError, subprocess.SubprocessError) as e:
                print(f"# {e!r}\nnot ok - {row[0]}", flush=True)
    finally:
        net.close()


main()
