"""Against Polis itself: kill -9 of the api and of the propagator, and no event is stored twice."""

import json
import random
import time
import unittest

from harness import Api, EndToEndTest
from programs import wait_until
from propagator_case import Propagator

kills = 6


class PolisTest(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.numbers = random.Random(20261121)
        self.api = self.start_api()
        self.port = self.api.port

    def restart_api(self):
        self.api.kill()
        self.api = Api(self.database, PORT=self.port)
        self.addCleanup(self.api.clean_up)
        self.api.ready()

    def start_propagator(self):
        process = Propagator(
            CONFIG_PATH=self.config,
            PAYLOAD_TEMPLATES="true",
            SEND_MAX_TRIES=50,
            SEND_RETRY_WAITS="exponential",
            SEND_RETRY_BASE_SECONDS="0.05",
            SEND_RETRY_MAX_SECONDS="0.5",
            SEND_IN_FLIGHT_MAX=500,
            SEND_TIMEOUT_SECONDS=5,
        )
        self.addCleanup(process.clean_up)
        return process.ready()

    def write_files(self, directory):
        payloads = f"{directory}/payloads.json"
        with open(payloads, "w") as file:
            json.dump([{"event": "{{uuid}}", "n": "{{counter}}"}], file)
        self.config = f"{directory}/config.yaml"
        with open(self.config, "w") as file:
            file.write(
                "propagator: {streams: {city: {period_seconds: 0.01, payload_file: '%s', "
                "post_endpoint: 'http://127.0.0.1:%d/ingest/transport'}}}\n" % (payloads, self.port)
            )

    def stored(self):
        return self.database.value("select count(*) as n from events")

    def test_no_event_is_stored_twice(self):
        self.write_files(self.api.directory)
        process = self.start_propagator()
        retries = 0
        for turn in range(kills):
            before = self.stored()
            wait_until(lambda: self.stored() > before + 20, 30, "events come in", poll=0.1)
            time.sleep(self.numbers.uniform(0, 0.3))  # the random moment of the kill
            if turn % 3 == 2:
                retries += process.metric('propagator_retries_total{stream="city"}')
                process.kill()
                process = self.start_propagator()
            else:
                self.restart_api()
        retries += process.metric('propagator_retries_total{stream="city"}')
        self.assertEqual(process.terminate(), 0)
        self.assertGreater(retries, 0, "the kills met no request: the test has proved nothing")
        events, payloads, keys = self.database.rows(
            "select count(*) as n, count(distinct payload->>'event') as p, count(distinct deduplication_key) as k "
            "from events"
        )[0].values()
        self.assertEqual((payloads, keys), (events, events), "stored twice")
        # And what the propagator counted as accepted in its last life is there.
        accepted = process.lines()[-1]["total"]
        self.assertEqual(process.lines()[-1]["failed_percent"], 0)
        self.assertGreaterEqual(events, accepted)


if __name__ == "__main__":
    unittest.main()
