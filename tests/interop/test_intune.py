"""Microsoft Intune decides who may have a certificate and is told of each (docs/INTUNE.md): against a stand-in that behaves as
documented."""

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from elsewhere import make_ca, secret_file, wait_for
from harness import SCEPCTL, Authority, free_port, run
from intune import CLIENT, OTHER_TENANT, SECRET, TENANT, Intune

CHALLENGE = "MIIE" + "Aa1+/" * 600 + "=="  # an encrypted blob, longer than any challenge of ours


class IntuneCase(unittest.TestCase):
    MORE = ""  # of the webhook "intune"

    @classmethod
    def credential(cls):
        return f'secret_file = "{cls.secret}";'

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="scepd-intune-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, True)
        cls.ca, server = make_ca(cls.dir)
        cls.intune = Intune(server)
        cls.addClassCleanup(cls.intune.close)
        cls.secret = secret_file(cls.dir, SECRET)

        def edit(text):
            hook = (f'kind = "intune"; client_id = "{CLIENT}"; {cls.credential()} '
                    f'ca_file = "{cls.ca}"; login_url = "{cls.intune.url}"; graph_url = "{cls.intune.url}"; remember = "0s";')
            return text.replace("endpoints = (", f'''webhooks = (
                {{ name = "intune"; tenant = "{TENANT}"; {hook} timeout = "5s"; {cls.MORE} }},
                {{ name = "hasty"; tenant = "{TENANT}"; {hook} timeout = "1s"; retries = 0; }},
                {{ name = "trusting"; tenant = "{TENANT.upper()}"; {hook} wait_for_notification = false; }},
                {{ name = "other"; tenant = "{OTHER_TENANT}"; {hook} }}
            );
            endpoints = (
                {{ path = "/intune"; authority = "demo"; template = "device"; challenge = "none"; validate = "intune"; }},
                {{ path = "/hasty"; authority = "demo"; template = "device"; challenge = "none"; validate = "hasty"; }},
                {{ path = "/trusting"; authority = "demo"; template = "device"; challenge = "none"; validate = "trusting"; }},
                {{ path = "/other"; authority = "demo"; template = "device"; challenge = "none"; validate = "other"; }},''', 1)

        cls.admin = free_port()
        cls.a = Authority(init_args=("--admin-port", cls.admin), edit=edit)
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


