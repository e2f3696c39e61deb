"""Dead letters: why they died, back on the road in order, and keys that are blocked."""

import base64
import hmac
import json
import time
import unittest

import brokers
from harness import Answer, always, wait_until
from subscriptions_test import SubscriptionCase


class DeadLetterTest(SubscriptionCase):
    def dead_letters(self, query=""):
        response = self.client.get("/outbox/dead-letters" + query)
        self.assertEqual(response.status, 200, response)
        return response.json()

    def post(self, path, body=None):
        return self.client.post_json(path, body if body is not None else {})

    def wait_dead(self, count, query=""):
        wait_until(lambda: len(self.dead_letters(query)) == count, 20, f"{count} dead letters", poll=0.1)
        return self.dead_letters(query)

    def test_why_and_replay_of_one(self):
        state = {"status": 503}
        sink = self.start_sink(lambda headers, body: Answer(state["status"]))
        self.start_worker(sink, OUTBOX_MAX_ATTEMPTS="3")
        identity = self.alert("east")
        letter = self.wait_dead(1)[0]
        self.assertEqual(
            (letter["event_id"], letter["attempts"], letter["reason"], letter["last_error"]),
            (identity, 3, "destination", "HTTP 503"),
        )
        whole = self.client.get(f"/outbox/dead-letters/{letter['id']}").json()
        self.assertEqual([(t["status"], t["error"]) for t in whole["tries"]], [(503, "HTTP 503")] * 3)
        self.assertEqual(whole["payload"], sink.snapshot()[0].json())
        state["status"] = 200
        answer = self.post(f"/outbox/dead-letters/{letter['id']}/replay")
        self.assertEqual((answer.status, answer.json()), (202, {"replayed": 1}))
        self.wait_message(identity, status="sent")
        self.assertEqual(len({d.headers["webhook-id"] for d in sink.snapshot()}), 1)
        self.assertEqual(self.dead_letters(), [])
        self.assertEqual(self.post(f"/outbox/dead-letters/{letter['id']}/replay").status, 404)

    def test_poison_is_told_apart_and_dies_again(self):
        sink = self.start_sink(always(422))
        self.start_worker(sink)
        self.alert("east")
        letter = self.wait_dead(1, "?reason=poison&subscription=default")[0]
        self.assertEqual(self.dead_letters("?reason=destination"), [])
        self.post(f"/outbox/dead-letters/{letter['id']}/replay")
        sink.wait_count(2)
        again = self.wait_dead(1)[0]
        self.assertEqual(again["id"], letter["id"])
        tries = self.client.get(f"/outbox/dead-letters/{letter['id']}").json()["tries"]
        self.assertEqual(len(tries), 2)

    def test_replay_by_filter_keeps_the_order_and_the_rate(self):
        state = {"status": 400}
        sink = self.start_sink(lambda headers, body: Answer(state["status"]))
        self.start_worker(sink)
        identities = [self.alert("east", energy=600 + number) for number in range(10)]
        letters = self.wait_dead(10)
        self.assertEqual([letter["event_id"] for letter in letters[::-1]], identities)
        page = self.client.get("/outbox/dead-letters?limit=4")
        self.assertIn('rel="next"', page.header("Link"))
        following = page.header("Link").split(">")[0][1:]
        self.assertEqual(
            [letter["id"] for letter in page.json() + self.client.get(following).json()],
            [letter["id"] for letter in letters[:8]],
        )
        state["status"] = 200
        sink.wait_count(10)
        middle = letters[4]["died_at"]
        answer = self.post("/outbox/replays", {"topic": letters[0]["topic"], "until": middle, "rate_per_second": 2})
        self.assertEqual(answer.json(), {"replayed": 5})
        started = time.monotonic()
        self.assertEqual([d.event_id for d in sink.wait_count(15)[10:]], identities[:5])
        self.assertGreater(time.monotonic() - started, 1.5)
        self.assertEqual(self.post("/outbox/replays", {"subscription": "default"}).json(), {"replayed": 5})
        self.assertEqual([d.event_id for d in sink.wait_count(20)[15:]], identities[5:])

    def test_skip_and_park_a_blocked_key(self):
        bad = {"statuses": None}

        # The first one is refused for good: its second try comes after anything between no time and an hour.
        def respond(headers, _body):
            if bad["statuses"] is None:
                bad["statuses"] = {headers["ce-id"]: 503}
            return Answer(bad["statuses"].get(headers["ce-id"], 200))

        sink = self.start_sink(respond)
        self.start_worker(
            sink, OUTBOX_RETRY_BASE_SECONDS="3600", OUTBOX_RETRY_MAX_SECONDS="3600", OUTBOX_MAX_ATTEMPTS="9"
        )
        identities = [self.alert("east", energy=600 + number) for number in range(4)]

        def blocked():
            keys = self.client.get("/outbox/blocked-keys?subscription=default").json()
            return keys[0] if keys and keys[0]["waiting"] == 4 else None

        key = wait_until(blocked, 20, "the key is blocked", poll=0.1)
        self.assertEqual((key["attempts"], key["last_error"]), (1, "HTTP 503"))
        answer = self.post(f"/outbox/blocked-keys/default/{key['key']}/skip")
        self.assertEqual((answer.status, answer.json()), (202, {"parked": 1}))
        for identity in identities[1:]:
            self.wait_message(identity, status="sent")
        self.assertEqual([d.event_id for d in sink.accepted()], identities[1:])
        self.assertEqual([(l["event_id"], l["reason"]) for l in self.dead_letters()], [(identities[0], "parked")])
        bad["statuses"] = everything(503)
        stuck = [self.alert("east", energy=700 + number) for number in range(4)]
        wait_until(blocked, 20, "blocked again", poll=0.1)
        answer = self.post(f"/outbox/blocked-keys/default/{key['key']}/park")
        self.assertEqual(answer.json(), {"parked": 4})
        self.wait_dead(5)
        bad["statuses"] = {}
        self.assertEqual(self.post("/outbox/replays", {"reason": "parked"}).json(), {"replayed": 5})
        for identity in [identities[0], *stuck]:
            self.wait_message(identity, status="sent")
        self.assertEqual([d.event_id for d in sink.accepted()][3:], [identities[0], *stuck])
        self.assertEqual(self.post("/outbox/blocked-keys/default/1/skip").status, 404)

    def test_bad_input(self):
        for path in (
            "/outbox/dead-letters?limit=0",
            "/outbox/dead-letters?reason=bored",
            "/outbox/dead-letters?since=yesterday",
            "/outbox/dead-letters?after=1",
            "/outbox/dead-letters/1",
        ):
            self.assertEqual(self.client.get(path).status, 422, path)
        for body in ({"colour": "red"}, {"rate_per_second": 0}, {"topic": 1}, []):
            self.assertEqual(self.post("/outbox/replays", body).status, 422, body)
        self.assertEqual(self.client.get("/outbox/dead-letters/01a1fcec-adf8-7245-9bfc-4c5280e46001").status, 404)


