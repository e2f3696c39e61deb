"""A private PostgreSQL, and views of it that share nothing with the code under test."""

import atexit
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading

from programs import cluster_tool, run_program


class Cluster:
    """One PostgreSQL cluster; databases are copies of a migrated template, so a fresh one costs milliseconds."""

    def __init__(self):
        self.directory = self.make_directory()
        os.chmod(self.directory, 0o755)  # as root the server runs as another user, who must be able to enter
        self.numbers = itertools.count(1)
        self.template_ready = False
        self.lock = threading.Lock()
        atexit.register(self.destroy)
        self.start()

    def make_directory(self):
        return tempfile.mkdtemp(prefix="polis-e2e-pg-")

    def _tool(self, command):
        result = subprocess.run(
            [str(cluster_tool), command, self.directory],
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=180,
        )
        if result.returncode != 0:
            raise RuntimeError(f"pg_cluster.sh {command} failed: {result.stderr}")
        return result.stdout.strip()

    def start(self):
        self.admin_url = self._tool("start")

    def kill(self):
        self._tool("kill")

    def stop(self):
        self._tool("stop")

    def destroy(self):
        if self.directory and os.path.isdir(self.directory):
            self._tool("destroy")
            shutil.rmtree(self.directory, ignore_errors=True)
        self.directory = None

    def url_of(self, database):
        return re.sub(r"^(postgres(?:ql)?://[^/]*/)[^?]*", r"\g<1>" + database, self.admin_url)

    def empty_database(self, template=None):
        name = f"t{next(self.numbers)}"
        suffix = f' template "{template}"' if template else ""
        Database(self.admin_url).execute(f'create database "{name}"{suffix}')
        return Database(self.url_of(name))

    def database(self):
        """A fresh database with the current schema."""
        with self.lock:
            if not self.template_ready:
                Database(self.admin_url).execute("create database polis_template")
                result = run_program("polis-migrate", "up", DATABASE_URL=self.url_of("polis_template"))
                if result.returncode != 0:
                    raise RuntimeError(f"polis-migrate up failed ({result.returncode}): {result.stderr}")
                self.template_ready = True
        return self.empty_database("polis_template")


class Database:
    """Views of the database through psql: no driver, and nothing shared with the code under test."""

    def __init__(self, url):
        self.url = url

    def _psql(self, sql, *flags):
        result = subprocess.run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.url, *flags],
            input=sql,
            text=True,
            capture_output=True,
            timeout=60,
            env={**os.environ, "PGCONNECT_TIMEOUT": "10"},
        )
        if result.returncode != 0:
            raise RuntimeError(f"psql: {result.stderr.strip()}")
        return result.stdout

    def execute(self, sql):
        self._psql(sql)

    def rows(self, query):
        """The result as a list of dicts; PostgreSQL itself writes the JSON."""
        text = self._psql(f"select coalesce(json_agg(row_to_json(q)), '[]') from ({query}) q", "-A", "-t")
        return json.loads(text)

    def value(self, query):
        rows = self.rows(query)
        return next(iter(rows[0].values())) if rows else None

    def count(self, table, where="true"):
        return self.value(f"select count(*) as n from {table} where {where}")

    def messages(self, where="true"):
        return self.rows(f"select * from outbox_messages where {where} order by created_at, event_id")
