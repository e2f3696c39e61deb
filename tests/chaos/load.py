"""The client's side: posts keyed events at a steady rate, repeats each request until it is acknowledged, and keeps a journal."""

import http.client
import json
import random
import threading
import time

from harness import Client

threads = 6
acknowledge_seconds = 90.0
repeat_pause_seconds = 0.05
doomed = "doomed"  # a place whose messages the sink refuses for good


def without_mark(answer):
    """An answer to a batch says of each item whether it is a repeat; a single one says so in a header."""
    items = answer.get("results", [answer])
    return [{name: value for name, value in item.items() if name != "replayed"} for item in items]


class Acknowledged:
    def __init__(self, key, service, body, answer, order, time_of_answer):
        self.key, self.service, self.body, self.answer = key, service, body, answer
        self.order, self.time = order, time_of_answer


class Load:
    """`address()` is where the api is now. One thread owns a patient, so that the order of a key is known."""

    def __init__(self, address, seed, requests_per_second):
        self.address, self.seed = address, seed
        self.pause = threads / requests_per_second
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.acknowledged, self.faults = [], []
        self.tries = []  # (time, did the first try succeed)
        self.repeats = 0
        self.crowds = 0  # requests that were sent several times at once
        self.with_doom = False
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(threads)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(acknowledge_seconds)
        if any(thread.is_alive() for thread in self.threads):
            self.faults.append("a request was never acknowledged")

    def acknowledged_between(self, start, end):
        with self.lock:
            return sum(1 for one in self.acknowledged if start <= one.time < end)

    def _run(self, number):
        numbers = random.Random(self.seed * 1000 + number)
        client, turn, due = None, 0, time.monotonic()
        while not self.stop.is_set():
            turn += 1
            service = numbers.choice(["health", "health", "energy", "transport"])
            bodies = [self._body(numbers, number, service) for _ in range(numbers.choice([1, 1, 1, 4]))]
            key = f"{number}-{turn}"
            others = self._crowd(key, service, bodies) if numbers.random() < 0.02 else []
            client = self._post(client, key, service, bodies, others)
            # No catching up: after an outage the rate is the old one.
            due = max(due + self.pause, time.monotonic())
            self.stop.wait(due - time.monotonic())
        if client is not None:
            client.close()

    def _body(self, numbers, thread, service):
        patient = thread * 1000 + numbers.randint(1, 20)
        if service == "health":
            place = doomed if self.with_doom and numbers.random() < 0.02 else f"{numbers.random():.6f}"
            alert = "emergency" if numbers.random() < 0.7 else "routine"
            return {"patient_id": patient, "alert": alert, "location": place}
        if service == "energy":
            return {"energy": numbers.randint(300, 700), "neighborhood": f"n{patient}"}
        return {"bus_id": numbers.randint(1, 50), "lat": numbers.random(), "note": "x" * numbers.randint(0, 300)}

    def _crowd(self, key, service, bodies):
        """The same request twice more, at the same time. Whatever they are answered with 200 must be equal."""
        answers = []

        def post():
            try:
                with Client("127.0.0.1", self.address(), timeout=20) as client:
                    response = self._send(client, key, service, bodies)
                    if response.status == 200:
                        answers.append(response.json())
            except (OSError, http.client.HTTPException):
                pass  # the owner of the key repeats it until it is stored

        crowd = [threading.Thread(target=post, daemon=True) for _ in range(2)]
        for thread in crowd:
            thread.start()
        self.crowds += 1
        return [crowd, answers]

    def _send(self, client, key, service, bodies):
        text = json.dumps(bodies[0] if len(bodies) == 1 else bodies)
        return client.post_raw(f"/ingest/{service}", text, {"Idempotency-Key": key})

    def _post(self, client, key, service, bodies, others):
        started, first = time.monotonic(), True
        while time.monotonic() < started + acknowledge_seconds:
            try:
                if client is None:
                    client = Client("127.0.0.1", self.address(), timeout=20)
                response = self._send(client, key, service, bodies)
                if response.status == 200:
                    self._acknowledge(key, service, bodies, response.json(), others, started, first)
                    return client
                if response.status != 503:
                    self.faults.append(str(response))
                    return client
            except (OSError, http.client.HTTPException):
                client = None  # the old connection has closed itself
            if first:
                self.tries.append((started, False))
            first = False
            self.repeats += 1
            time.sleep(repeat_pause_seconds)  # a polite client: this is pacing, nothing waits for it
        self.faults.append(f"no acknowledgement of {key}")
        return client

    def _acknowledge(self, key, service, bodies, answer, others, started, first):
        if first:
            self.tries.append((started, True))
        if others:
            for thread in others[0]:
                thread.join(acknowledge_seconds)
            wanted = without_mark(answer)
            self.faults += [f"two answers for {key}: {one} {answer}" for one in others[1] if without_mark(one) != wanted]
        answers = [answer] if len(bodies) == 1 else answer["results"]
        now = time.monotonic()
        with self.lock:
            for index, (body, one) in enumerate(zip(bodies, answers)):
                if "error" in one:
                    self.faults.append(str(one))
                    continue
                item = key if len(bodies) == 1 else f"{key}#{index}"
                self.acknowledged.append(Acknowledged(item, service, body, one, len(self.acknowledged), now))