class Certificate(IntuneCase):
    """The application signs in with a certificate instead of a secret."""

    @classmethod
    def make(cls, name, *kind, days=30):
        path = os.path.join(cls.dir, name)
        run("openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-keyout", path + ".key", "-out", path + ".pem", "-subj",
            "/CN=scepd at Intune", "-days", str(days))
        os.chmod(path + ".key", 0o600)
        return path

    @classmethod
    def credential(cls):
        cls.pair = cls.make("application", "rsa:2048")
        cls.intune.certificate = cls.pair + ".pem"
        return f'certificate_file = "{cls.pair}.pem"; key_file = "{cls.pair}.key";'

    def reload(self, *events):
        n = sum(self.a.log_text().count("event=" + e) for e in events)
        self.a.process.send_signal(signal.SIGHUP)
        wait_for(lambda: sum(self.a.log_text().count("event=" + e) for e in events) > n, "the reload")

    def put(self, pair, key=None):
        for source, target in ((pair + ".pem", self.pair + ".pem"), ((key or pair) + ".key", self.pair + ".key")):
            shutil.copyfile(source, target)

    def test_it_signs_in(self):
        self.enrol("by-certificate")
        self.assertEqual(len(self.certificates("by-certificate")), 1)
        self.assertGreaterEqual(len(self.intune.jtis), 2)
        self.assertEqual(len(set(self.intune.jtis)), len(self.intune.jtis))

    def test_another_certificate(self):
        """Replaced and reloaded: it signs in with the new one.  What Entra does not know gets no token, and that is told."""
        old, new, unknown = self.make("old", "rsa:2048"), self.make("new", "rsa:3072"), self.make("unknown", "rsa:2048")
        self.put(old)
        self.reload("daemon.reloaded")
        self.enrol("old-certificate")
        self.put(new)
        self.reload("daemon.reloaded")
        self.enrol("new-certificate")
        self.intune.certificate = unknown + ".pem"
        self.reload("daemon.reloaded")
        self.assertIn("503", self.enrol("unknown-certificate", check=False).stderr)
        wait_for(lambda: re.search("webhook.answer.*AADSTS700027: signature, x5t", self.a.log_text()), "the line")
        self.intune.certificate = self.pair + ".pem"

    def test_its_end_is_watched(self):
        short = self.make("short", "rsa:2048", days=9)
        ends = lambda: [c["status"] for c in json.loads(self.a.ctl("status", "--json", check=False).stdout)["checks"] if c["name"] == "credential_expiry"]
        self.addCleanup(self.reload, "daemon.reloaded")
        self.addCleanup(self.put, self.make("long-again", "rsa:2048"))
        self.assertNotIn("event=webhook.credential", self.a.log_text())
        self.put(short)
        self.reload("daemon.reloaded")
        self.assertEqual(ends(), ["pass"])  # of so short a life a quarter
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=30) as r:
            end = int(re.search(r'^scepd_webhook_certificate_not_after_timestamp_seconds\{webhook="intune"\} (\d+)$', r.read().decode(), re.M)[1])
        self.assertLess(abs(end - time.time() - 9 * 86400), 3600)
        ended = self.make("ended", "rsa:2048")
        run("openssl", "x509", "-in", ended + ".pem", "-signkey", ended + ".key", "-days", "-1", "-out", ended + ".pem")
        self.put(ended)
        self.reload("daemon.reloaded")
        self.assertEqual(ends(), ["fail"])
        self.assertRegex(self.a.log_text(), "level=warning event=webhook.credential .*webhook=intune")

    def test_what_is_no_credential(self):
        """The old one stays in use."""
        good, other, ec = self.make("good", "rsa:2048"), self.make("other", "rsa:2048"), \
            self.make("ec", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        self.put(good)
        self.reload("daemon.reloaded")
        for why, spoil in {"is not the key of the certificate": lambda: self.put(good, other), "is no RSA key": lambda: self.put(ec),
                           "may be used by others": lambda: os.chmod(self.pair + ".key", 0o644),
                           "no certificate": lambda: shutil.copyfile(good + ".key", self.pair + ".pem")}.items():
            with self.subTest(why):
                spoil()
                self.reload("daemon.reload_failed", "daemon.reloaded")
                self.assertRegex(self.a.log_text(), f"daemon.reload_failed.*{why}")
                self.put(good)
                os.chmod(self.pair + ".key", 0o600)
        self.reload("daemon.reloaded")
        self.enrol("still-good")


class QueueCase(IntuneCase):
    def issue(self, name, endpoint="/intune"):
        self.enrol(name, endpoint)
        return self.certificates(name)[0]["serial"]

    def state(self, serial):
        return self.a.json("cert", "show", serial)[0]["state"]

    def answer_to(self, *contexts):
        """What is reported of each, once."""
        wait_for(lambda: all(self.intune.said_of(c) for c in contexts), "the report")
        said = [self.intune.said_of(c) for c in contexts]
        self.assertEqual([len(s) for s in said], [1] * len(said))
        return [(s[0]["succeeded"], s[0]["errorCode"]) for s in said]

    def check_of_status(self):
        said = json.loads(self.a.ctl("status", "--json", check=False).stdout)
        return [c["status"] for c in said["checks"] if c["name"] == "revocations"][0]

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=30) as r:
            return int(re.search(rf"^{re.escape(name)} (\d+)$", r.read().decode(), re.M)[1])

    def counted(self, result):
        return self.metric(f'scepd_intune_revocations_total{{result="{result}"}}')

    def failures(self):
        return self.metric("scepd_intune_queue_failures_total")

    def entries(self, serial):
        return [e for e in self.a.json("audit", "list", "--limit", "1000") if e["object"] == serial and e["event"] == "certificate.revoked"]

    def configure(self, old, new):
        with open(self.a.conf) as f:
            text = f.read()
        self.assertIn(old, text)
        with open(self.a.conf, "w") as f:
            f.write(text.replace(old, new))
        n = self.a.log_text().count("event=daemon.reloaded")
        self.a.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.a.log_text().count("event=daemon.reloaded") > n, "the reload")


