//! Sizes and durations as people write and read them.
//!
//! `k`, `m`, `g`, `t` (also `KiB`, `MiB`, ...) are powers of 1,024, everywhere. Decimal units are refused rather
//! than guessed at.

use std::time::Duration;

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// Bytes of a text such as `512`, `64k`, `1.5MiB`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is not a size; write bytes, or a number with k, m, g or t (powers of 1,024)");
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 1,
        "m" | "mib" => 2,
        "g" | "gib" => 3,
        "t" | "tib" => 4,
        _ => return Err(wrong()),
    };
    let scale = 1024u64.pow(power);
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale).ok_or_else(wrong);
    }
    let (whole, part) =
        number.split_once('.').filter(|(_, part)| (1..=9).contains(&part.len())).ok_or_else(wrong)?;
    let digits = u32::try_from(part.len()).map_err(|_| wrong())?;
    let (whole, part) =
        (whole.parse::<u64>().map_err(|_| wrong())?, part.parse::<u64>().map_err(|_| wrong())?);
    let part = u128::from(part) * u128::from(scale) / u128::from(10u64.pow(digits));
    let bytes = u128::from(whole) * u128::from(scale) + part;
    u64::try_from(bytes).map_err(|_| wrong())
}

/// A size as clap wants it, for memory: at least one byte.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    match usize::try_from(parse_bytes(text)?) {
        Ok(0) | Err(_) => Err(format!("`{text}` is not a size that can be used here; use at least 1 byte")),
        Ok(bytes) => Ok(bytes),
    }
}

/// A duration such as `500ms`, `10s`, `7d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 500ms, 10s, 5m, 1h or 7d"))
}

/// A duration to wait for something: not zero, for nothing is there at once.
pub(crate) fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("nothing can be done in no time; use at least 1ms".to_owned()),
        timeout => Ok(timeout),
    }
}

/// As people read it: three digits or so.
pub(crate) fn bytes(count: u64) -> String {
    let mut unit = 0;
    let mut scale = 1u64;
    while unit + 1 < UNITS.len() && count / scale >= 1024 {
        scale *= 1024;
        unit += 1;
    }
    let tenths = u128::from(count) * 10 / u128::from(scale);
    match unit {
        0 => format!("{count} B"),
        _ => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

/// A duration of milliseconds, its largest two units.
pub(crate) fn duration_ms(ms: u64) -> String {
    let text = humantime::format_duration(Duration::from_millis(ms)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// A point in time, Unix milliseconds, as RFC 3339 in UTC; `-` for 0.
pub(crate) fn time_ms(ms: u64) -> String {
    let stamp = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match (ms, stamp) {
        (0, _) => "-".to_owned(),
        (_, Some(stamp)) => format!("{stamp:.3}"),
        (_, None) => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_time_is_no_timeout() {
        assert_eq!(parse_timeout("1ms"), Ok(Duration::from_millis(1)));
        assert!(parse_timeout("0s").is_err());
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        let known =
            [("0", 0), ("512", 512), ("4k", 4096), ("1.5MiB", 1_572_864), ("2 GiB", 2 << 30), ("7b", 7)];
        for (text, bytes) in known {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "1kb", "-1", "1.k", ".5k", "1.5.5k", "99999999999t", "1e3"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536)], ["0 B", "1023 B", "1.5 KiB"]);
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
        assert_eq!(duration_ms(90_061_005), "1day 1h");
        assert_eq!(time_ms(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!([time_ms(0), time_ms(u64::MAX)], ["-".to_owned(), format!("{} ms", u64::MAX)]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _any = (parse_bytes(&text), parse_duration(&text));
        }

        #[test]
        fn whole_numbers_are_bytes(count: u64) {
            prop_assert_eq!(parse_bytes(&count.to_string()), Ok(count));
        }
    }
}
