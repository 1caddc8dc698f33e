//! What is wrong with issuers, maps, options and rules is told with its file, line and key; what is right
//! without them goes on as before.

use crate::common::{PoolerSetup, postgres, programs};
use crate::issuer::Issuer;
use crate::{console, setup};

/// What `--check` says of an entry with this text.
fn of_entry(text: &str) -> String {
    let setup = PoolerSetup::new(postgres()).set("auth_type", "jwt").set("listen_addr", "");
    programs::said(&setup.issuer("tests", text).check(&[]))
}

#[test]
fn errors_of_an_entry_name_its_key() {
    const SOUND: &str = "issuer=https://login.example.org audience=postgres";
    let cases = [
        ("audience=postgres", "invalid parameter issuer of issuer \"tests\""),
        ("issuer=https://login.example.org", "invalid parameter audience of issuer \"tests\""),
        ("issuer=no-address audience=a", "jwks_url or jwks_file must say where the keys are"),
        ("issuer=http://login.example.org audience=a", "jwks_url or jwks_file must say where the keys are"),
        (&format!("{SOUND} jwks_url=http://keys.example.org"), "for parameter jwks_url of issuer \"tests\""),
        (&format!("{SOUND} jwks_url=https://a.example.org jwks_file=b"), "together with jwks_url"),
        (&format!("{SOUND} jwks_file=/no/such.json"), "invalid parameter jwks_file of issuer \"tests\""),
        (&format!("{SOUND} jwks_ca_file=/no/such.pem"), "invalid parameter jwks_ca_file of issuer"),
        (&format!("{SOUND} algorithms=RS256,HS256"), "algorithms of issuer \"tests\" in configuration"),
        (&format!("{SOUND} algorithms=none"), "none is none that is taken; accepted: RS256, RS384, "),
        (&format!("{SOUND} audit_claims=email,team,email"), "email: named twice"),
        (&format!("{SOUND} refresh=0"), "for parameter refresh of issuer \"tests\""),
        (&format!("{SOUND} keys_max_age=10"), "it is less than refresh"),
        (&format!("{SOUND} principal_claim=/a~2"), "invalid parameter principal_claim of issuer"),
        (&format!("{SOUND} map=nobody"), "auth_claims_file is not set, which map nobody would stand in"),
        (&format!("{SOUND} keys=1"), "unrecognized issuer parameter: keys of issuer \"tests\""),
        (&format!("{SOUND} scope='a"), "syntax error in keys of issuer \"tests\""),
    ];
    for (text, expected) in cases {
        let said = of_entry(text);
        assert!(said.contains(expected) && said.contains("pgweir.ini:"), "{text}\n{said}");
    }
    let said = of_entry(SOUND);
    assert!(said.contains("pgweir.ini: ok"), "{said}");
    let said = of_entry("issuer=http://127.0.0.1:1 audience=a");
    assert!(said.contains("warning: issuer \"tests\": keys are fetched without TLS"), "{said}");
}

#[test]
fn two_entries_cannot_be_the_same_issuer() {
    let entry = "issuer=https://login.example.org audience=postgres";
    let setup = PoolerSetup::new(postgres()).set("auth_type", "jwt").set("listen_addr", "");
    let said = programs::said(&setup.issuer("a", entry).issuer("b", entry).check(&[]));
    assert!(said.contains("issuer of issuer \"b\"") && said.contains("another entry has it, too"), "{said}");
}

