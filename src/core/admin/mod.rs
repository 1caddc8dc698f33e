//! What operators ask of a worker and order it to do: the commands, and how they are carried out.

mod carry_out;
mod command;

pub(crate) use command::ClientRow;
pub use command::{
    Answer, CancelFate, ClientRulesOf, ClientState, Command, Judge, PoolRow, ServerRow, ServerState,
};
