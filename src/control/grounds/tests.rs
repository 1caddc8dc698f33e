//! What takes a session's grounds away, kind by kind, and what does not.

use super::*;
use crate::auth::hba::{Hba, IdentMaps};
use crate::base::{MappedTimeouts, Standing};
use crate::config::IssuerEntry;
use crate::control::tests::{plane, policy};
use crate::control::token_sessions::TokenSessions;
use crate::control::{Tokens, WorkerSet};
use crate::identity::{Algorithm, ClaimName, ClaimsMap, IssuerRules, RequiredClaim};

const ISSUER: &str = "https://login.example.org";
const PAYLOAD: &str = r#"{"iss": "https://login.example.org", "aud": ["postgres", "web"], "sub": "alice",
    "groups": ["readers", "writers", "app"], "team": "red", "iat": 1750000000, "exp": 1750003600}"#;

/// What a policy goes by, as the files of a test say.
struct Files {
    auth_type: &'static str,
    hba: &'static str,
    claims: &'static str,
    rules: IssuerRules,
    map: Option<&'static str>,
    options: &'static str,
}

fn name(text: &str) -> ClaimName {
    ClaimName::named(text).unwrap()
}

impl Default for Files {
    fn default() -> Self {
        let rules = IssuerRules {
            name: "staff".into(),
            issuer: ISSUER.into(),
            audience_claim: name("aud"),
            audiences: vec!["postgres".into()],
            algorithms: Algorithm::ALL.to_vec(),
            leeway_s: 30,
            token_lifetime_max_s: 3_600,
            required: Vec::new(),
            principal: name("sub"),
            audit: Vec::new(),
        };
        Self {
            auth_type: "jwt",
            hba: "host all all all jwt\n",
            claims: "teams groups writers app\nteams sub bob app\nothers sub bob app\n",
            rules,
            map: Some("teams"),
            options: "",
        }
    }
}

impl Files {
    fn policy(self) -> Policy {
        let entry = IssuerEntry {
            issuer: self.rules.issuer.clone(),
            map: self.map.map(Into::into),
            ..Default::default()
        };
        let mut policy =
            policy("app =", &format!("auth_type = {}\nauth_hba_file = hba.conf", self.auth_type));
        let read = |_: &str| Ok(self.hba.as_bytes().to_vec());
        policy.hba = Arc::new(Hba::load("hba.conf", &IdentMaps::default(), &read).unwrap().0);
        policy.tokens = Tokens {
            issuers: [Arc::new(TokenIssuer { rules: self.rules, entry })].into(),
            maps: Arc::new(ClaimsMap::parse(self.claims, "claims").unwrap()),
            options: Arc::new(JwtOptions::parse(self.options.as_bytes()).unwrap()),
        };
        policy
    }
}

fn grounds(socket_id: u64) -> Grounds {
    let principal = Principal {
        name: "alice".into(),
        issuer: "staff".into(),
        claims: Box::default(),
        expiry: None,
        timeouts: MappedTimeouts::default(),
        standing: Standing::default(),
    };
    Grounds {
        method: Method::Jwt,
        socket_id,
        database: "app".into(),
        user: "app".into(),
        remote: Address::Tcp("192.0.2.7:40000".parse().unwrap()),
        is_tls: true,
        replication: Replication::No,
        claims: KeptClaims::of_text(PAYLOAD, Algorithm::RS256),
        principal: Arc::new(principal),
    }
}

/// Why the session lapses under files that `narrow` has changed.
fn lapse(narrow: impl FnOnce(&mut Files)) -> Option<(DenyReason, String)> {
    let mut files = Files::default();
    narrow(&mut files);
    let lapse = grounds(1).judge(&files.policy()).err()?;
    Some((lapse.reason(), lapse.to_string()))
}

#[track_caller]
fn lapses(reason: DenyReason, text: &str, narrow: impl FnOnce(&mut Files)) {
    assert_eq!(lapse(narrow), Some((reason, text.to_owned())));
}

