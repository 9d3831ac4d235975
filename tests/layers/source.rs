//! The project's sources as the layer test reads them: without comments and strings, and without code that only
//! tests compile.
//!
//! A simple reader, not a parser: it knows comments, strings, raw strings and character literals, and where a
//! `#[cfg(test)]` module ends.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the project's root, with `/`.
    pub path: String,
    pub line_count: usize,
    /// The text with every comment, string and character literal blanked; lines stay where they were.
    pub code: String,
    /// As `code`, without modules that only tests compile; empty when the whole file is one.
    pub shipped: String,
}

/// The root of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies below the root").to_owned()
}

/// Every Rust file below the project's crates, in order.
pub(crate) fn all() -> Vec<Source> {
    let mut files = Vec::new();
    for folder in ["proto", "broker", "client", "tests", "benches"] {
        collect(&root().join(folder), &mut files);
    }
    files.sort();
    let texts: Vec<(PathBuf, String)> = files
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(&path).expect("sources are text")))
        .collect();
    let mut test_files = BTreeSet::new();
    let mut sources = Vec::new();
    for (path, text) in &texts {
        let (shipped, modules) = without_tests(text, &blanked(text));
        test_files.extend(modules.into_iter().flat_map(|module| module.places(path)));
        let relative =
            path.strip_prefix(root()).expect("found below the root").to_string_lossy().into_owned();
        sources.push(Source {
            path: relative,
            line_count: text.lines().count(),
            code: blanked(text),
            shipped,
        });
    }
    for source in &mut sources {
        let path = root().join(&source.path);
        if path.ancestors().any(|ancestor| test_files.contains(ancestor)) {
            source.shipped.clear();
        }
    }
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A module in a file of its own that only tests compile.
#[derive(Debug, PartialEq, Eq)]
struct TestModule {
    name: String,
    path: Option<String>,
}

impl TestModule {
    /// The files and folders it may lie in, declared by the file at `by`.
    fn places(&self, by: &Path) -> Vec<PathBuf> {
        let folder = by.parent().expect("a file lies in a folder");
        if let Some(path) = &self.path {
            return vec![folder.join(path), folder.join(path.trim_end_matches(".rs"))];
        }
        let is_root = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| by.ends_with(name));
        let below = if is_root { folder.to_owned() } else { by.with_extension("") };
        vec![below.join(format!("{}.rs", self.name)), below.join(&self.name)]
    }
}

/// Blanks what is no code: comments, strings, characters.
pub(crate) fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).expect("whole literals were blanked")
}

/// Where the comment or literal that begins at `at` ends; `at` when none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return comment_end(bytes, at);
    }
    if rest.starts_with(b"\"") {
        return quoted_end(bytes, at + 1, b'"');
    }
    let raw = rest.iter().skip(1).take_while(|byte| **byte == b'#').count();
    if !in_word && rest[0] == b'r' && rest.get(1 + raw) == Some(&b'"') {
        let close = [b"\"".as_slice(), &b"#".repeat(raw)].concat();
        let body = at + raw + 2;
        let length = bytes[body..].windows(close.len()).position(|window| window == close);
        return length.map_or(bytes.len(), |length| body + length + close.len());
    }
    if rest[0] == b'\'' && is_character(rest) {
        return quoted_end(bytes, at + 1, b'\'');
    }
    at
}

/// Whether a quote begins a character, and not a lifetime.
fn is_character(rest: &[u8]) -> bool {
    match rest.get(1) {
        Some(b'\\') => true,
        Some(byte) if byte.is_ascii() => rest.get(2) == Some(&b'\''),
        _ => true,
    }
}

fn comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn quoted_end(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The code without modules that only tests compile, and those of them that are files.
fn without_tests(text: &str, code: &str) -> (String, Vec<TestModule>) {
    const MARK: &str = "#[cfg(test)]";
    let mut shipped = code.to_owned();
    let mut modules = Vec::new();
    for (mark, _) in code.match_indices(MARK) {
        let mut at = mark + MARK.len();
        let mut path = None;
        loop {
            at += code[at..].len() - code[at..].trim_start().len();
            if !code[at..].starts_with("#[") {
                break;
            }
            let Some(length) = code[at..].find(']') else { break };
            path = text[at..at + length]
                .split('"')
                .nth(1)
                .filter(|_| code[at..].starts_with("#[path"))
                .or(path.as_deref())
                .map(str::to_owned);
            at += length + 1;
        }
        let end = item_end(code, at);
        let item = &code[at..end];
        if let Some(rest) = item.trim_start_matches("pub(crate) ").strip_prefix("mod ")
            && let Some(name) = rest.strip_suffix(';')
        {
            modules.push(TestModule { name: name.trim().to_owned(), path });
        }
        let blank: String = code[mark..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        if blank.len() == end - mark {
            shipped.replace_range(mark..end, &blank);
        }
    }
    (shipped, modules)
}

/// The end of the item that begins at `at`: its `;`, or the brace that closes it.
fn item_end(code: &str, at: usize) -> usize {
    let mut depth = 0;
    for (index, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return index + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return index + 1,
            _ => {}
        }
    }
    code.len()
}

/// The lines, counted from 1, where `word` stands as a path or word of its own.
pub(crate) fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let continues = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let found = code.match_indices(word).filter(|(at, _)| {
        let before = at.checked_sub(1).map(|before| code.as_bytes()[before]);
        let after = code.as_bytes().get(at + word.len()).copied();
        !before.is_some_and(continues) && !after.is_some_and(continues)
    });
    found.map(|(at, _)| 1 + code[..at].matches('\n').count()).collect()
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    let text = "a /* b /* c */ d */ e \"f \\\" g\" h r#\"i \" j\"# k 'l' '\\'' m<'n> // o\np";
    let words: Vec<_> = blanked(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "e", "h", "k", "m<'n>", "p"]);
}

#[test]
fn test_modules_are_not_shipped() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { \"}\" } }\n#[cfg(test)]\n#[path = \"c_tests.rs\"]\nmod c;\nfn d() {}";
    let (shipped, modules) = without_tests(text, &blanked(text));
    assert_eq!(shipped.split_whitespace().collect::<Vec<_>>(), ["fn", "a()", "{}", "fn", "d()", "{}"]);
    assert_eq!(modules, [TestModule { name: "c".into(), path: Some("c_tests.rs".into()) }]);
}
