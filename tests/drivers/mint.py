"""Makes keys of an issuer and signs tokens by them, for tests: a line of JSON in, a line out.

{"make": KID, "alg": ALG}                        -> the public key as a JSON Web Key
{"sign": KID, "alg": ALG, "claims": {...}, ...}  -> the token; "headers" are added to the header
"""

import json
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

KEYS = {}


def make(kid, alg):
    if alg == "EdDSA":
        key, kind = ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm
    elif alg.startswith("ES"):
        curve = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}[alg]
        key, kind = ec.generate_private_key(curve()), ECAlgorithm
    else:
        key, kind = rsa.generate_private_key(public_exponent=65537, key_size=2048), RSAAlgorithm
    KEYS[kid] = key
    jwk = json.loads(kind.to_jwk(key.public_key()))
    jwk.pop("key_ops", None)
    return jwk | {"kid": kid, "alg": alg, "use": "sig"}


def sign(ask):
    headers = {"kid": ask["sign"]} | ask.get("headers", {})
    return jwt.encode(ask["claims"], KEYS[ask["sign"]], algorithm=ask["alg"], headers=headers)


for line in sys.stdin:
    ask = json.loads(line)
    answer = make(ask["make"], ask["alg"]) if "make" in ask else sign(ask)
    print(json.dumps(answer), flush=True)
