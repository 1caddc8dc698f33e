//! What is in the memory of a process.

/// All that a process may write to; `None`: not permitted here.
pub fn process_memory(pid: u32) -> Option<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut file = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let from = u64::from_str_radix(from, 16).ok()?;
        let length = u64::from_str_radix(to, 16).ok()? - from;
        file.seek(SeekFrom::Start(from)).ok()?;
        // some ranges are the kernel's own and cannot be read
        let _ = Read::by_ref(&mut file).take(length).read_to_end(&mut all);
    }
    (!all.is_empty()).then_some(all)
}

/// Where `word` ends in `bytes`, each time it is there.
pub fn places<'a>(bytes: &'a [u8], word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let (last, before) = word.as_bytes().split_last().expect("a word has letters");
    let ends = bytes.iter().enumerate().filter(move |(_, byte)| *byte == last).map(|(at, _)| at);
    ends.filter(move |at| bytes[..*at].ends_with(before)).map(|at| at + 1)
}
