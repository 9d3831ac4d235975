//! Characters that a shell does not let through, as `-f` and `-K` take them.

/// What stands for `\c`.
pub(crate) fn escape(c: Option<char>) -> Result<char, String> {
    match c {
        Some('n') => Ok('\n'),
        Some('t') => Ok('\t'),
        Some('r') => Ok('\r'),
        Some('0') => Ok('\0'),
        Some('\\') => Ok('\\'),
        Some(c) => Err(format!("`\\{c}` means nothing; use \\n \\t \\r \\0 or \\\\")),
        None => Err("the text ends within `\\`; write \\\\ for a backslash".to_owned()),
    }
}

/// A text with every escape replaced.
pub(crate) fn unescape(text: &str) -> Result<String, String> {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { escape(chars.next())? } else { c });
    }
    Ok(plain)
}
