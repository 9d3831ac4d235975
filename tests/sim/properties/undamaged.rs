//! What no disk damaged is not found damaged (R9): a torn tail is not damage, and neither is a cut that was under way.

use fidelog_log::RecoveryReport;
use fidelog_record::types::TopicPartition;

/// A start found this in a replica whose disk is whole, and that was in the in-sync set when its former process ended: so
/// everything a batch can say to be committed was synced there.
pub(crate) fn is_whole(broker: usize, at: TopicPartition, report: &RecoveryReport) {
    let found: Vec<_> = report.findings.iter().map(|it| format!("{:?} {}", it.case, it.detail)).collect();
    assert!(
        report.damage.is_empty(),
        "broker {}: {at}: a start found damage where no disk made any: {}",
        broker + 1,
        found.join(", ")
    );
}
