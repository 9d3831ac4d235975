//! From the words of the offset grammar to offsets of a partition.

use std::collections::BTreeMap;

use fidelog_client::{Client, OffsetAt};

use crate::context::unix_ms;
use crate::exit::Failure;
use crate::offsets::OffsetSpec;
use crate::partial::Missing;

/// The bounds of a partition when it was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) start: u64,
    pub(crate) committed_end: u64,
}

/// The offset that `spec` means within `bounds`; `None` when only a broker can tell (a time), or nobody (a group).
pub(crate) fn within(bounds: Bounds, spec: OffsetSpec) -> Option<u64> {
    let Bounds { start, committed_end } = bounds;
    match spec {
        OffsetSpec::Start => Some(start),
        OffsetSpec::End => Some(committed_end),
        // Taken at its word: an offset that does not exist is an error later, never a silent jump.
        OffsetSpec::At(offset) => Some(offset),
        OffsetSpec::AfterStart(records) => Some(start.saturating_add(records).min(committed_end)),
        OffsetSpec::BeforeEnd(records) => Some(committed_end.saturating_sub(records).max(start)),
        OffsetSpec::Time(_) | OffsetSpec::Ago(_) | OffsetSpec::Group => None,
    }
}

/// What was asked of partitions, by those that answered; and who did not.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) offsets: BTreeMap<u32, u64>,
    pub(crate) bounds: BTreeMap<u32, Bounds>,
    pub(crate) missing: Missing,
}

/// The offsets that `spec` means, partition by partition.
pub(crate) async fn resolve(
    client: &Client,
    topic: &str,
    partitions: &[u32],
    spec: OffsetSpec,
) -> Result<Resolved, Failure> {
    let at = match spec {
        OffsetSpec::Time(ms) => OffsetAt::Timestamp(ms),
        OffsetSpec::Ago(ms) => OffsetAt::Timestamp(unix_ms().saturating_sub(ms)),
        OffsetSpec::Group => return Err(Failure::usage("`group` cannot be used here; name an offset")),
        _ => OffsetAt::End,
    };
    let missing = Missing::new("did not answer", partitions.len());
    let mut resolved = Resolved { offsets: BTreeMap::new(), bounds: BTreeMap::new(), missing };
    for (partition, answer) in client.list_offsets_each(topic, partitions, at).await {
        match answer {
            Ok(listed) => {
                let bounds = Bounds { start: listed.start_offset, committed_end: listed.committed_end };
                resolved.bounds.insert(partition, bounds);
                resolved.offsets.insert(partition, within(bounds, spec).unwrap_or(listed.offset));
            }
            Err(error) => resolved.missing.note(partition, error.into()),
        }
    }
    Ok(resolved)
}

/// The partitions asked for, or all of them.
pub(crate) async fn partitions(client: &Client, topic: &str, chosen: &[u32]) -> Result<Vec<u32>, Failure> {
    let (_, count) = client.partitions(topic).await?;
    match chosen.iter().find(|partition| **partition >= count) {
        Some(partition) => Err(Failure::new(
            crate::exit::Exit::NotFound,
            format!("topic `{topic}` has no partition {partition}; it has {count}, from 0"),
        )),
        None if chosen.is_empty() => Ok((0..count).collect()),
        None => Ok(chosen.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_offsets_stay_within_the_partition() {
        let bounds = Bounds { start: 100, committed_end: 110 };
        let known = [
            (OffsetSpec::Start, Some(100)),
            (OffsetSpec::End, Some(110)),
            (OffsetSpec::At(5), Some(5)),
            (OffsetSpec::AfterStart(3), Some(103)),
            (OffsetSpec::AfterStart(u64::MAX), Some(110)),
            (OffsetSpec::BeforeEnd(3), Some(107)),
            (OffsetSpec::BeforeEnd(u64::MAX), Some(100)),
            (OffsetSpec::Ago(1), None),
        ];
        for (spec, offset) in known {
            assert_eq!(within(bounds, spec), offset, "{spec}");
        }
    }
}
