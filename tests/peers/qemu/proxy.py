# SPDX-License-Identifier: BSD-3-Clause
"""proxy - between source and destination of a migration: passes everything on, but for one thing."""
import os
import socket
import threading

# Where the models' streams have their frames (models/frame.h): magic, kind (u16), version.
HEADER = 64
PAGES = b"VMDS\x02\x00\x01\x00"


class Proxy:
    """what: "data" flips a bit of a page of the device's state, "header" one of a frame's header; the device must refuse
    both. One bit in all, in the third such frame. "mute": as long as mute is set,
    nothing of what the destination says arrives."""

    def __init__(self, listen, to, what):
        self.to, self.what, self.seen, self.done, self.mute = to, what, 0, what == "mute", False
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(listen)
        os.chmod(listen, 0o777)
        self.server.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            source, _ = self.server.accept()
            destination = socket.socket(socket.AF_UNIX)
            destination.connect(self.to)
            threading.Thread(target=self._pass, args=(source, destination, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(destination, source, False), daemon=True).start()

    def _flip(self, data):
        """data, with the bit flipped if its place is there. A frame that is cut by the end of data is left alone."""
        at = data.find(PAGES)
        while at >= 0 and not self.done:
            self.seen += 1
            place = at + (HEADER + 1000 if self.what == "data" else 24)
            if self.seen >= 3 and place < len(data):
                data = bytearray(data)
                data[place] ^= 4
                self.done = True
                return data
            at = data.find(PAGES, at + 1)
        return data

    def _pass(self, source, destination, forward):
        try:
            while True:
                data = source.recv(1 << 20)
                if not data:
                    break
                if forward or not self.mute:
                    destination.sendall(self._flip(data) if forward and not self.done else data)
        except OSError:
            pass
        for end in (source, destination):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
