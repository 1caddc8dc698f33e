# Shell pieces of the quickstart: a client that logs in by a token of an issuer, and what the audit log knows of it.
# To be sourced; $work is the quickstart's directory.

# token_prepare FILE: an issuer's keys, and the settings for them in pgweir's configuration.
token_prepare() {
    python3 examples/api-gateway-lambda/local/issuer.py "$work" keys
    printf '%s\n' '# MAP  CLAIM   VALUE    ROLE' 'demo   groups  readers  reporting' >"$work/claims.map"
    printf '%s\n' '# TYPE DATABASE USER ADDRESS METHOD' 'local all all jwt' 'host all all 127.0.0.1/32 trust' \
        >"$work/hba.conf"
    by="auth_type = hba\nauth_hba_file = $work/hba.conf\nauth_claims_file = $work/claims.map"
    sed -i -e "s|^; trust asks .*|; rules say who comes how: by a token over the socket, as a known user over TCP|" \
        -e "s|^auth_type *=.*|$by|" \
        -e "s|^pool_mode|audit_log = file\naudit_file = $work/audit.log\n&|" "$1"
    printf '\n[issuers]\n%s\n' "demo = issuer=https://login.example.org audience=pgweir map=demo \
jwks_file=$work/jwks.json audit_claims=email" >>"$1"
}

# token_show PORT: a login by a token, over pgweir's Unix socket, and its line in the audit log.
token_show() {
    claims='{"sub": "ada@example.org", "email": "ada@example.org", "groups": ["staff", "readers"]}'
    token=$(python3 examples/api-gateway-lambda/local/issuer.py "$work" token "$claims")
    echo
    echo "ada@example.org shows a token (JWT) of an issuer in place of a password:"
    PGPASSWORD=$token psql -X -q -h "$work/socket" -p "$1" -U reporting -d postgres -c 'select current_user'
    echo "and the audit log tells who it was:"
    wait_for "the line of the audit log" "$work/pgweir.log" grep -q '"method":"jwt"' "$work/audit.log"
    grep '"event":"login".*"method":"jwt"' "$work/audit.log"
}
