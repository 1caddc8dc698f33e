//! Tests of `shared.rs`.

use super::*;
use crate::config::AllDenied;
use crate::control::tests::snapshot;
use crate::iam::age::MAX_AGE;
use crate::iam::denial::{Asked, Class, Outcome};

const ENTRY: &str = "host=db.abc.eu-west-1.rds.amazonaws.com server_auth=rds_iam server_tls_ca_file=x \
                     iam_credential_source=container";

fn who(rules: &Rules) -> Who {
    Who { user: "app".into(), source: rules.source.clone() }
}

fn rules(snapshot: &Snapshot, database: &str) -> Rules {
    entry::rules(snapshot, &snapshot.database(database).unwrap(), "app").unwrap().unwrap()
}

#[test]
fn the_reason_decides_what_a_server_is_worth_whose_user_cannot_be_logged_in() {
    use Stance::{CloseNow, KeepOn, KeepToHardAge};
    let suspicions = [Suspicion::Unfounded, Suspicion::Founded, Suspicion::Proven];
    for (on_denied, lifetime, expected) in [
        (OnDenied::Drain, Lifetime::Lenient, [KeepOn, KeepToHardAge, KeepToHardAge]),
        (OnDenied::Keep, Lifetime::Lenient, [KeepOn; 3]),
        (OnDenied::DropNow, Lifetime::Lenient, [KeepOn, KeepToHardAge, CloseNow]),
        (OnDenied::Drain, Lifetime::Strict, [KeepToHardAge; 3]),
        (OnDenied::Keep, Lifetime::Strict, [KeepToHardAge, KeepOn, KeepOn]),
        (OnDenied::DropNow, Lifetime::Strict, [KeepToHardAge, KeepToHardAge, CloseNow]),
    ] {
        let ages = AgeRules { max_age: MAX_AGE, on_denied, all_denied: AllDenied::MaxAge, lifetime };
        let stances = suspicions.map(|trouble| stance_under(trouble, &ages));
        assert_eq!(stances, expected, "{on_denied:?} {lifetime:?}");
    }
}

#[tokio::test]
async fn entries_share_their_source_and_their_endpoint() {
    let text: String = (0..1000).map(|n| format!("db{n} = {ENTRY} iam_login_rate={}\n", 7 + n % 3)).collect();
    let before = snapshot(&text, "");
    let iam = Iam::new(&before, Clock::new());
    assert!(iam.all_sources().is_empty() && iam.all_endpoint_states().is_empty());
    iam.adopt(&before, std::iter::empty(), HashSet::new());
    assert_eq!((iam.all_sources().len(), iam.all_endpoint_states().len()), (1, 1));
    assert_eq!(iam.all_endpoint_states()[0].turns.state().rate, 7, "the least rate counts");
    let source = |name| iam.source(&rules(&before, name)).unwrap();
    assert!(Arc::ptr_eq(&source("db1"), &source("db999")));
    iam.adopt(&snapshot("plain = host=h", ""), std::iter::empty(), HashSet::new());
    assert!(iam.all_sources().is_empty() && iam.all_endpoint_states().is_empty(), "gone with the last entry");
    let old = rules(&before, "db1");
    assert_eq!(iam.stance(&old, &who(&old)), Stance::Renew);
    assert!(iam.all_sources().is_empty(), "who looks by rules of before starts nothing");
}

#[tokio::test]
async fn a_probe_that_hangs_keeps_none_from_another_endpoint() {
    let other = ENTRY.replace("db.abc", "db.xyz");
    let snapshot = snapshot(&format!("here = {ENTRY}\nthere = {other}"), "");
    let (here, there) = (rules(&snapshot, "here"), rules(&snapshot, "there"));
    let (iam, app) = (Iam::new(&snapshot, Clock::new()), who(&here));
    let under_way = iam.begin_probe(&here, &app);
    assert!(under_way.is_some() && iam.begin_probe(&here, &app).is_none());
    assert!(iam.begin_probe(&there, &app).is_some());
    drop(under_way);
    assert!(iam.begin_probe(&here, &app).is_some());
}

