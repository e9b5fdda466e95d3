# SPDX-License-Identifier: BSD-3-Clause
"""One migration's world: two device servers, two controllers, a link between them, a record; and what can befall each."""
import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.request


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def wait_for(what, seconds, step=0.005):
    """Until what() is true. False: it has not come to that."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(step)
    return True


class Process:
    """A program whose output is kept in a file."""

    def __init__(self, world, name, words, **environment):
        self.name, self.words = name, words
        self.out = os.path.join(world.folder, name + ".out")
        self.err = os.path.join(world.folder, name + ".err")
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.popen = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                          env=dict(world.environment, **environment), cwd=world.folder)
        world.processes.append(self)

    def said(self):
        with open(self.out, encoding="utf-8", errors="replace") as f:
            return f.read()

    def complaint(self):
        with open(self.err, encoding="utf-8", errors="replace") as f:
            return f.read()

    def events(self, name):
        found = []
        for line in self.said().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("event") == name:
                found.append(event["data"])
        return found

    def ended(self):
        return self.popen.poll() is not None

    def state(self):
        """As in /proc: T is stopped; "": it has ended."""
        if self.ended():
            return ""
        try:
            with open(f"/proc/{self.popen.pid}/stat", encoding="ascii", errors="replace") as f:
                return f.read().rpartition(")")[2].split()[0]
        except OSError:
            return ""

    def signal(self, number):
        if not self.ended():
            self.popen.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def held(self, seconds):
        """True: it stands at the stage that it was told of. False: it has ended, or never came there."""
        wait_for(lambda: self.state() in ("T", ""), seconds)
        return self.state() == "T"

    def status(self):
        return self.popen.poll()


class Server(Process):
    """A device. Its log tells when it ran, and whose state it held."""

    def __init__(self, world, side, number, life=0):
        self.side, self.number, self.life, self.killed_ns = side, number, life, None
        name = f"{side}{number}"
        self.socket = os.path.join(world.folder, name)
        self.log = os.path.join(world.folder, f"{name}.{life}.log")
        super().__init__(world, f"serve-{name}.{life}",
                         [world.vmig, "serve", world.model, "--socket", self.socket, "--log", self.log])
        if not wait_for(lambda: "ready:" in self.said(), 20):
            raise RuntimeError(f"the server {name} does not start: {self.complaint()}")

    def kill(self):
        super().kill()
        self.killed_ns = self.killed_ns or now_ns()

    def runs(self):
        """[from, to) of each time in which it ran with somebody's identity; to is None: it still does. Whether one step
        belongs to it or not is decided against us: from the step's beginning to the state's end."""
        intervals, state, identity, since = [], "RUNNING", False, None
        stopped = ("STOP", "STOP_COPY", "RESUMING", "ERROR")
        with open(self.log, encoding="ascii") as f:
            lines = f.read().splitlines()
        for line in lines:
            match = re.match(r"(\d+) (?:step: \w+ to (\w+)|state: (\w+)|tag: identity (\S+),)", line)
            if not match:
                continue
            at, step, is_in, tag = int(match[1]), match[2], match[3], match[4]
            if step and step not in stopped:
                state = step
            elif is_in:
                state = is_in
            elif tag:
                identity = tag != "00000000-0000-0000-0000-000000000000"
            running = identity and state not in stopped
            if running and since is None:
                since = at
            elif not running and since is not None:
                intervals.append((since, at))
                since = None
        if since is not None:
            intervals.append((since, self.killed_ns))
        return intervals

    def runs_now(self):
        return not self.ended() and any(end is None for _, end in self.runs())


class Link:
    """Between the controllers: what is sent to one socket comes out of another, until something befalls it."""

    def __init__(self, here, there):
        self.there, self.mode = there, "well"  # well, stalled, corrupt
        self.lock, self.pairs, self.closed = threading.Lock(), [], False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(here)
        self.listener.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.closed:
            try:
                near, _ = self.listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.there)
            except OSError:
                if self.closed:
                    return
                near.close()
                continue
            pair = {"ends": (near, far), "stalled": False}
            with self.lock:
                self.pairs.append(pair)
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(pair, a, b), daemon=True).start()

    def carry(self, pair, a, b):
        try:
            while True:
                data = a.recv(1 << 18)
                if not data:
                    break
                if pair["stalled"]:
                    continue  # as into a cable that is cut: nobody is told
                with self.lock:
                    bad = self.mode == "corrupt"
                    if bad:
                        self.mode = "well"
                if bad:
                    data = bytearray(data)
                    data[len(data) // 2] ^= 0x40
                b.sendall(data)
            if not pair["stalled"]:
                b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def met(self):
        """The controllers have met: what is done to their connection is done to it."""
        wait_for(lambda: self.pairs, 10)

    def cut(self):
        with self.lock:
            for pair in self.pairs:
                for end in pair["ends"]:
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

    def stall(self):
        """The connections that there are, for ever; new ones are well."""
        self.met()
        with self.lock:
            for pair in self.pairs:
                pair["stalled"] = True

    def corrupt(self):
        self.met()
        with self.lock:
            self.mode = "corrupt"

    def close(self):
        self.closed = True
        self.cut()
        self.listener.close()
        with self.lock:
            for pair in self.pairs:
                for end in pair["ends"]:
                    end.close()


class SqliteStore:
    """The record in a file, on a small disk of its own if there may be mounts."""
    kind = "sqlite"

    def __init__(self, folder):
        self.folder = os.path.join(folder, "disk")
        os.mkdir(self.folder)
        self.small = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.folder],
                                    stderr=subprocess.DEVNULL, check=False).returncode == 0
        self.path = os.path.join(self.folder, "owner.db")
        self.url, self.locks = "sqlite:" + self.path, []

    def away(self):
        """Another program has it locked: all locks of a database with a WAL."""
        wait_for(lambda: os.path.exists(self.path + "-shm"), 5)
        f = open(self.path + "-shm", "r+b")  # pylint: disable=consider-using-with
        end = time.monotonic() + 5
        while True:
            try:
                fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 8, 120)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
        self.locks.append(f)

    def full(self):
        if not self.small:
            return False
        with open(os.path.join(self.folder, "filler"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass
        return True

    def back(self):
        for f in self.locks:
            f.close()
        self.locks = []
        if os.path.exists(os.path.join(self.folder, "filler")):
            os.unlink(os.path.join(self.folder, "filler"))

    def close(self):
        self.back()
        if self.small:
            subprocess.run(["umount", "-l", self.folder], check=False)


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class EtcdStore:
    """The record in a real etcd."""
    kind = "etcd"

    def __init__(self, folder):
        self.alarmed = False
        for turn in range(5):  # another may have taken a port meanwhile
            self.start(os.path.join(folder, f"etcd.{turn}"))
            if wait_for(lambda: self.popen.poll() is not None or self.answers(), 30, 0.05) and self.popen.poll() is None:
                return
            self.close()
        raise RuntimeError("etcd does not start")

    def start(self, folder):
        client, peer = free_ports(2)
        self.base = f"http://127.0.0.1:{client}"
        self.url = "etcd:" + self.base
        with open(folder + ".log", "wb") as log:
            self.popen = subprocess.Popen(
                ["etcd", "--name", "m", "--data-dir", folder, "--listen-client-urls", self.base,
                 "--advertise-client-urls", self.base, "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                 "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster",
                 f"m=http://127.0.0.1:{peer}", "--unsafe-no-fsync", "--log-level", "error"], stdout=log, stderr=log)

    def ask(self, path, body):
        request = urllib.request.Request(self.base + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5) as reply:
            return json.load(reply)

    def answers(self):
        try:
            return "kvs" in self.ask("/v3/kv/range", {"key": "AA=="}) or True
        except OSError:
            return False

    def away(self):
        self.popen.send_signal(signal.SIGSTOP)

    def alarm(self, action):
        member = self.ask("/v3/maintenance/status", {})["header"]["member_id"]
        self.ask("/v3/maintenance/alarm", {"action": action, "memberID": member, "alarm": "NOSPACE"})

    def full(self):
        """As when its disk has no room for more than its quota."""
        self.alarm("ACTIVATE")
        self.alarmed = True
        return True

    def back(self):
        self.popen.send_signal(signal.SIGCONT)
        if self.alarmed:
            self.alarm("DEACTIVATE")
            self.alarmed = False
        wait_for(self.answers, 10)

    def close(self):
        self.popen.kill()
        self.popen.wait()


class Device:
    """A client of vfio-user that shares nothing with vmig: reads and writes the registers of a nic."""

    def __init__(self, path):
        self.socket, self.id = socket.socket(socket.AF_UNIX), 0
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.call(1, struct.pack("<HH", 0, 0))

    def take(self, n):
        data = b""
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise OSError("the server has closed")
            data += piece
        return data

    def call(self, command, body):
        self.id += 1
        self.socket.sendall(struct.pack("<HHIII", self.id, command, 16 + len(body), 0, 0) + body)
        _, _, size, flags, error = struct.unpack("<HHIII", self.take(16))
        body = self.take(size - 16)
        if flags & 0x20:
            raise OSError(error, os.strerror(error))
        return body

    def read(self, offset):
        return struct.unpack("<Q", self.call(9, struct.pack("<QII", offset, 0, 8))[16:24])[0]

    def write(self, offset, value):
        self.call(10, struct.pack("<QIIQ", offset, 0, 8, value))

    def set_state(self, state):
        """Past all rules: SET of VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE."""
        self.call(16, struct.pack("<IIIi", 16, 1 << 17 | 2, state, -1))

    def close(self):
        self.socket.close()


class World:
    """All of it, with a unit of @n devices. Nothing of it is left when it has been closed."""

    def __init__(self, vmig, folder, store, timeout, n):
        self.vmig, self.folder, self.timeout, self.n = vmig, folder, timeout, n
        self.model = f"nic,state={4 // n}M,dirty-rate=1M/s"
        self.environment = {"PATH": os.environ["PATH"], "HOME": folder}
        if "LD_LIBRARY_PATH" in os.environ:
            self.environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        self.processes, self.link, self.store = [], None, None
        self.sender = self.receiver = None
        self.past = []  # servers that were killed
        self.store = store(folder)
        self.environment["VMIG_OWNER"] = self.store.url
        self.servers = {side: [Server(self, side, i) for i in range(n)] for side in "ab"}

    def devices(self, side):
        return ["vfio-user:" + server.socket for server in self.servers[side]]

    def receive(self, **environment):
        address = "unix:" + os.path.join(self.folder, "d")
        process = Process(self, "receive", [self.vmig, "receive", "--json", "--timeout", f"{self.timeout}s", "--workload",
                                            "--workload-time", "100ms", address, *self.devices("b")], **environment)
        if not wait_for(lambda: "VMIG_LISTENING" in process.said() or process.ended(), 20) or process.ended():
            raise RuntimeError("receive does not listen: " + process.complaint())
        return process

    def send(self, **environment):
        self.link = Link(os.path.join(self.folder, "s"), os.path.join(self.folder, "d"))
        address = "unix:" + os.path.join(self.folder, "s")
        return Process(self, "send", [self.vmig, "send", "--json", "--timeout", f"{self.timeout}s", "--workload",
                                      "--workload-time", "100ms", *self.devices("a"), address], **environment)

    def run(self, name, *words):
        process = Process(self, name, [self.vmig, *words])
        if not wait_for(process.ended, 60):
            process.kill()
        return process

    def kill_device(self, side):
        """One of the unit's, the last."""
        self.servers[side][-1].kill()

    def restart_dead(self):
        """Sides of which a device's state was lost."""
        lost = []
        for side, servers in self.servers.items():
            for i, old in enumerate(servers):
                if old.ended():
                    self.past.append(old)
                    servers[i] = Server(self, side, i, old.life + 1)
                    lost.append(side)
        return lost

    def overlap(self):
        """Did both sides run one device at one time? The two intervals, or None."""
        def all_of(side, number):
            return [i for s in self.past + self.servers[side] if (s.side, s.number) == (side, number) for i in s.runs()]
        for number in range(self.n):
            for a in all_of("a", number):
                for b in all_of("b", number):
                    if (a[1] is None or a[1] > b[0]) and (b[1] is None or b[1] > a[0]):
                        return number, a, b
        return None

    def owners(self):
        """For each side that runs all of its devices, its name. A part of them: the name with a question mark."""
        found = []
        for side, servers in self.servers.items():
            n = sum(server.runs_now() for server in servers)
            if n:
                found.append(side if n == self.n else side + "?")
        return found

    def close(self):
        for process in self.processes:
            process.signal(signal.SIGCONT)
            process.kill()
        if self.link:
            self.link.close()
        if self.store:
            self.store.close()
