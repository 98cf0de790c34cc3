"""Microsoft Intune decides who may have a certificate and is told of each (docs/INTUNE.md): against a stand-in that behaves as
documented."""

import base64
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from elsewhere import make_ca, secret_file, wait_for
from harness import SCEPCTL, Authority, run
from intune import CLIENT, SECRET, TENANT, Intune

CHALLENGE = "MIIE" + "Aa1+/" * 600 + "=="  # an encrypted blob, longer than any challenge of ours


class IntuneCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="scepd-intune-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, True)
        cls.ca, server = make_ca(cls.dir)
        cls.intune = Intune(server)
        cls.addClassCleanup(cls.intune.close)
        cls.secret = secret_file(cls.dir, SECRET)

        def edit(text):
            hook = (f'kind = "intune"; tenant = "{TENANT}"; client_id = "{CLIENT}"; secret_file = "{cls.secret}"; '
                    f'ca_file = "{cls.ca}"; login_url = "{cls.intune.url}"; graph_url = "{cls.intune.url}"; remember = "0s";')
            return text.replace("endpoints = (", f'''webhooks = (
                {{ name = "intune"; {hook} timeout = "5s"; }},
                {{ name = "hasty"; {hook} timeout = "1s"; retries = 0; }},
                {{ name = "trusting"; {hook} wait_for_notification = false; }}
            );
            endpoints = (
                {{ path = "/intune"; authority = "demo"; template = "device"; challenge = "none"; validate = "intune"; }},
                {{ path = "/hasty"; authority = "demo"; template = "device"; challenge = "none"; validate = "hasty"; }},
                {{ path = "/trusting"; authority = "demo"; template = "device"; challenge = "none"; validate = "trusting"; }},''', 1)

        cls.a = Authority(edit=edit)
        cls.addClassCleanup(cls.a.close)
        cls.a.start()

    def setUp(self):
        self.intune.forget()
        self.work = tempfile.mkdtemp(dir=self.dir)
        self.addCleanup(lambda: self.assertEqual(self.intune.bad, []))

    def path(self, name):
        return os.path.join(self.work, name)

    def command(self, name, endpoint="/intune", *more):
        return [SCEPCTL, "client", "enrol", self.a.url + endpoint, "--subject", f"CN={name}", "--key", self.path(name + ".key"),
                "--out", self.path(name + ".pem"), "--challenge-file", "-", *more]

    def enrol(self, name, endpoint="/intune", *more, check=True):
        return run(*self.command(name, endpoint, *more), input=CHALLENGE, check=check)

    def start(self, name, endpoint="/intune", *more):
        p = subprocess.Popen(self.command(name, endpoint, *more), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        p.stdin.write(CHALLENGE)
        p.stdin.close()
        self.addCleanup(p.stderr.close)
        return p

    def der(self, name):
        return subprocess.run(["openssl", "x509", "-in", self.path(name + ".pem"), "-outform", "DER"], capture_output=True).stdout

    def explain(self, name):
        return self.a.ctl("explain", f"CN={name}", check=False).stdout

    def certificates(self, name):
        return [c for c in self.a.json("cert", "list", "--search", name) if c["subject"] == f"CN={name}"]


class Enrolment(IntuneCase):
    def test_validated_issued_notified(self):
        self.enrol("pc-1", "/intune", "--san", "DNS:pc-1.example.org")
        asked, = self.intune.validated
        csr = base64.b64decode(asked["certificateRequest"])
        self.assertIn(CHALLENGE.encode(), csr)
        told, = self.intune.notified
        der = self.der("pc-1")
        self.assertEqual(told["transactionId"], asked["transactionId"])
        self.assertEqual(told["certificateRequest"], asked["certificateRequest"])
        self.assertEqual(told["certificateThumbprint"], hashlib.sha1(der).hexdigest().upper())
        self.assertEqual(told["certificateSerialNumber"], self.certificates("pc-1")[0]["serial"])
        self.assertRegex(told["certificateExpirationDateUtc"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual((told["issuingCertificateAuthority"], told["certificateAuthority"], told["caConfiguration"]),
                         ("CN=Test CA", "demo", "/intune"))
        self.assertEqual(self.intune.failed, [])

    def test_token_and_address_are_kept(self):
        for i in range(3):
            self.enrol(f"kept-{i}")
        tokens = [c for c in self.intune.calls if c.endswith("/token")]
        self.assertLessEqual(len(tokens), 2)

    def test_handed_out_only_after_the_notice_was_taken(self):
        go = threading.Event()
        self.addCleanup(go.set)
        self.intune.success = lambda n: (go.wait(30), "Success")[1]
        p = self.start("held")
        wait_for(lambda: self.intune.notified, "the notice")
        self.assertEqual(len(self.certificates("held")), 1)  # stored
        self.assertIsNone(p.poll())                          # and not handed out
        go.set()
        self.assertEqual(p.wait(60), 0, p.stderr.read())
        self.assertEqual(self.der("held"), base64.b64decode("".join(
            self.a.ctl("cert", "export", self.certificates("held")[0]["serial"]).stdout.splitlines()[1:-1])))

    def test_pending_while_it_takes_longer(self):
        """RFC 8894 section 4.4: the device is told PENDING, and asks again."""
        go = threading.Event()
        self.addCleanup(go.set)
        self.intune.success = lambda n: "Success" if go.is_set() else (503, "")
        r = self.enrol("late", "/hasty", check=False)
        self.assertIn("PENDING", r.stderr.upper())
        self.assertFalse(os.path.exists(self.path("late.pem")))
        r = self.enrol("late", "/hasty", check=False)  # the same message again
        self.assertIn("PENDING", r.stderr.upper())
        wait_for(lambda: "taken notice" in self.explain("late"), "the history")
        p = self.start("late", "/hasty", "--wait", "60s")
        go.set()
        self.assertEqual(p.wait(90), 0, p.stderr.read())
        self.assertEqual(len(self.certificates("late")), 1)
        self.assertEqual(len(self.intune.validated), 1)

    def test_without_waiting(self):
        self.intune.success = lambda n: (503, "")
        self.enrol("trusted", "/trusting")
        wait_for(lambda: self.intune.notified, "the notice")
        self.intune.success = lambda n: "Success"
        n = len(self.intune.notified)
        wait_for(lambda: len(self.intune.notified) > n, "the notice again")

    def test_killed_before_the_notice_was_taken(self):
        """kill -9 of everything: the notice is sent after the restart, and the device gets its one certificate."""
        self.intune.success = lambda n: (503, "")
        p = self.start("killed")
        wait_for(lambda: self.certificates("killed"), "the certificate in the store")
        self.a.kill_all()
        p.wait(60)
        self.assertFalse(os.path.exists(self.path("killed.pem")))
        self.intune.forget()
        self.a.start()
        wait_for(lambda: [n for n in self.intune.notified], "the notice after the restart")
        wait_for(lambda: self.enrol("killed", check=False).returncode == 0, "the certificate")
        self.assertEqual(len(self.certificates("killed")), 1)
        self.assertEqual(self.intune.validated, [])
        self.a.ctl("store", "verify")


class Refusals(IntuneCase):
    def test_codes(self):
        """What Intune says stands in the history word for word; it is not told of its own refusal."""
        for code in ("ChallengeExpired", "SubjectNameMismatch", "ScepProfileNoLongerTargetedToTheClient", "SomethingNew"):
            with self.subTest(code=code):
                self.intune.validate = lambda request: code
                r = self.enrol("denied", check=False)
                self.assertIn("webhook.denied", r.stderr)
                wait_for(lambda: f"{code}: so it is" in self.explain("denied"), "the code in the history")
        self.assertEqual(self.certificates("denied"), [])
        self.assertEqual(self.intune.failed, [])

    def test_refusal_of_ours_is_told(self):
        self.enrol("%DeviceName%", check=False)
        told = wait_for(lambda: self.intune.failed, "the failure")[0]
        self.assertEqual(told["hResult"], 0x80094001 - (1 << 32))
        self.assertIn("subject.placeholder", told["errorDescription"])
        self.assertLessEqual(len(told["errorDescription"]), 255)
        self.assertEqual(self.intune.validated, [])

    def test_error_of_the_service_burns_nothing(self):
        for answer in ((500, ""), (503, {"error": "x"}), (200, "no json"), (200, {}), (200, {"code": ""}), (200, {"code": 1})):
            with self.subTest(answer=answer):
                self.intune.validate = lambda request: answer
                r = self.enrol("later", check=False)
                self.assertIn("503", r.stderr)
        self.assertEqual(self.certificates("later"), [])
        self.intune.validate = lambda request: "Success"
        wait_for(lambda: self.enrol("later", check=False).returncode == 0, "an enrolment, once it is not left alone any more")


class Access(IntuneCase):
    def anew(self):
        """scepd has neither token nor address."""
        n = self.a.log_text().count("event=daemon.reloaded")
        self.a.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.a.log_text().count("event=daemon.reloaded") > n, "the reload")

    def test_throttled(self):
        answers = iter([(429, "", {"Retry-After": "1"})])
        self.intune.before = lambda asked: next(answers, None) if asked.path.endswith("validateRequest") else None
        self.enrol("throttled")

    def test_token_that_has_ended(self):
        self.intune.token_life = 1
        self.anew()
        self.enrol("short-1")
        self.intune.tokens.clear()  # revoked: 401
        self.enrol("short-2")
        self.assertEqual(len(self.intune.validated), 2)

    def test_address_that_has_changed(self):
        self.enrol("moves-1")
        self.intune.fabric = "/Other/Gateway"
        self.enrol("moves-2")
        self.assertTrue(any(c.startswith("/Other/Gateway/ScepActions/validateRequest") for c in self.intune.calls))

    def test_many_at_once_ask_for_one_token(self):
        self.anew()
        started = [self.start(f"many-{i}") for i in range(8)]
        for p in started:
            self.assertEqual(p.wait(90), 0, p.stderr.read())
        self.assertLessEqual(len([c for c in self.intune.calls if c.endswith("/token")]), 2)

    def write_secret(self, secret):
        with open(self.secret, "w") as f:
            f.write(secret + "\n")

    def test_wrong_secret(self):
        """It is told in the log, without the secret."""
        self.write_secret("another one")
        self.addCleanup(self.anew)
        self.addCleanup(self.write_secret, SECRET)
        self.anew()
        r = self.enrol("secret", check=False)
        self.assertIn("503", r.stderr)
        wait_for(lambda: re.search("webhook.answer.*AADSTS7000215", self.a.log_text()), "the line")
        self.assertNotIn("another one", self.a.log_text())
        self.assertNotIn(SECRET, self.a.log_text())

    def test_service_that_is_no_https(self):
        """What Graph names is held to the same as what the configuration names."""
        self.anew()
        self.intune.before = lambda asked: (200, {"value": [{"providerName": "ScepRequestValidationFEService",
                                                             "uri": "http://127.0.0.1:1/"}]}) if "/endpoints" in asked.path else None
        r = self.enrol("plain", check=False)
        self.assertIn("503", r.stderr)
        wait_for(lambda: "not https" in self.a.log_text(), "the line")
        self.intune.before = lambda asked: None


if __name__ == "__main__":
    unittest.main()
