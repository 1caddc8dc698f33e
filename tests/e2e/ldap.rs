//! Logins by LDAP: a real slapd, one for each test that wants one, as an ordinary user, on ports of its own.
//! Source: PostgreSQL documentation, "LDAP Authentication"; PgBouncer, doc/config.md (`auth_ldap_options`).

use crate::auth::try_log_in;
use crate::common::certs::certs;
use crate::common::raw::Raw;
use crate::common::skip::skip;
use crate::common::{Pooler, PoolerSetup, account, free_port, postgres, programs, reaper, wait_until};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const SLAPD: &str = "/usr/sbin/slapd";
const BASE: &str = "dc=example,dc=net";

/// What users of PostgreSQL have as their passwords there, and a few who are only here.
const PEOPLE: &str = "
dn: dc=example,dc=net
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=searcher,dc=example,dc=net
objectClass: person
cn: searcher
sn: searcher
userPassword: searcher-secret

dn: ou=closed,dc=example,dc=net
objectClass: organizationalUnit
ou: closed

dn: ou=twins,dc=example,dc=net
objectClass: organizationalUnit
ou: twins

dn: ou=elsewhere,dc=example,dc=net
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://127.0.0.1:1/ou=elsewhere,dc=example,dc=net
";

/// A running slapd.
struct Slapd {
    port: u16,
    tls_port: u16,
    directory: PathBuf,
    child: Child,
}

impl Slapd {
    /// `None`: this machine has none.
    fn start() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !Path::new(SLAPD).exists() {
            return skip("no slapd: run make setup");
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = reaper::directory().join(format!("slapd-{number}"));
        for path in [directory.clone(), directory.join("data")] {
            std::fs::create_dir(&path).expect("the parent is ours");
            account::hand_over(&path, 0o755);
        }
        let conf = directory.join("slapd.conf");
        account::write(&conf, configuration(&directory), 0o600);
        account::write(&directory.join("people.ldif"), people(), 0o600);
        programs::run(
            account::command("/usr/sbin/slapadd")
                .arg("-f")
                .arg(&conf)
                .arg("-l")
                .arg(directory.join("people.ldif")),
        );
        let (port, tls_port) = (free_port(), free_port());
        let log = std::fs::File::create(directory.join("log")).expect("the directory is ours");
        let child = account::command(SLAPD)
            .args([
                "-d",
                "stats",
                "-h",
                &format!("ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"),
                "-f",
            ])
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("slapd can be run");
        reaper::guard(child.id(), "TERM");
        let started = Self { port, tls_port, directory, child };
        wait_until("slapd listens", || {
            [port, tls_port].iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        Some(started)
    }

    /// What it was asked, a line for each step.
    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.directory.join("log")).expect("it logs")).into_owned()
    }

    /// Options of a simple bind.
    fn direct(&self) -> String {
        format!("ldapserver=127.0.0.1 ldapport={} ldapprefix=\"uid=\" ldapsuffix=\",{BASE}\"", self.port)
    }

    /// Options of a search, and these more.
    fn search(&self, more: &str) -> String {
        format!("ldapserver=127.0.0.1 ldapport={} ldapbasedn=\"{BASE}\" {more}", self.port)
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        programs::run(Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]));
        self.child.wait().expect("is our child");
        reaper::release(self.child.id());
    }
}

fn configuration(directory: &Path) -> String {
    let schemas =
        ["core", "cosine", "inetorgperson"].map(|name| format!("include /etc/ldap/schema/{name}.schema\n"));
    format!(
        "{}pidfile {directory}/pid\n\
         TLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
         database ldif\ndirectory {directory}/data\nsuffix \"{BASE}\"\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to dn.subtree=\"ou=closed,{BASE}\" by dn.base=\"cn=searcher,{BASE}\" read by anonymous auth\n\
         access to * by * read\n",
        schemas.concat(),
        certs().server().display(),
        certs().server_key().display(),
        directory = directory.display(),
    )
}

fn people() -> String {
    let mut text = PEOPLE.to_owned();
    let mut add = |dn: &str, uid: &str, password: &str| {
        text += &format!(
            "\ndn: {dn},{BASE}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: {uid}\n\
             mail: {uid}@example.net\nuserPassword: {password}\n"
        );
    };
    for uid in ["plain", "scrammer", "md5er", "app", "admin"] {
        add(&format!("uid={uid}"), uid, &format!("{uid}-secret"));
    }
    add("uid=other,ou=closed", "other", "other-secret");
    add("uid=twin", "twin", "twin-secret");
    add("uid=twin,ou=twins", "twin", "twin-secret");
    add("uid=a\\2cb(c)*", "a,b(c)*", "odd-secret");
    text
}

