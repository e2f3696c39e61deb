"""What the tests of the worker share: an api that derives, and views of what became of the messages."""

import collections

from harness import EndToEndTest, wait_until


class WorkerCase(EndToEndTest):
    api_settings = {"DERIVED_DEDUPE_WINDOW_SECONDS": 0}

    def setUp(self):
        super().setUp()
        self.client = self.open_client(self.start_api(**self.api_settings))

    def emergencies(self, count, first_patient=1, times=1):
        """`times` emergencies for each of `count` patients, round after round; two messages each."""
        bodies = [
            {"patient_id": first_patient + patient, "alert": "emergency", "location": f"round {turn}"}
            for turn in range(times)
            for patient in range(count)
        ]
        for start in range(0, len(bodies), 500):
            response = self.client.post_json("/ingest/health", bodies[start : start + 500])
            self.assertEqual(response.status, 200, response)
        return 2 * len(bodies)

    def alert(self, neighborhood="east", energy=600):
        """One energy alert: exactly one message. Returns the derived event's id."""
        return self.ingest(self.client, "energy", {"energy": energy, "neighborhood": neighborhood})[
            "derived_events"
        ][0]

    def message(self, event_id):
        rows = self.database.messages(f"event_id = '{event_id}'")
        self.assertEqual(len(rows), 1, rows)
        return rows[0]

    def wait_message(self, event_id, deadline=20.0, **wanted):
        def check():
            row = self.message(event_id)
            return row if all(row[name] == value for name, value in wanted.items()) else None

        return wait_until(check, deadline, f"message becomes {wanted}; now {self.message(event_id)}", poll=0.1)

    def assert_each_once(self, deliveries, count):
        found = collections.Counter(delivery.event_id for delivery in deliveries)
        self.assertEqual(
            [identity for identity, times in found.items() if times > 1], [], "delivered more than once"
        )
        self.assertEqual(len(found), count)
