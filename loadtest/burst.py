#!/usr/bin/env python3
"""A herd before an empty pool: 1,500 clients within 2 s, 20 servers by IAM of which there is none yet, each
login 1 s long. Says how long the last one waited for its first answer, whether a client saw an error, and how
many servers there are then.

    python3 loadtest/burst.py [--pooler target/release/pgweir] [--clients 1500] [--within 2] [--pool 20]
        [--login 1] [--work 0.01]

PostgreSQL is the stand-in of renewals.py. All are to be served within 3 s of the first one's coming, and
what the pace of logins takes for the pool. Python's standard library and openssl's program only;
everything stays on loopback.
"""
import argparse
import asyncio
import pathlib
import sys
import tempfile
import time

from machine import raise_descriptor_limit
from renewals import Stand, leave, log_in, pooler, says

DATABASE = 'herd'
PACE = 20  # logins a second
GRACE_S = 3.0
PATIENCE_S = 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--pooler', default='target/release/pgweir')
    for name, default in ('clients', 1500), ('within', 2.0), ('pool', 20), ('login', 1.0), ('work', 0.01):
        parser.add_argument('--' + name, type=type(default), default=default)
    return parser.parse_args()


async def client(port, after, work_s, all_served, waits, errors):
    """Comes, has one transaction as long as its work, and stays until everybody has had one."""
    await asyncio.sleep(after)
    came_at = time.monotonic()
    try:
        streams = await log_in(port, DATABASE)
        await says(streams, b'begin')
        await asyncio.sleep(work_s)
        await says(streams, b'commit')
        waits.append(time.monotonic() - came_at)
        await all_served.wait()
        leave(streams)
    except (RuntimeError, OSError, asyncio.IncompleteReadError) as error:
        errors.append(repr(error))


async def herd(args, directory):
    stand = Stand(directory, args.login)
    keys = f'pool_size={args.pool} iam_login_rate={PACE}'
    async with pooler(args.pooler, directory, stand, [DATABASE], keys) as port:
        all_served, waits, errors = asyncio.Event(), [], []
        began, step = time.monotonic(), args.within / args.clients
        clients = [client(port, number * step, args.work, all_served, waits, errors) for number in range(args.clients)]
        clients = [asyncio.create_task(each) for each in clients]
        while len(waits) + len(errors) < args.clients and time.monotonic() < began + PATIENCE_S:
            await asyncio.sleep(0.02)
        took, servers = time.monotonic() - began, stand.live.get(DATABASE.encode(), 0)
        all_served.set()
        await asyncio.gather(*clients)
    # the grace is meant for 1,500 clients: the transactions of more take their time as well
    work = max(0, args.clients - 1500) * args.work / args.pool
    bound = GRACE_S + args.pool / PACE + work
    print(f'{args.clients} clients within {args.within} s, {args.pool} servers, logins of {args.login} s, '
          f'{PACE} a second, transactions of {args.work} s: '
          f'all served {took:.1f} s after the first one came (bound {bound:.1f} s), '
          f'the longest wait {max(waits, default=0):.1f} s, '
          f'{len(errors)} saw an error, {servers} servers')
    print(*errors[:5], sep='\n')
    return bool(errors or took > bound or servers != args.pool)


def main():
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory(prefix='pgweir-burst-') as directory:
        return asyncio.run(herd(arguments(), pathlib.Path(directory)))


if __name__ == '__main__':
    sys.exit(main())
