//! What a simulated client says in the extended protocol: batches, pipelines, named statements.

use super::{Name, Script};
use pgweir::wire::encode;
use pgweir::wire::tags::client as tag;

impl<'a> Script<'a> {
    /// Several batches of the extended protocol, sent at once.
    pub(super) fn pipeline(&mut self) {
        for _ in 0..self.rng.range(1, 3) {
            for _ in 0..self.rng.range(1, 3) {
                if self.manners.named && self.rng.percent(60) {
                    self.named();
                } else {
                    let text = self.statement();
                    self.extended(&text);
                }
                if self.rng.percent(10) {
                    encode::empty(&mut self.pending, tag::FLUSH);
                    self.wait();
                }
            }
            encode::empty(&mut self.pending, tag::SYNC);
            if self.may_fail {
                self.open_names.extend(self.known.touched.iter().cloned());
                self.is_ahead = true;
            }
            if self.rng.percent(20) {
                let text = self.statement();
                self.query(&text);
            }
        }
    }

    /// Parse, Bind, Describe, Execute of the unnamed statement.
    pub(super) fn extended(&mut self, text: &str) {
        let mut rest = text.as_bytes().to_vec();
        rest.extend([0, 0, 0]);
        encode::parse(&mut self.pending, b"", &rest);
        let portal: &[u8] = if self.rng.percent(20) { b"p1" } else { b"" };
        self.bind(portal, b"", &[]);
        self.execute(portal);
    }

    pub(super) fn execute(&mut self, portal: &[u8]) {
        if self.rng.percent(50) {
            encode::describe_or_close(&mut self.pending, tag::DESCRIBE, b'P', portal);
        }
        let limits: &[u32] = if self.rng.percent(20) { &[1, 2, 0] } else { &[0] };
        for limit in limits {
            encode::frame(&mut self.pending, tag::EXECUTE, |out| {
                encode::cstr(out, portal);
                out.extend(limit.to_be_bytes());
            });
        }
        if !portal.is_empty() {
            encode::describe_or_close(&mut self.pending, tag::CLOSE, b'P', portal);
        }
    }

    pub(super) fn bind(&mut self, portal: &[u8], name: &[u8], params: &[String]) {
        encode::frame(&mut self.pending, tag::BIND, |out| {
            encode::cstr(out, portal);
            encode::cstr(out, name);
            out.extend([0, 0]);
            out.extend((params.len() as u16).to_be_bytes());
            for param in params {
                out.extend((param.len() as u32).to_be_bytes());
                out.extend_from_slice(param.as_bytes());
            }
            out.extend([0, 0]);
        });
    }

    /// Something with a named statement.
    pub(super) fn named(&mut self) {
        let names: Vec<_> = self.known.names.keys().cloned().collect();
        let name = self.rng.pick(&names).clone();
        if self.open_names.contains(&name) {
            return;
        }
        self.known.touched.push(name.clone());
        self.known.in_doubt |= self.is_ahead;
        match self.known.names[&name].clone() {
            Name::Prepared(text) if text.is_empty() => {}
            Name::Unclear => {}
            Name::Prepared(text) => match self.rng.below(10) {
                0 => {
                    encode::describe_or_close(&mut self.pending, tag::CLOSE, b'S', name.as_bytes());
                    self.known.names.insert(name, Name::Free);
                }
                // Nor would it describe in a failed block what its server has yet to be told.
                1 if self.in_block && self.may_fail => {}
                1 => encode::describe_or_close(&mut self.pending, tag::DESCRIBE, b'S', name.as_bytes()),
                _ => self.run_named(&name, &text),
            },
            // In a failed transaction block a pooler that shares statements confirms a Parse that
            // PostgreSQL would refuse.
            Name::Free if self.in_block && self.may_fail => {}
            Name::Free if self.rng.percent(10) => {
                encode::describe_or_close(&mut self.pending, tag::CLOSE, b'S', name.as_bytes());
            }
            Name::Free => {
                let body = match self.rng.below(9) {
                    0..4 if self.manners.sets_context => self.context_body(),
                    0 => {
                        self.may_fail = true;
                        "fail".to_owned()
                    }
                    1 => "sleep 300".to_owned(),
                    n => format!("rows {} {}", n / 3, 10 * (n % 3)),
                };
                let text = format!("{body} /*$1*/");
                let mut rest = text.as_bytes().to_vec();
                rest.extend([0, 0, 0]);
                encode::parse(&mut self.pending, name.as_bytes(), &rest);
                self.known.names.insert(name.clone(), Name::Prepared(text.clone()));
                if self.rng.percent(80) {
                    self.run_named(&name, &text);
                }
            }
        }
    }

    pub(super) fn run_named(&mut self, name: &str, text: &str) {
        self.may_fail |= text.starts_with("fail");
        let mut params = vec![self.tag(), text.to_owned()];
        if self.rng.percent(15) {
            params.push("x".repeat(self.rng.below(2 * self.manners.large_bytes as u64) as usize));
        }
        self.bind(b"", name.as_bytes(), &params);
        self.execute(b"");
    }
}
