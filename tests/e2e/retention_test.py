"""The api drops what is over by itself, says so, and says for whom it keeps what it keeps."""

import unittest

from harness import EndToEndTest, wait_until

settings = {
    "RETENTION_EVENTS_DAYS": 30,
    "RETENTION_OUTBOX_DAYS": 7,
    "RETENTION_DEAD_LETTERS_DAYS": 7,
    "RETENTION_INTERVAL_SECONDS": 0.05,
}


def fill(database):
    """A day of events, a partition of the outbox and dead letters that are over, and messages that are not."""
    database.execute(
        "create table events_20200101 partition of events for values from (uuid7_floor('2020-01-01Z')) to "
        "(uuid7_floor('2020-01-02Z'));"
        "insert into events (id, derived_count, service, payload) values (uuid7_floor('2020-01-01 10:00Z'), 0, 's', '{}');"
        "insert into request_keys values (gen_random_uuid(), uuid7_floor('2020-01-01 10:00Z'));"
        "insert into outbox (key_hash, event_id, lane, topic, payload) "
        "select n, uuid7_floor('2020-01-01 10:00Z'), n % 16, 'event.x', '{}' from generate_series(1, 100) n;"
        "insert into lane_progress (subscription_id, lane, acked_seq) select 1, lane, seq from outbox;"
        "insert into dead_letters (subscription_id, lane, seq, key_hash, event_id, topic, payload, attempts, last_error, "
        "died_at) select 1, lane, seq, 1, event_id, topic, payload, 1, 'x', '2020-01-02' from outbox where seq <= 10;"
        "select setval('outbox_seq', 4999999);"
        "insert into outbox (key_hash, event_id, lane, topic, payload) "
        "select n, uuid7_floor(now()), n % 16, 'event.x', '{}' from generate_series(1, 10) n;"
        "select ensure_outbox_partitions();"
    )


cursors = "select lane, max(acked_seq) from lane_progress group by lane"


def wait_clean(database):
    for table, where in [
        ("pg_class", "relname in ('events_20200101', 'outbox_0')"),
        ("request_keys", "true"),
        ("lane_progress", f"(lane, acked_seq) not in ({cursors})"),
        ("dead_letters", "true"),
    ]:
        wait_until(lambda: database.count(table, where) == 0, 20, f"{table} is clean")


class RetentionTest(EndToEndTest):
    def test_what_is_over_goes(self):
        fill(self.database)
        api = self.start_api(**settings)
        wait_clean(self.database)
        self.assertEqual(self.database.count("outbox"), 10)
        self.assertEqual(
            [line["partition"] for line in api.logged("partition dropped")], ["events_20200101", "outbox_0"]
        )
        rows = {line["table"]: line["rows"] for line in api.logged("rows removed")}
        self.assertEqual(rows, {"request_keys": 1, "lane_progress": 84, "dead_letters": 10})
        with api.client() as client:
            metrics = client.get("/metrics").body.decode()
        self.assertIn("\nretention_partitions_dropped_total 2\n", metrics)
        self.assertIn('\nretention_rows_removed_total{table="lane_progress"} 84\n', metrics)
        self.assertEqual(api.terminate(), 0)

    def test_a_subscription_that_lags_keeps_it_and_is_named_once(self):
        fill(self.database)
        self.database.execute("select add_subscription('slow', '{*}', '{}', null, 'api', true, false)")
        api = self.start_api(**settings)
        with api.client() as client:
            wait_until(
                lambda: b"\nretention_partitions_blocked 2\n" in client.get("/metrics").body, 20, "two are kept"
            )
            kept = [(line["partition"], line["subscription"]) for line in api.logged("partition kept for a subscription")]
            self.assertEqual(kept, [("events_20200101", "slow"), ("outbox_0", "slow")])
            self.assertEqual(self.database.count("outbox"), 110)
            self.assertEqual(client.request("DELETE", "/subscriptions/slow").status, 204)
            wait_clean(self.database)


if __name__ == "__main__":
    unittest.main()
