//! Tokens as five issuers make them, by the rules and the maps that docs/identity.md gives for each.

use super::mint::{Mint, NOW_S, name};
use crate::base::Micros;
use crate::identity::{Algorithm, Claims, ClaimsMap, IssuerRules, RequiredClaim, verify};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../docs/identity.md");

/// The map below a heading of the page.
fn map_of(heading: &str) -> ClaimsMap {
    let (_, behind) = PAGE.split_once(&format!("\n### {heading}\n")).expect("the heading is there");
    let block = behind.split("```").nth(1).expect("a block follows");
    let lines = block.split_once('\n').expect("it has lines").1;
    ClaimsMap::parse(lines, "docs/identity.md").unwrap()
}

fn rules(issuer: &str, audience: &str, algorithm: Algorithm) -> IssuerRules {
    IssuerRules {
        issuer: issuer.into(),
        audiences: vec![audience.into()],
        algorithms: vec![algorithm],
        ..super::mint::rules()
    }
}

/// What the holder of `claims` is let in as, of `roles`.
fn roles<'a>(map: &ClaimsMap, named: &str, claims: &Claims, roles: &[&'a str]) -> Vec<&'a str> {
    assert!(map.has(named));
    roles.iter().filter(|role| map.admits(named, claims, role).is_some()).copied().collect()
}

fn accepted(rules: &IssuerRules, header: &Value, claims: &Value) -> Claims {
    let mint = Mint::of(rules.algorithms[0]);
    let token = mint.token_of(&header.to_string(), &claims.to_string());
    verify(&token, rules, &mint.keys, NOW_S).unwrap()
}

#[test]
fn aws_sts_get_web_identity_token() {
    let issuer = "https://11111111-2222-3333-4444-555555555555.tokens.sts.global.api.aws";
    let rules = rules(issuer, "pgweir.example.org", Algorithm::ES384);
    let arn = "arn:aws:iam::123456789012:role/orders-api";
    let mut token = json!({
        "aud": "pgweir.example.org", "sub": arn, "iss": issuer,
        "iat": NOW_S, "exp": NOW_S + 300, "jti": "c0ffee00-0000-4000-8000-000000000001",
        "https://sts.amazonaws.com/": {
            "aws_account": "123456789012",
            "source_region": "eu-west-1",
            "org_id": "o-exampleorg",
            "ou_path": ["o-exampleorg/r-root/ou-root-apps/"],
            "principal_id": arn,
            "principal_tags": {"team": "analytics", "stage": "prod"},
            "request_tags": {"job": "nightly"},
            "lambda_source_function_arn": "arn:aws:lambda:eu-west-1:123456789012:function:orders",
        },
    });
    let header = json!({"kid": "k1", "typ": "JWT", "alg": "ES384"});
    let map = map_of("AWS STS");
    let all = ["orders_app", "report_daily", "report_hourly", "analytics_ro", "postgres"];
    let claims = accepted(&rules, &header, &token);
    assert_eq!(claims.principal(&rules).unwrap(), arn);
    assert_eq!(roles(&map, "aws", &claims, &all), ["orders_app", "analytics_ro"]);
    let timeouts = map.admits("aws", &claims, "orders_app").unwrap().timeouts;
    assert_eq!(timeouts.query, Some(Micros::from_secs(29)));
    token["sub"] = "arn:aws:iam::123456789012:role/report-daily".into();
    token["https://sts.amazonaws.com/"]["principal_tags"]["team"] = "web".into();
    assert_eq!(roles(&map, "aws", &accepted(&rules, &header, &token), &all), ["report_daily"]);
    token["sub"] = "arn:aws:iam::210987654321:role/report-daily".into();
    assert!(roles(&map, "aws", &accepted(&rules, &header, &token), &all).is_empty(), "another account");
}

#[test]
fn kubernetes_projected_service_account() {
    let issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE";
    let mut rules = rules(issuer, "pgweir.example.org", Algorithm::RS256);
    rules.audit = ["/kubernetes.io/pod/name", "/kubernetes.io/node/name"].map(name).into();
    let token = json!({
        "aud": ["pgweir.example.org"], "iss": issuer, "sub": "system:serviceaccount:shop:api",
        "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 3_600, "jti": "c0ffee00-0000-4000-8000-000000000002",
        "kubernetes.io": {
            "namespace": "shop",
            "node": {
                "name": "ip-10-0-1-2.eu-west-1.compute.internal",
                "uid": "c0ffee00-0000-4000-8000-000000000003"
            },
            "pod": {"name": "api-6d4cf56db6-xk2lp", "uid": "c0ffee00-0000-4000-8000-000000000004"},
            "serviceaccount": {"name": "api", "uid": "c0ffee00-0000-4000-8000-000000000005"},
            "warnafter": NOW_S + 3_607,
        },
    });
    let claims = accepted(&rules, &json!({"alg": "RS256", "kid": "k1"}), &token);
    let map = map_of("Kubernetes");
    let all = ["shop_app", "shop_api", "shop_worker", "batch_app", "postgres"];
    assert_eq!(claims.principal(&rules).unwrap(), "system:serviceaccount:shop:api");
    assert_eq!(roles(&map, "k8s", &claims, &all), ["shop_app", "shop_api"]);
    assert_eq!(&*claims.audited(&rules)[0].1, "api-6d4cf56db6-xk2lp");
}

