"""Rude clients: each is refused cleanly while somebody else is being served."""

import threading
import time
import unittest

from harness import EndToEndTest, SharedApiTest, wait_until

half_open_sockets = 300
body_limit = 1024 * 1024


def post(path="/ingest/parks", body=b"{}", *headers, version="HTTP/1.1", host="Host: x"):
    """A request as bytes. Nothing is added but Host: framing is what these tests are about."""
    lines = [f"POST {path} {version}"] + ([host] if host else []) + ["Content-Type: application/json", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class Bystander:
    """A well-behaved client that posts all the time; every answer must be 200 and reasonably quick."""

    def __init__(self, api, limit_seconds=5.0):
        self.api, self.limit = api, limit_seconds
        self.served, self.faults = 0, []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        with self.api.client(timeout=self.limit) as client:
            while not self.stop.is_set():
                try:
                    response = client.post_json("/ingest/parks", {"bystander": self.served})
                    if response.status != 200:
                        self.faults.append(response)
                except OSError as fault:
                    self.faults.append(fault)
                self.served += 1
                self.stop.wait(0.005)

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.served > 0, 10, "the bystander is served")
        return self

    def __exit__(self, *_):
        before = self.served
        if self.thread.is_alive():
            deadline = time.monotonic() + 10
            while self.served < before + 3 and time.monotonic() < deadline:
                time.sleep(0.01)
        self.stop.set()
        self.thread.join(10)


