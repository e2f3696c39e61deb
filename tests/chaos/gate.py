"""A TCP gate in front of PostgreSQL's Unix socket: it passes everything on, until it is told to misbehave."""

import re
import socket
import threading
import time

chunk_bytes = 65536
# Bind names the portal (empty) and then the prepared statement; Parse has a length before the name.
commit_bind = b"\x00commit\x00"
settle_binds = (b"\x00advance\x00", b"\x00settle\x00")


class Gate:
    def __init__(self, database_url):
        self.upstream = re.search(r"[?&]host=([^&]+)", database_url)[1] + "/.s.PGSQL.5432"
        self.url_of = lambda name: f"postgresql://polis@127.0.0.1:{self.port}/{name}"
        self.lock = threading.Lock()
        self.pairs = set()
        self.delay = 0.0
        self.flowing = threading.Event()
        self.flowing.set()
        self.cuts_wanted = {}  # bytes to look for -> [times, is the message passed on before the cut]
        self.cuts = 0
        self.closed = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.closed:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self.upstream)
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self.lock:
                self.pairs.add(pair)
            for source, target, is_request in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._relay, args=(pair, source, target, is_request), daemon=True).start()

    def _relay(self, pair, source, target, is_request):
        try:
            while data := source.recv(chunk_bytes):
                if self.delay:
                    time.sleep(self.delay)
                self.flowing.wait()
                cut = self._cut_for(data) if is_request else None
                if cut is None or cut:
                    target.sendall(data)
                if cut is not None:
                    break
        except OSError:
            pass
        self._close(pair)

    def _cut_for(self, data):
        """None, or whether the data is passed on before the connection is cut."""
        with self.lock:
            for needle, wanted in self.cuts_wanted.items():
                if wanted[0] > 0 and needle in data:
                    wanted[0] -= 1
                    self.cuts += 1
                    return wanted[1]
        return None

    def _close(self, pair):
        with self.lock:
            self.pairs.discard(pair)
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def cut_next(self, needle, times=1, pass_on=True):
        """Cuts the next connections that send this. With `pass_on` the server acts, and nobody hears of it."""
        with self.lock:
            self.cuts_wanted[needle] = [times, pass_on]

    def waiting_cuts(self):
        with self.lock:
            return sum(wanted[0] for wanted in self.cuts_wanted.values())

    def half_open(self):
        """Nothing passes, and nobody is told: new connections are taken, too."""
        self.flowing.clear()

    def reset(self):
        """All connections are cut; later ones work."""
        with self.lock:
            pairs = list(self.pairs)
            self.cuts_wanted.clear()
        self.delay = 0.0
        for pair in pairs:
            self._close(pair)
        self.flowing.set()

    def close(self):
        self.closed = True
        self.listener.close()
        self.reset()
