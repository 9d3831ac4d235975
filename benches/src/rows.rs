//! Every row of the table, in the order it is printed.
//!
//! The shapes are fixed here and nowhere else: the product is given the row's own shape.

use crate::floor::catch_up::CatchUpFloor;
use crate::floor::disk::DiskFloor;
use crate::floor::grpc::GrpcFloor;
use crate::floor::pipeline::PipelineFloor;
use crate::product::catch_up::CatchUp;
use crate::product::produce::Fidelog;
use crate::product::tail::Tail;
use crate::row::Row;
use crate::settings::Section;
use crate::shape::Shape;

const KIB: usize = 1024;

/// All rows, with their floors, and with the product where it can do the same.
pub fn rows() -> Vec<Row> {
    [disk(), grpc(), pipeline(), partitions()].into_iter().flatten().collect()
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
    let row = |name, shape| {
        Row::of_floor(Section::Pipeline, name, shape, PipelineFloor).with_product(Fidelog::default())
    };
    let record = Shape::single(KIB);
    let pair = record.replicas(2);
    let batches = record.batches_of(64).in_flight(16);
    let small = Shape::single(100).batches_of(100).in_flight(10).replicas(2);
    let large = Shape::single(16 * KIB).batches_of(16).in_flight(4).replicas(2);
    let catch_up = record.batches_of(1024);
    vec![
        row("produce, one at a time", record),
        row("produce, one at a time", record.replicas(2)),
        row("produce, one at a time", record.replicas(3)),
        row("produce, batches", batches),
        row("produce, batches", batches.replicas(2)),
        row("produce, batches", batches.replicas(3)),
        row("produce, single records", pair.in_flight(1000)),
        row("produce, many producers", pair.in_flight(100).producers(16)),
        row("produce, small records", small),
        row("produce, small, many producers", small.in_flight(2).producers(16)),
        row("produce, large records", large),
        row("produce, large, many producers", large.in_flight(1).producers(16)),
        Row::of_floor(Section::Pipeline, "catch-up read", catch_up, CatchUpFloor).with_product(CatchUp),
        Row::of_floor(Section::Pipeline, "tail, from hand-over", pair, PipelineFloor)
            .with_product(Tail::FromHandOver),
        Row::of_floor(Section::Pipeline, "tail, from receipt", record, GrpcFloor::Stream)
            .against("echo")
            .with_product(Tail::FromReceipt),
    ]
}

fn partitions() -> Vec<Row> {
    let shape = Shape::single(KIB).in_flight(1000).producers(16).replicas(2);
    let one = Fidelog { partitions: Some(1) };
    let row = |count| {
        Row::of_floor(Section::Partitions, "produce, keys spread", shape.partitions(count), one)
            .against("one")
            .with_product(Fidelog::default())
    };
    [10, 100, 1000].map(row).into()
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
