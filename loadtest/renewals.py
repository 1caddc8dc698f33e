#!/usr/bin/env python3
"""Servers by IAM that are replaced all the time, in many databases at once: 500 databases, each server 60 s
old at the most, each login 2 s long. Says whether a pool ever had fewer servers than its clients need,
whether a client saw an error, and how evenly logins come. Python's standard library and openssl's program
only; everything stays on loopback and ends by itself.

    python3 loadtest/renewals.py [--pooler target/release/pgweir] [--seconds 300]
        [--databases 500] [--age 60] [--login 2]

PostgreSQL is a stand-in that takes any token over TLS, after as long as a login is to take. Each
database has two clients, whose transactions overlap now and then, and room for a third server. Judged is
what follows the first age.
"""
import argparse
import asyncio
import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

from machine import raise_descriptor_limit

HOST = 'db.abcdefghijkl.eu-central-1.rds.amazonaws.com'
DEMAND = 2  # servers that the clients of a database need
WINDOW_S = 10
EVEN = 0.2


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--pooler', default='target/release/pgweir')
    for name, default in ('seconds', 300), ('databases', 500), ('age', 60), ('login', 2.0):
        parser.add_argument('--' + name, type=type(default), default=default)
    return parser.parse_args()


class Stand:
    """The stand-in for PostgreSQL: counts its sessions by database, and notes when each login began."""

    def __init__(self, directory, login_s):
        self.login_s, self.logins, self.live, self.port = login_s, [], {}, None
        key, certificate = directory / 'key', directory / 'certificate'
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                        '-days', '2', '-subj', '/CN=stand', '-addext', 'subjectAltName=DNS:' + HOST, '-keyout', key,
                        '-out', certificate], check=True, capture_output=True)
        self.certificate = certificate
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, key)

    async def serve(self, reader, writer):
        database = None
        try:
            await reader.readexactly(8)
            writer.write(b'S')
            await writer.start_tls(self.tls)
            size, = struct.unpack('!I', await reader.readexactly(4))
            words = (await reader.readexactly(size - 4))[4:].split(b'\0')
            names = dict(zip(words[::2], words[1::2]))
            self.logins.append(time.monotonic())
            writer.write(b'R' + struct.pack('!II', 8, 3))
            await message(reader)
            await asyncio.sleep(self.login_s)
            writer.write(b'R' + struct.pack('!II', 8, 0))
            for name in b'server_version\x0015.0', b'client_encoding\0UTF8', b'standard_conforming_strings\0on':
                writer.write(b'S' + struct.pack('!I', len(name) + 5) + name + b'\0')
            writer.write(b'K' + struct.pack('!III', 12, 1, 1) + ready(b'I'))
            database = names[b'database']
            self.live[database] = self.live.get(database, 0) + 1
            while True:
                kind, body = await message(reader)
                if kind == b'X':
                    return
                word = body.split(b' ')[0].rstrip(b'\0').upper()
                writer.write(b'C' + struct.pack('!I', len(word) + 5) + word + b'\0')
                writer.write(ready(b'T' if word == b'BEGIN' else b'I'))
        except (asyncio.CancelledError, asyncio.IncompleteReadError, OSError, ssl.SSLError):
            pass
        finally:
            if database is not None:
                self.live[database] -= 1
            writer.close()


def ready(status):
    return b'Z' + struct.pack('!I', 5) + status


async def message(reader):
    head = await reader.readexactly(5)
    return head[:1], await reader.readexactly(struct.unpack('!I', head[1:])[0] - 4)


async def outcome(reader):
    """Reads up to ReadyForQuery; an error is one of ours."""
    while True:
        kind, body = await message(reader)
        if kind == b'E':
            raise RuntimeError(body.replace(b'\0', b' ').decode(errors='replace'))
        if kind == b'Z':
            return


