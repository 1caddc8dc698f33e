//! The grammar against what PgBouncer was seen to answer, and by property against made-up texts.

use super::*;
use proptest::prelude::*;

fn invalid(text: &str) {
    assert_eq!(parse(text).unwrap_err().to_string(), format!("invalid command '{text}', use SHOW HELP;"),);
}

fn shown(text: &str) -> &'static str {
    match parse(text) {
        Ok(Order::Show(shown)) => shown.name,
        other => panic!("{text}: {other:?}"),
    }
}

fn set(text: &str) -> (String, String) {
    match parse(text) {
        Ok(Order::Set { key, value }) => (key, value),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn show_takes_any_case_blanks_quotes_and_one_semicolon() {
    for text in
        ["show version", "SHOW VERSION;", " \tshow\r\nVersion ; ", "select version", "\"show\" \"version\""]
    {
        assert_eq!(shown(text), "version", "{text}");
    }
    for shown in tables::TABLES {
        assert_eq!(self::shown(&format!("SHOW {}", shown.name.to_uppercase())), shown.name);
    }
}

#[test]
fn everything_else_is_told_back_as_invalid() {
    for text in [
        "",
        ";",
        "SHOW",
        "show \"\"",
        "show version;;",
        "show version; show version",
        "show a b",
        "show\u{b}version",
        "select 'x'",
        "foofoofoo",
        "set",
        "set a",
        "set a = ",
        "set a ''",
        "set a 'b'",
        "set a to b c",
        "set footobar",
        "set a to 'b'c",
        "set\"a\"=b",
        "pause\"app\"",
        "set time zone to x",
        "show config foo",
        "reload x",
        "suspend x",
        "shutdown foo",
        "kill_client -1",
        "pause 'x'",
        "pause \"x",
        "show 'version",
        "\"",
        "é",
        "show né",
        "iam",
        "iam refresh a b",
        "iam refreshed",
        "iam refresh 'a'",
        "iamrefresh",
        "refresh",
    ] {
        invalid(text);
    }
}

#[test]
fn iam_refresh_is_of_all_or_of_one() {
    for text in ["iam refresh", "IAM REFRESH;", " iam\trefresh ; ", "iam \"REFRESH\""] {
        assert_eq!(parse(text), Ok(Order::IamRefresh(None)), "{text}");
    }
    assert_eq!(parse("IAM Refresh \"my db\";"), Ok(Order::IamRefresh(Some("my db".to_owned()))));
    let long = "x".repeat(ARGUMENT_BYTES_MAX);
    assert_eq!(parse(&format!("iam refresh {long}")), Ok(Order::IamRefresh(Some(long.clone()))));
    assert_eq!(parse(&format!("iam refresh {long}x")), Err(Refusal::TooLong));
}

#[test]
fn set_takes_words_and_strings() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(set("set stats_period to 7"), pair("stats_period", "7"));
    assert_eq!(set("SET stats_period  =7;"), pair("stats_period", "7"));
    assert_eq!(set("set stats_period TO'7'"), pair("stats_period", "7"));
    assert_eq!(set("set a tob"), pair("a", "b"));
    assert_eq!(set("set \"a\"to\"b\""), pair("a", "b"));
    assert_eq!(set("set to to to"), pair("to", "to"));
    assert_eq!(set("set set = 1"), pair("set", "1"));
    assert_eq!(set("set Key = Value"), pair("Key", "Value"));
    assert_eq!(set("set k='it''s; \"so\"'"), pair("k", "it's; \"so\""));
    assert_eq!(set("set k=\"a\"\"b\""), pair("k", "a\"b"));
    assert_eq!(set("set k=''"), pair("k", ""));
}

#[test]
fn lengths_count_as_written() {
    let too_long = |text: String| assert_eq!(parse(&text), Err(Refusal::TooLong), "{text}");
    let of = |count: usize| "a".repeat(count);
    invalid(&of(15));
    too_long(of(16));
    invalid(&format!("\"{}\"", of(13)));
    too_long(format!("\"{}\"", of(14)));
    assert_eq!(parse(&format!("pause {}", of(63))), Ok(Order::Pause(Some(of(63)))));
    too_long(format!("pause {}", of(64)));
    assert_eq!(parse(&format!("pause \"{}\"", of(61))), Ok(Order::Pause(Some(of(61)))));
    too_long(format!("pause \"{}\"", of(62)));
    assert_eq!(set(&format!("set a={}", of(255))).1, of(255));
    too_long(format!("set a={}", of(256)));
    assert_eq!(set(&format!("set a='{}'", of(253))).1, of(253));
    too_long(format!("set a='{}'", of(254)));
    too_long(format!("set {}=1", of(64)));
}

#[test]
fn an_unknown_command_is_told_back_cut() {
    let text = format!("foo bar {}", "é".repeat(3000));
    let told = parse(&text).unwrap_err().to_string();
    assert!(told.len() < 500 && told.ends_with("', use SHOW HELP;"), "{told}");
}

#[test]
fn commands_take_their_arguments() {
    let app = || Some("app".to_owned());
    assert_eq!(parse("PAUSE"), Ok(Order::Pause(None)));
    assert_eq!(parse("pause \"\""), Ok(Order::Pause(None)));
    assert_eq!(parse("pause app;"), Ok(Order::Pause(app())));
    assert_eq!(parse("resume app"), Ok(Order::Resume(app())));
    assert_eq!(parse("kill"), Ok(Order::Kill(None)));
    assert_eq!(parse("reconnect app"), Ok(Order::Reconnect(app())));
    assert_eq!(parse("wait_close"), Ok(Order::WaitClose(None)));
    assert_eq!(parse("Reload"), Ok(Order::Reload));
    assert_eq!(parse("suspend"), Ok(Order::Suspend));
    assert_eq!(parse("disable"), Err(Refusal::DatabaseNeeded));
    assert_eq!(parse("enable \"App 1\""), Ok(Order::Enable("App 1".to_owned())));
    assert_eq!(parse("disable app"), Ok(Order::Disable("app".to_owned())));
    assert_eq!(parse("shutdown"), Ok(Order::Shutdown(Shutdown::Immediate)));
    assert_eq!(parse("shutdown Wait_For_Servers"), Ok(Order::Shutdown(Shutdown::WaitForServers)));
    assert_eq!(parse("shutdown wait_for_clients;"), Ok(Order::Shutdown(Shutdown::WaitForClients)));
}

#[test]
fn kill_principal_takes_a_name_and_whose_it_is() {
    let order = |name: &str, whose: Option<&str>| {
        Ok(Order::KillPrincipal { name: name.to_owned(), whose: whose.map(str::to_owned) })
    };
    assert_eq!(parse("KILL_PRINCIPAL alice"), order("alice", None));
    assert_eq!(parse("kill_principal 'it''s@example.org';"), order("it's@example.org", None));
    assert_eq!(parse("kill_principal \"a b\" idp ;"), order("a b", Some("idp")));
    assert_eq!(parse("kill_principal 'a' ''"), order("a", Some("")));
    for text in ["kill_principal", "kill_principal ;", "kill_principal ''"] {
        assert_eq!(parse(text), Err(Refusal::PrincipalNeeded), "{text}");
    }
    invalid("kill_principal a b c");
    invalid("kill_principal 'a");
    invalid("kill_principal 'a''b'c");
    let long = |bytes: usize| format!("kill_principal {}", "x".repeat(bytes));
    assert!(parse(&long(1_024)).is_ok());
    assert_eq!(parse(&long(1_025)), Err(Refusal::TooLong));
}

#[test]
fn kill_client_reads_the_decimal_in_front() {
    assert_eq!(parse("kill_client 12"), Ok(Order::KillClient(12)));
    assert_eq!(parse("kill_client 12abc"), Ok(Order::KillClient(12)));
    for text in ["kill_client", "kill_client abc", "kill_client 0", "kill_client 99999999999999999999"] {
        assert_eq!(parse(text), Err(Refusal::NoClientId), "{text}");
    }
}

/// A word written in any of the allowed ways.
fn written(text: &str, quote: char) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &quote.to_string().repeat(2)))
}

