//! What this program calls itself.

/// The version of PgBouncer whose behaviour this is compatible with: tools ask for it and compare.
pub(crate) const PGBOUNCER_VERSION: &str = "1.26.0";

/// What this program's own version is.
pub(crate) const PGWEIR_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The line that SHOW VERSION and `--version` print: what tools written for PgBouncer look
/// for, then who it really is.
pub(crate) const VERSION: &str = concat!("PgBouncer 1.26.0 (pgweir ", env!("CARGO_PKG_VERSION"), ")");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_name_the_same_version() {
        assert!(VERSION.starts_with(&format!("PgBouncer {PGBOUNCER_VERSION} (pgweir ")));
    }
}
