#!/usr/bin/env python3
"""Runs docs_browser.py against the API on a PostgreSQL of its own.

Environment: POLIS_BIN_DIR as for the end-to-end tests, DOCS_SCREENSHOTS a folder for pictures of the pages.
Exit: as docs_browser.py, so 77 where there is no Chromium or the build has no pages.
"""

import os
import pathlib
import sys

import docs_browser

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))


def main():
    # Before a server is started for nothing.
    if not docs_browser.find_browser():
        print(docs_browser.NO_BROWSER)
        return docs_browser.SKIPPED
    import harness

    api = harness.Api(harness.cluster().database())
    try:
        api.ready()
        pictures = os.environ.get("DOCS_SCREENSHOTS")
        return docs_browser.main([f"http://127.0.0.1:{api.port}", *([pictures] if pictures else [])])
    finally:
        api.clean_up()


if __name__ == "__main__":
    sys.exit(main())