proptest! {
    #[test]
    fn never_panics_and_never_tells_back_much(text in ".{0,600}") {
        if let Err(refusal) = parse(&text) {
            prop_assert!(refusal.to_string().len() < 500);
        }
    }

    #[test]
    fn words_of_the_grammars_own_alphabet_never_panic(text in "[ \t;='\"=setoSETOpause_0-9é]{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_name_can_be_said_in_quotes(
        name in "[^\u{0}]{1,20}",
        before in "[ \t\r\n]{0,3}",
        after in "[ \t\r\n]{0,3}",
    ) {
        let text = format!("{before}PaUsE {}{after};{after}", written(&name, '"'));
        prop_assert_eq!(parse(&text), if written(&name, '"').len() > ARGUMENT_BYTES_MAX {
            Err(Refusal::TooLong)
        } else {
            Ok(Order::Pause(Some(name)))
        });
    }

    #[test]
    fn any_value_can_be_set(
        value in "[^\u{0}]{0,60}",
        sign in prop::sample::select(vec!["=", " = ", " TO ", " to"]),
    ) {
        let text = format!("set key{sign}{}", written(&value, '\''));
        let expected = if written(&value, '\'').len() > VALUE_BYTES_MAX {
            Err(Refusal::TooLong)
        } else {
            Ok(Order::Set { key: "key".to_owned(), value })
        };
        prop_assert_eq!(parse(&text), expected);
    }
}

/// Replays what the fuzzer has found and what it starts from.
#[test]
fn the_fuzz_corpus_replays() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/console");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let _ = parse(&String::from_utf8_lossy(&bytes));
        count += 1;
    }
    assert!(count >= 5, "{folder} has no corpus");
}
