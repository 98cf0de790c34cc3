"""scepd in front of another SCEP server: of a second scepd, of Debian's `scep` server, and of a stand-in that misbehaves.  Devices
that know the front alone enrol, wait and are refused as if they spoke to the other one."""

import base64
import json
import os
import plistlib
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from elsewhere import Elsewhere, secret_file, wait_for
from harness import SCEPCTL, Authority, AuthorityCase, free_port, need, run


def front(upstreams, endpoints):
    """A front: `upstreams` and `endpoints` are lines of scepd.conf besides the demo's own."""

    def edit(text):
        return re.sub(r"endpoints\s*=\s*\(", "endpoints = (" + endpoints, text, count=1) + f"\nupstreams = ({upstreams});\n"

    a = Authority(edit=edit)
    a.start()
    return a


def relay(path, upstream):
    return f'{{ path = "{path}"; authority = "demo"; template = "device"; upstream = "{upstream}"; }}, '


class Base(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="scepd-relay-")
        self.addCleanup(run, "rm", "-rf", self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def get(self, path):
        with urllib.request.urlopen(self.front.url + path, timeout=30) as r:
            return r.read(), r.headers["Content-Type"]

    def enrol(self, path, subject, challenge, *more, check=True):
        return run(SCEPCTL, "client", "enrol", self.front.url + path, "--subject", subject, "--key", self.path(subject + ".key"),
                   "--out", self.path(subject + ".pem"), "--challenge-file", "-", *more, input=challenge + "\n", check=check)

    def attempts(self, **members):
        """Attempts at the front, when they have been written; newest first."""
        def look():
            r = self.front.ctl("explain", "127.0.0.1", "--json", "--limit", "50", check=False)
            found = json.loads(r.stdout)["attempts"] if r.returncode == 0 else []
            return [a for a in found if all(members[k] in str(a.get(k)) for k in members)]
        return wait_for(look, f"an attempt with {members}")


class BehindScepd(Base):
    @classmethod
    def setUpClass(cls):
        cls.other = Authority().start()
        cls.addClassCleanup(cls.other.close)
        lines = ", ".join(f'{{ name = "{n}"; url = "{cls.other.url}{p}"; }}' for n, p in
                          (("other", "/scep"), ("manual", "/scep/manual"), ("ndes", "/certsrv/mscep/mscep.dll")))
        cls.front = front(lines, relay("/relay", "other") + relay("/held", "manual") + relay("/ndes", "ndes"))
        cls.addClassCleanup(cls.front.close)

    def test_answers_are_the_others(self):
        for query in ("operation=GetCACaps", "operation=GetCACert", "operation=GetCACert&message=any%20name"):
            with urllib.request.urlopen(f"{self.other.url}/scep?{query}", timeout=30) as r:
                self.assertEqual(self.get("/relay?" + query), (r.read(), r.headers["Content-Type"]))
        with self.assertRaises(urllib.error.HTTPError) as e:
            self.get("/relay?operation=GetNextCACert")
        self.assertEqual(e.exception.code, 404)  # there is none there

    def test_enrol_by_post_and_get(self):
        for name, more in (("post", ()), ("get", ("--get",))):
            self.enrol("/relay", "CN=" + name, self.other.challenge(), *more)
            run("openssl", "verify", "-CAfile", self.other.ca, self.path(f"CN={name}.pem"))
        self.assertEqual(self.front.json("cert", "list"), [])
        text = self.front.log_text()
        self.assertRegex(text, r"event=scep\.relayed result=answered endpoint=/relay upstream=other op=PKCSReq tx=\S+")

    def test_questions_hide_no_certificate(self):
        """Who asks for what costs nothing, again and again, takes no line of the log from who enrols."""
        ended = threading.Event()

        def flood():
            while not ended.is_set():
                self.get("/relay?operation=GetCACaps")

        floods = [threading.Thread(target=flood) for _ in range(3)]
        for f in floods:
            f.start()
        try:
            wait_for(lambda: "event=log.dropped" in self.front.log_text(), "lines that are left out")
            for i in range(4):
                self.enrol("/relay", f"CN=among{i}", self.other.challenge())
        finally:
            ended.set()
            for f in floods:
                f.join()
        wait_for(lambda: len(self.attempts(operation="PKCSReq", result="issued")) >= 4, "the attempts")
        text = self.front.log_text()
        for a in self.attempts(operation="PKCSReq", result="issued")[:4]:
            self.assertRegex(text, rf"event=scep\.relayed result=answered .*\bop=PKCSReq tx={a['transaction']}")

    def test_a_retry_gets_the_same_certificate(self):
        challenge = self.other.challenge()
        self.enrol("/relay", "CN=twice", challenge)
        with open(self.path("CN=twice.pem")) as f:
            first = f.read()
        self.enrol("/relay", "CN=twice", challenge)
        with open(self.path("CN=twice.pem")) as f:
            self.assertEqual(f.read(), first)

    def test_refused_there(self):
        r = self.enrol("/relay", "CN=wrong", "7QK4-M2XH-9RTD-VN3A", check=False)
        self.assertEqual(r.returncode, 1)
        a = self.attempts(reason="upstream.refused", operation="PKCSReq")[0]
        self.assertEqual(a["result"], "refused")
        self.assertIn("FAILURE, failInfo 2", a["detail"])

    def test_held_and_approved_there(self):
        wanted = subprocess.Popen([SCEPCTL, "client", "enrol", self.front.url + "/held", "--subject", "CN=held", "--key",
                                   self.path("k"), "--out", self.path("held.pem"), "--wait", "2m"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        request = wait_for(lambda: self.other.json("request", "list", "--state", "pending"), "a request")[0]
        self.other.ctl("request", "approve", request["id"])
        self.assertEqual(wanted.wait(150), 0, wanted.communicate())
        self.assertTrue(self.attempts(detail="PENDING"))

    def test_ndes_paths_and_real_client(self):
        run(need("pki"), "--scepca", "--url", self.front.url + "/ndes", "--caout", self.path("ca.der"), "--raout",
            self.path("ra.der"))
        with open(self.path("key.der"), "wb") as f:
            subprocess.run(["pki", "--gen", "--type", "rsa", "--size", "2048"], stdout=f, check=True)
        r = subprocess.run(["pki", "--scep", "--url", self.front.url + "/ndes/pkiclient.exe", "--in", self.path("key.der"), "--dn",
                            "CN=moon", "--password", self.other.challenge(), "--cacert-enc", self.path("ra.der"),
                            "--cacert-sig", self.path("ra.der"), "--cacert", self.path("ca.der"), "--outform", "pem"],
                           capture_output=True, timeout=60)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn(b"BEGIN CERTIFICATE", r.stdout)

    def test_nothing_else_goes_on(self):
        for query in ("", "?operation=Shutdown", "?operation=PKIOperation&message=%ZZ", "?operation=PKIOperation"):
            with self.assertRaises(urllib.error.HTTPError) as e:
                self.get("/relay" + query)
            self.assertEqual(e.exception.code, 400)

    def test_upstream_goes_and_comes_back(self):
        other = Authority(init_args=())
        self.addCleanup(other.close)
        f = front(f'{{ name = "late"; url = "{other.url}/scep"; retries = 0; timeout = "5s"; }}', relay("/relay", "late"))
        self.addCleanup(f.close)
        self.front = f
        with self.assertRaises(urllib.error.HTTPError) as e:
            self.get("/relay?operation=GetCACaps")
        self.assertEqual(e.exception.code, 503)
        self.assertTrue(e.exception.headers["Retry-After"])
        self.assertTrue(self.attempts(reason="upstream.unavailable"))
        other.start()

        def answers():
            try:
                return self.get("/relay?operation=GetCACaps")
            except urllib.error.HTTPError:
                return None
        self.assertIn(b"POSTPKIOperation", wait_for(answers, "the upstream", 90)[0])


class Challenges(Base):
    """A policy at the front, its challenges from the other's page like NDES's, in the profile of a device that knows the front
    alone."""

    @classmethod
    def setUpClass(cls):
        api = free_port()
        cls.other = Authority(init_args=("--api-port", api),
                              edit=lambda text: text + 'ndes = ( { endpoint = "/scep"; cache = 2; } );\n')
        cls.addClassCleanup(cls.other.close)
        cls.other.start()
        cls.other.ctl("admin", "new", "mdm", "--role", "operator")
        password = secret_file(cls.other.home, cls.other.ctl("admin", "token", "new", "mdm", "-q").stdout.strip())
        cls.front = front(f'{{ name = "ndes"; url = "{cls.other.url}/certsrv/mscep/mscep.dll"; '
                          f'admin_url = "http://127.0.0.1:{api}/certsrv/mscep_admin/"; user = "EXAMPLE\\mdm"; '
                          f'password_file = "{password}"; ca_certificate = "{cls.other.ca}"; }}', relay("/relay", "ndes"))
        cls.addClassCleanup(cls.front.close)
        cls.front.ctl("policy", "new", "corp", "--subject", "CN=%devicename%", "--endpoint", "/relay", "--challenge", "upstream")

    def profile(self, device, check=True):
        self.front.ctl("device", "new", device)
        self.front.ctl("policy", "assign", "corp", device)
        return run(SCEPCTL, "-c", self.front.conf, "profile", "new", "apple", "--device", device, check=check)

    def test_from_page_to_certificate(self):
        root, scep = (p["PayloadContent"] for p in plistlib.loads(self.profile("pad").stdout.encode())["PayloadContent"])
        self.assertEqual(scep["URL"], self.front.url + "/relay")
        with open(self.other.ca) as f:
            self.assertEqual(root, ssl.PEM_cert_to_DER_cert(f.read()))
        self.enrol("/relay", "CN=pad", scep["Challenge"])
        run("openssl", "verify", "-CAfile", self.other.ca, self.path("CN=pad.pem"))
        self.assertEqual(len(self.other.json("cert", "list")), 1)

    def test_challenges_of_ours_are_useless_there(self):
        self.front.ctl("policy", "new", "ours", "--subject", "CN=%devicename%", "--endpoint", "/relay")
        self.front.ctl("device", "new", "pod")
        self.front.ctl("policy", "assign", "ours", "pod")
        for verb in (("profile", "new", "apple"), ("challenge", "new")):
            r = self.front.ctl(*verb, "--device", "pod", check=False)
            self.assertEqual(r.returncode, 5)
            self.assertIn("knows none of our challenges", r.stderr)

    def test_full(self):
        for name in ("one", "two"):
            self.profile(name)
        r = self.profile("three", check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("password cache is full", r.stderr)
        self.assertIn("upstream.refused", r.stderr)


class Misbehaving(Base):
    """Answers that no SCEP server gives."""

    def setUp(self):
        super().setUp()
        self.said = (200, b"", {})
        self.other = Elsewhere(lambda asked: self.said)
        self.addCleanup(self.other.close)
        self.front = front(f'{{ name = "odd"; url = "{self.other.url}/scep"; retries = 0; timeout = "3s"; }}',
                           relay("/relay", "odd"))
        self.addCleanup(self.front.close)

    def answer(self, query="operation=GetCACert", data=None):
        request = urllib.request.Request(f"{self.front.url}/relay?{query}", data=data,
                                         headers={"Content-Type": "application/x-pki-message"} if data else {})
        try:
            with urllib.request.urlopen(request, timeout=30) as r:
                return r.status, r.headers["Content-Type"], r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers["Content-Type"], e.read()

    def test_what_comes_back(self):
        self.said = (200, b"x" * 100000, {"Content-Type": "application/x-x509-ca-ra-cert; charset=utf-8"})
        self.assertEqual(self.answer(), (200, "application/x-x509-ca-ra-cert", b"x" * 100000))
        self.said = (200, b"y", {"Content-Type": "application/strange"})
        self.assertEqual(self.answer()[:2], (200, "application/octet-stream"))
        self.said = (200, "<html><script>alert(1)</script>", {"Content-Type": "text/html"})
        status, kind, body = self.answer()
        self.assertEqual((status, kind), (503, "text/plain"))
        self.assertNotIn(b"script", body)
        self.said = (404, "nothing", {"Content-Type": "text/html"})
        self.assertEqual(self.answer()[:2], (404, "text/plain"))
        self.said = (302, "", {"Location": "http://127.0.0.1:1/"})
        self.assertEqual(self.answer()[0], 503)
        self.said = (500, "trace", {})
        self.assertEqual(self.answer()[0], 503)

    def test_messages(self):
        self.said = (200, b"no SCEP at all", {"Content-Type": "application/x-pki-message"})
        self.assertEqual(self.answer("operation=PKIOperation", b"\x30\x03\x02\x01\x00")[0], 503)
        asked = self.other.asked[-1]
        self.assertEqual((asked.method, asked.path, asked.body), ("POST", "/scep?operation=PKIOperation", b"\x30\x03\x02\x01\x00"))
        self.assertEqual(asked.headers["Content-Type"], "application/x-pki-message")
        message = bytes(range(256)) * 8
        query = "operation=PKIOperation&evil=1&message=" + base64.b64encode(message).decode().replace("+", " ").replace(" ", "%20")
        self.assertEqual(self.answer(query)[0], 503)
        method, path = self.other.asked[-1].method, self.other.asked[-1].path
        self.assertEqual(method, "GET")
        self.assertNotIn("evil", path)
        self.assertEqual(base64.b64decode(urllib.request.unquote(path.partition("message=")[2])), message)

    def test_identifiers_are_written_anew(self):
        self.said = (200, b"y", {"Content-Type": "application/x-x509-ca-cert"})
        self.answer("operation=GetCACert&message=a%0d%0aX-Evil:%20b%26c")
        self.assertEqual(self.other.asked[-1].path, "/scep?operation=GetCACert&message=a%0D%0AX-Evil%3A%20b%26c")
        self.answer("operation=GetCACert&message=" + "a" * 5000)
        self.assertEqual(self.other.asked[-1].path, "/scep?operation=GetCACert")

    def test_too_slow_and_too_much(self):
        self.said = (200, b"z" * (5 << 20), {"Content-Type": "application/x-x509-ca-cert"})
        self.assertEqual(self.answer()[0], 503)
        self.said = None
        self.assertEqual(self.answer()[0], 503)
        self.other.answer = lambda asked: time.sleep(8) or (200, b"late")
        self.assertEqual(self.answer()[0], 503)


class Replaying(Base):
    """A server that answers with SCEP messages which are no answers to what it was asked."""

    def setUp(self):
        super().setUp()
        self.other = Authority().start()
        self.addCleanup(self.other.close)
        self.answer, self.answers = self.honest, []
        middle = Elsewhere(lambda asked: self.answer(asked))
        self.addCleanup(middle.close)
        self.front = front(f'{{ name = "odd"; url = "{middle.url}/scep"; }}', relay("/relay", "odd"))
        self.addCleanup(self.front.close)

    def honest(self, asked):
        request = urllib.request.Request(self.other.url + asked.path, data=asked.body or None,
                                         headers={"Content-Type": "application/x-pki-message"} if asked.body else {})
        with urllib.request.urlopen(request, timeout=30) as r:
            answer = (200, r.read(), {"Content-Type": r.headers["Content-Type"]})
        if asked.body:
            self.answers.append(answer)
        return answer

    def odd(self, name, answer):
        """What is known of an enrolment that is answered so."""
        self.answer = lambda asked: answer(asked) if asked.body else self.honest(asked)
        r = self.enrol("/relay", name, self.other.challenge(), check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("503", r.stderr)
        return self.attempts(operation="PKCSReq", reason="upstream.unavailable")[0]

    def test_answer_of_another(self):
        self.enrol("/relay", "CN=one", self.other.challenge())
        a = self.odd("CN=two", lambda asked: self.answers[0])
        self.assertIn("for another transaction", a["detail"])
        self.assertEqual(len(self.attempts(operation="PKCSReq", result="issued")), 1)

    def test_question_sent_back(self):
        a = self.odd("CN=echo", lambda asked: (200, asked.body, {"Content-Type": "application/x-pki-message"}))
        self.assertIn("no pkiStatus", a["detail"])


class BehindScepserver(Base):
    """Debian's `scep` package: micromdm's server, which knows POST and GET, and one static challenge."""

    @classmethod
    def setUpClass(cls):
        cls.depot = tempfile.mkdtemp(prefix="scepd-depot-")
        cls.addClassCleanup(run, "rm", "-rf", cls.depot)
        port = free_port()
        run(need("scepserver"), "ca", "-init", "-depot", cls.depot, "-organization", "Other", "-country", "DE", "-keySize", "2048")
        cls.server = subprocess.Popen(["scepserver", "-depot", cls.depot, "-port", str(port), "-challenge", "open sesame"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(cls.server.wait)
        cls.addClassCleanup(cls.server.terminate)
        cls.front = front(f'{{ name = "micromdm"; url = "http://127.0.0.1:{port}/scep"; }}', relay("/relay", "micromdm"))
        cls.addClassCleanup(cls.front.close)

        def up():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/scep?operation=GetCACaps", timeout=5) as r:
                    return r.read()
            except OSError:
                return None
        wait_for(up, "scepserver")

    def client(self, name, challenge, check=True):
        """Its own client: it answers in DES, which ours does not read."""
        os.mkdir(self.path(name))
        return run(need("scepclient"), "-server-url", self.front.url + "/relay", "-cn", name, "-challenge", challenge,
                   "-private-key", self.path(name + "/key.pem"), "-certificate", self.path(name + "/cert.pem"), "-organization",
                   "Test", check=check)

    def test_enrol(self):
        self.client("behind", "open sesame")
        run("openssl", "verify", "-CAfile", os.path.join(self.depot, "ca.pem"), self.path("behind/cert.pem"))
        self.assertTrue(self.attempts(operation="PKCSReq", result="issued", detail="SUCCESS"))

    def test_refused(self):
        r = self.client("not", "open barley", check=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertFalse(os.path.exists(self.path("not/cert.pem")))


if __name__ == "__main__":
    unittest.main()
