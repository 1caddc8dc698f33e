//! Server logins by IAM against a PostgreSQL that verifies tokens as RDS does, with
//! credentials from a fake AWS.
//!
//! `proof` shows that the rig itself is true, with tokens made by AWS's own signer; the others put the pooler
//! in front of it. `cases` lists the cases and says how each is asserted at every side. Every pooler's log is
//! searched for secrets when it ends, and so are the logs of the rig.

#[path = "../common/mod.rs"]
mod common;
#[path = "../iam/fake.rs"]
mod fake;

mod bounds;
mod cases;
mod credentials;
mod denial;
mod detour;
mod dsql;
mod hosts;
mod logins;
mod outage;
mod pass_through;
mod proof;
mod recycling;
mod replication;
mod rig;
mod safety;
mod secrecy;
mod slow;
mod waits;
mod watch;
