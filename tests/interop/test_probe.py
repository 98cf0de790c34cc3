"""`scepctl probe` against Debian's `scep` server (micromdm's scepserver 2.1.0): it must find that server's faults, all of which
were seen to hurt real clients, and must leave nothing behind where anybody would be given a certificate."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, free_port, need, run


class ScepServer:

    def __init__(self, *args):
        self.dir = tempfile.mkdtemp(prefix="scepd-scepserver-")
        run(need("scepserver"), "ca", "-init", cwd=self.dir)
        self.url = None
        port = free_port()
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.process = subprocess.Popen(["scepserver", "-depot", "depot", "-port", str(port), *args], cwd=self.dir,
                                        stdout=self.log, stderr=self.log)
        self.url = f"http://127.0.0.1:{port}/scep"
        self.wait()

    def wait(self):
        for _ in range(500):
            try:
                urllib.request.urlopen(self.url + "?operation=GetCACaps", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise AssertionError("scepserver does not answer")

    def close(self):
        self.process.kill()
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def issued(self):
        path = os.path.join(self.dir, "depot", "index.txt")
        if not os.path.exists(path):
            return []
        with open(path) as f:
            return f.read().splitlines()


class Scepserver(unittest.TestCase):

    def start(self, *args):
        server = ScepServer(*args)
        self.addCleanup(server.close)
        return server

    def probe(self, server, *args, **more):
        r = run(SCEPCTL, "probe", server.url, "--json", *args, check=False, **more)
        self.assertEqual(r.returncode, 7, r.stderr)
        report = json.loads(r.stdout)
        return report, {c["id"]: c for c in report["checks"]}

    def expect(self, checks, **statuses):
        for name, status in statuses.items():
            check = checks[name.replace("__", ".")]
            self.assertEqual(check["status"], status, check)

    def test_its_faults(self):
        server = self.start("-challenge", "secret", "-allowrenew", "0")
        report, checks = self.probe(server, "--enrol=CN=probe,O=Test", "--challenge-file", "-", input="secret\n")
        # What is said of it: a CA that may only sign certificates, but decrypts and answers all the same.
        self.expect(checks, cacert__recipient="fail", cacert__signer="fail")
        # Answers: SHA-1, named so in signatureAlgorithm, with the client's own nonce.
        self.expect(checks, pki__signature_algorithm="fail", pki__digest="warn", pki__sender_nonce="warn")
        self.assertEqual(checks["pki.signature_algorithm"]["clients"], ["strongSwan 5.9", "strongSwan 6"])
        # Envelopes: single DES whatever was asked for, in pieces.
        self.expect(checks, pki__cipher="fail", pki__envelope="fail")
        self.assertEqual(checks["pki.envelope"]["clients"], ["PyScep", "cryptlib"])
        self.assertEqual(checks["pki.cipher"]["clients"], ["certmonger", "sscep"])
        # Requests: DES taken, OAEP not, nothing but enrolment known, '+' becomes a blank.
        self.expect(checks, alg__des="warn", alg__oaep="fail", alg__aes192="warn", alg__md5="ok", alg__ber="ok", pki__poll="warn",
                    pki__get_cert="warn", pki__get_crl="warn", get__unescaped="warn", get__base64url="warn", get__lines="ok")
        self.expect(checks, nextca__answer="warn", caps__sha384="warn", http__cache="warn", http__suffix="warn",
                    post__garbage="warn")
        # Certificates: a lost reply costs the challenge, and nobody learns of a revocation.
        self.expect(checks, enrol__answer="ok", enrol__content="ok", enrol__key="ok", enrol__again="warn",
                    enrol__revocation="warn", enrol__get_crl="warn")
        # Renewals work, but only with the challenge, which real clients do not send again.
        for name in ("enrol.renewal_17", "enrol.renewal_19"):
            self.assertEqual(checks[name]["status"], "warn", checks[name])
            self.assertIn("only with the challenge", checks[name]["value"])
        self.assertEqual({c for c, v in report["clients"].items() if v == "fails"},
                         {"Windows, Intune", "strongSwan 5.9", "strongSwan 6", "certmonger", "sscep", "PyScep", "cryptlib"})
        # Its capabilities are in order.
        self.expect(checks, caps__answer="ok", caps__case="ok", caps__lines="ok", caps__strong="ok", caps__post="ok")

    def test_nothing_is_issued(self):
        """It asks for no challenge here: whoever sends a request gets a certificate.  The probe sends none that could be."""
        server = self.start()
        report, checks = self.probe(server)
        self.expect(checks, pki__answer="ok", pki__renewal="ok", enrol__answer="skip")
        self.assertEqual(report["issued"], "")
        self.assertEqual(server.issued(), [])
        # The server would have: with --enrol, and no challenge, it does.
        report, checks = self.probe(server, "--enrol")
        self.expect(checks, enrol__answer="ok")
        self.assertNotEqual(report["issued"], "")
        self.assertNotEqual(server.issued(), [])


if __name__ == "__main__":
    unittest.main()
