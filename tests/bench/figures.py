"""The figures of the bench: each section runs its subjects in turn and returns what it found."""

import contextlib
import http.client
import http.server
import json
import os
import statistics
import subprocess
import threading
import time

import subjects
from lab import Cluster, environment, out_dir, resident_mib
from report import Figure, pairwise, subject_row
from subjects import Api, Baseline, Sink, Worker, batch_events, connections, sink_connections


class Notebook:
    """What the sections hand on to the report."""

    def __init__(self, profile):
        self.profile = profile
        self.begin = time.monotonic()
        self.figures = []
        self.subjects = []
        self.facts = {}
        self.curves = {}

    def say(self, text):
        print(f"[{time.monotonic() - self.begin:5.0f} s] {text}", flush=True)

    def add(self, *figure, **options):
        self.figures.append(Figure(*figure, **options))
        row = self.figures[-1].row()
        self.say(f"#{row[0]} {row[1]}: {row[2]}  {row[6]}")

    def interleave(self, rounds=None, **actions):
        """A B C, B C A, ...: the samples of each, in the order of the rounds. Tables grow, so nobody is always first."""
        samples = {name: [] for name in actions}
        names = list(actions)
        for number in range(1, (rounds or self.profile.pairs) + 1):
            for name in names:
                samples[name].append(actions[name]())
                self.say(f"  round {number}: {name.replace('_', ' ')}: {samples[name][-1].rate:,.0f} /s")
            names.append(names.pop(0))
        return samples


def rates(samples):
    return [sample.rate for sample in samples]


@contextlib.contextmanager
def clusters(*names):
    made = [Cluster(name) for name in names]
    try:
        for cluster in made:
            cluster.start()
        yield made
    finally:
        for cluster in made:
            cluster.destroy()


@contextlib.contextmanager
def running(*things):
    try:
        yield things
    finally:
        for thing in things:
            thing.stop()


# ---- 1 to 7: ingest -----------------------------------------------------------------------------------------------


def better_baseline(book, cluster):
    """1 and 2 uvicorn workers; the faster one counts."""
    found = {}
    for workers in (1, 2):
        baseline = Baseline(cluster, workers)
        if workers == 1:
            baseline.fill(book.profile.fill_events)
        with running(baseline):
            found[workers] = baseline.run(book.profile.probe_seconds).rate
        book.say(f"  baseline with {workers} worker(s): {found[workers]:,.0f} /s")
    return max(found, key=found.get)


def best_clients(book, what, run):
    found = {clients: run(clients).rate for clients in (1, 2, 4)}
    book.say(f"  {what}: " + ", ".join(f"{c} connections {rate:,.0f} /s" for c, rate in found.items()))
    return max(found, key=found.get)


