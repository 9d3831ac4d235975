//! Reads the file: TOML with the line of every value.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::settings::{ListedBroker, Source, Values};

/// Adds what `text` sets to `values`.
pub(super) fn read(path: &Path, text: &str, values: &mut Values) -> Result<(), ConfigError> {
    let syntax = |message: String| ConfigError::Syntax { path: path.to_owned(), message };
    let document = DeTable::parse(text).map_err(|error| syntax(error.to_string().trim_end().to_owned()))?;
    let at = |position: usize| {
        let line = text.bytes().take(position).filter(|&byte| byte == b'\n').count() + 1;
        Source::File(path.to_owned(), line)
    };
    for (section, content) in document.get_ref() {
        let DeValue::Table(table) = content.get_ref() else {
            return Err(ConfigError::UnknownKey {
                source_: at(section.span().start),
                key: section.get_ref().to_string(),
                near: None,
            });
        };
        for (name, value) in table {
            let (key, source) = (format!("{}.{}", section.get_ref(), name.get_ref()), at(name.span().start));
            if key == "cluster.brokers" {
                values.brokers = brokers(value, &key, &at)?;
            } else {
                let text = scalar(value.get_ref()).ok_or_else(|| not_scalar(&key, source.clone()))?;
                values.set(&key, text, source)?;
            }
        }
    }
    Ok(())
}

fn not_scalar(key: &str, source_: Source) -> ConfigError {
    let allowed = "a number, a text or true/false is expected".to_owned();
    ConfigError::Value { source_, key: key.to_owned(), value: "(a list or table)".to_owned(), allowed }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string().replace('_', ""),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}

fn brokers(
    list: &Spanned<DeValue<'_>>,
    key: &str,
    at: &dyn Fn(usize) -> Source,
) -> Result<Vec<ListedBroker>, ConfigError> {
    let wrong = |source_: Source| ConfigError::Value {
        source_,
        key: key.to_owned(),
        value: "…".to_owned(),
        allowed: "a list of { id = 1, client = \"host:9094\", peer = \"host:9095\" } is expected".to_owned(),
    };
    let DeValue::Array(items) = list.get_ref() else { return Err(wrong(at(list.span().start))) };
    let mut found = Vec::new();
    for item in items {
        let source = at(item.span().start);
        let DeValue::Table(table) = item.get_ref() else { return Err(wrong(source)) };
        let mut fields = BTreeMap::new();
        for (name, value) in table {
            let name = name.get_ref().to_string();
            if !["id", "client", "peer"].contains(&name.as_str()) {
                let key = format!("{key}.{name}");
                return Err(ConfigError::UnknownKey { source_: source, key, near: None });
            }
            let text = scalar(value.get_ref()).ok_or_else(|| wrong(source.clone()))?;
            fields.insert(name, text);
        }
        found.push(ListedBroker { fields, source });
    }
    Ok(found)
}
