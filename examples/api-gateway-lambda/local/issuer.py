"""An issuer of tokens for one machine: an RSA key, its public half as a JSON Web Key set, and tokens (RS256).

    issuer.py DIRECTORY keys                     makes DIRECTORY/issuer.key and DIRECTORY/jwks.json
    issuer.py DIRECTORY token '{"sub": "ada"}'   prints a token with these claims, for the audience pgweir

Needs nothing but Python and openssl. A real issuer is somebody else's: Cognito, Auth0, Keycloak, Kubernetes, AWS STS.
"""

import base64
import json
import subprocess
import sys
import time
from pathlib import Path

ISSUER = "https://login.example.org"
SECONDS = 900


def openssl(*words, stdin=b""):
    return subprocess.run(["openssl", *words], input=stdin, capture_output=True, check=True).stdout


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def keys(directory):
    key = directory / "issuer.key"
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key))
    modulus = openssl("rsa", "-in", str(key), "-noout", "-modulus").decode().strip().partition("=")[2]
    public = {"kty": "RSA", "kid": "local", "alg": "RS256", "use": "sig"}
    public |= {"n": base64url(bytes.fromhex(modulus)), "e": base64url((65537).to_bytes(3, "big"))}
    (directory / "jwks.json").write_text(json.dumps({"keys": [public]}))


def token(directory, claims):
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "pgweir", "iat": now, "exp": now + SECONDS} | claims
    header = {"alg": "RS256", "typ": "JWT", "kid": "local"}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims)).encode()
    signature = openssl("dgst", "-sha256", "-sign", str(directory / "issuer.key"), stdin=signed)
    return f"{signed.decode()}.{base64url(signature)}"


if __name__ == "__main__":
    where = Path(sys.argv[1])
    if sys.argv[2] == "keys":
        keys(where)
    else:
        print(token(where, json.loads(sys.argv[3])))
