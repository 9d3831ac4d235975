//! What a configuration is refused for, and what the message tells.

use std::path::Path;

use super::{ConfigErrors, Loaded, load_text};

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

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
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
    assert_eq!(
        refusal(&text),
        "broker.toml:13: unknown key `log.segment_byte`; did you mean `log.segment_bytes`?"
    );
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

/// `config check` named one mistake of several, and some without their line.
#[test]
fn every_mistake_is_named_on_a_line_of_its_own_with_where_it_stands() {
    let text = format!(
        "{GOOD}allow_unreplicated = 1\nfoo = 1\n[logg]\n# segment_ms = 1\n[topic_defaults]\nreplication_factor = 9\n\
         min_insync_replicas = 12\nretention_ms = 5\n[broker.more]\n"
    );
    let text = text.replacen("id = 1\ndata", "id = 9\nbar = 2\nlisten = \"0.0.0.0:9094\"\ndata", 1);
    let message = refusal(&text);
    let lines: Vec<&str> = message.lines().collect();
    for expected in [
        "broker.toml:4: unknown key `broker.bar`",
        "broker.toml:3: cluster.brokers does not list broker 9",
        "broker.toml:5: broker.listen = 0.0.0.0:9094: this is beyond loopback",
        "broker.toml:14: cluster.allow_unreplicated = 1",
        "broker.toml:15: unknown key `cluster.foo`",
        "broker.toml:16: unknown section [logg]; did you mean [log]?",
        "broker.toml:19: topic_defaults.replication_factor = 9: cluster.brokers lists 3",
        "broker.toml:20: topic_defaults.min_insync_replicas = 12: topic_defaults.replication_factor is 9",
        "broker.toml:21: [topic_defaults] retention_ms = 5 is",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected:?} is not in\n{message}");
    }
    let broken = refusal("[broker]\nid = \nlisten = [\n");
    assert!(broken.lines().all(|line| line.starts_with("broker.toml:")), "{broken}");
}

#[test]
fn the_three_lowest_decide_metadata_unless_roles_are_told() {
    let roles = |text: &str| -> Vec<String> {
        load(text, &[]).unwrap().node.brokers.iter().map(|it| it.role.to_string()).collect()
    };
    let fourth = "    { id = 4, client = \"127.0.0.1:9394\", peer = \"127.0.0.1:9395\" },\n]";
    let four = GOOD.replacen("\n]", &format!("\n{fourth}"), 1);
    assert_eq!(roles(&four), ["both", "both", "both", "broker"]);
    let voter = GOOD.replacen("9295\" }", "9295\", role = \"controller\" }", 1);
    assert_eq!(roles(&voter), ["broker", "broker", "controller"]);
    let both = voter.replacen("9095\" }", "9095\", role = \"both\" }", 1);
    let both = both.replacen("9195\" }", "9195\", role = \"both\" }", 1);
    let loaded = load(&both, &[]).unwrap().node;
    assert_eq!((loaded.controllers().len(), loaded.founder().unwrap().0), (3, 1));
    let two = four.replacen("9395\" }", "9395\", role = \"both\" }", 1);
    let two = two.replacen("9095\" }", "9095\", role = \"both\" }", 1);
    assert!(refusal(&two).contains("2 nodes the role controller or both"), "{}", refusal(&two));
    let other = voter.replacen("\"controller\"", "\"leader\"", 1);
    assert!(refusal(&other).contains("`broker`, `controller` or `both`"), "{}", refusal(&other));
}

const EXAMPLE: &str = include_str!("../../fidelog.example.toml");

#[test]
fn the_example_is_a_configuration_for_three_machines() {
    let node = load(EXAMPLE, &[]).unwrap().node;
    assert_eq!(node.brokers.len(), 3);
    for (id, address) in [("1", "10.0.0.1"), ("2", "10.0.0.2"), ("3", "10.0.0.3")] {
        let (listen, peer_listen) = (format!("{address}:9094"), format!("{address}:9095"));
        let changed = [
            ("FIDELOGD_BROKER__ID", id),
            ("FIDELOGD_BROKER__LISTEN", &listen),
            ("FIDELOGD_BROKER__PEER_LISTEN", &peer_listen),
        ];
        let node = load(EXAMPLE, &changed).unwrap().node;
        assert_eq!((node.broker.to_string(), node.advertise), (id.to_owned(), listen));
    }
}

/// Settings whose default follows from others: the example shows what they may look like.
const WITHOUT_DEFAULT: [&str; 3] = ["broker.rack", "log.free_bytes_min", "topic_defaults.retention_bytes"];

#[test]
fn the_example_shows_every_setting_with_its_default() {
    let is_setting =
        |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', '{', '`']));
    let uncomment = |line: &'static str| match line.strip_prefix("# ") {
        Some(rest) if is_setting(rest) => rest,
        _ => line,
    };
    let all: Vec<_> = EXAMPLE.lines().map(uncomment).collect();
    let loaded = load(&all.join("\n"), &[]).unwrap();
    for setting in super::SETTINGS {
        let value = loaded.values.get(setting.key).filter(|value| value.source != super::Source::Default);
        if setting.key == "broker.advertise" {
            continue;
        }
        let value = value.unwrap_or_else(|| panic!("the example does not show {}", setting.key));
        let changed =
            ["broker.listen", "broker.peer_listen", "broker.unsafe_open_access"].contains(&setting.key);
        match setting.default {
            Some(default) if !changed => assert_eq!(value.text, default, "{}", setting.key),
            Some(_) => {}
            None => assert!(
                WITHOUT_DEFAULT.contains(&setting.key) || !EXAMPLE.contains(&format!("# {} ", setting.key)),
                "{}",
                setting.key
            ),
        }
    }
}
