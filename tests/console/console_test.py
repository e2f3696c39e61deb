#!/usr/bin/env python3
"""The console in headless Chromium, on a running system with the real demo data.

Usage: console_test.py <build folder>     The screenshots are kept in <build folder>/console/screenshots.
Exit: 0 passed, 1 failed, 77 skipped (no Chromium or npm, or a build without the pages).
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent / "e2e"))

SKIPPED = 77
RECORDS = 400  # of the demo data: enough for pages, little enough for a slow machine


def skip(why):
    print(f"skipped: {why}")
    return SKIPPED


def fetch_playwright(folder):
    """playwright-core without a browser of its own; Debian's is driven."""
    wanted = (here / "package-lock.json").read_text()
    mark = folder / "installed"
    if not mark.exists() or mark.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(here / name, folder)
        done = subprocess.run(["npm", "ci", "--no-progress"], cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stderr[-2000:])
            return None
        mark.write_text(wanted)
    return folder / "node_modules"


def fill(harness, api, sink):
    """Demo records, messages of which some die, and a body that strict validation refuses."""
    with api.client() as client:
        records = [json.loads(line) for line in harness.city_events.read_text().splitlines()[:RECORDS]]
        for service in sorted({record["service"] for record in records}):
            body = [record["payload"] for record in records if record["service"] == service]
            assert client.post_json(f"/ingest/{service}", body).status == 200
        assert client.post_json("/ingest/energy", {"energy": "not a number at all"}).status == 422
        harness.wait_until(
            lambda: client.get("/outbox/dead-letters").json(), 30, "some messages become dead letters"
        )


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not browser:
        return skip("no chromium (infra/tools/deps.sh console)")
    if not shutil.which("npm") or not shutil.which("node"):
        return skip("no npm")
    folder = pathlib.Path(arguments[0]).resolve() / "console"
    modules = fetch_playwright(folder / "playwright")
    if modules is None:
        return skip("playwright-core could not be installed")
    import harness

    def answer(headers, body):
        fatal = headers.get("ce-type") == "event.transport" and json.loads(body).get("patient_id") != 90001
        return harness.Answer(400 if fatal else 200)

    sink = harness.RecordingSink(answer)
    database = harness.cluster().database()
    api = harness.Api(database, INGEST_VALIDATION="strict")
    worker = harness.Worker(database, sink)
    try:
        api.ready()
        worker.ready()
        with api.client() as client:
            if b"/console/assets/app.js" not in client.get("/console").body:
                return skip("this build has no console (npm was not at hand)")
        fill(harness, api, sink)
        pictures = folder / "screenshots"
        shutil.rmtree(pictures, ignore_errors=True)
        done = subprocess.run(
            ["node", str(here / "drive.mjs"), f"http://127.0.0.1:{api.port}", str(pictures), browser, str(modules)]
        )
        print(f"screenshots: {pictures}")
        return 1 if done.returncode else 0
    finally:
        worker.clean_up()
        api.clean_up()
        sink.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
