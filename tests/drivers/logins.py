"""Logs in again and again, each time with the password that a file has at that moment, as an application does
that asks for its secret before it connects.

PGWEIR_PORT, PGWEIR_USER, PGWEIR_SECRET (the file), PGWEIR_STOP (a file that ends it), PGWEIR_THREADS. Each
thread adds a byte to a file of its own at each login, PGWEIR_SECRET with its number. Prints how many logins
there were; each error is a line on standard error, without the password, and ends in failure.
"""

import os
import sys
import threading

import psycopg

PORT, USER = os.environ["PGWEIR_PORT"], os.environ["PGWEIR_USER"]
SECRET, STOP = os.environ["PGWEIR_SECRET"], os.environ["PGWEIR_STOP"]
THREADS = int(os.environ.get("PGWEIR_THREADS", "4"))

logins = [0] * THREADS
errors = []


def secret():
    with open(SECRET, encoding="utf-8") as file:
        return file.read()


def run(number):
    while not os.path.exists(STOP) and not errors:
        try:
            with psycopg.connect(
                host="127.0.0.1", port=PORT, user=USER, password=secret(), dbname="app", connect_timeout=30
            ) as connection:
                assert connection.execute("select 1").fetchone() == (1,)
            logins[number] += 1
            with open(f"{SECRET}.{number}", "a", encoding="utf-8") as file:
                file.write(".")
        except Exception as error:  # whatever it is, it is what the test is about
            errors.append(f"{type(error).__name__}: {error}")


threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(logins))
for line in errors:
    print(line, file=sys.stderr)
sys.exit(1 if errors else 0)
