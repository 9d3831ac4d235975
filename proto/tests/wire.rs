//! The wire does not change by accident: numbers, types and labels are held against a golden file, and the meaning of
//! every reason is the same in the enum, in its comment and in `README.md`.
//!
//! What was added on purpose enters the golden file with `FIDELOG_BLESS=1 cargo test -p fidelog-proto`. What was
//! changed or removed breaks clients; reserve the number instead.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use fidelog_proto::v1::Reason;
use fidelog_proto::{Certainty, FILE_DESCRIPTOR_SET};
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet, ServiceDescriptorProto};

/// Path elements of `FileDescriptorProto.enum_type` and `EnumDescriptorProto.value`.
const ENUM_TYPE: i32 = 5;
const ENUM_VALUE: i32 = 2;

/// The public package, as the crate ships it.
fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap()
}

fn message_lines(prefix: &str, message: &DescriptorProto, lines: &mut Vec<String>) {
    let name = format!("{prefix}.{}", message.name());
    for field in &message.field {
        let kind = match field.r#type() {
            Type::Message | Type::Enum => field.type_name().to_owned(),
            other => format!("{other:?}").to_lowercase(),
        };
        let label = match field.label() {
            _ if field.proto3_optional() => "optional",
            Label::Repeated => "repeated",
            _ => "singular",
        };
        let mut line = format!("field {name}.{} = {} {kind} {label}", field.name(), field.number());
        if let (Some(index), false) = (field.oneof_index, field.proto3_optional()) {
            let oneof = usize::try_from(index).unwrap();
            write!(line, " oneof {}", message.oneof_decl[oneof].name()).unwrap();
        }
        lines.push(line);
    }
    for range in &message.reserved_range {
        lines.push(format!("reserved {name} {}..{}", range.start(), range.end()));
    }
    for nested in &message.nested_type {
        message_lines(&name, nested, lines);
    }
    for nested in &message.enum_type {
        enum_lines(&name, nested, lines);
    }
}

fn enum_lines(prefix: &str, declared: &EnumDescriptorProto, lines: &mut Vec<String>) {
    for value in &declared.value {
        lines.push(format!("value {prefix}.{}.{} = {}", declared.name(), value.name(), value.number()));
    }
}

fn service_lines(prefix: &str, service: &ServiceDescriptorProto, lines: &mut Vec<String>) {
    for method in &service.method {
        let stream = |streaming| if streaming { "stream " } else { "" };
        lines.push(format!(
            "method {prefix}.{}.{} ({}{}) returns ({}{})",
            service.name(),
            method.name(),
            stream(method.client_streaming()),
            method.input_type(),
            stream(method.server_streaming()),
            method.output_type(),
        ));
    }
}

fn surface(set: &FileDescriptorSet) -> String {
    let mut lines = Vec::new();
    for file in &set.file {
        let package = file.package();
        file.message_type.iter().for_each(|message| message_lines(package, message, &mut lines));
        file.enum_type.iter().for_each(|declared| enum_lines(package, declared, &mut lines));
        file.service.iter().for_each(|service| service_lines(package, service, &mut lines));
    }
    lines.sort();
    lines.join("\n") + "\n"
}

#[test]
fn numbers_types_and_methods_stay_as_they_are() {
    let now = surface(&descriptors());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fidelog_v1.txt");
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let missing: Vec<&str> = golden.lines().filter(|line| !now.lines().any(|other| other == *line)).collect();
    if std::env::var_os("FIDELOG_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
        return;
    }
    let added: Vec<&str> = now.lines().filter(|line| !golden.lines().any(|other| other == *line)).collect();
    assert!(
        missing.is_empty(),
        "changed or gone, which breaks clients: {missing:#?}; instead there are {added:#?}"
    );
    assert!(added.is_empty(), "new; if that is on purpose, run with FIDELOG_BLESS=1: {added:#?}");
}

/// The comment above every value of `Reason`.
fn comments() -> BTreeMap<String, String> {
    let set = descriptors();
    let declares =
        |file: &&prost_types::FileDescriptorProto| file.enum_type.iter().any(|e| e.name() == "Reason");
    let file = set.file.iter().find(declares).expect("one file declares Reason");
    let place = file.enum_type.iter().position(|declared| declared.name() == "Reason").unwrap();
    let mut comments = BTreeMap::new();
    for location in &file.source_code_info.as_ref().expect("comments are kept").location {
        if let [ENUM_TYPE, declared, ENUM_VALUE, value] = location.path[..]
            && usize::try_from(declared).unwrap() == place
        {
            let name = file.enum_type[place].value[usize::try_from(value).unwrap()].name();
            comments.insert(
                name.trim_start_matches("REASON_").to_owned(),
                location.leading_comments().trim().to_owned(),
            );
        }
    }
    comments
}

/// What a comment's first sentence says: "Definite, retriable", "Definite, not retriable …" or "Unknown".
fn meaning_of(comment: &str) -> (Certainty, bool) {
    let first = comment.split('.').next().unwrap();
    let certainty = match first.split([',', ' ']).next().unwrap() {
        "Definite" => Certainty::Definite,
        "Unknown" => Certainty::Unknown,
        other => panic!("a reason's comment begins with Definite or Unknown, not {other:?}"),
    };
    (certainty, first.contains("retriable") && !first.contains("not retriable"))
}

#[test]
fn every_reason_means_what_its_comment_says() {
    let mut comments = comments();
    comments.remove("UNSPECIFIED").expect("it has a comment");
    for reason in Reason::all() {
        let comment =
            comments.remove(reason.name()).unwrap_or_else(|| panic!("{} has no comment", reason.name()));
        let meaning = reason.meaning();
        assert_eq!(
            (meaning.certainty, meaning.retriable),
            meaning_of(&comment),
            "{}: {comment}",
            reason.name()
        );
        assert_eq!(Reason::from_name(reason.name()), Some(reason));
    }
    assert!(comments.is_empty(), "Reason::all misses {comments:?}");
}

#[test]
fn the_readme_lists_every_reason_as_it_is() {
    let readme = include_str!("../README.md");
    let row = |line: &&str| line.starts_with("| `");
    let mut rows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let table =
        readme.split("## Reasons").nth(1).expect("a section on reasons").split("\n## ").next().unwrap();
    for line in table.lines().filter(row) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        rows.insert(cells[0].trim_matches('`'), cells);
    }
    for reason in Reason::all() {
        let cells =
            rows.remove(reason.name()).unwrap_or_else(|| panic!("README.md does not list {}", reason.name()));
        let certainty = match reason.certainty() {
            Certainty::Definite => "definite",
            Certainty::Unknown => "unknown",
        };
        let number = (reason as i32).to_string();
        let retriable = if reason.retriable() { "yes" } else { "no" };
        assert_eq!(cells[1..4], [number.as_str(), certainty, retriable], "README.md, {}", reason.name());
        assert!(!cells[4].is_empty(), "README.md says what to do about {}", reason.name());
    }
    assert!(rows.is_empty(), "README.md lists reasons that do not exist: {:?}", rows.keys());
}

#[test]
fn reflection_tells_the_public_package_only() {
    assert!(!FILE_DESCRIPTOR_SET.is_empty());
    for file in descriptors().file {
        assert_eq!(file.package(), "fidelog.v1", "{}", file.name());
    }
}
