"""What is measured: Polis, and what it is measured against. Each `run_*` is one run of one subject."""

import dataclasses
import itertools
import re
import shutil
import sys
import time
import urllib.request

from lab import (Cluster, Program, bench_bin_dir, bin_dir, free_port, here, last_json, out_dir, output, pg_program,
                 timed)

connections = 64
batch_events = 100
reap_seconds = 0.1  # a backend that has just ended is counted once its postmaster has noticed
sink_connections = 32


@dataclasses.dataclass
class Sample:
    """One run: how many events (requests, jobs, messages) a second, and the CPU seconds that everybody spent."""

    rate: float
    count: int
    cpu: dict = dataclasses.field(default_factory=dict)
    extra: dict = dataclasses.field(default_factory=dict)

    def cpu_us(self, *parts):
        """CPU microseconds an event of the named parts, e.g. server and postgresql."""
        return 1e6 * sum(self.cpu[part] for part in parts) / self.count


class Meter:
    """CPU seconds of what serves, between two moments."""

    def __init__(self, **parts):
        self.parts = parts
        self.before = {name: part.cpu_seconds() for name, part in parts.items()}

    def read(self):
        time.sleep(reap_seconds)
        return {name: part.cpu_seconds() - self.before[name] for name, part in self.parts.items()}


runs = itertools.count(1)  # makes the keys of a run unlike those of every other run


def wrk(script, url, seconds, *arguments, threads=1, clients=connections):
    text, _, cpu = timed("wrk", f"-t{threads}", f"-c{clients}", f"-d{seconds}s", "--timeout", "10s", "-s",
                         here / "load" / script, url, "--", *arguments)
    result = last_json(text)
    if result["bad"]:
        raise RuntimeError(f"{url}: {result['bad']} of {result['requests']} requests failed")
    return result, cpu


