"""POST /ingest/{service}: what is stored, what is derived, what is refused."""

import json
import random
import unittest
import uuid
from urllib.parse import quote

import oracle
from harness import EndToEndTest, SharedApiTest, parse_time

event_keys = {
    "id",
    "service",
    "timestamp",
    "payload",
    "normalized_payload",
    "deduplication_key",
    "source_event_id",
    "created_at",
}

# (service, body): whatever the contract says about these, the oracle says it too.
rule_cases = [
    ("health", {"patient_id": 123, "alert": "emergency", "location": "downtown"}),
    ("health", {"patient_id": "124", "alert": "emergency"}),
    ("health", {"patient_id": " 125 ", "alert": "emergency"}),
    ("health", {"patient_id": "126.0", "alert": "emergency"}),
    ("health", {"patient_id": "1_127", "alert": "emergency"}),
    ("health", {"patient_id": 128.0, "alert": "emergency"}),
    ("health", {"patient_id": True, "alert": "emergency"}),
    ("health", {"patient_id": -129, "alert": "emergency"}),
    ("health", {"alert": "emergency"}),
    ("health", {"patient_id": None, "alert": "emergency", "location": None}),
    ("health", {"patient_id": "abc", "alert": "emergency"}),
    ("health", {"patient_id": 12.5, "alert": "emergency"}),
    ("health", {"patient_id": [1, "a", None, True], "alert": "emergency"}),
    ("health", {"patient_id": {"a": 1, "b": "it's", "c": 2.5}, "alert": "emergency"}),
    ("health", {"patient_id": 130, "alert": "emergency", "location": 7}),
    ("health", {"patient_id": 131, "alert": "Emergency"}),
    ("health", {"patient_id": 132, "alert": " emergency"}),
    ("health", {"patient_id": 133, "alert": "routine"}),
    ("health", {"patient_id": 134}),
    ("health", {"patient_id": 135, "alert": None}),
    ("health", {"patient_id": 136, "alert": ["emergency"]}),
    ("health", {"patient_id": 137, "alert": "emergency", "ward": {"floor": [1, 2, {"bed": None}]}}),
    ("health", {"patient_id": 138, "alert": "emergency", "location": "Čapkova ulice – 東京 \U0001f6a8"}),
    ("health", {}),
    ("energy", {"energy": 600, "neighborhood": "n600"}),
    ("energy", {"energy": 500, "neighborhood": "n500"}),
    ("energy", {"energy": 500.0, "neighborhood": "n500.0"}),
    ("energy", {"energy": 500.00000000000006, "neighborhood": "just above"}),
    ("energy", {"energy": 500.01, "neighborhood": "n500.01"}),
    ("energy", {"energy": 400, "neighborhood": "n400"}),
    ("energy", {"energy": -600, "neighborhood": "n-600"}),
    ("energy", {"energy": "650", "neighborhood": "n650"}),
    ("energy", {"energy": " 6.5e2 ", "neighborhood": "n6.5e2"}),
    ("energy", {"energy": "1_000", "neighborhood": "n1_000"}),
    ("energy", {"energy": True, "neighborhood": "true"}),
    ("energy", {"energy": 700}),
    ("energy", {"energy": 700, "neighborhood": None}),
    ("energy", {"energy": 601, "neighborhood": 5}),
    ("energy", {"energy": 602.5, "neighborhood": True}),
    ("energy", {"energy": 603, "neighborhood": 12.5}),
    ("energy", {"energy": 604, "neighborhood": ["x", 1.0]}),
    ("energy", {"energy": "605", "neighborhood": 5}),
    ("energy", {"energy": "x", "neighborhood": "nx"}),
    ("energy", {"energy": [600], "neighborhood": "list"}),
    ("energy", {"energy": {"kwh": 600}, "neighborhood": "object"}),
    ("energy", {"energy": None, "neighborhood": "null"}),
    ("energy", {"neighborhood": "missing"}),
    ("energy", {"energy": 650, "neighborhood": "extra", "meter": "m-1", "tags": ["a", 1, None]}),
    ("energy", {}),
    ("transport", {"bus_id": "12", "lat": "30.5", "lon": -97}),
    ("transport", {"bus_id": 12, "lat": 1, "lon": 2.5, "speed": 3}),
    ("transport", {"bus_id": 12.5}),
    ("transport", {"bus_id": "twelve"}),
    ("transport", {"lat": False}),
    ("transport", {"lat": "north", "lon": []}),
    ("transport", {}),
    ("security", {"alert": True, "camera_trigger": "gate"}),
    ("security", {"alert": "YES"}),
    ("security", {"alert": "off"}),
    ("security", {"alert": 1}),
    ("security", {"alert": 0.0}),
    ("security", {"alert": 2}),
    ("security", {"alert": "maybe"}),
    ("security", {"camera_trigger": 5}),
    ("security", {}),
    ("parks", {"test": "data", "alert": "emergency", "energy": 900}),
    ("parks", {}),
    ("Parks.v2_x-1", {"energy": "x"}),
    ("x" * 100, {"a": 1}),
]


