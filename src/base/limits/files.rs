//! Bounds of what is read of files that the configuration names, and of the configuration's own.

/// `%include` inside includes: PgBouncer's own bound.
pub const CONFIG_INCLUDE_DEPTH_MAX: usize = 10;

/// Files read for one configuration: includes that fan out at each level would
/// otherwise multiply without end.
pub const CONFIG_FILES_MAX: usize = 1_000;

/// Most bytes of one configuration file: room for hundreds of thousands of databases, none for `/dev/zero`.
pub const CONFIG_FILE_BYTES_MAX: u64 = 64 << 20;

/// Files within files of an hba or ident file: as deep as `%include` of a configuration.
pub const HBA_DEPTH_MAX: usize = CONFIG_INCLUDE_DEPTH_MAX;

/// Files read for one hba or ident file, one that is named twice counted twice.
pub const HBA_FILES_MAX: usize = CONFIG_FILES_MAX;

/// Most bytes of an hba or ident file and of all that it names: room for the most rules that there may be.
pub const HBA_BYTES_MAX: usize = 16 << 20;

/// Most rules of an hba file. Generated ones have some thousand; a rule with one database, one user and an
/// address takes 230 bytes.
pub const HBA_RULES_MAX: usize = 100_000;

/// Comparisons of rules with those in front of them, which tell at load what is never reached: 0.1 s.
pub const HBA_COMPARISONS_MAX: usize = 10_000_000;

/// Most lines of an ident file.
pub const IDENT_LINES_MAX: usize = 100_000;

/// Errors listed for one configuration; a file that is something else altogether has one on every line.
pub const CONFIG_ERRORS_MAX: usize = 100;

/// Most bytes of a file of certificates or keys: the authorities of a system are some 250 kB.
pub const TLS_FILE_BYTES_MAX: u64 = 4 << 20;

/// Most bytes of `ldap.conf`: of its lines two count.
pub const LDAP_CONF_BYTES_MAX: u64 = 1 << 20;

/// Most bytes of the pidfile: it has a number.
pub const PIDFILE_BYTES_MAX: u64 = 4_096;