async def log_in(port, database):
    """A client that has logged in: its streams."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    body = struct.pack('!I', 196608) + b'user\0app\0database\0' + database.encode() + b'\0\0'
    writer.write(struct.pack('!I', len(body) + 4) + body)
    await outcome(reader)
    return reader, writer


async def says(streams, text):
    reader, writer = streams
    writer.write(b'Q' + struct.pack('!I', len(text) + 5) + text + b'\0')
    await outcome(reader)


def leave(streams):
    streams[1].write(b'X' + struct.pack('!I', 4))


async def client(port, database, until, begun, errors):
    """Begins as all begin, and stays in its first transaction until each of them has a server."""
    try:
        streams = await log_in(port, database)
        while time.monotonic() < until:
            await says(streams, b'begin')
            begun.setdefault(database, set()).add(id(streams))
            while len(begun[database]) < DEMAND:
                await asyncio.sleep(0.1)
            await asyncio.sleep(random.random() / 4)
            await says(streams, b'commit')
            await asyncio.sleep(random.random() * 2)
        leave(streams)
    except (RuntimeError, OSError, asyncio.IncompleteReadError) as error:
        errors.append(f'{database}: {error!r}')


def configuration(directory, stand, entries, keys, port):
    """A file whose entries have these names, lead to the stand-in, and have these keys, too."""
    keys = f'host=127.0.0.1 port={stand.port} user=app server_auth=rds_iam iam_host={HOST} iam_port=5432 {keys}'
    entries = [f'{name} = dbname={name} {keys}' for name in entries]
    rest = f'''
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 20000
max_login_conn = 0
query_wait_timeout = 120
iam_credential_source = env
server_tls_ca_file = {stand.certificate}
logfile = {directory}/log
log_connections = 0
log_disconnections = 0
'''
    path = directory / 'pgweir.ini'
    path.write_text('\n'.join(['[databases]', *entries]) + rest)
    return path


def rate(args):
    """A pace that sustains it, with as much again for the first fill."""
    return int(2 * args.databases * DEMAND / (args.age * 0.85)) + 1


async def watch(stand, until, begun, args):
    """The least servers that a database had since all of them had what they need."""
    low = {}
    while time.monotonic() < until:
        if all(len(begun.get(f'd{number}', ())) >= DEMAND for number in range(args.databases)):
            for number in range(args.databases):
                database = b'd%d' % number
                count = stand.live.get(database, 0)
                low[database] = min(low.get(database, count), count)
        await asyncio.sleep(0.2)
    return low


@contextlib.asynccontextmanager
async def pooler(program, directory, stand, entries, keys):
    """The pooler before the stand-in; the port where it listens."""
    server = await asyncio.start_server(stand.serve, '127.0.0.1', 0, backlog=1000)
    stand.port = server.sockets[0].getsockname()[1]
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    path = configuration(directory, stand, entries, keys, port)
    environment = dict(os.environ, AWS_ACCESS_KEY_ID='AKIAEXAMPLE', AWS_SECRET_ACCESS_KEY='example')
    command = [str(pathlib.Path(program).resolve()), path]
    if os.geteuid() == 0:
        shutil.chown(directory, 'nobody')
        directory.chmod(0o755)
        command = ['setpriv', '--reuid', 'nobody', '--clear-groups', '--', *command]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await listens(process, port, directory / 'log')
        yield port
    finally:
        process.send_signal(signal.SIGQUIT)
        await asyncio.to_thread(process.wait, 30)
        await asyncio.sleep(1)  # the stand-in's sessions hear of it


async def listens(process, port, log, patience=10.0):
    until = time.monotonic() + patience
    while True:
        try:
            _, writer = await asyncio.open_connection('127.0.0.1', port)
            return writer.close()
        except OSError:
            assert process.poll() is None and time.monotonic() < until, log.read_text()[-2000:]
            await asyncio.sleep(0.05)


async def soak(args, directory):
    stand = Stand(directory, args.login)
    keys = f'pool_size={DEMAND + 1} iam_max_age={args.age} iam_login_rate={rate(args)}'
    names = [f'd{number}' for number in range(args.databases)]
    async with pooler(args.pooler, directory, stand, names, keys) as port:
        started, errors, begun = time.monotonic(), [], {}
        until = started + args.seconds
        clients = [client(port, name, until, begun, errors) for name in names for _ in range(DEMAND)]
        low, *_ = await asyncio.gather(watch(stand, until, begun, args), *clients)
    return judge(args, stand, started, low, errors, (directory / 'log').read_text())


def judge(args, stand, started, low, errors, log):
    span = int((args.seconds - args.age) // WINDOW_S)
    counts = [0] * span
    for at in stand.logins:
        window = int((at - started - args.age) // WINDOW_S)
        if 0 <= window < span:
            counts[window] += 1
    mean = sum(counts) / span
    spread = max(abs(count / mean - 1) for count in counts)
    short = sum(count < DEMAND for count in low.values())
    told = sum('before they are replaced' in line for line in log.splitlines())
    print(f'{args.databases} databases, {args.age} s, logins of {args.login} s, {args.seconds} s: '
          f'{len(stand.logins)} logins, {mean / WINDOW_S:.1f} a second after the first age, '
          f'of {WINDOW_S} s none farther than {spread:.0%} from that; '
          f'{short} of {len(low)} pools were ever below {DEMAND} servers, {len(errors)} clients saw an error, '
          f'{told} lines of servers that age too fast')
    print('logins in', WINDOW_S, 's:', *counts)
    print(*errors[:5], sep='\n')
    return bool(short or errors or told or spread > EVEN or len(low) < args.databases)


def main():
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory(prefix='pgweir-renewals-') as directory:
        return asyncio.run(soak(arguments(), pathlib.Path(directory)))


if __name__ == '__main__':
    sys.exit(main())
