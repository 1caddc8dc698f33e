"""Resident memory for each idle client: opens many connections, runs one query on each,
looks at the pooler's memory."""

import gc
import re
import socket
import ssl
import struct
import time


def bytes_per_client(pid, port, clients, tls):
    # One client first, so that what is made once (a server, tables, code pages) is not counted.
    held = [connect(port, tls) for _ in range(20)]
    before = resident_kib(pid)
    for _ in range(clients):
        held.append(connect(port, tls))
    time.sleep(0.5)
    grown_kib = resident_kib(pid) - before
    for stream in held:
        stream.close()
    gc.collect()
    return grown_kib * 1024 / clients


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])


def connect(port, tls):
    """Logs in without a password and runs one query."""
    stream = socket.create_connection(("127.0.0.1", port), timeout=20)
    if tls:
        stream.sendall(struct.pack("!II", 8, 80877103))
        if stream.recv(1) != b"S":
            raise RuntimeError("the pooler refuses TLS")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        stream = context.wrap_socket(stream)
    body = struct.pack("!I", 196608) + b"user\0postgres\0database\0bench\0\0"
    stream.sendall(struct.pack("!I", len(body) + 4) + body)
    until_ready(stream)
    query = b"select 1\0"
    stream.sendall(b"Q" + struct.pack("!I", len(query) + 4) + query)
    until_ready(stream)
    return stream


def until_ready(stream):
    """Reads frames up to ReadyForQuery."""
    data = b""
    while True:
        while len(data) >= 5:
            (length,) = struct.unpack("!I", data[1:5])
            if len(data) < 1 + length:
                break
            tag, body, data = data[:1], data[5 : 1 + length], data[1 + length :]
            if tag == b"E":
                raise RuntimeError(body.replace(b"\0", b" ").decode(errors="replace"))
            if tag == b"Z":
                return
        more = stream.recv(65536)
        if not more:
            raise RuntimeError("the pooler closed the connection")
        data += more
