//! What a client is told at the end of its login, and the session parameters that it begins with.
//!
//! Pure. Source: PgBouncer, src/proto.c (order of the messages), doc/config.md (`application_name_add_host`,
//! `login_notify_message`).

use crate::base::{Address, PGBOUNCER_VERSION, PGWEIR_VERSION};
use crate::config::{Choice, PoolMode};
use crate::control::{ClientKey, Welcome};
use crate::wire::encode::{self, Severity};
use crate::wire::startup::Startup;
use crate::wire::{ParamMask, ParamSet, TrackedNames, authentication, sqlstate, tags};
use std::sync::Arc;

/// The parameters of a client: those of the pool's server, with what its StartupMessage asks for in their
/// place, which are its own. What the server does not report (`search_path` before PostgreSQL 18) nobody
/// could set back for the next client: that is left out.
pub(super) fn own_params(
    names: &TrackedNames,
    servers: &ParamSet,
    startup: &Startup,
    add_host: Option<&Address>,
) -> (ParamSet, ParamMask) {
    let (mut params, mut asked) = (servers.clone(), ParamMask::default());
    for (position, value) in startup.tracked.iter().filter(|(at, _)| servers.value(*at).is_some()) {
        params = params.with(*position, value.as_str());
        asked = asked.with(*position);
    }
    if let Some((position, name)) = name_with_host(names, startup, add_host) {
        params = params.with(position, name);
        asked = asked.with(position);
    }
    (params, asked)
}

/// What a replication client asks of its server, as its StartupMessage has it: nothing is set for it later.
pub(super) fn replication_startup(
    names: &TrackedNames,
    startup: &Startup,
    add_host: Option<&Address>,
) -> Vec<(Arc<str>, Arc<str>)> {
    let named = name_with_host(names, startup, add_host);
    let own = startup.tracked.iter().filter(|(at, _)| named.as_ref().is_none_or(|(other, _)| at != other));
    let tracked = own.cloned().chain(named.clone());
    let mut pairs: Vec<(Arc<str>, Arc<str>)> =
        tracked.filter_map(|(at, value)| Some((names.iter().nth(at)?.into(), value.into()))).collect();
    pairs.extend(startup.options.as_deref().map(|options| ("options".into(), options.into())));
    pairs
}

/// `application_name` with where its client comes from, where that is to be told.
fn name_with_host(
    names: &TrackedNames,
    startup: &Startup,
    add_host: Option<&Address>,
) -> Option<(usize, String)> {
    let remote = add_host?;
    let position = names.position("application_name")?;
    let own = startup.tracked.iter().rfind(|(at, value)| *at == position && !value.is_empty());
    let name = own.map_or("app", |(_, value)| value);
    Some((position, format!("{name} - {}", host_text(remote))))
}

/// `ADDR:PORT`, `[v6]:PORT`, `unix(PID@host):PORT`.
pub(super) fn host_text(remote: &Address) -> String {
    match remote {
        Address::Tcp(address) => address.to_string(),
        Address::Unix { port, pid, .. } => {
            let system = rustix::system::uname();
            format!("unix({pid}@{}):{port}", system.nodename().to_string_lossy())
        }
    }
}

/// The last messages of a login.
pub(super) struct WelcomeWords<'a> {
    /// Tracked parameters.
    pub names: &'a TrackedNames,
    /// What the pool's first server reported.
    pub welcome: &'a Welcome,
    /// The client's own parameters.
    pub params: &'a ParamSet,
    /// Of its pool.
    pub mode: PoolMode,
    /// `max_prepared_statements`.
    pub statements_max: u32,
    /// Its cancel key.
    pub key: ClientKey,
    /// `login_notify_message`, empty = none.
    pub notice: &'a str,
}

