"""Private PostgreSQL clusters, programs and their CPU time: everything the bench starts, and stops by its own pid."""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

repository = pathlib.Path(__file__).resolve().parents[2]
here = pathlib.Path(__file__).resolve().parent
out_dir = repository / "build/bench"
bin_dir = pathlib.Path(os.environ.get("POLIS_BIN_DIR", repository / "build/release/bin"))
bench_bin_dir = bin_dir.parent / "tests/bench"
pg_cluster_tool = repository / "infra/tools/pg_cluster.sh"

start_deadline_seconds = 30
stop_deadline_seconds = 20
ticks_per_second = os.sysconf("SC_CLK_TCK")

_inherited = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


def environment(**settings):
    """The settings of the developer's own shell must not reach what is measured."""
    env = {name: os.environ[name] for name in _inherited if name in os.environ}
    env.update({name: str(value) for name, value in settings.items()})
    return env


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def output(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def pg_program(name):
    """A program of the newest PostgreSQL on this machine, as pg_cluster.sh chooses it."""
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[-3]))
    return str(versions[-1]) if versions else shutil.which(name)


# ---- CPU time -----------------------------------------------------------------------------------------------------


def _stat(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def cpu_seconds(pid, with_reaped=False):
    """User and system time of one process; `with_reaped` adds its children that have ended."""
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    ticks = int(fields[11]) + int(fields[12])
    if with_reaped:
        ticks += int(fields[13]) + int(fields[14])
    return ticks / ticks_per_second


def children_of(parent):
    children = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError):
            if int(_stat(entry)[1]) == parent:
                children.append(int(entry))
    return children


def tree_cpu_seconds(root):
    """A process with all below it, the ended ones too."""
    return cpu_seconds(root, with_reaped=True) + sum(tree_cpu_seconds(child) for child in children_of(root))


def resident_mib(pid):
    """All children too: a server with workers is one service."""
    total = 0
    for process in [pid, *children_of(pid)]:
        with contextlib.suppress(OSError), open(f"/proc/{process}/status", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    return total / 1024


# ---- PostgreSQL ---------------------------------------------------------------------------------------------------


class Cluster:
    """One private PostgreSQL, with the settings `make run` gives it: fsync and synchronous_commit are on."""

    def __init__(self, name):
        self.directory = out_dir / "clusters" / name
        self.url = ""
        self.pid = 0

    def start(self):
        self.destroy()
        self.directory.mkdir(parents=True)
        self.url = output(pg_cluster_tool, "start", self.directory, stderr=subprocess.DEVNULL).strip()
        self.pid = int(output(pg_cluster_tool, "pid", self.directory))

    def destroy(self):
        if self.directory.exists():
            subprocess.run([pg_cluster_tool, "destroy", self.directory], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(self.directory, ignore_errors=True)

    def sql(self, text):
        """Runs statements and returns the rows of the last one as text, without headings."""
        return output("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url, input=text).strip()

    def number(self, text):
        return float(self.sql(text))

    def wal_position(self):
        return self.sql("SELECT pg_current_wal_insert_lsn()")

    def wal_bytes(self, start, end):
        """Total bytes between two positions, and the same without the page images that follow a checkpoint."""
        total = self.number(f"SELECT pg_wal_lsn_diff('{end}', '{start}')")
        self.sql("SELECT pg_switch_wal()")
        data = (self.directory / "pg").resolve() / "data"
        text = output(pg_program("pg_waldump"), "--stats", "-p", data / "pg_wal", "-s", start, "-e", end)
        line = next(line for line in text.splitlines() if line.startswith("Total"))
        numbers = [int(word) for word in line.split() if word.isdigit()]
        return total, float(numbers[1])

    def cpu_seconds(self):
        return tree_cpu_seconds(self.pid)

    def settings(self):
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_compression",
                 "shared_buffers", "max_wal_size", "checkpoint_timeout")
        return {name: self.sql(f"SHOW {name}") for name in names}


# ---- programs -----------------------------------------------------------------------------------------------------


class Program:
    """A process that runs until it is stopped."""

    def __init__(self, *command, cwd=None, **settings):
        self.log = out_dir / "logs" / f"{pathlib.Path(str(command[0])).name}-{free_port()}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([str(c) for c in command], env=environment(**settings), stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, cwd=cwd or out_dir)
        self.pid = self.process.pid

    def wait_for(self, url):
        """Seconds until `url` answers 2xx."""
        begin = time.monotonic()
        while True:
            try:
                with urllib.request.urlopen(url, timeout=1) as answer:
                    if answer.status < 300:
                        return time.monotonic() - begin
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() - begin > start_deadline_seconds:
                raise RuntimeError(f"{url} does not answer, see {self.log}")
            time.sleep(0.002)

    def cpu_seconds(self):
        return tree_cpu_seconds(self.pid)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(stop_deadline_seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def timed(*command, cwd=None, **settings):
    """Runs a command to its end: (its standard output, seconds, CPU seconds of it and its children)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    done = subprocess.run([str(c) for c in command], env=environment(**settings), cwd=cwd or out_dir, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    seconds = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed ({done.returncode}):\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, seconds, cpu


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])
