# SPDX-License-Identifier: BSD-3-Clause
"""vm - one QEMU with our devices, under `vmig run`: how it is started, looked at and ended."""
import ctypes
import json
import mmap
import os
import signal
import subprocess
import time

from guest import Guest
from qmp import TIMEOUT, Failed, Line, Qmp
from status import Device

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
RAM = 64 << 20
# QEMU 7.2, emulating, forgets that its own processor wrote to a page, where a block's size is a multiple of 256K (mended
# in 9.0, "physmem: Fix migration dirty bitmap coherency with TCG memory access").
RAM_7_2 = RAM - 8192
NOBODY = 65534
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
VMIG = os.environ.get("VMIG", f"{TOP}/build/tools/vmig/vmig")
KERNEL = os.environ.get("GUEST", f"{TOP}/build/tests/peers/guest-nic")
started = []  # every process group, for the end


def start(words, log, env, nobody, keep=()):
    """A process in a group of its own, whose number is its pid. It ends when this one does, however that comes about."""
    def prepare():
        if nobody and not os.getuid():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True,
                               preexec_fn=prepare, pass_fds=keep)
    started.append(process)
    return process


def kill(process):
    if process in started:
        started.remove(process)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def kill_all():
    for process in list(started):
        kill(process)


def qemu_command(name):
    text = subprocess.run([f"{TOP}/lab/qemu", "command", name], check=True, stdout=subprocess.PIPE, text=True).stdout
    return text.splitlines()


class Vm:
    """Files are in folder, by name. incoming: it waits for a migration and stands when it has come, until told to run."""

    def __init__(self, cell, name, folder, incoming=False):
        self.cell, self.name, self.folder = cell, name, folder
        self.at = f"{folder}/{name}"
        self.qmp = self.guest = None
        self.ram = RAM_7_2 if cell.v1 else RAM
        self.env = dict(os.environ, XDG_RUNTIME_DIR=folder, LC_ALL="C")
        self.log = open(f"{self.at}.log", "wb")
        self.servers = []
        self.devices = [self._device_spec(n, incoming) for n in range(cell.devices)]
        self.process = start(self._words(incoming), self.log, self.env, cell.nobody, self._keep())

    def connect(self):
        # QEMU waits for somebody at the serial line, so that no word of the guest's is lost; then it answers.
        self.guest = Guest(f"{self.at}.serial", self.alive)
        self.qmp = Qmp(f"{self.at}.qmp", self.alive)

    # --- starting ---

    def _device_spec(self, n, incoming):
        spec = self.cell.spec(incoming)
        if not self.cell.behind and self.cell.way != "vfio-user":
            return spec
        path = f"{self.at}.dev{n}"
        self.servers.append(start([VMIG, "serve", spec, "--socket", path], self.log, self.env, self.cell.nobody))
        deadline = time.monotonic() + TIMEOUT
        while not os.path.exists(path):
            if self.servers[-1].poll() is not None or time.monotonic() > deadline:
                raise Failed("vmig serve does not listen")
            time.sleep(0.01)
        return f"vfio-user:{path}"

    def _qemu_device(self, n):
        cell = self.cell
        if cell.way == "vfio-user":
            return json.dumps({"driver": "vfio-user-pci", "addr": "%x" % (4 + n),
                               "socket": {"type": "unix", "path": self.devices[n].split(":")[1]}})
        words = ["vfio-pci", f"id=vf{n}", "rombar=0", f"addr={4 + n:#x}"]
        if cell.v1:
            words.append("x-enable-migration=on")
        else:
            words += ["enable-migration=on", "migration-events=on"]
            words.append("x-migration-multifd-transfer=" + ("on" if cell.multifd else "off"))
        number = n if cell.devices > 1 else ""
        if cell.iommu == "iommufd":
            words += ["iommufd=iommufd0", f"fd={{cdev{number}}}"]
        else:
            words.append(f"sysfsdev={{{number}}}")
        return ",".join(words)

    def _qemu(self, incoming):
        cell, share = self.cell, "off" if self.cell.private else "on"
        words = qemu_command(cell.qemu) + ["-machine", "q35,accel=tcg,memory-backend=ram", "-m", f"{self.ram >> 10}K"]
        words += ["-object", f"memory-backend-file,id=ram,size={self.ram},mem-path={self.at}.ram,share={share}"]
        words += ["-nodefaults", "-display", "none", "-vga", "none", "-monitor", "none", "-kernel", KERNEL]
        words += ["-qmp", f"unix:{self.at}.qmp,server=on,wait=off", "-serial", f"unix:{self.at}.serial,server=on,wait=on"]
        words += ["-qtest", f"unix:{self.at}.qtest,server=on,wait=off", "-qtest-log", "/dev/null"]
        if cell.iommu == "iommufd":
            words += ["-object", "iommufd,id=iommufd0,fd={iommufd}"]
        for n in range(cell.devices):
            words += ["-device", self._qemu_device(n)]
        words += ["-sandbox", "on"] if cell.sandbox else []
        return words + (["-incoming", "defer"] if incoming else []) + (["-S"] if incoming and not cell.at_once else [])

    def _keep(self):
        """Descriptors of ours that it is to have."""
        return ()

    def _words(self, incoming):
        cell = self.cell
        if cell.way == "vfio-user":
            return self._qemu(incoming)
        words = [VMIG, "run", "--intercept", cell.way, "--name", self.name]
        words += ["--trace", f"{self.at}.trace"] if os.environ.get("TRACE") else []
        words += [] if incoming else cell.run
        for device in self.devices:
            words += ["--device", device]
        return words + ["--"] + self._qemu(incoming)

    # --- looking ---

    def alive(self):
        return self.process.poll() is None

    def info(self):
        """What `vmig info` says of the run: its devices."""
        out = subprocess.run([VMIG, "info", "--json", f"run:{self.name}"], env=self.env, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
        if out.returncode:
            raise Failed(f"vmig info run:{self.name}: {out.stderr.decode().strip()}")
        return [Device(row) for row in json.loads(out.stdout)[0]["devices"]]

    def resets(self):
        """Of all its devices; 0 where there is no way of ours into it."""
        return 0 if self.cell.way == "vfio-user" else sum(device.resets for device in self.info())

    def pages(self):
        """The machine's memory, as it is."""
        path = f"{self.at}.ram"
        if self.cell.private:
            path = f"{self.at}.dump"
            self.qmp.do("pmemsave", val=0, size=self.ram, filename=path)
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)

    def qtest(self, *lines):
        """Accesses of the machine's processor, also while it stands. Returns the value of the last one."""
        line = Line(f"{self.at}.qtest", self.alive)
        try:
            for text in lines:
                line.send(text + "\n")
                answer = line.line(time.monotonic() + TIMEOUT)
                if not answer or not answer.startswith("OK"):
                    raise Failed(f"qtest {text}: {answer}")
            return int(answer.split()[1], 16) if len(answer.split()) > 1 else 0
        finally:
            line.close()

    def register(self, address):
        """Of 8 bytes."""
        return self.qtest(f"readl {address:#x}") | self.qtest(f"readl {address + 4:#x}") << 32

    # --- ending ---

    def quit(self):
        """End it as an operator does; returns the status."""
        self.qmp.send('{"execute": "quit"}\n')
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} does not end") from None

    def kill(self):
        for process in [self.process] + self.servers:
            kill(process)
        for line in (self.qmp, self.guest):
            if line:
                line.close()
        self.log.close()

    def last_words(self):
        with open(f"{self.at}.log", "rb") as file:
            return file.read().decode(errors="replace").splitlines()[-15:]
