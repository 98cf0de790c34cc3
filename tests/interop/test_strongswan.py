"""strongSwan's `pki --scep` and `pki --scepca`, unmodified from Debian."""

import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import AuthorityCase, need, run


class StrongSwan(AuthorityCase):
    def ca_files(self, endpoint="/scep"):
        """GetCACaps and GetCACert through the client; (CA, RA or None) as PEM files."""
        run(need("pki"), "--scepca", "--url", self.a.url + endpoint, "--caout", self.path("ca.pem"), "--raout",
            self.path("ra.pem"), "--outform", "pem", "--force")
        ra = self.path("ra.pem")
        return self.path("ca.pem"), ra if os.path.exists(ra) else None

    def enrol(self, endpoint, key, dn, *more, check=True, timeout=60):
        ca, ra = self.ca_files(endpoint)
        with open(key) as stdin:
            r = subprocess.run(
                ["pki", "--scep", "--url", self.a.url + endpoint, "--dn", dn, "--cacert-enc", ra or ca, "--cacert-sig",
                 ra or ca, *(["--cacert", ca] if ra else []), "--outform", "pem", *more],
                stdin=stdin, capture_output=True, timeout=timeout)
        out = self.path("cert-%d.pem" % time.monotonic_ns())
        with open(out, "wb") as f:
            f.write(r.stdout)
        if check and r.returncode != 0:
            raise AssertionError(r.stderr.decode() + self.a.log_text()[-2000:])
        return r, out

    def test_enrol_with_one_time_challenge(self):
        r, pem = self.enrol("/scep", self.make_key(), "C=CH, O=strongSwan, CN=moon", "--password", self.a.challenge())
        self.assert_good_certificate(pem, "CN=moon")

    def test_san_is_kept(self):
        r, pem = self.enrol("/scep", self.make_key(), "CN=sun", "--san", "sun.example.org", "--password", self.a.challenge())
        self.assertIn("DNS:sun.example.org", self.assert_good_certificate(pem, "CN=sun"))

    def test_static_challenge(self):
        r, pem = self.enrol("/scep/static", self.make_key(), "CN=venus", "--password", self.a.static_challenge())
        self.assert_good_certificate(pem, "CN=venus")

    def test_ca_alone_without_ra(self):
        ca, ra = self.ca_files("/scep/ca")
        self.assertIsNone(ra)
        r, pem = self.enrol("/scep/ca", self.make_key(), "CN=mars", "--password", self.a.challenge())
        self.assert_good_certificate(pem, "CN=mars")

    def test_every_digest_and_cipher(self):
        for digest in ("sha1", "sha256", "sha384", "sha512"):
            for cipher in ("aes", "des3"):
                with self.subTest(digest=digest, cipher=cipher):
                    r, pem = self.enrol("/scep", self.make_key(), f"CN={digest}-{cipher}", "--digest", digest, "--cipher",
                                        cipher, "--password", self.a.challenge())
                    self.assert_good_certificate(pem, f"CN={digest}-{cipher}")

    def test_wrong_and_used_challenge(self):
        r, _ = self.enrol("/scep", self.make_key(), "CN=wrong", "--password", "7QK4-M2XH-9RTD-VN3A", check=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn(b"badRequest", r.stderr)
        password = self.a.challenge()
        self.enrol("/scep", self.make_key("k1"), "CN=first", "--password", password)
        r, _ = self.enrol("/scep", self.make_key("k2"), "CN=second", "--password", password, check=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("reason=challenge.used", self.a.log_text())

    def test_same_request_again_gives_the_same_certificate(self):
        key, password = self.make_key(), self.a.challenge()
        _, one = self.enrol("/scep", key, "CN=again", "--password", password)
        _, two = self.enrol("/scep", key, "CN=again", "--password", password)
        self.assertEqual(self.serial(one), self.serial(two))

    def test_pending_then_approved(self):
        key = self.make_key()
        ca, ra = self.ca_files("/scep/manual")
        with open(key) as stdin, open(self.path("out.pem"), "wb") as out:
            p = subprocess.Popen(
                ["pki", "--scep", "--url", self.a.url + "/scep/manual", "--dn", "CN=patient", "--cacert-enc", ra, "--cacert-sig",
                 ra, "--cacert", ca, "--interval", "1", "--maxpolltime", "60", "--outform", "pem"],
                stdin=stdin, stdout=out, stderr=subprocess.PIPE)
        try:
            for _ in range(100):
                waiting = [r for r in self.a.json("request", "list") if r["subject"] == "CN=patient"]
                if waiting:
                    break
                time.sleep(0.1)
            self.assertEqual(len(waiting), 1)
            self.a.ctl("request", "approve", waiting[0]["id"])
            self.assertEqual(p.wait(30), 0, p.stderr.read())
        finally:
            p.kill()
            p.stderr.close()
        self.assert_good_certificate(self.path("out.pem"), "CN=patient")

    def test_renewal_needs_no_challenge(self):
        old = self.make_key("old.pem")
        _, cert = self.enrol("/scep", old, "CN=renewer", "--password", self.a.challenge())
        self.a.ctl("cert", "list")
        r, new = self.enrol("/scep", self.make_key("new.pem"), "CN=renewer", "--cert", cert, "--key", old)
        self.assert_good_certificate(new, "CN=renewer")
        self.assertNotEqual(self.serial(cert), self.serial(new))



if __name__ == "__main__":
    unittest.main()
