//! Turns at directories.
//!
//! Each directory has turns of its own: one that does not answer holds up nobody who asks another.

use crate::auth::ldap::LdapServer;
use crate::base::limits;
use crate::control::Turns;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The turns at each directory that is asked, or was asked lately.
#[derive(Debug, Default)]
pub struct DirectoryTurns(Mutex<HashMap<Vec<LdapServer>, Arc<Turns>>>);

impl DirectoryTurns {
    /// Those at the directory that has these servers.
    pub(super) fn of(&self, servers: &[LdapServer]) -> Arc<Turns> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = all.get(servers) {
            return Arc::clone(turns);
        }
        // a reload may have brought it: another may be gone
        all.retain(|_, turns| Arc::strong_count(turns) > 1 || turns.counts() != (0, 0));
        let turns = Turns::new("LDAP", limits::LDAP_LOGINS_MAX, limits::LDAP_LOGINS_EACH_MAX);
        Arc::clone(all.entry(servers.to_vec()).or_insert(Arc::new(turns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Address, Micros};
    use std::net::Ipv4Addr;

    /// The client of that number: each comes from a network of its own.
    fn client(number: u32) -> Address {
        Address::Tcp((Ipv4Addr::from_bits(number), 1).into())
    }

    #[tokio::test]
    async fn a_directory_whose_turns_are_taken_holds_up_nobody_at_another() {
        let directories = DirectoryTurns::default();
        let servers = |host: &str| [LdapServer { host: host.to_owned(), port: 389 }];
        let mut held = Vec::new();
        for number in (0..).take(limits::LDAP_LOGINS_MAX) {
            let turns = directories.of(&servers("slow"));
            held.push(turns.take(&client(number), Micros(1)).await);
        }
        let slow = directories.of(&servers("slow"));
        let waiting = tokio::spawn(async move { slow.take(&client(u32::MAX), Micros(1)).await });
        drop(directories.of(&servers("quick")).take(&client(1), Micros(1)).await);
        assert!(!waiting.is_finished(), "the bound holds");
        // what is not in use is forgotten, what is in use is not
        drop(directories.of(&servers("third")));
        assert_eq!(directories.0.lock().unwrap().len(), 2);
        held.pop();
        drop(waiting.await.unwrap());
    }
}