class HostileTest(SharedApiTest):
    api_settings = {"HTTP_READ_TIMEOUT_SECONDS": "5"}

    def setUp(self):
        super().setUp()
        self.bystander = Bystander(self.api)
        self.bystander.__enter__()
        self.addCleanup(self.check_bystander)

    def check_bystander(self):
        before = self.bystander.served
        self.bystander.__exit__()
        self.assertGreater(self.bystander.served, before, "the other client is not served any more")
        self.assertEqual(self.bystander.faults, [])
        self.assertIsNone(self.api.process.poll(), self.api.log_text()[-2000:])

    def foreign_events(self):
        return self.database.count("events", "not payload ? 'bystander'")

    def refused(self, data, statuses, closes=True, stores=0):
        """Sends bytes; expects one refusal (or a close without an answer when 0 is among the statuses) and nothing stored."""
        before = self.foreign_events()
        with self.api.raw() as connection:
            connection.send(data)
            response = connection.read_response()
            if response is None:
                self.assertIn(0, statuses, "closed without an answer")
            else:
                self.assertIn(response.status, statuses, response)
                if closes:
                    self.assertTrue(connection.read_to_end(), "the connection stays open")
                    self.assertNotIn(
                        b"HTTP/1.1 200", connection.buffer, "a second request was found in the bytes of the first"
                    )
        self.assertEqual(self.foreign_events(), before + stores)
        return response

    # ---- JSON that breaks parsers -----------------------------------------------------------------------------------

    def test_nul_surrogates_and_numbers_out_of_range(self):
        for body in [
            b'{"a":"\\u0000"}',
            b'{"\\u0000":1}',
            b'{"a":"\x00"}',
            b'{"a":"\\ud800"}',
            b'{"a":"\\udfff x"}',
            b'{"a":1e400}',
            b'{"a":[-1e999]}',
            b'{"a":1e99999999999999999999}',
            b'{"a":"\xff"}',
            b'{"\xc3(":1}',
            b'{"a":"\xf4\x90\x80\x80"}',
        ]:
            with self.subTest(body=body):
                self.assert_problem(self.client.post_raw("/ingest/parks", body), 422)

    def test_half_a_million_levels_deep(self):
        for opening, closing in [(b"[", b"]"), (b'{"a":', b"}")]:
            depth = 500_000 if opening == b"[" else 170_000
            for body in [opening * depth, opening * depth + b"1" + closing * depth, b'{"x":' + opening * depth]:
                with self.subTest(opening=opening, size=len(body)):
                    self.assert_problem(self.client.post_raw("/ingest/parks", body), (413, 422))

    def test_a_million_tiny_values(self):
        body = b'{"a":[' + b"1," * 500_000 + b"1]}"
        self.assertIn(self.client.post_raw("/ingest/parks", body).status, (200, 422))

    def test_a_very_long_number(self):
        for text in [b"9" * 100_000, b"0." + b"3" * 100_000, b"1e" + b"9" * 1000]:
            response = self.client.post_raw("/ingest/parks", b'{"a":' + text + b"}")
            self.assertIn(response.status, (200, 422))
            if response.status == 200:
                stored = self.event(self.client, response.json()["stored_event_id"])["payload"]["a"]
                self.assertEqual(stored, float(text) if b"." in text else int(text))

    def test_sql_in_every_place(self):
        text = "'; drop table events; --"
        self.assertEqual(self.client.post_json("/ingest/parks", {text: text, "$1": "%s %n {}"}).status, 200)
        self.assertEqual(
            self.client.get("/events?service=%27%3B%20drop%20table%20events%3B%20--").status in (200, 422), True
        )
        self.assertEqual(self.client.get("/events?limit=1").status, 200)

    # ---- size and time ----------------------------------------------------------------------------------------------

    def test_a_hundred_megabytes_announced(self):
        with self.api.raw(timeout=20) as connection:
            connection.send(post("/ingest/parks", b"", f"Content-Length: {100 * 1024 * 1024}"))
            for _ in range(100):
                if not connection.send(b"x" * 1024 * 1024):
                    break
            response = connection.read_response()
            if response is not None:
                self.assertEqual(response.status, 413)
        self.assertLess(self.resident_megabytes(), 400)

    def test_an_announced_big_body_is_refused_before_it_is_sent(self):
        response = self.refused(post("/ingest/parks", b"", f"Content-Length: {100 * 1024 * 1024}"), (413,))
        self.assert_problem(response, 413)

    def test_a_hundred_megabytes_in_chunks(self):
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        with self.api.raw(timeout=20) as connection:
            connection.send(post("/ingest/parks", b"", "Transfer-Encoding: chunked"))
            for _ in range(1600):
                if not connection.send(chunk):
                    break
            response = connection.read_response()
            if response is not None:
                self.assertEqual(response.status, 413)
        self.assertLess(self.resident_megabytes(), 400)

    def resident_megabytes(self):
        with open(f"/proc/{self.api.pid}/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))

    def test_huge_headers_are_431(self):
        for data in [
            post("/ingest/parks", b"{}", "X-Big: " + "a" * 100_000, "Content-Length: 2"),
            post(
                "/ingest/parks", b"{}", *[f"X-{index}: {'b' * 100}" for index in range(1000)], "Content-Length: 2"
            ),
            post("/ingest/parks", b"", "X-Endless: " + "c" * 1_000_000)[:-4],
        ]:
            with self.subTest(size=len(data)):
                self.refused(data, (431,))

    def test_a_huge_target_is_refused(self):
        self.refused(post("/ingest/" + "a" * 100_000, b"{}", "Content-Length: 2"), (414, 431, 400))

    def test_slowloris(self):
        """Many connections that never finish their request: other clients are served, and the server closes them in time."""
        connections = []
        try:
            for index in range(half_open_sockets):
                connection = self.api.raw(timeout=40)
                connections.append(connection)
                connection.send(post("/ingest/parks", b"", "Content-Length: 100")[: 20 + index % 60])
            served = self.bystander.served
            wait_until(
                lambda: self.bystander.served > served + 20, 10, "others are served beside half-open connections"
            )
            self.assertEqual(self.client.get("/readyz").status, 200)
            deadline = time.monotonic() + 15
            for connection in connections:
                self.assertTrue(
                    connection.read_to_end(max(0.1, deadline - time.monotonic())),
                    "a half-sent request may stay for ever",
                )
        finally:
            for connection in connections:
                connection.close()

    def test_a_client_that_leaves_in_the_middle(self):
        before = self.foreign_events()
        for cut in [5, 40, 90]:
            with self.api.raw() as connection:
                connection.send(post("/ingest/parks", b'{"a":1}', "Content-Length: 100")[:cut])
        with self.api.raw() as connection:
            connection.send(post("/ingest/parks", b'{"a":1}', "Content-Length: 100"))
            connection.finish_sending()
            connection.read_to_end()
            self.assertNotIn(b" 200 ", connection.buffer)
        self.assertEqual(self.foreign_events(), before)

    # ---- smuggling --------------------------------------------------------------------------------------------------

    def test_smuggling_shapes(self):
        inner = post("/ingest/parks", b'{"smuggled":1}', "Content-Length: 14")
        chunked = b"2\r\n{}\r\n0\r\n\r\n"
        shapes = {
            "CL and TE": post(
                "/ingest/parks", b"0\r\n\r\n" + inner, "Content-Length: 5", "Transfer-Encoding: chunked"
            ),
            "TE and CL": post("/ingest/parks", chunked + inner, "Transfer-Encoding: chunked", "Content-Length: 5"),
            "two lengths": post("/ingest/parks", b"{}" + inner, "Content-Length: 2", "Content-Length: 3"),
            "length list": post("/ingest/parks", b"{}" + inner, "Content-Length: 2, 3"),
            "signed length": post("/ingest/parks", b"{}" + inner, "Content-Length: +2"),
            "negative length": post("/ingest/parks", b"{}" + inner, "Content-Length: -2"),
            "hex length": post("/ingest/parks", b"{}" + inner, "Content-Length: 0x2"),
            "length overflow": post("/ingest/parks", b"{}" + inner, "Content-Length: 18446744073709551618"),
            "TE gzip": post("/ingest/parks", b"{}" + inner, "Transfer-Encoding: gzip"),
            "TE gzip, chunked": post("/ingest/parks", chunked + inner, "Transfer-Encoding: gzip, chunked"),
            "TE chunked, identity": post("/ingest/parks", chunked + inner, "Transfer-Encoding: chunked, identity"),
            "TE identity": post("/ingest/parks", b"{}" + inner, "Transfer-Encoding: identity"),
            "TE xchunked": post("/ingest/parks", chunked + inner, "Transfer-Encoding: xchunked"),
            "TE twice": post(
                "/ingest/parks", chunked + inner, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"
            ),
            "TE chunked then identity": post(
                "/ingest/parks", chunked + inner, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"
            ),
            "chunked on HTTP/1.0": post(
                "/ingest/parks", chunked + inner, "Transfer-Encoding: chunked", version="HTTP/1.0"
            ),
            "space before colon": post("/ingest/parks", b"{}" + inner, "Content-Length : 2"),
            "obs-fold": post(
                "/ingest/parks", b"{}" + inner, "X-Folded: a", "\tTransfer-Encoding: chunked", "Content-Length: 2"
            ),
            "missing Host": post("/ingest/parks", b"{}" + inner, "Content-Length: 2", host=None),
            "two Hosts": post("/ingest/parks", b"{}" + inner, "Host: y", "Content-Length: 2"),
            "bad chunk size": post(
                "/ingest/parks", b"zz\r\n{}\r\n0\r\n\r\n" + inner, "Transfer-Encoding: chunked"
            ),
            "chunk size overflow": post(
                "/ingest/parks", b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n" + inner, "Transfer-Encoding: chunked"
            ),
            "chunk longer than said": post(
                "/ingest/parks", b"1\r\n{}\r\n0\r\n\r\n" + inner, "Transfer-Encoding: chunked"
            ),
            "NUL in a header": post("/ingest/parks", b"{}" + inner, "X-Nul: a\x00b", "Content-Length: 2"),
            "bare CR in a header": post(
                "/ingest/parks", b"{}" + inner, "X-Cr: a\rTransfer-Encoding: chunked", "Content-Length: 2"
            ),
            "HTTP/0.9": b"GET /events\r\n\r\n",
            "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "HTTP/1.9": post("/ingest/parks", b"{}" + inner, "Content-Length: 2", version="HTTP/9.9"),
            "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n",
        }
        for name, data in shapes.items():
            with self.subTest(shape=name):
                self.refused(data, (400, 411, 413, 431, 501, 505))

    def test_bare_line_feeds(self):
        """Refused, or read as exactly one request; never as two."""
        data = post("/ingest/parks", b"{}", "Content-Length: 2").replace(b"\r\n", b"\n")
        before = self.foreign_events()
        with self.api.raw() as connection:
            connection.send(data)
            connection.finish_sending()
            response = connection.read_response()
        stored = self.foreign_events() - before
        self.assertIn((response.status if response else 0, stored), ((400, 0), (200, 1)))

    def test_a_body_on_get_is_not_a_second_request(self):
        inner = post("/ingest/parks", b'{"smuggled":1}', "Content-Length: 14")
        before = self.foreign_events()
        with self.api.raw() as connection:
            connection.send(
                f"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: {len(inner)}\r\n\r\n".encode() + inner
            )
            response = connection.read_response()
            self.assertIn(response.status, (200, 400, 413), response)
            connection.finish_sending()
            connection.read_to_end()
            self.assertNotIn(b"stored_event_id", connection.buffer)
        self.assertEqual(self.foreign_events(), before)

    def test_dots_in_the_service_name(self):
        for path in [
            "/ingest/../events",
            "/ingest/..",
            "/ingest/.",
            "/ingest/%2e%2e%2fetc",
            "/ingest/%2e%2e",
            "/ingest/..%2f..%2fetc%2fpasswd",
            "/ingest/a%2f..%2fb",
            "/ingest/a%00",
            "/ingest/%",
            "/ingest/%zz",
            "/ingest/%c0%ae",
            "//ingest/parks",
            "/ingest//parks",
            "/docs/../../../../etc/passwd",
            "/docs/%2e%2e/%2e%2e/etc/passwd",
        ]:
            with self.subTest(path=path):
                before = self.foreign_events()
                with self.api.raw() as connection:
                    connection.send(post(path, b"{}", "Content-Length: 2"))
                    response = connection.read_response()
                    self.assertIn(response.status, (400, 404, 405, 422), response)
                    self.assertNotIn(b"root:", response.body)
                self.assertEqual(self.foreign_events(), before)

    def test_odd_targets(self):
        for target in ["*", "parks", "http://x/ingest/parks/..", "/ingest/pa rks"]:
            with self.subTest(target=target):
                self.refused(post(target, b"{}", "Content-Length: 2"), (400, 404, 405, 422), closes=False)

    # ---- things that must work --------------------------------------------------------------------------------------

    def test_expect_100_continue(self):
        with self.api.raw() as connection:
            connection.send(post("/ingest/parks", b"", "Content-Length: 7", "Expect: 100-continue"))
            self.assertEqual(connection.read_response(2).status, 100)
            connection.send(b'{"a":1}')
            self.assertEqual(connection.read_response().status, 200)

    def test_expect_100_continue_with_a_big_body_is_refused_at_once(self):
        with self.api.raw() as connection:
            connection.send(
                post("/ingest/parks", b"", f"Content-Length: {body_limit + 1}", "Expect: 100-continue")
            )
            self.assertEqual(connection.read_response(2).status, 413)

    def test_pipelined_requests_are_answered_in_order(self):
        bodies = [b'{"pipelined":%d}' % number for number in range(50)]
        with self.api.raw() as connection:
            connection.send(
                b"".join(post("/ingest/parks", body, f"Content-Length: {len(body)}") for body in bodies)
            )
            identities = [connection.read_response().json()["stored_event_id"] for _ in bodies]
        stored = [self.event(self.client, identity)["payload"]["pipelined"] for identity in identities]
        self.assertEqual(stored, list(range(50)))

    def test_a_refusal_does_not_spoil_the_next_pipelined_request(self):
        with self.api.raw() as connection:
            connection.send(
                post("/ingest/parks", b"{", "Content-Length: 1")
                + post("/ingest/parks", b"{}", "Content-Length: 2")
            )
            self.assertEqual(connection.read_response().status, 422)
            self.assertEqual(connection.read_response().status, 200)

    def test_chunks_of_one_byte(self):
        body = b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"a":"chunked"}') + b"0\r\n\r\n"
        with self.api.raw() as connection:
            connection.send(post("/ingest/parks", b"", "Transfer-Encoding: chunked"))
            for start in range(0, len(body), 3):
                connection.send(body[start : start + 3])
            response = connection.read_response()
            self.assertEqual(response.status, 200)
        self.assertEqual(self.event(self.client, response.json()["stored_event_id"])["payload"], {"a": "chunked"})

    def test_http_1_0_is_answered_and_closed(self):
        with self.api.raw() as connection:
            connection.send(post("/ingest/parks", b"{}", "Content-Length: 2", version="HTTP/1.0"))
            self.assertEqual(connection.read_response().status, 200)
            self.assertTrue(connection.read_to_end())

    def test_connection_close_is_honoured(self):
        with self.api.raw() as connection:
            connection.send(post("/ingest/parks", b"{}", "Content-Length: 2", "Connection: close"))
            self.assertEqual(connection.read_response().status, 200)
            self.assertTrue(connection.read_to_end())

    def test_no_refusal_leaks_internals(self):
        for path, body in [
            ("/ingest/parks", b"{"),
            ("/ingest/a%20b", b"{}"),
            ("/events/nope", b""),
            ("/ingest/parks?dedupe_key=a%00", b"{}"),
        ]:
            text = self.client.post_raw(path, body).body.decode().lower()
            for word in [
                "select ",
                "insert ",
                "sqlstate",
                "exception",
                "boost",
                "/work/",
                ".cpp",
                "libpq",
                "std::",
            ]:
                self.assertNotIn(word, text, path)


class ConnectionLimitTest(EndToEndTest):
    def test_more_connections_than_allowed(self):
        """The surplus is closed or waits; when the idle ones are gone, everybody is served again."""
        api = self.start_api(HTTP_CONNECTIONS_MAX=20, HTTP_READ_TIMEOUT_SECONDS="2", HTTP_IDLE_TIMEOUT_SECONDS="2")
        connections = [api.raw() for _ in range(100)]
        try:
            for connection in connections:
                connection.send("POST /ingest/parks HTTP/1.1\r\n")
            wait_until(api.is_ready, 15, "served again after the half-open connections")
            with api.client() as client:
                self.assertEqual(client.post_json("/ingest/parks", {"a": 1}).status, 200)
        finally:
            for connection in connections:
                connection.close()


if __name__ == "__main__":
    unittest.main()
