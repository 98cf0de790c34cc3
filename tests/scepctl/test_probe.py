"""`scepctl probe` against servers with one fault each.  The good server is scepd behind a small forwarder, which finds nothing
to complain about; every bad one is the same forwarder with one answer changed, and must be found out by just the checks named."""

import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, Authority, run

FORGE_REPLY = os.environ["FORGE_REPLY"]
DOCS = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "PROBE.md")


class Answer:

    def __init__(self, status, type, body, headers=None):
        self.status, self.type, self.body, self.headers = status, type, body, headers or {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def respond(self, a):
        self.send_response_only(a.status)
        for name, value in {"Date": self.date_time_string(), "Content-Type": a.type, **a.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(a.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(a.body)

    def operation(self):
        query = urllib.parse.urlsplit(self.path).query
        found = re.search(r"(?:^|&)operation=([^&]*)", query)
        return found.group(1) if found else ""

    def forward(self, body):
        """What the good server says."""
        headers = {k: v for k, v in self.headers.items() if k.lower() in ("content-type", "user-agent")}
        r = urllib.request.Request(self.server.target + self.path, data=body, headers=headers, method=self.command)
        try:
            with urllib.request.urlopen(r, timeout=20) as answer:
                return self.keep(answer)
        except urllib.error.HTTPError as answer:
            return self.keep(answer)

    def keep(self, answer):
        return Answer(answer.status, answer.headers.get("Content-Type"), answer.read(),
                      {"Cache-Control": answer.headers.get("Cache-Control")})

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if self.command in ("POST", "PUT") else None
        try:
            answer = self.server.fault(self, body)
        except ConnectionError:
            self.close_connection = True
            return
        if answer:
            self.respond(answer)
        else:
            self.close_connection = True

    do_GET = do_POST = do_HEAD = do_PUT = handle_any


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target, fault):
        super().__init__(("127.0.0.1", 0), Handler)
        self.target, self.fault = target, fault
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    def handle_error(self, *_):
        pass  # a client that hangs up

    def close(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class ProbeCase(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.a = Authority().start()
        cls.addClassCleanup(cls.a.close)

    def probe(self, url, *args, code=None, **more):
        r = run(SCEPCTL, "probe", url, "--json", *args, check=False, **more)
        if code is not None:
            self.assertEqual(r.returncode, code, r.stdout + r.stderr)
        return json.loads(r.stdout)

    def bad(self, report):
        return {c["id"]: c["status"] for c in report["checks"] if c["status"] in ("warn", "fail")}

    def found(self, fault, expected, endpoint="/scep", *args):
        """The probe finds just this of a server with this fault."""
        server = Server(self.a.url, fault)
        self.addCleanup(server.close)
        url = f"http://127.0.0.1:{server.server_address[1]}{endpoint}"
        report = self.probe(url, *args)
        self.assertEqual(self.bad(report), expected, json.dumps([c for c in report["checks"] if c["id"] in self.bad(report)], indent=1))
        return {c["id"]: c for c in report["checks"]}, report

    def on(self, operation, change):
        """A fault that changes the answers to one operation."""

        def fault(handler, body):
            answer = handler.forward(body)
            return change(answer) if handler.operation() == operation and handler.command in ("GET", "POST") else answer

        return fault


def with_body(body):
    return lambda a: Answer(a.status, a.type, body, a.headers)


def with_type(type):
    return lambda a: Answer(a.status, type, a.body, a.headers)


def edit(change):
    return lambda a: Answer(a.status, a.type, change(a.body), a.headers)


class Good(ProbeCase):

    def test_forwarded(self):
        self.found(lambda h, body: h.forward(body), {})

    def test_every_endpoint_of_the_demo(self):
        before = self.a.json("cert", "list"), self.a.json("request", "list")
        for path in ("/scep", "/scep/static", "/scep/ca", "/scep/manual", "/cgi-bin/pkiclient.exe", "/certsrv/mscep/mscep.dll"):
            report = self.probe(self.a.url + path, code=0)
            self.assertEqual(self.bad(report), {}, path)
            self.assertEqual(set(report["clients"].values()), {"works"})
        self.assertEqual((self.a.json("cert", "list"), self.a.json("request", "list")), before)

    def test_legacy_is_warned_about(self):
        report = self.probe(self.a.url + "/scep/legacy", code=0)
        self.assertEqual(self.bad(report), {"alg.md5": "warn", "alg.des": "warn"})

    def test_fingerprints(self):
        report = self.probe(self.a.url + "/scep", code=0)
        ca = report["certificates"][1]
        self.assertEqual((ca["role"], report["certificates"][0]["role"]), ("CA", "RA"))
        for digest in ("sha256", "sha1", "md5"):
            text = run("openssl", "x509", "-in", self.a.ca, "-noout", "-fingerprint", "-" + digest).stdout
            self.assertEqual(ca[digest], text.strip().split("=")[1])
        self.assertRegex(ca["ndes"], r"^([0-9A-F]{8} ){3}[0-9A-F]{8}$")
        self.assertEqual(ca["ndes"].replace(" ", ""), ca["md5"].replace(":", ""))

    def test_enrol(self):
        report = self.probe(self.a.url + "/scep", "--enrol=CN=probe,O=Test", "--san", "DNS:probe.example.org",
                            "--challenge-file", "-", code=0, input=self.a.challenge() + "\n")
        self.assertEqual(self.bad(report), {})
        checks = {c["id"]: c["status"] for c in report["checks"]}
        self.assertEqual({s for i, s in checks.items() if i.startswith("enrol.")}, {"ok"})
        certs = self.a.json("cert", "list", "--search", "CN=probe")
        self.assertEqual(sorted(c["serial"] for c in certs), sorted(report["issued"].split()))
        self.assertEqual(len(certs), 3)
        self.assertEqual(certs[0]["san"], "DNS:probe.example.org")

    def test_enrol_refused_and_pending(self):
        report = self.probe(self.a.url + "/scep", "--enrol", "--challenge-file", "-", code=7, input="wrong\n")
        self.assertEqual(self.bad(report), {"enrol.answer": "fail"})
        report = self.probe(self.a.url + "/scep/manual", "--enrol", code=0)
        self.assertEqual(self.bad(report), {"enrol.answer": "warn"})
        self.assertEqual(report["issued"], "")

    def test_tls_that_nobody_trusts(self):
        key, cert = os.path.join(self.a.home, "tls.key"), os.path.join(self.a.home, "tls.pem")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=localhost")
        import ssl
        server = Server(self.a.url, lambda h, body: h.forward(body))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.addCleanup(server.close)
        report = self.probe(f"https://127.0.0.1:{server.server_address[1]}/scep", code=0)
        self.assertEqual(self.bad(report), {"reach.tls": "warn"})

    def test_forms_of_output(self):
        r = run(SCEPCTL, "probe", self.a.url + "/scep/legacy")
        rows = [line.split("\t") for line in r.stdout.splitlines()]
        self.assertTrue(all(len(row) == 6 for row in rows))
        self.assertEqual([row[0] for row in rows if row[1] == "warn"], ["alg.md5", "alg.des"])
        self.assertRegex(r.stderr, r"0 problems, 2 warnings, \d+ fine")

    def test_on_a_terminal(self):
        for width in ("80", "150"):
            r = run("script", "-qec", f"{SCEPCTL} probe {self.a.url}/scep/legacy", "/dev/null",
                    env={**os.environ, "COLUMNS": width, "TERM": "dumb"})
            self.assertRegex(r.stdout, r"(?m)^ok +name and port +127\.0\.0\.1 port")
            self.assertRegex(r.stdout, r"(?m)^warn +DES +accepted")
            self.assertIn("fix: refuse single DES", r.stdout)
            self.assertIn("would work:     every client", r.stdout)
            for line in r.stdout.splitlines():
                if line.startswith("ok"):
                    self.assertLessEqual(len(line), int(width))

    def test_usage(self):
        for args, code in ((["probe"], 2), (["probe", "ftp://x/"], 2), (["probe", self.a.url, "--san", "DNS:x"], 2),
                           (["probe", self.a.url, "--challenge-file", "/dev/null"], 2),
                           (["probe", self.a.url + "/scep", "--enrol=CN=x", "--dry-run"], 2)):
            self.assertEqual(run(SCEPCTL, *args, check=False).returncode, code, args)

    def test_documented(self):
        with open(DOCS) as f:
            documented = re.findall(r"^\| `([a-z0-9_]+\.[a-z0-9_]+)` \|", f.read(), re.M)
        self.assertEqual(documented, [c["id"] for c in self.probe(self.a.url + "/scep")["checks"]])


class Reach(ProbeCase):

    def test_nobody_there(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            r = run(SCEPCTL, "probe", f"http://127.0.0.1:{s.getsockname()[1]}/scep", check=False)
        self.assertEqual(r.returncode, 6)
        self.assertIn("fix:", r.stderr)

    def test_silence(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(8)
            r = run(SCEPCTL, "probe", f"http://127.0.0.1:{s.getsockname()[1]}/scep", "--timeout", "1s", check=False)
        self.assertEqual(r.returncode, 6)

    def test_web_page_everywhere(self):
        page = Answer(200, "text/html", b"<html>Please sign in</html>")
        checks, report = self.found(lambda h, body: page, {
            "caps.answer": "fail", "caps.type": "warn", "cacert.answer": "fail", "cacert.form": "fail",
            "nextca.answer": "warn", "nextca.type": "fail", "nextca.signature": "fail", "http.methods": "warn",
            "http.unknown_path": "warn"})
        self.assertEqual(checks["cacert.form"]["value"], "a web page")
        self.assertEqual(set(report["clients"].values()), {"fails"})

    def test_redirection(self):
        checks, _ = self.found(
            lambda h, body: Answer(301, "text/html", b"", {"Location": "https://login.example.org/"}),
            {"http.redirect": "fail", "caps.answer": "fail", "cacert.answer": "fail", "http.unknown_path": "warn"})
        self.assertIn("login.example.org", checks["http.redirect"]["value"])

    def test_clock(self):
        ahead = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))

        def fault(h, body):
            a = h.forward(body)
            a.headers["Date"] = ahead
            return a

        self.found(fault, {"http.clock": "warn"})

    def test_closes_after_each_answer(self):

        def fault(h, body):
            a = h.forward(body)
            a.headers["Connection"] = "close"
            return a

        self.found(fault, {"http.keep_alive": "warn"})

    def test_old_http(self):

        def fault(h, body):
            return h.forward(body) if "Host" in h.headers else Answer(400, "text/html", b"no Host")

        self.found(fault, {"http.http10": "warn"})

    def test_methods(self):
        self.found(lambda h, body: Answer(500, "text/html", b"") if h.command == "HEAD" else h.forward(body),
                   {"http.methods": "warn"})

    def test_suffix(self):
        self.found(lambda h, body: Answer(404, "text/html", b"") if "/pkiclient.exe" in h.path else h.forward(body),
                   {"http.suffix": "warn"})

    def test_cached_answers(self):

        def fault(h, body):
            a = h.forward(body)
            a.headers["Cache-Control"] = None
            return a

        self.found(fault, {"http.cache": "warn"})


class Hostile(ProbeCase):
    """Nothing crashes, nothing takes for ever, and the report stays one."""

    def raw(self, bytes):
        """A server that says just this."""

        def fault(h, body):
            h.wfile.write(bytes)
            return None

        server = Server(self.a.url, fault)
        self.addCleanup(server.close)
        return run(SCEPCTL, "probe", f"http://127.0.0.1:{server.server_address[1]}/scep", "--json", "--timeout", "2s", "--total",
                   "6s", check=False, timeout=60)

    def test_endless_body(self):
        r = self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (3 << 20))
        self.assertEqual(r.returncode, 6)
        self.assertIn("more than", r.stderr)

    def test_endless_headers(self):
        r = self.raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200000 + b"\r\n")
        self.assertEqual(r.returncode, 6)

    def test_garbage(self):
        for bytes in (b"", b"\0" * 100, b"HTTP/9.9 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"):
            self.assertEqual(self.raw(bytes).returncode, 6, bytes)

    def test_odd_octets_in_every_answer(self):
        odd = Answer(200, "text/plain; \x1b]0;x", b"AES\n\xff\xfe\0\x1b[2J" + b"w\n" * 500, {"Server": "\x1b[31mred"})
        server = Server(self.a.url, lambda h, body: odd)
        self.addCleanup(server.close)
        url = f"http://127.0.0.1:{server.server_address[1]}/scep"
        self.assertEqual(self.probe(url, code=7)["checks"][0]["status"], "ok")
        self.assertNotIn("\x1b", run(SCEPCTL, "probe", url, check=False).stdout)

    def test_slow_server_is_given_up(self):

        def fault(h, body):
            if h.operation() == "PKIOperation":
                time.sleep(1.5)
            return h.forward(body)

        server = Server(self.a.url, fault)
        self.addCleanup(server.close)
        begun = time.monotonic()
        r = self.probe(f"http://127.0.0.1:{server.server_address[1]}/scep", "--timeout", "1s", "--total", "4s")
        self.assertLess(time.monotonic() - begun, 30)
        self.assertEqual({c["id"]: c["status"] for c in r["checks"]}["pki.answer"], "fail")

    def test_flipped_octets(self):
        """Every answer damaged somewhere: problems, but an orderly report."""
        for seed in range(12):

            def fault(h, body, seed=seed):
                a = h.forward(body)
                if a.body:
                    at = (seed * 2654435761 + len(a.body) // 3) % len(a.body)
                    a.body = a.body[:at] + bytes([a.body[at] ^ (1 << seed % 8)]) + a.body[at + 1:]
                return a

            server = Server(self.a.url, fault)
            self.addCleanup(server.close)
            r = run(SCEPCTL, "probe", f"http://127.0.0.1:{server.server_address[1]}/scep", "--json", check=False)
            self.assertIn(r.returncode, (0, 7), r.stderr)
            self.assertEqual(len(json.loads(r.stdout)["checks"]), 98)


class Caps(ProbeCase):

    def caps(self, change, expected):
        return self.found(self.on("GetCACaps", edit(change)), expected)

    def without(self, *words):
        return lambda body: b"".join(w + b"\n" for w in body.split() if w not in words)

    def test_type(self):
        self.found(self.on("GetCACaps", with_type("text/html")), {"caps.type": "warn"})

    def test_crlf(self):
        checks, _ = self.caps(lambda b: b.replace(b"\n", b"\r\n"), {"caps.lines": "fail"})
        self.assertEqual(checks["caps.lines"]["clients"], ["Apple"])

    def test_empty_line(self):
        self.caps(lambda b: b.replace(b"\n", b"\n\n", 1), {"caps.lines": "warn"})

    def test_case(self):
        checks, _ = self.caps(lambda b: b.replace(b"POSTPKIOperation", b"PostPKIOperation"),
                              {"caps.case": "fail", "caps.standard": "warn", "caps.post": "warn"})
        self.assertIn("Apple", checks["caps.case"]["clients"])

    def test_duplicate(self):
        self.caps(lambda b: b + b"AES\n", {"caps.duplicates": "warn"})

    def test_unknown_word(self):
        self.caps(lambda b: b + b"Wonders\norg.example.Wonders\n", {"caps.unknown": "warn"})

    def test_no_standard(self):
        self.caps(self.without(b"SCEPStandard"), {"caps.standard": "warn"})

    def test_no_sha384(self):
        checks, _ = self.caps(self.without(b"SHA-384"), {"caps.sha384": "warn", "alg.sha384": "warn"})
        self.assertEqual(checks["caps.sha384"]["clients"], ["strongSwan 5.9"])

    def test_no_renewal(self):
        self.caps(self.without(b"Renewal"), {"caps.renewal": "warn"})

    def test_weak_only(self):
        self.caps(lambda b: b"SHA-1\nDES3\nPOSTPKIOperation\nRenewal\nSHA-384\n",
                  {"caps.strong": "fail", "caps.standard": "warn", "alg.sha512": "warn"})

    def test_no_post(self):
        self.caps(self.without(b"POSTPKIOperation", b"SCEPStandard"), {"caps.standard": "warn", "caps.post": "warn"})

    def test_message(self):

        def fault(h, body):
            return Answer(404, "text/plain", b"") if "GetCACaps&message=0" in h.path else h.forward(body)

        self.found(fault, {"caps.message": "warn"})

    def test_next_ca_announced_in_vain(self):
        self.caps(lambda b: b + b"GetNextCACert\n", {"nextca.answer": "fail"})

    def test_announced_digest_refused(self):
        """The word is there, the algorithm is not."""

        def fault(h, body):
            if body and b"\x60\x86\x48\x01\x65\x03\x04\x02\x03" in body:
                return Answer(500, "text/plain", b"unsupported digest")
            return h.forward(body)

        self.found(fault, {"alg.sha512": "fail"})


class Certificates(ProbeCase):

    def cacert(self, change, expected, endpoint="/scep"):
        return self.found(self.on("GetCACert", change), expected, endpoint)

    def own(self, *args, key=None):
        """A self-signed certificate with these extensions, DER."""
        path = os.path.join(self.a.home, "own.der")
        key = key or os.path.join(self.a.home, "keys", "ca.key")
        extensions = [w for a in args for w in ("-addext", a)]
        run("openssl", "req", "-x509", "-new", "-key", key, "-outform", "DER", "-out", path, "-subj", "/CN=Own", "-days", "400", *extensions)
        with open(path, "rb") as f:
            return f.read()

    # A CA certificate of our own breaks what follows, which is not what these look at.
    def only(self, der, check, status, text, type="application/x-x509-ca-cert"):
        server = Server(self.a.url, self.on("GetCACert", lambda a: Answer(200, type, der, a.headers)))
        self.addCleanup(server.close)
        report = self.probe(f"http://127.0.0.1:{server.server_address[1]}/scep", "--timeout", "5s")
        found = {c["id"]: c for c in report["checks"]}[check]
        self.assertEqual(found["status"], status, found)
        self.assertIn(text, found["value"])
        return found

    def test_type_with_parameter(self):
        checks, _ = self.cacert(with_type("application/x-x509-ca-ra-cert; charset=utf-8"), {"cacert.type": "warn"})
        self.assertEqual(checks["cacert.type"]["clients"], ["Apple", "PyScep"])

    def test_wrong_type(self):
        self.cacert(with_type("application/octet-stream"), {"cacert.type": "fail"})
        self.cacert(with_type("application/x-x509-ca-ra-cert"), {"cacert.type": "fail"}, "/scep/ca")

    def test_empty(self):
        self.cacert(with_body(b""), {"cacert.answer": "fail"})

    def test_pem(self):
        with open(self.a.ca, "rb") as f:
            pem = f.read()
        checks, _ = self.cacert(with_body(pem), {"cacert.answer": "fail", "cacert.form": "fail"})
        self.assertEqual(checks["cacert.form"]["value"], "PEM instead of DER")

    def degenerate(self, *pems):
        path = os.path.join(self.a.home, "list.der")
        files = [w for p in pems for w in ("-certfile", p)]
        run("openssl", "crl2pkcs7", "-nocrl", "-outform", "DER", "-out", path, *files)
        with open(path, "rb") as f:
            return f.read()

    def test_order(self):
        checks, _ = self.cacert(with_body(self.degenerate(self.a.ca, self.a.ra)), {"cacert.order": "warn"})
        self.assertEqual(checks["cacert.order"]["clients"], ["certmonger"])

    def test_signed_list(self):
        path = os.path.join(self.a.home, "signed.der")
        run("openssl", "cms", "-sign", "-nodetach", "-signer", self.a.ra, "-inkey", os.path.join(self.a.home, "keys", "ra.key"),
            "-certfile", self.a.ca, "-outform", "DER", "-in", self.a.ca, "-out", path)
        with open(path, "rb") as f:
            signed = f.read()
        found = self.only(signed, "cacert.form", "warn", "1 signers", "application/x-x509-ca-ra-cert")
        self.assertIn("a content", found["value"])

    def test_no_ca(self):
        self.only(self.own("basicConstraints=critical,CA:FALSE"), "cacert.form", "fail", "no CA certificate")

    def test_no_key_usage(self):
        self.only(self.own("basicConstraints=critical,CA:TRUE"), "cacert.ca", "warn", "no keyUsage")

    def test_usage_for_certificates_only(self):
        der = self.own("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
        self.only(der, "cacert.recipient", "fail", "without keyEncipherment")
        self.only(der, "cacert.signer", "fail", "without digitalSignature")

    def test_ec_recipient(self):
        key = os.path.join(self.a.home, "ec.key")
        run("openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
        der = self.own("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature", key=key)
        self.only(der, "cacert.recipient", "fail", "P-256 key")

    def test_small_key(self):
        key = os.path.join(self.a.home, "small.key")
        run("openssl", "genrsa", "-out", key, "1024")
        der = self.own("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature,keyEncipherment", key=key)
        self.only(der, "cacert.keys", "fail", "RSA-1024")

    def test_expired_and_soon(self):
        own, path = os.path.join(self.a.home, "own.der"), os.path.join(self.a.home, "again.der")
        self.own("basicConstraints=critical,CA:TRUE")
        for days, status, text in ((-1, "fail", "ended on"), (10, "warn", "nothing announces")):
            run("openssl", "x509", "-inform", "DER", "-in", own, "-signkey", os.path.join(self.a.home, "keys", "ca.key"), "-days",
                days, "-outform", "DER", "-out", path)
            with open(path, "rb") as f:
                self.only(f.read(), "cacert.expiry", status, text)

    def test_message(self):

        def fault(h, body):
            return Answer(404, "text/plain", b"") if "message=CAIdentifier" in h.path else h.forward(body)

        self.found(fault, {"cacert.message": "warn"})


class NextCa(ProbeCase):
    """GetNextCACert, made by openssl: a certificates-only SignedData, signed once more."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.next = cls.file("next.pem")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", cls.file("next.key"), "-out", cls.next, "-subj",
            "/CN=Next", "-days", "400")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", cls.file("other.key"), "-out",
            cls.file("other.pem"), "-subj", "/CN=Stranger", "-days", "400")

    @classmethod
    def file(cls, name):
        return os.path.join(cls.a.home, name)

    def answer(self, inner=None, signer=None, key=None, outer=True):
        run("openssl", "crl2pkcs7", "-nocrl", "-certfile", inner or self.next, "-outform", "DER", "-out", self.file("inner.der"))
        more = ["-certfile", self.next] if outer else []
        run("openssl", "cms", "-sign", "-nodetach", "-binary", "-in", self.file("inner.der"), "-signer", signer or self.a.ra, "-inkey",
            key or self.file("keys/ra.key"), *more, "-outform", "DER", "-out", self.file("outer.der"))
        with open(self.file("outer.der"), "rb") as f:
            return f.read()

    def next_ca(self, body, expected, type="application/x-x509-next-ca-cert", announced=True):

        def fault(h, request):
            if h.operation() == "GetNextCACert":
                return Answer(200, type, body)
            a = h.forward(request)
            if announced and h.operation() == "GetCACaps":
                a.body += b"GetNextCACert\n"
            return a

        return self.found(fault, expected)[0]

    def test_good(self):
        checks = self.next_ca(self.answer(), {"pki.to_next": "warn"})  # the good server knows nothing of it
        for name in ("answer", "type", "signature", "certificates"):
            self.assertEqual(checks["nextca." + name]["status"], "ok")

    def test_not_announced(self):
        self.next_ca(self.answer(), {"nextca.answer": "warn", "pki.to_next": "warn"}, announced=False)

    def test_type(self):
        self.next_ca(self.answer(), {"nextca.type": "fail", "pki.to_next": "warn"}, type="application/x-x509-ca-cert")

    def test_stranger(self):
        self.next_ca(self.answer(signer=self.file("other.pem"), key=self.file("other.key")), {"nextca.signature": "fail", "pki.to_next": "warn"})

    def test_not_signed(self):
        with open(self.file("inner.der"), "wb") as f:
            f.write(b"")
        self.answer()
        with open(self.file("inner.der"), "rb") as f:
            self.next_ca(f.read(), {"nextca.signature": "fail", "nextca.certificates": "fail"})

    def test_damaged(self):
        body = self.answer()
        self.next_ca(body[:-1] + bytes([body[-1] ^ 1]), {"nextca.signature": "fail", "pki.to_next": "warn"})

    def test_only_inside(self):
        checks = self.next_ca(self.answer(outer=False), {"nextca.certificates": "warn", "pki.to_next": "warn"})
        self.assertEqual(checks["nextca.certificates"]["clients"], ["Android, jscep", "ChromeOS"])

    def test_present_one(self):
        run("openssl", "x509", "-in", self.a.ca, "-out", self.file("present.pem"))
        saved, self.__class__.next = self.next, self.file("present.pem")
        try:
            self.next_ca(self.answer(), {"nextca.certificates": "warn"})
        finally:
            self.__class__.next = saved


class Rollover(unittest.TestCase):
    """scepd itself, with a next CA announced: nothing to complain about, and what is for the next CA is opened."""

    def test_announced(self):
        for key in ("rsa2048", "p256"):
            a = Authority(key)
            self.addCleanup(a.close)
            a.ctl("ca", "rollover", "new", "--yes")
            a.start()
            report = json.loads(run(SCEPCTL, "probe", a.url + "/scep", "--json").stdout)
            checks = {c["id"]: c["status"] for c in report["checks"]}
            self.assertEqual([i for i, s in checks.items() if s in ("warn", "fail")], [])
            self.assertEqual({s for i, s in checks.items() if i.startswith("nextca.")}, {"ok"})
            self.assertEqual(checks["pki.to_next"], "ok" if key == "rsa2048" else "skip")
            self.assertIn("GetNextCACert", report["capabilities"])


class Enrolment(ProbeCase):

    def enrolled(self, fault, expected, endpoint="/scep"):
        server = Server(self.a.url, fault)
        self.addCleanup(server.close)
        report = self.probe(f"http://127.0.0.1:{server.server_address[1]}{endpoint}", "--enrol", "--challenge-file", "-",
                            input=self.a.challenge())
        self.assertEqual(self.bad(report), expected, json.dumps(report["checks"][-14:], indent=1))
        return {c["id"]: c for c in report["checks"]}

    def test_lost_reply_is_lost(self):
        seen = set()

        def fault(h, body):
            if body and body in seen:
                return Answer(500, "text/plain", b"I know this one")
            a = h.forward(body)
            # Only what got a certificate: the answers that carry one are the long ones.
            if body and len(a.body) > 2000:
                seen.add(body)
            return a

        checks = self.enrolled(fault, {"enrol.again": "warn"})
        self.assertIn("HTTP 500", checks["enrol.again"]["value"])

    def test_renewal_is_not_understood(self):
        """Renewals are told by their signer: a certificate of the CA is in the message."""
        name = b"Test CA"

        def fault(h, body):
            renewal = body and len(body) > 1500 and body.count(name) >= 3 and b"\x13\x0217" in body
            return Answer(500, "text/plain", b"not implemented") if renewal else h.forward(body)

        self.enrolled(fault, {"enrol.renewal_17": "fail"})


class Replies(ProbeCase):
    """CertReps that are wrong in one place, made by forge_reply."""

    def forged(self, fault, expected):
        key, cert = os.path.join(self.a.home, "keys", "ra.key"), self.a.ra

        def answer(handler, body):
            good = handler.forward(body)
            if good.type != "application/x-pki-message":
                return good
            if body is None:
                body = self.message_of(handler.path)
            r = subprocess.run([FORGE_REPLY, key, cert, fault], input=body, capture_output=True)
            # What the good server refuses stays refused: the algorithms are looked at by it.
            if r.returncode or b"algorithm.refused" in good.body or b"\x30\x82" not in good.body[:8]:
                return good
            return Answer(200, good.type, r.stdout, good.headers)

        expected = {"pki.get_crl": "warn", **expected}  # the forger knows nothing but FAILURE
        return self.found(answer, expected)[0]

    def message_of(self, path):
        import base64
        text = re.search(r"message=([^&]*)", path).group(1)
        text = urllib.parse.unquote(text).replace("\n", "").replace("-", "+").replace("_", "/").replace(" ", "+")
        return base64.b64decode(text)

    def test_none(self):
        self.forged("none", {})

    def test_other_transaction(self):
        self.forged("other-transaction", {"pki.transaction": "fail", "pki.transaction_ids": "fail"})

    def test_utf8_transaction(self):
        checks = self.forged("utf8-transaction", {"pki.strings": "fail"})
        self.assertIn("UTF8STRING", checks["pki.strings"]["value"])

    def test_two_statuses(self):
        self.forged("two-statuses", {"pki.strings": "fail"})

    def test_no_sender_nonce(self):
        checks = self.forged("no-sender-nonce", {"pki.sender_nonce": "fail"})
        self.assertEqual(checks["pki.sender_nonce"]["clients"], ["certmonger"])

    def test_short_sender_nonce(self):
        self.forged("short-sender-nonce", {"pki.sender_nonce": "warn"})

    def test_no_recipient_nonce(self):
        self.forged("no-recipient-nonce", {"pki.recipient_nonce": "fail"})

    def test_other_recipient_nonce(self):
        self.forged("other-recipient-nonce", {"pki.recipient_nonce": "fail"})

    def test_fail_info(self):
        for fault in ("no-fail-info", "unknown-fail-info"):
            checks = self.forged(fault, {"pki.fail_info": "fail", "pki.poll": "warn", "pki.get_cert": "warn"})
            self.assertIn("sscep", checks["pki.fail_info"]["clients"])

    def test_absent_content(self):
        checks = self.forged("absent-content", {"pki.content": "warn"})
        self.assertEqual(checks["pki.content"]["clients"], ["certmonger", "PyScep"])

    def test_filled_content(self):
        self.forged("filled-content", {"pki.content": "warn"})

    def test_signature_names_digest(self):
        checks = self.forged("signature-names-digest", {"pki.signature_algorithm": "fail"})
        self.assertEqual(checks["pki.signature_algorithm"]["clients"], ["strongSwan 5.9", "strongSwan 6"])

    def test_signer_left_out(self):
        self.forged("no-certificates", {"pki.signer_included": "fail"})

    def test_bad_signature(self):
        for fault in ("bad-signature", "bad-digest"):
            self.forged(fault, {"pki.signature": "fail"})

    def test_stranger(self):
        self.forged("stranger", {"pki.signature": "fail"})

    def test_weak_digests(self):
        self.forged("sha1", {"pki.digest": "warn"})
        self.forged("md5", {"pki.digest": "fail"})

    def test_ber(self):
        checks = self.forged("ber", {"pki.encoding": "warn"})
        self.assertEqual(checks["pki.encoding"]["clients"], ["PyScep", "cryptlib"])


class Messages(ProbeCase):

    def test_type(self):
        self.found(self.on("PKIOperation", lambda a: with_type("text/plain" if a.status != 200 else "application/octet-stream")(a)),
                   {"pki.type": "fail"})

    def test_post_in_vain(self):

        def fault(h, body):
            return Answer(501, "text/plain", b"") if h.command == "POST" else h.forward(body)

        self.found(fault, {"post.honoured": "fail", "caps.standard": "fail"})

    def test_insists_on_type(self):

        def fault(h, body):
            odd = h.command == "POST" and h.headers.get("Content-Type") != "application/x-pki-message"
            return Answer(415, "text/plain", b"") if odd else h.forward(body)

        self.found(fault, {"post.no_type": "fail", "post.octet_stream": "fail"})

    def test_garbage_breaks_it(self):

        def fault(h, body):
            a = h.forward(body)
            return Answer(500, "text/plain", b"oops") if a.status == 400 and h.command == "POST" else a

        self.found(fault, {"post.garbage": "warn"})

    def test_blanks_for_plus(self):
        """Forms as web forms have them: '+' means a blank."""

        def fault(h, body):
            bare = h.operation() == "PKIOperation" and "+" in h.path
            return Answer(400, "text/plain", b"illegal base64") if bare else h.forward(body)

        self.found(fault, {"get.unescaped": "warn"})

    def test_line_breaks(self):
        self.found(lambda h, body: Answer(400, "text/plain", b"") if "%0A" in h.path else h.forward(body),
                   {"get.lines": "fail"})

    def test_long_url(self):

        def limit(octets):

            def fault(h, body):
                if len(h.path) > octets:
                    return Answer(414, "text/html", b"<html>URI too large</html>", {"Server": "nginx"})
                return h.forward(body)

            return fault

        checks, _ = self.found(limit(5000), {"get.long_6k": "fail", "get.long_16k": "warn"})
        self.assertIn('HTTP 414 from nginx', checks["get.long_6k"]["value"])
        self.found(limit(12000), {"get.long_16k": "warn"})

    def test_no_oaep(self):
        """rsaesOaep is inside of the signed envelope: its OID is to be seen."""

        def fault(h, body):
            oaep = body and b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07" in body
            return Answer(500, "text/plain", b"decryption error") if oaep else h.forward(body)

        checks, _ = self.found(fault, {"alg.oaep": "fail"})
        self.assertEqual(checks["alg.oaep"]["clients"], ["Windows, Intune"])

    def test_no_ber(self):

        def fault(h, body):
            ber = body and body[1:2] == b"\x80"
            return Answer(500, "text/plain", b"indefinite length") if ber else h.forward(body)

        self.found(fault, {"alg.ber": "fail"})

    def test_polls_unknown(self):
        """Servers that know enrolment alone answer 500 to the rest."""
        types = {b"\x13\x02" + t for t in (b"20", b"21", b"22")}

        def fault(h, body):
            message = body or b""
            if h.operation() == "PKIOperation" and h.command == "GET":
                message = Replies.message_of(self, h.path)
            if any(t in message for t in types):
                return Answer(500, "text/plain", b"not implemented")
            return h.forward(body)

        checks, _ = self.found(fault, {"pki.poll": "warn", "pki.get_cert": "warn", "pki.get_crl": "warn"})
        self.assertIn("PKCSReq", checks["pki.answer"]["value"])


if __name__ == "__main__":
    unittest.main()
