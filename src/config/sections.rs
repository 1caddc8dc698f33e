//! Tokens -> settings and entries: what each section's keys mean, and everything that is wrong with them.
//!
//! Goes on after an error so that every one is found. What it has built is put in force only if there was
//! none. Source: PgBouncer, doc/config.md ("Section `[databases]`", "Section `[users]`").

use super::database::{Database, UserEntry};
use super::errors::{ConfigError, EntryProblem, Place, Places, Problem};
use super::ini::{Item, Token};
use super::instances::{InstanceEntry, Instances};
use super::issuers::IssuerEntry;
use super::keys::{DATABASE_KEYS, INSTANCE_KEYS, ISSUER_KEYS, Key, PEER_KEYS, USER_KEYS};
use super::peers::PeerEntry;
use super::settings::{Setting, Settings, TABLE};
use super::{CONSOLE_DATABASE, connstr};
use crate::base::limits;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the entry in `[databases]` that serves every name without an own one.
const FALLBACK: &str = "*";

/// The section that the next key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    /// Before the first one.
    None,
    Pgbouncer,
    Databases,
    Users,
    Instances,
    Peers,
    Issuers,
    /// An unknown one: told once, its keys passed over.
    Unknown,
}

impl Section {
    fn named(name: &str) -> Self {
        match name {
            "pgbouncer" => Self::Pgbouncer,
            "databases" => Self::Databases,
            "users" => Self::Users,
            "instances" => Self::Instances,
            "peers" => Self::Peers,
            "issuers" => Self::Issuers,
            _ => Self::Unknown,
        }
    }

    /// Its name, where it has one.
    fn name(self) -> &'static str {
        match self {
            Self::Pgbouncer => "pgbouncer",
            Self::Databases => "databases",
            Self::Users => "users",
            Self::Instances => "instances",
            Self::Peers => "peers",
            Self::Issuers => "issuers",
            Self::None | Self::Unknown => "",
        }
    }
}

/// A configuration being read.
pub(super) struct Draft {
    section: Section,
    main_seen: bool,
    /// Whether what comes is of the overlay: it adds to what the main file says.
    is_overlay: bool,
    /// Where the token stands that is being taken in.
    here: Place,
    defaults: Settings,
    pub settings: Settings,
    pub databases: BTreeMap<Arc<str>, Arc<Database>>,
    pub fallback: Option<Arc<Database>>,
    pub users: BTreeMap<Arc<str>, UserEntry>,
    pub instances: Instances,
    pub peers: BTreeMap<u16, PeerEntry>,
    pub issuers: BTreeMap<Arc<str>, IssuerEntry>,
    pub places: Places,
    pub errors: Vec<ConfigError>,
    /// What is no error, and may not be what is meant.
    pub warnings: Vec<String>,
}

impl Draft {
    /// Nothing read yet. `settings` are those in force: what has no default keeps its value.
    pub(super) fn new(settings: Option<&Settings>, errors: Vec<ConfigError>) -> Self {
        let defaults = Settings::default();
        let mut draft = Self {
            section: Section::None,
            main_seen: false,
            is_overlay: false,
            here: Place { file: "".into(), line: 0 },
            settings: settings.unwrap_or(&defaults).clone(),
            defaults,
            databases: BTreeMap::new(),
            fallback: None,
            users: BTreeMap::new(),
            instances: Instances::default(),
            peers: BTreeMap::new(),
            issuers: BTreeMap::new(),
            places: Places::default(),
            errors,
            warnings: Vec::new(),
        };
        draft.reset();
        draft
    }

    /// Every setting that has a default is at its default again.
    fn reset(&mut self) {
        for row in TABLE.iter().filter(|row| row.default.is_some()) {
            row.copy(&self.defaults, &mut self.settings);
            self.places.settings.remove(row.name);
        }
    }

    /// Takes in the next token.
    pub(super) fn take(&mut self, token: &Token) {
        self.here = token.place.clone();
        let outcome = match &token.item {
            Item::Section(name) => self.open(name),
            Item::Entry { key, value } => self.entry(key, value),
        };
        if let Err(problem) = outcome {
            self.errors.push(ConfigError { place: token.place.clone(), problem });
        }
    }

