"""Where the programs are, how they are started, and how a test waits."""

import os
import pathlib
import subprocess
import tempfile
import time

repository = pathlib.Path(__file__).resolve().parents[2]
bin_dir = pathlib.Path(os.environ.get("POLIS_BIN_DIR", repository / "build/release/bin")).resolve()
cluster_tool = repository / "infra/tools/pg_cluster.sh"
city_events = repository / "tests/data/city-events.jsonl"

start_deadline_seconds = 30.0
stop_deadline_seconds = 40.0
poll_seconds = 0.02
# Sanitizer builds are several times slower; the deadlines of `wait_until` are multiplied by this.
deadline_factor = float(os.environ.get("POLIS_DEADLINE_FACTOR", "1"))
sanitizer_marks = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:")

# Settings of the developer's own shell must not reach the programs under test.
_inherited = {
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "ASAN_OPTIONS",
    "UBSAN_OPTIONS",
    "TSAN_OPTIONS",
    "LD_LIBRARY_PATH",
}


def wait_until(predicate, deadline=20.0, what="condition", poll=poll_seconds):
    """The first true value of `predicate`; AssertionError after `deadline` seconds."""
    deadline *= deadline_factor
    end = time.monotonic() + deadline
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what} (last value: {value!r})")
        time.sleep(poll)


def program(name):
    return str(bin_dir / name)


def environment(**settings):
    env = {name: value for name, value in os.environ.items() if name in _inherited}
    env["LOG_FORMAT"] = "json"
    env.update({name: str(value) for name, value in settings.items() if value is not None})
    return env


def run_program(name, *arguments, timeout=60, **settings):
    """Runs a program to its end in an empty directory, so that no `.env` of the checkout is read."""
    with tempfile.TemporaryDirectory(prefix="polis-e2e-cwd-") as directory:
        return subprocess.run(
            [program(name), *arguments],
            env=environment(**settings),
            cwd=directory,
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            errors="replace",
        )
