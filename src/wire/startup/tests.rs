//! Startup packets: what is read, what is refused, and that no bytes at all make the reader panic.

use super::*;
use proptest::prelude::*;

const NOTHING: IgnoredNames<'static> = IgnoredNames(&[]);

fn names() -> TrackedNames {
    TrackedNames::new(["IntervalStyle"])
}

fn payload(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    write_startup(&mut out, pairs.iter().copied());
    out.split_off(STARTUP_HEADER_BYTES)
}

fn read(pairs: &[(&str, &str)]) -> Result<Startup, Fault> {
    Startup::read(0, &payload(pairs), &names(), NOTHING)
}

fn read_ignoring(pairs: &[(&str, &str)], ignored: &[&str]) -> Result<Startup, Fault> {
    let ignored: Vec<Arc<str>> = ignored.iter().map(|name| Arc::from(*name)).collect();
    Startup::read(0, &payload(pairs), &names(), IgnoredNames(&ignored))
}

fn header(length: u32, code: u32) -> Vec<u8> {
    [length.to_be_bytes(), code.to_be_bytes()].concat()
}

#[test]
fn the_four_kinds_are_told_apart() {
    let mut out = Vec::new();
    write_ssl_request(&mut out);
    assert_eq!(first_packet(&out), Ok(Some((FirstPacket::SslRequest, 8))));
    assert_eq!(first_packet(&header(8, CODE_GSS)), Ok(Some((FirstPacket::GssRequest, 8))));

    let mut out = Vec::new();
    write_cancel_request(&mut out, 7, b"abcd");
    assert_eq!(
        first_packet(&out),
        Ok(Some((FirstPacket::Cancel(CancelView { key: b"\0\0\0\x07abcd" }), 16)))
    );

    let mut out = Vec::new();
    write_startup(&mut out, [("user", "u")]);
    let bytes = out.len();
    out.extend_from_slice(b"more");
    let startup = FirstPacket::Startup { minor: 0, payload: b"user\0u\0\0" };
    assert_eq!(first_packet(&out), Ok(Some((startup, bytes))));
}

#[test]
fn every_prefix_of_a_packet_wants_more() {
    let mut out = Vec::new();
    write_startup(&mut out, [("user", "u")]);
    for cut in 0..out.len() {
        assert_eq!(first_packet(&out[..cut]), Ok(None), "cut at {cut}");
    }
}

#[test]
fn cancel_keys_may_be_long_but_not_endless() {
    for (secret_bytes, good) in [(3, false), (4, true), (256, true), (257, false)] {
        let mut out = Vec::new();
        write_cancel_request(&mut out, 1, &vec![1; secret_bytes]);
        assert_eq!(first_packet(&out).is_ok(), good, "{secret_bytes}");
    }
}

#[test]
fn headers_that_cannot_be() {
    assert_eq!(first_packet(&header(8, 2 << 16)), Err(Fault::OldProtocol));
    assert_eq!(first_packet(b"p\0\0\0\x08abcd"), Err(Fault::PasswordBeforeStartup));
    assert_eq!(first_packet(b"GET / HT"), Err(Fault::BadPacketHeader { hex: "474554202f204854".into() }));
    assert_eq!(first_packet(&[0, 1]), Err(Fault::BadPacketHeader { hex: "0001".into() }));
    assert_eq!(
        first_packet(&header(7, VERSION_3_0)),
        Err(Fault::BadPacketHeader { hex: "0000000700030000".into() })
    );
    for (length, code) in [(10_001, VERSION_3_0), (8, 4 << 16), (8, 1 << 16), (9, CODE_SSL), (8, 1234 << 16)]
    {
        let packet = header(length, code);
        let answer = first_packet(&packet);
        assert!(matches!(answer, Err(Fault::BadPacketHeader { .. })), "{length} {code:#x}: {answer:?}");
    }
    assert_eq!(first_packet(&header(10_000, VERSION_3_0)), Ok(None));
}

