"""Workers that stop, die or are paused: what they held moves on, and nothing is repeated without need."""

import collections
import signal
import time
import unittest

from harness import Answer, always, cluster, in_turn, wait_until
from worker_case import WorkerCase

dead_worker_seconds = 15.0


class StopTest(WorkerCase):
    def test_sigterm_during_a_slow_delivery(self):
        """What is in flight is finished, the rest is handed back uncharged, and the next worker repeats nothing."""
        sink = self.start_sink(always(200, action="hang"))
        count = self.emergencies(30)
        first = self.start_worker(sink)
        sink.wait_count(1)
        first.signal(signal.SIGTERM)
        wait_until(lambda: not self.worker_ready(first), 10, "the stopping worker is not ready any more")
        sink.release()
        self.assertEqual(first.wait(), 0)
        self.assertEqual({row["attempts"] for row in self.database.messages()}, {0})
        started = time.monotonic()
        self.start_worker(sink)
        self.wait_all_sent(count)
        self.assertLess(time.monotonic() - started, 10, "the lanes were not handed back")
        self.assert_each_once(sink.snapshot(), count)
        self.assertEqual({row["attempts"] for row in self.database.messages()}, {0})

    def worker_ready(self, worker):
        return worker.process.poll() is None and worker.is_ready()

    def test_sigterm_while_the_receiver_hangs(self):
        """The grace period ends: the worker leaves with 0, charges nothing, and the message goes out again later."""
        sink = self.start_sink(in_turn(Answer(action="hang"), 200))
        derived = self.alert()
        first = self.start_worker(sink, OUTBOX_TIMEOUT_SECONDS="30", DRAIN_SECONDS="2")
        sink.wait_count(1)
        started = time.monotonic()
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait(), 0)
        self.assertLess(time.monotonic() - started, 8)
        self.assertEqual((self.message(derived)["status"], self.message(derived)["attempts"]), ("pending", 0))
        self.start_worker(sink)
        row = self.wait_message(derived, status="sent")
        self.assertEqual(row["attempts"], 0)

    def test_the_lanes_of_a_killed_worker_move(self):
        sink = self.start_sink(always(200, action="hang"))
        count = self.emergencies(20)
        first = self.start_worker(sink)
        sink.wait_count(1)
        second = self.start_worker(sink)
        first.kill()
        died = time.monotonic()
        sink.release()
        self.wait_all_sent(count, dead_worker_seconds + 10)
        self.assertLess(time.monotonic() - died, dead_worker_seconds + 1)
        self.assertEqual(second.terminate(), 0)
        repeated = [
            identity
            for identity, times in collections.Counter(one.event_id for one in sink.snapshot()).items()
            if times > 1
        ]
        in_flight = {one.event_id for one in sink.snapshot() if one.time < died}
        self.assertLessEqual(set(repeated), in_flight, "repeated although it was not in flight")

    def test_what_was_delivered_behind_a_slow_key_is_not_repeated_after_a_crash(self):
        """Sixteen lanes and one key with many messages: what its lane delivered meanwhile is written before the key is done."""
        slow = [self.alert("slow", 600 + number) for number in range(60)]
        others = [self.alert(f"other {number}") for number in range(80)]
        sink = self.start_sink(lambda headers, body: Answer(200, delay=0.1 if b'"slow"' in body else 0))
        worker = self.start_worker(sink)
        wait_until(
            lambda: set(others) <= {one.event_id for one in sink.snapshot()}, 20, "the other keys are delivered"
        )
        time.sleep(1.5)  # a message waits for half a second at most
        worker.kill()
        delivered = {one.event_id for one in sink.snapshot()}
        self.assertLess(len(delivered & set(slow)), len(slow) - 10, "the key was done too early to show anything")
        self.start_worker(sink)
        self.wait_all_sent(len(slow) + len(others), dead_worker_seconds + 20)
        times = collections.Counter(one.event_id for one in sink.snapshot())
        self.assertEqual([identity for identity in others if times[identity] > 1], [])
        self.assertLessEqual(len([identity for identity in slow if times[identity] > 1]), 1)

    def test_a_stopped_worker_loses_its_lanes_and_cannot_move_them_afterwards(self):
        """SIGSTOP is a long pause: the lease ends, another worker goes on, and the old one wakes up with a stale epoch."""
        hold = {"on": True}
        sink = self.start_sink(lambda headers, body: Answer(200, action="hang" if hold["on"] else "answer"))
        count = self.emergencies(20)
        in_flight = 4
        stale = self.start_worker(sink, OUTBOX_IN_FLIGHT_MAX=in_flight)
        sink.wait_count(in_flight)
        stale.signal(signal.SIGSTOP)
        paused = time.monotonic()
        hold["on"] = False
        before_pause = {one.event_id for one in sink.snapshot()}
        self.assertEqual(len(before_pause), in_flight)
        self.start_worker(sink)
        rows = self.wait_all_sent(count, dead_worker_seconds + 10)
        self.assertLess(time.monotonic() - paused, dead_worker_seconds + 3)
        published = {row["id"]: row["published_at"] for row in rows}
        sink.release()
        stale.signal(signal.SIGCONT)
        wait_until(lambda: self.worker_ready(stale), 20, "the stale worker is back")
        later = self.emergencies(20, first_patient=500)
        rows = self.wait_all_sent(count + later, 30)
        self.assertEqual({row["attempts"] for row in rows}, {0})
        for row in rows:
            self.assertEqual(
                published.get(row["id"], row["published_at"]),
                row["published_at"],
                "a stale worker rewrote the state",
            )
        repeated = {
            identity
            for identity, times in collections.Counter(one.event_id for one in sink.snapshot()).items()
            if times > 1
        }
        self.assertLessEqual(repeated, before_pause, "repeated although it was not in flight before the pause")
        self.assertEqual(stale.terminate(), 0)

    def test_the_worker_outlives_a_restart_of_postgresql(self):
        sink = self.start_sink()
        worker = self.start_worker(sink)
        first = self.alert("before")
        self.wait_message(first, status="sent")
        cluster().kill()
        wait_until(lambda: not self.worker_ready(worker), 15, "not ready without a database")
        cluster().start()
        wait_until(lambda: self.worker_ready(worker), 30, "ready again")
        wait_until(lambda: self.client_ready(), 30, "the api is ready again")
        second = self.alert("after")
        self.wait_message(second, status="sent")
        self.assertEqual([one.event_id for one in sink.snapshot()], [first, second])

    def client_ready(self):
        try:
            return self.client.get("/readyz").status == 200
        except OSError:
            return False


if __name__ == "__main__":
    unittest.main()
