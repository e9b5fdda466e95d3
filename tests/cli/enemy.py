#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""enemy ADDRESS ATTACK : what somebody does who can reach the port of a 'vmig receive'. Ends when nothing is left to do.

record LISTEN TARGET FILE is a proxy for one connection that keeps what goes each way; replay sends it again.
"""
import json
import os
import select
import socket
import struct
import sys


def dial(address):
    kind, rest = address.split(":", 1)
    if kind == "unix":
        s = socket.socket(socket.AF_UNIX)
        s.connect(rest)
    else:
        host, port = rest.rsplit(":", 1)
        s = socket.create_connection((host, int(port)))
    s.settimeout(30)
    return s


def until_end(s):
    """Read until the other end has had enough."""
    try:
        while s.recv(65536):
            pass
    except (ConnectionError, socket.timeout):
        pass


def say(s, data):
    """True as long as somebody listens."""
    try:
        s.sendall(data)
        return True
    except (ConnectionError, socket.timeout):
        return False


def attack_garbage(address):
    for data in (b"GET / HTTP/1.1\r\n\r\n" * 8, b"\0" * 4096, b"\xff" * 4096, b"\x89VMIG\r\n\x1a" + b"\xff" * 64,
                 b"\x16\x03\x01\x40\x00" + b"\x01" * 16384, b"VMIGzstd" + b"\0" * 24, os.urandom(1 << 16)):
        s = dial(address)
        say(s, data)
        until_end(s)
        s.close()


def attack_nothing(address):
    for _ in range(20):
        dial(address).close()


def attack_endless(address):
    """Bytes without an end: whatever they are taken for, they are not kept."""
    for data in (os.urandom(1 << 16), b"\x16\x03\x03\x3f\xff" + b"\0" * 16383, b"\x17\x03\x03\x40\x00" + b"\0" * 16384):
        s = dial(address)
        while say(s, data):
            pass
        s.close()


def attack_drip(address):
    """One byte of a handshake now and then, until it is thrown out."""
    s = dial(address)
    for byte in b"\x16\x03\x01\x40\x00" + b"\x01" * 16384:
        if not say(s, bytes([byte])):
            break
        if select.select([s], [], [], 0.15)[0] and not s.recv(4096, socket.MSG_DONTWAIT):
            break
    s.close()


def attack_crowd(address):
    """More than there are places for handshakes, who say nothing; they stay until this process is ended."""
    crowd = [dial(address) for _ in range(40)]
    for s in crowd:
        say(s, b"\x16\x03\x01")
    print("crowded", flush=True)
    for s in crowd:
        until_end(s)


def record(listen, target, path):
    kept = []
    outer = socket.socket(socket.AF_UNIX)
    outer.bind(listen)
    outer.listen()
    print("ready", flush=True)
    source, _ = outer.accept()
    there = dial(target)
    open_ends = [source, there]
    while open_ends:
        for s in select.select(open_ends, [], [])[0]:
            other, way = (there, "out") if s is source else (source, "in")
            try:
                data = s.recv(1 << 20)
            except ConnectionError:
                data = b""
            kept.append((way, data.hex()))
            try:
                if data:
                    other.sendall(data)
                else:
                    open_ends.remove(s)
                    other.shutdown(socket.SHUT_WR)
            except OSError:
                pass
    with open(path, "w") as f:
        json.dump(kept, f)


def replay(address, path):
    """The same bytes, each after the answer that was there then: as patient as the one who said them first."""
    s = dial(address)
    answered = False
    for way, data in json.load(open(path)):
        if way == "out" and data and not say(s, bytes.fromhex(data)):
            break
        if way == "in" and data:
            try:
                if not s.recv(1 << 20):
                    break
            except (ConnectionError, socket.timeout):
                break
            answered = True
    s.close()
    return answered


def main():
    if sys.argv[1] == "record":
        record(*sys.argv[2:5])
    elif sys.argv[1] == "replay":
        replay(*sys.argv[2:4])
    else:
        globals()["attack_" + sys.argv[1]](sys.argv[2])


main()
