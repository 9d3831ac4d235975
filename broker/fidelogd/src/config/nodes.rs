//! `cluster.brokers`: the nodes of the cluster, what each does, and whether all of them together can work.

use fidelog_broker::node::{BrokerAddress, Role};
use fidelog_broker::types::BrokerId;

use super::error::ConfigError;
use super::node::Reader;
use super::settings::{ListedBroker, Source};

/// More voters than this make every change of the metadata slower and little safer.
const CONTROLLERS_MAX: usize = 7;

/// A node as it is listed: its role is none when it is not told.
struct Listed {
    id: BrokerId,
    client: String,
    peer: String,
    role: Option<Role>,
}

fn listed(broker: &ListedBroker) -> Result<Listed, ConfigError> {
    let field = |name: &str| {
        broker.fields.get(name).cloned().ok_or_else(|| ConfigError::Value {
            source_: broker.source.clone(),
            key: format!("cluster.brokers.{name}"),
            value: "-".to_owned(),
            allowed: "each broker has id, client and peer".to_owned(),
        })
    };
    let wrong = |name: &str, value: &str, allowed: &str| ConfigError::Value {
        source_: broker.source.clone(),
        key: format!("cluster.brokers.{name}"),
        value: value.to_owned(),
        allowed: allowed.to_owned(),
    };
    let id = field("id")?;
    let number: u32 = id.parse().map_err(|_| wrong("id", &id, "a number from 1 is expected"))?;
    if number == 0 {
        return Err(wrong("id", &id, "a number from 1 is expected"));
    }
    let address = |name: &str| {
        let text = field(name)?;
        let port = text
            .rsplit_once(':')
            .and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok())?);
        if port.is_none_or(|port| port == 0) {
            return Err(wrong(name, &text, "host:port is expected, the port not 0"));
        }
        Ok(text)
    };
    let role = match broker.fields.get("role") {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| wrong("role", text, &format!("{error}")))?),
    };
    Ok(Listed { id: BrokerId(number), client: address("client")?, peer: address("peer")?, role })
}

/// The list, each entry and all of them together checked; `None` when any is wrong.
pub(super) fn nodes(read: &Reader<'_>, allow_unreplicated: Option<bool>) -> Option<Vec<BrokerAddress>> {
    let all = &read.values.brokers;
    let source = read.values.brokers_source.clone();
    let Some(source) = source else {
        let doc = "the list of all brokers, the same on every one, as { id = 1, client = \"host:9094\", peer = \"host:9095\" }";
        return read.note(ConfigError::Missing { key: "cluster.brokers", doc });
    };
    let mut good: Vec<Listed> = Vec::new();
    for entry in all {
        match listed(entry) {
            Ok(broker) => {
                if let Some(message) = double(&broker, &good) {
                    read.conflict::<()>(entry.source.clone(), message);
                }
                good.push(broker);
            }
            Err(mistake) => {
                read.note::<()>(mistake);
            }
        }
    }
    if good.len() != all.len() {
        return None;
    }
    let nodes = with_roles(good);
    check_together(read, &source, &nodes, allow_unreplicated);
    Some(nodes)
}

/// A role for everybody. Who chose none gets one by its place among those who chose none, unless somebody named the
/// controllers: then it is a broker.
fn with_roles(listed: Vec<Listed>) -> Vec<BrokerAddress> {
    let controllers_named = listed.iter().any(|it| it.role.is_some_and(Role::is_controller));
    let count = listed.len();
    let mut ids: Vec<BrokerId> = listed.iter().map(|it| it.id).collect();
    ids.sort_unstable();
    let role = |it: &Listed| {
        it.role.unwrap_or_else(|| {
            let place = ids.iter().position(|&id| id == it.id).unwrap_or(count);
            if controllers_named { Role::Broker } else { Role::by_default(place, count) }
        })
    };
    let node = |it: Listed| BrokerAddress { role: role(&it), id: it.id, client: it.client, peer: it.peer };
    listed.into_iter().map(node).collect()
}

fn check_together(
    read: &Reader<'_>,
    source: &Source,
    nodes: &[BrokerAddress],
    allow_unreplicated: Option<bool>,
) {
    let count = |of: fn(Role) -> bool| nodes.iter().filter(|it| of(it.role)).count();
    let (brokers, controllers) = (count(Role::is_broker), count(Role::is_controller));
    let conflict = |message: String| {
        read.conflict::<()>(source.clone(), message);
    };
    if brokers == 1 && allow_unreplicated == Some(false) {
        conflict(
            "cluster.brokers lists one broker only: its loss loses everything; if that is what you want, say \
             cluster.allow_unreplicated = true"
                .to_owned(),
        );
    }
    if brokers == 0 {
        conflict(
            "cluster.brokers gives nobody the role broker or both: nobody would keep any data".to_owned(),
        );
    }
    if controllers.is_multiple_of(2) || controllers > CONTROLLERS_MAX {
        conflict(format!(
            "cluster.brokers gives {controllers} nodes the role controller or both; 1, 3, 5 or 7 are possible, since \
             an even number survives no more losses than one less"
        ));
    }
}

/// What a broker has twice, or what another has, too.
fn double(broker: &Listed, others: &[Listed]) -> Option<String> {
    if broker.client == broker.peer {
        return Some(format!("broker {} has one address for clients and peers", broker.id));
    }
    others.iter().find_map(|other| {
        if other.id == broker.id {
            Some(format!("cluster.brokers lists broker {} twice", broker.id))
        } else if other.client == broker.client || other.peer == broker.peer {
            Some(format!("cluster.brokers gives brokers {} and {} the same address", other.id, broker.id))
        } else {
            None
        }
    })
}
