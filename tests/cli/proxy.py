#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""proxy.py PORT CUT...: carries connections on to 127.0.0.1:PORT. The n-th is cut after the n-th number of bytes from
who has dialled; those after the last number are not, but "stop" as the last word: then nobody is carried on any more.
Prints "proxy: PORT" first, and when it is terminated "carried: BYTES" (from who has dialled) and "cuts: N"."""
import itertools
import os
import select
import signal
import socket
import sys
import threading

PIECE = 1 << 16
target = ("127.0.0.1", int(sys.argv[1]))
stops = sys.argv[-1] == "stop"
cuts = [int(word) for word in sys.argv[2:] if word != "stop"]
lock = threading.Lock()
carried = made = 0


def count(n):
    global carried
    with lock:
        carried += n


def carry(near, limit):
    """Both ways, until one end closes or @limit bytes have come from @near."""
    global made
    left = limit
    with near, socket.create_connection(target) as far:
        while True:
            ready, _, _ = select.select([near, far], [], [])
            if near in ready:
                data = near.recv(PIECE if left is None else min(PIECE, left))
                count(len(data))
                if not data:
                    return
                far.sendall(data)
                if left is not None:
                    left -= len(data)
                    if not left:
                        with lock:
                            made += 1
                        return
            if far in ready:
                data = far.recv(PIECE)
                if not data:
                    return
                near.sendall(data)


def quiet(near, limit):
    try:
        carry(near, limit)
    except OSError:
        pass


def serve(listener):
    for n in itertools.count():
        if stops and n == len(cuts):
            listener.close()
            return
        limit = cuts[n] if n < len(cuts) else None
        near = listener.accept()[0]
        threading.Thread(target=quiet, args=(near, limit), daemon=True).start()


def end(*_):
    with lock:
        print("carried:", carried)
        print("cuts:", made, flush=True)
    os._exit(0)


signal.signal(signal.SIGTERM, end)
listening = socket.create_server(("127.0.0.1", 0))
print("proxy:", listening.getsockname()[1], flush=True)
threading.Thread(target=serve, args=(listening,), daemon=True).start()
while True:
    signal.pause()
