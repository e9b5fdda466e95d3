#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""relay.py HOST PORT MS: listen at HOST, on any port, and pass one connection on to 127.0.0.1:PORT, each byte MS later, both ways.

What is on its way is bounded, as by a window.
"""
import collections
import socket
import sys
import threading
import time

MOST = 4 << 20


def pass_on(source, sink, delay):
    queue, some = collections.deque(), threading.Condition()
    waiting = 0

    def deliver():
        nonlocal waiting
        while True:
            with some:
                while not queue:
                    some.wait()
                due, data = queue.popleft()
            time.sleep(max(0, due - time.monotonic()))
            try:
                sink.sendall(data) if data else sink.shutdown(socket.SHUT_WR)
            except OSError:
                return
            with some:
                waiting -= len(data)
                some.notify_all()
            if not data:
                return

    threading.Thread(target=deliver, daemon=True).start()
    data = b"?"
    while data:
        try:
            data = source.recv(64 << 10)
        except OSError:
            data = b""
        with some:
            while waiting > MOST:
                some.wait()
            waiting += len(data)
            queue.append((time.monotonic() + delay, data))
            some.notify_all()


def main():
    host, port, delay = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000
    with socket.create_server((host, 0)) as listener:
        print(f"relay: {listener.getsockname()[1]}", flush=True)
        source = listener.accept()[0]
    sink = socket.create_connection(("127.0.0.1", port))
    for end in source, sink:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ways = [threading.Thread(target=pass_on, args=(a, b, delay)) for a, b in ((source, sink), (sink, source))]
    for way in ways:
        way.start()
    for way in ways:
        way.join()
    time.sleep(delay + 1)


main()
