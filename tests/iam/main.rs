//! Credentials through the real AWS libraries against fakes, and tokens against an independent signer.

mod botocore;
mod endpoints;
mod fake;
mod hostile;
mod keeping;
mod profiles;
#[path = "../common/skip.rs"]
mod skip;
mod sources;
mod sso;
mod stage;
mod tunnel;