    /// After the last token of `file`.
    pub(super) fn end(&mut self, file: &str) {
        if !self.main_seen {
            let place = Place { file: file.into(), line: 0 };
            self.errors.push(ConfigError { place, problem: Problem::MainSectionMissing });
        }
    }

    /// What comes from now on is of the overlay.
    pub(super) fn begin_overlay(&mut self) {
        (self.section, self.is_overlay) = (Section::None, true);
    }

    fn open(&mut self, name: &str) -> Result<(), Problem> {
        self.section = Section::named(name);
        match self.section {
            Section::Pgbouncer if self.is_overlay => {}
            Section::Pgbouncer => {
                self.main_seen = true;
                self.reset();
            }
            Section::Peers | Section::Issuers if self.is_overlay => {
                self.section = Section::Unknown; // told once, its keys passed over
                return Err(Problem::NotInOverlays(name.to_owned()));
            }
            Section::Unknown => return Err(Problem::UnknownSection(name.to_owned())),
            Section::None | Section::Databases | Section::Users | Section::Instances => {}
            Section::Peers | Section::Issuers => {}
        }
        Ok(())
    }

    fn entry(&mut self, key: &str, value: &str) -> Result<(), Problem> {
        let (kind, outcome) = match self.section {
            Section::None => return Err(Problem::NoSection(key.to_owned())),
            Section::Unknown => return Ok(()),
            Section::Pgbouncer => return self.setting(key, value),
            Section::Databases => ("database", self.database(key, value)),
            Section::Users => ("user", self.user(key, value)),
            Section::Instances => ("instance", self.instance(key, value)),
            Section::Peers => ("peer", self.peer(key, value)),
            Section::Issuers => ("issuer", self.issuer(key, value)),
        };
        let outcome = self.look_for_misplaced(key, outcome);
        outcome.map_err(|problem| Problem::Entry { kind, name: key.to_owned(), problem })
    }

    /// An entry with the name of a setting is most probably that, below another section's head: where it is
    /// none that could be meant, that is the error.
    fn look_for_misplaced(
        &mut self,
        key: &str,
        outcome: Result<(), EntryProblem>,
    ) -> Result<(), EntryProblem> {
        let section = self.section.name();
        match (Setting::named(key), outcome) {
            (Some(_), Err(EntryProblem::ConnStr(_) | EntryProblem::BadPeerId)) => {
                Err(EntryProblem::Misplaced(section))
            }
            (Some(_), Ok(())) => {
                self.warnings.push(format!(
                    "entry \"{key}\" of [{section}] has the name of a setting ({}): settings stand below \
                     [pgbouncer]",
                    self.here
                ));
                Ok(())
            }
            (_, outcome) => outcome,
        }
    }

    fn setting(&mut self, key: &str, value: &str) -> Result<(), Problem> {
        let row = Setting::named(key).ok_or_else(|| Problem::UnknownSetting(key.to_owned()))?;
        let bad = |why| Problem::BadSetting { key: row.name, value: value.to_owned(), why };
        row.set(&mut self.settings, value).map_err(bad)?;
        if let Some(mark) = [" ;", " #", "\t;", "\t#"].into_iter().find(|mark| value.contains(mark)) {
            self.warnings.push(format!(
                "value of {key} has \"{}\" in it ({}): a comment stands on a line of its own",
                mark.trim_start(),
                self.here
            ));
        }
        self.places.settings.insert(row.name, self.here.clone());
        Ok(())
    }

    fn database(&mut self, name: &str, text: &str) -> Result<(), EntryProblem> {
        if name == CONSOLE_DATABASE {
            return Err(EntryProblem::Reserved);
        }
        let name = entry_name(name)?;
        let mut database = match (self.is_overlay, self.known_database(&name)) {
            (false, _) => Database::new(name.clone()),
            (true, Some(known)) => known,
            (true, None) => return Err(EntryProblem::NotThere),
        };
        read_pairs(&mut database, DATABASE_KEYS, text)?;
        let database = database.with_dbname();
        self.places.databases.insert(name.clone(), self.here.clone());
        if &*name == FALLBACK {
            self.fallback = Some(Arc::new(database));
        } else {
            self.databases.insert(name, Arc::new(database));
        }
        Ok(())
    }