/// A pooler whose clients a directory knows, by a rule with these options.
fn ruled(options: &str) -> PoolerSetup {
    PoolerSetup::new(postgres())
        .set("auth_type", "hba")
        .set("auth_hba_file", "rules.conf")
        .file("rules.conf", &format!("host all all 127.0.0.1/32 ldap {options}\n"))
}

/// Who `user` with `password` is on the server.
fn log_in(pooler: &Pooler, user: &str, password: &str) -> Result<String, String> {
    try_log_in(pooler, "127.0.0.1", user, password)
}

#[track_caller]
fn is_refused(pooler: &Pooler, user: &str, password: &str) {
    let refused = log_in(pooler, user, password).expect_err("must be refused");
    assert!(refused.contains("LDAP authentication failed"), "{user}: {refused}");
    assert!(!pooler.log().contains("-secret"), "a password is in the log");
}

#[test]
fn a_simple_bind_proves_who_a_client_is_and_its_password_serves_the_server() {
    let Some(slapd) = Slapd::start() else { return };
    // hashes in auth_file of passwords that nobody has shown: of no use to a server
    let verifier = format!("SCRAM-SHA-256$4096:{}==${key}=:{key}=", "A".repeat(22), key = "A".repeat(43));
    let listed = ruled(&slapd.direct()).user("scrammer", &verifier).user("md5er", &format!("md5{:032}", 0));
    let pooler = listed.start();
    // in clear text, by md5, by SCRAM: PostgreSQL has their passwords
    for user in ["plain", "md5er", "scrammer"] {
        assert_eq!(log_in(&pooler, user, &format!("{user}-secret")).as_deref(), Ok(user));
    }
    for (user, password) in [("plain", "wrong"), ("plain", "md5er-secret"), ("nobody-known", "x")] {
        is_refused(&pooler, user, password);
    }
    pooler.wait_for_log("LDAP login failed: the directory does not take the password");
    pooler.wait_for_log("login failed: db=app user=nobody-known");
}

#[test]
fn a_search_finds_the_entry_to_log_in_as() {
    let Some(slapd) = Slapd::start() else { return };
    let searcher = format!("ldapbinddn=\"cn=searcher,{BASE}\" ldapbindpasswd=searcher-secret");
    let both = "ldapsearchfilter=\"(|(uid=$username)(mail=$username))\"";
    let url = |rest: &str| format!("ldapurl=\"ldap://127.0.0.1:{}/{BASE}{rest}\"", slapd.port);
    for (options, user) in [
        (slapd.search(""), "plain"),
        (slapd.search(&searcher), "other"),
        (slapd.search("ldapsearchattribute=cn"), "plain"),
        (slapd.search("ldapsearchfilter=\"uid=$username\""), "plain"),
        (slapd.search(both), "plain"),
        (url("?uid?sub"), "plain"),
        (url("?cn?one"), "plain"),
        (url("??sub?(|(uid=$username)(mail=$username))"), "plain"),
    ] {
        let pooler = ruled(&options).start();
        assert_eq!(log_in(&pooler, user, &format!("{user}-secret")).as_deref(), Ok(user), "{options}");
        is_refused(&pooler, user, "wrong");
    }
    for (options, user, why) in [
        (slapd.search(""), "other", "no entry of the directory is for the user"),
        (slapd.search(""), "twin", "several entries of the directory are for the user"),
        (url("?uid"), "plain", "no entry of the directory is for the user"),
        (
            slapd.search(&searcher.replace("searcher-", "wrong-")),
            "plain",
            "login of ldapbinddn: LDAP result 49",
        ),
        (slapd.search("").replace("dc=net", "dc=nowhere"), "plain", "search: LDAP result 32"),
        (slapd.search("").replace(BASE, &format!("ou=elsewhere,{BASE}")), "plain", "search: LDAP result 10"),
        (slapd.search("ldapsearchfilter=\"(uid=$username\""), "plain", "LDAP is of no use: "),
    ] {
        let pooler = ruled(&options).start();
        let password = format!("{user}-secret");
        let refused = log_in(&pooler, user, &password).expect_err("must be refused");
        assert!(refused.contains("LDAP authentication failed"), "{options}: {refused}");
        pooler.wait_for_log(why);
    }
}

