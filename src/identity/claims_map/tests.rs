//! Files that map claims to roles, line by line.

use super::*;
use crate::identity::{Algorithm, KeptClaims};
use serde_json::json;

fn claims(members: &serde_json::Value) -> Claims {
    let kept = KeptClaims::new(Box::default(), Algorithm::ES256);
    Claims::new(members.as_object().unwrap().clone(), 0, kept)
}

fn map(text: &str) -> ClaimsMap {
    ClaimsMap::parse(text, "claims").unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

/// Whether the holder of `sub` may be `role`, by a file with that line.
fn admits(line: &str, sub: &str, role: &str) -> bool {
    map(line).admits("m", &claims(&json!({"sub": sub})), role).is_some()
}

fn wrong(text: &str) -> WrongLine {
    let mut errors = ClaimsMap::parse(text, "claims").unwrap_err();
    assert!(errors.iter().all(|error| !error.to_string().contains('\n')));
    errors.remove(0).wrong
}

#[test]
fn nobody_is_let_in_but_by_a_line() {
    let file = map("# all of it\n\nm sub alice app\nm sub alice ro # and so\n n sub bob app\n");
    let alice = claims(&json!({"sub": "alice"}));
    let line = |map: &str, role: &str| file.admits(map, &alice, role).map(|admitted| admitted.line);
    assert_eq!(line("m", "app"), Some(3));
    assert_eq!(line("m", "ro"), Some(4));
    assert_eq!(line("m", "alice"), None);
    assert_eq!(line("m", "App"), None);
    assert_eq!(line("m", ""), None);
    assert_eq!(line("n", "app"), None);
    assert_eq!(line("o", "app"), None);
    assert!(file.has("m") && file.has("n") && !file.has("o") && !file.has("M"));
    assert!(!map("").has(""));
    assert_eq!(file.admits("m", &claims(&json!({})), "app"), None);
}

#[test]
fn a_value_is_the_whole_text() {
    assert!(admits("m sub alice app", "alice", "app"));
    for other in ["Alice", "alice ", " alice", "alice\n", "alice\0", "alicex", ""] {
        assert!(!admits("m sub alice app", other, "app"), "{other:?}");
        assert!(!admits("m sub /alice app", other, "app"), "{other:?}");
        assert!(!admits("m sub /ali|alice app", other, "app"), "{other:?}");
    }
    assert!(admits("m sub \"a b,c#d\" app", "a b,c#d", "app"));
    assert!(admits("m sub \"a\"\"b\" app", "a\"b", "app"));
}

#[test]
fn a_pattern_is_the_whole_text() {
    assert!(admits("m sub /ali|alice app", "alice", "app"));
    assert!(admits("m sub /a.*e app", "alice", "app"));
    assert!(!admits("m sub /a.*e app", "alice\nmallory e", "app"), "a dot is no end of a line");
    assert!(!admits("m sub /(?m)alice$ app", "alice\nx", "app"));
    assert!(!admits("m sub /(?m)^alice app", "x\nalice", "app"));
    assert!(admits("m sub /(?i)ALICE app", "alice", "app"));
    assert!(!admits("m sub /(?i)mike app", "mi\u{212a}e", "app"), "a Kelvin sign is no k");
    assert!(!admits(r"m sub /\w+ app", "ali\u{441}e", "app"), "letters are ASCII's");
    assert!(!admits(r"m sub /\d+ app", "\u{661}", "app"));
    assert!(admits("m sub //team/dba dba", "/team/dba", "dba"), "a value that begins with a slash");
    assert!(admits("m sub \"/a{1,3}\" app", "aa", "app"), "quoted for the sake of the comma");
}

#[test]
fn a_pattern_stays_inside_of_its_anchors() {
    for pattern in ["a)|(?:b", "a)|(b", "(a", "a)", "(?x)a #", "[", "*", "a**b(", r"\", "(?<n>a", "(?P<n"] {
        let text = format!("m sub \"/{pattern}\" app");
        match ClaimsMap::parse(&text, "claims") {
            Err(errors) => assert!(matches!(errors[0].wrong, WrongLine::BadPattern { .. }), "{errors:?}"),
            Ok(map) => {
                let lets = |sub: &str| map.admits("m", &claims(&json!({"sub": sub})), "app").is_some();
                assert!(!lets("b") && !lets("xa") && !lets("ax"), "{pattern}");
            }
        }
    }
    assert_eq!(wrong("m sub / app"), WrongLine::EmptyPattern);
    assert!(matches!(wrong("m sub \"/(x{1000}){1000}\" app"), WrongLine::BadPattern { .. }));
    map("m sub \"/[a-z_][a-z0-9_-]{0,62}\" app");
}

#[test]
fn groups_make_roles() {
    let line = r"m sub /([a-z]+)-([a-z]+) x_\2_\1";
    assert!(admits(line, "a-b", "x_b_a"));
    for role in ["x_a_b", "x_b_", "x_b_aa", "xx_b_a", "x_\\2_\\1", ""] {
        assert!(!admits(line, "a-b", role), "{role}");
    }
    assert!(admits(r"m sub /(a)|(b) x\1\2", "b", "xb"), "a group that takes no part stands for nothing");
    assert!(admits(r"m sub /(.)(.)(.)(.)(.)(.)(.)(.)(.)(.) \9\10", "abcdefghij", "ia0"));
    assert!(admits(r#"m sub "/(.*)" \1"#, "a\"b'c", "a\"b'c"), "a quote is a letter of a name");
    assert!(admits(r#"m sub alice "a""b""#, "alice", "a\"b"));
    assert!(admits(r"m sub /(.*) \1", "é", "é"));
    let file = map("m sub /(.*) \\1\nm sub alice alice\n");
    let alice = claims(&json!({"sub": "alice"}));
    let line = |admitted: Option<Admitted>| admitted.map(|line| line.line);
    assert_eq!(line(file.admits("m", &alice, "alice")), Some(1));
    assert_eq!(line(file.admits_as_written("m", &alice, "alice")), Some(2), "whichever stands first");
    assert_eq!(line(map(r"m sub /(.*) \1").admits_as_written("m", &alice, "alice")), None);
}

#[test]
fn a_role_from_a_claim_is_a_name() {
    let line = r"m sub /(?s)(.*) \1";
    let longest = "x".repeat(limits::ROLE_BYTES_MAX);
    assert!(admits(line, &longest, &longest));
    let too_long = format!("{longest}x");
    for sub in ["", "a\0", "a\nb", "\u{7f}", "\u{202e}a", "a\u{2028}", &too_long] {
        assert!(!admits(line, sub, sub), "{sub:?}");
    }
    // Half a letter of UTF-8 is no name, whatever a client sends as one.
    assert!(!admits(r"m sub /(.).* \1", "é", "é"));
}

#[test]
fn an_element_of_a_list_or_a_word_of_scope_is_enough() {
    let file = map("m groups dba dba\nm scope read ro\nm /a/roles/0 first f\nm n 7 seven\nm is true yes\n");
    let holder = claims(&json!({
        "groups": ["x", "dba"], "scope": "openid read", "a": {"roles": ["first", "second"]},
        "n": 7, "is": true
    }));
    for role in ["dba", "ro", "f", "seven", "yes"] {
        assert!(file.admits("m", &holder, role).is_some(), "{role}");
    }
    let other =
        claims(&json!({"groups": "x dba", "scope": "openid.read", "a": {"roles": ["second", "first"]}}));
    for role in ["dba", "ro", "f"] {
        assert_eq!(file.admits("m", &other, role), None, "{role}");
    }
}

#[test]
fn a_line_may_set_timeouts() {
    let of = |options: &str| {
        let file = map(&format!("m sub alice app {options}"));
        file.admits("m", &claims(&json!({"sub": "alice"})), "app").unwrap().timeouts
    };
    assert_eq!(of(""), MappedTimeouts::default());
    assert_eq!(of("query_timeout=29").query, Some(Micros::from_secs(29)));
    assert_eq!(of("query_timeout=0").query, Some(Micros(0)));
    let both = of("transaction_timeout=60 query_timeout=0.5");
    assert_eq!((both.query, both.transaction), (Some(Micros(500_000)), Some(Micros::from_secs(60))));
    for bad in ["query_timeout=", "query_timeout=-1", "query_timeout=29s", "transaction_timeout=x"] {
        let told = wrong(&format!("m sub alice app {bad}"));
        assert!(matches!(told, WrongLine::BadTimeout { .. }), "{bad}: {told:?}");
    }
    assert_eq!(wrong("m sub a app query_timeout=1 query_timeout=1"), WrongLine::OptionTwice("query_timeout"));
    assert_eq!(wrong("m sub a app idle_timeout=1"), WrongLine::UnknownOption("idle_timeout=1".into()));
    assert_eq!(wrong("m sub a app other"), WrongLine::UnknownOption("other".into()));
    assert_eq!(wrong("m sub a app \"query_timeout=1\""), WrongLine::Words(Wrong::Excess));
    assert_eq!(wrong("m sub a,b app"), WrongLine::Missing);
}

#[test]
fn lines_that_are_none() {
    for text in ["m", "m sub", "m sub a", "m sub a \"\"", ", sub a app", "m \"\" a app", "\"\" sub a app"] {
        let told = wrong(text);
        let is_fit = matches!(told, WrongLine::Missing | WrongLine::Role(BadRole::NotAName));
        assert!(is_fit, "{text}: {told:?}");
    }
    assert_eq!(wrong("m sub a \"b"), WrongLine::Words(Wrong::QuoteNotClosed));
    assert_eq!(wrong("m sub a\0 b"), WrongLine::Words(Wrong::ZeroByte));
    assert_eq!(wrong("m /a~ a app"), WrongLine::Claim(BadClaimName::BadEscape));
    for word in ["include", "%include", "include_if_exists", "include_dir"] {
        assert_eq!(wrong(&format!("{word} other")), WrongLine::Include);
    }
    for role in ["all", "+group", "@file", "/x"] {
        assert_eq!(wrong(&format!("m sub a {role}")), WrongLine::Role(BadRole::NoKeywords), "{role}");
        assert!(admits(&format!("m sub a \"{role}\""), "a", role), "quoted it is a name");
    }
    let role = |role: &str| wrong(&format!("m sub /(a) \"{role}\""));
    assert_eq!(role(r"\2"), WrongLine::Role(BadRole::NoGroup(2)));
    assert_eq!(wrong(r"m sub a \1"), WrongLine::Role(BadRole::NoGroup(1)));
    for bad in [r"\0", r"\", r"a\", r"\x", r"\\1"] {
        assert_eq!(role(bad), WrongLine::Role(BadRole::BadReference), "{bad}");
    }
    assert_eq!(role("a\tb"), WrongLine::Role(BadRole::NotAName));
    assert_eq!(role("\\1\u{202e}"), WrongLine::Role(BadRole::NotAName));
    assert_eq!(role(&"x".repeat(limits::ROLE_BYTES_MAX + 1)), WrongLine::Role(BadRole::NotAName));
}

#[test]
fn every_error_has_its_line_up_to_a_bound() {
    let errors = ClaimsMap::parse("m sub a\nm sub a app\nn\n", "claims").unwrap_err();
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let wanted = "a map, a claim, a value and a role are wanted";
    assert_eq!(texts[0], format!("could not parse claims config line (claims:1): {wanted}"));
    assert_eq!(texts[1], format!("could not parse claims config line (claims:3): {wanted}"));
    let errors = ClaimsMap::parse(&"x\n".repeat(1_000), "claims").unwrap_err();
    assert_eq!(errors.len(), limits::CONFIG_ERRORS_MAX + 1);
    assert_eq!(errors.last().unwrap().wrong, WrongLine::MoreErrors);
}

#[test]
fn a_file_has_an_end() {
    let lines = |number: usize| "m sub a b\n".repeat(number);
    map(&lines(limits::CLAIMS_MAP_LINES_MAX));
    assert_eq!(wrong(&lines(limits::CLAIMS_MAP_LINES_MAX + 1)), WrongLine::TooManyLines);
    let patterns = |number: usize| "m sub /a b\n".repeat(number);
    map(&patterns(limits::CLAIMS_MAP_PATTERNS_MAX));
    assert_eq!(wrong(&patterns(limits::CLAIMS_MAP_PATTERNS_MAX + 1)), WrongLine::TooManyPatterns);
    let blank = " ".repeat(limits::CLAIMS_MAP_BYTES_MAX);
    map(&blank);
    assert_eq!(wrong(&format!("{blank} ")), WrongLine::TooLong);
}
