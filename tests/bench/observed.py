"""What being observed costs: traces at 1 %, log lines and metrics, each on and off in turns."""

import contextlib
import http.server
import statistics
import threading

import subjects
from figures import pairwise, rates, running
from lab import bench_bin_dir, output
from subjects import Api

sampled_share = 0.01
rounds_min = 5  # what is looked for is smaller than the noise of two rounds


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what an OTLP exporter sends, and counts it."""

    protocol_version = "HTTP/1.1"
    bytes_taken = 0

    def do_POST(self):
        Collector.bytes_taken += len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def collector():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def observed(book, polis):
    p = book.profile
    book.say("what traces, log lines and metrics cost")
    database = subjects.new_database(polis, "observed")
    with collector() as endpoint:
        silent = Api(database, LOG_LEVEL="critical")
        traced = Api(database, LOG_LEVEL="critical", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_TRACES_SAMPLER_ARG=sampled_share)
        logged = Api(database, LOG_LEVEL="info")
        with running(silent, traced, logged):
            s = book.interleave(
                rounds=max(p.pairs, rounds_min),
                silent=lambda: silent.run(p.seconds),
                traced=lambda: traced.run(p.seconds),
                logged=lambda: logged.run(p.seconds),
            )
    if not Collector.bytes_taken:
        raise RuntimeError("no span came to the collector")
    cost = {name: [sample.cpu_us("server", "postgresql") for sample in samples] for name, samples in s.items()}
    note = lambda name: (f"CPU of server and PostgreSQL an event: {statistics.median(cost[name]):.1f} us against "
                         f"{statistics.median(cost['silent']):.1f} us")
    book.add("17", "single-event POST with traces of 1 % vs without", pairwise(rates(s["traced"]), rates(s["silent"])), 0.97,
             unit="%", note=note("traced"))
    book.add("18", "single-event POST with log lines vs without", pairwise(rates(s["logged"]), rates(s["silent"])), 0.95,
             unit="%", note=note("logged"))
    counting = float(output(bench_bin_dir / "bench-metrics-cost").split()[0])
    book.add("18b", "share of the server's CPU that counting a request for the metrics takes",
             [counting / 1000 / statistics.median(sample.cpu_us("server") for sample in s["silent"])], 0.02, unit="%",
             more_is_better=False, note=f"{counting:.0f} ns a request")
