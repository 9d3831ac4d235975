//! The offset grammar: where reading begins and ends. Pure; what the words mean in a partition is `resolve`'s.
//!
//! ```text
//!  start           the first record kept        N     this offset
//!  end             the first not yet committed  +N    N behind the start
//!  group           where the group stands       -N    N before the end
//!  @2026-01-31T10:00:00Z, @1767225600000 (Unix ms), @-1h (ago)    the first record at or after that time
//!  A:B             a range; an end left out is start, or end; B is exclusive
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// One place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetSpec {
    Start,
    End,
    Group,
    At(u64),
    AfterStart(u64),
    BeforeEnd(u64),
    /// Unix milliseconds.
    Time(u64),
    /// Before now, milliseconds.
    Ago(u64),
}

/// A text that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no offset; write start, end, N, +N, -N, @2026-01-31T10:00:00Z, @unix-milliseconds, @-1h or group"
)]
pub(crate) struct OffsetError {
    text: String,
}

impl FromStr for OffsetSpec {
    type Err = OffsetError;

    fn from_str(text: &str) -> Result<Self, OffsetError> {
        parse(text).ok_or_else(|| OffsetError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<OffsetSpec> {
    match text {
        "start" => return Some(OffsetSpec::Start),
        "end" => return Some(OffsetSpec::End),
        "group" => return Some(OffsetSpec::Group),
        _ => {}
    }
    match text.as_bytes().first()? {
        b'+' => number(&text[1..]).map(OffsetSpec::AfterStart),
        b'-' => number(&text[1..]).map(OffsetSpec::BeforeEnd),
        b'@' => time(&text[1..]),
        _ => number(text).map(OffsetSpec::At),
    }
}

/// Digits only: a sign of its own would mean something else.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn time(text: &str) -> Option<OffsetSpec> {
    if let Some(ago) = text.strip_prefix('-') {
        let ago: Duration = humantime::parse_duration(ago).ok()?;
        return u64::try_from(ago.as_millis()).ok().map(OffsetSpec::Ago);
    }
    if let Some(ms) = number(text) {
        return Some(OffsetSpec::Time(ms));
    }
    // A text that names no zone names no point in time, and is refused.
    let stamp: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(stamp.as_millisecond()).ok().map(OffsetSpec::Time)
}

impl fmt::Display for OffsetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::End => f.write_str("end"),
            Self::Group => f.write_str("group"),
            Self::At(offset) => write!(f, "{offset}"),
            Self::AfterStart(records) => write!(f, "+{records}"),
            Self::BeforeEnd(records) => write!(f, "-{records}"),
            Self::Time(ms) => write!(f, "@{ms}"),
            Self::Ago(ms) => write!(f, "@-{ms}ms"),
        }
    }
}

/// `A:B`, B exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetRange {
    pub(crate) from: OffsetSpec,
    pub(crate) to: OffsetSpec,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangeError {
    /// No colon parts it into two offsets.
    #[error("`{text}` is no range; write two offsets as A:B, such as 100:200, @-2h:@-1h or -10:end")]
    None {
        /// What was given.
        text: String,
    },
    /// Several colons do.
    #[error(
        "`{text}` can be read as more than one range; write times in Unix milliseconds, or use --from and --to"
    )]
    Several {
        /// What was given.
        text: String,
    },
}

impl FromStr for OffsetRange {
    type Err = RangeError;

    /// Times hold colons too, so every colon is tried; exactly one must part two offsets.
    fn from_str(text: &str) -> Result<Self, RangeError> {
        let mut ranges = text.match_indices(':').filter_map(|(at, _)| range(&text[..at], &text[at + 1..]));
        match (ranges.next(), ranges.next()) {
            (Some(range), None) => Ok(range),
            (None, _) => Err(RangeError::None { text: text.to_owned() }),
            (Some(_), Some(_)) => Err(RangeError::Several { text: text.to_owned() }),
        }
    }
}