class PolitenessTest(SubscriptionCase):
    def test_signatures_of_both_keys(self):
        keys = ["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="]
        sink = self.start_sink()
        self.subscribe("signed", sink, secrets=keys)
        self.start_worker("null:")
        self.alert("Čapkova")
        delivery = sink.wait_count(1)[0]
        content = f"{delivery.headers['webhook-id']}.{delivery.headers['webhook-timestamp']}.".encode() + delivery.body
        expected = [
            "v1," + base64.b64encode(hmac.digest(base64.b64decode(key[6:]), content, "sha256")).decode() for key in keys
        ]
        self.assertEqual(delivery.headers["webhook-signature"].split(), expected)
        Webhook = brokers.python_package("standardwebhooks", "1.0.0").Webhook
        for key in keys:
            self.assertEqual(Webhook(key).verify(delivery.body, delivery.headers), json.loads(delivery.body))
        with self.assertRaises(Exception):
            Webhook("whsec_" + "QUJD" * 8).verify(delivery.body, delivery.headers)

    def test_an_outage_charges_few_attempts_and_probes_none(self):
        """The destination is away for longer than all tries together would last."""
        state = {"status": 503}
        sink = self.start_sink(lambda headers, body: Answer(state["status"]))
        worker = self.start_worker(sink, OUTBOX_RETRY_BASE_SECONDS="1.5", OUTBOX_MAX_ATTEMPTS="12")
        count = self.emergencies(15)
        wait_until(
            lambda: worker.logged("destination does not answer; its messages wait"), 30, "the breaker opens"
        )
        charged = self.database.value("select sum(attempts) from outbox_retries")
        time.sleep(5)
        self.assertLessEqual(self.database.value("select sum(attempts) from outbox_retries"), charged + count)
        self.assertEqual(self.database.count("dead_letters"), 0)
        tries = sink.count()
        time.sleep(2)
        self.assertLessEqual(sink.count() - tries, 2)
        state["status"] = 200
        self.wait_all_sent(count, 60)


def everything(status):
    """A mapping in which everything has this status."""

    class Everything(dict):
        def get(self, _key, _default=None):
            return status

    return Everything()


if __name__ == "__main__":
    unittest.main()