#[test]
fn user_and_database() {
    let startup = read(&[("user", "u"), ("database", "d")]).unwrap();
    assert_eq!((startup.user.as_str(), startup.database.as_str()), ("u", "d"));
    assert_eq!(read(&[("user", "u")]).unwrap().database, "u");
    assert_eq!(read(&[("database", "d")]), Err(Fault::NoUser));
    assert!(read(&[("user", "u"), ("database", &"d".repeat(63))]).is_ok());
    let too_long = "d".repeat(64);
    let no_such = Err(Fault::NoSuchDatabase { name: too_long.clone() });
    assert_eq!(read(&[("user", "u"), ("database", &too_long)]), no_such);
    assert_eq!(read(&[("user", &too_long)]), no_such, "the database of the user's name");
    assert_eq!(read(&[("user", "")]), Err(Fault::NoUser));
    assert!(read(&[("user", &"u".repeat(127)), ("database", "d")]).is_ok());
    assert_eq!(read(&[("user", &"u".repeat(128))]), Err(Fault::NameTooLong));
    assert_eq!(Startup::read(0, b"user\0\xff\0\0", &names(), NOTHING), Err(Fault::NotUtf8));
}

#[test]
fn the_terminator_must_be_the_last_byte() {
    for payload in [&b""[..], b"user\0u\0", b"user\0u", b"user\0u\0\0x", b"user\0u\0\0\0"] {
        let answer = Startup::read(0, payload, &names(), NOTHING);
        assert_eq!(answer, Err(Fault::StartupUnterminated), "{payload:?}");
    }
}

#[test]
fn tracked_parameters_match_in_any_case() {
    let startup = read(&[("user", "u"), ("datestyle", "ISO"), ("INTERVALSTYLE", "iso_8601")]).unwrap();
    assert_eq!(startup.tracked, [(0, "ISO".to_owned()), (5, "iso_8601".to_owned())]);
}

#[test]
fn a_parameter_given_twice_is_held_once() {
    let pairs = [("user", "u"), ("TimeZone", "UTC"), ("timezone", "GMT"), ("options", "-c TimeZone=CET")];
    assert_eq!(read(&pairs).unwrap().tracked, [(2, "CET".to_owned())]);
}

#[test]
fn other_parameters_are_refused_unless_ignored() {
    let pairs = [("user", "u"), ("extra_float_digits", "3")];
    assert_eq!(read(&pairs), Err(Fault::UnsupportedParameter { name: "extra_float_digits".into() }));
    assert!(read_ignoring(&pairs, &["extra_float_digits"]).is_ok());
}

#[test]
fn options_in_all_three_spellings() {
    let options = r"-c TimeZone=UTC -cdatestyle=ISO,\ MDY --application-name=a\\b";
    let startup = read(&[("user", "u"), ("options", options)]).unwrap();
    let expected = [(2, "UTC".to_owned()), (0, "ISO, MDY".to_owned()), (4, r"a\b".to_owned())];
    assert_eq!(startup.tracked, expected);
    assert_eq!(startup.options, None);
}

#[test]
fn options_that_are_refused() {
    for options in ["-d", "-c", "-c TimeZone", "--TimeZone", "plain"] {
        let answer = read(&[("user", "u"), ("options", options)]);
        assert_eq!(answer, Err(Fault::UnsupportedOptions), "{options}");
    }
    let pairs = [("user", "u"), ("options", "-c geqo=off -c TimeZone=UTC")];
    assert_eq!(read(&pairs), Err(Fault::UnsupportedParameterInOptions { name: "geqo".into() }));
    assert!(read_ignoring(&pairs, &["geqo"]).is_ok());
    let startup = read_ignoring(&pairs, &["options"]).unwrap();
    assert_eq!(startup.tracked, [(2, "UTC".to_owned())]);
}