fn range(from: &str, to: &str) -> Option<OffsetRange> {
    let from = if from.is_empty() { OffsetSpec::Start } else { parse(from)? };
    let to = if to.is_empty() { OffsetSpec::End } else { parse(to)? };
    Some(OffsetRange { from, to })
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_read() {
        let known = [
            ("start", OffsetSpec::Start),
            ("end", OffsetSpec::End),
            ("group", OffsetSpec::Group),
            ("0", OffsetSpec::At(0)),
            ("18446744073709551615", OffsetSpec::At(u64::MAX)),
            ("+7", OffsetSpec::AfterStart(7)),
            ("-10", OffsetSpec::BeforeEnd(10)),
            ("@1767225600000", OffsetSpec::Time(1_767_225_600_000)),
            ("@2026-01-01T00:00:00Z", OffsetSpec::Time(1_767_225_600_000)),
            ("@2026-01-01T01:00:00+01:00", OffsetSpec::Time(1_767_225_600_000)),
            ("@-1h", OffsetSpec::Ago(3_600_000)),
            ("@-90s", OffsetSpec::Ago(90_000)),
        ];
        for (text, spec) in known {
            assert_eq!(text.parse(), Ok(spec), "{text}");
        }
    }

    #[test]
    fn what_is_no_offset_is_refused() {
        let wrong = [
            "",
            "Start",
            "begin",
            "1.5",
            "--1",
            "+-1",
            "-+1",
            "@",
            "@-",
            "@now",
            "@2026-01-01",
            "@2026-01-01T00:00:00",
            "@1969-01-01T00:00:00Z",
            "18446744073709551616",
            " 1",
            "1 ",
            "+",
            "-",
        ];
        for text in wrong {
            assert!(text.parse::<OffsetSpec>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn ranges_part_at_the_one_colon_that_fits() {
        let range = |text: &str| text.parse::<OffsetRange>();
        assert_eq!(range("1:5"), Ok(OffsetRange { from: OffsetSpec::At(1), to: OffsetSpec::At(5) }));
        assert_eq!(range(":"), Ok(OffsetRange { from: OffsetSpec::Start, to: OffsetSpec::End }));
        assert_eq!(range("-9:"), Ok(OffsetRange { from: OffsetSpec::BeforeEnd(9), to: OffsetSpec::End }));
        let day = range("@2026-01-01T00:00:00Z:@2026-01-02T00:00:00Z").unwrap();
        assert_eq!(day.from, OffsetSpec::Time(1_767_225_600_000));
        assert_eq!(day.to, OffsetSpec::Time(1_767_225_600_000 + 86_400_000));
        assert!(matches!(range("15"), Err(RangeError::None { .. })));
        assert!(matches!(range("a:b"), Err(RangeError::None { .. })));
    }

    fn spec() -> impl Strategy<Value = OffsetSpec> {
        prop_oneof![
            Just(OffsetSpec::Start),
            Just(OffsetSpec::End),
            Just(OffsetSpec::Group),
            any::<u64>().prop_map(OffsetSpec::At),
            any::<u64>().prop_map(OffsetSpec::AfterStart),
            any::<u64>().prop_map(OffsetSpec::BeforeEnd),
            any::<u64>().prop_map(OffsetSpec::Time),
            (0..10_000_000_000_000u64).prop_map(OffsetSpec::Ago),
        ]
    }

    proptest! {
        #[test]
        fn an_offset_survives_its_text(spec in spec()) {
            prop_assert_eq!(spec.to_string().parse(), Ok(spec));
        }

        #[test]
        fn a_range_survives_its_text(from in spec(), to in spec()) {
            let range = OffsetRange { from, to };
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _any = (text.parse::<OffsetSpec>(), text.parse::<OffsetRange>());
        }

        #[test]
        fn nearly_right_texts_do_not_panic(text in "[@+:.0-9a-zTZ-]{0,40}") {
            let _any = (text.parse::<OffsetSpec>(), text.parse::<OffsetRange>());
        }
    }
}
