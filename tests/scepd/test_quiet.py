"""Without webhooks and upstreams scepd connects to nothing, and has no process that could; with one it connects there only."""

import os
import re
import shutil
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from elsewhere import Elsewhere, wait_for
from harness import SCEPCTL, Authority, need, run


class Quiet(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="scepd-quiet-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.trace = os.path.join(self.dir, "trace")

    def connections(self, endpoint, edit=None, challenge=True):
        """All addresses that any process of scepd connected to while it did what it does: enrol, publish, answer, reload."""
        # who is traced cannot look for leaks: the sanitizer would end with that
        a = Authority(edit=edit, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        self.addCleanup(a.close)
        a.start(before=(need("strace"), "-D", "-f", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-e", "signal=none", "-o", self.trace))
        run(SCEPCTL, "client", "enrol", a.url + endpoint, "--subject", "CN=quiet", "--key", os.path.join(self.dir, "q.key"), "--out",
            os.path.join(self.dir, "q.pem"), "--challenge-file", "-", input=a.challenge() if challenge else "", env=a.env)
        a.ctl("cert", "revoke", a.json("cert", "list")[0]["serial"], "--yes")
        a.crl()
        a.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "event=daemon.reloaded" in a.log_text(), "the reload")
        names = run("ps", "-e", "-o", "ppid=,comm=").stdout
        self.processes = sorted(line.split()[1] for line in names.splitlines() if int(line.split()[0]) == a.process.pid)
        self.assertEqual(a.stop(), 0)
        wait_for(lambda: self.trace not in run("ps", "-e", "-o", "args=").stdout, "strace, which outlives what it traces")
        with open(self.trace) as f:
            text = f.read()
        self.assertIn("sendmsg(", text)  # strace has seen what the processes say to each other
        return set(re.findall(r"sin6?_port=htons\((\d+)\)", text))  # of whichever of those calls

    def test_without(self):
        self.assertEqual(self.connections("/scep"), set())
        self.assertEqual([p for p in self.processes if "outside" in p or "outsider" in p], [])

    def test_with_a_webhook(self):
        elsewhere = Elsewhere(lambda asked: (200, {"allow": True}))
        self.addCleanup(elsewhere.close)
        found = self.connections("/asked", lambda text: text.replace("endpoints = (", f'''
            webhooks = ( {{ name = "w"; url = "{elsewhere.url}/"; }} );
            endpoints = ( {{ path = "/asked"; authority = "demo"; template = "device"; challenge = "none"; validate = "w"; }},''', 1),
                                 challenge=False)
        self.assertEqual(found, {str(elsewhere.port)})
        self.assertIn("scepd-outsider", self.processes)


if __name__ == "__main__":
    unittest.main()