def ingest(book, polis, baseline_cluster, ceilings):
    p = book.profile
    book.say("ingest: baseline, Polis and the ceilings in turn")
    workers = better_baseline(book, baseline_cluster)
    single, batched = subjects.single_script(), subjects.batch_script()
    fenced, free = subjects.new_database(ceilings, "fenced"), subjects.new_database(ceilings, "free")
    subjects.without_fence(free)
    for cluster in (polis, fenced, free):
        subjects.fill_events(cluster, p.fill_events, clients=1)
    c1_clients = best_clients(book, "C1", lambda c: subjects.run_ceiling(fenced, batched, batch_events, p.probe_seconds, c))
    free_clients = best_clients(book, "C1 without the fence",
                                lambda c: subjects.run_ceiling(free, batched, batch_events, p.probe_seconds, c))
    with running(Baseline(baseline_cluster, workers), Api(polis)) as (baseline, api):
        s = book.interleave(
            baseline=lambda: baseline.run(p.seconds),
            polis_single=lambda: api.run(p.seconds),
            health_C3=lambda: api.run_health(p.seconds),
            pgbench_single_C2=lambda: subjects.run_ceiling(free, single, 1, p.seconds, connections),
            polis_batch=lambda: api.run(p.seconds, batch=batch_events),
            pgbench_batch_C1=lambda: subjects.run_ceiling(fenced, batched, batch_events, p.seconds, c1_clients),
            writer=lambda: subjects.run_writer(polis, p.writer_events),
            workflow_steps=lambda: subjects.run_steps(polis, p.writer_events),
            pgbench_batch_free=lambda: subjects.run_ceiling(free, batched, batch_events, p.seconds, free_clients),
        )
        base, one, many, c1 = s["baseline"], s["polis_single"], s["polis_batch"], s["pgbench_batch_C1"]
        cost = lambda samples: [sample.cpu_us("server", "postgresql") for sample in samples]
        book.add("1", "single-event POST, 64 connections, vs baseline", pairwise(rates(one), rates(base)), 60, 100)
        book.add("2", "CPU of server + PostgreSQL an event, vs baseline, times less", pairwise(cost(base), cost(one)), 60, 150,
                 note=f"{statistics.median(cost(base)):,.0f} us against {statistics.median(cost(one)):.1f} us; "
                      f"a batched event {statistics.median(cost(many)):.1f} us")
        book.add("3", "batch POST (100 a request) vs baseline", pairwise(rates(many), rates(base)), 150, 300)
        book.add("4", "writer alone vs C1", pairwise(rates(s["writer"]), rates(c1)), 0.8, 0.95, unit="%",
                 note=f"C1 with {c1_clients} connection(s), the best of 1, 2 and 4")
        book.add("5", "batch POST vs C1", pairwise(rates(many), rates(c1)), 0.6, 0.75, unit="%")
        book.add("5b", "batch POST vs C1 without the outbox's fence",
                 pairwise(rates(many), rates(s["pgbench_batch_free"])), unit="%",
                 note=f"{free_clients} connection(s); writes in no order that a cursor could follow")
        book.add("6", "single-event POST vs GET /health of the same program (C3)",
                 pairwise(rates(one), rates(s["health_C3"])), 0.4, 0.6, unit="%")
        book.add("7", "single-event POST vs C2, 64 connections each", pairwise(rates(one), rates(s["pgbench_single_C2"])), 2, 4)
        steps = rates(s["workflow_steps"])
        book.add("7b", "durable steps of workflows a second (writer alone)", steps, 1_000, unit="steps/s",
                 note=f"{1e6 / statistics.median(steps):.0f} us each: turn, history, messages and event in one transaction")
        book.add("7c", "durable steps vs single-event POST", pairwise(steps, rates(one)), unit="%")
        notes = {"baseline": f"{workers} uvicorn worker(s)"}
        for name in ("polis_single", "polis_batch"):
            extra = s[name][-1].extra
            notes[name] = (f"{extra['events_per_commit']:.0f} events a commit, {extra['commits_per_second']:.0f} commits/s; "
                           f"p99 {extra['closed_loop_p99_ms']:.1f} ms in the closed loop")
        for name, samples in s.items():
            book.subjects.append(subject_row(name.replace("_", " "), samples, notes.get(name, "")))
        book.facts["commits by number of events, single-event POST (cumulative)"] = json.dumps(
            {le: int(n) for le, n in one[-1].extra["commits_up_to_events"].items()})
    wal(book, polis, baseline_cluster, workers, statistics.median(rates(base)) / 2)
    return statistics.median(rates(one))


# ---- 10: WAL ------------------------------------------------------------------------------------------------------


def wal_an_event(server, base_events, rate, seconds, service):
    """(all bytes, bytes without page images) a base event, from a checkpoint on."""
    stored = f"SELECT count(*) FROM events WHERE {base_events}"
    server.cluster.sql("CHECKPOINT")
    before, start = server.cluster.number(stored), server.cluster.wal_position()
    subjects.run_open_loop(server.port, rate, seconds, service)
    end = server.cluster.wal_position()
    count = server.cluster.number(stored) - before
    return [part / count for part in server.cluster.wal_bytes(start, end)]


class Quiet:
    """No autovacuum: it would write for the whole cluster, in between."""

    def __init__(self, *clusters):
        self.clusters = clusters
        self.set("SET autovacuum = off")
        time.sleep(2)  # workers that run see it and leave

    def set(self, what):
        for cluster in self.clusters:
            cluster.sql(f"ALTER SYSTEM {what};\nSELECT pg_reload_conf()")

    def stop(self):
        self.set("RESET autovacuum")


