//! Rules and maps by example, and rules at random against a model that knows no text.

mod bounds;
mod doubts;
mod places;

use super::*;
use crate::auth::{Method, Question};
use crate::base::limits;
use crate::wire::startup::Replication;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Files by name.
fn reader(files: &[(&str, &str)]) -> impl Fn(&str) -> io::Result<Vec<u8>> + use<> {
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    move |name| files.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn load(files: &[(&str, &str)]) -> Result<(Hba, Vec<String>), Vec<String>> {
    let read = reader(files);
    let told = |errors: Vec<FileError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    let has_maps = files.iter().any(|(name, _)| *name == "ident");
    let (maps, mut doubts) =
        if has_maps { IdentMaps::load("ident", &read).map_err(told)? } else { Default::default() };
    let (hba, more) = Hba::load("etc/hba", &maps, &read).map_err(told)?;
    doubts.extend(more);
    Ok((hba, doubts.iter().map(ToString::to_string).collect()))
}

fn rules(text: &str) -> Hba {
    load(&[("etc/hba", text)]).unwrap().0
}

/// What a wrong file is refused with.
fn refused(text: &str) -> Vec<String> {
    load(&[("etc/hba", text)]).map(|_| ()).unwrap_err()
}

fn at(from: &str) -> Origin {
    match from.split_once('+') {
        _ if from == "unix" => Origin::Local,
        Some((ip, _)) => Origin::Tcp { ip: ip.parse().unwrap(), is_tls: true },
        None => Origin::Tcp { ip: from.parse().unwrap(), is_tls: false },
    }
}

/// The line of the rule that decides about `user` at `from` (`+tls` behind it where it is so).
fn line(hba: &Hba, from: &str, database: &str, user: &str) -> Option<u32> {
    let visit = Visit { origin: at(from), database, user, replication: Replication::No };
    hba.rule_for(&visit).map(|rule| rule.place.line)
}

#[test]
fn the_first_rule_that_fits_decides() {
    let hba = rules(
        "# comment\n\
         local all postgres peer\n\
         \t local\tdb1 , db2 all md5 # more\n\
         hostssl all all 10.0.0.0/8 cert\n\
         hostnossl all all 11.0.0.0/8 scram-sha-256\r\n\
         host all \"all\" 127.0.0.0 255.255.255.0 reject\n\
         host sameuser all 127.0.0.1/32 trust\n\
         host \"q1\"\"q2\" \"a , b\" 127.0.0.1/32 password\n\
         host all all ff11::/16 md5\n\
         host db2 all all md5\n",
    );
    for (from, database, user, expected) in [
        ("unix", "x", "postgres", Some(2)),
        ("unix", "db2", "u", Some(3)),
        ("unix", "db3", "u", None),
        ("10.1.2.3+tls", "x", "u", Some(4)),
        ("10.1.2.3", "x", "u", None),
        ("11.1.2.3", "x", "u", Some(5)),
        ("11.1.2.3+tls", "x", "u", None),
        ("127.0.0.200", "x", "all", Some(6)),
        ("127.0.1.1", "x", "all", None),
        ("127.0.0.1", "u", "u", Some(7)),
        ("127.0.0.1+tls", "u", "u", Some(7)),
        ("127.0.0.1", "v", "u", None),
        ("127.0.0.1", "q1\"q2", "a , b", Some(8)),
        ("ff11:2::1", "x", "u", Some(9)),
        ("::ffff:11.1.2.3", "x", "u", None),
        ("face::1", "db2", "u", Some(10)),
        ("1.2.3.4", "db2", "u", Some(10)),
    ] {
        assert_eq!(line(&hba, from, database, user), expected, "{from} {database} {user}");
    }
    let methods: Vec<_> = hba.rules().iter().map(|rule| rule.method).collect();
    use Method::{Asked, Cert, Peer, Reject, Trust};
    let [plain, md5, scram] = [Question::Plain, Question::Md5, Question::ScramSha256].map(Asked);
    assert_eq!(methods, [Peer, md5, Cert, scram, Reject, Trust, plain, md5, md5]);
}

#[test]
fn every_length_of_a_mask_has_its_edge() {
    for bits in 0..=32_u32 {
        let hba = rules(&format!("host all all 0.0.0.0/{bits} trust\n"));
        let last = u32::MAX.checked_shr(bits).unwrap_or(0);
        assert_eq!(line(&hba, &std::net::Ipv4Addr::from_bits(last).to_string(), "d", "u"), Some(1), "{bits}");
        let Some(behind) = last.checked_add(1) else { continue };
        assert_eq!(line(&hba, &std::net::Ipv4Addr::from_bits(behind).to_string(), "d", "u"), None, "{bits}");
    }
    for bits in 0..=128_u32 {
        let hba = rules(&format!("host all all ::/{bits} trust\n"));
        let last = u128::MAX.checked_shr(bits).unwrap_or(0);
        assert_eq!(line(&hba, &std::net::Ipv6Addr::from_bits(last).to_string(), "d", "u"), Some(1), "{bits}");
        let Some(behind) = last.checked_add(1) else { continue };
        assert_eq!(line(&hba, &std::net::Ipv6Addr::from_bits(behind).to_string(), "d", "u"), None, "{bits}");
    }
}

#[test]
fn all_does_not_mean_physical_replication_and_a_database_does_not_either() {
    let hba = rules(
        "host all all ::1/128 md5\nhost replication rep ::1/128 trust\n\
         host \"replication\" rep all trust\nhost db,replication rep2 all trust\n",
    );
    let fits = |user, replication| {
        let visit = Visit { origin: at("::1"), database: "db", user, replication };
        hba.rule_for(&visit).map(|rule| rule.place.line)
    };
    assert_eq!(fits("rep", Replication::Physical), Some(2));
    assert_eq!(fits("rep2", Replication::Physical), Some(4));
    assert_eq!(fits("other", Replication::Physical), None);
    assert_eq!(fits("rep", Replication::Logical), Some(1), "logical replication is in a database");
    assert_eq!(line(&hba, "1.1.1.1", "replication", "rep"), Some(3), "a quoted keyword is a name");
    assert_eq!(line(&hba, "1.1.1.1", "replication", "rep2"), None);
}

#[test]
fn names_come_from_files_and_lines_from_includes() {
    let files = [
        (
            "etc/hba",
            "host @dbs @lists/users all md5\ninclude more\n%include \"more\"\ninclude_if_exists no\n",
        ),
        ("etc/dbs", "\n# the databases\ndb1, db2 # and\n\"db 3\"\n"),
        ("etc/lists/users", "alice\n@others\n"),
        ("etc/lists/others", "bob,carol"),
        ("etc/more", "local all all peer\n"),
    ];
    let (hba, doubts) = load(&files).unwrap();
    assert_eq!(doubts, [""; 0]);
    for (database, user, fits) in
        [("db1", "alice", true), ("db 3", "carol", true), ("db2", "bob", true), ("db2", "dave", false)]
    {
        assert_eq!(line(&hba, "1.1.1.1", database, user).is_some(), fits, "{database} {user}");
    }
    let places: Vec<_> = hba.rules().iter().map(|rule| rule.place.to_string()).collect();
    assert_eq!(places, ["etc/hba:1", "etc/more:1", "etc/more:1"]);
}

/// Files that somebody may name in place of an hba or ident file, with what is secret in them.
const NO_RULES: [(&str, &[&str]); 5] = [
    (
        "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0w\nbawIBAQQg8Zk==\n\
         -----END PRIVATE KEY-----\n",
        &["MIGHAgEAMBMG", "bawIBAQQg8Zk"],
    ),
    ("localhost:5432:db:bob:pgpass-secret\n", &["pgpass-secret"]),
    ("correcthorsebatterystaple\n", &["correcthorse"]),
    ("password=ini-secret other words\n", &["ini-secret"]),
    ("\"bob\" \"hunter2secret\" \"\"\nlocal all all hunter2Secret=x\n", &["hunter2secret", "hunter2Secret"]),
];

#[test]
fn a_file_named_by_mistake_is_not_shown() {
    for (text, secrets) in NO_RULES {
        let of_rules = refused(text);
        let files = [("ident", text), ("etc/hba", "local all all peer")];
        let of_maps = load(&files).map(|(_, doubts)| doubts).unwrap_or_else(|errors| errors);
        let told = [of_rules, of_maps].concat().join("\n");
        assert!(secrets.iter().all(|secret| !told.contains(secret)), "{told}");
    }
}

#[test]
fn what_is_wrong_is_told_with_file_and_line_and_all_of_it() {
    for (text, why) in [
        ("hostgss all all all md5", "unknown type"),
        ("\"local\" all all md5", "unknown type"),
        ("local", "a name is missing"),
        ("local all, all md5", "did not find method"),
        ("local a,,b all md5", "a name is missing"),
        ("host all all", "did not find address"),
        ("host all all \"all\" md5", "did not find address"),
        ("host all all 10.0.0.300 md5", "failed to parse address: 10.0.0.300"),
        ("host all all db.example.com/24 md5", "failed to parse address: db.example.com"),
        ("host all all samenet", "did not find method"),
        ("host all all 10.0.0.0/33 md5", "invalid mask: 33"),
        ("host all all 10.0.0.0/ md5", "invalid mask: "),
        ("host all all ::/129 md5", "invalid mask: 129"),
        ("host all all 10.0.0.0 md5", "invalid mask: md5"),
        ("host all all 10.0.0.0", "did not find mask"),
        ("host all all 10.0.0.0 ffff:: md5", "invalid mask: ffff::"),
        ("local all all", "did not find method"),
        ("local all all plain", "unsupported method: plain"),
        ("local all +admins", "did not find method"),
        ("local all +admins mad5", "unsupported method: mad5"),
        ("local all all md5 \"x\"", "unsupported parameters"),
        ("local all all md5 ,", "unsupported parameters"),
        ("local all \"all md5", "quote is not closed"),
        ("local @none all md5", "could not read etc/none: entity not found"),
        ("include none", "could not read etc/none: entity not found"),
    ] {
        let told = refused(&format!("# first\n{text}\nlocal all all trust\n"));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with(&format!("could not parse hba config line (etc/hba:2): {why}")),
            "{told:?}"
        );
    }
    let told = refused("x\nlocal all all trust\ny\n");
    assert_eq!(told.len(), 2);
    assert!(told[1].contains("(etc/hba:3)"), "{told:?}");
    let told = load(&[("etc/hba", "local @l all md5\n"), ("etc/l", "a\nb c\n")]).map(|_| ()).unwrap_err();
    let why = "names of one line must have commas between them";
    assert_eq!(told, [format!("could not parse hba config line (etc/hba:1): etc/l:2: {why}")]);
    let missing = load(&[]).map(|_| ()).unwrap_err();
    assert_eq!(missing, ["could not open hba config file etc/hba: entity not found"]);
    let many = refused(&"x\n".repeat(1_000));
    assert_eq!(many.len(), limits::CONFIG_ERRORS_MAX + 1);
    assert!(many.last().unwrap().ends_with("more errors follow, these are the first"), "{:?}", many.last());
}