class Revocations(QueueCase):
    """Certificates that Intune wants revoked."""
    MORE = 'revocations = "1s";'

    def test_revoked_then_reported(self):
        serial, before = self.issue("gone"), self.counted("revoked")
        revoked = []
        self.intune.taken = lambda answer: (revoked.append(self.state(serial)), (200, answer))[1]
        self.assertEqual(self.answer_to(self.intune.wants_revoked(serial, "CN=Test CA")), [(True, "0")])
        self.assertEqual(revoked, ["revoked"])  # before it was reported
        self.assertEqual(self.counted("revoked"), before + 1)
        entry, = self.entries(serial)
        self.assertEqual(entry["actor"], "intune")
        self.assertIn("reason=cessation note: Intune wants it revoked", entry["text"])
        self.a.ctl("crl", "publish")
        wait_for(lambda: f"Serial Number: {serial.upper()}" in run("openssl", "crl", "-noout", "-text", "-in", self.a.crl()).stdout,
                 "the CRL")

    def test_ways_to_write_it(self):
        a, b, c, d = (self.issue(f"way-{i}") for i in range(4))
        colons = ":".join(b[i:i + 2] for i in range(0, len(b), 2))
        contexts = [self.intune.wants_revoked(a.upper(), "CN=Test CA"), self.intune.wants_revoked(colons, "CN=Test CA"),
                    self.intune.wants_revoked("0000" + c, "CN=Test CA"), self.intune.wants_revoked(d, None)]
        self.assertEqual(self.answer_to(*contexts), [(True, "0")] * 4)
        self.assertEqual([self.state(s) for s in (a, b, c, d)], ["revoked"] * 4)

    def test_known_already(self):
        """A success without a second entry; of a certificate on hold a revocation."""
        before, held, twice = self.issue("before"), self.issue("held-back"), self.issue("twice")
        self.a.ctl("cert", "revoke", before, "--reason", "keyCompromise", "--yes")
        self.a.ctl("cert", "revoke", held, "--reason", "certificateHold", "--yes")
        contexts = [self.intune.wants_revoked(s, "CN=Test CA") for s in (before, held, twice, twice)]
        self.assertEqual(self.answer_to(*contexts), [(True, "0")] * 4)
        self.assertEqual(self.state(held), "revoked")
        self.assertEqual([len(self.entries(s)) for s in (before, held, twice)], [1, 2, 1])

    def test_what_is_not_ours(self):
        """Another authority's is left to it; what cannot be done is told, and why."""
        mine = self.issue("mine")
        foreign = [self.intune.wants_revoked(mine, "CN=Another CA"), self.intune.wants_revoked("cd" * 16, None),
                   self.intune.wants_revoked("1234567890", "")]
        answers = self.answer_to(self.intune.wants_revoked("ab" * 16, "CN=Test CA"),
                                 self.intune.wants_revoked("no serial", "CN=Test CA"), self.intune.wants_revoked("", "CN=Test CA"))
        self.assertEqual(answers, [(False, "4004"), (False, "4002"), (False, "4002")])
        self.assertEqual(self.state(mine), "active")
        self.assertEqual([self.intune.said_of(c) for c in foreign], [[], [], []])

    def test_of_another_webhook_of_the_tenant(self):
        """There is one queue, whichever webhook looks into it."""
        serials = [self.issue("there", "/trusting"), self.issue("hasty-there", "/hasty")]
        self.assertEqual(self.answer_to(*(self.intune.wants_revoked(s, "CN=Test CA") for s in serials)), [(True, "0")] * 2)
        self.assertEqual([self.state(s) for s in serials], ["revoked"] * 2)

    def stands(self, serial, why):
        """It is not revoked, Intune is not told that it is not there, and somebody is warned until it is revoked by hand."""
        contexts = [self.intune.wants_revoked(serial, issuer) for issuer in ("CN=Test CA", None)]
        self.answer_to(self.intune.wants_revoked("ab" * 16, "CN=Test CA"))  # asked for after it
        self.assertEqual((self.state(serial), [self.intune.said_of(c) for c in contexts]), ("active", [[], []]))
        wait_for(lambda: self.check_of_status() == "warn", "the warning")
        self.assertRegex(self.a.log_text(), f"level=warning event=intune.not_revoked .*serial={serial} .*{why}")
        self.a.ctl("cert", "revoke", serial, "--reason", "cessationOfOperation", "--yes")
        self.assertEqual(self.answer_to(*contexts), [(True, "0")] * 2)
        wait_for(lambda: self.check_of_status() == "pass", "the end of the warning")

    def lines(self, what):
        return sum(1 for line in self.a.log_text().splitlines() if "event=intune.not_revoked" in line and what in line)

    def test_said_once(self):
        """It is given out at each look, and warned of once; many at a time are summed up."""
        serial, before = self.issue("again-and-again", "/other"), self.counted("elsewhere")
        self.intune.wants_revoked(serial, "CN=Test CA")
        wait_for(lambda: self.counted("elsewhere") >= before + 4, "four looks")
        self.assertEqual(self.lines(f"serial={serial} "), 1)
        self.a.ctl("cert", "revoke", serial, "--reason", "cessationOfOperation", "--yes")
        contexts = [self.intune.wants_revoked(f"bbbb{i:04x}", "CN=Test CA") for i in range(200)]
        self.assertEqual(self.answer_to(*contexts), [(False, "4004")] * 200)
        wait_for(lambda: self.lines(" more that Intune wants revoked"), "the sum")
        self.assertLess(self.lines("serial=00bbbb"), 100)
        self.assertGreaterEqual(self.lines("serial=00bbbb"), 16)

    def test_of_another_tenant(self):
        self.stands(self.issue("of-others", "/other"), "it was issued at /other")

    def test_of_an_endpoint_that_has_another_name_now(self):
        serial = self.issue("renamed", "/trusting")
        self.configure('"/trusting"', '"/trusted"')
        self.addCleanup(self.configure, '"/trusted"', '"/trusting"')
        self.stands(serial, "it was issued at /trusting")

    def test_as_many_as_before_after_too_many(self):
        """Fewer are asked for when the answer is too long, and as many again when it is not any more."""
        asked, full = [], (200, "x" * 900_000)

        def note(request):
            if request.path.endswith("downloadRevocationRequests"):
                asked.append(json.loads(request.body)["downloadParameters"]["maxRequests"])
                return full if asked[-1] > 100 and len(asked) < 20 else None
        self.intune.before = note
        wait_for(lambda: 62 in asked, "fewer")
        asked += [0] * 20
        wait_for(lambda: 500 in asked[20:], "as many as before")

    def test_faults_on_the_way(self):
        """Throttling, an error, a token that is none any more, another address: it is done later."""
        def at_first(answer):
            answers = iter([answer])
            self.intune.before = lambda asked: next(answers, None) if "Revocation" in asked.path else None
        faults = {"throttled": lambda: at_first((429, "", {"Retry-After": "1"})), "error": lambda: at_first((503, "")),
                  "broken": lambda: at_first(None), "token": self.intune.tokens.clear,
                  "moved": lambda: setattr(self.intune, "connector", "/Moved/Connector")}
        for name, fault in faults.items():
            with self.subTest(name):
                serial = self.issue("fault-" + name)
                fault()
                self.assertEqual(self.answer_to(self.intune.wants_revoked(serial, "CN=Test CA")), [(True, "0")])

    def test_killed_before_it_was_reported(self):
        serial = self.issue("killed-here")
        self.intune.taken = lambda answer: (503, "")
        context = self.intune.wants_revoked(serial, "CN=Test CA")
        wait_for(lambda: self.state(serial) == "revoked", "the revocation")
        self.a.kill_all()
        self.assertEqual(self.intune.said_of(context), [])
        self.intune.taken = lambda answer: (200, answer)
        self.a.start()
        self.assertEqual(self.answer_to(context), [(True, "0")])
        self.assertEqual(len(self.entries(serial)), 1)
        self.a.ctl("store", "verify")

    def test_report_not_taken(self):
        for name, answer in {"false": (200, {"value": False}), "none": (200, "no json"), "bad": (400, {"error": "x"})}.items():
            with self.subTest(name):
                answers = iter([answer, answer])
                self.intune.taken = lambda good: next(answers, (200, good))
                context = self.intune.wants_revoked(self.issue("reported-" + name), "CN=Test CA")
                self.assertEqual(self.answer_to(context), [(True, "0")])
                self.assertRegex(self.a.log_text(), "intune.queue_failed.*cannot be reported")

    def test_hostile_answers(self):
        """Nothing of them is believed, nothing dies, and it is told when it goes on for long."""
        serial = self.issue("safe")
        item = {"requestContext": "c", "serialNumber": serial, "issuerName": "CN=Test CA"}
        whole = [(200, "x" * 900_000), (200, {"value": [{**item, "requestContext": "x" * 900_000}]}), (200, "[" * 100_000), (200, []),
                 (200, {}), (200, {"value": {}}), (200, {"value": None}), (200, {"value": [item] * 501}), (302, "", {"Location": self.intune.url}),
                 (200, '{"value": [], "value": []}'), (200, b'{"value": ["\xff"]}'), (200, '{"value": [{"requestContext": "\\u0000"}]}')]
        for answer in whole:
            before = []  # how many there were when it was asked: those before it are counted by then
            self.intune.given = lambda good: (before.append(self.failures()), answer)[1]
            wait_for(lambda: before and self.failures() > before[0], f"a failure for {str(answer)[:60]}")
        self.assertEqual(self.state(serial), "active")
        self.assertEqual(self.check_of_status(), "warn")
        items = [1, None, "x", [], {}, {"requestContext": 1}, {"requestContext": ""}, {**item, "serialNumber": 7},
                 {**item, "requestContext": "d", "issuerName": ["CN=Test CA"], "serialNumber": "ff" * 400}, {**item, "requestContext": "c"}]
        self.intune.given = lambda good: (200, {"value": items})
        wait_for(lambda: self.intune.said_of("c"), "the one of them that can be reported")
        self.assertEqual({(r["requestContext"], r["errorCode"]) for r in self.intune.reported}, {("c", "4002")})
        self.assertEqual(self.state(serial), "active")
        self.intune.given = lambda good: (200, good)
        self.assertEqual(self.answer_to(self.intune.wants_revoked(serial, "CN=Test CA")), [(True, "0")])
        wait_for(lambda: self.check_of_status() == "pass", "the end of the warning")


