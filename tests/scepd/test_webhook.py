"""Webhooks that decide (docs/WEBHOOKS.md): what they are asked, what their answers mean, and what happens without one."""

import base64
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from elsewhere import Elsewhere, make_ca, secret_file, signature_good, wait_for
from harness import SCEPCTL, SCEPD, Authority, free_port, run
from shapes import TYPE, Device

SECRET = "a secret of many characters"
OLD_SECRET = "the one before, also long"


class WebhookCase(unittest.TestCase):
    """An authority with endpoints that ask; each test sets `self.answer`."""

    confinement = None

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="scepd-webhook-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, True)
        cls.ca, server = make_ca(cls.dir)
        cls.elsewhere = Elsewhere(lambda asked: (500, "not told"), tls=server)
        cls.addClassCleanup(cls.elsewhere.close)
        cls.dead = socket.socket()  # a port where nobody is, and that nobody else takes
        cls.addClassCleanup(cls.dead.close)
        cls.dead.bind(("127.0.0.1", 0))
        secret = secret_file(cls.dir, SECRET, OLD_SECRET)

        def edit(text):
            hook = (f'url = "{cls.elsewhere.url}/hook?key=1"; secret_file = "{secret}"; ca_file = "{cls.ca}"; timeout = "5s"; '
                    'remember = "0s";')
            return text.replace("endpoints = (", f'''webhooks = (
                {{ name = "inventory"; {hook} }},
                {{ name = "keeper"; {hook.replace('"0s"', '"10m"').replace('"5s"', '"60s"')} pass_challenge = true; }},
                {{ name = "strict"; {hook} retries = 0; on_failure = "refuse"; }},
                {{ name = "stranger"; url = "{cls.elsewhere.url}/hook"; retries = 0; }},
                {{ name = "mdm"; kind = "notify"; {hook.replace("/hook?key=1", "/mdm").replace('remember = "0s";', '')} retries = 0; }},
                {{ name = "log"; kind = "notify"; {hook.replace("/hook?key=1", "/log").replace('remember = "0s";', '')} retries = 0; }},
                {{ name = "slow"; {hook.replace('timeout = "5s"', 'timeout = "60s"')} }},
                {{ name = "lame"; {hook.replace('timeout = "5s"', 'timeout = "20s"')} }},
                {{ name = "down"; url = "http://127.0.0.1:{cls.dead.getsockname()[1]}/"; retries = 0; timeout = "2s"; }}
            );
            endpoints = (
                {{ path = "/asked"; authority = "demo"; template = "device"; challenge = "none"; validate = "inventory"; }},
                {{ path = "/both"; authority = "demo"; template = "device"; challenge = "one-time"; validate = "keeper"; }},
                {{ path = "/strict"; authority = "demo"; template = "device"; challenge = "none"; validate = "strict"; }},
                {{ path = "/stranger"; authority = "demo"; template = "device"; challenge = "none"; validate = "stranger"; }},
                {{ path = "/down"; authority = "demo"; template = "device"; challenge = "none"; validate = "down"; }},
                {{ path = "/told"; authority = "demo"; template = "device"; challenge = "one-time"; notify = ["mdm", "log"]; }},
                {{ path = "/lame"; authority = "demo"; template = "device"; challenge = "none"; validate = "lame"; }},
                {{ path = "/replaces"; authority = "demo"; template = "device"; challenge = "none"; notify = ["mdm"]; validate = "inventory";
                   duplicates = "replace"; }},
                {{ path = "/slow"; authority = "demo"; template = "device"; challenge = "none"; validate = "slow"; }},
                {{ path = "/waits"; authority = "demo"; template = "device"; challenge = "none"; approval = "manual";
                   validate = "inventory"; }},''', 1)

        cls.a = Authority(init_args=("--admin-port", free_port()), edit=edit)
        cls.addClassCleanup(cls.a.close)
        cls.a.start()

    def setUp(self):
        self.elsewhere.forget()
        self.elsewhere.answer = lambda asked: (200, {"allow": True})
        self.work = tempfile.mkdtemp(dir=self.dir)

    def enrol(self, endpoint, name, *more, challenge=None, check=True, wait=None):
        secret = ["--challenge-file", "-"] if challenge is not None else []
        return run(SCEPCTL, "client", "enrol", self.a.url + endpoint, "--subject", f"CN={name},O=Example", "--key",
                   os.path.join(self.work, name + ".key"), "--out", os.path.join(self.work, name + ".pem"), *secret, *more,
                   input=challenge, check=check)

    def explain(self, name):
        return self.a.ctl("explain", name, check=False).stdout

    def issued(self, name):
        return [c for c in self.a.json("cert", "list", "--search", name) if f"CN={name}" in c["subject"]]


