"""The store's map becomes too small under the daemon and under administrators' commands, which write at the same time:
it grows, by whoever comes near its end, no write and no command fails, and nobody sees more of it than a line in the log."""

import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
sys.path.insert(0, os.path.dirname(__file__))
from campaign import Load
from harness import SCEPCTL, Authority, run
from shim import Faults

DEVICES = int(os.environ.get("FAULTS_DEVICES", 600))
MAP = 4 << 20  # octets to begin with: half of it has to be enough for any of these writes


class Growth(unittest.TestCase):

    def setUp(self):
        control = tempfile.mkdtemp(prefix="scepd-faults-")
        self.addCleanup(shutil.rmtree, control, True)
        self.a = Authority(env=dict(Faults(control).env, FAULT_MAP=str(MAP)))
        self.addCleanup(self.a.close)
        self.said = ""

    def map_size(self):
        return self.a.json("store", "stats")[0]["limit_bytes"]

    def tool(self, *args):
        r = run(SCEPCTL, "-c", self.a.conf, *args, env=self.a.env)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.said += r.stderr
        return r.stdout.splitlines()

    def test_both_write_until_it_grows(self):
        self.a.start()
        load = Load(self.a, DEVICES, 16, env=self.a.env)
        self.addCleanup(load.close)
        self.assertEqual(self.map_size(), MAP)
        made = 0
        while load.running():
            made += len(self.tool("challenge", "new", "--count", "40", "--label", "tool"))
            self.tool("cert", "list", "--limit", "5")
        (figures,), out = load.wait(120)
        self.assertEqual((figures["issued"], figures["retries"]), (str(DEVICES), "0"), out)
        self.assertGreater(self.map_size(), MAP)
        self.assertEqual(self.a.stop(), 0)
        told = self.a.log_text() + self.said
        self.assertIn("event=store.grow", told)
        self.assertEqual([line for line in told.splitlines() if "level=error" in line or "level=warning" in line], [])
        challenges = self.a.json("challenge", "list", "--limit", 0)
        self.assertEqual(sum(c["label"] == "tool" for c in challenges), made)
        self.assertEqual(len(challenges), made + DEVICES)
        self.a.ctl("store", "verify")
        self.a.ctl("audit", "verify")


if __name__ == "__main__":
    unittest.main()
