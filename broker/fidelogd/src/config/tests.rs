//! What a configuration is refused for, and what the message tells.

use std::path::Path;

use super::{ConfigError, Loaded, load_text};

const GOOD: &str = r#"
[broker]
id = 1
data_dir = "/var/lib/fidelog"
[cluster]
id = "5b7c7d43-7a0e-4b6a-9a56-1f0c3c8a2f11"
brokers = [
    { id = 1, client = "127.0.0.1:9094", peer = "127.0.0.1:9095" },
    { id = 2, client = "127.0.0.1:9194", peer = "127.0.0.1:9195" },
    { id = 3, client = "127.0.0.1:9294", peer = "127.0.0.1:9295" },
]
"#;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load_text(Path::new("broker.toml"), text, environment)
}

fn refusal(text: &str) -> String {
    load(text, &[]).expect_err("it was accepted").to_string()
}

#[test]
fn a_small_file_is_enough() {
    let loaded = load(GOOD, &[]).unwrap();
    assert_eq!(loaded.node.advertise, "127.0.0.1:9094");
    assert!(loaded.node.is_controller());
}

#[test]
fn the_environment_wins_and_is_named_as_the_source() {
    let loaded = load(GOOD, &[("FIDELOGD_BROKER__ID", "2"), ("FIDELOGD_LOG_LEVEL", "debug")]).unwrap();
    assert_eq!(loaded.node.broker.0, 2);
    assert!(loaded.values.to_string().contains("FIDELOGD_BROKER__ID"));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_a_likely_one() {
    let text = format!("{GOOD}[log]\nsegment_byte = 5\n");
    assert_eq!(refusal(&text), "broker.toml:13: unknown key `log.segment_byte`; did you mean `log.segment_bytes`?");
    assert!(load(GOOD, &[("FIDELOGD_LOG__NOPE", "1")]).is_err());
}

#[test]
fn a_value_out_of_range_is_named_with_the_range() {
    let text = format!("{GOOD}[log]\nsegment_bytes = 5\n");
    assert_eq!(refusal(&text), "broker.toml:13: log.segment_bytes = 5: allowed is 4096 to 1073741824");
}

#[test]
fn what_cannot_work_together_is_refused() {
    for (from, to, word) in [
        ("id = 1\ndata", "id = 9\ndata", "does not list broker 9"),
        ("id = 2,", "id = 1,", "twice"),
        ("127.0.0.1:9194", "127.0.0.1:9094", "same address"),
        ("\"/var/lib", "\"var/lib", "absolute"),
        ("id = 1\ndata", "id = 1\nlisten = \"0.0.0.0:9094\"\ndata", "unsafe_open_access"),
        ("id = 1\ndata", "id = 1\nid = 2\ndata", "duplicate"),
    ] {
        let message = refusal(&GOOD.replacen(from, to, 1));
        assert!(message.contains(word), "{message:?} does not tell {word:?}");
    }
}

#[test]
fn one_broker_must_be_wanted() {
    let lone = r#"
[broker]
id = 1
data_dir = "/var/lib/fidelog"
[cluster]
id = "5b7c7d43-7a0e-4b6a-9a56-1f0c3c8a2f11"
brokers = [{ id = 1, client = "127.0.0.1:9094", peer = "127.0.0.1:9095" }]
"#;
    assert!(refusal(lone).contains("allow_unreplicated"));
    assert!(load(&format!("{lone}allow_unreplicated = true\n"), &[]).is_ok());
}
