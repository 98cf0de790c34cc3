"""A fleet from its file to its end: devices are imported with a policy and a challenge for each, all of them enrol through the
daemon while it is killed in the middle, and each ends with exactly one certificate, which belongs to it.  Then the policy is
taken from them: nothing is renewed, what was issued is revoked, what was open is void.

FLEET_DEVICES=50000 for the long form; it prints its figures."""

import csv
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "faults"))
from campaign import SCEPLOAD, Supervisor, kill
from harness import SCEPCTL, Authority, run

DEVICES = int(os.environ.get("FLEET_DEVICES", "300"))
CONNECTIONS = 32
SPARE = 5  # devices with a challenge that never come
KILLS = 2
PATIENCE = 300 + DEVICES // 10  # seconds for anything


class Campaign(unittest.TestCase):
    def setUp(self):
        self.a = Authority(key="p256")
        self.addCleanup(self.a.close)
        self.dir = tempfile.TemporaryDirectory(prefix="scepd-fleet-")
        self.addCleanup(self.dir.cleanup)
        self.figures = {"devices": DEVICES}

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def timed(self, name, *args):
        began = time.monotonic()
        r = self.a.ctl(*args, timeout=PATIENCE)
        self.figures[name + "_s"] = round(time.monotonic() - began, 1)
        return r

    # ---- chapters ----

    def imported(self):
        """The names are those that the load generator gives its devices."""
        with open(self.path("fleet.csv"), "w") as f:
            f.write("name,platform,groups\n")
            for i in range(DEVICES + SPARE):
                f.write(f"load-{i:06d},linux,everybody\n")
        self.a.ctl("policy", "new", "corp", "--subject", "CN=%devicename%", "--endpoint", "/scep", "--expires", "1d")
        self.a.ctl("group", "new", "everybody")
        self.a.ctl("policy", "assign", "corp", "everybody")
        self.timed("import", "device", "import", self.path("fleet.csv"), "--policy", "corp", "--challenges", self.path("list.csv"))
        with open(self.path("list.csv"), newline="") as f:
            rows = list(csv.DictReader(f))
        self.assertEqual([r["name"] for r in rows], [f"load-{i:06d}" for i in range(DEVICES + SPARE)])
        self.ids = {r["subject"]: r["device"] for r in rows}
        self.challenges = [r["challenge"] for r in rows]

    def one_by_hand(self):
        """One of the spare ones enrols by itself, to renew later."""
        self.hand = self.path("hand")
        subject = f"CN=load-{DEVICES:06d}"
        run(SCEPCTL, "client", "enrol", self.a.url + "/scep", "--subject", subject, "--key", self.hand + ".key", "--out",
            self.hand + ".pem", "--challenge-file", "-", input=self.challenges[DEVICES])
        self.assertEqual(self.renew(), 0)

    def renew(self):
        return run(SCEPCTL, "client", "renew", self.a.url + "/scep", "--cert", self.hand + ".pem", "--key", self.hand + ".key",
                   "--new-key", self.path(f"n{time.monotonic_ns()}.key"), "--out", self.path("n.pem"), check=False).returncode

    def answers(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.a.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.fail("nothing listens")

    def enrolled(self):
        """All at once, and the daemon dies twice meanwhile."""
        with open(self.path("challenges"), "w") as f:
            f.write("".join(c + "\n" for c in self.challenges[:DEVICES]))
        acks, ready = self.path("acks"), self.path("ready")
        supervisor = Supervisor(self.a, dict(os.environ))
        self.addCleanup(supervisor.close)
        self.answers()
        load = subprocess.Popen(
            [SCEPLOAD, "--port", str(self.a.port), "-n", str(DEVICES), "--connections", str(CONNECTIONS), "--challenges",
             self.path("challenges"), "--acks", acks, "--start-file", ready, "--retry", "300"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(lambda: load.poll() is None and load.kill())
        said = []  # read as it comes, so that no pipe is full
        reader = threading.Thread(target=lambda: said.append(load.communicate()[0]))
        reader.start()
        end = time.monotonic() + PATIENCE
        began = None
        for n in range(1, KILLS + 1):
            while load.poll() is None and time.monotonic() < end:
                began = began or (os.path.exists(ready) and time.monotonic())
                if os.path.exists(acks) and os.path.getsize(acks) >= len("load-000000\n") * DEVICES * n // (KILLS + 2):
                    break
                time.sleep(0.01)
            self.assertIsNone(load.poll(), said)
            self.assertTrue(kill(supervisor.process.pid))
        reader.join(PATIENCE)
        self.figures["enrol_s"] = round(time.monotonic() - began, 1)
        self.assertEqual(load.returncode, 0, said)
        self.assertIn(f"issued={DEVICES} ", said[0].replace("\n", " \n"))
        self.assertEqual(len(supervisor.ends), KILLS)
        self.assertEqual(supervisor.stop(), 0)

    def certificates(self, *args):
        r = run(SCEPCTL, "-c", self.a.conf, "cert", "list", "--limit", "0", "--policy", "corp", "--json", *args, timeout=PATIENCE)
        return [json.loads(line) for line in r.stdout.splitlines()]

    def each_has_its_own(self):
        held = {}
        for cert in self.certificates("--state", "active"):
            held.setdefault(cert["subject"], []).append(cert["device"])
        wrong = {s: d for s, d in held.items() if d != [self.ids.get(s)]}
        self.assertEqual(wrong, {})
        self.assertEqual(len(held), DEVICES + 1)
        self.a.ctl("store", "verify", timeout=PATIENCE)
        self.a.ctl("audit", "verify", timeout=PATIENCE)

    def taken_away(self):
        loses = str(DEVICES + SPARE)
        plan = self.timed("plan", "policy", "unassign", "corp", "everybody", "--dry-run", "--expect", loses, "--yes").stderr
        self.assertIn(f"{loses} devices would lose the policy", plan)
        self.assertIn(f"{SPARE - 1} challenges void", plan)
        self.timed("unassign", "policy", "unassign", "corp", "everybody", "--yes", "--expect", loses)
        self.assertEqual({c["state"] for c in self.certificates()}, {"revoked"})
        self.assertEqual(self.a.ctl("challenge", "list", "--state", "active", "--ids").stdout, "")
        self.a.start()
        self.assertNotEqual(self.renew(), 0)
        late = run(SCEPCTL, "client", "enrol", self.a.url + "/scep", "--subject", f"CN=load-{DEVICES + 1:06d}", "--key",
                   self.path("late.key"), "--out", self.path("late.pem"), "--challenge-file", "-",
                   input=self.challenges[DEVICES + 1], check=False)
        self.assertNotEqual(late.returncode, 0)
        self.a.stop()
        who = run(SCEPCTL, "-c", self.a.conf, "device", "history", f"load-{DEVICES:06d}", "--json")
        refused = [e for e in map(json.loads, who.stdout.splitlines()) if e["result"] == "refused"]
        self.assertEqual([e["reason"] for e in refused], ["renewal.signer_revoked"])
        self.a.ctl("store", "verify", timeout=PATIENCE)
        self.a.ctl("audit", "verify", timeout=PATIENCE)

    def test_a_fleet(self):
        self.imported()
        self.a.start()
        self.one_by_hand()
        self.a.stop()
        self.enrolled()
        self.each_has_its_own()
        self.taken_away()
        print(" ".join(f"{k}={v}" for k, v in self.figures.items()))


if __name__ == "__main__":
    unittest.main()