fn required(claim: &str, values: &[&str]) -> RequiredClaim {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    RequiredClaim { name: name(claim), values: Some(values) }
}

#[test]
fn what_still_lets_it_in_lets_it_stay() {
    let stays = |narrow: fn(&mut Files)| assert_eq!(lapse(narrow), None);
    stays(|_| {});
    stays(|files| files.auth_type = "hba");
    stays(|files| files.claims = "teams team red app query_timeout=5\n");
    stays(|files| files.rules.audiences = vec!["web".into(), "others".into()]);
    stays(|files| files.rules.required = vec![required("team", &["blue", "red"])]);
    stays(|files| files.options = "issuer=staff map=teams transport=oauthbearer");
    stays(|files| {
        files.auth_type = "hba";
        files.hba = "host all bob all reject\nhostnossl all app all reject\nhostssl app app all jwt\n";
    });
    stays(|files| {
        files.map = None;
        files.rules.principal = name("team");
        files.claims = "";
        files.options = "map=now\n";
        files.claims = "now sub alice app\n";
    });
}

#[test]
fn a_map_that_is_narrowed_takes_the_role_away() {
    let text =
        |map| format!("issuer staff: claims of alice are in no line of map {map} for this role any more");
    let gone = |map, narrow: fn(&mut Files)| lapses(DenyReason::RoleNotGiven, &text(map), narrow);
    gone("teams", |files| files.claims = "teams groups owners app\nteams sub bob app\n");
    gone("teams", |files| files.claims = "teams groups writers other\n");
    gone("teams", |files| files.claims = "");
    gone("others", |files| files.map = Some("others"));
    gone("others", |files| files.options = "map=others");
    gone("others", |files| {
        files.auth_type = "hba";
        files.hba = "hostssl all app all jwt map=others\n";
    });
    let now = "issuer staff: the token is for the role alice now";
    lapses(DenyReason::RoleNotGiven, now, |files| files.map = None);
}

#[test]
fn an_issuer_that_is_gone_takes_its_sessions_away() {
    let text = "issuer staff is gone, or its tokens do not count there any more";
    let gone = |narrow: fn(&mut Files)| lapses(DenyReason::IssuerGone, text, narrow);
    gone(|files| files.rules.name = "others".into());
    gone(|files| files.options = "issuer=others");
    gone(|files| {
        files.auth_type = "hba";
        files.hba = "hostssl all app all jwt issuer=others\n";
    });
    let other = format!("issuer staff: claim iss is not the issuer's: {ISSUER}");
    lapses(DenyReason::IssuerGone, &other, |files| files.rules.issuer = "https://b.example.org".into());
}

#[test]
fn an_entry_that_is_narrowed_takes_the_tokens_away() {
    let gone = |text, narrow: fn(&mut Files)| lapses(DenyReason::TokenNotAccepted, text, narrow);
    gone(
        "issuer staff: claim aud is postgres, web, which is none of the audiences that are accepted",
        |files| {
            files.rules.audiences = vec!["others".into()];
        },
    );
    gone("issuer staff: the token's algorithm is not allowed: RS256", |files| {
        files.rules.algorithms = vec![Algorithm::ES256];
    });
    gone("issuer staff: claim team has none of the values that are required", |files| {
        files.rules.required = vec![required("team", &["blue"])];
    });
    gone("issuer staff: claim email is missing, or not of its form", |files| {
        files.rules.required = vec![RequiredClaim { name: name("email"), values: None }];
    });
    gone("issuer staff: the token is valid for 3600 s, more than the 600 s of max_token_age", |files| {
        files.rules.token_lifetime_max_s = 600;
    });
    gone("issuer staff: claim email is missing, or not of its form", |files| {
        files.rules.principal = name("email");
    });
}

