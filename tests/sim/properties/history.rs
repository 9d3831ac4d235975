//! One offset never holds two committed records, there are no holes, what a producer sent is there once and in order
//! (D4, D6, G3, G4), and what a process has shown as committed never goes back.

use std::collections::BTreeMap;

use fidelog_record::PlacedBatch;
use fidelog_record::types::Offset;

use crate::clients::named;

/// What any replica of a partition ever knew to be committed, in order.
#[derive(Debug, Default)]
pub(crate) struct History {
    batches: Vec<PlacedBatch>,
    /// The last number of every lane.
    last: BTreeMap<usize, u64>,
}

impl History {
    /// The end of what is committed.
    pub(crate) fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, PlacedBatch::end_offset)
    }

    /// All of it.
    pub(crate) fn batches(&self) -> &[PlacedBatch] {
        &self.batches
    }

    /// The batch that begins at `base`.
    pub(crate) fn at(&self, base: Offset) -> Option<&PlacedBatch> {
        let place = self.batches.partition_point(|it| it.base_offset() < base);
        self.batches.get(place).filter(|it| it.base_offset() == base)
    }

    /// Whether another batch is committed there.
    pub(crate) fn contradicts(&self, batch: &PlacedBatch) -> bool {
        let at = self.batches.partition_point(|known| known.base_offset() < batch.base_offset());
        self.batches.get(at).is_some_and(|known| known != batch)
    }

    /// A broker says that this is committed.
    pub(crate) fn committed(&mut self, broker: usize, batch: &PlacedBatch) {
        let at = self.batches.partition_point(|known| known.base_offset() < batch.base_offset());
        if let Some(known) = self.batches.get(at) {
            assert!(
                known == batch,
                "broker {}: offset {} holds two committed batches: {:?} and {:?}",
                broker + 1,
                batch.base_offset(),
                known.header(),
                batch.header()
            );
            return;
        }
        assert_eq!(batch.base_offset(), self.end(), "broker {}: a hole in what is committed", broker + 1);
        if let Some((lane, number)) = named(batch) {
            let last = self.last.insert(lane, number);
            assert!(
                last.is_none_or(|last| number > last || batch.header().producer.id.0 == 0 && number != last),
                "lane {lane}: batch {number} is committed after {last:?}: twice, or out of order"
            );
        }
        self.batches.push(batch.clone());
    }

    /// A process showed `before` as committed, and shows `now`.
    pub(crate) fn reached(&self, broker: usize, before: Offset, now: Offset) {
        assert!(now >= before, "broker {}: the committed end went back from {before} to {now}", broker + 1);
        assert!(
            now <= self.end(),
            "broker {} says that all below {now} is committed; nobody holds more than {}",
            broker + 1,
            self.end()
        );
    }
}
