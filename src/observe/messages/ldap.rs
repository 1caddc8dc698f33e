//! Logins by LDAP and by PAM: what is wrong with options, and why nobody is let in.

use super::{Message, NONE, text};

const CORRECT: &str = "Correct the options.";
const LOOK_THERE: &str = "Look at the directory's log.";
const SERVER: &str = "See whether it is an LDAP server that answers there.";

/// What is wrong with `auth_ldap_options`, or with the options of a rule.
pub(super) const LDAP_OPTIONS: &[Message] = &[
    text("auth_type=ldap requires auth_ldap_options", "Nobody knows which directory to ask.", "Set it."),
    text("auth_ldap_options: {why}", "The options are wrong: one of the next rows.", CORRECT),
    text(
        "an LDAP option is not in name=value format",
        "A word without `=`. It is not shown, since it may be a password.",
        CORRECT,
    ),
    text("unknown LDAP option: {name}", "Names are PostgreSQL's.", CORRECT),
    text("invalid {name} value: {value}", "An option takes no such value.", CORRECT),
    text(
        "invalid ldapurl: {why}",
        "What is wrong with it stands there.",
        "Write `ldap://HOST/BASE?ATTRIBUTE?sub`.",
    ),
    text(
        "ldapsearchfilter is too long, or nested too deep",
        "A filter has 4,096 bytes and 16 levels of parentheses at the most.",
        CORRECT,
    ),
    text(
        "LDAP needs ldapserver, or an ldapurl with a host",
        "Servers are not looked for in the DNS.",
        "Name the server.",
    ),
    text(
        "LDAP needs ldapprefix or ldapsuffix, or ldapbasedn",
        "Nobody knows how a user's name becomes an entry.",
        "Set one of them.",
    ),
    text(
        "options of a search cannot be used with ldapprefix and ldapsuffix",
        "The name is either put between the two, or searched for.",
        CORRECT,
    ),
    text(
        "ldapsearchattribute cannot be used together with ldapsearchfilter",
        "The one stands for a filter, too.",
        CORRECT,
    ),
];

/// Why PAM lets nobody in.
pub(super) const PAM_REFUSALS: &[Message] = &[
    text(
        "PAM does not take the password: {why}",
        "In PAM's words. The password is wrong, there is no such user, or a module cannot be asked.",
        "Look at what the modules log (syslog, auth), and at `/etc/pam.d/pgbouncer`.",
    ),
    text(
        "PAM does not let the account in: {why}",
        "The password is right; the account has expired, or may not log in from there or at this time.",
        "Look at the `account` lines of `/etc/pam.d/pgbouncer`.",
    ),
    text(
        "PAM does not start: {why}",
        "It finds no rules for the service `pgbouncer`, or has no memory.",
        "Look at `/etc/pam.d/pgbouncer`.",
    ),
    text("this build has no PAM", "It was built without the feature `pam`; a load refuses that.", NONE),
];

/// Why a directory lets nobody in.
pub(super) const LDAP_REFUSALS: &[Message] = &[
    text(
        "the directory does not take the password",
        "The password is wrong, or there is no such entry.",
        NONE,
    ),
    text(
        "no entry of the directory is for the user",
        "The search has found nothing. An entry that the searcher may not see is none.",
        "See whether `ldapbasedn`, the filter and the rights of `ldapbinddn` are right.",
    ),
    text(
        "several entries of the directory are for the user",
        "It is not known which of them the client is.",
        "Narrow `ldapbasedn` or the filter.",
    ),
    text(
        "the user's name cannot stand between ldapprefix and ldapsuffix",
        "They make no DN, where what has a meaning could be escaped, and the name has such a character.",
        NONE,
    ),
    text("an empty name or password is not sent", "A server would let nobody in particular in.", NONE),
    text(
        "{step}: LDAP result {code}: {text}",
        "The directory's own result of a login, of that of `ldapbinddn`, or of the search. 10 is a referral: \
         none is followed.",
        LOOK_THERE,
    ),
    text(
        "no server can be asked: {host}:{port}: {why}",
        "None of the servers could be connected to, TLS included; the last one's reason.",
        "Check `ldapserver` and the network, and for TLS `TLS_CACERT` of ldap.conf.",
    ),
    text("no answer in time from {host}:{port}", "It has taken more than 10 s.", LOOK_THERE),
    text("the answer is malformed", "What has come is no answer of LDAP.", SERVER),
    text(
        "the answer is too long, or nested too deep",
        "More has come than a login needs: 64 KiB a message, 256 KiB in all.",
        SERVER,
    ),
    text("the server has said that it ends the connection", "It stops, or wants no more of us.", LOOK_THERE),
];