#[test]
fn no_name_is_more_than_a_name() {
    let Some(slapd) = Slapd::start() else { return };
    for options in [slapd.search(""), slapd.direct()] {
        let pooler = ruled(&options).database("app", "user=app password=app-secret").start();
        assert_eq!(log_in(&pooler, "a,b(c)*", "odd-secret").as_deref(), Ok("app"), "{options}");
        for user in ["*", "pl*", "plain)(cn=*", "x)(|(uid=plain)", "plain,ou=x", "\\70lain", "plain+cn=plain"]
        {
            is_refused(&pooler, user, "plain-secret");
        }
    }
    let upn = format!("ldapserver=127.0.0.1 ldapport={} ldapsuffix=\"@example.net\"", slapd.port);
    let pooler = ruled(&upn).start();
    is_refused(&pooler, &format!("uid=plain,{BASE}"), "plain-secret");
    pooler.wait_for_log("the user's name cannot stand between ldapprefix and ldapsuffix");
}

#[test]
fn an_empty_password_is_never_sent() {
    let Some(slapd) = Slapd::start() else { return };
    let pooler = ruled(&slapd.direct()).start();
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "plain"), ("database", "app")]);
    assert_eq!(raw.read().expect("an answer").body, [0, 0, 0, 3]);
    raw.send(b"p\0\0\0\x05\0");
    assert_eq!(raw.last_words(), "FATAL 08P01: empty password returned by client");
    is_refused(&pooler, "plain", "wrong");
    let log = slapd.log();
    assert_eq!(log.matches(" BIND dn=").count() - log.matches(" mech=").count(), 1, "{log}");
}

#[test]
fn connections_are_encrypted_and_certificates_verified() {
    let Some(slapd) = Slapd::start() else { return };
    let rest = |host: &str, port: u16| format!("ldapserver={host} ldapport={port} ldapbasedn=\"{BASE}\"");
    let start_tls = |host| format!("{} ldaptls=1", rest(host, slapd.port));
    let tls = |host| format!("{} ldapscheme=ldaps", rest(host, slapd.tls_port));
    let url = format!("ldapurl=\"ldaps://localhost:{}/{BASE}?uid?sub\"", slapd.tls_port);
    let (ours, others) = (certs().ca(), certs().other_ca());
    let trusting = |options: &str, authorities: &Path| {
        ruled(options)
            .environment("LDAPTLS_CACERT", authorities.display())
            .environment("LDAPCONF", "/dev/null")
    };
    for options in [start_tls("localhost"), tls("localhost"), url] {
        let pooler = trusting(&options, &ours).start();
        assert_eq!(log_in(&pooler, "plain", "plain-secret").as_deref(), Ok("plain"), "{options}");
        let pooler = trusting(&options, &others).start();
        is_refused(&pooler, "plain", "plain-secret");
        pooler.wait_for_log("invalid peer certificate: UnknownIssuer");
        let pooler = trusting(&options, &others).environment("LDAPTLS_REQCERT", "never").start();
        assert_eq!(log_in(&pooler, "plain", "plain-secret").as_deref(), Ok("plain"), "{options}");
        assert!(pooler.log().contains("WARNING certificates of LDAP servers are not verified (TLS_REQCERT)"));
    }
    assert!(slapd.log().contains(" STARTTLS"), "{}", slapd.log());
    for options in [start_tls("127.0.0.1"), tls("127.0.0.1")] {
        let pooler = trusting(&options, &ours).start();
        is_refused(&pooler, "plain", "plain-secret");
        pooler.wait_for_log("invalid peer certificate");
    }
    let crossed = [
        rest("localhost", slapd.port) + " ldapscheme=ldaps",
        rest("localhost", slapd.tls_port) + " ldaptls=1",
        tls("localhost") + " ldaptls=1",
    ];
    let before = slapd.log().matches("plain").count();
    for options in crossed {
        is_refused(&trusting(&options, &ours).start(), "plain", "plain-secret");
    }
    assert_eq!(slapd.log().matches("plain").count(), before, "nothing was said in clear text instead");
    let ignored = trusting(&tls("localhost"), &ours).environment("LDAPTLS_CRLCHECK", "all").check(&[]);
    assert!(programs::said(&ignored).contains("TLS_CRLCHECK of ldap.conf has no effect"), "{ignored:?}");
    let missing = trusting(&tls("localhost"), Path::new("/no/such.pem")).check(&[]);
    let said = programs::said(&missing);
    assert!(!missing.status.success() && said.contains("TLS_CACERT: /no/such.pem"), "{said}");
}

