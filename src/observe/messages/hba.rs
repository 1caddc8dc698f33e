//! Hba and ident files: what refuses them, and what may not be meant so.

use super::{Message, NONE, text};

const LINE: &str = "Why a line is refused.";
const CORRECT: &str = "Correct the line.";

/// What refuses `auth_hba_file` or `auth_ident_file`.
pub(super) const HBA_ERRORS: &[Message] = &[
    text("auth_type=hba requires auth_hba_file", "There is nothing to go by.", "Name the file."),
    text(
        "auth_type=pam is not in this build: it wants the feature pam",
        "The program was built with `--no-default-features`.",
        "Use a build with PAM, or another `auth_type`.",
    ),
    text(
        "could not open {kind} config file {file}: {why}",
        "`auth_hba_file` or `auth_ident_file` cannot be read.",
        "Check the path, and the rights of the pooler's user.",
    ),
    text(
        "could not parse {kind} config line ({place}): {wrong}",
        "The line is wrong: one of the next rows. PgBouncer leaves such a line out and goes on.",
        CORRECT,
    ),
    text("unknown type", "A rule begins with `local`, `host`, `hostssl` or `hostnossl`.", CORRECT),
    text("a name is missing", "A list of databases or users, or a line of a map, is not complete.", CORRECT),
    text(
        "{why}; a reject that is left out would let in whom it keeps out",
        "The pooler cannot tell for whom the rule is: one of the reasons for which a line is left out. \
         PgBouncer leaves this one out, too.",
        "Write for whom it is in words that the pooler knows: users, databases, addresses.",
    ),
    text("did not find address", LINE, "Write an address with its mask, or `all`."),
    text(
        "failed to parse address: {address}",
        "It is neither an IP address nor a host's name.",
        "Write an address with its mask, or `all`.",
    ),
    text("did not find mask", LINE, "Write `address/bits`, or the mask behind the address."),
    text("invalid mask: {mask}", LINE, CORRECT),
    text("did not find method", LINE, CORRECT),
    text(
        "unsupported method: {word}",
        "Nobody knows such a method, and the line is refused; or PostgreSQL alone does, and it is left out.",
        "Use `trust`, `reject`, `md5`, `password`, `scram-sha-256`, `cert`, `peer`, `ldap`, `jwt`, \
         `iam_caller` or `rds_iam`.",
    ),
    text("unsupported parameters", "More stands on the line than is known.", CORRECT),
    text(
        "names of one line must have commas between them",
        "A line of an `@file` has several names with blanks between them, of which PgBouncer would take the \
         first alone.",
        "Put commas between them, or each on a line of its own.",
    ),
    text(
        "could not read {file}: {why}",
        "A file that the line names (`@file`, `include`) cannot be read.",
        "Check the path, which is relative to the folder of the file that names it.",
    ),
    text(
        "files within files nest too deep: at most {levels} levels",
        "`@file` or `include` within such files, or in a circle.",
        "Correct the files.",
    ),
    text(
        "include_dir is not supported",
        "PgBouncer does not know the word either.",
        "Name each file: `include FILE`.",
    ),
    text(
        "too many {what}: at most {most}",
        "Files (`@file`, `include`), rules of an hba file, or lines of an ident file. Nothing behind that \
         line is read.",
        "Use fewer: a rule may name many users and databases, and `@file` has them from a file.",
    ),
    text(
        "the files are too long: at most {bytes} bytes in all",
        "Nothing behind that line is read.",
        "Shorten them.",
    ),
    text("more errors follow, these are the first", "The rest is not listed.", NONE),
];

/// What is told of files that are in force.
pub(super) const HBA_WARNINGS: &[Message] = &[
    text(
        "hba config line ({place}) is left out: {why}",
        "PostgreSQL would go by this line; the pooler cannot, and leaves it out as PgBouncer does: later \
         lines decide. Why: one of the next rows.",
        "Nothing, if PostgreSQL alone needs the line; else write it in words that the pooler knows.",
    ),
    text(
        "auth_hba_file has no rule: nobody is let in",
        "The file is empty, or has nothing but comments and lines that are left out; it may have been read \
         while it was written.",
        "Write it beside, then rename it into place, and RELOAD.",
    ),
    text(
        "certificates of LDAP servers are not verified (TLS_REQCERT)",
        "`TLS_REQCERT` of ldap.conf, or `LDAPTLS_REQCERT`, is `never` or `allow`: whoever answers in the \
         directory's place gets every password.",
        "Remove it, and name the authority in `TLS_CACERT`.",
    ),
    text(
        "{0} of ldap.conf has no effect",
        "libldap would go by it, or by the variable that begins with `LDAP`, and so PgBouncer does: here \
         `TLS_CACERT` and `TLS_REQCERT` alone count. Without `TLS_CACERT` the system's authorities are \
         trusted.",
        "Name the directory's authority in `TLS_CACERT`; what else it is to be held to is the directory's \
         affair.",
    ),
    text(
        "{word}: groups of roles are not supported",
        "Who is a member of a role is unknown to the pooler.",
        "Name the users, or put them into a file: `@file`.",
    ),
    text(
        "{word}: host names, samehost and samenet are not supported",
        "A rule's addresses are looked up nowhere.",
        "Write an address with its mask, or `all`.",
    ),
    text(
        "{word}: there is no encryption by GSSAPI",
        "Clients cannot come that way.",
        "Use `host`, `hostssl` or `hostnossl`.",
    ),
    text("unsupported option: {word}", "Of options `map=` is known.", "Remove it, or use another method."),
    text(
        "ident map {name} is not found in ident config file",
        "`map=` names a map that `auth_ident_file` does not have.",
        "Correct the name, or add the map.",
    ),
    text(
        "more lines of hba and ident files may not be meant as they stand, these are the first",
        "The rest is not listed.",
        NONE,
    ),
    text(
        "address does not match mask in {place}: {address} / {mask}: the rule never fits",
        "Bits of the address lie outside of the mask, so that no client has such an address. PgBouncer does \
         the same.",
        "Clear them, or lengthen the mask.",
    ),
    text(
        "rule in {place} takes certificates, and without TLS and client_tls_ca_file nobody shows one",
        "A rule with `cert` that lets nobody in.",
        "Set `client_tls_sslmode` and `client_tls_ca_file`.",
    ),
    text(
        "{name} in {place} is taken as a name, not as the keyword {keyword}",
        "Quotes take a keyword's meaning, and so do capitals; `*` has none. The rule is for a user or a \
         database of that name alone.",
        "Write the keyword bare, in small letters.",
    ),
    text(
        "rule in {place} lets nobody in: who comes over {way} has no {what} to show",
        "`peer` is for Unix sockets, `cert` for TLS.",
        "Use another method, or another type of rule.",
    ),
    text(
        "rule in {place} is never reached: the one in {first} fits first and asks for less",
        "The first rule that fits counts, and the other one fits whomever this one fits: it lets in whom \
         this one rejects, or asks for less proof. Among more than some thousand rules, only those in front \
         are looked at that are for all databases or users.",
        "Put the stricter rule first, or remove it.",
    ),
    text(
        "rule in {place} is for TLS connections, and client_tls_sslmode is disable",
        "`hostssl` fits nobody: later rules decide.",
        "Set `client_tls_sslmode`, or remove the rule.",
    ),
    text(
        "map={map} in {place} has no effect with this method",
        "Maps are for `cert` and `peer`.",
        "Remove `map=`.",
    ),
    text(
        "{name} in {place} is taken as a name, not as a regular expression or a group",
        "PostgreSQL would take it for one; PgBouncer does not either.",
        "Write out the names.",
    ),
];