class Seldom(QueueCase):
    """What happens before the time of the next look, which no test waits for."""
    MORE = 'revocations = "24h";'

    def again(self):
        """It looks at the start."""
        self.a.kill_all()
        self.a.start()

    def looks(self):
        return len([c for c in self.intune.calls if c.endswith("downloadRevocationRequests")])

    def test_more_than_one_batch(self):
        """What there is beyond maxRequests is fetched at once, not at the next time."""
        serial = self.issue("last")
        contexts = [self.intune.wants_revoked(f"{i:032x}", "CN=Test CA") for i in range(1, 620)]
        contexts.append(self.intune.wants_revoked(serial, "CN=Test CA"))
        self.again()
        self.assertEqual(self.answer_to(*contexts), [(False, "4004")] * 619 + [(True, "0")])

    def test_the_same_for_ever(self):
        """A service that takes the report and gives the same again is left alone until the next time."""
        full = [{"requestContext": f"c{i}", "serialNumber": f"{i:032x}", "issuerName": "CN=Test CA"} for i in range(1, 501)]
        self.intune.given = lambda good: (200, {"value": full})
        begin = len(self.a.log_text())
        self.again()
        wait_for(lambda: re.search("event=intune.queue .*more=no", self.a.log_text()[begin:]), "an end of it")
        wait_for(lambda: len(self.intune.reported) == 500 * self.looks(), "the last report")
        self.assertEqual(self.looks(), 10)

    def test_time_made_shorter(self):
        """It counts from the reload, not from the end of the day before it."""
        self.again()
        wait_for(lambda: self.looks() == 1, "the look at the start")
        self.addCleanup(self.configure, 'revocations = "1s"', 'revocations = "24h"')
        self.configure('revocations = "24h"', 'revocations = "1s"')
        wait_for(lambda: self.looks() > 1, "the look after the reload")

    def test_off_and_on(self):
        """Then it is new, and looked at."""
        self.again()
        wait_for(lambda: self.looks() == 1, "the look at the start")

        def off_and_on():  # again, since it may not have been seen that it was off
            self.configure('revocations = "24h"', 'revocations = "0s"')
            self.configure('revocations = "0s"', 'revocations = "24h"')
            return self.looks() > 1
        wait_for(off_and_on, "the look after it was on again")

    def test_failing_one_is_removed(self):
        """The warning was its own, and another that is looked at seldom ends it."""
        self.again()
        wait_for(lambda: self.looks() == 1, "the look at the start")
        self.intune.before = lambda asked: (503, "") if OTHER_TENANT in asked.path else None
        tenant = f'tenant = "{OTHER_TENANT}";'
        self.configure(tenant, tenant + ' revocations = "1s";')
        wait_for(lambda: self.check_of_status() == "warn", "the warning")
        self.configure(tenant + ' revocations = "1s";', tenant)
        wait_for(lambda: self.check_of_status() == "pass", "the end of the warning")


if __name__ == "__main__":
    unittest.main()
