"""GET /events and GET /events/{id}: order, paging, filters, cursors."""

import re
import unittest
import uuid
from urllib.parse import quote, urlsplit

from harness import EndToEndTest, SharedApiTest, parse_time, wait_until


def links(response):
    """{rel: path and query} of the Link header."""
    found = {}
    for target, relation in re.findall(r'<([^>]*)>\s*;\s*rel="?([a-z]+)"?', response.header("link") or ""):
        parts = urlsplit(target)
        found[relation] = parts.path + ("?" + parts.query if parts.query else "")
    return found


class EmptyTest(EndToEndTest):
    def test_nothing_stored_is_an_empty_array(self):
        client = self.open_client(self.start_api())
        self.assertEqual(self.events(client, ""), [])
        self.assertEqual(self.events(client, "limit=0"), [])

    def test_two_of_two(self):
        client = self.open_client(self.start_api())
        answers = [self.ingest(client, "parks", {"i": index}) for index in range(2)]
        self.assertEqual(
            [event["id"] for event in self.events(client, "")],
            [answer["stored_event_id"] for answer in reversed(answers)],
        )


class EventsTest(SharedApiTest):
    """255 base events of three services and some derived ones; tests only read."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.api.client() as client:
            for number in range(85):
                for service, body in [
                    ("parks", {"n": number}),
                    ("energy", {"energy": 600 if number % 10 == 0 else 1, "neighborhood": f"n{number}"}),
                    ("transport", {"bus_id": number}),
                ]:
                    response = client.post_json(f"/ingest/{service}", body)
                    assert response.status == 200, response
        cls.expected = [row["id"] for row in cls.shared_database.rows("select id from events order by id desc")]

    def walk(self, path, relation="next"):
        pages = []
        while path:
            response = self.client.get(path)
            self.assertEqual(response.status, 200, response)
            pages.append(response.json())
            following = links(response).get(relation)
            self.assertNotEqual(following, path)
            path = following if pages[-1] else None
            self.assertLess(len(pages), 300)
        return pages

    def test_the_default_is_the_newest_hundred(self):
        events = self.events(self.client, "")
        self.assertEqual([event["id"] for event in events], self.expected[:100])
        times = [parse_time(event["created_at"]) for event in events]
        self.assertEqual(times, sorted(times, reverse=True))

    def test_every_event_has_the_eight_keys(self):
        keys = {
            "id",
            "service",
            "timestamp",
            "payload",
            "normalized_payload",
            "deduplication_key",
            "source_event_id",
            "created_at",
        }
        for event in self.events(self.client, "limit=100"):
            self.assertLessEqual(keys, event.keys())
            parse_time(event["timestamp"])

    def test_limit_and_offset(self):
        for limit, offset in [
            (3, 0),
            (2, 2),
            (100, 0),
            (100, 200),
            (10, len(self.expected) - 3),
            (5, 100000),
            (0, 0),
            (1, 0),
        ]:
            with self.subTest(limit=limit, offset=offset):
                found = self.events(self.client, f"limit={limit}&offset={offset}")
                self.assertEqual([event["id"] for event in found], self.expected[offset : offset + limit])

    def test_more_than_a_hundred_is_400_with_the_known_text(self):
        for limit in ["101", "1000", "2147483648"]:
            body = self.assert_problem(self.client.get(f"/events?limit={limit}"), 400)
            self.assertEqual(body["detail"], "Limit must be less than or equal to 100")

    def test_senseless_values_are_422(self):
        for query in [
            "limit=-1",
            "offset=-1",
            "limit=x",
            "offset=x",
            "limit=1.5",
            "limit=",
            "limit=1e1",
            "offset=99999999999999999999",
            "since=yesterday",
            "until=2016-99-01T00:00:00Z",
            "source_event_id=nope",
            "after=!!!",
            "before=nope",
            "limit=%00",
        ]:
            with self.subTest(query=query):
                self.assert_problem(self.client.get(f"/events?{query}"), 422)

    def test_filter_by_service(self):
        for service, count in [("parks", 85), ("transport", 85), ("energy", 85), ("security", 9), ("nobody", 0)]:
            pages = self.walk(f"/events?service={service}&limit=30")
            events = [event for page in pages for event in page]
            self.assertEqual(len(events), count)
            self.assertEqual({event["service"] for event in events}, {service} if count else set())

    def test_filter_by_source(self):
        derived = self.events(self.client, "service=security&limit=1")[0]
        found = self.events(self.client, f"source_event_id={derived['source_event_id']}")
        self.assertEqual([event["id"] for event in found], [derived["id"]])
        self.assertEqual(self.events(self.client, f"source_event_id={uuid.uuid4()}"), [])

    def test_filter_by_time(self):
        middle = self.events(self.client, "limit=1&offset=100")[0]
        since = quote(middle["created_at"])
        newer = self.walk(f"/events?since={since}&limit=100")
        older = self.walk(f"/events?until={since}&limit=100")
        new_ids = {event["id"] for page in newer for event in page}
        old_ids = {event["id"] for page in older for event in page}
        self.assertEqual(new_ids | old_ids, set(self.expected))
        self.assertTrue(
            all(
                parse_time(event["created_at"]) >= parse_time(middle["created_at"])
                for page in newer
                for event in page
            )
        )
        self.assertTrue(
            all(
                parse_time(event["created_at"]) <= parse_time(middle["created_at"])
                for page in older
                for event in page
            )
        )
        self.assertEqual(self.events(self.client, "since=2999-01-01T00:00:00Z"), [])
        self.assertEqual(self.events(self.client, "until=2001-01-01T00:00:00Z"), [])

    def test_the_cursor_walks_forward_over_everything(self):
        for limit in [7, 100]:
            pages = self.walk(f"/events?limit={limit}")
            self.assertEqual([event["id"] for page in pages for event in page], self.expected)

    def test_the_last_page_has_no_next(self):
        pages = self.walk("/events?limit=50")
        self.assertTrue(all(len(page) == 50 for page in pages[:-2]))
        response = self.client.get(f"/events?limit=50&offset={len(self.expected) - 10}")
        self.assertNotIn("next", links(response))

    def test_the_cursor_walks_back(self):
        response = self.client.get("/events?limit=20")
        second = self.client.get(links(response)["next"])
        third = self.client.get(links(second)["next"])
        self.assertEqual([event["id"] for event in third.json()], self.expected[40:60])
        again = self.client.get(self.back(third))
        self.assertEqual([event["id"] for event in again.json()], self.expected[20:40])
        newest = self.client.get(self.back(again))
        self.assertEqual([event["id"] for event in newest.json()], self.expected[:20])
        self.assertEqual(self.client.get(f"/events?limit=20&before={self.expected[0]}").json(), [])

    def back(self, response):
        """The page before: by the Link header, or by the cursor that every event is."""
        return links(response).get("prev") or f"/events?limit=20&before={response.json()[0]['id']}"

    def test_filters_stay_in_the_cursor(self):
        response = self.client.get("/events?service=parks&limit=10")
        following = self.client.get(links(response)["next"]).json()
        self.assertEqual({event["service"] for event in following}, {"parks"})
        self.assertEqual(len(following), 10)


class LiveEventsTest(EndToEndTest):
    def test_new_events_do_not_disturb_a_walk(self):
        client = self.open_client(self.start_api())
        identities = [self.ingest(client, "parks", {"i": index})["stored_event_id"] for index in range(30)]
        seen, path = [], "/events?limit=7"
        while path:
            response = client.get(path)
            seen += [event["id"] for event in response.json()]
            path = links(response).get("next")
            self.ingest(client, "parks", {"late": True})
        self.assertEqual(seen, list(reversed(identities)))

    def test_one_event_with_its_family_and_deliveries(self):
        sink = self.start_sink()
        client = self.open_client(self.start_api())
        answer = self.ingest(client, "health", {"patient_id": 1, "alert": "emergency"})
        base = self.event(client, answer["stored_event_id"])
        self.assertEqual([event["id"] for event in base["derived_events"]], answer["derived_events"])
        self.assertEqual({(one["status"], one["attempts"]) for one in base["deliveries"]}, {("pending", 0)})
        self.assertEqual(sorted(one["event_id"] for one in base["deliveries"]), answer["derived_events"])
        self.start_worker(sink)
        base = wait_until(
            lambda: (lambda event: event if all(one["status"] == "sent" for one in event["deliveries"]) else None)(
                self.event(client, answer["stored_event_id"])
            ),
            15,
            "both deliveries are sent",
        )
        for one in base["deliveries"]:
            self.assertLessEqual(
                {
                    "id",
                    "topic",
                    "subscription",
                    "status",
                    "attempts",
                    "published_at",
                    "created_at",
                    "last_error",
                    "event_id",
                },
                one.keys(),
            )
            self.assertLessEqual(parse_time(one["created_at"]), parse_time(one["published_at"]))
            self.assertEqual((one["subscription"], one["attempts"], one["last_error"]), ("default", 0, None))
        derived = self.event(client, answer["derived_events"][0])
        self.assertEqual((derived["source_event_id"], derived["derived_events"]), (base["id"], []))
        self.assertEqual([one["topic"] for one in derived["deliveries"]], ["event.transport"])

    def test_unknown_and_senseless_ids(self):
        client = self.open_client(self.start_api())
        for identity in [
            uuid.uuid4(),
            "0190a000-0000-7000-8000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ]:
            self.assert_problem(client.get(f"/events/{identity}"), 404)
        for identity in ["1", "nope", "0190a000-0000-7000-8000-00000000000g"]:
            self.assert_problem(client.get(f"/events/{identity}"), (404, 422))


if __name__ == "__main__":
    unittest.main()
