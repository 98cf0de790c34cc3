"""Fourteen years in the life of an authority, with the real programs under a clock that jumps: RAs are renewed, the next CA is
made, announced and takes over, the former one ends; devices notice nothing.  OpenSSL and GnuTLS judge."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from fastclock import DAY, FastClock  # noqa: E402
from harness import SCEPCTL, SCEPD, Authority, need, run  # noqa: E402


class Clock(FastClock):
    """What all programs take for the time of day: now, and so many days more."""

    def __init__(self, directory):
        super().__init__(directory)
        preload = " ".join(p for p in (os.environ.get("LD_PRELOAD", ""), self.env["LD_PRELOAD"]) if p)
        self.env["LD_PRELOAD"] = preload

    def set(self, days):
        self.ahead = days * DAY
        self.write()


class Rollover(unittest.TestCase):
    def setUp(self):
        self.a = Authority(key="p256", init_args=["--ra-pair"])
        self.a.unconfine()
        self.clock = Clock(self.a.home)

    def tearDown(self):
        if self.a.process:
            self.a.stop()
        self.a.close()

    # ---- programs under the clock ----

    def start(self):
        self.a.log = open(self.a.log_path, "ab")
        self.a.process = subprocess.Popen([SCEPD, "-c", self.a.conf], stdout=self.a.log, stderr=self.a.log,
                                          env=self.clock.env)
        self.a.wait_ready()

    def at(self, *args, **more):
        return run(*args, env=self.clock.env, **more)

    def ctl(self, *args, **more):
        return self.at(SCEPCTL, "-c", self.a.conf, *args, **more)

    def wait_for(self, what, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = what()
            if found:
                return found
            time.sleep(0.1)
        self.fail(f"it did not happen:\n{self.a.log_text()[-4000:]}")

    def wait_line(self, event, n=1):
        self.wait_for(lambda: self.a.log_text().count(f"event={event} ") >= n)

    def path(self, name):
        return os.path.join(self.a.home, name)

    def fetch(self, name, url):
        self.at("curl", "-sSf", "-o", self.path(name), self.a.url + url)
        return self.path(name)

    def getca(self):
        pem = self.at(SCEPCTL, "client", "getca", "-q", self.a.url + "/scep").stdout
        return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", pem, re.S)

    def field(self, pem, option):
        return self.at("openssl", "x509", "-noout", option, input=pem).stdout.strip()

    def enrol(self, name, *more):
        secret = self.ctl("challenge", "new", "-q").stdout
        self.at(SCEPCTL, "client", "enrol", "-q", self.a.url + "/scep", "--subject", f"CN={name}", "--key",
                self.path(f"{name}.key"), "--out", self.path(f"{name}.pem"), "--challenge-file", "-", *more, input=secret)

    def renew(self, name, *more):
        self.at(SCEPCTL, "client", "renew", "-q", self.a.url + "/scep", "--cert", self.path(f"{name}.pem"), "--key",
                self.path(f"{name}.key"), "--out", self.path(f"{name}.new"), *more)
        os.rename(self.path(f"{name}.new"), self.path(f"{name}.pem"))

    def verify(self, name, ca, crl):
        """The chain and its revocation list, by OpenSSL and by GnuTLS."""
        self.at("openssl", "crl", "-inform", "DER", "-in", crl, "-out", crl + ".pem")
        self.at("openssl", "verify", "-x509_strict", "-crl_check", "-CRLfile", crl + ".pem", "-CAfile", ca,
                self.path(f"{name}.pem"))
        with open(self.path("chain"), "w") as out:
            for part in (self.path(f"{name}.pem"), ca):
                with open(part) as f:
                    out.write(f.read())
        out = self.at("certtool", "--verify-chain", "--infile", self.path("chain")).stdout
        self.assertIn("Chain verification output: Verified", out)

    def export(self, *more):
        with open(self.path("ca-now.pem"), "w") as f:
            f.write(self.ctl("ca", "export", *more).stdout)
        return self.path("ca-now.pem")

    def generations(self):
        out = self.ctl("ca", "rollover", "status", "--json").stdout
        return {g["generation"]: g for g in map(json.loads, out.splitlines())}

    def caps(self):
        return self.at(SCEPCTL, "client", "caps", self.a.url + "/scep").stdout.split()

    def live(self, days):
        """Until then, with somebody at work two days before: a clock that leaps is not believed at once."""
        before = self.path("before")
        os.makedirs(before, exist_ok=True)
        clock = Clock(before)
        clock.set(days - 2)
        run(SCEPCTL, "-c", self.a.conf, "challenge", "new", "-q", env=clock.env)
        self.clock.set(days)

    # ---- the story ----

    def test_fourteen_years(self):
        need("certtool")
        self.start()
        self.enrol("ipad")
        first_ra = self.getca()[0]
        self.verify("ipad", self.export(), self.crl(1))

        # RAs at two thirds of their life; nobody asked
        self.live(300)
        self.renew("ipad")
        self.live(490)
        self.wait_line("ra.renewed", 2)  # the single one and the pair
        self.wait_for(lambda: self.getca()[0] != first_ra)
        self.renew("ipad")
        self.verify("ipad", self.export(), self.crl(1))

        # eight years on, months after the RAs' end: the next CA is announced
        self.live(800)
        self.wait_line("ra.renewed", 2)
        self.renew("ipad")
        self.live(3200)
        self.wait_line("ca.next")
        self.wait_for(lambda: "GetNextCACert" in self.caps())
        self.assertEqual({n: g["role"] for n, g in self.generations().items()}, {1: "current", 2: "next"})
        self.enrol("router")
        old_ca = self.export()
        os.rename(old_ca, self.path("old-ca.pem"))
        self.verify("router", self.path("old-ca.pem"), self.crl(1))
        nextca = self.at(SCEPCTL, "client", "nextca", "-q", self.a.url + "/scep").stdout
        next_pem = self.ctl("ca", "export", "--next").stdout
        self.assertTrue(nextca.startswith(next_pem))
        self.assertEqual(self.field(next_pem, "-subject"), "subject=CN = Test CA G2")
        # one that cannot wait
        self.enrol("early", "--next")
        self.verify("early", self.export("--next"), self.crl(2))
        shutil.copy(self.export("--next"), self.path("new-ca.pem"))
        shutil.copy(self.path("router.pem"), self.path("router-old.pem"))
        # each generation answers for its own, by a responder of its own, which others cannot stand in for
        self.ocsp("router-old", "old-ca", "good")
        self.ocsp("early", "new-ca", "good", "-g2")
        self.ocsp("early", "old-ca", "", wrong=True)

        # its day: renewals move over, also by the certificate of the former CA; both lists go on
        self.live(3290)
        self.wait_line("ca.activated")
        self.wait_for(lambda: "GetNextCACert" not in self.caps())
        self.assertIn(next_pem, self.getca())
        self.renew("router")
        new_ca = self.export()
        self.verify("router", new_ca, self.crl(2))
        self.ctl("cert", "revoke", "-y", self.serial("early"))
        self.wait_for(lambda: self.revoked("early", 2))
        self.ocsp("early", "new-ca", "revoked", "-g2")
        self.ocsp("router-old", "old-ca", "good")
        crl = self.at("openssl", "crl", "-inform", "DER", "-in", self.crl(1), "-noout", "-nextupdate", "-CAfile",
                      self.path("old-ca.pem"))
        self.assertIn("verify OK", crl.stderr + crl.stdout)

        # RFC 6960 section 4.2.2.2: the former one goes on answering, by its own key
        self.live(3500)
        self.renew("router")
        self.ocsp("router-old", "old-ca", "good")
        self.ocsp("router", "new-ca", "good", "-g2")

        # the former one ends; what it has signed last stays
        self.live(3660)
        self.wait_line("ca.retired")
        self.crl(1)
        self.ocsp("router-old", "old-ca", "unauthorized")
        self.ocsp("router", "new-ca", "good", "-g2")
        left = [n for n in os.listdir(self.path("authorities/demo")) if n.startswith("ocsp-")]
        self.assertLessEqual(len(left), 4) # of generation 2 alone: the one in use, and the one before
        self.renew("router")
        self.verify("router", self.export(), self.crl(2))
        self.assertEqual({n: g["role"] for n, g in self.generations().items()}, {1: "ended", 2: "current"})

        # nobody can sign another of those: it is in backups, too
        with open(self.crl(1), "rb") as f:
            last = f.read()
        self.ctl("store", "backup", self.path("ended.mdb"))
        self.assertEqual(self.a.stop(), 0)
        shutil.rmtree(self.path("store"))
        self.ctl("store", "restore", self.path("ended.mdb"), "--yes", "--expect", self.authority_name())
        self.start()
        with open(self.crl(1), "rb") as f:
            self.assertEqual(f.read(), last)
        self.ctl("store", "verify")

        # nobody is there for years, RAs end: it starts and goes on
        self.assertEqual(self.a.stop(), 0)
        self.clock.set(5200)
        self.start()
        self.enrol("printer")
        self.verify("printer", self.export(), self.crl(2))
        self.ctl("store", "verify")
        events = [json.loads(line)["event"] for line in self.ctl("audit", "list", "--limit", "0", "--json").stdout.splitlines()]
        for event in ("ca.next", "ca.activated", "ca.retired", "ra.renewed", "ra.retired", "ocsp.renewed"):
            self.assertIn(event, events)
        self.assertEqual(events.count("ca.next"), 1)

    def ocsp(self, name, ca, said, suffix="", wrong=False):
        """By the common address and by that of the generation; a responder may have to be renewed first."""
        def asked(path):
            r = self.at("openssl", "ocsp", "-issuer", self.path(ca + ".pem"), "-cert", self.path(name + ".pem"), "-CAfile",
                        self.path(ca + ".pem"), "-url", self.a.url + path, check=False)
            return said in r.stdout + r.stderr and (said == "unauthorized" or "Response verify OK" in r.stderr)
        if wrong: # nobody issued that: both hashes are of the other
            r = self.at("openssl", "ocsp", "-issuer", self.path(ca + ".pem"), "-cert", self.path(name + ".pem"), "-CAfile",
                        self.path(ca + ".pem"), "-url", self.a.url + "/ocsp", check=False)
            self.assertNotIn(": good", r.stdout)
            return
        for path in ("/ocsp", "/ocsp/" + self.authority_name() + suffix):
            self.wait_for(lambda: asked(path))

    def crl(self, generation):
        name = self.authority_name() + (f"-g{generation}" if generation > 1 else "")
        return self.fetch(f"crl-{generation}", f"/crl/{name}.crl")

    def authority_name(self):
        return next(iter(self.generations().values()))["authority"]

    def serial(self, name):
        text = self.at("openssl", "x509", "-noout", "-serial", "-in", self.path(f"{name}.pem")).stdout
        return text.strip().partition("=")[2].lower()

    def revoked(self, name, generation):
        text = self.at("openssl", "crl", "-inform", "DER", "-in", self.crl(generation), "-noout", "-text").stdout
        return self.serial(name).upper() in text

    def test_by_hand(self):
        self.start()
        before = self.ctl("ca", "rollover", "new", "--dry-run")
        self.assertIn("would make", before.stderr)
        self.assertEqual(list(self.generations()), [1])
        self.ctl("ca", "rollover", "new", "--by-hand", "--key", "p384", "--name", "Emergency CA")
        g = self.generations()
        self.assertEqual(g[2]["subject"], "CN=Emergency CA")
        self.assertNotIn("takes_over", {k: v for k, v in g[2].items() if v})
        again = self.ctl("ca", "rollover", "new", check=False)
        self.assertEqual(again.returncode, 5)
        self.assertIn("has a next CA already", again.stderr)
        self.assertNotIn("GetNextCACert", self.caps())  # not told yet
        self.a.process.send_signal(1)
        self.wait_for(lambda: "GetNextCACert" in self.caps())
        no = self.ctl("ca", "rollover", "activate", "--no-input", check=False)
        self.assertEqual(no.returncode, 2)
        name = self.authority_name()
        self.ctl("ca", "rollover", "activate", "--yes", "--expect", name)
        self.a.process.send_signal(1)
        self.wait_for(lambda: "GetNextCACert" not in self.caps())
        self.enrol("ipad")
        self.verify("ipad", self.export(), self.crl(2))
        none = self.ctl("ca", "rollover", "abort", "-y", check=False)
        self.assertEqual(none.returncode, 5)
        self.ctl("ca", "rollover", "new", "--ra")
        self.assertEqual(self.ctl("ca", "rollover", "new", "--at", "2001-01-01", check=False).returncode, 2)
        wrong = self.ctl("ca", "rollover", "nwe", check=False)
        self.assertEqual(wrong.returncode, 2)
        self.assertIn('did you mean "new"', wrong.stderr)


if __name__ == "__main__":
    unittest.main()
