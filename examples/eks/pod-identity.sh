#!/bin/sh
# The same by EKS Pod Identity, which needs no annotation: iam_credential_source = container in pgweir.ini.
# The role trusts pods.eks.amazonaws.com (sts:AssumeRole and sts:TagSession).
set -eu
aws eks create-addon --cluster-name "${1:?usage: pod-identity.sh CLUSTER}" --addon-name eks-pod-identity-agent
aws eks create-pod-identity-association --cluster-name "$1" --namespace pgweir --service-account pgweir \
    --role-arn arn:aws:iam::123456789012:role/pgweir
