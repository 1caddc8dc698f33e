"""Takes or refuses IAM tokens as the service behind an RDS host, or Aurora DSQL, does: `verifier.py DIRECTORY`.
Standard library only.

It shares no code with what it verifies: the token is taken apart, its canonical request is built anew from the
decoded parts, and signed with the key that the table knows. Never writes a token or a secret anywhere.

In DIRECTORY:
  socket     asked by pam_rds.so: "PID NUL USER NUL TOKEN", answered with '+' or '-'
  keys       one access key a line, read at each login: id, secret, session token or '-', end in seconds since
             the epoch or '-'
  behaviour  NAME=VALUE lines (empty ones do no harm), read at each login:
               endpoint=HOST:PORT  tokens for it are good (any number of lines); endpoint=HOST.on.aws is one of
                                   Aurora DSQL
               region=REGION       of the scope that is good
               denied=USER         403 for this role (any number)
               denied_key=ID       403 for whatever this access key has signed (any number)
               limit=N             429 for more than N logins within a second; 0: none
               delay_ms=N          waits before each answer
               fault=1             500
               ahead_s=N           this clock is so far ahead
               only=USER           all of this holds for this role alone
               times=N             fault and ahead_s hold for so many logins
  asked      one line a token as it comes in, before anything is done with it: the role
  verdicts   one line a login: seconds since the epoch, pid of the backend, role, code, reason, access key id,
             age of the token
Source: Signature Version 4; Amazon Aurora DSQL User Guide, "Generating an authentication token"; Amazon RDS User
Guide, "Troubleshooting IAM authentication" (the codes).
"""
import hashlib
import hmac
import os
import socketserver
import sys
import threading
import time
from calendar import timegm
from urllib.parse import quote, unquote_to_bytes

TOKEN_BYTES_MAX = 65535
LIFETIME_S = 900
EARLY_S = 300
FIELDS = {
    'Action', 'DBUser', 'X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Date', 'X-Amz-Expires',
    'X-Amz-SignedHeaders', 'X-Amz-Security-Token', 'X-Amz-Signature',
}


class Refused(Exception):
    """A code and a reason, as the log of RDS has them."""

    def __init__(self, code, reason):
        super().__init__(reason)
        self.code, self.reason = code, reason


class Behaviour:
    def __init__(self, text):
        self.endpoints, self.denied, self.denied_keys = set(), set(), set()
        self.region, self.only = None, None
        self.limit = self.delay_ms = self.fault = self.ahead_s = self.times = 0
        self.text = text
        for line in filter(None, map(str.strip, text.splitlines())):
            name, _, value = line.partition('=')
            if name == 'endpoint':
                self.endpoints.add(value)
            elif name == 'denied':
                self.denied.add(value)
            elif name == 'denied_key':
                self.denied_keys.add(value)
            elif name in ('region', 'only'):
                setattr(self, name, value)
            elif name in ('limit', 'delay_ms', 'fault', 'ahead_s', 'times'):
                setattr(self, name, int(value))
            else:
                raise ValueError('no such behaviour: ' + name)


class Token:
    """A token taken apart; nothing is verified but its shape."""

    def __init__(self, text):
        if len(text) > TOKEN_BYTES_MAX:
            raise Refused(400, 'InvalidToken: too long')
        self.address, found, query = text.partition('/?')
        self.fields = {}
        for pair in query.split('&'):
            name, equals, value = pair.partition('=')
            if not found or not equals or name not in FIELDS or name in self.fields:
                raise Refused(400, 'InvalidToken: malformed query')
            self.fields[name] = unquote_to_bytes(value)
        self.is_dsql = self.address.endswith('.on.aws')
        missing = FIELDS - set(self.fields) - {'X-Amz-Security-Token'}
        if self.is_dsql:
            missing.discard('DBUser')
        if missing:
            raise Refused(400, 'InvalidToken: lacks ' + min(missing))
        scope = self.text('X-Amz-Credential').split('/')
        if len(scope) != 5:
            raise Refused(400, 'InvalidToken: credential')
        self.key_id, self.scope = scope[0], scope[1:]
        try:
            self.signed_at = timegm(time.strptime(self.text('X-Amz-Date'), '%Y%m%dT%H%M%SZ'))
            self.expires_s = int(self.text('X-Amz-Expires'))
        except ValueError:
            raise Refused(400, 'InvalidToken: date') from None

    def text(self, name):
        return self.fields[name].decode('utf-8', 'replace')

    def signature(self, secret):
        """What the signature has to be, from the decoded parts."""
        names = sorted(name for name in self.fields if name != 'X-Amz-Signature')
        query = '&'.join('%s=%s' % (name, quote(self.fields[name], safe='-_.~')) for name in names)
        request = 'GET\n/\n%s\nhost:%s\n\nhost\n%s' % (query, self.address, hashlib.sha256(b'').hexdigest())
        digest = hashlib.sha256(request.encode()).hexdigest()
        words = 'AWS4-HMAC-SHA256\n%s\n%s\n%s' % (self.text('X-Amz-Date'), '/'.join(self.scope), digest)
        key = ('AWS4' + secret).encode()
        for part in self.scope:
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.new(key, words.encode(), hashlib.sha256).hexdigest()


