"""POST /ingest/{service} under other settings: window, threshold, unknown services, strict validation, YAML."""

import json
import tempfile
import unittest

from harness import EndToEndTest, wait_until


class WindowTest(EndToEndTest):
    def test_window_zero_is_off(self):
        client = self.open_client(self.start_api(DERIVED_DEDUPE_WINDOW_SECONDS=0))
        first, second = (self.ingest(client, "health", {"patient_id": 1, "alert": "emergency"}) for _ in range(2))
        self.assertNotIn("suppressed", second)
        self.assertFalse(set(first["derived_events"]) & set(second["derived_events"]))
        self.assertEqual(self.database.count("outbox_messages"), 4)

    def test_after_the_window_the_event_is_derived_again(self):
        client = self.open_client(self.start_api(DERIVED_DEDUPE_WINDOW_SECONDS=1))
        body = {"energy": 900, "neighborhood": "east"}
        first = self.ingest(client, "energy", body)["derived_events"]
        again = wait_until(
            lambda: [found for found in [self.ingest(client, "energy", body)["derived_events"]] if found != first],
            10,
            "a new derived event after the window",
            poll=0.1,
        )
        self.assertEqual(len(again[0]), 1)


class ModeTest(EndToEndTest):
    def test_threshold_from_the_environment(self):
        client = self.open_client(self.start_api(ENERGY_THRESHOLD_KWH="10.5"))
        self.assertEqual(self.ingest(client, "energy", {"energy": 10.5})["derived_events"], [])
        self.assertEqual(len(self.ingest(client, "energy", {"energy": 10.6})["derived_events"]), 1)

    def test_unknown_services_can_be_refused(self):
        client = self.open_client(self.start_api(INGEST_UNKNOWN_SERVICES="reject"))
        self.assert_problem(client.post_json("/ingest/parks", {"a": 1}), 404)
        for service in ["health", "energy", "transport", "security"]:
            self.ingest(client, service, {})
        self.assertEqual(self.database.count("events"), 4)

    def test_strict_mode_refuses_with_every_field_and_keeps_the_body(self):
        client = self.open_client(self.start_api(INGEST_VALIDATION="strict"))
        body = {"lat": "north-7731", "lon": [], "bus_id": 5}
        problem = self.assert_problem(client.post_json("/ingest/transport", body), 422)
        text = json.dumps(problem)
        self.assertIn("lat", text)
        self.assertIn("lon", text)
        self.assertEqual(
            {fault["field"] for fault in problem.get("errors") or problem.get("validation_errors", [])},
            {"lat", "lon"},
            problem,
        )
        self.assertEqual(self.database.count("events"), 0)
        self.assertEqual(self.quarantined("north-7731"), 1)
        self.ingest(client, "transport", {"lat": 5})

    def quarantined(self, mark):
        """Rows of any table called like quarantine that hold the mark, as text or as bytes."""
        tables = self.database.rows(
            "select table_name from information_schema.tables where table_schema = 'public' and "
            "table_name like '%quarantine%' and table_type = 'BASE TABLE'"
        )
        self.assertTrue(tables, "no quarantine table")
        pattern = f"%{mark}%"
        as_hex = f"%{mark.encode().hex()}%"
        return sum(
            self.database.count(f"{table['table_name']} q", f"q::text like '{pattern}' or q::text like '{as_hex}'")
            for table in tables
        )

    def test_strict_mode_still_coerces(self):
        client = self.open_client(self.start_api(INGEST_VALIDATION="strict"))
        answer = self.ingest(client, "energy", {"energy": "650", "neighborhood": "x"})
        self.assertEqual(len(answer["derived_events"]), 1)

    def test_yaml_sets_single_services_and_rules(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(
                "ingest:\n  services:\n    transport:\n      validation: strict\nrules:\n  health_emergency:\n    dedupe_window_seconds: 0\n"
            )
            file.flush()
            client = self.open_client(self.start_api(CONFIG_PATH=file.name))
        self.assert_problem(client.post_json("/ingest/transport", {"lat": "north"}), 422)
        self.ingest(client, "energy", {"energy": "x"})
        for service, body, suppressed in [
            ("health", {"patient_id": 1, "alert": "emergency"}, False),
            ("energy", {"energy": 900, "neighborhood": "east"}, True),
        ]:
            self.ingest(client, service, body)
            self.assertEqual("suppressed" in self.ingest(client, service, body), suppressed, service)

    def test_base_events_are_published_when_asked(self):
        client = self.open_client(self.start_api(PUBLISH_BASE_EVENTS="true"))
        self.ingest(client, "health", {"patient_id": 1, "alert": "emergency"})
        self.assertEqual(
            sorted(row["topic"] for row in self.database.messages()),
            ["event.health", "event.security", "event.transport"],
        )


if __name__ == "__main__":
    unittest.main()