def wal(book, polis, baseline_cluster, workers, rate):
    """The same load on tables of the same size."""
    p = book.profile
    book.say(f"WAL of {rate:.0f} events/s, {p.fill_events:,} events in the tables")
    ours = subjects.new_database(polis, "wal")
    subjects.fill_events(ours, p.fill_events)
    theirs = subjects.empty_database(baseline_cluster, "wal")
    with running(Api(ours), Baseline(theirs, workers), Quiet(ours, theirs)) as (api, baseline, _):
        baseline.fill(p.fill_events)
        for database in (ours, theirs):
            database.sql("VACUUM (FREEZE, ANALYZE)")
        for title, service, floor, goal in (("plain keyed event", "transport", 0.40, 0.30),
                                            ("emergency with its family", "health", 0.62, 0.50)):
            a, b = [], []
            for _ in range(min(p.pairs, 2)):
                b.append(wal_an_event(baseline, "source_event_id IS NULL", rate, p.wal_seconds, service))
                a.append(wal_an_event(api, "id = family_base(id)", rate, p.wal_seconds, service))
            for part, what in enumerate(("from a checkpoint on", "without page images")):
                x, y = [sample[part] for sample in a], [sample[part] for sample in b]
                book.add("10", f"WAL of a {title}, {what}", pairwise(x, y), floor, goal, unit="%", more_is_better=False,
                         note=f"{statistics.median(x):,.0f} B against {statistics.median(y):,.0f} B")


# ---- 8, 9, 11: delivery -------------------------------------------------------------------------------------------


def delivery(book, polis, graphile):
    p = book.profile
    book.say("delivery: Polis and graphile-worker in turn")
    outbox = subjects.new_database(polis, "delivery")
    subjects.run_drain(outbox, 1000, "null:")
    with running(Sink()) as (sink,):
        s = book.interleave(
            graphile_batched=lambda: subjects.run_graphile(graphile, "batched", p.jobs_batched),
            worker_null_sink=lambda: subjects.run_drain(outbox, p.messages, "null:"),
            graphile_unbatched=lambda: subjects.run_graphile(graphile, "unbatched", p.jobs_unbatched),
            sink_wrk_C4=lambda: sink.run_wrk(p.seconds),
            worker_http_sink=lambda: subjects.run_drain(outbox, p.http_messages, sink.url,
                                                        OUTBOX_IN_FLIGHT_MAX=sink_connections),
        )
    null = s["worker_null_sink"]
    book.add("8", "worker, null: sink, vs graphile-worker batched", pairwise(rates(null), rates(s["graphile_batched"])), 5, 8)
    book.add("8", "worker, null: sink, vs graphile-worker unbatched", pairwise(rates(null), rates(s["graphile_unbatched"])), 40, 80)
    book.add("9", "worker to an HTTP sink vs wrk to the same sink (C4)",
             pairwise(rates(s["worker_http_sink"]), rates(s["sink_wrk_C4"])), 0.5, 0.7, unit="%",
             note=f"{sink_connections} connections each")
    for name, samples in s.items():
        book.subjects.append(subject_row(name.replace("_", " "), samples))
    subjects.fill_outbox(outbox, p.messages)
    values = []
    for _ in range(2):
        start = outbox.wal_position()
        subjects.timed(subjects.bin_dir / "polis-outbox-worker", "--drain", DATABASE_URL=outbox.url, OUTBOX_SINK="null:")
        end = outbox.wal_position()
        values.append(outbox.wal_bytes(start, end)[1] / p.messages)
        subjects.fill_outbox(outbox, p.messages)
    book.add("11", "WAL bytes a delivered message, a backlog", values, 20, 5, unit="B", more_is_better=False)


# ---- 12: growth ---------------------------------------------------------------------------------------------------


def http_times(port, target, count):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        connection.request("GET", target)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{target}: {answer.status}")
        times.append(time.perf_counter() - begin)
    return times


lane_read = """EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT o.lane, o.seq, o.key_hash, o.event_id, o.topic, o.payload
FROM unnest('{3}'::int2[], '{0}'::int8[], '{50}'::int8[]) l(lane, after, rows_max) CROSS JOIN LATERAL
(SELECT * FROM outbox x WHERE x.lane = l.lane AND x.seq > l.after ORDER BY x.seq LIMIT l.rows_max) o"""


