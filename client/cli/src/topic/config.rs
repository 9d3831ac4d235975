//! Settings of topics as people write them: sizes and durations in human form.

use std::collections::BTreeMap;

use fidelog_client::wire::ConfigValue;
use serde::Serialize;

use crate::output::Row;
use crate::quantity::{bytes, duration_ms, parse_bytes, parse_duration};

/// `KEY=VALUE`, its value in the unit that the key's name ends with.
pub(crate) fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .ok_or_else(|| format!("`{text}` is no setting; write it as key=value, such as retention_ms=7d"))?;
    Ok((key.to_owned(), in_unit(key, value)?))
}

/// Plain numbers pass as they are: the broker knows its limits better.
fn in_unit(key: &str, value: &str) -> Result<String, String> {
    if value.parse::<i64>().is_ok() {
        return Ok(value.to_owned());
    }
    if key.ends_with("_ms") {
        return parse_duration(value).map(|duration| duration.as_millis().to_string());
    }
    if key.ends_with("_bytes") || key.ends_with("_bytes_max") {
        return parse_bytes(value).map(|bytes| bytes.to_string());
    }
    Ok(value.to_owned())
}

/// Settings by name; one given twice is refused.
pub(crate) fn settings<V>(
    given: impl IntoIterator<Item = (String, V)>,
) -> Result<BTreeMap<String, V>, crate::exit::Failure> {
    let mut settings = BTreeMap::new();
    for (key, value) in given {
        if settings.contains_key(&key) {
            return Err(crate::exit::Failure::usage(format!("`{key}` is given twice")));
        }
        settings.insert(key, value);
    }
    Ok(settings)
}

/// A setting in force.
#[derive(Debug, Serialize)]
pub(super) struct ConfigRow {
    key: String,
    value: String,
    source: String,
}

impl From<ConfigValue> for ConfigRow {
    fn from(config: ConfigValue) -> Self {
        Self { key: config.key, value: config.value, source: config.source }
    }
}

impl ConfigRow {
    fn human(&self) -> String {
        let number = self.value.parse::<u64>();
        match number {
            Ok(number) if self.key.ends_with("_ms") => duration_ms(number),
            Ok(number) if self.key.contains("_bytes") => bytes(number),
            _ => self.value.clone(),
        }
    }
}

impl Row for ConfigRow {
    const COLUMNS: &'static [&'static str] = &["CONFIG", "VALUE", "SOURCE", "MEANS"];

    fn name(&self) -> String {
        self.key.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.key.clone(), self.value.clone(), self.source.clone(), self.human()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_their_keys_unit() {
        let read = |text: &str| parse_setting(text).map(|(_, value)| value);
        assert_eq!(read("retention_ms=7d").unwrap(), "604800000");
        assert_eq!(read("segment_bytes=64m").unwrap(), "67108864");
        assert_eq!(read("record_bytes_max=1MiB").unwrap(), "1048576");
        assert_eq!(read("retention_ms=-1").unwrap(), "-1");
        assert_eq!(read("min_insync_replicas=2").unwrap(), "2");
        for wrong in ["retention_ms", "=1", "a=", "retention_ms=7x", "segment_bytes=1kb"] {
            assert!(parse_setting(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_setting_given_twice_is_refused() {
        let pair = |value: &str| ("a".to_owned(), value.to_owned());
        assert!(settings([pair("1"), pair("2")]).is_err());
        assert_eq!(settings([pair("1")]).unwrap()["a"], "1");
    }
}
