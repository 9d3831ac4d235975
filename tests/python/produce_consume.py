"""A Fidelog client in Python, generated from the .proto files: produces, fetches, commits.

Usage: produce_consume.py HOST:PORT TOPIC

Talks to one broker only, whichever it is: unary calls are forwarded to the leader. Prints what it did and exits with 0
when every record came back byte for byte and the committed position was read back.
"""

import os
import sys

import grpc

from fidelog.v1 import common_pb2, fetch_pb2, fetch_pb2_grpc, positions_pb2, positions_pb2_grpc
from fidelog.v1 import produce_pb2, produce_pb2_grpc


def main(address: str, topic: str) -> int:
    channel = grpc.insecure_channel(address)
    producer = produce_pb2_grpc.ProduceServiceStub(channel)
    fetcher = fetch_pb2_grpc.FetchServiceStub(channel)
    positions = positions_pb2_grpc.PositionServiceStub(channel)

    identity = producer.OpenProducer(produce_pb2.OpenProducerRequest(), timeout=10)
    sent = [b"from python", b"", bytes(range(256)), os.urandom(1000)]
    receipts = []
    for sequence, value in enumerate(sent):
        request = produce_pb2.ProduceRequest(
            topic=topic,
            partition=0,
            records=produce_pb2.RecordList(records=[common_pb2.Record(key=b"k", value=value)]),
            producer=produce_pb2.ProducerStamp(
                producer_id=identity.producer_id,
                producer_epoch=identity.producer_epoch,
                base_sequence=sequence,
            ),
        )
        receipt = producer.Produce(request, timeout=20).receipt
        # A resend is recognised and answered with the original's offset.
        again = producer.Produce(request, timeout=20).receipt
        assert again.duplicate and again.base_offset == receipt.base_offset, again
        assert receipt.replicas == len(receipt.synced_by) >= 1, receipt
        receipts.append(receipt)
    print(f"produced {len(sent)} records, synced by brokers {list(receipts[-1].synced_by)}")

    offset = receipts[0].base_offset
    got = []
    while len(got) < len(sent):
        answer = fetcher.Fetch(
            fetch_pb2.FetchRequest(
                topic=topic, partition=0, offset=offset, max_wait_ms=5000, format=fetch_pb2.RECORD_FORMAT_RECORDS
            ),
            timeout=20,
        )
        got += [record.value for record in answer.records]
        offset = answer.next_offset
    assert got[: len(sent)] == sent, "what came back differs from what was sent"
    print(f"fetched {len(sent)} records, byte for byte")

    opened = positions.OpenPositions(
        positions_pb2.OpenPositionsRequest(group="python", topic=topic, partitions=[0], owner="python"), timeout=20
    )
    commit = positions_pb2.PositionCommit(partition=0, offset=offset, generation=opened.positions[0].generation)
    committed = positions.CommitPositions(
        positions_pb2.CommitPositionsRequest(group="python", topic_id=opened.topic_id, commits=[commit]), timeout=20
    )
    assert not committed.results[0].HasField("error"), committed
    stored = positions.FetchPositions(
        positions_pb2.FetchPositionsRequest(group="python", topic=topic), timeout=20
    )
    assert [p.offset for p in stored.positions if p.partition == 0] == [offset], stored
    print(f"committed position {offset} and read it back")

    try:
        producer.Produce(produce_pb2.ProduceRequest(topic="no-such-topic", partition=0), timeout=10)
    except grpc.RpcError as error:
        print(f"an unknown topic is refused: {error.code().name}")
    else:
        raise AssertionError("an unknown topic was accepted")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
