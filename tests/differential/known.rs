//! Compares what clients saw before PgBouncer and before pgweir, and allows what stands in `known/list.rs`.

mod list;

use super::play::Line;
use super::world::Version;
use std::collections::BTreeMap;

pub use list::LIST;

/// One difference that is meant. In lines `*` stands for anything.
#[derive(Debug)]
pub struct Known {
    pub name: &'static str,
    /// Why pgweir does so.
    pub reason: &'static str,
    /// Of which PgBouncers: from, up to and without.
    versions: (Version, Version),
    theirs: &'static str,
    ours: &'static str,
    then: Then,
    /// Whether the scripts show it in every run; else it depends on how fast they are.
    pub always: bool,
}

/// What of the rest is still compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Everything: only these two lines stand for one another.
    Both,
    /// Everything: ours is one more.
    Ours,
    /// What answers the next step.
    Answer,
    /// What others see: the client's session is another one from there on.
    Client,
    /// Nothing: all sessions are.
    Nothing,
}

impl Known {
    pub fn concerns(&self, version: Version) -> bool {
        self.versions.0 <= version && version < self.versions.1
    }

    fn fits(&self, theirs: &str, ours: &str) -> bool {
        // What is left out has to be there.
        let is_there = self.then != Then::Ours || ours != NOTHING;
        is_there && matches(self.theirs, theirs) && matches(self.ours, ours)
    }
}

/// Whether the text is the pattern, in which `*` is anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// What stands for a line that is not there.
pub const NOTHING: &str = "(nothing)";

/// What a comparison has found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Names of the known differences that were met.
    pub met: Vec<&'static str>,
    /// Of each answer the first that is not known.
    pub differences: Vec<Difference>,
}

/// Lines that are not the same: PgBouncer's and ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub step: usize,
    pub who: usize,
    pub theirs: String,
    pub ours: String,
    /// All of both answers.
    pub whole: [Vec<String>; 2],
}

/// What is left to compare of one client's answers to one step, the next line last.
type Answer<'l> = [Vec<&'l str>; 2];

/// Compares answer by answer, in the order of the steps. Where clients share servers (`they_share`), one
/// whose session is another one changes what all others may do.
pub fn compare([theirs, ours]: &[Vec<Line>; 2], version: Version, they_share: bool) -> Verdict {
    let mut verdict = Verdict::default();
    let mut answers: BTreeMap<(usize, usize), Answer<'_>> = BTreeMap::new();
    for (side, lines) in [theirs, ours].into_iter().enumerate() {
        for line in lines {
            answers.entry((line.step, line.who)).or_default()[side].push(&line.text);
        }
    }
    let mut others = Vec::new();
    for ((step, who), mut answer) in answers {
        if others.contains(&who) {
            continue;
        }
        let whole = answer.clone();
        answer.iter_mut().for_each(put_in_order);
        match compare_answer(&mut answer, version, &mut verdict.met) {
            Ok(Then::Nothing) => return verdict,
            Ok(Then::Client) if they_share => return verdict,
            Ok(Then::Client) => others.push(who),
            Ok(_) => {}
            Err([theirs, ours]) => {
                let whole = whole.map(|lines| lines.into_iter().map(str::to_owned).collect());
                verdict.differences.push(Difference { step, who, theirs, ours, whole });
            }
        }
    }
    verdict
}

/// What is left to compare afterwards; or the first two lines that differ without a reason.
fn compare_answer(
    [theirs, ours]: &mut Answer<'_>,
    version: Version,
    met: &mut Vec<&'static str>,
) -> Result<Then, [String; 2]> {
    while !theirs.is_empty() || !ours.is_empty() {
        let line = theirs.last().copied().unwrap_or(NOTHING);
        let own = ours.last().copied().unwrap_or(NOTHING);
        let mut then = Then::Both;
        if line != own {
            let known = LIST.iter().find(|known| known.concerns(version) && known.fits(line, own));
            let known = known.ok_or_else(|| [line, own].map(str::to_owned))?;
            met.push(known.name);
            then = known.then;
        }
        match then {
            Then::Both => {
                theirs.pop();
                ours.pop();
            }
            Then::Ours => {
                ours.pop();
            }
            Then::Answer | Then::Client | Then::Nothing => return Ok(then),
        }
    }
    Ok(Then::Both)
}

/// Last first; and ParameterStatus messages in a row by name, since PostgreSQL's documentation promises no
/// order of them ("Asynchronous Operations"), and PgBouncer's is that of its own list.
fn put_in_order(lines: &mut Vec<&str>) {
    let is_parameter = |line: &&str| line.starts_with("S ");
    for row in lines.chunk_by_mut(|one, next| is_parameter(one) && is_parameter(next)) {
        row.sort_unstable();
    }
    lines.reverse();
}
