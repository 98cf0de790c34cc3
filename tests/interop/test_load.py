"""Load: 5,000 devices with one-time challenges, and the whole daemon killed twice while they enrol.

However it ends, every device has exactly one certificate, everything that was answered is stored, every challenge was
used once, and the same messages sent again bring the same certificates.

Disturbed: the signer killed again and again, the configuration reloaded and scepctl at work beside it; this one also runs
under the sanitizers.  LOAD_DEVICES says how many devices there are."""

import os
import re
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import BUILD, Authority, run

SCEPLOAD = os.path.join(BUILD, "tests", "bench", "scepload")
DEVICES = int(os.environ.get("LOAD_DEVICES", "5000"))
CONNECTIONS = 64


def values(line):
    """What scepload says in its last lines: key=value."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


class Load(unittest.TestCase):

    def setUp(self):
        self.a = Authority()
        self.addCleanup(self.a.close)

    def path(self, name):
        return os.path.join(self.a.home, name)

    def challenges(self, n):
        file = self.path("challenges")
        with open(file, "w") as f:
            f.write(self.a.ctl("challenge", "new", "--count", n, "--expires", "1d", "-q").stdout)
        return file

    def issued(self):
        with open(self.a.log_path, "rb") as f:
            return f.read().count(b"result=issued")

    def wait_for(self, what, seconds=120):
        end = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), end, "waited in vain")
            self.assertIsNone(self.load.poll(), "the load ended before it was disturbed")
            time.sleep(0.01)

    def fire(self, n, *args):
        self.load = subprocess.Popen([SCEPLOAD, "--port", str(self.a.port), "-n", str(n), "--connections",
                                      str(CONNECTIONS), "--challenges", self.challenges(n), *args],
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self.load.stdout.close)
        self.addCleanup(self.load.kill)

    def fired(self):
        out, _ = self.load.communicate(timeout=500)
        print(out, end="", flush=True)
        self.assertEqual(self.load.returncode, 0, out)
        return [values(line) for line in out.splitlines() if line.startswith("load ")]

    def assert_log_without_errors(self, killed=False):
        """`killed`: but for the ends that the test itself brought about, where the keeper outlived the daemon and told, and for
        the count of those lines that tell a second time what a device had got."""
        errors = [line for line in self.a.log_text().splitlines() if "level=error" in line or "level=warning" in line]
        self.assertEqual([line for line in errors if not (killed and ("event=signer.ended" in line and "(signal 9)" in line
                                                                      or "event=log.dropped" in line))], [])

    def assert_everybody_has_one(self, acknowledged):
        certs = self.a.json("cert", "list", "--limit", 0)
        self.assertEqual(len(certs), DEVICES)
        self.assertEqual(len({c["serial"] for c in certs}), DEVICES)
        self.assertEqual({c["subject"] for c in certs}, {f"CN=load-{i:06}" for i in range(DEVICES)})
        with open(acknowledged) as f:
            got = {tuple(line.split()) for line in f}
        self.assertEqual(got, {(c["subject"][len("CN="):], c["serial"].lower()) for c in certs})
        return certs

    def test_killed_and_started_again(self):
        self.a.start()
        start = self.path("fires")
        acknowledged = self.path("acknowledged")
        self.fire(DEVICES, "--start-file", start, "--list", acknowledged, "--again", "--retry", "100")
        self.wait_for(lambda: os.path.exists(start))
        for third in (1, 2):
            self.wait_for(lambda: self.issued() >= third * DEVICES // 3)
            self.a.kill_all()
            self.a.start()
        first, again = self.fired()
        self.assertEqual(first["issued"], str(DEVICES))
        self.assertGreater(int(first["retries"]), 0)
        self.assertEqual(again["issued"], str(DEVICES))

        certs = self.assert_everybody_has_one(acknowledged)
        challenges = self.a.json("challenge", "list", "--limit", 0)
        self.assertEqual(len(challenges), DEVICES)
        self.assertEqual({(c["state"], c["used"]) for c in challenges}, {("used", "1 of 1")})
        self.assertEqual({c["id"] for c in challenges}, {c["challenge"] for c in certs})
        self.a.ctl("store", "verify")
        run("openssl", "crl", "-in", self.a.crl(), "-noout", "-CAfile", self.a.ca)
        self.assertEqual(self.a.stop(), 0)
        self.assert_log_without_errors(killed=True)
        self.a.ctl("store", "verify")

    def signer(self):
        return int(re.findall(r"event=(?:daemon|signer)\.\w+ .*\bsigner=(\d+)", self.a.log_text())[-1])

    def disturb(self, round, killed):
        """One of each: a reload, the signer's death, scepctl as a second process of the store."""
        self.a.process.send_signal(signal.SIGHUP)
        self.a.ctl("store", "verify")
        self.a.ctl("challenge", "new", "--count", 5, "-q", "--label", f"round {round}")
        self.a.json("cert", "list", "--limit", 50)
        pid = self.signer()
        if pid not in killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        self.a.get("/crl/demo.crl")

    def test_disturbed(self):
        self.a.start()
        start, acknowledged, killed = self.path("fires"), self.path("acknowledged"), set()
        self.fire(DEVICES, "--start-file", start, "--list", acknowledged, "--retry", "100")
        self.wait_for(lambda: os.path.exists(start))
        for tenth in range(1, 9):
            self.wait_for(lambda: self.issued() >= tenth * DEVICES // 10)
            self.disturb(tenth, killed)
        (line,) = self.fired()
        self.assertEqual(line["issued"], str(DEVICES))
        self.assertGreater(len(killed), 1)
        self.assert_everybody_has_one(acknowledged)
        used = [c for c in self.a.json("challenge", "list", "--limit", 0) if c["state"] == "used"]
        self.assertEqual(len(used), DEVICES)
        code = self.a.stop()
        # what a sanitizer says of any of the processes is in their log
        said = re.search(r"(?s)(=====|\S*runtime error|WARNING: Thread).*", self.a.log_text())
        self.assertIsNone(said, said and said.group(0)[:6000])
        self.assertEqual(code, 0, self.a.log_text()[-2000:])
        self.a.ctl("store", "verify")
        self.a.ctl("audit", "verify")

    def test_cost_of_an_enrolment(self):
        """Prints server CPU per enrolment beside the floor of its cryptography; judges no time."""
        self.a.start()
        self.fire(3000, "--pid", str(self.a.process.pid))
        (line,) = self.fired()
        self.assertIn("server_cpu_us", line)
        self.assertIn("floor_us", line)
        self.assertEqual(self.a.stop(), 0)
        self.assert_log_without_errors()


if __name__ == "__main__":
    unittest.main()
