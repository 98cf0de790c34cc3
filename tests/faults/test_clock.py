"""A clock that jumps under the running daemon: a year forward, more than a year back, and to where it was.

Devices are served throughout, certificates begin now by the clock as it stands, challenges end by it, and the number of a
CRL never falls."""

import os
import re
import sys
import tempfile
import time
import unittest
from datetime import datetime, timezone

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from fastclock import DAY, YEAR, FastClock
from harness import Authority, run


class Clock(unittest.TestCase):

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="scepd-clock-")
        self.addCleanup(self.dir.cleanup)
        self.clock = FastClock(self.dir.name)
        self.a = Authority(env=self.clock.env)
        self.addCleanup(self.a.close)
        self.a.start()

    def path(self, name):
        return os.path.join(self.a.home, name)

    def enrol(self, name, challenge=None, check=True):
        return self.a.ctl("client", "enrol", self.a.url + "/scep", "--subject", f"CN={name}", "--key",
                          self.path(name + ".key"), "--out", self.path(name + ".pem"), "--challenge-file", "-",
                          input=(challenge or self.a.challenge()) + "\n", check=check)

    def begins(self, name):
        text = run("openssl", "x509", "-in", self.path(name + ".pem"), "-noout", "-startdate").stdout
        return datetime.strptime(text.strip().split("=")[1], "%b %d %H:%M:%S %Y %Z").replace(tzinfo=timezone.utc)

    def crl_number(self):
        text = run("openssl", "crl", "-in", self.a.crl(), "-noout", "-crlnumber").stdout
        return int(re.search(r"=(?:0x)?([0-9A-Fa-f]+)", text).group(1), 16)

    def served(self, name):
        """A jump may make an RA due: whoever is sent away meanwhile comes again."""
        end = time.monotonic() + 90
        while self.enrol(name, check=False).returncode != 0:
            self.assertLess(time.monotonic(), end, self.a.log_text()[-2000:])
            time.sleep(0.2)
        age = self.clock.now() - self.begins(name).timestamp()
        self.assertTrue(0 <= age < DAY / 4, f"it begins {age} s ago")

    def test_jumps(self):
        self.served("before")
        stale = self.a.challenge("--expires", "1d")
        first = self.crl_number()

        self.clock.jump(YEAR)
        self.served("year-ahead")
        r = self.enrol("too-late", stale, check=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertRegex(r.stderr, "challenge.(expired|unknown)")  # housekeeping may have forgotten it
        end = time.monotonic() + 90
        while self.crl_number() <= first:
            self.assertLess(time.monotonic(), end, "no CRL of the new time")
            time.sleep(0.5)
        ahead = self.crl_number()

        self.clock.jump(-YEAR + 2 * DAY)
        self.served("almost-as-it-was")
        self.clock.jump(-DAY)  # no further: nothing is issued to begin before its issuer
        self.served("a-day-behind")
        self.a.ctl("cert", "revoke", self.a.json("cert", "list", "--limit", 1)[0]["serial"], "--yes")
        end = time.monotonic() + 90
        while self.crl_number() <= ahead:
            self.assertLess(time.monotonic(), end, "no CRL with what was revoked")
            time.sleep(0.5)

        self.clock.jump(2 * DAY)
        self.served("ahead-again")
        self.assertIn(self.a.log_text().count("event=clock.behind"), (1, 2))  # once for each time that it fell back
        self.assertIsNone(self.a.process.poll())
        self.assertEqual(self.a.stop(), 0)
        self.a.ctl("store", "verify")
        self.a.ctl("audit", "verify")


if __name__ == "__main__":
    unittest.main()