#[tokio::test]
async fn tenants_that_share_a_user_and_an_endpoint_are_judged_apart() {
    let role = "iam_role_arn=arn:aws:iam::123456789012:role/tenant-{database} iam_on_denied=drop_now";
    let snapshot = snapshot(&format!("acme = {ENTRY} {role}\nglobex = {ENTRY} {role}"), "");
    let iam = Iam::new(&snapshot, Clock::new());
    iam.adopt(&snapshot, std::iter::empty(), HashSet::new());
    let (acme, globex) = (rules(&snapshot, "acme"), rules(&snapshot, "globex"));
    let (denied, well) = (who(&acme), who(&globex));
    assert_eq!(iam.all_endpoint_states().len(), 1);
    let endpoint_state = iam.all_endpoint_states().remove(0);
    endpoint_state.failed(&denied, &Outcome::Asked(Asked::Scram), Evidence::default(), Micros::NEVER, None);
    endpoint_state.accepted(&well);
    let proven = Some(Suspicion::Proven);
    assert_eq!((iam.refusal(&acme, &denied), iam.refusal(&globex, &well)), (proven, None));
    let has_accepted = |rules, who| iam.has_accepted(rules, who, Micros(0));
    assert!(!has_accepted(&acme, &denied) && has_accepted(&globex, &well));
    let under_way = iam.begin_probe(&acme, &denied);
    assert!(under_way.is_some() && iam.begin_probe(&globex, &well).is_some());
    assert_eq!(endpoint_state.report_of(&denied).unwrap().trouble, Some(Class::Denied));
    assert_eq!(endpoint_state.report_of(&well).unwrap().trouble, None);
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_excuses_no_refusal_of_another() {
    let two = ENTRY.replace("host=db.abc", "host=db.xyz.eu-west-1.rds.amazonaws.com,db.abc");
    let snapshot = snapshot(&format!("two = {two} iam_on_denied=drop_now"), "");
    let iam = Iam::new(&snapshot, Clock::new());
    iam.adopt(&snapshot, std::iter::empty(), HashSet::new());
    let two = rules(&snapshot, "two");
    let app = who(&two);
    let [here, there] = <[_; 2]>::try_from(iam.all_endpoint_states()).ok().unwrap();
    let fail = |endpoint_state: &EndpointState, outcome: Outcome<'_>| {
        endpoint_state.failed(&app, &outcome, Evidence::default(), Micros::NEVER, None);
    };
    fail(&here, Outcome::Asked(Asked::Scram));
    assert_eq!(iam.refusal(&two, &app), None, "the other one may let it in");
    fail(&there, Outcome::Unreachable);
    assert_eq!(iam.refusal(&two, &app), Some(Suspicion::Proven));
    there.accepted(&app);
    assert_eq!(iam.refusal(&two, &app), None, "a way in");
}

#[tokio::test]
async fn a_date_that_lies_explains_no_refusal_once_a_token_was_taken() {
    let snapshot = snapshot(&format!("db = {ENTRY}"), "");
    let iam = Iam::new(&snapshot, Clock::new());
    iam.adopt(&snapshot, std::iter::empty(), HashSet::new());
    let rules = rules(&snapshot, "db");
    let source = iam.source(&rules).unwrap();
    let sources = iam.sources.get().unwrap();
    sources.skew().agree(iam.wall.now() + std::time::Duration::from_secs(3600));
    assert!(iam.evidence(&source, &rules).skew_s.is_some_and(|skew_s| skew_s >= 3590));
    iam.token_was_taken();
    assert!(iam.evidence(&source, &rules).skew_s.is_some_and(|skew_s| skew_s.abs() < 10));
    assert!(iam.skew_s().is_some_and(|skew_s| skew_s >= 3590), "operators are told of it all the same");
}

#[tokio::test]
async fn trouble_decides_what_old_servers_are_worth() {
    let text = format!(
        "drain = {ENTRY}\nkeep = {ENTRY} iam_on_denied=keep\ndrop = {ENTRY} iam_on_denied=drop_now\n\
         strict = {ENTRY} iam_strict_lifetime=1"
    );
    let snapshot = snapshot(&text, "");
    let iam = Iam::new(&snapshot, Clock::new());
    iam.adopt(&snapshot, std::iter::empty(), HashSet::new());
    let drain = rules(&snapshot, "drain");
    let app = who(&drain);
    let stances = || {
        ["drain", "keep", "drop", "strict"].map(|name| {
            let rules = rules(&snapshot, name);
            iam.refusal(&rules, &app).map_or(Stance::Renew, |trouble| stance_under(trouble, &rules.ages))
        })
    };
    assert_eq!(stances(), [Stance::Renew; 4]);
    assert_eq!(iam.stance(&drain, &app), Stance::KeepOn, "no credentials yet");
    let endpoint_state = iam.all_endpoint_states().remove(0);
    let fail = |outcome: Outcome<'_>| {
        endpoint_state.failed(&app, &outcome, Evidence::default(), Micros::NEVER, None);
    };
    fail(Outcome::Unreachable);
    let strict = Stance::KeepToHardAge;
    assert!(!iam.is_calm());
    assert_eq!(stances(), [Stance::KeepOn, Stance::KeepOn, Stance::KeepOn, strict]);
    fail(Outcome::Asked(Asked::Scram));
    assert_eq!(stances(), [Stance::KeepToHardAge, Stance::KeepOn, Stance::CloseNow, strict]);
    let other = Who { user: "other".into(), ..app.clone() };
    assert_eq!(iam.refusal(&drain, &other), None);
    let before = stances();
    iam.forget_back_off("app");
    assert_eq!(endpoint_state.may_try(&app), Ok(()));
    assert_eq!(stances(), before, "until a login tells otherwise");
    endpoint_state.accepted(&app);
    assert_eq!(stances(), [Stance::Renew; 4]);
}