#[test]
fn what_only_postgresql_goes_by_is_left_out_and_told() {
    for (rule, why) in [
        ("local samerole all METHOD", "samerole: groups of roles are not supported"),
        ("local all a,+admins METHOD", "+admins: groups of roles are not supported"),
        ("local @groups all METHOD", "+in_a_file: groups of roles are not supported"),
        ("host all all samenet METHOD", "samenet: host names, samehost and samenet are not supported"),
        (
            "host all all .example.com METHOD",
            ".example.com: host names, samehost and samenet are not supported",
        ),
        ("hostnogssenc all all all METHOD", "hostnogssenc: there is no encryption by GSSAPI"),
        ("local all all METHOD clientcert=verify-full", "unsupported option: clientcert"),
        ("local all all METHOD map=m", "ident map m is not found in ident config file"),
    ] {
        let file = |method| format!("# first\n{}\nlocal all all trust\n", rule.replace("METHOD", method));
        let files = |text: String| load(&[("etc/hba", &text), ("etc/groups", "+in_a_file\n")]);
        let (hba, told) = files(file("cert")).unwrap();
        assert_eq!(told, [format!("hba config line (etc/hba:2) is left out: {why}")]);
        assert_eq!(hba.rules().len(), 1, "{rule}");
        let refused = files(file("reject")).unwrap_err();
        let end = "; a reject that is left out would let in whom it keeps out";
        assert_eq!(refused, [format!("could not parse hba config line (etc/hba:2): {why}{end}")]);
    }
    for method in ["gss include_realm=0", "sspi", "ident map=m", "pam pamservice=x", "radius \"x", "bsd"] {
        let (hba, told) = load(&[("etc/hba", &format!("host all all all {method}\n"))]).unwrap();
        assert!(
            told[0].starts_with("hba config line (etc/hba:1) is left out: unsupported method: "),
            "{told:?}"
        );
        assert_eq!(hba.rules(), []);
    }
    let (hba, told) = load(&[("etc/hba", "hostgssenc all all all reject\n")]).unwrap();
    assert_eq!((hba.rules().len(), told.len()), (0, 1), "nobody comes that way");
}