class RuleTest(EndToEndTest):
    def setUp(self):
        super().setUp()
        # Cases share patients and neighborhoods; suppression has tests of its own.
        self.client = self.open_client(self.start_api(DERIVED_DEDUPE_WINDOW_SECONDS=0))

    def test_every_case_is_stored_and_derived_as_the_oracle_says(self):
        for service, body in rule_cases:
            with self.subTest(service=service, body=body):
                self.check(service, body)

    def check(self, service, body):
        expected = oracle.expect(service, body)
        answer = self.ingest(self.client, service, body)
        self.assertEqual(len(answer["derived_events"]), len(expected.derived), answer)
        self.assertNotIn("suppressed", answer)
        fields = {fault["field"] for fault in answer.get("validation_errors", [])}
        self.assertEqual(fields, set(expected.bad_fields), answer)
        self.assertTrue(all(fault["message"] for fault in answer.get("validation_errors", [])), answer)
        self.assertEqual("validation_errors" in answer, bool(expected.bad_fields), answer)

        base = self.event(self.client, answer["stored_event_id"])
        self.assertEqual(base["payload"], body)
        self.assertEqual(base["normalized_payload"], expected.normalized)
        self.assertEqual(
            (base["service"], base["source_event_id"], base["deduplication_key"]), (service, None, None)
        )
        self.assertLessEqual(event_keys, base.keys())

        self.assertEqual([event["id"] for event in base["derived_events"]], answer["derived_events"])
        for stored, wanted in zip(base["derived_events"], expected.derived):
            self.assertEqual(stored["service"], wanted.service)
            self.assertEqual(stored["payload"], wanted.payload)
            self.assertEqual(stored["deduplication_key"], wanted.key)
            self.assertEqual(stored["source_event_id"], base["id"])
            self.assertIsNone(stored["normalized_payload"])
            self.assertLessEqual(event_keys, stored.keys())

        messages = self.database.messages(
            f"event_id in (select id from event_details where source_event_id = '{base['id']}')"
        )
        self.assertEqual(
            sorted((row["topic"], json.dumps(row["payload"], sort_keys=True)) for row in messages),
            sorted((one.topic, json.dumps(one.payload, sort_keys=True)) for one in expected.derived),
        )
        for row in messages:
            self.assertEqual((row["status"], row["attempts"], row["published_at"]), ("pending", 0, None))
            self.assertIsNotNone(row["created_at"])

    def test_integers_and_numbers_keep_their_kind_after_coercion(self):
        answer = self.ingest(self.client, "energy", {"energy": "650", "neighborhood": "kind"})
        energy = self.event(self.client, answer["stored_event_id"])["normalized_payload"]["energy"]
        self.assertNotIsInstance(energy, str)
        answer = self.ingest(self.client, "transport", {"bus_id": "12"})
        bus = self.event(self.client, answer["stored_event_id"])["normalized_payload"]["bus_id"]
        self.assertIsInstance(bus, int)


