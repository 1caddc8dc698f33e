//! What must hold for any bytes as a configuration file. `tests/corpus.rs` replays the corpus through this.

use pgweir::config::{Changes, DatabaseChange, Snapshot, TABLE};
use std::io;

/// Reads `data` as a main file that may include itself and one other.
pub fn run(data: &[u8]) {
    let read = |name: &str| match name {
        "main.ini" => Ok(data.to_vec()),
        "other.ini" => Ok(b"[users]\nu = pool_size=1\n".to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let snapshot = match Snapshot::load_with("main.ini", None, &read) {
        Ok(snapshot) => snapshot,
        Err(errors) => {
            let lines = errors.to_string().lines().count();
            assert_eq!(lines, errors.iter().count(), "each error is one line");
            assert!(lines > 0);
            return;
        }
    };
    // Loading the same file again changes nothing.
    let again = Snapshot::load_with("main.ini", Some(&snapshot), &read).expect("what was valid stays valid");
    assert_eq!(snapshot, again);
    let changes = Changes::between(&snapshot, &again);
    assert!(!changes.server_tls);
    for (name, database) in &snapshot.databases {
        assert_eq!(changes.of(name), DatabaseChange::Same);
        assert!(!database.hosts.is_empty());
        let user = database.user.as_deref().unwrap_or("u");
        assert_eq!(snapshot.pool_rules(database, user), again.pool_rules(database, user));
    }
    assert_eq!(changes.of("made by the fallback"), DatabaseChange::Same);
    // What SHOW CONFIG prints can be SET again, as the same value.
    for row in TABLE {
        if let Some(text) = row.show(&snapshot.settings) {
            let set = snapshot.with_setting(row.name, &text).expect("SHOW prints what SET takes");
            assert_eq!(row.show(&set.settings), Some(text), "{}", row.name);
        }
    }
}