    fn known_database(&self, name: &str) -> Option<Database> {
        let known = if name == FALLBACK { self.fallback.as_ref() } else { self.databases.get(name) };
        known.map(|database| Database::clone(database))
    }

    fn user(&mut self, name: &str, text: &str) -> Result<(), EntryProblem> {
        let name = entry_name(name)?;
        let known = self.users.get(&name).filter(|_| self.is_overlay);
        let mut user = known.cloned().unwrap_or_default();
        read_pairs(&mut user, USER_KEYS, text)?;
        self.places.users.insert(name.clone(), self.here.clone());
        self.users.insert(name, user);
        Ok(())
    }

    /// An overlay may add entries: PgBouncer's own file cannot have any.
    fn instance(&mut self, name: &str, text: &str) -> Result<(), EntryProblem> {
        let name = entry_name(name)?;
        let known = self.instances.entries().get(&name).filter(|_| self.is_overlay);
        let mut entry = known.cloned().unwrap_or_default();
        read_pairs::<InstanceEntry>(&mut entry, INSTANCE_KEYS, text)?;
        self.instances.insert(name, entry)
    }

    fn peer(&mut self, id: &str, text: &str) -> Result<(), EntryProblem> {
        let id = id.parse().ok().filter(|id| *id > 0).ok_or(EntryProblem::BadPeerId)?;
        let mut peer = PeerEntry { hosts: Vec::new(), port: 6432, pool_size: None };
        read_pairs(&mut peer, PEER_KEYS, text)?;
        if peer.hosts.is_empty() {
            return Err(EntryProblem::NoHost);
        }
        self.peers.insert(id, peer);
        Ok(())
    }

    fn issuer(&mut self, name: &str, text: &str) -> Result<(), EntryProblem> {
        let name = entry_name(name)?;
        if IssuerEntry::is_reserved(&name) {
            return Err(EntryProblem::Reserved);
        }
        let mut issuer = IssuerEntry::default();
        read_pairs(&mut issuer, ISSUER_KEYS, text)?;
        if let Some(problem) = issuer.problem() {
            return Err(problem);
        }
        let is_known =
            |(other, known): (&Arc<str>, &IssuerEntry)| *other != name && known.issuer == issuer.issuer;
        if self.issuers.iter().any(is_known) {
            let why = "another entry has it, too: nobody could tell whose token it is".to_owned();
            return Err(EntryProblem::Unfit { key: "issuer", why });
        }
        if !self.issuers.contains_key(&name) && self.issuers.len() >= limits::ISSUERS_MAX {
            return Err(EntryProblem::TooMany { most: limits::ISSUERS_MAX });
        }
        if issuer.is_plain_http() {
            self.warnings.push(format!(
                "issuer \"{name}\": keys are fetched without TLS ({}): whoever is on this machine may \
                 serve them",
                self.here
            ));
        }
        self.places.issuers.insert(name.clone(), self.here.clone());
        self.issuers.insert(name, issuer);
        Ok(())
    }
}

fn entry_name(name: &str) -> Result<Arc<str>, EntryProblem> {
    if name.len() > limits::NAME_BYTES_MAX { Err(EntryProblem::NameTooLong) } else { Ok(name.into()) }
}

/// Reads a connection string into `entry` by the table of its section.
fn read_pairs<T>(entry: &mut T, keys: &'static [Key<T>], text: &str) -> Result<(), EntryProblem> {
    for (name, value) in connstr::pairs(text).map_err(EntryProblem::ConnStr)? {
        let Some(key) = keys.iter().find(|key| key.name == name) else {
            let accepted = keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ");
            return Err(EntryProblem::UnknownKey { key: name.to_owned(), accepted });
        };
        key.set(entry, &value).map_err(|why| EntryProblem::BadKey { key: key.name, value, why })?;
    }
    Ok(())
}
