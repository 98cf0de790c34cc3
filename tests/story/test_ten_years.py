"""Ten years in the life of an authority with 200 devices, told with real programs under a clock that jumps.

It moves in from a hand-run OpenSSL CA with 50 devices, enrols 150 more, renews them every year, loses some and takes new
ones, rolls its RA every sixteen months and its CA key twice, all by itself; in the sixth year its disk dies and a backup
takes its place.  At the end every device that lives holds exactly one valid certificate, of the newest CA, and store and audit
log verify."""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from datetime import datetime

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from fastclock import DAY, YEAR, FastClock
from harness import SCEPCTL, Authority, free_port, run
from openssl_ca import OpensslCa

STEP = 60 * DAY             # how far the clock jumps
RENEW_BEFORE = 90 * DAY     # when a device renews
MOVED_IN, ENROLLED = 50, 150

LIFE = """
    ra_validity = "730d";
    rollover: { automatic = true; announce = "90d"; };
"""


def run_bytes(*args, input):
    return subprocess.run(args, input=input, capture_output=True, check=True, timeout=60).stdout.decode()


class Device:

    def __init__(self, name, directory, key):
        self.name, self.key = name, key
        self.cert = os.path.join(directory, name + ".pem")
        self.lives = True
        self.end = 0  # of its certificate, Unix seconds


class MovedIn(Authority):
    """A home that `scepctl init --from` made."""

    def __init__(self, source, env):
        self.env, self.process = env, None
        self.home = tempfile.mkdtemp(prefix="scepd-story-")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.conf = os.path.join(self.home, "scepd.conf")
        self.log_path = os.path.join(self.home, "log")
        run(SCEPCTL, "init", "--home", self.home, "--from", source, "--url", self.url, "--port", self.port, "--api-port", "0", env=env)
        with open(self.conf) as f:
            text = f.read()
        text = text.replace("    issuer_url =", LIFE + "    issuer_url =", 1).replace('renew_before = "60d"', 'renew_before = "90d"')
        assert LIFE in text and 'renew_before = "90d"' in text, text
        with open(self.conf, "w") as f:
            f.write(text)
        self.unconfine()
        self.ctl("config", "check")


