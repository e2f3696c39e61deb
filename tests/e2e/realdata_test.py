"""Ten thousand real city records, from POST to delivery, counted twice: by Polis and by the oracle."""

import collections
import json
import threading
import unittest

import oracle
from harness import EndToEndTest, city_events

items_per_batch = 500


def canonical(value):
    return json.dumps(value, sort_keys=True)


class RealDataTest(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.records = collections.defaultdict(list)
        with open(city_events) as lines:
            for line in lines:
                record = json.loads(line)
                self.records[record["service"]].append(record["payload"])
        self.total = sum(len(found) for found in self.records.values())
        self.expect()

    def expect(self):
        window = oracle.Suppression()
        self.derived, self.suppressed, self.invalid = collections.defaultdict(list), collections.Counter(), 0
        for service, payloads in self.records.items():
            for payload in payloads:
                expected = oracle.expect(service, payload)
                self.invalid += bool(expected.bad_fields)
                for derived in expected.derived:
                    if window.admit(derived):
                        self.derived[derived.service].append(derived)
                    else:
                        self.suppressed[service] += 1

    def post_all(self, api):
        """Each service on a connection of its own, in the order of the file. Returns the results of every service."""
        results, faults = {}, []

        def send(service, payloads):
            try:
                with api.client() as client:
                    found = []
                    for start in range(0, len(payloads), items_per_batch):
                        response = client.post_json(
                            f"/ingest/{service}",
                            payloads[start : start + items_per_batch],
                            {"Idempotency-Key": f"city-{start}"},
                        )
                        if response.status != 200:
                            raise AssertionError(response)
                        found += response.json()["results"]
                    results[service] = found
            except BaseException as fault:
                faults.append(fault)

        threads = [threading.Thread(target=send, args=one, daemon=True) for one in self.records.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(faults, [])
        return results

    def test_the_whole_file(self):
        self.assertEqual(self.total, 10881)
        sink = self.start_sink()
        api = self.start_api(DERIVED_DEDUPE_WINDOW_SECONDS=3600)
        self.start_worker(sink)
        results = self.post_all(api)
        self.check_answers(results)
        self.check_stored()
        count = sum(len(found) for found in self.derived.values())
        self.wait_all_sent(count, 40)
        self.check_delivered(sink.snapshot())
        self.check_second_run(api, results)
        print(
            f"\nreal data: {self.total} stored, {count} derived, {sum(self.suppressed.values())} suppressed, {sink.count()} delivered",
            flush=True,
        )

    def check_answers(self, results):
        for service, payloads in self.records.items():
            self.assertEqual(len(results[service]), len(payloads))
            self.assertFalse(any("error" in result for result in results[service]))
            self.assertEqual(
                sum(len(result.get("suppressed", [])) for result in results[service]), self.suppressed[service]
            )
        self.assertEqual(
            sum("validation_errors" in result for found in results.values() for result in found), self.invalid
        )

    def check_stored(self):
        stored = self.database.rows(
            "select service, payload, normalized_payload, deduplication_key, source_event_id is null as base from event_details"
        )
        found = collections.Counter((row["service"], canonical(row["payload"])) for row in stored if row["base"])
        self.assertEqual(
            self.equal_numbers(found),
            self.equal_numbers(
                collections.Counter(
                    (service, canonical(payload))
                    for service, payloads in self.records.items()
                    for payload in payloads
                )
            ),
        )
        normalized = collections.Counter(
            (row["service"], canonical(row["normalized_payload"])) for row in stored if row["base"]
        )
        self.assertEqual(
            self.equal_numbers(normalized),
            self.equal_numbers(
                collections.Counter(
                    (service, canonical(oracle.expect(service, payload).normalized))
                    for service, payloads in self.records.items()
                    for payload in payloads
                )
            ),
        )
        derived = collections.Counter(
            (row["service"], row["deduplication_key"]) for row in stored if not row["base"]
        )
        self.assertEqual(
            derived,
            collections.Counter((one.service, one.key) for found in self.derived.values() for one in found),
        )

    def equal_numbers(self, counter):
        """650 and 650.0 are one number in JSON: compare numbers as doubles."""
        result = collections.Counter()
        for (service, text), times in counter.items():
            result[(service, canonical(json.loads(text, parse_int=float)))] += times
        return result

    def check_delivered(self, deliveries):
        self.assertEqual(len({delivery.event_id for delivery in deliveries}), len(deliveries), "delivered twice")
        received = collections.Counter(
            (delivery.topic, canonical(json.loads(delivery.body, parse_int=float))) for delivery in deliveries
        )
        wanted = collections.Counter(
            (one.topic, canonical(json.loads(canonical(one.payload), parse_int=float)))
            for found in self.derived.values()
            for one in found
        )
        self.assertEqual(received, wanted)

    def check_second_run(self, api, results):
        before = self.database.count("events")
        again = self.post_all(api)
        for service, found in again.items():
            for first, second in zip(results[service], found):
                self.assertTrue(second.pop("replayed", False), second)
                self.assertEqual(second, first)
        self.assertEqual(self.database.count("events"), before)


if __name__ == "__main__":
    unittest.main()
