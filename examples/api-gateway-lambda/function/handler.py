"""An HTTP function on AWS Lambda that queries PostgreSQL through pgweir, with a token instead of a password.

The token is the caller's own (TOKEN_SOURCE=caller: the `Authorization` header that API Gateway has checked)
or one that AWS mints for the function's role (TOKEN_SOURCE=sts). Nothing is kept between invocations but the
token of the role, until it is about to expire; pgweir pools, so each invocation opens a connection of its own.
"""

import json
import os
import time
from urllib.parse import quote

import psycopg

# What pgweir says to a client whose token gives no role, or that deny_principals names. psycopg tells no SQLSTATE of
# a login that was refused.
REFUSED = ("JWT authentication failed", "principal is denied")

_role_token = {"text": "", "expires_at": 0.0}


def _token_of_caller(event):
    scheme, _, token = event["headers"].get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise PermissionError("no bearer token")
    return token


def _token_of_role():
    if _role_token["expires_at"] - time.time() < 60:
        import boto3  # Part of the Lambda runtime; version 1.41 and later have this call.

        # This call exists on regional endpoints alone.
        sts = boto3.client("sts", region_name=os.environ["AWS_REGION"])
        answer = sts.get_web_identity_token(Audience=["pgweir"], SigningAlgorithm="ES384", DurationSeconds=300)
        _role_token["text"] = answer["WebIdentityToken"]
        _role_token["expires_at"] = answer["Expiration"].timestamp()
    return _role_token["text"]


def _connect(event, context):
    own = os.environ.get("TOKEN_SOURCE", "caller") == "sts"
    headers = event["headers"]
    # What joins the records of API Gateway, Lambda and the audit log. A caller chooses what its headers say, so
    # they are encoded: a blank would end the value and begin another option, a comma another key.
    trace = {"traceparent": headers.get("traceparent"), "x-amzn-trace-id": headers.get("x-amzn-trace-id")}
    words = ",".join(f"{key}={quote(value, safe='')}" for key, value in trace.items() if value)
    return psycopg.connect(
        host=os.environ["PGHOST"],
        port=os.environ.get("PGPORT", "6432"),
        dbname=os.environ["PGDATABASE"],
        user=os.environ["PGUSER"],
        password=_token_of_role() if own else _token_of_caller(event),
        sslmode="verify-full",
        sslrootcert=os.environ["PGSSLROOTCERT"],
        application_name=context.function_name,
        options=f"-c pgweir.context={words}" if words else None,
        connect_timeout=5,
        prepare_threshold=None,  # One query a connection: nothing to prepare.
    )


def _log(error):
    # The text of a refused login names no secret; the reason stands in pgweir's log and audit log.
    print(json.dumps({"level": "ERROR", "message": str(error)}))


def _answer(status, body):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}


def handler(event, context):
    """Answers `GET /orders` with the newest orders."""
    try:
        with _connect(event, context) as connection:
            rows = connection.execute(
                "select id, item, quantity from orders order by id desc limit 10"
            ).fetchall()
    except PermissionError as error:
        return _answer(401, {"error": str(error)})
    except psycopg.errors.QueryCanceled as error:
        # pgweir has cancelled it: query_timeout of the role's line in the claims map. An OperationalError, too.
        _log(error)
        return _answer(504, {"error": "the query has taken too long"})
    except psycopg.OperationalError as error:
        _log(error)
        if any(text in str(error) for text in REFUSED):
            return _answer(403, {"error": "not allowed"})
        return _answer(503, {"error": "database unavailable"})
    orders = [{"id": key, "item": item, "quantity": quantity} for key, item, quantity in rows]
    return _answer(200, orders)
