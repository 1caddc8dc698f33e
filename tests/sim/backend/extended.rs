//! The extended protocol of the simulated PostgreSQL: Parse, Bind, Describe, Execute, and function calls.

use super::{Backend, Failure, Portal, Ran, cstr_at, int_at, no_portal, read, text_of};
use crate::session::{Block, Session};
use crate::sql::Sql;
use pgweir::wire::encode::{self, Severity};
use pgweir::wire::tags::server as answer;

pub(super) fn bind_params(rest: &[u8]) -> Vec<String> {
    let formats = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let mut at = 2 + 2 * formats;
    let count = u16::from_be_bytes([rest[at], rest[at + 1]]);
    at += 2;
    let mut params = Vec::new();
    for _ in 0..count {
        let bytes = int_at(rest, at);
        params.push(String::from_utf8_lossy(&rest[at + 4..at + 4 + bytes]).into_owned());
        at += 4 + bytes;
    }
    params
}

impl Backend {
    pub(super) fn parse(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let name = cstr_at(payload, 0);
        let text = text_of(&payload[name.len() + 1..]);
        let statement = read(&text, &["c0n0".to_owned()])?;
        if statement.tag != "c0n0" {
            self.see(&statement);
        }
        self.session.check_block(&statement.sql)?;
        if !name.is_empty() && self.statements.contains_key(name) {
            let name = String::from_utf8_lossy(name);
            return Err(("42P05", format!("prepared statement \"{name}\" already exists")));
        }
        self.session.begin_implicit();
        self.statements.insert(name.to_vec(), text);
        self.empty(answer::PARSE_COMPLETE);
        Ok(())
    }

    pub(super) fn bind(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let portal = cstr_at(payload, 0);
        let name = cstr_at(payload, portal.len() + 1);
        let params = bind_params(&payload[portal.len() + name.len() + 2..]);
        let text = self.find(name)?;
        self.session.check_block(&read(&text, &["c0n0".to_owned()])?.sql)?;
        self.session.begin_implicit();
        // Whoever binds under a name says which text it means.
        if let Some(meant) = params.get(1) {
            // A context is what no server hears.
            let meant = read(meant, &params)?.sql;
            let is_meant = match &meant {
                Sql::SetContext { command, .. } => {
                    matches!(&read(&text, &params)?.sql, Sql::SetContext { command: is, .. } if is == command)
                }
                _ => read(&text, &params)?.sql == meant && params[1] == text,
            };
            assert!(is_meant, "a statement was run that is not its client's: {text}, not {meant:?}");
        }
        if let Some(tag) = params.first() {
            self.seen.push(tag.clone());
        }
        self.portals.insert(portal.to_vec(), Portal { text, params, rows_sent: 0 });
        self.empty(answer::BIND_COMPLETE);
        Ok(())
    }

    pub(super) fn find(&self, name: &[u8]) -> Result<String, Failure> {
        let missing = || {
            let name = String::from_utf8_lossy(name);
            ("26000", format!("prepared statement \"{name}\" does not exist"))
        };
        self.statements.get(name).cloned().ok_or_else(missing)
    }

    pub(super) fn describe(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let name = cstr_at(payload, 1);
        let text = if payload[0] == b'S' {
            let text = self.find(name)?;
            if let Sql::Rows { .. } = read(&text, &["c0n0".to_owned()])?.sql {
                self.session.check_block(&Sql::Empty)?;
            }
            self.push(|out| encode::frame(out, answer::PARAMETER_DESCRIPTION, |out| out.extend([0, 0])));
            text
        } else {
            self.portals.get(name).ok_or_else(no_portal)?.text.clone()
        };
        match read(&text, &["c0n0".to_owned()])?.sql {
            Sql::Rows { .. } => self.row_description(),
            _ => self.empty(answer::NO_DATA),
        }
        Ok(())
    }

    pub(super) fn row_description(&mut self) {
        self.push(|out| {
            encode::frame(out, answer::ROW_DESCRIPTION, |out| {
                out.extend([0, 1]);
                encode::cstr(out, b"text");
                out.extend([0; 18]);
            });
        });
    }

    pub(super) fn execute(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let name = cstr_at(payload, 0).to_vec();
        let limit = int_at(payload, name.len() + 1);
        let portal = self.portals.get(&name).ok_or_else(no_portal)?.clone();
        let statement = read(&portal.text, &portal.params)?;
        match self.run(&statement, &portal.text, portal.rows_sent, limit)? {
            Ran::Complete(command) => self.push(|out| encode::command_complete(out, &command)),
            Ran::Suspended => {
                if let Some(portal) = self.portals.get_mut(&name) {
                    portal.rows_sent += limit;
                }
                self.empty(answer::PORTAL_SUSPENDED);
            }
            Ran::Pending => {}
        }
        Ok(())
    }

    pub(super) fn function_call(&mut self, payload: &[u8]) {
        let length = int_at(payload, 8);
        let tag = String::from_utf8_lossy(&payload[12..12 + length]).into_owned();
        self.seen.push(tag.clone());
        if self.session.block == Block::Failed {
            let (code, text) = Session::aborted();
            self.push(|out| encode::error(out, Severity::Error, code, &text));
        } else {
            self.push(|out| {
                encode::frame(out, answer::FUNCTION_CALL_RESPONSE, |out| {
                    out.extend_from_slice(tag.as_bytes())
                })
            });
        }
        self.ready();
    }
}