def growth(book, polis):
    p = book.profile
    book.say(f"growth: {p.grown_events:,} events against {p.small_events:,}")
    small, large = subjects.new_database(polis, "small"), subjects.new_database(polis, "large")
    subjects.fill_events(small, p.small_events)
    subjects.fill_events(large, p.grown_events)
    for database in (small, large):
        database.sql("VACUUM (ANALYZE)")
    with running(Api(small), Api(large)) as (small_api, large_api):
        s = book.interleave(small=lambda: small_api.run(p.seconds, batch=batch_events),
                            large=lambda: large_api.run(p.seconds, batch=batch_events))
        cost = lambda samples: [sample.cpu_us("server", "postgresql") for sample in samples]
        costs = pairwise(cost(s["large"]), cost(s["small"]))
        book.add("12", f"CPU an event at {p.grown_events:,} events vs {p.small_events:,}", costs, 1.5, 1.2, more_is_better=False)
        total = int(large.number("SELECT count(*) FROM events"))
        depth = min(1_000_000, total - 200)
        deep_id = large.sql(f"SELECT id FROM events ORDER BY id DESC OFFSET {depth} LIMIT 1")
        targets = ("/events?limit=100", f"/events?limit=100&after={deep_id}")
        for target in targets:
            http_times(large_api.port, target, 20)
        first, deep = zip(*[(statistics.median(http_times(large_api.port, targets[0], 40)),
                             statistics.median(http_times(large_api.port, targets[1], 40))) for _ in range(p.pairs)])
        book.add("12", f"page of 100 at depth {depth:,} vs 1", pairwise(deep, first), 1.5, 1.2, more_is_better=False,
                 note=f"{1000 * statistics.median(deep):.2f} ms against {1000 * statistics.median(first):.2f} ms")
    short, long = subjects.new_database(polis, "short"), subjects.new_database(polis, "long")
    subjects.fill_outbox(short, 1_000)
    subjects.fill_outbox(long, p.backlog)
    plan = lambda database: json.loads(database.sql(lane_read))[0]["Plan"]
    touched = lambda node: node["Shared Hit Blocks"] + node["Shared Read Blocks"]
    for database in (short, long):
        plan(database)
    blocks, times = [], []
    for _ in range(max(p.pairs, 5)):
        a, b = plan(long), plan(short)
        blocks.append(touched(a) / touched(b))
        times.append(a["Actual Total Time"] / b["Actual Total Time"])
    book.add("12", f"lane read (50 rows) at backlog {p.backlog:,} vs 1,000", times, 1.5, 1.2, more_is_better=False,
             note=f"pages touched: {statistics.median(blocks):.2f}x")


# ---- 13: a transaction held open ----------------------------------------------------------------------------------


class HeldTransaction:
    """A reader that keeps its snapshot: nothing that dies after it can be cleaned up."""

    def __init__(self, cluster):
        self.process = subprocess.Popen(["psql", "-Xq", "-d", cluster.url], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.DEVNULL, env=environment())
        self.process.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM subscriptions; SELECT txid_current();\n")
        self.process.stdin.flush()

    def stop(self):
        self.process.communicate("ROLLBACK;\n")


def held_open(book, polis, other):
    """Two databases that get the same load in turns and so are of one size; in one of them a transaction is held. They are
    in different clusters, because an open transaction keeps old versions in all databases of its own."""
    p = book.profile
    book.say(f"a transaction held open for {p.hold_seconds} s")
    free, held = subjects.new_database(polis, "free"), subjects.new_database(other, "held")
    with running(Api(free), Worker(free, "null:"), Api(held), Worker(held, "null:")) as (free_api, _, held_api, _):
        for api in (free_api, held_api):
            api.run(p.probe_seconds)
        with running(HeldTransaction(held)):
            end = time.monotonic() + p.hold_seconds
            while time.monotonic() < end:
                for api in (free_api, held_api):
                    api.run(min(p.seconds, 5), clients=8)
            s = book.interleave(free=lambda: free_api.run(p.seconds), held=lambda: held_api.run(p.seconds))
        book.add("13", f"throughput with a transaction held {p.hold_seconds} s vs without", pairwise(rates(s["held"]), rates(s["free"])),
                 0.90, 0.97, unit="%")
        time.sleep(1.5)  # statistics are reported once a second
        dead = held.number("SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables WHERE relname ~ '^(events|outbox)_[0-9]+$'")
        book.add("13", "dead tuples in event and outbox tables", [dead], 0, 0, unit="", more_is_better=False)


# ---- 14: open loop ------------------------------------------------------------------------------------------------


def fsync_p99_ms(count=400):
    """What one flush of 8 KiB takes on the file system of the clusters."""
    path = out_dir / "clusters/fsync.probe"
    times = []
    with open(path, "wb", buffering=0) as file:
        file.write(bytes(8192 * 64))
        os.fsync(file.fileno())
        for i in range(count):
            os.pwrite(file.fileno(), bytes([i % 256]) * 8192, 8192 * (i % 64))
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(1000 * (time.perf_counter() - begin))
    path.unlink()
    return sorted(times)[int(count * 0.99)]


