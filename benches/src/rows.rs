//! Every row of the table, in the order it is printed.
//!
//! The shapes are fixed here and nowhere else: whoever adds the product to a row gives it the row's own shape.

use crate::floor::catch_up::CatchUpFloor;
use crate::floor::disk::DiskFloor;
use crate::floor::grpc::GrpcFloor;
use crate::floor::pipeline::PipelineFloor;
use crate::row::Row;
use crate::settings::Section;
use crate::shape::Shape;

const KIB: usize = 1024;

/// All rows, with their floors and without the product.
pub fn rows() -> Vec<Row> {
    [disk(), grpc(), pipeline()].into_iter().flatten().collect()
}

fn disk() -> Vec<Row> {
    let row =
        |name, record_bytes, floor| Row::of_floor(Section::Disk, name, Shape::single(record_bytes), floor);
    vec![
        row("append, sync: allocated", KIB, DiskFloor::Allocated),
        row("append, sync: allocated", 4 * KIB, DiskFloor::Allocated),
        row("append, sync: allocated", 64 * KIB, DiskFloor::Allocated),
        row("append, sync: allocated", 1024 * KIB, DiskFloor::Allocated),
        row("append, sync: prewritten", KIB, DiskFloor::Prewritten),
        row("append, sync: prewritten", 64 * KIB, DiskFloor::Prewritten),
    ]
}

fn grpc() -> Vec<Row> {
    let row = |name, shape, floor| Row::of_floor(Section::Grpc, name, shape, floor);
    let record = Shape::single(KIB);
    vec![
        row("stream, stores nothing", record, GrpcFloor::Stream),
        row("stream, stores nothing", record.batches_of(64).in_flight(16), GrpcFloor::Stream),
        row("stream, stores nothing", record.in_flight(1000), GrpcFloor::Stream),
        row("unary, stores nothing", record, GrpcFloor::Unary),
        row("unary, stores nothing", record.in_flight(256), GrpcFloor::Unary),
    ]
}

fn pipeline() -> Vec<Row> {
    let row = |name, shape| Row::of_floor(Section::Pipeline, name, shape, PipelineFloor);
    let record = Shape::single(KIB);
    let pair = record.replicas(2);
    let catch_up = record.batches_of(1024);
    vec![
        row("produce, one at a time", record),
        row("produce, one at a time", record.replicas(2)),
        row("produce, one at a time", record.replicas(3)),
        row("produce, batches", pair.batches_of(64).in_flight(16)),
        row("produce, single records", pair.in_flight(1000)),
        row("produce, many producers", pair.in_flight(100).producers(16)),
        row("produce, small records", Shape::single(100).batches_of(100).in_flight(10).replicas(2)),
        Row::of_floor(Section::Pipeline, "catch-up read", catch_up, CatchUpFloor),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_are_the_same() {
        let rows = rows();
        for (index, row) in rows.iter().enumerate() {
            let twin = rows[..index].iter().any(|other| other.name == row.name && other.shape == row.shape);
            assert!(!twin, "{} ({}) is there twice", row.name, row.shape);
        }
    }
}
