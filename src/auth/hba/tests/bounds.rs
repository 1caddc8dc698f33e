//! What is too much ends the reading, with the file and the line where it is.

use super::*;
use std::cell::Cell;

#[test]
fn files_are_bounded_in_depth_number_and_length() {
    let itself = load(&[("etc/hba", "include hba\n")]).map(|_| ()).unwrap_err();
    assert!(itself[0].contains("nest too deep: at most 10 levels"), "{itself:?}");
    let itself = load(&[("etc/hba", "local @l all md5\n"), ("etc/l", "@l\n")]).map(|_| ()).unwrap_err();
    assert!(itself[0].contains("nest too deep: at most 10 levels"), "{itself:?}");
    let wide = "include wide2\n".repeat(40); // 40 * 40 files without a bound on their number
    let files = [("etc/hba", &*wide), ("etc/wide2", &*wide.replace("wide2", "leaf")), ("etc/leaf", "")];
    let told = load(&files).map(|_| ()).unwrap_err();
    assert_eq!(told, ["could not parse hba config line (etc/wide2:15): too many files: at most 1000"]);
}

#[test]
fn nothing_is_read_behind_what_is_too_long() {
    let long = " ".repeat(limits::HBA_BYTES_MAX / 2);
    let why = "the files are too long: at most 16777216 bytes in all";
    for line in ["include long\n", "include_if_exists long\n", "local @long all md5\n"] {
        let reads = Cell::new(0);
        let text = line.repeat(50);
        let read = |name: &str| {
            reads.set(reads.get() + 1);
            match name {
                "d/hba" => Ok(text.clone().into_bytes()),
                "d/long" => Ok(long.clone().into_bytes()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        };
        let errors = Hba::load("d/hba", &IdentMaps::default(), &read).map(|_| ()).unwrap_err();
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(told, [format!("could not parse hba config line (d/hba:2): {why}")], "{line}");
        assert_eq!(reads.get(), 3, "{line}");
    }
    let too_long = |_: &str| Err(io::ErrorKind::FileTooLarge.into());
    let told = Hba::load("d/hba", &IdentMaps::default(), &too_long).map(|_| ()).unwrap_err();
    assert_eq!(told[0].to_string(), format!("could not parse hba config line (d/hba): {why}"));
}

#[test]
fn so_many_rules_and_lines_of_maps_and_no_more() {
    let rules = |count: usize| format!("include more\n{}", "local a b md5\n".repeat(count));
    let load = |count: usize| load(&[("etc/hba", &rules(count)), ("etc/more", "local x y trust\n")]);
    let (hba, _) = load(limits::HBA_RULES_MAX - 1).unwrap();
    assert_eq!(hba.rules().len(), limits::HBA_RULES_MAX);
    let told = load(limits::HBA_RULES_MAX + 9).map(|_| ()).unwrap_err();
    assert_eq!(told, ["could not parse hba config line (etc/hba:100001): too many rules: at most 100000"]);
    let maps = |count: usize| {
        let text = "m a b\n".repeat(count);
        IdentMaps::load("i", &|_| Ok(text.clone().into_bytes())).map(|_| ())
    };
    assert_eq!(maps(limits::IDENT_LINES_MAX), Ok(()));
    let told = maps(limits::IDENT_LINES_MAX + 9).unwrap_err();
    let why = "could not parse ident config line (i:100001): too many lines of maps: at most 100000";
    assert_eq!(told.iter().map(ToString::to_string).collect::<Vec<_>>(), [why]);
}

#[test]
fn a_rule_is_small() {
    assert!(size_of::<Rule>() <= 112, "{}", size_of::<Rule>());
}

#[test]
fn a_login_looks_at_few_of_many_rules() {
    let mut text = String::new();
    for number in 0..1_000 {
        text += &format!("host db{number} user{number} 10.0.0.0/8 md5\nhost db{number} all all md5\n");
        text += &format!("host db{number} app all md5\nhost \"a\",db{number} \"b\",user{number} all md5\n");
    }
    let hba = rules(&(text + "host sameuser all 10.0.0.0/8 trust\nhost all all all reject\n"));
    let visit =
        |database, user| Visit { origin: at("10.1.1.1"), database, user, replication: Replication::No };
    for (database, user, expected) in [
        ("db7", "user7", [28, 29, 31, 4_000, 4_001].as_slice()),
        ("x", "user999", &[3_999, 4_000, 4_001]),
        ("db9", "app", &[37, 38, 4_000, 4_001]),
        ("x", "x", &[4_000, 4_001]),
    ] {
        let candidates: Vec<_> = hba.index.candidates(&visit(database, user)).collect();
        assert_eq!(candidates, expected, "{database} {user}");
        let is_first = |number: &usize| hba.rules[*number].fits(&visit(database, user));
        let first = (0..hba.rules.len()).find(is_first).map(|number| &hba.rules[number]);
        assert_eq!(hba.rule_for(&visit(database, user)), first, "{database} {user}");
    }
}
