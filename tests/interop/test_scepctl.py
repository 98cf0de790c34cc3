"""`scepctl client` against scepd: every operation, and the shapes of GetCACert."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, AuthorityCase, run


class ClientCase(AuthorityCase):

    def client(self, verb, endpoint, *args, challenge=None, check=True):
        more = ["--challenge-file", "-"] if challenge is not None else []
        return run(SCEPCTL, "client", verb, self.a.url + endpoint, *args, *more, input=challenge, check=check)

    def enrol(self, endpoint, name, challenge, *more, check=True):
        return self.client("enrol", endpoint, "--subject", f"CN={name}", "--key", self.path(name + ".key"), "--out",
                           self.path(name + ".pem"), *more, challenge=challenge, check=check)


class Scepctl(ClientCase):

    def test_caps(self):
        words = self.client("caps", "/scep").stdout.split()
        self.assertEqual(words, "AES DES3 POSTPKIOperation Renewal SHA-1 SHA-256 SHA-384 SHA-512 SCEPStandard".split())

    def test_getca_order(self):
        """RFC 8894 section 4.2.1.2."""
        out = self.client("getca", "/scep").stdout
        self.assertEqual(out.count("BEGIN CERTIFICATE"), 2)
        with open(self.a.ra) as ra, open(self.a.ca) as ca:
            self.assertEqual(out.split("-----BEGIN")[1:], (ra.read() + ca.read()).split("-----BEGIN")[1:])
        self.assertEqual(self.client("getca", "/scep/ca").stdout.count("BEGIN CERTIFICATE"), 1)

    def test_enrol_post_and_get(self):
        """RFC 8894 sections 2.9 and 4.1."""
        for name, more in (("post", []), ("get", ["--get"])):
            self.enrol("/scep", name, self.a.challenge(), *more)
            self.assert_good_certificate(self.path(name + ".pem"), f"CN={name}")

    def test_fingerprint(self):
        """RFC 8894 section 2.2: the CA is authenticated out of band."""
        right = run("openssl", "x509", "-in", self.a.ca, "-noout", "-fingerprint", "-sha256").stdout.strip().split("=")[1]
        self.enrol("/scep", "known", self.a.challenge(), "--fingerprint", right)
        r = self.enrol("/scep", "unknown", self.a.challenge(), "--fingerprint", "00" + right[2:], check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("another fingerprint", r.stderr)

    def test_oaep(self):
        self.enrol("/scep", "oaep", self.a.challenge(), "--oaep")
        self.assert_good_certificate(self.path("oaep.pem"), "CN=oaep")

    def test_refusals_say_why(self):
        """RFC 8894 section 3.2.1.4."""
        r = self.enrol("/scep", "nochallenge", "", check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("challenge.missing", r.stderr)
        r = self.enrol("/scep", "%ComputerName%", self.a.challenge(), check=False)
        self.assertIn("subject.placeholder", r.stderr)

    def test_renew_with_new_key(self):
        self.enrol("/scep", "ren", self.a.challenge())
        self.client("renew", "/scep", "--cert", self.path("ren.pem"), "--key", self.path("ren.key"), "--new-key",
                    self.path("new.key"), "--out", self.path("new.pem"))
        self.assert_good_certificate(self.path("new.pem"), "CN=ren")
        self.assertNotEqual(self.serial(self.path("ren.pem")), self.serial(self.path("new.pem")))

    def test_revoked_cannot_renew_and_is_on_the_crl(self):
        self.enrol("/scep", "lost", self.a.challenge())
        serial = self.serial(self.path("lost.pem"))
        self.a.ctl("cert", "revoke", serial, "--reason", "key-compromise", "--yes")
        r = self.client("renew", "/scep", "--cert", self.path("lost.pem"), "--key", self.path("lost.key"), "--out",
                        self.path("x.pem"), check=False)
        self.assertIn("renewal.signer_revoked", r.stderr)
        import time
        for _ in range(50):
            text = run("openssl", "crl", "-in", self.a.crl(), "-noout", "-text").stdout
            if serial.upper() in text:
                break
            time.sleep(0.1)
        self.assertIn(serial.upper(), text)
        self.assertIn("Key Compromise", text)

    def test_pending_poll_approve(self):
        """RFC 8894 sections 2.5.1 and 4.4."""
        r = self.enrol("/scep/manual", "slow", None, check=False)
        self.assertEqual(r.returncode, 6, r.stderr)
        waiting = [r for r in self.a.json("request", "list") if r["subject"] == "CN=slow"]
        self.a.ctl("request", "approve", waiting[0]["id"])
        self.client("poll", "/scep/manual", "--subject", "CN=slow", "--key", self.path("slow.key"), "--out",
                    self.path("slow.pem"))
        self.assert_good_certificate(self.path("slow.pem"), "CN=slow")

    def test_denied(self):
        self.enrol("/scep/manual", "denied", None, check=False)
        waiting = [r for r in self.a.json("request", "list") if r["subject"] == "CN=denied"]
        self.a.ctl("request", "deny", waiting[0]["id"], "--note", "not our device")
        r = self.client("poll", "/scep/manual", "--subject", "CN=denied", "--key", self.path("denied.key"), "--out",
                        self.path("denied.pem"), check=False)
        self.assertIn("request.denied", r.stderr)

    def test_restart_keeps_transactions(self):
        challenge = self.a.challenge()
        self.enrol("/scep", "again", challenge)
        first = self.serial(self.path("again.pem"))
        self.assertEqual(self.a.stop(), 0)
        self.a.start()
        self.enrol("/scep", "again", challenge)
        self.assertEqual(first, self.serial(self.path("again.pem")))


class ScepctlP256(Scepctl):
    """The same with an EC authority, whose RA is RSA; there is no endpoint without RA then."""

    key = "p256"

    def test_getca_order(self):
        self.assertEqual(self.client("getca", "/scep").stdout.count("BEGIN CERTIFICATE"), 2)
        self.assertNotEqual(self.client("getca", "/scep/ca", check=False).returncode, 0)


class EcDevice(ClientCase):
    """A device whose key cannot decrypt: the answer comes under its challenge (RFC 8894 section 3.1)."""

    @staticmethod
    def edit(text):
        return text.replace('challenge = "one-time";', 'challenge = "one-time"; password_recipient = true;')

    def test_ec_key(self):
        challenge = self.a.challenge()
        self.enrol("/scep", "ec", challenge, "--key-type", "p256")
        self.assert_good_certificate(self.path("ec.pem"), "CN=ec", ["Digital Signature"])
        first = self.serial(self.path("ec.pem"))
        self.enrol("/scep", "ec", challenge)  # a lost reply
        self.assertEqual(self.serial(self.path("ec.pem")), first)

    def test_ec_key_renews_with_a_challenge_of_its_own(self):
        self.enrol("/scep", "ren", self.a.challenge(), "--key-type", "p384")
        self.client("renew", "/scep", "--cert", self.path("ren.pem"), "--key", self.path("ren.key"), "--new-key",
                    self.path("new.key"), "--key-type", "p256", "--out", self.path("new.pem"), challenge="made up for this")
        self.assert_good_certificate(self.path("new.pem"), "CN=ren", ["Digital Signature"])

    def test_ec_key_without_a_challenge(self):
        r = self.enrol("/scep", "none", None, "--key-type", "p256", check=False)
        self.assertEqual(r.returncode, 2)
        self.assertIn("--challenge-file", r.stderr)

    def test_ec_key_where_it_is_not_allowed(self):
        r = self.enrol("/scep/static", "other", self.a.static_challenge(), "--key-type", "p256", check=False)
        self.assertIn("algorithm.refused", r.stderr)


if __name__ == "__main__":
    unittest.main()
