"""IAM tokens of RDS and of Aurora DSQL by botocore, AWS's own signer for Python, at any time of day.

Reads one line a token (key, secret, session or '-', seconds since the epoch, region, host, port, user),
writes one token a line. A token of Aurora DSQL is one whose port is '-'.
"""
import datetime, sys
import botocore.auth, botocore.credentials, botocore.session
from botocore.signers import RequestSigner
from botocore.hooks import HierarchicalEmitter
from botocore.model import ServiceId

def frozen(epoch):
    now = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    botocore.auth.get_current_datetime = lambda *a, **k: now.replace(tzinfo=None)
    class Frozen(datetime.datetime):
        @classmethod
        def utcnow(cls): return now.replace(tzinfo=None)
        @classmethod
        def now(cls, tz=None): return now if tz else now.replace(tzinfo=None)
    module = type(sys)('datetime')
    module.__dict__.update(datetime.__dict__)
    module.datetime = Frozen
    botocore.auth.datetime = module

def of_dsql(credentials, region, host, user):
    session = botocore.session.Session()
    session._credentials = credentials
    client = session.create_client('dsql', region_name=region)
    action = 'generate_db_connect_admin_auth_token' if user == 'admin' else 'generate_db_connect_auth_token'
    return getattr(client, action)(host, region)

for line in sys.stdin:
    key, secret, session, epoch, region, host, port, user = line.rstrip('\n').split('\t')
    frozen(int(epoch))
    credentials = botocore.credentials.Credentials(key, secret, session if session != '-' else None)
    if port == '-':
        print(of_dsql(credentials, region, host, user))
        continue
    events = HierarchicalEmitter()
    signer = RequestSigner(ServiceId('RDS'), region, 'rds-db', 'v4', credentials, events)
    request = {
        'url_path': '/', 'query_string': '', 'headers': {}, 'method': 'GET', 'context': {},
        'body': {'Action': 'connect', 'DBUser': user},
        'url': 'https://%s:%s/?' % (host, port),
    }
    url = signer.generate_presigned_url(
        request, operation_name='connect', expires_in=900, region_name=region, signing_name='rds-db')
    print(url[len('https://'):])