class Verifier:
    def __init__(self, directory):
        self.directory = directory
        self.lock = threading.Lock()
        self.taken_at = []
        self.seen = {}
        self.asked = open(self.path('asked'), 'a', buffering=1)
        self.verdicts = open(self.path('verdicts'), 'a', buffering=1)

    def path(self, name):
        return os.path.join(self.directory, name)

    def read(self, name):
        with open(self.path(name)) as file:
            return file.read()

    def key(self, key_id):
        """Secret, session token and end of an access key; the last line that names it counts."""
        found = None
        for line in self.read('keys').splitlines():
            name, secret, session, end = line.split('\t')
            if name == key_id:
                found = secret, None if session == '-' else session, None if end == '-' else float(end)
        if found is None:
            raise Refused(403, 'NotAuthorized: no such access key')
        return found

    def throttle(self, limit):
        now = time.monotonic()
        with self.lock:
            self.taken_at = [at for at in self.taken_at if at > now - 1]
            if len(self.taken_at) >= limit:
                raise Refused(429, 'ThrottlingException')
            self.taken_at.append(now)

    def is_over(self, behaviour):
        """Whether as many logins have come as the behaviour holds for; counts this one."""
        with self.lock:
            seen = self.seen.get(behaviour.text, 0)
            self.seen = {behaviour.text: seen + 1}
        return 0 < behaviour.times <= seen

    def check(self, user, token, behaviour, now):
        if token.address not in behaviour.endpoints:
            raise Refused(400, 'InvalidToken: made for ' + token.address)
        action = 'connect'
        if token.is_dsql:
            action = 'DbConnectAdmin' if user == 'admin' else 'DbConnect'
        if token.text('Action') != action or token.text('X-Amz-SignedHeaders') != 'host':
            raise Refused(403 if token.is_dsql else 400, 'InvalidToken: action')
        if token.text('X-Amz-Algorithm') != 'AWS4-HMAC-SHA256':
            raise Refused(400, 'InvalidToken: algorithm')
        if ('DBUser' in token.fields) == token.is_dsql:
            raise Refused(400, 'InvalidToken: fields')
        if not token.is_dsql and token.text('DBUser') != user:
            raise Refused(403, 'NotAuthorized: made for another role')
        day = time.strftime('%Y%m%d', time.gmtime(token.signed_at))
        if token.scope != [day, behaviour.region, 'dsql' if token.is_dsql else 'rds-db', 'aws4_request']:
            raise Refused(400, 'InvalidToken: scope ' + '/'.join(token.scope))
        secret, session, end = self.key(token.key_id)
        if token.fields.get('X-Amz-Security-Token') != (session.encode() if session else None):
            raise Refused(403, 'NotAuthorized: session token')
        if not hmac.compare_digest(token.signature(secret), token.text('X-Amz-Signature')):
            raise Refused(403, 'NotAuthorized: signature')
        if not 0 < token.expires_s <= LIFETIME_S or now - token.signed_at > LIFETIME_S:
            raise Refused(400, 'ExpiredToken')
        if token.signed_at - now > EARLY_S:
            raise Refused(400, 'InvalidToken: from the future')
        if end is not None and now >= end:
            raise Refused(400, 'ExpiredToken: credentials')

    def judge(self, pid, user, text):
        behaviour = Behaviour(self.read('behaviour'))
        concerned = behaviour.only in (None, user)
        holds = concerned and not self.is_over(behaviour)
        self.note(self.asked, [user])
        token, key_id, age = None, '-', '-'
        try:
            if concerned and behaviour.delay_ms:
                time.sleep(behaviour.delay_ms / 1000)
            if holds and behaviour.fault:
                raise Refused(500, 'InternalError')
            if concerned and behaviour.limit:
                self.throttle(behaviour.limit)
            token = Token(text)
            now = time.time() + (behaviour.ahead_s if holds else 0)
            key_id, age = token.key_id, '%.3f' % (now - token.signed_at)
            self.check(user, token, behaviour, now)
            if concerned and (user in behaviour.denied or key_id in behaviour.denied_keys):
                raise Refused(403, 'NotAuthorized: role')
            code, reason = 200, 'ok'
        except Refused as refused:
            code, reason = refused.code, refused.reason
        self.note(self.verdicts, ['%.6f' % time.time(), pid, user, str(code), reason, key_id, age])
        return code == 200

    def note(self, file, row):
        """Writes a line that cells from outside cannot break."""
        clean = '\t'.join(''.join(c if c.isprintable() else '?' for c in cell) for cell in row)
        with self.lock:
            file.write(clean + '\n')


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        parts = self.rfile.read(2 * TOKEN_BYTES_MAX).split(b'\0', 2)
        pid, user, token = (part.decode('utf-8', 'replace') for part in parts)
        taken = self.server.verifier.judge(pid, user, token)
        try:
            self.wfile.write(b'+' if taken else b'-')
        except OSError:
            pass  # the backend has gone meanwhile


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 512


def main():
    directory = sys.argv[1]
    with Server(os.path.join(directory, 'socket'), Handler) as server:
        server.verifier = Verifier(directory)
        server.serve_forever()


main()
