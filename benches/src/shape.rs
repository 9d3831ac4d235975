//! The shape of a workload: the numbers that must be equal before two figures may be compared.
//!
//! One type for floors and product, so that neither can quietly be given easier work. A shape says what is
//! asked for and nothing of how it is done.

use std::fmt;

use serde::Serialize;

/// What is asked of a contender.
///
/// A *message* is one batch: what the client sends, has in flight and is answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Bytes of one record's payload.
    pub record_bytes: usize,
    /// Records the client puts into one message; 1 means one message per record.
    pub records_per_batch: usize,
    /// Unanswered messages each producer keeps in flight; 1 means that it waits for each answer.
    pub in_flight: usize,
    /// Producers at work at once, each with a connection of its own.
    pub producers: usize,
    /// Partitions the records go to. The floors write one file whatever this says.
    pub partitions: usize,
    /// Copies of each record, the leader's included.
    pub replicas: usize,
}

impl Shape {
    /// One record at a time from one producer to one replica; the start for every other shape.
    pub const fn single(record_bytes: usize) -> Self {
        Self { record_bytes, records_per_batch: 1, in_flight: 1, producers: 1, partitions: 1, replicas: 1 }
    }

    /// The same with `records_per_batch` records in each message.
    #[must_use]
    pub const fn batches_of(self, records_per_batch: usize) -> Self {
        Self { records_per_batch, ..self }
    }

    /// The same with `in_flight` unanswered messages per producer.
    #[must_use]
    pub const fn in_flight(self, in_flight: usize) -> Self {
        Self { in_flight, ..self }
    }

    /// The same with `producers` producers at once.
    #[must_use]
    pub const fn producers(self, producers: usize) -> Self {
        Self { producers, ..self }
    }

    /// The same with records spread over `partitions` partitions.
    #[must_use]
    pub const fn partitions(self, partitions: usize) -> Self {
        Self { partitions, ..self }
    }

    /// The same with `replicas` copies of each record.
    #[must_use]
    pub const fn replicas(self, replicas: usize) -> Self {
        Self { replicas, ..self }
    }

    /// Payload bytes of one message.
    pub const fn batch_bytes(&self) -> usize {
        self.record_bytes * self.records_per_batch
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", bytes_text(self.record_bytes), self.records_per_batch)?;
        write!(f, ", {} in flight", self.in_flight)?;
        for (count, noun) in
            [(self.producers, "producers"), (self.partitions, "partitions"), (self.replicas, "replicas")]
        {
            if count > 1 {
                write!(f, ", {count} {noun}")?;
            }
        }
        Ok(())
    }
}

fn bytes_text(bytes: usize) -> String {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    match bytes {
        _ if bytes >= MIB && bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        _ if bytes >= KIB && bytes.is_multiple_of(KIB) => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_reads_like_a_sentence_and_leaves_out_what_is_one() {
        let plain = Shape::single(1024);
        assert_eq!(plain.to_string(), "1 KiB x 1, 1 in flight");
        let busy = Shape::single(100).batches_of(100).in_flight(10).producers(16).partitions(4).replicas(3);
        assert_eq!(busy.to_string(), "100 B x 100, 10 in flight, 16 producers, 4 partitions, 3 replicas");
        assert_eq!(busy.batch_bytes(), 10_000);
        assert_eq!(Shape::single(1 << 20).to_string(), "1 MiB x 1, 1 in flight");
        assert_eq!(Shape::single((1 << 20) + 1).to_string(), "1048577 B x 1, 1 in flight");
    }
}