def pgbench(cluster, script, seconds=None, transactions=None, clients=1):
    length = ["-T", str(seconds)] if seconds else ["-t", str(transactions // clients)]
    text, took, cpu = timed(pg_program("pgbench"), "-n", "-M", "prepared", "-c", clients, "-j", min(clients, 2), *length,
                            "-D", f"run={next(runs)}", "-D", "k=0", "-f", script, cluster.url)
    done = int(re.search(r"actually processed: (\d+)", text).group(1))
    tps = float(re.search(r"tps = ([\d.]+) \(without", text).group(1))
    return done, tps, took, cpu


# ---- Polis --------------------------------------------------------------------------------------------------------


def migrate(url):
    timed(bin_dir / "polis-migrate", "up", DATABASE_URL=url)


def empty_database(cluster, name):
    """Another database of the same cluster."""
    cluster.sql(f'CREATE DATABASE "{name}"')
    other = Cluster(cluster.directory.name)
    other.pid, other.url = cluster.pid, cluster.url.replace("///polis?", f"///{name}?")
    return other


def new_database(cluster, name):
    """The same with Polis's schema."""
    other = empty_database(cluster, name)
    migrate(other.url)
    return other


def run_open_loop(port, rate, seconds, *service):
    text, _, _ = timed(bench_bin_dir / "bench-open-loop", port, next(runs), rate, seconds, connections, *service)
    result = last_json(text)
    if result["bad"]:
        raise RuntimeError(f"{result['bad']} of {result['requests']} requests failed")
    return result


class Api:
    """polis-api on a free port."""

    def __init__(self, cluster, **settings):
        self.cluster = cluster
        self.port = free_port()
        settings.setdefault("LOG_LEVEL", "warning")
        self.program = Program(bin_dir / "polis-api", DATABASE_URL=cluster.url, PORT=self.port, **settings)
        self.url = f"http://127.0.0.1:{self.port}"
        self.ready_seconds = self.program.wait_for(f"{self.url}/readyz")

    def stop(self):
        self.program.stop()

    def batches(self):
        """(transactions, events, {upper bound: transactions}) so far."""
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:
            text = answer.read().decode()
        value = lambda name: float((re.search(rf"^{name} (\S+)", text, re.M) or [0, 0])[1])  # absent before the first batch
        buckets = {le: float(n) for le, n in re.findall(r'^ingest_batch_events_bucket\{le="([^"]+)"\} (\S+)', text, re.M)}
        return value("ingest_batch_events_count"), value("ingest_batch_events_sum"), buckets

    def run(self, seconds, batch=1, mix="all", keyed="half", clients=connections):
        count, events, buckets = self.batches()
        meter = Meter(server=self.program, postgresql=self.cluster)
        result, generator = wrk("ingest.lua", self.url, seconds, next(runs), batch, mix, keyed, clients=clients)
        cpu = {**meter.read(), "generator": generator}
        count_after, events_after, buckets_after = self.batches()
        commits = max(count_after - count, 1)
        extra = {"events_per_commit": (events_after - events) / commits, "commits_per_second": commits / result["seconds"],
                 "commits_up_to_events": {le: n - buckets.get(le, 0) for le, n in buckets_after.items()},
                 "closed_loop_p99_ms": result["p99_ms"]}
        done = result["requests"] * batch
        return Sample(done / result["seconds"], done, cpu, extra)

    def run_health(self, seconds):
        meter = Meter(server=self.program)
        result, generator = wrk("plain.lua", f"{self.url}/health", seconds, "GET")
        return Sample(result["requests"] / result["seconds"], result["requests"], {**meter.read(), "generator": generator})


class Worker:
    """polis-outbox-worker, until it is stopped."""

    def __init__(self, cluster, sink):
        self.port = free_port()
        self.program = Program(bin_dir / "polis-outbox-worker", DATABASE_URL=cluster.url, OUTBOX_SINK=sink,
                               ADMIN_PORT=self.port, LOG_LEVEL="warning")
        self.ready_seconds = self.program.wait_for(f"http://127.0.0.1:{self.port}/readyz")

    def stop(self):
        self.program.stop()


def run_steps(cluster, events):
    """Every event is a step. A run whose steps were not all taken is none."""
    tables = ("workflow_instances WHERE status = 'completed'", "workflow_history")
    before = [cluster.number(f"SELECT count(*) FROM {table}") for table in tables]
    sample = run_writer(cluster, events, "steps")
    ended, turns = (cluster.number(f"SELECT count(*) FROM {table}") - old for table, old in zip(tables, before))
    if (ended, turns) != (events // 4, events):
        raise RuntimeError(f"{events} events were {turns:.0f} turns, and {ended:.0f} routes ended")
    return sample


def run_writer(cluster, events, *mode):
    meter = Meter(postgresql=cluster)
    text, _, _ = timed(bench_bin_dir / "bench-writer", cluster.url, next(runs), events, *mode)
    result = last_json(text)
    return Sample(result["events"] / result["seconds"], result["events"],
                  {**meter.read(), "server": result["cpu_seconds"]},
                  {"events_per_commit": result["events"] / result["batches"]})


def fill_outbox(cluster, messages):
    cluster.sql(f"\\set count {messages}\n\\i {here}/pgbench/outbox_fill.sql\nSELECT ensure_outbox_partitions();\nANALYZE outbox")


def run_drain(cluster, messages, sink, **settings):
    """A backlog, delivered by `--drain` from the start of the process to its end."""
    fill_outbox(cluster, messages)
    meter = Meter(postgresql=cluster)
    _, seconds, cpu = timed(bin_dir / "polis-outbox-worker", "--drain", DATABASE_URL=cluster.url, OUTBOX_SINK=sink,
                            LOG_LEVEL="warning", **settings)
    left = cluster.number("SELECT count(*) FROM outbox o JOIN lane_cursors c USING (lane) WHERE o.seq > c.acked_seq")
    if left:
        raise RuntimeError(f"the worker left {left:.0f} messages")
    return Sample(messages / seconds, messages, {**meter.read(), "server": cpu})


# ---- the baseline -------------------------------------------------------------------------------------------------


def python_environment():
    """A virtual environment with the baseline's packages, made once; Debian's packages where PyPI is out of reach."""
    venv = out_dir / "venv"
    wanted = here / "baseline/requirements.txt"
    made = venv / "requirements.txt"
    if not (made.exists() and made.read_text() == wanted.read_text()):
        output(sys.executable, "-m", "venv", "--system-site-packages", venv)
        try:
            output(venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted)
        except Exception:
            print("PyPI is out of reach: using the FastAPI, SQLAlchemy and psycopg2 of this system", flush=True)
            output(venv / "bin/python", "-c", "import fastapi, sqlalchemy, psycopg2, uvicorn")
        shutil.copy(wanted, made)
    return venv


class Baseline:
    def __init__(self, cluster, workers):
        self.cluster = cluster
        self.port = free_port()
        python = python_environment() / "bin/python"
        url = cluster.url.replace("postgresql://", "postgresql+psycopg2://")
        output(python, "-c", "import app; app.Base.metadata.create_all(app.engine)", cwd=here / "baseline",
               env={"DATABASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1"})
        self.program = Program(python, "-m", "uvicorn", "app:app", "--port", self.port, "--workers", workers,
                               "--no-access-log", "--log-level", "warning", cwd=here / "baseline", DATABASE_URL=url,
                               PYTHONDONTWRITEBYTECODE=1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.program.wait_for(f"{self.url}/health")

    def stop(self):
        self.program.stop()

    def fill(self, events):
        self.cluster.sql(f"\\set count {events}\n\\i {here}/pgbench/baseline_fill.sql\nANALYZE")

    def run(self, seconds, mix="all", keyed="half"):
        meter = Meter(server=self.program, postgresql=self.cluster)
        result, generator = wrk("ingest.lua", self.url, seconds, next(runs), 1, mix, keyed)
        return Sample(result["requests"] / result["seconds"], result["requests"],
                      {**meter.read(), "generator": generator}, {"closed_loop_p99_ms": result["p99_ms"]})


# ---- ceilings -----------------------------------------------------------------------------------------------------


def ceiling_script(name, *sets):
    script = out_dir / f"{name}.sql"
    lines = [line for line in (here / "pgbench/events.sql").read_text().splitlines() if not line.startswith("--")]
    script.write_text("\n".join([*sets, " ".join(lines)]) + "\n")
    return script


counter = "\\set k :k + 1\n\\set n :client_id * 1000000 + :k"


def batch_script():
    return ceiling_script("c1", counter, "\\set first 0", f"\\set last {batch_events - 1}")


def single_script():
    return ceiling_script("c2", counter, "\\set first random(0, 7)", "\\set last :first")


def without_fence(cluster):
    """One row a transaction from 64 connections would wait at the fence that keeps the outbox in order: without it
    the ceiling is what PostgreSQL itself can do."""
    cluster.sql("DO $$ DECLARE t record; BEGIN FOR t IN SELECT tgrelid::regclass AS name FROM pg_trigger WHERE tgname = "
                "'outbox_fence' AND tgparentid = 0 LOOP EXECUTE format('DROP TRIGGER outbox_fence ON %s', t.name); END LOOP; END $$")


def run_ceiling(cluster, script, events_each, seconds, clients):
    meter = Meter(postgresql=cluster)
    done, tps, _, cpu = pgbench(cluster, script, seconds=seconds, clients=clients)
    return Sample(tps * events_each, done * events_each, {**meter.read(), "generator": cpu})


def fill_events(cluster, events, clients=2):
    pgbench(cluster, batch_script(), transactions=events // batch_events, clients=clients)


# ---- graphile-worker ----------------------------------------------------------------------------------------------


def graphile_directory():
    directory = out_dir / "graphile"
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(here / "graphile/run.mjs", directory)
    if not (directory / "node_modules/graphile-worker").is_dir():
        shutil.copy(here / "graphile/package.json", directory)
        output("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", cwd=directory)
    return directory


def run_graphile(cluster, mode, jobs):
    meter = Meter(postgresql=cluster)
    text, _, _ = timed("node", "run.mjs", mode, jobs, cwd=graphile_directory(), DATABASE_URL=cluster.url)
    result = last_json(text)
    return Sample(jobs / result["seconds"], jobs, {**meter.read(), "server": result["cpu_seconds"]})


# ---- the sink -----------------------------------------------------------------------------------------------------

sink_body = '{"alert":"possible_risk","reason":"critical_energy_usage","neighborhood":"district 12345","energy":650.5}'


class Sink:
    """The bare HTTP sink: the same one takes wrk's requests and the worker's."""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/sink"
        self.program = Program(bench_bin_dir / "bench-sink", self.port)
        self.program.wait_for(self.url)

    def stop(self):
        self.program.stop()

    def run_wrk(self, seconds):
        meter = Meter(server=self.program)
        result, generator = wrk("plain.lua", self.url, seconds, "POST", sink_body, clients=sink_connections)
        return Sample(result["requests"] / result["seconds"], result["requests"], {**meter.read(), "generator": generator})