#[test]
fn auth_type_ldap_goes_by_its_options() {
    let Some(slapd) = Slapd::start() else { return };
    let url = format!("ldapurl=\"ldap://127.0.0.1:{}/{BASE}?uid?sub\"", slapd.port);
    let mut pooler = PoolerSetup::new(postgres())
        .set("auth_type", "ldap")
        .set("auth_ldap_options", &url)
        .database("held", "dbname=app auth_user=app")
        .start();
    assert_eq!(log_in(&pooler, "plain", "plain-secret").as_deref(), Ok("plain"));
    is_refused(&pooler, "plain", "wrong");
    let mut psql = pooler.psql();
    psql.args(["-U", "admin", "-d", "pgbouncer", "-c", "show version"]).env("PGPASSWORD", "admin-secret");
    assert!(programs::run(&mut psql).contains("PgBouncer"));
    let mut psql = pooler.psql();
    psql.args(["-U", "plain", "-d", "held", "-c", "select 1"]).env("PGPASSWORD", "plain-secret");
    let output = psql.output().expect("psql is installed");
    assert!(programs::said(&output).contains("bouncer config error"), "{output:?}");
    pooler.wait_for_log("auth_user of a database cannot be used with this auth_type");

    pooler.rewrite(|setup| setup.set("auth_ldap_options", "ldapserver=x"));
    pooler.signal("HUP");
    pooler.wait_for_log("auth_ldap_options: LDAP needs ldapprefix or ldapsuffix, or ldapbasedn");
    assert_eq!(log_in(&pooler, "plain", "plain-secret").as_deref(), Ok("plain"), "what is in force stays");
    pooler.rewrite(|setup| setup.set("auth_ldap_options", slapd.direct()));
    pooler.signal("HUP");
    wait_until("the new options are in force, by which a twin is one of a kind", || {
        log_in(&pooler, "twin", "twin-secret").is_err_and(|why| !why.contains("LDAP"))
    });
    let unset = PoolerSetup::new(postgres()).set("auth_type", "ldap").check(&[]);
    let said = programs::said(&unset);
    assert!(!unset.status.success() && said.contains("auth_type=ldap requires auth_ldap_options"), "{said}");
}

#[test]
fn the_next_server_is_asked_where_one_cannot_be_reached() {
    let Some(slapd) = Slapd::start() else { return };
    let options =
        slapd.direct().replace("ldapserver=127.0.0.1", "ldapserver=\"127.0.0.2 no.such.invalid 127.0.0.1\"");
    let pooler = ruled(&options).start();
    assert_eq!(log_in(&pooler, "plain", "plain-secret").as_deref(), Ok("plain"));
    is_refused(&pooler, "plain", "wrong");
    drop(slapd);
    is_refused(&pooler, "plain", "plain-secret");
    pooler.wait_for_log("LDAP is of no use: no server can be asked: 127.0.0.1:");
}

/// A directory that says this to whoever comes, and no more.
fn saying(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let mut asked = [0; 4_096];
            let _ = stream.read(&mut asked);
            while stream.write_all(words).is_ok() && words.len() > 1_000 {}
        }
    });
    port
}

#[test]
fn a_directory_that_is_hostile_lets_nobody_in_and_does_no_harm() {
    static ENDLESS: [u8; 4_096] = [0x30; 4_096];
    for (words, why) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "the answer is malformed"),
        (b"", "LDAP is of no use: "),
        (b"\x30\x84\xff\xff\xff\xff", "the answer is too long"),
        (b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00", "the server has said that it ends"),
        (b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x50\x04\x00\x04\x00", "login: LDAP result 80"),
        (b"\x30\x05\x02\x01\x01\x61\x00", "the answer is malformed"),
        (&ENDLESS, "the answer is malformed"),
    ] {
        let port = saying(words);
        let pooler = ruled(&format!("ldapserver=127.0.0.1 ldapport={port} ldapprefix=uid=")).start();
        is_refused(&pooler, "plain", "plain-secret");
        pooler.wait_for_log(why);
        assert!(!pooler.log().contains("has panicked"), "{}", pooler.log());
    }
    // a grant to somebody else's question is none, nor one to another kind of question
    for words in [
        &b"\x30\x0c\x02\x01\x07\x61\x07\x0a\x01\x00\x04\x00\x04\x00"[..],
        b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x30\x09\x02\x01\x01\x64\x04\x04\x00\x30\x00",
    ] {
        let port = saying(words);
        let pooler = ruled(&format!("ldapserver=127.0.0.1 ldapport={port} ldapprefix=uid=")).start();
        is_refused(&pooler, "plain", "plain-secret");
        pooler.wait_for_log("LDAP is of no use: the answer is malformed");
        assert!(!pooler.log().contains("has panicked"), "{}", pooler.log());
    }
}