impl WelcomeWords<'_> {
    /// AuthenticationOk, parameters that are not tracked as the server reported them, tracked ones, those of
    /// the pooler, BackendKeyData, the notice, ReadyForQuery.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        authentication::write_ok(&mut out);
        for (name, value) in &self.welcome.reported {
            if self.names.position(name).is_none() {
                encode::parameter_status(&mut out, name, value);
            }
        }
        for (name, value) in self.names.iter().zip(self.params.iter()) {
            if let Some(value) = value {
                encode::parameter_status(&mut out, name, value);
            }
        }
        self.write_own(&mut out);
        let [a, b, c, d, secret @ ..] = self.key;
        encode::backend_key_data(&mut out, u32::from_be_bytes([a, b, c, d]), &secret);
        if !self.notice.is_empty() {
            encode::notice(&mut out, Severity::Notice, sqlstate::SUCCESSFUL_COMPLETION, self.notice, None);
        }
        encode::ready_for_query(&mut out, tags::transaction::IDLE);
        out
    }

    /// What a driver may adapt to, under PgBouncer's names; the last one tells who it really is.
    fn write_own(&self, out: &mut Vec<u8>) {
        let statements_max = self.statements_max.to_string();
        let own = [
            ("pgbouncer.version", PGBOUNCER_VERSION),
            ("pgbouncer.pool_mode", self.mode.word()),
            ("pgbouncer.max_prepared_statements", &statements_max),
            ("pgweir.version", PGWEIR_VERSION),
        ];
        own.iter().for_each(|(name, value)| encode::parameter_status(out, name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FrameHeader, HEADER_BYTES, backend};

    fn welcome(names: &TrackedNames) -> Welcome {
        let pairs = [
            ("server_version", "15.4"),
            ("TimeZone", "UTC"),
            ("is_superuser", "off"),
            ("DateStyle", "ISO"),
            ("application_name", ""),
        ];
        let mut params = names.empty_set();
        for (name, value) in pairs {
            if let Some(position) = names.position(name) {
                params = params.with(position, value);
            }
        }
        Welcome { reported: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), params }
    }

    fn startup(pairs: &[(usize, &str)]) -> Startup {
        let tracked = pairs.iter().map(|(position, value)| (*position, (*value).to_owned())).collect();
        Startup { tracked, ..Startup::default() }
    }

    fn frames(mut input: &[u8]) -> Vec<(u8, &[u8])> {
        let mut frames = Vec::new();
        while let Some(header) = FrameHeader::read(input, u32::MAX).unwrap() {
            frames.push((header.tag, &input[HEADER_BYTES..header.frame_bytes]));
            input = &input[header.frame_bytes..];
        }
        frames
    }

    #[test]
    fn the_words_come_in_pgbouncers_order() {
        let names = TrackedNames::new([]);
        let welcome = welcome(&names);
        let (params, asked) = own_params(
            &names,
            &welcome.params,
            &startup(&[(2, "Mars/Olympus"), (4, "psql"), (8, "x")]),
            None,
        );
        assert_eq!(asked, ParamMask::default().with(2).with(4), "search_path is not reported");
        let key = *b"\x01\x02\x03\x04abcd";
        let words = WelcomeWords {
            names: &names,
            welcome: &welcome,
            params: &params,
            mode: PoolMode::Transaction,
            statements_max: 7,
            key,
            notice: "hello",
        };
        let out = words.write();
        let frames = frames(&out);
        let told: Vec<_> = frames
            .iter()
            .filter(|(tag, _)| *tag == tags::server::PARAMETER_STATUS)
            .map(|(_, payload)| backend::parameter_status(payload).unwrap())
            .collect();
        let expected = [
            ("server_version", "15.4"),
            ("is_superuser", "off"),
            ("DateStyle", "ISO"),
            ("TimeZone", "Mars/Olympus"),
            ("application_name", "psql"),
            ("pgbouncer.version", "1.26.0"),
            ("pgbouncer.pool_mode", "transaction"),
            ("pgbouncer.max_prepared_statements", "7"),
            ("pgweir.version", env!("CARGO_PKG_VERSION")),
        ];
        assert_eq!(told, expected);
        let tags: Vec<_> = frames.iter().map(|(tag, _)| char::from(*tag)).collect();
        assert_eq!(String::from_iter(tags), "RSSSSSSSSSKNZ");
        assert_eq!(frames[10].1, key);
    }

    #[test]
    fn application_names_tell_where_they_come_from() {
        let names = TrackedNames::new([]);
        let v6 = Address::Tcp("[::1]:7".parse().unwrap());
        let unix = Address::Unix { port: 6432, pid: 42, uid: 0 };
        let name = |pairs: &[(usize, &str)], remote: &Address| {
            let (params, _) = own_params(&names, &names.empty_set(), &startup(pairs), Some(remote));
            params.value(4).unwrap().to_string()
        };
        assert_eq!(name(&[(4, "psql")], &v6), "psql - [::1]:7");
        assert_eq!(name(&[(4, "")], &v6), "app - [::1]:7");
        let over_unix = name(&[], &unix);
        assert!(over_unix.starts_with("app - unix(42@") && over_unix.ends_with("):6432"), "{over_unix}");
    }
}
