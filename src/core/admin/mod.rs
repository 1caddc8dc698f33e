//! What operators ask of a worker and order it to do: the commands, and how they are carried out.

mod carry_out;
mod command;

pub use command::{
    Answer, CancelFate, ClientRow, ClientRulesOf, ClientState, Command, PoolRow, Scope, ServerRow,
    ServerState,
};