#[test]
fn cognito_access_token() {
    let issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example1";
    let client = "1example23456789abcdefghij";
    let mut rules = rules(issuer, client, Algorithm::RS256);
    rules.audience_claim = name("client_id");
    rules.principal = name("username");
    rules.required = vec![RequiredClaim { name: name("token_use"), values: Some(vec!["access".into()]) }];
    let mut token = json!({
        "sub": "c0ffee00-0000-4000-8000-000000000006", "cognito:groups": ["readers", "staff"], "iss": issuer,
        "version": 2, "client_id": client, "origin_jti": "c0ffee00-0000-4000-8000-000000000007",
        "token_use": "access", "scope": "openid https://db.example.org/write", "auth_time": NOW_S - 60,
        "iat": NOW_S - 60, "exp": NOW_S + 3_540, "jti": "c0ffee00-0000-4000-8000-000000000008",
        "username": "alice",
    });
    let header = json!({"kid": "k1", "alg": "RS256"});
    let claims = accepted(&rules, &header, &token);
    let map = map_of("Amazon Cognito");
    assert_eq!(claims.principal(&rules).unwrap(), "alice");
    assert_eq!(roles(&map, "cognito", &claims, &["app_ro", "app_rw", "staff"]), ["app_ro", "app_rw"]);
    token["token_use"] = "id".into();
    let mint = Mint::of(Algorithm::RS256);
    let id_token = mint.token_of(&header.to_string(), &token.to_string());
    assert!(verify(&id_token, &rules, &mint.keys, NOW_S).is_err(), "an ID token is for the client alone");
}

#[test]
fn auth0_access_token() {
    let issuer = "https://example.eu.auth0.com/";
    let mut rules = rules(issuer, "https://db.example.org", Algorithm::RS256);
    rules.token_lifetime_max_s = 86_400;
    let token = json!({
        "iss": issuer, "sub": "1example23456789@clients",
        "aud": ["https://db.example.org", "https://example.eu.auth0.com/userinfo"],
        "iat": NOW_S, "exp": NOW_S + 86_400, "azp": "1example23456789", "gty": "client-credentials",
        "scope": "orders:read orders:write", "permissions": ["orders:read"],
        "https://example.org/roles": ["dba"],
    });
    let claims = accepted(&rules, &json!({"alg": "RS256", "typ": "at+jwt", "kid": "k1"}), &token);
    let map = map_of("Auth0");
    let all = ["orders_ro", "orders_rw", "client_1example23456789", "client_other", "dba", "postgres"];
    let given = ["orders_ro", "client_1example23456789", "dba"];
    assert_eq!(roles(&map, "auth0", &claims, &all), given);
}

#[test]
fn keycloak_access_token() {
    let issuer = "https://sso.example.org/realms/shop";
    let mut rules = rules(issuer, "pgweir", Algorithm::RS256);
    rules.principal = name("preferred_username");
    rules.required = vec![RequiredClaim { name: name("typ"), values: Some(vec!["Bearer".into()]) }];
    let token = json!({
        "exp": NOW_S + 300, "iat": NOW_S, "auth_time": NOW_S - 9,
        "jti": "onrtac:c0ffee00-0000-4000-8000-00000000000a",
        "iss": issuer, "aud": ["pgweir", "account"], "sub": "c0ffee00-0000-4000-8000-00000000000b",
        "typ": "Bearer", "azp": "shop-web", "sid": "c0ffee00-0000-4000-8000-00000000000c", "acr": "1",
        "allowed-origins": ["https://shop.example.org"],
        "realm_access": {"roles": ["default-roles-shop", "offline_access"]},
        "resource_access": {"pgweir": {"roles": ["writer"]}, "account": {"roles": ["manage-account"]}},
        "scope": "openid profile email", "email_verified": true, "name": "Alice Example",
        "groups": ["/team/dba", "/team"], "preferred_username": "alice", "email": "alice@example.org",
    });
    let claims = accepted(&rules, &json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}), &token);
    let map = map_of("Keycloak");
    assert_eq!(claims.principal(&rules).unwrap(), "alice");
    let all = ["shop_rw", "dba", "alice", "manage-account", "bob", "postgres"];
    assert_eq!(roles(&map, "keycloak", &claims, &all), ["shop_rw", "dba", "alice"]);
}
