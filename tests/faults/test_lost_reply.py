"""A device whose reply was lost when the daemon died gets the same certificate from the next one.

The daemon is killed at each step of the commit.  Before the meta page is written nothing has happened: the challenge is
good, and the certificate is issued when the device comes again.  After it, the certificate exists and is given again."""

import os
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
sys.path.insert(0, os.path.dirname(__file__))
from campaign import Load, Supervisor
from harness import Authority
from shim import Faults

# Where, and whether the certificate is there already when the daemon starts again.
STEPS = [("write", "kill-before", False), ("write", "kill-half", False), ("write", "kill-after", False),
         ("sync", "kill-before", False), ("sync", "kill-after", False), ("meta", "kill-before", False),
         ("meta", "kill-half", False), ("meta", "kill-after", True)]


class LostReply(unittest.TestCase):

    def setUp(self):
        self.a = Authority()
        self.addCleanup(self.a.close)
        self.faults = Faults(self.a.home)

    def certificates(self):
        return self.a.json("cert", "list", "--limit", 0)

    def told(self, serial):
        """What the log says about a certificate's answers, the oldest first."""
        return re.findall(r"event=scep\.request result=(\w+) .*\bserial=" + serial, self.a.log_text())

    def wait_for(self, what, doing):
        end = time.monotonic() + 60
        while not what():
            self.assertLess(time.monotonic(), end, f"waited in vain: {doing}")
            time.sleep(0.01)

    def device_at(self, number, call, action, there):
        """One device; its daemon dies on the way to the reply."""
        ends = len(self.supervisor.ends)
        before = self.certificates()
        load = Load(self.a, 1, 1, "--prefix", f"step{number}", "--again", before=lambda: self.faults.set(call, action))
        self.addCleanup(load.close)
        self.wait_for(lambda: len(self.supervisor.ends) > ends, "the end of the daemon")
        self.faults.clear()
        (first, again), _ = load.wait(120)
        self.assertGreater(int(first["retries"]), 0)
        self.assertEqual((first["issued"], again["issued"]), ("1", "1"))
        (serial,) = load.serials().values()
        new = {c["serial"].lower() for c in self.certificates()} - {c["serial"].lower() for c in before}
        self.assertEqual(new, {serial}, "exactly one certificate, and the device has it")
        tale = ["repeated" if there else "issued", "repeated"]
        self.wait_for(lambda: len(self.told(serial)) >= 2, "the log of both answers")
        self.assertEqual(self.told(serial), tale)

    def test_at_every_step_of_the_commit(self):
        self.supervisor = Supervisor(self.a, self.faults.env)
        self.addCleanup(self.supervisor.close)
        self.a.process = self.supervisor.process
        self.a.wait_ready()
        self.a.process = None
        self.a.crl()  # made by a commit of its own
        for number, step in enumerate(STEPS):
            with self.subTest(step=step):
                self.device_at(number, *step)
        self.assertEqual(self.supervisor.ends, [-9] * len(STEPS))
        self.assertEqual({(c["state"], c["used"]) for c in self.a.json("challenge", "list", "--limit", 0)},
                         {("used", "1 of 1")})
        self.a.ctl("store", "verify")
        self.a.ctl("audit", "verify")
        self.assertEqual(self.supervisor.stop(), 0)


if __name__ == "__main__":
    unittest.main()
