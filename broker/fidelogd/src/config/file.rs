//! Reads the file: TOML with the line of every value.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::settings::{self, ListedBroker, Source, Values};

/// Adds what `text` sets to `values`; gives what is wrong with it.
pub(super) fn read(path: &Path, text: &str, values: &mut Values) -> Vec<ConfigError> {
    let at = |position: usize| {
        let line = text.bytes().take(position).filter(|&byte| byte == b'\n').count() + 1;
        Source::File(path.to_owned(), line)
    };
    let (document, faults) = DeTable::parse_recoverable(text);
    let fault = |error: toml::de::Error| ConfigError::Syntax {
        source_: at(error.span().map_or(0, |span| span.start)),
        message: error.message().trim_end().replace('\n', ", "),
    };
    let mut mistakes: Vec<ConfigError> = faults.into_iter().map(fault).collect();
    if !mistakes.is_empty() {
        return mistakes;
    }
    for (section, content) in document.get_ref() {
        let source_ = at(section.span().start);
        let name = section.get_ref().to_string();
        let DeValue::Table(table) = content.get_ref() else {
            mistakes.push(ConfigError::UnknownKey { source_, key: name, near: None });
            continue;
        };
        if let Err(unknown) = settings::check_section(&name, source_) {
            mistakes.push(unknown);
            continue;
        }
        for (name, value) in table {
            let (key, source) = (format!("{}.{}", section.get_ref(), name.get_ref()), at(name.span().start));
            if key == "cluster.brokers" {
                values.brokers_source = Some(source);
                match brokers(value, &key, &at) {
                    Ok(found) => values.brokers = found,
                    Err(mistake) => mistakes.push(mistake),
                }
            } else {
                let scalar = scalar(value.get_ref()).ok_or_else(|| not_scalar(&key, source.clone()));
                mistakes.extend(scalar.and_then(|text| values.set(&key, text, source)).err());
            }
        }
    }
    mistakes
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
            if !["id", "client", "peer", "role"].contains(&name.as_str()) {
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
