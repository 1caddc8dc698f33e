//! Every error names the file and the line where the fault is, however the reader has come there.

use super::*;

/// Lines that are wrong, and why.
const WRONG: [(&[u8], &str); 27] = [
    (b"hostgss all all all md5", "unknown type"),
    (b"local", "a name is missing"),
    (b"local a,,b all md5", "a name is missing"),
    (b"host all all", "did not find address"),
    (b"host all all 10.0.0.300 md5", "failed to parse address: 10.0.0.300"),
    (b"host all all 10.0.0.0/33 md5", "invalid mask: 33"),
    (b"host all all 10.0.0.0", "did not find mask"),
    (b"local all all", "did not find method"),
    (b"local all all plain", "unsupported method: plain"),
    (b"local all all ldap", "LDAP needs ldapserver, or an ldapurl with a host"),
    (b"local all all ldap \"x", "quote is not closed"),
    (b"local all +x reject", "+x: groups of roles are not supported; a reject"),
    (b"local all all reject map=m", "ident map m is not found in ident config file; a reject"),
    (b"local all all md5 \"x\"", "unsupported parameters"),
    (b"local all \"all md5", "quote is not closed"),
    (b"local all \xff md5", "text must be UTF-8"),
    (b"local all a\0b md5", "zero bytes are not allowed"),
    (b"local @none all md5", "could not read d/none: entity not found"),
    (b"local @list all md5", "d/list:2: names of one line must have commas between them"),
    (b"local @itself all md5", "d/itself:1: d/itself:1: "),
    (b"include none", "could not read d/none: entity not found"),
    (b"include \"none", "quote is not closed"),
    (b"include", "unknown type"),
    (b"include_if_exists denied", "could not read d/denied: permission denied"),
    (b"include_dir conf.d", "include_dir is not supported"),
    (b"local @denied all md5", "could not read d/denied: permission denied"),
    (b"local all @list md5", "d/list:2: names of one line must have commas between them"),
];

/// What is told of `line` as the third one of the file `of` of that many which include one another in that
/// way.
fn told(line: &[u8], way: &str, of: usize) -> Vec<String> {
    let wrong = [b"# first\n\n".as_slice(), line, b"\nlocal all all trust\n"].concat();
    let read = |name: &str| match name {
        "d/list" => Ok(b"a\nb c\n".to_vec()),
        "d/itself" => Ok(b"@itself\n".to_vec()),
        "d/denied" => Err(io::ErrorKind::PermissionDenied.into()),
        _ => match name.strip_prefix("d/").and_then(|number| number.parse::<usize>().ok()) {
            Some(number) if number == of => Ok(wrong.clone()),
            Some(number) => Ok(format!("\n{way} {}\nlocal all all trust\n", number + 1).into_bytes()),
            None => Err(io::ErrorKind::NotFound.into()),
        },
    };
    let errors = Hba::load("d/0", &IdentMaps::default(), &read).map(|_| ()).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn of_rules() {
    for (line, why) in WRONG {
        for (way, of) in [("", 0), ("include", 1), ("%include", 2), ("include_if_exists", 9)] {
            let told = told(line, way, of);
            let expected = format!("could not parse hba config line (d/{of}:3): {why}");
            assert!(told.len() == 1 && told[0].starts_with(&expected), "{way} {told:?}, not {expected}");
        }
    }
}

#[test]
fn of_maps() {
    for (line, why) in [
        ("m a", "a name is missing"),
        ("\"m\" a b", "a name is missing"),
        ("m , b", "a name is missing"),
        ("m a b c", "unsupported parameters"),
        ("m \"a b", "quote is not closed"),
        ("m a\0 b", "zero bytes are not allowed"),
        ("include none", "could not read d/none: entity not found"),
        ("include_dir x", "include_dir is not supported"),
    ] {
        let files = [("d/0", "\ninclude 1\n"), ("d/1", &format!("#\n{line}\n"))];
        let errors = IdentMaps::load("d/0", &reader(&files)).map(|_| ()).unwrap_err();
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(told, [format!("could not parse ident config line (d/1:2): {why}")]);
    }
}

proptest! {
    /// Among good lines and includes at random, each wrong line is told, in the order in which they are read.
    #[test]
    fn of_files_at_random(
        files in proptest::collection::vec(proptest::collection::vec(0..4_u8, 0..6), 1..6),
    ) {
        let text = |number: usize| {
            let lines = files[number].iter().map(|kind| match kind {
                0 => "local all all trust\n".to_owned(),
                1 => "wrong\n".to_owned(),
                2 => "\n".to_owned(),
                _ if number + 1 < files.len() => format!("include {}\n", number + 1),
                _ => "include_if_exists none\n".to_owned(),
            });
            lines.collect::<String>()
        };
        let read = |name: &str| match name.parse() {
            Ok(number) => Ok(text(number).into_bytes()),
            Err(_) => Err(io::ErrorKind::NotFound.into()),
        };
        let mut expected = Vec::new();
        wrong_lines(&files, 0, &mut expected);
        expected.truncate(limits::CONFIG_ERRORS_MAX);
        let errors = Hba::load("0", &IdentMaps::default(), &read).map(|_| ()).err().unwrap_or_default();
        let places = errors.iter().filter_map(|error| match error {
            FileError::Line { place, wrong: Wrong::UnknownType, .. } => Some(place.to_string()),
            _ => None,
        });
        prop_assert_eq!(places.collect::<Vec<_>>(), expected);
    }
}

fn wrong_lines(files: &[Vec<u8>], number: usize, told: &mut Vec<String>) {
    for (kind, line) in files[number].iter().zip(1..) {
        match kind {
            1 => told.push(format!("{number}:{line}")),
            3 if number + 1 < files.len() => wrong_lines(files, number + 1, told),
            _ => {}
        }
    }
}
