"""Batches (JSON array, NDJSON) and CloudEvents on the ingest path."""

import json
import unittest
import uuid

from harness import SharedApiTest, parse_time

ndjson = {"Content-Type": "application/x-ndjson"}


class BatchTest(SharedApiTest):
    def post(self, service, items, **headers):
        return self.client.post_json(
            f"/ingest/{service}", items, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    def assert_error_item(self, item):
        self.assertEqual(set(item), {"error"}, item)
        self.assertEqual(item["error"]["status"], 422, item)
        self.assertTrue(item["error"]["detail"], item)

    def test_an_array_is_answered_in_order(self):
        items = [
            {"energy": 600 if index % 3 == 0 else 10, "neighborhood": f"array-{index}", "index": index}
            for index in range(50)
        ]
        response = self.post("energy", items)
        self.assertEqual(response.status, 200, response)
        results = response.json()["results"]
        self.assertEqual(len(results), 50)
        for index, result in enumerate(results):
            self.assertEqual(len(result["derived_events"]), 1 if index % 3 == 0 else 0)
            self.assertEqual(self.event(self.client, result["stored_event_id"])["payload"]["index"], index)

    def test_ndjson_with_and_without_a_last_newline(self):
        for text in ['{"a":1}\n{"a":2}\n', '{"a":1}\n{"a":2}', '{"a":1}\r\n{"a":2}\r\n', '{"a":1}\n\n{"a":2}\n']:
            with self.subTest(text=text):
                response = self.client.post_raw("/ingest/parks", text, ndjson)
                self.assertEqual(response.status, 200, response)
                results = response.json()["results"]
                self.assertEqual(
                    [self.event(self.client, result["stored_event_id"])["payload"]["a"] for result in results],
                    [1, 2],
                )

    def test_a_bad_item_is_reported_in_its_place(self):
        response = self.client.post_raw(
            "/ingest/energy", b'[{"energy":1},5,{"a":"\\u0000"},null,[{"energy":2}],{"energy":1e400},{"energy":3}]'
        )
        self.assertEqual(response.status, 200, response)
        results = response.json()["results"]
        self.assertEqual(len(results), 7)
        for index in (1, 2, 3, 4, 5):
            self.assert_error_item(results[index])
        for index in (0, 6):
            self.assertTrue(results[index]["stored_event_id"])

    def test_a_bad_ndjson_line_is_reported_in_its_place(self):
        response = self.client.post_raw(
            "/ingest/energy", b'{"energy":1}\n{"energy":\n\xff\n{"energy":3}\n', ndjson
        )
        self.assertEqual(response.status, 200, response)
        results = response.json()["results"]
        self.assertEqual(len(results), 4)
        self.assert_error_item(results[1])
        self.assert_error_item(results[2])
        self.assertTrue(results[0]["stored_event_id"] and results[3]["stored_event_id"])

    def test_batches_without_one_good_item_are_422(self):
        before = self.database.count("events")
        for body, headers in [
            (b"[]", {}),
            (b"", ndjson),
            (b"\n\n", ndjson),
            (b"[1,2]", {}),
            (b"x\ny\n", ndjson),
            (b"[", {}),
            (b"[{}", {}),
        ]:
            with self.subTest(body=body):
                self.assertEqual(self.client.post_raw("/ingest/energy", body, headers).status, 422)
        self.assertEqual(self.database.count("events"), before)

    def test_one_thousand_items_are_the_limit(self):
        response = self.post("parks", [{"i": index} for index in range(1000)])
        self.assertEqual(response.status, 200, response)
        self.assertEqual(len({result["stored_event_id"] for result in response.json()["results"]}), 1000)
        before = self.database.count("events")
        self.assert_problem(self.post("parks", [{"i": index} for index in range(1001)]), (413, 422))
        self.assert_problem(self.client.post_raw("/ingest/parks", b"{}\n" * 1001, ndjson), (413, 422))
        self.assertEqual(self.database.count("events"), before)

    def test_a_batch_is_one_transaction(self):
        results = self.post("parks", [{"i": index} for index in range(20)]).json()["results"]
        identities = ",".join(f"'{result['stored_event_id']}'" for result in results)
        transactions = self.database.value(
            f"select count(distinct xmin::text) from events where id in ({identities})"
        )
        self.assertEqual(transactions, 1)
        self.assertEqual(self.database.count("events", f"id in ({identities})"), 20)

    def test_the_key_of_an_item_is_the_request_key_and_its_place(self):
        items = [{"patient_id": 7001, "alert": "emergency"}, 5, {"patient_id": 7002, "alert": "emergency"}]
        first = self.post("health", items, Idempotency_Key="batch-1").json()["results"]
        self.assertEqual(self.event(self.client, first[2]["stored_event_id"])["deduplication_key"], "batch-1#2")
        before = self.database.count("events")
        second = self.post("health", items, Idempotency_Key="batch-1")
        self.assertEqual(second.status, 200, second)
        for index in (0, 2):
            again = dict(second.json()["results"][index])
            self.assertTrue(again.pop("replayed", False), again)
            self.assertEqual(again, first[index])
        self.assert_error_item(second.json()["results"][1])
        self.assertEqual(self.database.count("events"), before)

    def test_a_single_event_and_a_batch_item_share_keys(self):
        results = self.post("parks", [{"a": 1}, {"a": 2}], Idempotency_Key="batch-2").json()["results"]
        single = self.client.post_json("/ingest/parks", {"a": 3}, {"Idempotency-Key": "batch-2#1"})
        self.assertEqual(single.json()["stored_event_id"], results[1]["stored_event_id"])
        self.assertEqual(single.header("idempotent-replayed"), "true")

    def test_suppression_works_inside_a_batch(self):
        body = {"patient_id": 7100, "alert": "emergency"}
        results = self.post("health", [body, body, body]).json()["results"]
        self.assertEqual(len({result["stored_event_id"] for result in results}), 3)
        for result in results[1:]:
            self.assertEqual(result["derived_events"], results[0]["derived_events"])
            self.assertEqual(result["suppressed"], results[0]["derived_events"])
        self.assertNotIn("suppressed", results[0])

    def test_validation_errors_stay_with_their_item(self):
        results = self.post("energy", [{"energy": "x"}, {"energy": 1}]).json()["results"]
        self.assertEqual([fault["field"] for fault in results[0]["validation_errors"]], ["energy"])
        self.assertNotIn("validation_errors", results[1])


class CloudEventsTest(SharedApiTest):
    def binary_headers(self, identity, **more):
        return {
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": identity,
            "ce-source": "/meters/7",
            "ce-type": "city.reading",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }

    def structured(self, identity, data, **more):
        return {
            "specversion": "1.0",
            "id": identity,
            "source": "/meters/7",
            "type": "city.reading",
            "datacontenttype": "application/json",
            "data": data,
            **more,
        }

    def post_structured(self, service, value, content_type="application/cloudevents+json"):
        return self.client.post_json(f"/ingest/{service}", value, {"Content-Type": content_type})

    def check_stored(self, identity, key, payload, when):
        event = self.event(self.client, identity)
        self.assertEqual(event["payload"], payload)
        self.assertEqual(event["deduplication_key"], key)
        if when is not None:
            self.assertEqual(parse_time(event["timestamp"]), when)

    def test_binary_mode(self):
        headers = self.binary_headers("ce-1", ce_time="2016-02-29T23:59:59.250Z")
        response = self.client.post_raw("/ingest/energy", '{"energy":600,"neighborhood":"ce"}', headers)
        self.assertEqual(response.status, 200, response)
        self.assertEqual(len(response.json()["derived_events"]), 1)
        self.check_stored(
            response.json()["stored_event_id"], "ce-1", {"energy": 600, "neighborhood": "ce"}, 1456790399.25
        )
        again = self.client.post_raw("/ingest/energy", "{}", headers)
        self.assertEqual((again.json(), again.header("idempotent-replayed")), (response.json(), "true"))

    def test_structured_mode(self):
        value = self.structured("ce-2", {"energy": 600, "neighborhood": "ce2"}, time="2016-01-01T01:00:00+01:00")
        response = self.post_structured("energy", value)
        self.assertEqual(response.status, 200, response)
        self.check_stored(response.json()["stored_event_id"], "ce-2", value["data"], 1451606400)
        again = self.post_structured("energy", value, "application/cloudevents+json; charset=utf-8")
        self.assertEqual((again.json(), again.header("idempotent-replayed")), (response.json(), "true"))

    def test_batch_mode(self):
        values = [self.structured(f"ce-3-{index}", {"energy": index}) for index in range(3)]
        response = self.post_structured("energy", values, "application/cloudevents-batch+json")
        self.assertEqual(response.status, 200, response)
        for index, result in enumerate(response.json()["results"]):
            self.check_stored(result["stored_event_id"], f"ce-3-{index}", {"energy": index}, None)
        again = self.post_structured("energy", values, "application/cloudevents-batch+json").json()["results"]
        self.assertEqual(
            [result["stored_event_id"] for result in again],
            [result["stored_event_id"] for result in response.json()["results"]],
        )
        self.assertTrue(all(result["replayed"] for result in again))

    def test_a_bad_envelope_in_a_batch_stops_no_neighbour(self):
        values = [
            self.structured("ce-4-0", {"energy": 1}),
            {"specversion": "1.0", "data": {}},
            5,
            self.structured("ce-4-3", [1]),
            self.structured("ce-4-4", {"energy": 2}),
        ]
        response = self.post_structured("energy", values, "application/cloudevents-batch+json")
        self.assertEqual(response.status, 200, response)
        results = response.json()["results"]
        self.assertEqual(["error" in result for result in results], [False, True, True, True, False])

    def test_one_id_in_all_three_modes_is_one_event(self):
        identity = str(uuid.uuid4())
        first = self.client.post_raw("/ingest/parks", '{"a":1}', self.binary_headers(identity)).json()
        second = self.post_structured("parks", self.structured(identity, {"a": 1})).json()
        third = self.post_structured(
            "parks", [self.structured(identity, {"a": 1})], "application/cloudevents-batch+json"
        ).json()["results"][0]
        self.assertEqual(first, second)
        self.assertEqual(third["stored_event_id"], first["stored_event_id"])

    def test_broken_envelopes_are_refused(self):
        good = self.structured("ce-5", {"a": 1})
        for name in ["specversion", "id", "source", "type"]:
            with self.subTest(missing=name):
                self.assert_problem(
                    self.post_structured("parks", {key: value for key, value in good.items() if key != name}),
                    (400, 422),
                )
        for change in [
            {"specversion": "9.9"},
            {"id": ""},
            {"id": 5},
            {"time": "yesterday"},
            {"time": "2016-13-01T00:00:00Z"},
            {"data": [1]},
            {"data": "text"},
        ]:
            with self.subTest(change=change):
                self.assert_problem(self.post_structured("parks", {**good, **change}), (400, 422))
        self.assert_problem(
            self.client.post_raw("/ingest/parks", "{}", self.binary_headers("ce-6", ce_time="noon")), (400, 422)
        )
        headers = {name: value for name, value in self.binary_headers("ce-7").items() if name != "ce-id"}
        self.assert_problem(self.client.post_raw("/ingest/parks", "{}", headers), (400, 422))

    def test_data_base64_with_json_is_read_or_refused(self):
        value = self.structured("ce-8", None, data_base64="eyJhIjoxfQ==")
        del value["data"]
        response = self.post_structured("parks", value)
        if response.status == 200:
            self.check_stored(response.json()["stored_event_id"], "ce-8", {"a": 1}, None)
        else:
            self.assert_problem(response, (415, 422))

    def test_without_time_the_clock_counts(self):
        response = self.post_structured("parks", self.structured("ce-9", {"a": 1}))
        event = self.event(self.client, response.json()["stored_event_id"])
        self.assertLess(abs(parse_time(event["timestamp"]) - parse_time(event["created_at"])), 5)
        self.assertNotIn("specversion", json.dumps(event["payload"]))


if __name__ == "__main__":
    unittest.main()
