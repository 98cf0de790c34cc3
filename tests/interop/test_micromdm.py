"""Debian's `scep` package (micromdm's scepclient 2.1.0): SHA-1, single DES, base64url by GET, hence the legacy endpoint."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import AuthorityCase, need, run


class Micromdm(AuthorityCase):

    def enrol(self, endpoint, name, challenge, check=True):
        # It keeps csr.pem and self.pem beside the key and uses them again for whatever comes next.
        work = self.path("work-" + name)
        os.makedirs(work, exist_ok=True)
        return run(need("scepclient"), "-server-url", self.a.url + endpoint, "-cn", name, "-challenge", challenge,
                   "-private-key", os.path.join(work, "key.pem"), "-certificate", os.path.join(work, "cert.pem"), "-organization",
                   "Test", check=check)

    def test_enrol_then_renew(self):
        self.enrol("/scep/legacy", "mdm", self.a.challenge())
        self.assert_good_certificate(self.path("work-mdm/cert.pem"), "CN=mdm")
        first = self.serial(self.path("work-mdm/cert.pem"))
        # With a certificate there it sends a RenewalReq signed by it, and writes nothing: look into the store.
        self.enrol("/scep/legacy", "mdm", "")
        serials = [c["serial"] for c in self.a.json("cert", "list", "--search", "CN=mdm")]
        self.assertEqual(len(serials), 2)
        self.assertIn(first, serials)

    def test_wrong_and_used_challenge(self):
        self.assertNotEqual(self.enrol("/scep/legacy", "bad", "no-such-challenge", check=False).returncode, 0)
        challenge = self.a.challenge()
        self.enrol("/scep/legacy", "one", challenge)
        self.assertNotEqual(self.enrol("/scep/legacy", "two", challenge, check=False).returncode, 0)
        self.assertIn("reason=challenge.used", self.a.log_text())

    def test_other_endpoints_refuse_des(self):
        challenge = self.a.challenge()
        self.assertNotEqual(self.enrol("/scep", "modern", challenge, check=False).returncode, 0)
        self.assertIn("reason=algorithm.refused", self.a.log_text())
        # Nothing was burnt: the challenge still serves.
        self.enrol("/scep/legacy", "modern2", challenge)


if __name__ == "__main__":
    unittest.main()