#[test]
fn of_many_lines_that_are_left_out_the_first_are_told() {
    let (_, told) = load(&[("etc/hba", &"local all +x md5\n".repeat(1_000))]).unwrap();
    assert_eq!(told.len(), limits::CONFIG_ERRORS_MAX + 1);
    assert!(told.last().unwrap().ends_with("these are the first"), "{:?}", told.last());
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_mean_something() {
    let load = |bytes: &[u8]| Hba::load("h", &IdentMaps::default(), &|_| Ok(bytes.to_vec())).map(|_| ());
    assert!(load(b"local all all trust # caf\xe9 \0\n").is_ok(), "a comment is nobody's");
    for (bytes, why) in [
        (&b"local all \xff trust"[..], "text must be UTF-8"),
        (b"local all \"\xff\" trust", "text must be UTF-8"),
        (b"local all a\0b trust", "zero bytes are not allowed"),
    ] {
        assert!(load(bytes).unwrap_err()[0].to_string().ends_with(why), "{why}");
    }
}

#[test]
fn maps_say_for_whom_a_name_is_good() {
    let ident = "# MAP SYSTEM USER\nm alice bob\nm \"Al B\" all\nn carol \"all\"\n";
    let (maps, doubts) = IdentMaps::load("i", &|_| Ok(ident.as_bytes().to_vec())).unwrap();
    assert_eq!(doubts.len(), 1, "of the quoted keyword: {doubts:?}");
    let lets = |map: &str, holder: &str, user: &str| {
        maps.named(map).unwrap().name_for(user, |name| name == holder).is_some()
    };
    for (map, holder, user, expected) in [
        ("m", "alice", "bob", true),
        ("m", "alice", "alice", false),
        ("m", "Al B", "whoever", true),
        ("m", "carol", "all", false),
        ("n", "carol", "all", true),
        ("n", "carol", "bob", false),
    ] {
        assert_eq!(lets(map, holder, user), expected, "{map} {holder} {user}");
    }
    assert!(maps.named("o").is_none());
    let wrong = |text: &str| {
        let errors = IdentMaps::load("i", &|_| Ok(text.as_bytes().to_vec())).map(|_| ()).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let begin = "could not parse ident config line (i:1): ";
    assert_eq!(wrong("m a\n"), format!("{begin}a name is missing"));
    assert_eq!(wrong("\"m\" a b\n"), format!("{begin}a name is missing"));
    assert_eq!(wrong("m a b c\n"), format!("{begin}unsupported parameters"));
    assert_eq!(wrong("m , b\n"), format!("{begin}a name is missing"));
}

#[test]
fn what_may_not_be_meant_so_is_told_and_read_as_pgbouncer_reads_it() {
    let files = [
        (
            "etc/hba",
            "host all all 192.168.1.1/0 trust\nhost all all fe80::1/64 trust\nlocal all all md5 map=m\n\
             host all all 10.0.0.1/8 ldap ldapserver=x ldapprefix=x\n",
        ),
        ("ident", "m /^(.*)$ +group\n"),
    ];
    let (hba, doubts) = load(&files).unwrap();
    assert_eq!(
        doubts,
        [
            "/^(.*)$ in ident:1 is taken as a name, not as a regular expression or a group",
            "+group in ident:1 is taken as a name, not as a regular expression or a group",
            "address does not match mask in etc/hba:1: 192.168.1.1 / 0.0.0.0: the rule never fits",
            "address does not match mask in etc/hba:2: fe80::1 / ffff:ffff:ffff:ffff::: the rule never fits",
            "map=m in etc/hba:3 has no effect with this method",
            "address does not match mask in etc/hba:4: 10.0.0.1 / 255.0.0.0: the rule never fits",
        ]
    );
    for from in ["192.168.1.1", "0.0.0.0", "fe80::1"] {
        assert_eq!(line(&hba, from, "d", "u"), None, "{from}");
    }
}

/// A rule without text.
#[derive(Clone, Debug)]
struct Model {
    kind: u8,
    /// `None`: `all`.
    databases: Option<Vec<String>>,
    users: Option<Vec<String>>,
    network: u32,
    bits: u32,
    has_mask: bool,
    method: u8,
}

const KINDS: [&str; 4] = ["local", "host", "hostssl", "hostnossl"];
const METHODS: [&str; 5] = ["trust", "reject", "md5", "password", "scram-sha-256"];

fn mask(bits: u32) -> u32 {
    (!0_u64 << (32 - bits)) as u32
}

impl Model {
    fn fits(&self, origin: Origin, database: &str, user: &str) -> bool {
        let comes = match origin {
            Origin::Local => self.kind == 0,
            Origin::Tcp { ip: std::net::IpAddr::V4(ip), is_tls } => {
                let by_tls = self.kind == 1 || self.kind == if is_tls { 2 } else { 3 };
                by_tls && (0..self.bits).all(|bit| (ip.to_bits() ^ self.network) >> (31 - bit) & 1 == 0)
            }
            Origin::Tcp { .. } => false,
        };
        let has = |names: &Option<Vec<String>>, name: &str| {
            names.as_ref().is_none_or(|names| names.iter().any(|own| own == name))
        };
        comes && has(&self.databases, database) && has(&self.users, user)
    }

    fn text(&self, gap: &str) -> String {
        let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        let list = |names: &Option<Vec<String>>| match names {
            None => "all".to_owned(),
            Some(names) => names.iter().map(quoted).collect::<Vec<_>>().join(&format!("{gap},{gap}")),
        };
        let address = std::net::Ipv4Addr::from_bits(self.network & mask(self.bits));
        let address = match (self.kind, self.has_mask) {
            (0, _) => String::new(),
            (_, true) => format!("{address}{gap}{}", std::net::Ipv4Addr::from_bits(mask(self.bits))),
            (_, false) => format!("{address}/{}", self.bits),
        };
        let (kind, method) = (KINDS[usize::from(self.kind)], METHODS[usize::from(self.method)]);
        let (databases, users) = (list(&self.databases), list(&self.users));
        format!("{kind}{gap}{databases}{gap}{users}{gap}{address}{gap}{method}")
    }
}

fn names() -> impl Strategy<Value = Option<Vec<String>>> {
    proptest::option::of(proptest::collection::vec("[ab,# \"@+]{1,2}", 1..4))
}

fn models() -> impl Strategy<Value = Vec<Model>> {
    let model = (0..4_u8, names(), names(), 0..4_u32, 0..=32_u32, any::<bool>(), 0..5_u8).prop_map(
        |(kind, databases, users, network, bits, has_mask, method)| {
            let network = network << 30 | network;
            Model { kind, databases, users, network, bits, has_mask, method }
        },
    );
    proptest::collection::vec(model, 0..6)
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(hba in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Hba::load("h", &IdentMaps::default(), &|_| Ok(hba.clone()));
        let _ = IdentMaps::load("h", &|_| Ok(hba.clone()));
    }

    #[test]
    fn a_file_decides_as_its_rules_do(
        rules in models(),
        gap in "[ \t]{1,2}",
        visits in proptest::collection::vec(
            ((0..4_u32, 0..3_u8), "[ab,# \"@+]{1,2}", "[ab,# \"@+]{1,2}"), 1..20),
    ) {
        let lines: Vec<_> = rules.iter().map(|rule| rule.text(&gap)).collect();
        let hba = self::rules(&(lines.join(" # ends\n\n") + "\n"));
        for ((network, way), database, user) in &visits {
            let ip = std::net::Ipv4Addr::from_bits(network << 30 | network).into();
            let origin = if *way == 0 { Origin::Local } else { Origin::Tcp { ip, is_tls: *way == 1 } };
            let visit = Visit { origin, database, user, replication: Replication::No };
            let expected = rules.iter().find(|rule| rule.fits(origin, database, user));
            let expected = expected.map(|rule| Method::of_rule(METHODS[usize::from(rule.method)]).unwrap());
            prop_assert_eq!(hba.rule_for(&visit).map(|rule| rule.method), expected, "{:?}", visit);
        }
    }
}
