# IAM logins for tests/quickstart.sh; to be sourced. The PostgreSQL of the quickstart takes tokens as RDS
# does: PAM, and the verifier of the tests. Uses its $work, $account, as_account, start and wait_for.

iam_host=quickstart.cluster-demo.eu-central-1.rds.amazonaws.com
iam_service=
iam_key=AKIAQUICKSTART
iam_secret=

# iam_prepare: PAM, certificates, the verifier's files. Says why and leaves $iam_service empty
# where IAM cannot be shown.
iam_prepare() {
    rds=$work/rds
    mkdir "$rds"
    if ! command -v openssl >/dev/null || ! command -v python3 >/dev/null; then
        echo "SKIPPED: logins by IAM are not shown, for they need openssl and python3"
        return 0
    fi
    iam_service=pgweir-rds-$$-0
    if ! why=$(sh tests/rds/pam.sh build "$rds" &&
        sh tests/rds/pam.sh install $iam_service "$rds/pam_rds.so" "$rds/socket"); then
        echo "SKIPPED: logins by IAM are not shown: $why"
        iam_service=
        return 0
    fi
    iam_secret=$(openssl rand -base64 30)
    printf '%s\t%s\t-\t-\n' $iam_key "$iam_secret" >"$rds/keys"
    printf 'endpoint=%s:5432\nregion=eu-central-1\n' $iam_host >"$rds/behaviour"
    cp tests/rds/verifier.py "$rds/"
    if ! iam_certificates >"$work/openssl.log" 2>&1; then
        cat "$work/openssl.log" >&2
        exit 1
    fi
    chmod 600 "$rds/server.key" "$rds/keys"
    [ -z "$account" ] || chown -R "$account:" "$rds"
}

# iam_certificates: an authority, and a certificate of $iam_host.
iam_certificates() {
    key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    printf 'subjectAltName=DNS:%s\nbasicConstraints=CA:FALSE\n' $iam_host >"$rds/extensions"
    openssl req -x509 $key -days 2 -keyout "$rds/ca.key" -out "$rds/ca.crt" -subj "/CN=quickstart authority" &&
        openssl req $key -keyout "$rds/server.key" -out "$rds/server.csr" -subj "/CN=rds" &&
        openssl x509 -req -in "$rds/server.csr" -CA "$rds/ca.crt" -CAkey "$rds/ca.key" -CAcreateserial -days 2 \
            -extfile "$rds/extensions" -out "$rds/server.crt"
}

# iam_database PORT: the line of [databases].
iam_database() {
    echo "iam = host=127.0.0.1 port=$1 dbname=postgres user=iam_app pool_size=4" \
        "server_auth=rds_iam iam_host=$iam_host iam_port=5432 iam_credential_source=env iam_max_age=10" \
        "tls_server_name=$iam_host server_tls_ca_file=$work/rds/ca.crt"
}

# iam_rules FILE: puts the rules for members of rds_iam in front of the others in pg_hba.conf.
iam_rules() {
    {
        echo "hostssl   all +rds_iam all pam pamservice=$iam_service"
        echo "hostnossl all +rds_iam all reject"
        cat "$1"
    } >"$work/rds/pg_hba.conf"
    cat "$work/rds/pg_hba.conf" >"$1"
}

# iam_start: the verifier.
iam_start() {
    start "$work/verifier.log" python3 -B "$work/rds/verifier.py" "$work/rds"
    wait_for "the verifier of tokens" "$work/verifier.log" test -S "$work/rds/socket"
}

# iam_show PORT: a load across several generations of servers, and what the verifier saw of it.
iam_show() {
    echo
    echo "logins by IAM: database 'iam' has no password; each server is logged in to with a token made for it, and is"
    echo "replaced before its authorization is 10 s old. pgbench, 8 clients for 25 seconds:"
    echo "select count(*) from pg_class;" >"$work/iam.sql"
    pgbench -h 127.0.0.1 -p "$1" -U postgres -n -f "$work/iam.sql" -c 8 -j 2 -T 25 iam 2>/dev/null |
        grep -E 'transactions actually|failed transactions|tps'
    awk -F '\t' '$4 == 200 { taken++; if ($7 > age) age = $7 } $4 != 200 { refused++ }
        END {
            printf "the verifier took %d tokens, the oldest of %.1f s, ", taken, age
            printf "and refused %d; pool_size is 4\n", refused
        }' \
        "$work/rds/verdicts"
}

# iam_end: takes the PAM service away.
iam_end() {
    [ -z "$iam_service" ] || sh tests/rds/pam.sh remove $iam_service
}
