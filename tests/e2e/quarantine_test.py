"""What strict validation refuses over HTTP is kept event by event, and can be tried again one by one or in bulk."""

import json
import unittest

from harness import EndToEndTest, parse_time

bad = {"energy": "much"}


class QuarantineTest(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.strict = self.open_client(self.start_api(INGEST_VALIDATION="strict"))
        self.lenient = self.open_client(self.start_api())

    def refuse(self, body, content_type="application/json", query="", status=200):
        answer = self.strict.post_raw(f"/ingest/energy{query}", body, {"Content-Type": content_type})
        self.assertEqual(answer.status, status, answer)
        return answer.json()

    def payloads(self):
        rows = self.database.rows("select payload from events where id = family_base(id) order by id")
        return [row["payload"] for row in rows]

    def retry_all(self, client):
        return client.request("POST", "/quarantine/retry?service=energy&reason=invalid").json()

    def test_a_batch_keeps_its_bad_items_alone_and_all_can_be_retried_at_once(self):
        items = [{"energy": 1, "n": 0}, {**bad, "n": 1}, {"energy": 2, "n": 2}, {**bad, "n": 3}, "no object"]
        results = self.refuse(json.dumps(items), query="?dedupe_key=K")["results"]
        self.assertEqual(["error" in result for result in results], [False, True, False, True, True])
        ids = [results[n]["error"]["quarantine_id"] for n in (1, 3)]
        self.assertNotIn("quarantine_id", results[4]["error"])
        kept = [self.strict.get(f"/quarantine/{identity}/body").json() for identity in ids]
        self.assertEqual(kept, [items[1], items[3]])
        self.assertEqual(self.retry_all(self.strict), {"tried": 2, "stored": 0, "failed": 2, "next": None})
        self.assertEqual(self.retry_all(self.lenient), {"tried": 2, "stored": 2, "failed": 0, "next": None})
        self.assertEqual(sorted(payload["n"] for payload in self.payloads()), [0, 1, 2, 3])
        self.assertEqual(self.database.count("quarantine"), 0)
        # The items kept their keys: the same batch again is a repeat of all four.
        again = self.lenient.post_json("/ingest/energy?dedupe_key=K", items[:4])
        self.assertEqual(again.header("Idempotent-Replayed"), "true")
        self.assertEqual(len(self.payloads()), 4)

    def test_lines_of_ndjson_too(self):
        results = self.refuse('{"energy": 1}\n{"energy": "much"}\n{broken\n', "application/x-ndjson")["results"]
        self.assertIn("quarantine_id", results[1]["error"])
        self.assertEqual(self.database.count("quarantine"), 1)
        self.assertEqual(self.retry_all(self.lenient)["stored"], 1)

    def test_a_batch_of_nothing_but_bad_items(self):
        results = self.refuse(json.dumps([bad] * 1000), status=422)["results"]
        self.assertEqual(len({result["error"]["quarantine_id"] for result in results}), 1000)
        self.assertEqual(self.database.count("quarantine"), 1000)

    def test_of_a_cloud_event_the_data_is_kept_with_its_id_and_time(self):
        event = {"specversion": "1.0", "id": "c1", "source": "/s", "type": "t", "time": "2026-01-02T03:04:05Z", "data": bad}
        refused = self.refuse(json.dumps(event), "application/cloudevents+json", status=422)
        answer = self.lenient.request("POST", f"/quarantine/{refused['quarantine_id']}/retry")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.payloads(), [bad])
        stored = self.event(self.lenient, answer.json()["stored_event_id"])
        self.assertEqual(stored["deduplication_key"], "c1")
        self.assertEqual(parse_time(stored["timestamp"]), parse_time("2026-01-02T03:04:05Z"))

    def test_a_sender_that_was_quicker_than_the_operator_is_not_stored_twice(self):
        refused = self.refuse(json.dumps(bad), query="?dedupe_key=K", status=422)
        first = self.lenient.post_json("/ingest/energy?dedupe_key=K", {"energy": 3}).json()
        answer = self.lenient.request("POST", f"/quarantine/{refused['quarantine_id']}/retry")
        self.assertEqual(answer.json()["stored_event_id"], first["stored_event_id"])
        self.assertEqual(self.payloads(), [{"energy": 3}])
        self.assertEqual(self.database.count("quarantine"), 0)


if __name__ == "__main__":
    unittest.main()