class TenYears(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="scepd-story-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, True)
        cls.clock = FastClock(cls.dir)
        cls.random = random.Random(8894)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    # ---- devices ----

    def new_key(self):
        """A key of its own for every device: two must never share one."""
        name = self.path(f"{len(self.devices)}-{self.random.getrandbits(48):x}.key")
        run("openssl", "genrsa", "-out", name, "2048")
        return name

    def new_device(self, name):
        d = Device(name, self.dir, self.new_key())
        self.devices.append(d)
        return d

    def living(self):
        return [d for d in self.devices if d.lives]

    def enrol_anew(self, d):
        """A device that starts over makes a new key."""
        d.key = self.new_key()
        self.enrol(d)
        self.assert_valid(d)

    def enrol(self, d):
        challenge = self.a.ctl("challenge", "new", "--subject", f"CN={d.name}", "-q").stdout
        run(SCEPCTL, "client", "enrol", self.a.url + "/scep", "--subject", f"CN={d.name}", "--key", d.key, "--out", d.cert,
            "--challenge-file", "-", input=challenge, env=self.clock.env)
        self.note_end(d)

    def renew(self, d, check=True):
        """Every tenth time with a new key, as devices do that can."""
        new_key = self.new_key() if self.random.random() < 0.1 else None
        r = run(SCEPCTL, "client", "renew", self.a.url + "/scep", "--cert", d.cert, "--key", d.key, "--out", d.cert,
                *(["--new-key", new_key] if new_key else []), check=check, env=self.clock.env)
        if r.returncode == 0:
            d.key = new_key or d.key
            self.note_end(d)
        return r

    def note_end(self, d):
        text = run("openssl", "x509", "-in", d.cert, "-noout", "-enddate", "-dateopt", "iso_8601").stdout
        d.end = self.seconds(text.strip().split("=")[1].replace(" ", "T"))

    def serial(self, d):
        return run("openssl", "x509", "-in", d.cert, "-noout", "-serial").stdout.strip().split("=")[1].lower()

    def lose(self, d):
        """Stolen: revoked, and from then on it is refused."""
        self.a.ctl("cert", "revoke", self.serial(d), "--reason", "key-compromise", "--yes")
        d.lives = False
        r = self.renew(d, check=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("renewal.signer_revoked", r.stdout + r.stderr)

    # ---- the authority ----

    def generations(self):
        return self.a.json("ca", "show")

    def seconds(self, text):
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

    def settled(self):
        """Whatever was due by now is done: the authority's next step lies ahead, and every list is in force."""
        now = self.clock.now()
        for g in self.generations():
            if "next_step_at" in g and self.seconds(g["next_step_at"]) <= now:
                return False
            if g["role"] in ("current", "former") and self.seconds(g.get("crl_next_update", "1970-01-01T00:00:00Z")) <= now:
                return False
        return self.announced() == self.served()

    def announced(self):
        """The certificate of the current CA, as the files say."""
        return self.a.ctl("ca", "export").stdout

    def served(self):
        """The same, as the daemon hands it out."""
        with urllib.request.urlopen(self.a.url + "/scep?operation=GetCACert", timeout=10) as r:
            der, kind = r.read(), r.headers["Content-Type"]
        if kind == "application/x-x509-ca-cert":
            return run_bytes("openssl", "x509", "-inform", "DER", "-outform", "PEM", input=der)
        pem = run_bytes("openssl", "pkcs7", "-inform", "DER", "-print_certs", input=der)
        certs = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", pem, re.S)
        return certs[-1]  # RAs first, the CA last

    def jump(self, seconds):
        self.clock.jump(seconds)
        end = time.monotonic() + 90
        while not self.settled():
            self.assertIsNone(self.a.process.poll(), self.a.log_text()[-3000:])
            self.assertLess(time.monotonic(), end, f"{self.clock.date()}: not settled\n{self.a.log_text()[-3000:]}")
            time.sleep(0.2)

    def trust(self):
        """What devices and relying parties are given: the CA certificates of all generations in force."""
        with open(self.path("authorities.pem"), "w") as f:
            for g in self.generations():
                if g["role"] in ("current", "former"):
                    f.write(self.a.ctl("ca", "export", "--generation", str(g["generation"])).stdout)
        return self.path("authorities.pem")

    def assert_valid(self, d):
        run("openssl", "verify", "-x509_strict", "-attime", str(int(self.clock.now())), "-CAfile", self.trusted, d.cert)

    # ---- the chapters ----

    def tell(self, what):
        roles = ", ".join(f"CA {g['generation']} {g['role']}" for g in self.generations())
        print(f"{self.clock.date():%Y-%m-%d}: {what}; {roles}", flush=True)

    def move_in(self):
        """Fifty devices of a CA that somebody ran by hand, three of them revoked."""
        old = OpensslCa(self.path("old-ca"), "Example Device CA", 5, self.clock.env)
        for i in range(MOVED_IN):
            d = self.new_device(f"old-{i:03}")
            old.issue(d.name, d.key, d.cert, days=120 + 5 * i)
            self.note_end(d)
        for d in self.devices[:3]:
            old.revoke(d.cert, "keyCompromise")
            d.lives = False
        old.crl()
        self.a = MovedIn(old.dir, self.clock.env)
        self.addCleanup(self.a.close)
        self.a.start()
        for d in self.devices[:3]:
            self.assertIn("renewal.signer_revoked", self.refusal(d))
        self.assertEqual(len(self.a.json("cert", "list", "--state", "revoked", "--limit", "0")), 3)

    def refusal(self, d):
        r = self.renew(d, check=False)
        self.assertNotEqual(r.returncode, 0)
        return r.stdout + r.stderr

    def a_month_and_a_half(self):
        """The clock jumps; whoever is due renews, under whichever CA is current then."""
        self.jump(STEP)
        self.trusted = self.trust()
        for d in self.living():
            if d.end - self.clock.now() < RENEW_BEFORE:
                self.renew(d)
                self.assert_valid(d)
                self.renewals += 1

    def a_year_of_changes(self, year):
        """Four devices are stolen, four come."""
        for d in self.random.sample(self.living(), 4):
            self.lose(d)
        for i in range(4):
            d = self.new_device(f"new-{year}-{i}")
            self.enrol(d)
            self.assert_valid(d)

    def disk_dies(self):
        """The store is gone, with what happened since the backup: who renewed meanwhile is a stranger, and comes again."""
        backup = self.path("backup.mdb")
        self.a.ctl("store", "backup", backup)
        unlucky = self.random.sample(self.living(), 5)
        for d in unlucky:
            self.a.ctl("cert", "revoke", self.serial(d), "--reason", "superseded", "--yes")
            self.enrol_anew(d)
        crl_before = max(row["number"] for row in self.a.json("crl", "show"))
        self.a.kill_all()
        store = os.path.join(self.a.home, "store")
        shutil.rmtree(store)
        self.a.ctl("store", "restore", backup, "--yes", "--expect", "main")
        self.a.ctl("store", "verify")
        self.a.ctl("audit", "verify")
        self.a.start()
        self.jump(60)
        self.assertGreater(max(row["number"] for row in self.a.json("crl", "show")), crl_before)
        for d in unlucky:
            self.assertIn("renewal.signer_unknown", self.refusal(d))
            for c in self.a.json("cert", "list", "--search", f"CN={d.name}", "--state", "active"):
                self.a.ctl("cert", "revoke", c["serial"], "--reason", "superseded", "--yes")
            self.enrol_anew(d)

    def test_ten_years(self):
        self.devices, self.renewals = [], 0
        self.move_in()
        for i in range(ENROLLED):
            self.enrol(self.new_device(f"device-{i:03}"))
        self.tell("all enrolled")
        steps = 10 * YEAR // STEP
        self.trusted = self.trust()
        for step in range(1, steps + 1):
            self.a_month_and_a_half()
            if step % 6 == 0:
                self.a_year_of_changes(step // 6)
                self.tell(f"{len(self.living())} devices, {self.renewals} renewals")
            if step == 33:
                self.disk_dies()
        self.at_the_end()

    def at_the_end(self):
        generations = {g["generation"]: g for g in self.generations()}
        (current,) = [g for g in generations.values() if g["role"] == "current"]
        self.assertEqual(current["generation"], 3, "the CA key was rolled twice")
        self.assertEqual(self.served(), self.announced())
        events = [e["event"] for e in self.a.json("audit", "list", "--limit", "0")]
        self.assertEqual(events.count("ca.activated"), 2)
        self.assertGreaterEqual(events.count("ra.renewed"), 2)
        self.assertEqual(len(self.living()), MOVED_IN + ENROLLED - 3)

        now = self.clock.now()
        valid = {}
        for c in self.a.json("cert", "list", "--state", "active", "--limit", "0"):
            if self.seconds(c["not_after"]) > now and not c.get("renewed_by"):
                valid.setdefault(c["subject"], []).append(c)
        for d in self.living():
            self.assertEqual([c["serial"].lower() for c in valid.pop(f"CN={d.name}")], [self.serial(d)])
        self.assertEqual(valid, {}, "certificates of nobody")
        with open(self.path("newest.pem"), "w") as f:
            f.write(self.announced())
        for d in self.living():
            run("openssl", "verify", "-x509_strict", "-attime", str(int(now)), "-CAfile", self.path("newest.pem"), d.cert)
        self.a.ctl("store", "verify")
        self.a.ctl("audit", "verify")
        self.assertEqual(self.a.stop(), 0)
        self.a.ctl("store", "verify")
        print(f"{len(self.devices)} devices, {self.renewals} renewals, {len(events)} audit entries")


if __name__ == "__main__":
    unittest.main()