#[test]
fn a_rule_that_is_gone_or_asks_for_something_else_takes_the_session_away() {
    let no_rule = "no rule lets it in any more";
    lapses(DenyReason::NoRule, no_rule, |files| {
        files.auth_type = "hba";
        files.hba = "host all bob all jwt\n";
    });
    lapses(DenyReason::NoRule, no_rule, |files| {
        files.auth_type = "hba";
        files.hba = "host app app 192.0.2.0/24 reject\nhost all all all jwt\n";
    });
    let other = "it would have to log in by scram-sha-256 now";
    lapses(DenyReason::OtherMethod, other, |files| files.auth_type = "scram-sha-256");
    lapses(DenyReason::OtherMethod, other, |files| {
        files.auth_type = "hba";
        files.hba = "host app app all scram-sha-256\nhost all all all jwt\n";
    });
}

#[test]
fn roles_of_the_console_are_written_in_the_map() {
    let of_console = |claims| {
        let mut grounds = grounds(1);
        grounds.database = CONSOLE_DATABASE.into();
        grounds.judge(&Files { claims, ..Files::default() }.policy()).err().map(|lapse| lapse.reason())
    };
    assert_eq!(of_console("teams sub alice app\n"), None);
    let made = "teams groups \"/(a.*)\" \\1\n";
    assert_eq!(of_console(made), Some(DenyReason::RoleNotGiven));
    assert_eq!(lapse(|files| files.claims = made), None, "of a database it is good");
}

#[test]
fn sessions_of_one_token_share_its_claims_and_nothing_stays_of_them() {
    let sessions = TokenSessions::default();
    assert_eq!(sessions.counts(), (0, 0));
    let holds: Vec<_> = (1..=100).map(|id| sessions.hold(grounds(id))).collect();
    assert_eq!(sessions.counts(), (100, 1));
    let other = KeptClaims::of_text(PAYLOAD, Algorithm::ES256);
    let other = sessions.hold(Grounds { claims: other, ..grounds(101) });
    assert_eq!(sessions.counts(), (101, 2));
    drop(holds);
    assert_eq!(sessions.counts(), (1, 1));
    drop(other);
    assert_eq!(sessions.counts(), (0, 0));
}

#[tokio::test]
async fn a_pass_marks_those_concerned_and_nobody_else() {
    let (plane, _launcher) = plane("app =", "");
    plane.policy.store(Arc::new(Files::default().policy()));
    let alice = |id| plane.token_sessions.hold(grounds(id));
    let bob = |id| {
        let claims = KeptClaims::of_text(&PAYLOAD.replace("alice", "bob"), Algorithm::RS256);
        plane.token_sessions.hold(Grounds { claims, ..grounds(id) })
    };
    let (alices, bobs): (Vec<_>, Vec<_>) = (1..=600).map(|id| (alice(id), bob(1_000 + id))).unzip();
    assert_eq!((plane.judge_token_sessions(), plane.token_sessions.has_lapsed()), (0, false));
    let narrower = Files { claims: "teams sub bob app\n", ..Files::default() };
    plane.policy.store(Arc::new(narrower.policy()));
    assert_eq!((plane.judge_token_sessions(), plane.token_sessions.has_lapsed()), (600, true));
    let lapsed = |hold: &crate::control::SessionHold| hold.grounds().principal.standing.lapsed();
    assert!(alices.iter().all(|hold| lapsed(hold) == Some(DenyReason::RoleNotGiven)));
    assert!(bobs.iter().all(|hold| lapsed(hold).is_none()));
    plane.policy.store(Arc::new(Files::default().policy()));
    assert_eq!(plane.judge_token_sessions(), 0, "who is marked is marked once, and stays so");
    assert!(alices.iter().all(|hold| lapsed(hold).is_some()));
}

#[test]
fn a_policy_that_was_replaced_is_not_in_force() {
    let policy = |_| Arc::new(Files::default().policy());
    let (first, second) = (policy(1), policy(2));
    let (plane, _launcher) = crate::control::Plane::new(Arc::clone(&first), WorkerSet::none());
    assert!(plane.is_in_force(&first));
    plane.policy.store(second);
    assert!(!plane.is_in_force(&first));
}