class Validate(WebhookCase):

    def test_question(self):
        """What it is asked, signed under both secrets; the challenge is in none of it."""
        challenge = self.a.challenge()
        self.enrol("/asked", "asked-1", "--san", "DNS:asked-1.example.org", challenge=challenge)
        asked, = self.elsewhere.took(event="validate")
        q = asked.json
        self.assertEqual((q["endpoint"], q["authority"], q["template"], q["renewal"]), ("/asked", "demo", "device", False))
        self.assertEqual((q["subject"], q["san"]), ("CN=asked-1,O=Example", "DNS:asked-1.example.org"))
        self.assertEqual((q["peer"], q["key"], q["agent"]), ("127.0.0.1", "RSA-2048", "scepctl"))
        self.assertRegex(q["id"], r"^evt_[0-9a-f]{32}$")
        self.assertRegex(q["at"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertTrue(q["transaction"])
        self.assertEqual(asked.path, "/hook?key=1")
        self.assertTrue(signature_good(asked, SECRET))
        self.assertTrue(signature_good(asked, OLD_SECRET))
        self.assertFalse(signature_good(asked, "another secret, long too"))
        csr = base64.b64decode(q["csr"], validate=True)
        self.assertNotIn(challenge.encode(), csr)
        self.assertNotIn(challenge.encode(), asked.body)
        text = subprocess.run(["openssl", "req", "-inform", "DER", "-noout", "-text"], input=csr, capture_output=True).stdout
        self.assertIn(b"asked-1", text)
        self.assertEqual(len(self.issued("asked-1")), 1)

    def test_challenge_is_passed_on_where_it_is_wanted(self):
        challenge = self.a.challenge("--endpoint", "/both")
        self.enrol("/both", "both-1", challenge=challenge)
        q = self.elsewhere.took(event="validate")[0].json
        self.assertEqual(q["challenge"], challenge)
        self.assertIn(challenge.encode(), base64.b64decode(q["csr"]))
        self.assertRegex(q["challenge_id"], "^chl_")

    def test_wrong_challenge_asks_nobody(self):
        r = self.enrol("/both", "both-2", challenge="WRONG-WRONG", check=False)
        self.assertIn("challenge.unknown", r.stderr)
        self.assertEqual(self.elsewhere.asked, [])

    def test_denied(self):
        """The other side's words stand in the history, clean and cut; the device gets the reason without them."""
        words = "not in the inventory\x1b[31m\u202e" + "x" * 1000
        self.elsewhere.answer = lambda asked: (200, {"allow": False, "reason": words})
        challenge = self.a.challenge("--endpoint", "/both")
        r = self.enrol("/both", "denied-1", challenge=challenge, check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("webhook.denied", r.stderr)
        self.assertNotIn("inventory", r.stderr)
        told = wait_for(lambda: re.search(r"webhook.denied.*", self.explain("CN=denied-1,O=Example"), re.S), "the history").group()
        self.assertIn("not in the inventory\\x1b[31m", told)
        self.assertNotIn("\x1b", told)
        # nothing is burnt: the same challenge still does
        self.elsewhere.answer = lambda asked: (200, {"allow": True})
        self.enrol("/both", "denied-2", challenge=challenge)

    def test_remembered(self):
        """A device that sends its request again is not asked about again, as long as the answer holds."""
        self.elsewhere.answer = lambda asked: (200, {"allow": False, "reason": "no"})
        challenge = self.a.challenge("--endpoint", "/both")
        for _ in range(3):
            self.enrol("/both", "again", challenge=challenge, check=False)
        self.assertEqual(len(self.elsewhere.took(event="validate")), 1)
        other = self.a.challenge("--endpoint", "/both")
        self.enrol("/both", "again", challenge=other, check=False)
        self.assertEqual(len(self.elsewhere.took(event="validate")), 2)

    def test_renewal_is_asked_about(self):
        self.enrol("/asked", "renews")
        self.elsewhere.answer = lambda asked: (200, {"allow": not asked.json["renewal"], "reason": "left the company"})
        r = run(SCEPCTL, "client", "renew", self.a.url + "/asked", "--cert", os.path.join(self.work, "renews.pem"), "--key",
                os.path.join(self.work, "renews.key"), "--out", os.path.join(self.work, "x.pem"), check=False)
        self.assertIn("webhook.denied", r.stderr)

    def test_lost_reply_is_repeated_without_a_question(self):
        self.enrol("/asked", "lost")
        self.elsewhere.answer = lambda asked: (200, {"allow": False, "reason": "not again"})
        self.enrol("/asked", "lost")
        self.assertEqual(len(self.elsewhere.took(event="validate")), 1)
        self.assertEqual(len(self.issued("lost")), 1)

    def test_before_approval(self):
        self.elsewhere.answer = lambda asked: (200, {"allow": False, "reason": "no"})
        r = self.enrol("/waits", "waits-1", check=False)
        self.assertIn("webhook.denied", r.stderr)
        self.elsewhere.answer = lambda asked: (200, {"allow": True})
        r = self.enrol("/waits", "waits-2", check=False)
        self.assertIn("PENDING", r.stderr.upper())
        request, = [q for q in self.a.json("request", "list") if "waits-2" in q["subject"]]
        self.a.ctl("request", "approve", request["id"])
        self.elsewhere.answer = lambda asked: (200, {"allow": False, "reason": "an administrator has the last word"})
        self.enrol("/waits", "waits-2", "--wait", "5s")
        self.assertEqual(len(self.issued("waits-2")), 1)


class NoAnswer(WebhookCase):

    def setUp(self):
        super().setUp()  # another test's failures are over: the webhook is not left alone any more
        wait_for(lambda: self.enrol("/asked", "healthy", check=False).returncode == 0, "the webhook to be asked again")
        self.elsewhere.forget()

    def unanswered(self, answer, endpoint="/asked"):
        self.elsewhere.answer = answer
        r = self.enrol(endpoint, "unanswered", check=False)
        self.assertEqual(r.returncode, 1, r.stdout)
        self.assertEqual(self.issued("unanswered"), [])
        return r.stderr

    def test_odd_answers(self):
        """None of them is an allowance."""
        odd = ["", "yes", "{}", '{"allow": "true"}', '{"allow": 1}', '{"allow": null}', '[true]', '{"allow": true, "allow": true}',
               '{"allow": true', '{"ALLOW": true}', '{"allow": true}' + " " * 300000, b"\xff\xfe\x00", "null", '"allow"']
        for body in odd:
            with self.subTest(body=body[:40]):
                self.assertIn("503", self.unanswered(lambda asked, body=body: (200, body)))
        for status in (201, 204, 301, 302, 400, 401, 403, 404):
            with self.subTest(status=status):
                self.assertIn("503", self.unanswered(
                    lambda asked, status=status: (status, {"allow": True}, {"Location": self.elsewhere.url + "/other"})))
        self.assertNotIn("/other", [a.path for a in self.elsewhere.asked])

    def test_tries_again(self):
        """What failed on its way is tried again, within the time there is."""
        tries = iter([(503, "", {"Retry-After": "1"}), (500, ""), (200, {"allow": True})])
        self.elsewhere.answer = lambda asked: next(tries)
        self.enrol("/asked", "third-time")
        asked = self.elsewhere.took(event="validate")
        self.assertEqual(len(asked), 3)
        self.assertEqual(len({a.json["id"] for a in asked}), 1)
        self.assertGreaterEqual(asked[1].at - asked[0].at, 1)

    def test_refuse_on_failure(self):
        self.assertIn("webhook.unreachable", self.unanswered(lambda asked: (404, ""), "/strict"))

    def test_certificate_of_a_stranger(self):
        """No ca_file: the CA of this server is not among those of the system."""
        self.assertIn("503", self.unanswered(lambda asked: (200, {"allow": True}), "/stranger"))
        self.assertEqual(self.elsewhere.asked, [])
        self.assertIn("certificate", wait_for(lambda: re.search("webhook.answer.*stranger.*", self.a.log_text()), "the line").group())

    def test_nobody_there_then_left_alone_then_back(self):
        def left_alone():
            self.assertIn("503", self.enrol("/down", "down", check=False).stderr)
            return re.search(r"event=webhook\.answer.*webhook=down.*result=away", self.a.log_text())
        wait_for(left_alone, "the webhook to be left alone", 300)
        self.assertRegex(self.a.log_text(), r"event=webhook\.answer.*webhook=down.*result=unreachable")
        status = self.a.ctl("status", check=False).stdout
        self.assertRegex(status, r'"down" has not answered \d+ times')
        back = Elsewhere(lambda asked: (200, {"allow": True}), held=self.dead)
        self.addCleanup(back.close)
        wait_for(lambda: self.enrol("/down", "down", check=False).returncode == 0, "the webhook to be asked again", 300)

    def test_slow(self):
        """Its time-out ends it; meanwhile nobody else waits, however many workers there are."""
        go = threading.Event()
        self.addCleanup(go.set)
        self.elsewhere.answer = lambda asked: (go.wait(90), (200, {"allow": True}))[1]
        for i in range(8):  # so that nothing lasts but the answer
            run("openssl", "genrsa", "-out", os.path.join(self.work, f"slow-{i}.key"), "2048")
        slow = [subprocess.Popen([SCEPCTL, "client", "enrol", self.a.url + "/lame", "--subject", f"CN=slow-{i}", "--key",
                                  os.path.join(self.work, f"slow-{i}.key"), "--out", os.path.join(self.work, f"slow-{i}.pem")],
                                 stderr=subprocess.PIPE, text=True) for i in range(8)]
        wait_for(lambda: len({a.json["id"] for a in self.elsewhere.took(event="validate")}) == 8, "eight questions")
        self.enrol("/scep", "quick", challenge=self.a.challenge())
        self.assertTrue(all(p.poll() is None for p in slow))
        for p in slow:
            self.assertIn("503", p.communicate(timeout=60)[1])


class Notify(WebhookCase):
    def told(self, where, **members):
        return [a.json for a in self.elsewhere.took(**members) if a.path == where]

    def test_issued_renewed_refused(self):
        challenge = self.a.challenge("--endpoint", "/told")
        self.enrol("/told", "told-1", "--san", "DNS:told-1.example.org", challenge=challenge)
        run(SCEPCTL, "client", "renew", self.a.url + "/told", "--cert", os.path.join(self.work, "told-1.pem"), "--key",
            os.path.join(self.work, "told-1.key"), "--new-key", os.path.join(self.work, "new.key"), "--out",
            os.path.join(self.work, "new.pem"))
        self.enrol("/told", "told-2", challenge=challenge, check=False)
        for where in ("/mdm", "/log"):
            issued, = wait_for(lambda: self.told(where, event="issued"), "the notice")
            der = subprocess.run(["openssl", "x509", "-in", os.path.join(self.work, "told-1.pem"), "-outform", "DER"],
                                 capture_output=True).stdout
            self.assertEqual(base64.b64decode(issued["certificate"]), der)
            self.assertEqual(issued["sha256"], hashlib.sha256(der).hexdigest())
            self.assertEqual((issued["subject"], issued["san"], issued["issuer"]),
                             ("CN=told-1,O=Example", "DNS:told-1.example.org", "CN=Test CA"))
            self.assertRegex(issued["challenge_id"], "^chl_")
            renewed, = wait_for(lambda: self.told(where, event="renewed"), "the notice of the renewal")
            self.assertTrue(renewed["renewal"])
            refused, = wait_for(lambda: self.told(where, event="refused"), "the notice of the refusal")
            self.assertEqual((refused["reason"], refused["subject"]), ("challenge.used", "CN=told-2,O=Example"))
            self.assertNotIn("certificate", refused)
        self.assertTrue(all(signature_good(a, SECRET) for a in self.elsewhere.asked))
        self.assertFalse([a for a in self.elsewhere.asked if challenge.encode() in a.body])

    def test_again_until_taken_and_in_order(self):
        self.elsewhere.answer = lambda asked: (503, "") if asked.path == "/mdm" else (204, "")
        self.enrol("/told", "order", challenge=self.a.challenge("--endpoint", "/told"))
        run(SCEPCTL, "client", "renew", self.a.url + "/told", "--cert", os.path.join(self.work, "order.pem"), "--key",
            os.path.join(self.work, "order.key"), "--out", os.path.join(self.work, "renewed.pem"))
        wait_for(lambda: len(self.told("/log")) == 2, "both notices where they are taken")
        wait_for(lambda: len(self.told("/mdm")) >= 2, "the first one again")
        self.assertEqual({n["event"] for n in self.told("/mdm")}, {"issued"})
        self.elsewhere.answer = lambda asked: (200, "")
        wait_for(lambda: self.told("/mdm", event="renewed"), "the second one")
        self.assertEqual(len({n["id"] for n in self.told("/mdm")}), 2)

    def events(self, where, name):
        """Those about a subject, in the order in which they came first."""
        seen = {n["id"]: n for n in self.told(where) if n["subject"] == f"CN={name},O=Example"}
        return list(seen.values())

    def test_revocations(self):
        """Made by another process: hold, release and revocation are told within seconds, in their order."""
        self.enrol("/told", "gone", challenge=self.a.challenge("--endpoint", "/told"))
        serial = self.issued("gone")[0]["serial"]
        for verb in (("revoke", "--reason", "certificateHold"), ("release",), ("revoke", "--reason", "keyCompromise")):
            self.a.ctl("cert", verb[0], serial, *verb[1:], "--yes")
        der = subprocess.run(["openssl", "x509", "-in", os.path.join(self.work, "gone.pem"), "-outform", "DER"],
                             capture_output=True).stdout
        for where in ("/mdm", "/log"):
            wait_for(lambda: len(self.events(where, "gone")) == 4, "the notices")
            issued, held, released, revoked = self.events(where, "gone")
            self.assertEqual([n["event"] for n in (issued, held, released, revoked)], ["issued", "held", "released", "revoked"])
            self.assertEqual([n["reason"] for n in (held, released, revoked)], ["certificateHold", "removeFromCRL", "keyCompromise"])
            self.assertEqual(revoked["sha256"], hashlib.sha256(der).hexdigest())
            for member in ("serial", "issuer", "not_after", "not_before", "endpoint", "authority", "template", "key", "transaction",
                           "challenge_id", "san"):
                self.assertEqual(revoked[member], issued[member], member)
            self.assertNotIn("certificate", revoked)
            self.assertRegex(revoked["at"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertTrue(all(signature_good(a, SECRET) for a in self.elsewhere.asked))

    def make_key(self, name):
        run("openssl", "genrsa", "-out", self.path(name), "2048")
        return self.path(name)

    def path(self, name):
        return os.path.join(self.work, name)

    def test_one_subject_however_it_is_written(self):
        """A request with a PrintableString is about what its certificate, with a UTF8String, is about."""
        self.elsewhere.answer = lambda asked: (503, "") if asked.path == "/mdm" else (204, "")
        challenge = self.a.challenge("--endpoint", "/told")
        for _ in range(2):  # the second one is refused: the challenge is used
            device = Device(self, "old-way", challenge=challenge, subject=["CN = old-way", "O = Example"], strings="default")
            with open(device.csr, "rb") as f:
                self.assertIn(b"\x13\x07old-way", f.read())
            url = self.a.url + "/told?operation=PKIOperation"
            with urllib.request.urlopen(urllib.request.Request(url, device.message(), {"Content-Type": TYPE}), timeout=60) as r:
                self.assertEqual(r.status, 200)
        wait_for(lambda: self.told("/log", event="refused"), "the notice of the refusal")
        self.a.ctl("cert", "revoke", self.issued("old-way")[0]["serial"], "--yes")
        order = ["issued", "refused", "revoked"]
        wait_for(lambda: [n["event"] for n in self.events("/log", "old-way")] == order, "the notices where they are taken")
        wait_for(lambda: len(self.told("/mdm")) >= 2, "the first one again")
        self.assertEqual({n["event"] for n in self.told("/mdm")}, {"issued"})
        self.elsewhere.answer = lambda asked: (200, "")
        wait_for(lambda: [n["event"] for n in self.events("/mdm", "old-way")] == order, "the notices in their order")

    def test_revocations_at_other_endpoints(self):
        """Whoever tells nobody of its certificates tells nobody of their revocations."""
        for endpoint, name in (("/asked", "quiet"), ("/told", "loud")):
            self.enrol(endpoint, name, challenge=self.a.challenge("--endpoint", endpoint))
            self.a.ctl("cert", "revoke", self.issued(name)[0]["serial"], "--yes")
        wait_for(lambda: len(self.events("/mdm", "loud")) == 2, "the notices")
        self.assertEqual(self.events("/mdm", "quiet"), [])

    def test_revoked_while_scepd_is_down(self):
        self.enrol("/told", "meanwhile", challenge=self.a.challenge("--endpoint", "/told"))
        wait_for(lambda: self.events("/log", "meanwhile") and self.events("/mdm", "meanwhile"), "the notices")
        self.a.kill_all()
        self.a.ctl("cert", "revoke", self.issued("meanwhile")[0]["serial"], "--yes")
        self.a.ctl("store", "verify")
        self.a.start()
        for where in ("/mdm", "/log"):
            wait_for(lambda: [n["event"] for n in self.events(where, "meanwhile")] == ["issued", "revoked"], "the notice")

    def test_replaced(self):
        """By the daemon itself: what gives way to a new certificate of its subject."""
        for _ in range(2):
            os.path.exists(os.path.join(self.work, "twice.key")) and os.unlink(os.path.join(self.work, "twice.key"))
            self.enrol("/replaces", "twice")
        wait_for(lambda: len(self.events("/mdm", "twice")) == 3, "the notices")
        first, revoked, second = self.events("/mdm", "twice")
        self.assertEqual([n["event"] for n in (first, revoked, second)], ["issued", "revoked", "issued"])
        self.assertEqual((revoked["serial"], revoked["reason"]), (first["serial"], "superseded"))

    def test_not_lost_by_a_kill(self):
        self.elsewhere.answer = lambda asked: (500, "")
        for i in range(5):
            self.enrol("/told", f"survivor-{i}", challenge=self.a.challenge("--endpoint", "/told"))
        self.a.kill_all()
        self.elsewhere.forget()
        self.elsewhere.answer = lambda asked: (200, "")
        self.a.ctl("store", "verify")
        self.a.start()
        wanted = {f"CN=survivor-{i},O=Example" for i in range(5)}
        for where in ("/mdm", "/log"):
            wait_for(lambda: wanted <= {n["subject"] for n in self.told(where, event="issued")}, f"all notices to {where}")
        self.a.ctl("store", "verify")


def forked(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(child) for child in f.read().split()]


class Processes(WebhookCase):

    @staticmethod
    def name_of(pid):
        try:
            with open(f"/proc/{pid}/comm") as f:
                return f.read().strip()
        except (FileNotFoundError, ProcessLookupError):
            return None

    def asker(self):
        """The process with the network, by its name."""
        out = run("ps", "-e", "-o", "pid=,ppid=,comm=").stdout
        outsider = {int(line.split()[0]) for line in out.splitlines()
                    if line.split()[2] == "scepd-outsider" and int(line.split()[1]) == self.a.process.pid}
        found = [int(line.split()[0]) for line in out.splitlines()
                 if line.split()[2] == "scepd-outside" and int(line.split()[1]) in outsider]
        return found[-1] if found else None

    def test_outsider_killed_at_the_start(self):
        """Whoever starts the daemon has to hear of it also when it was not serving yet."""
        self.a.stop()
        self.addCleanup(self.a.start)  # for the tests behind it
        with open(self.a.log_path, "ab") as log:
            p = subprocess.Popen([SCEPD, "-c", self.a.conf], stdout=log, stderr=log)
        self.addCleanup(p.kill)

        def outsider():
            """Once the keeper has its first signer: the outsider is ready, and the daemon does not serve yet."""
            by_name = {self.name_of(pid): pid for pid in forked(p.pid)}
            keeper = by_name.get("scepd-keeper")
            return by_name.get("scepd-outsider") if keeper and forked(keeper) else None

        end = time.monotonic() + 60
        while not (found := outsider()):  # without a pause: it serves soon after
            self.assertIsNone(p.poll())
            self.assertLess(time.monotonic(), end)
        os.kill(found, signal.SIGKILL)
        self.assertEqual(p.wait(60), 1)

    def test_end_beside_a_stopped_outsider(self):
        """The daemon, which can send it no signal, does not wait for it, and leaves nothing behind."""
        outsider = next(pid for pid in forked(self.a.process.pid) if self.name_of(pid) == "scepd-outsider")
        os.kill(outsider, signal.SIGSTOP)
        self.addCleanup(self.a.start)
        self.assertEqual(self.a.stop(), 0)
        wait_for(lambda: self.name_of(outsider) != "scepd-outsider", "its end")

    def test_killed_in_the_middle(self):
        """kill -9 of who asks, with questions on their way: nothing is burnt, and all are answered by the next one."""
        challenges = [self.a.json("challenge", "new", "--endpoint", "/both")[0] for _ in range(6)]
        go = threading.Event()
        self.addCleanup(go.set)
        self.elsewhere.answer = lambda asked: (go.wait(30), (200, {"allow": True}))[1]
        enrol = []
        for i, challenge in enumerate(challenges):
            p = subprocess.Popen([SCEPCTL, "client", "enrol", self.a.url + "/both", "--subject", f"CN=killed-{i}", "--key",
                                  os.path.join(self.work, f"k{i}.key"), "--out", os.path.join(self.work, f"k{i}.pem"),
                                  "--challenge-file", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            p.stdin.write(challenge["challenge"])
            p.stdin.close()
            enrol.append(p)
        wait_for(lambda: len(self.elsewhere.took(event="validate")) == 6, "the questions")
        first = self.asker()
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: len(self.elsewhere.took(event="validate")) == 12, "the questions again")
        go.set()
        for p in enrol:
            self.assertEqual(p.wait(60), 0, p.stderr.read())
            p.stderr.close()
        self.assertNotEqual(self.asker(), first)
        for i in range(6):
            self.assertEqual(len(self.issued(f"killed-{i}")), 1)
        used = {c["id"] for c in self.a.json("challenge", "list", "--state", "used", "--limit", "0")}
        self.assertEqual({c["id"] for c in challenges} - used, set())

    def test_end_while_it_is_asked(self):
        """An orderly end does not wait for a webhook that hangs: the device is asked to come again."""
        go = threading.Event()
        self.addCleanup(go.set)
        self.elsewhere.answer = lambda asked: (go.wait(90), (200, {"allow": True}))[1]
        p = subprocess.Popen([SCEPCTL, "client", "enrol", self.a.url + "/slow", "--subject", "CN=ends", "--key",
                              os.path.join(self.work, "e.key"), "--out", os.path.join(self.work, "e.pem")],
                             stderr=subprocess.PIPE, text=True)
        wait_for(lambda: self.elsewhere.took(event="validate"), "the question")
        self.assertEqual(self.a.stop(), 0)
        self.assertIn("503", p.communicate(timeout=60)[1])
        self.a.start()

    def test_reload_changes_webhooks(self):
        self.enrol("/asked", "before")
        with open(self.a.conf) as f:
            text = f.read()
        self.addCleanup(self.restore, text)
        with open(self.a.conf, "w") as f:
            f.write(text.replace("/hook?key=1", "/elsewhere"))
        self.reload()
        self.enrol("/asked", "after")
        self.assertEqual([a.path for a in self.elsewhere.asked], ["/hook?key=1", "/elsewhere"])

    def test_reload_with_a_bad_secret_changes_nothing(self):
        with open(self.a.conf) as f:
            text = f.read()
        self.addCleanup(self.restore, text)
        bad = secret_file(self.dir, "short")
        with open(self.a.conf, "w") as f:
            f.write(re.sub(r'secret_file = "[^"]*"', f'secret_file = "{bad}"', text))
        self.a.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "a secret in " + bad in self.a.log_text(), "the mistake in the log")
        self.enrol("/asked", "still")
        self.assertTrue(signature_good(self.elsewhere.asked[0], SECRET))

    def reload(self):
        n = self.a.log_text().count("event=daemon.reloaded")
        self.a.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.a.log_text().count("event=daemon.reloaded") > n, "the reload")

    def restore(self, text):
        with open(self.a.conf, "w") as f:
            f.write(text)
        self.reload()


if __name__ == "__main__":
    unittest.main()