class AnswerTest(SharedApiTest):
    def count(self):
        return self.database.count("events")

    def test_health_is_exactly_ok(self):
        response = self.client.get("/health")
        self.assertEqual((response.status, response.json()), (200, {"status": "ok"}))

    def test_the_answer_has_two_keys_and_family_ids(self):
        answer = self.ingest(self.client, "health", {"patient_id": 9001, "alert": "emergency"})
        self.assertEqual(set(answer), {"stored_event_id", "derived_events"})
        base = uuid.UUID(answer["stored_event_id"])
        self.assertEqual(base.version, 7)
        self.assertEqual(base.bytes[15], 0)
        for ordinal, derived in enumerate(answer["derived_events"], 1):
            self.assertEqual(uuid.UUID(derived).bytes, base.bytes[:15] + bytes([ordinal]))

    def test_no_rule_means_no_derived_events(self):
        answer = self.ingest(self.client, "security", {"alert": True})
        self.assertEqual(answer["derived_events"], [])

    def test_times_are_utc_with_z(self):
        answer = self.ingest(self.client, "health", {"patient_id": 9002, "alert": "emergency"})
        base = self.event(self.client, answer["stored_event_id"])
        for event in [base, *base["derived_events"]]:
            parse_time(event["timestamp"])
            parse_time(event["created_at"])

    def test_bodies_that_are_not_one_json_object_are_422_and_store_nothing(self):
        deep = b'{"a":' * 40 + b"1" + b"}" * 40
        bodies = [
            b"",
            b"   ",
            b"{",
            b"nope",
            b"null",
            b"true",
            b"5",
            b'"text"',
            b'{"a":1}x',
            b'{"a":1,}',
            b"{'a':1}",
            b'{"a":01}',
            b'{"a":NaN}',
            b'{"a":Infinity}',
            b'{"a":-Infinity}',
            b'{"a":1e400}',
            b'{"a":-1e400}',
            b'{"a":"\\u0000"}',
            b'{"a\\u0000b":1}',
            b'{"a":{"b":["\\u0000"]}}',
            b'{"a":"\x00"}',
            b'{"a":"\\ud800"}',
            b'{"a":"\\udc00\\ud800"}',
            b'{"a":"\xff\xfe"}',
            b'{"a":"\xed\xa0\x80"}',
            b'{"a":"\xc0\xaf"}',
            b'{"a":"tab\there"}',
            deep,
        ]
        before = self.count()
        for body in bodies:
            with self.subTest(body=body[:40]):
                self.assert_problem(self.client.post_raw("/ingest/energy", body), 422)
        self.assertEqual(self.count(), before)

    def test_the_place_of_a_bad_value_is_named(self):
        detail = json.dumps(
            self.assert_problem(self.client.post_raw("/ingest/energy", b'{"meter":{"id":"a\\u0000b"}}'), 422)
        )
        self.assertIn("meter", detail)

    def test_depth_32_is_the_limit(self):
        def nested(depth):
            return b'{"a":' * depth + b"1" + b"}" * depth

        self.assertEqual(self.client.post_raw("/ingest/parks", nested(32)).status, 200)
        self.assert_problem(self.client.post_raw("/ingest/parks", nested(33)), 422)

    def test_integers_beyond_64_bits_are_exact_or_refused(self):
        for number in [
            2**63 - 1,
            -(2**63),
            2**63,
            2**64 - 1,
            2**64,
            -(2**63) - 1,
            10**19,
            10**30,
            123456789012345678901234567890,
        ]:
            with self.subTest(number=number):
                response = self.client.post_raw("/ingest/parks", b'{"n":%d}' % number)
                if -(2**63) <= number < 2**63:
                    self.assertEqual(response.status, 200, response)
                if response.status == 200:
                    event = self.event(self.client, response.json()["stored_event_id"])
                    self.assertEqual(event["payload"], {"n": number})
                    self.assertEqual(event["normalized_payload"], {"n": number})
                else:
                    self.assert_problem(response, 422)

    def test_doubles_come_back_exactly(self):
        numbers = random.Random(20161121)
        values = [numbers.uniform(-1000, 1000) for _ in range(200)] + [
            0.1 + 0.2,
            5e-324,
            1.7976931348623157e308,
            2.2250738585072014e-308,
        ]
        answer = self.ingest(self.client, "parks", {"values": values})
        event = self.event(self.client, answer["stored_event_id"])
        for name in ["payload", "normalized_payload"]:
            # PostgreSQL writes 1.7e308 as an integer of 309 digits: the same number, read as a double.
            self.assertEqual([float(value) for value in event[name]["values"]], values)

    def test_coerced_doubles_are_exact_too(self):
        numbers = random.Random(7)
        items = [{"lat": numbers.uniform(-90, 90), "lon": repr(numbers.uniform(-180, 180))} for _ in range(100)]
        results = self.client.post_json("/ingest/transport", items).json()["results"]
        for item, result in zip(items, results):
            normalized = self.event(self.client, result["stored_event_id"])["normalized_payload"]
            self.assertEqual((normalized["lat"], normalized["lon"]), (item["lat"], float(item["lon"])))

    def test_duplicate_names_keep_the_last_value(self):
        response = self.client.post_raw("/ingest/energy", b'{"energy":1,"energy":700,"neighborhood":"twice"}')
        self.assertEqual(response.status, 200, response)
        self.assertEqual(len(response.json()["derived_events"]), 1)
        self.assertEqual(self.event(self.client, response.json()["stored_event_id"])["payload"]["energy"], 700)

    def test_service_names(self):
        for path in [
            "a" * 101,
            "a%20b",
            "a%00b",
            "caf%C3%A9",
            "a%2Fb",
            "a:b",
            "a%25b",
            "%2e%2e%2fetc",
            "a;b",
            "a'b",
        ]:
            with self.subTest(path=path):
                self.assert_problem(self.client.post_json(f"/ingest/{path}", {}), (404, 422))
        for name in ["a", "a" * 100, "A-b_c.9", "0"]:
            with self.subTest(name=name):
                answer = self.ingest(self.client, name, {})
                self.assertEqual(self.event(self.client, answer["stored_event_id"])["service"], name)

    def test_long_and_odd_names_are_422(self):
        for path in ["a" * 101, "a%20b", "a%00b", "caf%C3%A9"]:
            with self.subTest(path=path):
                self.assert_problem(self.client.post_json(f"/ingest/{path}", {}), 422)

    def test_wrong_paths_are_404(self):
        for path in ["/", "/ingest", "/ingest/", "/ingest/a/b", "/nope", "/health/x", "/Events"]:
            with self.subTest(path=path):
                self.assert_problem(self.client.post_json(path, {}), 404)

    def test_wrong_methods_are_405_with_allow(self):
        for method, path, allowed in [
            ("GET", "/ingest/energy", "POST"),
            ("PUT", "/ingest/energy", "POST"),
            ("DELETE", "/ingest/energy", "POST"),
            ("POST", "/events", "GET"),
            ("DELETE", "/events", "GET"),
            ("POST", "/health", "GET"),
            ("PATCH", "/events/0190a000-0000-7000-8000-000000000000", "GET"),
        ]:
            with self.subTest(method=method, path=path):
                response = self.client.request(method, path)
                self.assert_problem(response, 405)
                self.assertIn(allowed, response.header("allow") or "")

    def test_other_content_types_do_not_pass_as_json(self):
        before = self.count()
        for content_type in ["text/plain", "application/xml", "application/x-www-form-urlencoded"]:
            with self.subTest(content_type=content_type):
                self.assert_problem(
                    self.client.request("POST", "/ingest/energy", b'{"energy":1}', {"Content-Type": content_type}),
                    (415, 422),
                )
        self.assertEqual(self.count(), before)
        for content_type in [
            "application/json",
            "application/json; charset=utf-8",
            "application/vnd.city+json",
            "Application/JSON",
        ]:
            with self.subTest(content_type=content_type):
                response = self.client.request(
                    "POST", "/ingest/energy", b'{"energy":1}', {"Content-Type": content_type}
                )
                self.assertEqual(response.status, 200, response)

    def test_a_body_without_content_type_is_json(self):
        self.assertEqual(self.client.request("POST", "/ingest/energy", b'{"energy":1}').status, 200)

    def test_bodies_over_one_mebibyte_are_413(self):
        def body_of(size):
            return b'{"a":"' + b"x" * (size - 8) + b'"}'

        self.assertEqual(self.client.post_raw("/ingest/parks", body_of(1024 * 1024)).status, 200)
        self.assert_problem(self.client.post_raw("/ingest/parks", body_of(1024 * 1024 + 1)), 413)


