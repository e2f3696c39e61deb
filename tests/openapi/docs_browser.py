#!/usr/bin/env python3
"""Opens /docs and /redoc of a running server in headless Chromium.

Passes when each page shows every operation of /openapi.json and can be used, asked only its own origin, and wrote no error
to the console (which includes everything that the Content-Security-Policy blocked).

Usage: docs_browser.py http://127.0.0.1:8000 [folder for screenshots]
Exit: 0 passed, 1 failed, 2 wrong usage, 77 skipped (no Chromium, or a build without the pages).
"""

import base64
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

SKIPPED = 77
NO_BROWSER = "skipped: no chromium on this machine (apt-get install chromium)"
PAGE_TIMEOUT_SECONDS = 60
REPLY_TIMEOUT_SECONDS = 60
SETTLE_SECONDS = 1.0

CHROMIUM_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,1000",
    "--remote-debugging-pipe",
]  # fmt: skip


class Browser:
    """Chromium's DevTools protocol over the pipe (descriptors 3 and 4, messages ended by NUL): needs no WebSocket client."""

    def __init__(self, executable, profile):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        # Out of the way of 3 and 4, or one dup2 below could close the other's source.
        source, sink = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_browser, from_browser))

        def place_pipes():
            os.dup2(source, 3)
            os.dup2(sink, 4)

        self._process = subprocess.Popen(
            [executable, *CHROMIUM_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=place_pipes, pass_fds=(3, 4),
        )  # fmt: skip
        for fd in (to_browser, from_browser, source, sink):
            os.close(fd)
        self._buffer = b""
        self._last_id = 0
        self.events = []

    def close(self):
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (OSError, RuntimeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()

    def send(self, method, session=None, **params):
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return self._last_id

    def call(self, method, session=None, **params):
        wanted = self.send(method, session, **params)
        deadline = time.monotonic() + REPLY_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            message = self._receive(deadline)
            if message and message.get("id") == wanted:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
        raise RuntimeError(f"{method}: no reply from Chromium")

    def pump(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._receive(deadline)

    def _receive(self, deadline):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            data = os.read(self._in, 1 << 20)
            if not data:
                raise RuntimeError("Chromium ended")
            self._buffer += data
        raw, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(raw)
        if "method" in message:
            self.events.append(message)
            if message["method"] == "Target.attachedToTarget":
                self._observe(message["params"]["sessionId"])
        return message

    def _observe(self, session):
        """Also for workers, which have sessions of their own. An answer that says 'no such domain' is of no interest."""
        for domain in ("Network", "Runtime", "Log"):
            self.send(f"{domain}.enable", session)
        self.send("Target.setAutoAttach", session, autoAttach=True, waitForDebuggerOnStart=False, flatten=True)


class Page:
    def __init__(self, browser, url):
        self._browser = browser
        browser.events.clear()
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.call("Page.enable", self._session)
        browser.call("Page.navigate", self._session, url=url)

    def evaluate(self, expression):
        result = self._browser.call("Runtime.evaluate", self._session, expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']['text']}")
        return result["result"].get("value")

    def wait_for(self, expression):
        deadline = time.monotonic() + PAGE_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self.evaluate(expression):
                return True
            self._browser.pump(0.1)
        return False

    def type_into(self, selector, text):
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        for character in text:  # Redoc's search listens to keys, not to pasted text
            self._browser.call("Input.dispatchKeyEvent", self._session, type="keyDown", key=character, text=character)
            self._browser.call("Input.dispatchKeyEvent", self._session, type="keyUp", key=character)

    def screenshot(self, path):
        data = self._browser.call("Page.captureScreenshot", self._session, format="png")["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))


def missing_texts(page, texts):
    """The texts that the page does not come to show."""
    absent = f"{json.dumps(texts)}.filter(text => !(document.body?.innerText ?? '').includes(text))"
    page.wait_for(f"{absent}.length === 0")
    return page.evaluate(absent)


def use_swagger_ui(page):
    """Opens one operation: its body brings the editor, the examples and the highlighter."""
    page.evaluate("document.querySelector('.opblock-post .opblock-summary-control').click()")
    return [] if page.wait_for("document.querySelector('.opblock-body .execute') !== null") else ["no operation can be opened"]


def use_redoc(page):
    """Searches: the index is built in a worker, which the policy must let start."""
    page.type_into("input[placeholder='Search...']", "ingest")
    found = page.wait_for("document.querySelectorAll('[data-role=\"search:results\"] li').length > 0")
    return [] if found else ["the search finds nothing"]


def faults_in(events, base):
    """What the browser reported: requests that left the origin or failed, and errors in the console."""
    faults = []
    for event in events:
        method, params = event["method"], event["params"]
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith((base + "/", "data:", "blob:" + base + "/")):
                faults.append(f"request left the origin: {url}")
        elif method == "Network.responseReceived" and params["response"]["status"] >= 400:
            faults.append(f"{params['response']['status']} for {params['response']['url']}")
        elif method == "Network.loadingFailed" and not params.get("canceled"):
            faults.append(f"request failed: {params.get('blockedReason') or params['errorText']}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            faults.append("console: " + " ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            faults.append("exception: " + details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            faults.append(f"log: {params['entry']['text']} {params['entry'].get('url', '')}")
    return faults


def check(browser, base, path, texts, use, screenshots):
    page = Page(browser, base + path)
    faults = [f"not shown: {text}" for text in missing_texts(page, texts)]
    if not faults:
        faults = use(page)
    browser.pump(SETTLE_SECONDS)
    if screenshots:
        page.screenshot(pathlib.Path(screenshots) / (path.strip("/") + ".png"))
    return faults + faults_in(browser.events, base)


def find_browser():
    return shutil.which("chromium") or shutil.which("chromium-browser")


def fetch(url):
    with urllib.request.urlopen(url, timeout=REPLY_TIMEOUT_SECONDS) as answer:
        return answer.read().decode()


def main(arguments):
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    executable = find_browser()
    if not executable:
        print(NO_BROWSER)
        return SKIPPED
    base = arguments[0].rstrip("/")
    if "<script" not in fetch(base + "/docs"):
        print("skipped: this build has no documentation pages (see POLIS_DOCS_ASSETS)")
        return SKIPPED
    document = json.loads(fetch(base + "/openapi.json"))
    texts = [operation["summary"] for path in document["paths"].values() for operation in path.values()]

    failed = False
    with tempfile.TemporaryDirectory(prefix="polis-chromium-", ignore_cleanup_errors=True) as profile:
        browser = Browser(executable, profile)
        try:
            for path, use in (("/docs", use_swagger_ui), ("/redoc", use_redoc)):
                faults = check(browser, base, path, texts, use, arguments[1] if len(arguments) == 2 else None)
                print(f"{path}: " + ("; ".join(["FAILED"] + faults) if faults else f"ok, {len(texts)} operations"))
                failed = failed or bool(faults)
        finally:
            browser.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
