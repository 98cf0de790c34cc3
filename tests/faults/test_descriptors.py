"""Descriptors run out under a storm of connections: who has one is served on, the log is not flooded, and when the storm is
over everybody is served again, by the same daemon.  At the SCEP listener, the admin listener and the API's alike."""

import http.client
import os
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import Authority, free_port

LIMIT = 72
STORM = 200


class Descriptors(unittest.TestCase):

    def setUp(self):
        self.admin_port, self.api_port = free_port(), free_port()
        self.a = Authority(init_args=("--admin-port", self.admin_port, "--api-port", self.api_port))
        self.addCleanup(self.a.close)
        self.a.start(before=("prlimit", f"--nofile={LIMIT}:{LIMIT}"))

    def wait_for(self, what, doing, seconds=60):
        end = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), end, f"waited in vain: {doing}")
            time.sleep(0.05)

    def connections(self, port):
        """As many as come at once, with nothing to say."""
        found = []
        for _ in range(STORM):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
            found.append(s)
        return found

    def open_here(self):
        return len(os.listdir(f"/proc/{self.a.process.pid}/fd"))

    def ask(self, connection, path):
        connection.request("GET", path)
        with connection.getresponse() as r:
            r.read()
            return r.status

    def served(self):
        """Devices, and who looks after the daemon."""
        for port, path in ((self.a.port, "/scep?operation=GetCACaps"), (self.admin_port, "/metrics"),
                           (self.admin_port, "/livez"), (self.api_port, "/api/v1/openapi.json")):
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                if self.ask(c, path) != 200:
                    return False
            except (OSError, http.client.HTTPException):
                return False
            finally:
                c.close()
        return True

    def enrol(self, name):
        self.a.ctl("client", "enrol", self.a.url + "/scep", "--subject", f"CN={name}", "--key",
                   os.path.join(self.a.home, name + ".key"), "--out", os.path.join(self.a.home, name + ".pem"),
                   "--challenge-file", "-", input=self.a.challenge() + "\n")

    def early(self, port, path):
        """A connection that was there before the storm."""
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.addCleanup(c.close)
        self.assertEqual(self.ask(c, path), 200)
        return c

    def storm(self, name, *ports):
        caps, live, calls = "/scep?operation=GetCACaps", "/livez", "/api/v1/openapi.json"
        device, keeper = self.early(self.a.port, caps), self.early(self.admin_port, live)
        caller = self.early(self.api_port, calls)
        before = self.a.log_text().count("event=http.accept")
        crowd = [s for port in ports for s in self.connections(port)]
        self.addCleanup(lambda: [s.close() for s in crowd])
        self.wait_for(lambda: self.a.log_text().count("event=http.accept") > before, "that descriptors run out")
        self.assertGreaterEqual(self.open_here(), LIMIT - 8)
        self.assertEqual(self.ask(device, caps), 200, "a device that is connected is served")
        self.assertEqual(self.ask(keeper, live), 200, "so is who looks after the daemon")
        self.assertEqual(self.ask(caller, calls), 200, "and who calls the API")
        for s in crowd:
            s.close()
        self.wait_for(self.served, "service when the storm is over")
        self.enrol(name)
        self.wait_for(lambda: self.open_here() < LIMIT - 8, "that descriptors come back")

    def test_storms(self):
        begun = time.monotonic()
        self.assertIn("event=daemon.descriptors", self.a.log_text())
        self.storm("after-one", self.a.port)
        self.storm("after-two", self.admin_port, self.a.port)
        self.storm("after-three", self.api_port)
        self.assertIn("Too many open files", self.a.log_text())
        lines = self.a.log_text().count("event=http.accept")
        self.assertLess(lines, 40 * (time.monotonic() - begun) + 40, "the log was flooded")
        self.assertEqual(self.a.stop(), 0)
        self.a.ctl("store", "verify")


if __name__ == "__main__":
    unittest.main()
