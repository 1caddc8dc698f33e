"""Logs in by OAUTHBEARER with the libpq of psycopg's wheel: its discovery, and a token from a hook.

Arguments: a connection string. The token comes in by the variable TOKEN. Prints the role, and what the server
has told libpq to ask for.
"""

import ctypes
import glob
import os
import sys

import psycopg

OAUTH_BEARER_TOKEN = 1


class BearerRequest(ctypes.Structure):
    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("poll", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(BearerRequest))
TOKEN = os.environ["TOKEN"].encode()
ASKED = []


@HOOK
def hook(kind, _connection, request):
    if kind != OAUTH_BEARER_TOKEN:
        return 0
    ASKED.append((request[0].openid_configuration, request[0].scope))
    request[0].token = TOKEN
    return 1


wheel = os.path.join(os.path.dirname(os.path.dirname(psycopg.__file__)), "psycopg_binary.libs")
(libpq,) = glob.glob(os.path.join(wheel, "libpq-*"))
ctypes.CDLL(libpq).PQsetAuthDataHook(hook)
with psycopg.connect(sys.argv[1]) as connection:
    (role,) = connection.execute("select current_user").fetchone()
((discovery, scope),) = ASKED
print(role, discovery.decode(), scope.decode())