class DedupeTest(SharedApiTest):
    def emergency(self, patient, **more):
        return {"patient_id": patient, "alert": "emergency", **more}

    def test_a_repeat_answers_the_same_and_writes_nothing(self):
        first = self.client.post_json("/ingest/health?dedupe_key=k1", self.emergency(1))
        self.assertEqual(first.status, 200, first)
        self.assertIsNone(first.header("idempotent-replayed"))
        before = (self.database.count("events"), self.database.count("outbox_messages"))
        for body in [self.emergency(1), {"other": "body"}, {}]:
            again = self.client.post_json("/ingest/health?dedupe_key=k1", body)
            self.assertEqual(again.status, 200)
            self.assertEqual(again.json(), first.json())
            self.assertEqual(again.header("idempotent-replayed"), "true")
        self.assertEqual((self.database.count("events"), self.database.count("outbox_messages")), before)
        self.assertEqual(self.event(self.client, first.json()["stored_event_id"])["deduplication_key"], "k1")

    def test_header_and_query_are_one_key(self):
        first = self.ingest(self.client, "energy", {"energy": 1}, Idempotency_Key="k2")
        again = self.client.post_json("/ingest/energy?dedupe_key=k2", {"energy": 1})
        self.assertEqual(again.json(), first)
        self.assertEqual(again.header("idempotent-replayed"), "true")

    def test_a_key_belongs_to_its_service(self):
        first = self.ingest(self.client, "energy", {"energy": 1}, Idempotency_Key="k3")
        other = self.client.post_json("/ingest/transport", {}, {"Idempotency-Key": "k3"})
        self.assertNotEqual(other.json()["stored_event_id"], first["stored_event_id"])
        self.assertIsNone(other.header("idempotent-replayed"))

    def test_an_empty_key_is_no_key(self):
        answers = [self.client.post_json("/ingest/energy?dedupe_key=", {"energy": 1}).json() for _ in range(2)]
        self.assertNotEqual(answers[0]["stored_event_id"], answers[1]["stored_event_id"])
        answers = [self.ingest(self.client, "energy", {"energy": 1}, Idempotency_Key="") for _ in range(2)]
        self.assertNotEqual(answers[0]["stored_event_id"], answers[1]["stored_event_id"])

    def test_a_request_key_never_matches_a_derived_event(self):
        first = self.ingest(self.client, "health", self.emergency(4))
        for service in ["health", "transport", "security"]:
            answer = self.client.post_json(f"/ingest/{service}?dedupe_key=health_emergency_4", {"alert": None})
            self.assertEqual(answer.status, 200, answer)
            self.assertIsNone(answer.header("idempotent-replayed"))
            self.assertNotIn(
                answer.json()["stored_event_id"], first["derived_events"] + [first["stored_event_id"]]
            )

    def test_a_request_key_equal_to_a_derived_key_suppresses_nothing(self):
        self.client.post_json("/ingest/security?dedupe_key=health_emergency_5", {"alert": True})
        answer = self.ingest(self.client, "health", self.emergency(5))
        self.assertNotIn("suppressed", answer)
        self.assertEqual(len(answer["derived_events"]), 2)

    def test_validation_errors_are_part_of_the_replayed_answer(self):
        first = self.ingest(self.client, "energy", {"energy": "x"}, Idempotency_Key="k6")
        self.assertEqual([fault["field"] for fault in first["validation_errors"]], ["energy"])
        again = self.ingest(self.client, "energy", {"energy": 900}, Idempotency_Key="k6")
        self.assertEqual(again, first)

    def test_suppression_is_part_of_the_replayed_answer(self):
        self.ingest(self.client, "health", self.emergency(7))
        second = self.ingest(self.client, "health", self.emergency(7), Idempotency_Key="k7")
        self.assertEqual(len(second["suppressed"]), 2)
        self.assertEqual(self.ingest(self.client, "health", {}, Idempotency_Key="k7"), second)

    def test_odd_keys_work(self):
        for key in ["a b", "ключ", "k" * 200, "'; drop table events; --", "a#0", "100%"]:
            with self.subTest(key=key):
                path = f"/ingest/parks?dedupe_key={quote(key)}"
                first = self.client.post_json(path, {"a": 1})
                self.assertEqual(first.status, 200, first)
                self.assertEqual(self.client.post_json(path, {"a": 1}).json(), first.json())
                self.assertEqual(
                    self.event(self.client, first.json()["stored_event_id"])["deduplication_key"], key
                )

    def test_a_key_with_nul_is_refused(self):
        self.assert_problem(self.client.post_json("/ingest/parks?dedupe_key=a%00b", {}), (400, 422))

    def test_a_refused_request_does_not_use_up_its_key(self):
        self.assert_problem(self.client.post_raw("/ingest/parks?dedupe_key=k8", b"{"), 422)
        answer = self.client.post_json("/ingest/parks?dedupe_key=k8", {"a": 1})
        self.assertEqual(answer.status, 200)
        self.assertIsNone(answer.header("idempotent-replayed"))

    def test_a_repeated_emergency_names_the_events_that_exist(self):
        first = self.ingest(self.client, "health", self.emergency(9))
        messages = self.database.count("outbox_messages")
        second = self.ingest(self.client, "health", self.emergency(9, location="elsewhere"))
        self.assertNotEqual(second["stored_event_id"], first["stored_event_id"])
        self.assertEqual(second["derived_events"], first["derived_events"])
        self.assertEqual(second["suppressed"], first["derived_events"])
        self.assertEqual(self.database.count("outbox_messages"), messages)
        self.assertEqual(self.event(self.client, second["stored_event_id"])["derived_events"], [])

    def test_keys_with_a_missing_part_never_suppress(self):
        for service, body in [("health", {"alert": "emergency"}), ("energy", {"energy": 900})]:
            first, second = (self.ingest(self.client, service, body) for _ in range(2))
            self.assertNotIn("suppressed", second)
            self.assertFalse(set(first["derived_events"]) & set(second["derived_events"]))

    def test_energy_alerts_of_one_neighborhood_are_suppressed(self):
        first = self.ingest(self.client, "energy", {"energy": 900, "neighborhood": "east"})
        second = self.ingest(self.client, "energy", {"energy": 950, "neighborhood": "east"})
        other = self.ingest(self.client, "energy", {"energy": 950, "neighborhood": "west"})
        self.assertEqual(second["suppressed"], first["derived_events"])
        self.assertNotIn("suppressed", other)


if __name__ == "__main__":
    unittest.main()