#[test]
fn tokens_are_asked_for_within_tls_alone() {
    let issuer = Issuer::start();
    let check = |setup: PoolerSetup| programs::said(&setup.check(&[]));
    let of_rule = |rule: &str, mode: &str| {
        let setup = setup(&issuer, "").set("client_tls_sslmode", mode).set("auth_type", "hba");
        check(setup.set("auth_hba_file", "hba.conf").file("hba.conf", rule))
    };
    let open = check(setup(&issuer, "").set("client_tls_sslmode", "disable"));
    assert!(open.contains("auth_type=jwt needs TLS"), "{open}");
    let local = check(setup(&issuer, "").set("client_tls_sslmode", "disable").set("listen_addr", ""));
    assert!(local.contains("pgweir.ini: ok"), "{local}");
    for (rule, mode, is_refused) in [
        ("hostnossl all all all jwt\n", "allow", true),
        ("host all all all jwt\n", "disable", true),
        ("host all all all jwt\n", "allow", false),
        ("hostssl all all all jwt\n", "require", false),
        ("local all all jwt\n", "disable", false),
    ] {
        let said = of_rule(rule, mode);
        let expected =
            if is_refused { "(hba.conf:1): tokens would come without TLS" } else { "pgweir.ini: ok" };
        assert!(said.contains(expected), "{rule} {mode}\n{said}");
    }
}

#[test]
fn rules_and_options_name_what_is_there() {
    let issuer = Issuer::start();
    let of_rule = |options: &str| {
        let rules = format!("local all all jwt {options}\n");
        let setup = setup(&issuer, "").set("auth_type", "hba").set("auth_hba_file", "hba.conf");
        programs::said(&setup.file("hba.conf", &rules).check(&[]))
    };
    let of_setting =
        |options: &str| programs::said(&setup(&issuer, "").set("auth_jwt_options", options).check(&[]));
    for (options, expected) in [
        ("issuer=nobody", "[issuers] has no entry nobody"),
        ("map=nobody", "auth_claims_file is not set, which map nobody would stand in"),
        ("transport=tcp", "invalid transport of jwt: tcp"),
        ("realm=x", "unknown option of jwt: realm"),
    ] {
        let (rule, setting) = (of_rule(options), of_setting(options));
        assert!(rule.contains(&format!("(hba.conf:1): {expected}")), "{options}\n{rule}");
        assert!(setting.contains(&format!("auth_jwt_options: {expected}")), "{options}\n{setting}");
    }
    let with_file =
        setup(&issuer, "").set("auth_jwt_options", "map=nobody").set("auth_claims_file", "claims.conf");
    let said = programs::said(&with_file.file("claims.conf", "staff sub ada app\n").check(&[]));
    assert!(said.contains("auth_jwt_options: auth_claims_file has no map nobody"), "{said}");
    let none = PoolerSetup::new(postgres()).set("auth_type", "jwt").set("listen_addr", "").check(&[]);
    assert!(programs::said(&none).contains("[issuers] has no entry that holds"));
}

#[test]
fn a_reload_takes_new_issuers_and_maps_or_nothing_at_all() {
    let (one, other) = (Issuer::start(), Issuer::start());
    let mut pooler = setup(&one, "").start();
    assert!(crate::log_in(&pooler, "app", &one.token("app")).is_ok());
    pooler.rewrite(|setup| setup.issuer("tests", &other.entry("map=nobody")));
    assert!(!console(&pooler, &one).simple("reload").errors.is_empty());
    assert!(crate::log_in(&pooler, "app", &one.token("app")).is_ok(), "what runs goes on");
    pooler.rewrite(|setup| setup.issuer("tests", &other.entry("")));
    assert_eq!(console(&pooler, &one).simple("reload").errors, [""; 0]);
    assert!(crate::log_in(&pooler, "app", &other.token("app")).is_ok());
    assert!(crate::log_in(&pooler, "app", &one.token("app")).is_err());
}

#[test]
fn who_was_let_in_by_an_issuer_that_is_gone_is_ended() {
    let (one, other) = (Issuer::start(), Issuer::start());
    let mut pooler =
        setup(&one, "").issuer("others", &other.entry("")).set("identity_recheck", "all").start();
    let mut stays = crate::log_in(&pooler, "app", &one.token("app")).expect("it is a good token");
    let mut goes = crate::log_in(&pooler, "app", &other.token("app")).expect("it is a good token");
    pooler.rewrite(|setup| setup.without_issuer("others"));
    assert_eq!(console(&pooler, &one).simple("reload").errors, [""; 0]);
    assert!(goes.last_words().starts_with("FATAL 28000: "));
    assert_eq!(stays.simple("select 1").value(), "1");
}
