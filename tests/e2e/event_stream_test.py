"""GET /events/stream: every committed event exactly once and in order, through crashes, restarts and slow readers."""

import os
import socket
import threading
import time
import unittest

from follower import Follower, patience_seconds
from harness import Api, EndToEndTest, wait_until


class EventStreamTest(EndToEndTest):
    def follow(self, address, last_id=None):
        follower = Follower(address if callable(address) else lambda: address.port, last_id)
        self.addCleanup(follower.close)
        self.assertTrue(follower.opened.wait(patience_seconds), follower.head)
        return follower

    def stored_ids(self):
        return [row["id"] for row in self.database.rows("select id from events order by id")]

    def wait_for_all(self, follower, ids):
        wait_until(lambda: len(follower.ids) >= len(ids), patience_seconds, "all events arrive")
        self.assertEqual(follower.ids, ids)

    def test_events_come_as_the_list_shows_them(self):
        api = self.start_api()
        client = self.open_client(api)
        self.ingest(client, "parks", {"before": True})
        follower = self.follow(api)
        self.assertIn("Content-Type: text/event-stream", follower.head)
        self.assertIn("Cache-Control: no-store", follower.head)
        self.assertNotIn("Content-Length", follower.head)
        self.ingest(client, "health", {"patient_id": 1, "alert": "emergency", "text": 'ü"\n'}, Idempotency_Key="k")
        self.ingest(client, "energy", {"energy": "x"})
        self.ingest(client, "energy", {"energy": "12"})
        wait_until(lambda: len(follower.ids) >= 5, patience_seconds, "the events arrive")
        self.assertEqual(follower.events, self.events(client)[:5][::-1])

    def test_going_on_where_one_was(self):
        api = self.start_api()
        client = self.open_client(api)
        for number in range(30):
            body = [{"number": number, "note": "x" * 20000}] * 50
            self.assertEqual(client.post_json("/ingest/parks", body).status, 200)
        ids = self.stored_ids()
        live = self.follow(api)
        everything = self.follow(api, "00000000-0000-0000-0000-000000000000")
        middle = self.follow(api, ids[700])
        self.wait_for_all(everything, ids)
        self.wait_for_all(middle, ids[701:])
        self.ingest(client, "parks", {"number": "last"})
        self.wait_for_all(everything, self.stored_ids())
        self.assertEqual(live.ids, self.stored_ids()[-1:])

    def test_bad_places_limits_and_head(self):
        api = self.start_api(EVENT_STREAM_FOLLOWERS_MAX=2)
        client = self.open_client(api)
        self.assert_problem(client.get("/events/stream", {"Last-Event-ID": "yesterday"}), 422)
        self.assertEqual(client.request("HEAD", "/events/stream").status, 200)
        first, _ = self.follow(api), self.follow(api)
        refused = client.get("/events/stream")
        self.assert_problem(refused, 503)
        self.assertTrue(refused.header("retry-after"))
        first.close()
        self.follow(api)  # the place is free again
        text = client.get("/metrics").body.decode()
        self.assertIn("event_stream_followers 2", text)

    def test_stopping_ends_the_stream_at_once(self):
        api = self.start_api()
        follower = self.follow(api)
        started = time.monotonic()
        self.assertEqual(api.terminate(), 0)
        self.assertLess(time.monotonic() - started, 8, "followers hold nothing up")
        self.assertEqual(follower.connections, 1)

    def test_a_slow_follower_is_cut_and_loses_nothing(self):
        api = self.start_api()
        client = self.open_client(api)
        slow = socket.create_connection(("127.0.0.1", api.port))
        self.addCleanup(slow.close)
        slow.sendall(b"GET /events/stream HTTP/1.1\r\nHost: polis\r\n\r\n")
        fast = self.follow(api)
        total = 0
        for _ in range(40):
            body = [{"note": "y" * 40000}] * 20
            self.assertEqual(client.post_json("/ingest/parks", body).status, 200)
            total += 20
        wait_until(lambda: len(fast.ids) >= total, patience_seconds, "the fast one gets everything")
        ended = 'event_stream_ended_total{reason="slow"} 1'
        wait_until(lambda: ended in client.get("/metrics").body.decode(), patience_seconds, "the slow one is cut")
        self.assertEqual(fast.ids, self.stored_ids())

    def test_exactly_once_through_crashes_with_two_writers(self):
        """Two processes write; the one that is followed is killed again and again, and also the other."""
        seconds = float(os.environ.get("POLIS_STREAM_SECONDS", "6"))
        apis = [self.new_api(), self.new_api()]
        seed = self.open_client(apis[0])
        self.ingest(seed, "parks", {"first": True})
        start = self.stored_ids()[-1]
        followers = [self.follow(lambda n=n: apis[n].port, start) for n in (0, 1)]
        stop = threading.Event()
        writers = [threading.Thread(target=self.write, args=(apis, n, stop), daemon=True) for n in range(4)]
        for writer in writers:
            writer.start()
        end, turn = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            time.sleep(0.7)  # the moment of the crash
            victim = turn % 2
            apis[victim].kill()
            apis[victim] = self.new_api()
            turn += 1
        stop.set()
        for writer in writers:
            writer.join(patience_seconds)
        ids = self.stored_ids()[1:]
        self.assertGreater(len(ids), 200)
        for follower in followers:
            self.wait_for_all(follower, ids)
            self.assertGreater(follower.connections, 1, "it was cut off and came back")

    def new_api(self):
        api = Api(self.database, DERIVED_DEDUPE_WINDOW_SECONDS=0)
        self.addCleanup(api.clean_up)
        return api.ready()

    def write(self, apis, number, stop):
        client, turn = None, 0
        while not stop.is_set():
            turn += 1
            try:
                if client is None:
                    client = apis[number % 2].client(timeout=5)
                client.post_json("/ingest/health", {"patient_id": number * 10000 + turn, "alert": "emergency"})
            except Exception:  # killed: the next turn finds the new process
                client = None
            stop.wait(0.003)


if __name__ == "__main__":
    unittest.main()
