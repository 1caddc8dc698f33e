//! No circle of files: who reads a file needs to know only what lies below it.
//!
//! A file depends on those whose names it imports, wherever the folder's `mod.rs` shows them. A file `x.rs`
//! and the folder `x` of its private parts count as one. Tests are left out, and so is `mod.rs` itself, which
//! only says what a folder has.

use super::{Source, none, sources};
use std::collections::{BTreeMap, BTreeSet};

/// The segments of a path, or of a module's place in the tree.
type Path = Vec<String>;

/// `use` trees and paths as they stand in a file's text.
struct Modules {
    /// Which file each module is.
    files: BTreeMap<Path, String>,
    /// What a folder's `mod.rs` shows under a name: the place where that is defined.
    shown: BTreeMap<(Path, String), Path>,
}

fn path(text: &str) -> Path {
    text.split("::").map(|segment| segment.trim().to_owned()).filter(|segment| !segment.is_empty()).collect()
}

fn module_of(file: &str) -> Path {
    let inside = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut segments: Path = inside.split('/').map(str::to_owned).collect();
    if matches!(segments.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        segments.pop();
    }
    segments
}

/// The paths of a `use` tree, without what they are called here.
fn leaves(tree: &str, prefix: &Path) -> Vec<Path> {
    let tree = tree.trim();
    let Some((before, rest)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree);
        return vec![[prefix.clone(), path(name)].concat()];
    };
    let prefix = [prefix.clone(), path(before)].concat();
    let inner = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, character) in inner.char_indices().chain([(inner.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[from..at].trim().is_empty() {
                    found.extend(leaves(&inner[from..at], &prefix));
                }
                from = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// Every `use …;` of the program, its tree without the keyword; and what is left of the program.
fn uses(program: &str) -> (Vec<String>, String) {
    let (mut trees, mut rest, mut open) = (Vec::new(), String::new(), None::<String>);
    for line in program.lines() {
        let begins = line.trim_start().strip_prefix("pub ").unwrap_or(line.trim_start()).strip_prefix("use ");
        let text = match (&mut open, begins) {
            (Some(tree), _) => {
                tree.push_str(line);
                open.take().unwrap_or_default()
            }
            (None, Some(tree)) => tree.to_owned(),
            (None, None) => {
                rest.push_str(line);
                rest.push('\n');
                continue;
            }
        };
        match text.trim_end().strip_suffix(';') {
            Some(tree) => trees.push(tree.to_owned()),
            None => open = Some(text),
        }
    }
    (trees, rest)
}

/// Paths that are written out where they are used.
fn written_out(program: &str) -> Vec<Path> {
    let mut found = Vec::new();
    for begin in ["crate::", "super::"] {
        for (at, _) in program.match_indices(begin) {
            let is_inside =
                program[..at].ends_with(|character: char| character.is_alphanumeric() || character == ':');
            if is_inside || program[..at].ends_with("(in ") {
                continue;
            }
            let in_path =
                |character: char| character.is_alphanumeric() || character == '_' || character == ':';
            let end = program[at..]
                .find(|character| !in_path(character))
                .map_or(program.len(), |length| at + length);
            found.push(path(&program[at..end]));
        }
    }
    found
}

impl Modules {
    fn of(sources: &[Source]) -> Self {
        let files: BTreeMap<_, _> =
            sources.iter().map(|source| (module_of(&source.path), source.path.clone())).collect();
        let all = Self { files, shown: BTreeMap::new() };
        let mut shown = BTreeMap::new();
        for source in sources {
            let module = module_of(&source.path);
            let public =
                source.text.replace("pub(crate) use ", "pub use ").replace("pub(super) use ", "pub use ");
            for tree in public.split("\npub use ").skip(1).filter_map(|rest| rest.split(';').next()) {
                for leaf in leaves(tree, &Path::new()) {
                    let name = leaf.last().cloned().unwrap_or_default();
                    shown.extend(all.absolute(&leaf, &module).map(|place| ((module.clone(), name), place)));
                }
            }
        }
        Self { shown, ..all }
    }

    /// A path from the crate's root; `None`: it leads out of the crate.
    fn absolute(&self, path: &Path, module: &Path) -> Option<Path> {
        match path.first().map(String::as_str) {
            Some("crate") => Some(path[1..].to_vec()),
            Some("self") => Some([module, &path[1..]].concat()),
            Some("super") => {
                let up = path.iter().take_while(|segment| *segment == "super").count();
                Some([&module[..module.len().checked_sub(up)?], &path[up..]].concat())
            }
            // A child of this module, or of none of ours.
            Some(child) => self
                .files
                .contains_key(&[module, &[child.to_owned()][..]].concat())
                .then(|| [&module[..], path].concat()),
            None => None,
        }
    }

    /// The file in which what is at `place` is defined.
    fn file(&self, mut place: Path) -> Option<&String> {
        for _ in 0..4 {
            let depth =
                (1..=place.len()).take_while(|depth| self.files.contains_key(&place[..*depth])).last()?;
            let next =
                place.get(depth).and_then(|name| self.shown.get(&(place[..depth].to_vec(), name.clone())));
            match next {
                Some(shown) => place = [&shown[..], &place[depth + 1..]].concat(),
                None => return self.files.get(&place[..depth]),
            }
        }
        None
    }

    /// The file that `file` is a private part of, or itself.
    fn whole<'a>(&'a self, file: &'a str) -> &'a str {
        let mut module = module_of(file);
        while module.pop().is_some() {
            match self.files.get(&module) {
                Some(parent) if !parent.ends_with("/mod.rs") && !module.is_empty() => {
                    return self.whole(parent);
                }
                _ => {}
            }
        }
        file
    }

    /// The files that `source` takes something from.
    fn below(&self, source: &Source) -> BTreeSet<String> {
        let module = module_of(&source.path);
        let program: String = source.program().map(|(_, line)| format!("{line}\n")).collect();
        let (trees, rest) = uses(&program);
        let imported = trees.iter().flat_map(|tree| leaves(tree, &Path::new()));
        let places = imported.chain(written_out(&rest)).filter_map(|path| self.absolute(&path, &module));
        let files = places.filter_map(|place| self.file(place)).filter(|file| !file.ends_with("/mod.rs"));
        let own = self.whole(&source.path);
        files.map(|file| self.whole(file)).filter(|file| *file != own).map(str::to_owned).collect()
    }
}

/// The files that can be reached from `from`.
fn reached<'a>(below: &'a BTreeMap<String, BTreeSet<String>>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        let next = below.get(file).into_iter().flatten().map(String::as_str);
        open.extend(next.filter(|file| found.insert(*file)));
    }
    found
}

fn is_program(source: &Source) -> bool {
    !source.path.ends_with("tests.rs") && !source.path.contains("/tests/")
}

#[test]
fn no_file_is_part_of_a_circle() {
    let sources = sources("src");
    let modules = Modules::of(&sources);
    let program = sources.iter().filter(|source| is_program(source) && !source.path.ends_with("/mod.rs"));
    let mut below: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in program {
        below.entry(modules.whole(&source.path).to_owned()).or_default().extend(modules.below(source));
    }
    assert!(
        below["src/clients/client.rs"].contains("src/control/plane.rs"),
        "the rule sees through `mod.rs`"
    );
    assert!(
        below["src/core/relay/upstream.rs"].contains("src/core/worker_core.rs"),
        "and what stands beside it"
    );
    let mut offences = Vec::new();
    for (file, direct) in &below {
        let back = direct.iter().filter(|other| reached(&below, other).contains(file.as_str()));
        offences.extend(back.map(|other| format!("{file} -> {other}, from where it is reached again")));
    }
    none("files depend on each other in one direction", offences);
}