/// Options that have made a reader go round in circles: each is answered, strictly or not.
#[test]
fn options_without_an_end_or_a_name_are_answered() {
    for (options, is_nothing) in [
        ("", true),
        (" \t ", true),
        ("-c", false),
        ("-c ", false),
        ("-c TimeZone=UTC -c", false),
        ("-c=", false),
        ("-c= -c=", false),
        (&"-c=".repeat(1_000), false),
        (&"-c ".repeat(1_000), false),
        ("-c =", false),
        ("--", false),
        ("--=", false),
        ("\\", false),
        ("-c\\", false),
        ("-c \\", false),
        ("-c TimeZone=\\", true),
    ] {
        let pairs = [("user", "u"), ("options", options)];
        assert_eq!(read(&pairs).is_ok(), is_nothing, "{options:?}");
        assert!(read_ignoring(&pairs, &["options"]).is_ok(), "{options:?}");
    }
}

/// Lengths that are more than any packet, alone or with what stands before them.
#[test]
fn lengths_beyond_every_bound_are_refused_by_the_header() {
    for length in [0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_ffff_u32] {
        for code in [VERSION_3_0, CODE_SSL, CODE_GSS, CODE_CANCEL] {
            let header = header(length, code);
            assert!(matches!(packet_bytes(&header), Err(Fault::BadPacketHeader { .. })), "{length:#x}");
        }
    }
}

#[test]
fn replication_keeps_options_unread() {
    for (value, expected) in [
        ("database", Replication::Logical),
        ("Database", Replication::No),
        ("true", Replication::Physical),
        ("1", Replication::Physical),
        ("ON", Replication::Physical),
        ("false", Replication::No),
        ("o", Replication::No),
        ("sure", Replication::No),
    ] {
        assert_eq!(read(&[("user", "u"), ("replication", value)]).unwrap().replication, expected, "{value}");
    }
    let startup = read(&[("options", "-c geqo=off"), ("user", "u"), ("replication", "yes")]).unwrap();
    assert_eq!(startup.options.as_deref(), Some("-c geqo=off"));
}

#[test]
fn newer_minors_and_protocol_options_are_negotiated() {
    assert_eq!(read(&[("user", "u")]).unwrap().take_negotiation(), None);
    let mut startup = Startup::read(2, &payload(&[("user", "u")]), &names(), NOTHING).unwrap();
    assert_eq!(startup.take_negotiation().unwrap(), b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0");
    let mut startup = read(&[("user", "u"), ("_pq_.compression", "lz4")]).unwrap();
    let said = startup.take_negotiation().unwrap();
    assert_eq!(said, b"v\0\0\0\x1d\0\x03\0\0\0\0\0\x01_pq_.compression\0");
    assert_eq!(startup.unknown_options.capacity(), 0, "nobody needs the names any more");
}

/// The words of `options`, character by character.
fn words_one_by_one(options: &str) -> Vec<String> {
    let (mut words, mut word, mut chars) = (Vec::new(), None::<String>, options.chars());
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn words_without_a_backslash_are_not_copied() {
    let words: Vec<_> = Words("-c a=b\tc\\ d ").collect();
    assert_eq!(words, ["-c", "a=b", "c d"]);
    assert!(matches!(words[..], [Cow::Borrowed(_), Cow::Borrowed(_), Cow::Owned(_)]));
}

proptest! {
    #[test]
    fn words_are_what_they_are_character_by_character(options in "[ \ta\\\\=é😀]{0,24}") {
        let words: Vec<_> = Words(&options).collect();
        prop_assert_eq!(words, words_one_by_one(&options));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(input in proptest::collection::vec(any::<u8>(), 0..96)) {
        let _ = first_packet(&input);
        let _ = Startup::read(0, &input, &names(), NOTHING);
    }

    #[test]
    fn any_options_are_read_without_a_panic(options in "[ a-c\\\\=\\-é]{0,24}") {
        let _ = read(&[("user", "u"), ("options", &options)]);
    }

    #[test]
    fn what_was_written_is_read(user in "[^\0]{1,30}", database in "[^\0]{1,15}", zone in "[^\0]{0,40}") {
        let startup = read(&[("user", &user), ("database", &database), ("TimeZone", &zone)]).unwrap();
        prop_assert_eq!(startup.user, user);
        prop_assert_eq!(startup.database, database);
        prop_assert_eq!(startup.tracked, vec![(2, zone)]);
    }
}
