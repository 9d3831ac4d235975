//! How records and receipts look.

use std::fmt::Write;

use fidelog_client::ConsumedRecord;

use super::ledger::Shown;

/// How much of a record is shown, in characters.
const RECORD_CHARS: usize = 88;

/// Partition, offset, value.
pub(super) fn record(record: &ConsumedRecord) -> String {
    let at = format!("{}/{}", record.partition, record.offset);
    format!("{at:>12} {}", bytes(record.value.as_deref().unwrap_or_default()))
}

/// Whether a value is one that others lose: it ends with a carriage return, has a zero byte, or is not UTF-8.
pub(super) fn is_rare(value: Option<&[u8]>) -> bool {
    value.is_none_or(|value| {
        value.is_empty()
            || value.ends_with(b"\r")
            || value.contains(&0)
            || std::str::from_utf8(value).is_err()
    })
}

/// Bytes for eyes: text as it is, everything else escaped; the end is cut off when it is long.
fn bytes(value: &[u8]) -> String {
    let mut text = String::from("|");
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => text.extend(control.escape_default()),
                plain => text.push(plain),
            }
        }
        for byte in chunk.invalid() {
            let _infallible = write!(text, "\\x{byte:02x}");
        }
        if text.len() > 4 * RECORD_CHARS {
            break;
        }
    }
    match text.char_indices().nth(RECORD_CHARS) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], value.len()),
        None => text + "|",
    }
}

/// Some receipts: who synced, how long each stage took.
pub(super) fn receipts(shown: &[&Shown]) -> String {
    let mut text = String::from(
        "        line  stored at  synced by      gather     queue    append      sync  replicate   network     total ms\n",
    );
    for Shown { line, receipt } in shown {
        let at =
            format!("{}/{}", receipt.partition, receipt.offset.map_or("?".to_owned(), |it| it.to_string()));
        let by: Vec<_> = receipt.synced_by.iter().map(ToString::to_string).collect();
        let by = by.join(", ");
        let stages = receipt.stages;
        let parts = [stages.gather_us, stages.queue_us, stages.append_us, stages.sync_us];
        let _infallible = write!(text, "  {line:>10}  {at:<9}  {by:<9}");
        for us in parts.into_iter().chain([stages.replication_us, stages.network_us, stages.client_us]) {
            let _infallible = write!(text, " {:>9}", milliseconds(us));
        }
        text.push_str(if receipt.duplicate { "  sent again, stored once\n" } else { "\n" });
    }
    text
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:03}", us / 1_000, us % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_so_that_they_can_be_told_apart() {
        assert_eq!(bytes(b""), "||");
        assert_eq!(bytes("grüße\r".as_bytes()), r"|grüße\r|");
        assert_eq!(bytes(b"caf\xe9 \\ \x00"), r"|caf\xe9 \\ \u{0}|");
        let long = bytes("ü".repeat(5_000).as_bytes());
        assert!(long.chars().count() < 120 && long.ends_with("(10000 bytes)"), "{long}");
    }

    #[test]
    fn rare_is_what_others_lose() {
        for rare in [Some(&b"a\r"[..]), Some(b"\xff"), Some(b"a\0b"), None] {
            assert!(is_rare(rare), "{rare:?}");
        }
        assert!(!is_rare(Some("grüße".as_bytes())));
    }

    #[test]
    fn microseconds_become_milliseconds() {
        assert_eq!([0, 7, 1_050, 3_000_001].map(milliseconds), ["0.000", "0.007", "1.050", "3000.001"]);
    }
}