def open_loop(book, polis, saturation):
    p = book.profile
    book.say(f"open loop: quarters of {saturation:,.0f} events/s")
    with running(Api(polis)) as (api,):
        api.run(p.probe_seconds)
        # From here on PostgreSQL uses the files of its log again, as one that runs for longer than an hour does; a new
        # file is 16 MiB of zeros, for which everybody waits 12 to 18 ms. Enough of them for the whole section.
        polis.sql("DO $$ BEGIN FOR i IN 1..128 LOOP PERFORM pg_logical_emit_message(false, 'bench', ''), pg_switch_wal(); END LOOP; END $$")
        polis.sql("CHECKPOINT")
        flush, half = [], []
        for _ in range(p.pairs):
            flush.append(fsync_p99_ms())
            half.append(subjects.run_open_loop(api.port, saturation / 2, p.open_loop_seconds))
        curve = {name: [] for name in ("p50", "p99", "p999")}
        for share in (0.25, 0.5, 0.75, 0.9):
            result = half[-1] if share == 0.5 else subjects.run_open_loop(api.port, saturation * share, p.open_loop_seconds)
            for name, line in curve.items():
                line.append((saturation * share, result[f"{name}_ms"]))
    f = statistics.median(flush)
    book.add("14", "open loop at half of saturation: ingest p99", [result["p99_ms"] for result in half], 3 * f + 2, 2 * f + 1,
             unit="ms", more_is_better=False,
             note=f"fsync p99 {f:.2f} ms; p50 {statistics.median(r['p50_ms'] for r in half):.2f}, "
                  f"p99.9 {statistics.median(r['p999_ms'] for r in half):.2f} ms")
    book.curves["latency"] = ("ingest latency, open loop", "events per second", "milliseconds", curve)


# ---- 15: commit to delivered --------------------------------------------------------------------------------------


class ClockingSink(http.server.ThreadingHTTPServer):
    """Notes when the message of an event arrived."""

    daemon_threads = True

    def __init__(self):
        self.arrived = {}
        super().__init__(("127.0.0.1", 0), ClockingHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class ClockingHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        now = time.perf_counter()
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.arrived[self.headers["ce-id"]] = now
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def to_delivered(book, polis):
    p = book.profile
    book.say("commit to delivered on an idle system")
    database = subjects.new_database(polis, "idle")
    with running(ClockingSink()) as (sink,), running(Api(database), Worker(database, sink.url)) as (api, _):
        connection = http.client.HTTPConnection("127.0.0.1", api.port)
        answered = {}
        for n in range(p.idle_messages + 10):
            connection.request("POST", "/ingest/energy", json.dumps({"energy": 650.5, "neighborhood": f"district {n}"}),
                               {"Content-Type": "application/json"})
            derived = json.loads(connection.getresponse().read())["derived_events"][0]
            if n >= 10:  # the first ones open connections
                answered[derived] = time.perf_counter()
            time.sleep(0.03 + 0.02 * (n % 5) / 5)
        time.sleep(1)
        times = sorted(1000 * max(sink.arrived[event] - at, 0) for event, at in answered.items())
    note = f"{len(times)} messages, from the answer of the API (just after COMMIT) to the arrival at the sink"
    book.add("15", "commit to delivered, idle system, p50", [times[len(times) // 2]], 5, 2, unit="ms", more_is_better=False, note=note)
    book.add("15", "commit to delivered, idle system, p99", [times[int(len(times) * 0.99)]], 20, 8, unit="ms", more_is_better=False, note=note)


# ---- 16: memory and start -----------------------------------------------------------------------------------------


def footprint(book, polis):
    p = book.profile
    book.say("memory at saturation, and the start")
    database = subjects.new_database(polis, "footprint")
    starts, memory = [], []
    for _ in range(p.pairs):
        with running(Api(database), Worker(database, "null:")) as (api, worker):
            starts.append(max(api.ready_seconds, worker.ready_seconds))
            measure = threading.Timer(p.seconds * 0.8, lambda: memory.append(resident_mib(api.program.pid) + resident_mib(worker.program.pid)))
            measure.start()
            api.run(p.seconds)
            measure.join()
    book.add("16", "resident memory of api + worker at saturation", memory, 100, 60, unit="MiB", more_is_better=False)
    book.add("16", "start to ready", starts, 1, 0.3, unit="s", more_is_better=False)
