"""A clock that jumps while the daemon runs: what becomes due in its authorities is done and served, without a restart."""

import os
import re
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, SCEPD, Authority, preload, run

LIBRARIES = ["/usr/lib/%s-linux-gnu/faketime/libfaketimeMT.so.1" % m for m in ("x86_64", "aarch64")]


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    return what()


class Tending(unittest.TestCase):
    def setUp(self):
        self.a = Authority()
        self.addCleanup(self.a.close)
        self.a.unconfine()
        self.clock = os.path.join(self.a.home, "clock")
        library = next((l for l in LIBRARIES if os.path.exists(l)), None)
        self.assertTrue(library, "the package faketime is missing")
        # Without the last one libfaketime takes deadlines of the monotonic clock for others, and waits end at once.
        self.env = dict(os.environ, LD_PRELOAD=preload(library), FAKETIME_TIMESTAMP_FILE=self.clock, FAKETIME_NO_CACHE="1",
                        DONT_FAKE_MONOTONIC="1", FAKETIME_FORCE_MONOTONIC_FIX="0")
        self.days(0)

    def days(self, n):
        """So many days from today on; never half a file."""
        with open(self.clock + ".new", "w") as f:
            f.write(f"+{n}d\n")
        os.rename(self.clock + ".new", self.clock)

    def start(self):
        self.a.log = open(self.a.log_path, "ab")
        self.a.process = subprocess.Popen([SCEPD, "-c", self.a.conf], stdout=self.a.log, stderr=self.a.log, env=self.env)
        self.a.wait_ready()

    def count(self, event):
        return self.a.log_text().count(f"event={event} ")

    def enrol(self, name):
        challenge = os.path.join(self.a.home, name + ".challenge")
        with open(challenge, "w") as f:
            f.write(run(SCEPCTL, "-c", self.a.conf, "challenge", "new", "-q", env=self.env).stdout)
        return run(SCEPCTL, "client", "enrol", self.a.url + "/scep", "--subject", "CN=" + name, "--key",
                   os.path.join(self.a.home, name + ".key"), "--out", os.path.join(self.a.home, name + ".pem"),
                   "--challenge-file", challenge, env=self.env)

    def served(self):
        return self.a.get("/scep?operation=GetCACert")

    def test_an_ra_is_renewed_while_it_runs(self):
        self.start()
        first = self.served()
        self.enrol("one")
        with open(self.a.ra) as f:
            end = run("openssl", "x509", "-noout", "-enddate", input=f.read()).stdout.partition("=")[2]
        left = (int(run("date", "-d", end, "+%s").stdout) - int(time.time())) // 86400
        self.days(left - 20)
        self.assertTrue(until(lambda: self.count("daemon.tended")), self.a.log_text())
        self.assertEqual(self.count("ra.renewed"), 1)
        self.assertTrue(until(lambda: self.served() != first))
        self.enrol("two")
        self.assertEqual(self.a.stop(), 0)
        self.assertNotIn("level=error", self.a.log_text())

    def test_years_at_once(self):
        """Nothing hangs or spins; RA and CA are what they should be in the end, and devices enrol."""
        self.start()
        self.enrol("one")
        for years in (3, 6, 9):
            before = self.count("daemon.tended")
            self.days(365 * years)
            self.assertTrue(until(lambda: self.count("daemon.tended") > before, 150), self.a.log_text())
            self.enrol(f"after-{years}")
        self.assertGreaterEqual(self.count("ra.renewed"), 1)
        with open(f"/proc/{self.a.process.pid}/stat") as f:
            before = sum(int(n) for n in f.read().rpartition(")")[2].split()[11:13])
        time.sleep(2)
        with open(f"/proc/{self.a.process.pid}/stat") as f:
            after = sum(int(n) for n in f.read().rpartition(")")[2].split()[11:13])
        self.assertLess(after - before, 100) # of 200 ticks: it does not spin
        self.assertEqual(self.a.stop(), 0)

    def test_started_with_an_ra_that_has_ended(self):
        self.start()
        self.assertEqual(self.a.stop(), 0)
        self.days(365 * 3)
        self.start()
        self.assertGreaterEqual(self.count("ra.renewed"), 1)
        self.enrol("late")
        self.assertEqual(self.a.stop(), 0)


class Confined(unittest.TestCase):
    """Under the confinement, which another clock does not go with: what other settings make due at once."""

    def test_the_first_responder_is_there_at_the_start(self):
        a = Authority()
        self.addCleanup(a.close)
        a.start()
        log = a.log_text()
        self.assertLess(log.index("event=ocsp.renewed authority=demo by=scepd"), log.index("event=daemon.started"))
        self.assertNotIn("event=ocsp.responder", log)
        with open(os.path.join(a.home, "authorities", "demo", "ocsp-1.pem")) as f:
            shown = run("openssl", "x509", "-noout", "-text", input=f.read()).stdout
        self.assertIn("OCSP Signing", shown)
        self.assertIn("OCSP No Check", shown)
        self.assertEqual(a.stop(), 0)
        a.start() # it has one
        self.assertEqual(a.log_text().count("event=ocsp.renewed"), 1)
        self.assertEqual(a.stop(), 0)

    def test_a_responder_that_cannot_be_made_or_read(self):
        """Devices enrol, the log says what is missing, and another one is made when it can be."""
        a = Authority()
        self.addCleanup(a.close)
        os.makedirs(os.path.join(a.home, "authorities", "demo", "lock")) # where a file should be
        a.start()
        self.assertIn("event=authority.untended", a.log_text())
        self.assertIn("event=ocsp.responder authority=demo generation=1", a.log_text())
        self.assertIn("no OCSP is answered", a.log_text())
        self.assertTrue(a.get("/scep?operation=GetCACert"))
        self.assertEqual(a.stop(), 0)
        os.rmdir(os.path.join(a.home, "authorities", "demo", "lock"))
        a.start()
        self.assertEqual(a.log_text().count("event=ocsp.renewed"), 1)
        with open(os.path.join(a.home, "authorities", "demo", "ocsp-1.pem"), "w") as f:
            f.write("damaged\n")
        os.kill(a.process.pid, signal.SIGHUP)
        self.assertTrue(until(lambda: a.log_text().count("event=ocsp.renewed") == 2), a.log_text())
        self.assertTrue(until(lambda: "event=daemon.tended " in a.log_text()), a.log_text())
        self.assertEqual(a.stop(), 0)

    def test_an_ra_is_renewed_and_served(self):
        a = Authority()
        self.addCleanup(a.close)
        a.start()
        with open(a.conf) as f:
            text = f.read()
        with open(a.conf, "w") as f:
            f.write(text.replace('ra_key = "keys/ra.key";',
                                 'ra_key = "keys/ra.key"; ra_renew_before = "730d"; ra_validity = "1000d";'))
        os.kill(a.process.pid, signal.SIGHUP)
        self.assertTrue(until(lambda: "event=daemon.tended " in a.log_text()), a.log_text())
        self.assertIn("event=ra.renewed authority=demo by=scepd", a.log_text())
        self.assertTrue(os.path.exists(os.path.join(a.home, "authorities", "demo", "ra-1.pem")))
        challenge = os.path.join(a.home, "challenge")
        with open(challenge, "w") as f:
            f.write(a.challenge("-q"))
        run(SCEPCTL, "client", "enrol", a.url + "/scep", "--subject", "CN=device", "--key", os.path.join(a.home, "d.key"),
            "--out", os.path.join(a.home, "d.pem"), "--challenge-file", challenge)
        self.assertEqual(a.stop(), 0)


if __name__ == "__main__":
    unittest.main()
