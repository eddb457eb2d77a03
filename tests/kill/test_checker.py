#!/usr/bin/env python3
"""The checker must notice: each test damages a good history in one way and expects the kind of problem it makes."""

import random
import tempfile
import unittest

from checker import check
from history import Ack, History, decode, encode

PARTITIONS = 3
PRODUCERS = 4
RECORDS = 200


def good_history():
    """Four producers write to three partitions in random turns; everything is acknowledged."""
    history = History()
    history.ends = {partition: 0 for partition in range(PARTITIONS)}
    history.sent = {producer: 0 for producer in range(PRODUCERS)}
    rng = random.Random(7)
    for _ in range(PRODUCERS * RECORDS):
        producer, partition = rng.randrange(PRODUCERS), rng.randrange(PARTITIONS)
        sequence, offset = history.sent[producer], history.ends[partition]
        history.sent[producer] += 1
        history.ends[partition] += 1
        history.found.append(decode(partition, offset, encode(producer, sequence, rng.randbytes(20))))
        history.acks.append(Ack(producer, sequence, partition, offset))
    history.found.sort()
    return history


class CheckerTest(unittest.TestCase):
    def setUp(self):
        self.history = good_history()

    def kinds(self):
        return {kind for kind, _ in check(self.history)}

    def swap(self, first, second):
        """Exchanges what stands at two places of the log."""
        rows = self.history.found
        a, b = rows[first], rows[second]
        rows[first] = b._replace(partition=a.partition, offset=a.offset)
        rows[second] = a._replace(partition=b.partition, offset=b.offset)

    def renumber(self):
        """Makes the offsets dense again, as a log that lost or gained a record would have them."""
        ends = {partition: 0 for partition in self.history.ends}
        for at, row in enumerate(self.history.found):
            self.history.found[at] = row._replace(offset=ends[row.partition])
            ends[row.partition] += 1
        self.history.ends = ends

    def test_a_good_history_has_no_problem(self):
        self.assertEqual(check(self.history), [])

    def test_records_that_nobody_acknowledged_may_be_there_or_not(self):
        del self.history.acks[::3]
        last = self.history.found.pop()
        self.history.ends[last.partition] -= 1
        self.history.acks = [ack for ack in self.history.acks if (ack.partition, ack.offset) != last[:2]]
        self.assertEqual(check(self.history), [])

    def test_a_lost_record_leaves_a_gap(self):
        del self.history.found[100]
        self.assertEqual(self.kinds(), {"gap", "lost"})

    def test_a_lost_record_is_noticed_in_a_dense_log(self):
        del self.history.found[100]
        self.renumber()
        self.assertLessEqual({"lost", "moved"}, self.kinds())

    def test_a_lost_last_record(self):
        row = self.history.found.pop()
        self.history.ends[row.partition] -= 1
        self.assertEqual(self.kinds(), {"lost"})

    def test_a_lost_partition(self):
        self.history.found = [row for row in self.history.found if row.partition != 1]
        self.history.ends[1] = 0
        self.assertEqual(self.kinds(), {"lost"})

    def test_a_duplicate(self):
        self.history.found.insert(100, self.history.found[99])
        self.renumber()
        self.assertLessEqual({"duplicate", "moved"}, self.kinds())

    def test_a_duplicate_at_the_end(self):
        row = self.history.found[50]
        end = self.history.ends[PARTITIONS - 1]
        self.history.found.append(row._replace(partition=PARTITIONS - 1, offset=end))
        self.history.ends[PARTITIONS - 1] += 1
        self.assertLessEqual({"duplicate"}, self.kinds())

    def neighbours(self, same_producer):
        """Two places of one partition, the second the nearest whose record has the same, or another, producer."""
        first = self.history.found[0]
        for at, row in enumerate(self.history.found):
            if at > 0 and row.partition == first.partition and (row.producer == first.producer) == same_producer:
                return 0, at
        raise AssertionError("the history is too small")

    def test_swapped_records_of_one_producer(self):
        self.swap(*self.neighbours(same_producer=True))
        self.assertEqual(self.kinds(), {"moved", "order"})

    def test_swapped_records_that_nobody_acknowledged(self):
        self.history.acks = []
        self.swap(*self.neighbours(same_producer=True))
        self.assertEqual(self.kinds(), {"order"})

    def test_swapped_records_of_two_producers(self):
        first, second = self.neighbours(same_producer=False)
        self.assertEqual(second, 1)
        self.swap(first, second)
        self.assertEqual(self.kinds(), {"moved"})

    def test_a_damaged_record(self):
        value = bytearray(encode(1, 5, b"some padding"))
        value[-1] ^= 1
        row = self.history.found[30]
        self.history.found[30] = decode(row.partition, row.offset, bytes(value))
        self.assertIn("damaged", self.kinds())

    def test_a_record_that_is_no_record(self):
        row = self.history.found[30]
        for value in [None, b"", b"short"]:
            self.history.found[30] = decode(row.partition, row.offset, value)
            self.assertLessEqual({"damaged", "lost"}, self.kinds())

    def test_a_record_that_nobody_sent(self):
        self.history.sent[2] -= 1
        self.assertEqual(self.kinds(), {"invented"})

    def test_an_acknowledgement_at_the_wrong_offset(self):
        self.history.acks[9] = self.history.acks[9]._replace(offset=self.history.acks[9].offset + 1)
        self.assertEqual(self.kinds(), {"moved"})

    def test_an_acknowledgement_without_an_offset(self):
        self.history.acks[9] = self.history.acks[9]._replace(offset=-1)
        self.assertEqual(check(self.history), [])
        ack = self.history.acks[9]
        self.history.found = [row for row in self.history.found if row[2:4] != (ack.producer, ack.sequence)]
        self.assertIn("lost", self.kinds())

    def test_a_history_survives_its_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            self.history.save(folder)
            again = History.load(folder)
        self.assertEqual(vars(again), vars(self.history))


if __name__ == "__main__":
    unittest.main()
