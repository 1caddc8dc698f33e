"""What whoever rotates a secret does, at moto's Secrets Manager.

    moto_secrets.py URL create NAME TEXT   a secret; prints its ARN
    moto_secrets.py URL pend NAME TEXT     a version of it at AWSPENDING
    moto_secrets.py URL finish NAME        what is pending is current; prints its version
"""

import sys

import botocore.session

url, command, name, *texts = sys.argv[1:]
session = botocore.session.get_session()
session.set_credentials("AKIAROTATOR", "rotates")
vault = session.create_client("secretsmanager", region_name="eu-west-1", endpoint_url=url)


def version_at(stage):
    stages = vault.describe_secret(SecretId=name)["VersionIdsToStages"]
    return next(version for version, those in stages.items() if stage in those)


if command == "create":
    print(vault.create_secret(Name=name, SecretString=texts[0])["ARN"])
elif command == "pend":
    vault.put_secret_value(SecretId=name, SecretString=texts[0], VersionStages=["AWSPENDING"])
elif command == "finish":
    old, new = version_at("AWSCURRENT"), version_at("AWSPENDING")
    vault.update_secret_version_stage(
        SecretId=name, VersionStage="AWSCURRENT", RemoveFromVersionId=old, MoveToVersionId=new
    )
    vault.update_secret_version_stage(SecretId=name, VersionStage="AWSPENDING", RemoveFromVersionId=new)
    print(new)
else:
    sys.exit(__doc__)
