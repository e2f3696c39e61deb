"""The disk of PostgreSQL is full: ingest answers 503, nothing acknowledged is lost, and it goes on when there is room."""

import os
import subprocess
import tempfile
import unittest

from client import Client
from database import Cluster
from harness import Api, EndToEndTest, Worker, wait_until

size = "192m"
posts_max = 4000


def mount_small_disk():
    """A small file system of its own; needs the right to mount."""
    directory = tempfile.mkdtemp(prefix="polis-e2e-disk-")
    result = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "polis-test", directory], capture_output=True, text=True
    )
    if result.returncode != 0:
        os.rmdir(directory)
        raise unittest.SkipTest(f"a file system cannot be mounted here: {result.stderr.strip()}")
    return directory


class SmallDiskCluster(Cluster):
    """The same cluster in a directory of the test's own."""

    def __init__(self, directory):
        self.wanted_directory = directory
        super().__init__()

    def make_directory(self):
        # Not the mount point itself: the cluster's directory goes with the cluster.
        path = os.path.join(self.wanted_directory, "cluster")
        os.mkdir(path)
        return path


class DiskFullTest(EndToEndTest):
    def setUp(self):
        self.disk = mount_small_disk()
        self.addCleanup(self.unmount)
        self.cluster = SmallDiskCluster(self.disk)
        self.addCleanup(self.cluster.destroy)
        self.database = self.cluster.database()

    def unmount(self):
        subprocess.run(["umount", self.disk], check=True)
        os.rmdir(self.disk)

    def post(self, client, number):
        body = {"patient_id": number, "alert": "emergency", "location": os.urandom(40000).hex()}
        return client.post_json("/ingest/health", body, {"Idempotency-Key": f"k{number}"})

    def fill(self):
        """All room but a little is taken, so that the log of the database meets the end soon."""
        free = os.statvfs(self.disk)
        room = free.f_bavail * free.f_frsize - 24 * 1024 * 1024
        path = os.path.join(self.disk, "ballast")
        with open(path, "wb") as file:
            file.write(b"\0" * max(room, 0))
        return path

    def test_full_disk(self):
        api = Api(self.database, DERIVED_DEDUPE_WINDOW_SECONDS=0)
        self.addCleanup(api.clean_up)
        api.ready()
        ballast = self.fill()
        acknowledged, refused = {}, 0
        for number in range(posts_max):
            with Client("127.0.0.1", api.port, timeout=30) as client:
                response = self.post(client, number)
            self.assertIn(response.status, (200, 503), response)
            if response.status == 200:
                acknowledged[number] = response.json()
            else:
                refused += 1
                if refused == 5:
                    break
        self.assertGreaterEqual(refused, 5, "the disk became full")
        self.assertGreater(len(acknowledged), 5)
        self.assertIsNone(api.process.poll(), "the api stays")

        os.unlink(ballast)
        # Where the log itself found no room, PostgreSQL has stopped all of itself.
        self.cluster.start()
        wait_until(api.is_ready, 60, "the api is ready again")
        with Client("127.0.0.1", api.port, timeout=30) as client:
            for number in range(len(acknowledged) + refused):
                answer = self.post(client, number)
                self.assertEqual(answer.status, 200, answer)
                if number in acknowledged:
                    self.assertEqual(answer.json(), acknowledged[number])
        self.assertEqual(
            self.database.count("events", "id = family_base(id)"), len(acknowledged) + refused, "each once"
        )
        sink = self.start_sink()
        worker = Worker(self.database, sink)
        self.addCleanup(worker.clean_up)
        worker.ready()
        self.wait_all_sent(2 * (len(acknowledged) + refused), 60)
        print(f"full disk: {len(acknowledged)} acknowledged before it, {refused} refused with 503, 0 lost", flush=True)


if __name__ == "__main__":
    unittest.main()
