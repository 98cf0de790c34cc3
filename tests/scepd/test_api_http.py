"""The listener of the API over real sockets: TLS, client certificates, sessions, limits."""

import gzip
import http.client
import json
import os
import re
import selectors
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import SCEPCTL, Authority, free_port, run


class Api(unittest.TestCase):
    """One daemon for each class; `tls`: with a certificate made by the authority itself."""

    tls = True

    @classmethod
    def setUpClass(cls):
        cls.port = int(free_port())
        cls.a = Authority(key="p256", init_args=("--api-port", cls.port))
        cls.addClassCleanup(cls.a.close)
        cls.dir = tempfile.mkdtemp(prefix="scepd-api-")
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        if cls.tls:
            cls.certify(cls.a)
        cls.a.start()
        cls.token = cls.new_token("boss", "administrator")

    @classmethod
    def certify(cls, a):
        a.ctl("ca", "tls", "--host", "localhost,127.0.0.1")
        cls.server_cert = a.ca
        with open(a.conf) as f:
            text = f.read()
        if "certificate = \"keys/api.pem\"" not in text:
            text = re.sub(r"api: \{ (.*?) \};", r'api: { \1 certificate = "keys/api.pem"; key = "keys/api.key"; };', text)
            with open(a.conf, "w") as f:
                f.write(text)

    @classmethod
    def new_token(cls, name, role):
        run(SCEPCTL, "-c", cls.a.conf, "admin", "new", name, "--role", role)
        return run(SCEPCTL, "-c", cls.a.conf, "admin", "token", "new", name, "-q").stdout.strip()

    def context(self, certificate=None):
        context = ssl.create_default_context(cafile=self.server_cert)
        if certificate:
            context.load_cert_chain(certificate + ".pem", certificate + ".key")
        return context

    def connect(self, certificate=None):
        c = http.client.HTTPSConnection("localhost", self.port, timeout=30, context=self.context(certificate)) if self.tls \
            else http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self.addCleanup(c.close)
        return c

    def ask(self, method, path, body=None, connection=None, token=None, **headers):
        c = connection or self.connect()
        head = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            head["Authorization"] = "Bearer " + token
        if body is not None:
            head.setdefault("Content-Type", "application/json")
            body = json.dumps(body) if not isinstance(body, (str, bytes)) else body
        c.request(method, path, body, head)
        r = c.getresponse()
        text = r.read()
        self.headers = r.headers
        return r.status, json.loads(text) if text and "json" in r.headers["Content-Type"] else text.decode(errors="replace")


class Tls(Api):
    def test_versions(self):
        for version, good in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_1, False)):
            context = self.context()
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            try:
                with socket.create_connection(("127.0.0.1", self.port), 30) as s, context.wrap_socket(s, server_hostname="localhost") as t:
                    self.assertTrue(good, t.version())
            except ssl.SSLError:
                self.assertFalse(good, version)

    def test_the_certificate(self):
        c = self.connect()
        c.connect()
        x = c.sock.getpeercert()
        self.assertEqual(sorted(x["subjectAltName"]), [("DNS", "localhost"), ("IP Address", "127.0.0.1")])
        text = run("openssl", "x509", "-in", os.path.join(self.a.home, "keys", "api.pem"), "-noout", "-text").stdout
        for words in ("TLS Web Server Authentication", "Digital Signature", "CRL Distribution Points"):
            self.assertIn(words, text)
        self.assertEqual(os.stat(os.path.join(self.a.home, "keys", "api.key")).st_mode & 0o777, 0o600)
        r = run(SCEPCTL, "-c", self.a.conf, "ca", "tls", "--host", "not a name", check=False)
        self.assertEqual(r.returncode, 2)

    def test_every_method(self):
        c = self.connect()
        self.assertEqual(self.ask("GET", "/api/v1/session", connection=c, token=self.token)[1]["name"], "boss")
        status, made = self.ask("POST", "/api/v1/admins", {"name": "carl", "role": "auditor"}, c, self.token)
        self.assertEqual(status, 201)
        where = self.headers["Location"]
        status, changed = self.ask("PATCH", where, {"role": "operator"}, c, self.token, If_Match=made["etag"])
        self.assertEqual((status, changed["role"]), (200, "operator"))
        self.assertEqual(self.ask("PATCH", where, {"role": "auditor"}, c, self.token, If_Match=made["etag"])[0], 412)
        c.request("HEAD", where, headers={"Authorization": "Bearer " + self.token})
        r = c.getresponse()
        self.assertEqual((r.status, r.read()), (200, b""))
        self.assertEqual(self.ask("DELETE", where, connection=c, token=self.token, If_Match=changed["etag"]), (204, ""))
        self.assertIsNone(self.headers["Content-Length"])
        self.assertEqual(self.ask("GET", where, connection=c, token=self.token)[0], 404)
        self.assertEqual(self.ask("TRACE", where, connection=c)[0], 405)

    def test_what_only_the_daemon_knows(self):
        status, told = self.ask("GET", "/api/v1/status", token=self.token)
        self.assertEqual(status, 200)
        self.assertIn("tls_expiry", [c["name"] for c in told["checks"]])
        before = self.a.json("crl", "show")[0]["number"]
        status, authority = self.ask("POST", "/api/v1/authorities/demo/crl/publish", token=self.token)
        self.assertEqual(status, 200, authority)
        self.assertGreater(self.a.json("crl", "show")[0]["number"], before)
        self.assertEqual(self.ask("POST", "/api/v1/authorities/none/crl/publish", token=self.token)[0], 404)

    def publish_while_the_signer_stands(self):
        """What four calls are told, the last one after the signer went on."""
        signer = int(re.findall(r"event=daemon\.started .*\bsigner=(\d+)", self.a.log_text())[-1])
        told, seen = threading.Semaphore(0), []

        def publish():
            seen.append(self.ask("POST", "/api/v1/authorities/demo/crl/publish", connection=self.connect(), token=self.token))
            told.release()

        os.kill(signer, signal.SIGSTOP)
        try:
            threads = [threading.Thread(target=publish) for _ in range(4)]
            [t.start() for t in threads]
            for _ in range(3):
                self.assertTrue(told.acquire(timeout=60))
        finally:
            os.kill(signer, signal.SIGCONT)
        [t.join() for t in threads]
        return [(status, answer.get("code")) for status, answer in seen]

    def test_who_waits_for_a_list_leaves_a_thread(self):
        """While the signer does not answer, one call waits for it and the others are told to come again; so is that one when the
        machine keeps it waiting for too long, and then it is tried again."""
        for _ in range(5):
            seen = self.publish_while_the_signer_stands()
            self.assertEqual(seen[:3], [(503, "busy")] * 3)
            if seen[3][0] == 200:
                return
            self.assertEqual(seen[3], (503, "busy"))
        self.fail("nobody who waited got the list")

    def test_headers(self):
        self.ask("GET", "/api/v1/nothing")
        self.assertIn("max-age", self.headers["Strict-Transport-Security"])
        for name, value in {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}.items():
            self.assertEqual(self.headers[name], value)
        self.ask("GET", "/ui/")
        self.assertIn("default-src 'none'", self.headers["Content-Security-Policy"])
        self.assertEqual(self.headers["Cross-Origin-Opener-Policy"], "same-origin")

    def test_only_who_accepts_gzip_gets_it(self):
        """The console's files, by what a client says that it can read; each form under a tag of its own."""
        def get(path, **headers):
            c = self.connect()
            c.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            r = c.getresponse()
            return r.status, r.headers, r.read()
        status, headers, page = get("/ui/", Accept_Encoding="identity")
        self.assertEqual((status, headers["Content-Encoding"], headers["Vary"]), (200, None, "Accept-Encoding"))
        self.assertIn(b"<!doctype html>", page[:100].lower())
        c = self.connect()
        c.putrequest("GET", "/ui/", skip_accept_encoding=True)
        c.endheaders()
        r = c.getresponse()
        self.assertEqual((r.read(), r.headers["Content-Encoding"], r.headers["ETag"]), (page, None, headers["ETag"]))
        tags = {headers["ETag"]}
        status, headers, packed = get("/ui/", Accept_Encoding="gzip, deflate, br")
        self.assertEqual((status, headers["Content-Encoding"], headers["Vary"]), (200, "gzip", "Accept-Encoding"))
        self.assertEqual(gzip.decompress(packed), page)
        tags.add(headers["ETag"])
        self.assertEqual(len(tags), 2)
        for coding, own in (("gzip", headers["ETag"]), ("identity", min(tags, key=len))):
            for tag in tags:
                status, headers, body = get("/ui/", Accept_Encoding=coding, If_None_Match=tag)
                self.assertEqual((status, headers["ETag"]), (304 if tag == own else 200, own))
        for script in set(re.findall(rb'(?:src|href)="([^"]+)"', page)):
            path = "/ui/" + script.decode()
            self.assertEqual(gzip.decompress(get(path, Accept_Encoding="gzip")[2]), get(path, Accept_Encoding="identity")[2], path)

    def test_plain_http_is_no_answer(self):
        with socket.create_connection(("127.0.0.1", self.port), 30) as s:
            s.sendall(b"GET /api/v1/session HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertNotIn(b"HTTP/1.1 200", s.recv(1000))

    def test_a_session_by_link(self):
        link = self.a.ctl("console", "--admin", "boss", "-q").stdout.strip()
        self.assertTrue(link.startswith(f"https://127.0.0.1:{self.port}/ui/#c="), link)
        code = link.partition("#c=")[2]
        self.assertEqual(self.ask("POST", "/api/v1/session", {"code": code})[0], 201)
        cookie = self.headers["Set-Cookie"]
        self.assertRegex(cookie, r"^__Host-scepd=\S+; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure$")
        cookie = cookie.partition(";")[0]
        self.assertEqual(self.ask("GET", "/api/v1/session", Cookie=cookie)[1]["name"], "boss")
        own = f"https://localhost:{self.port}"
        self.assertEqual(self.ask("POST", "/api/v1/tokens", {}, Cookie=cookie, Origin="https://evil.example.org")[1]["code"],
                         "origin.foreign")
        self.assertEqual(self.ask("POST", "/api/v1/tokens", "{}", Cookie=cookie, Origin=own, Content_Type="text/plain")[0], 415)
        self.assertEqual(self.ask("POST", "/api/v1/tokens", {}, Cookie=cookie, Origin=own)[0], 201)
        self.assertEqual(self.ask("POST", "/api/v1/session", {"code": code})[1]["code"], "sign_in.refused")
        self.assertNotIn(code, self.a.log_text())

    def test_a_link_that_is_not_made(self):
        before = [t["id"] for t in self.a.json("admin", "token", "list")]
        r = self.a.ctl("console", "--admin", "boss", "--dry-run")
        self.assertEqual(r.stdout, "")
        self.assertIn("would make a link for boss", r.stderr)
        self.assertEqual([t["id"] for t in self.a.json("admin", "token", "list")], before)

    def test_a_certificate_that_is_revoked_meanwhile(self):
        base = os.path.join(self.dir, "cora")
        challenge = self.a.ctl("challenge", "new", "-q").stdout
        run(SCEPCTL, "client", "enrol", self.a.url + "/scep", "--subject", "CN=cora", "--key", base + ".key", "--out", base + ".pem",
            "--challenge-file", "-", input=challenge)
        c = self.connect(base)
        self.assertEqual(self.ask("GET", "/api/v1/admins", connection=c)[1]["code"], "sign_in.certificate")
        self.a.ctl("admin", "new", "cora", "--certificate", base + ".pem")
        self.assertEqual(self.ask("GET", "/api/v1/session", connection=c)[1]["name"], "cora")
        said = self.ask("GET", "/api/v1/audit?reads=true&actor=cora", token=self.token)[1]["items"]
        self.assertIn(("api.read", "/session"), [(e["event"], e["object"]) for e in said])
        serial = self.a.json("cert", "list")[0]["serial"]
        self.a.ctl("cert", "revoke", serial, "--reason", "hold", "--yes")
        self.assertEqual(self.ask("GET", "/api/v1/admins", connection=c)[0], 401)  # the same connection
        self.assertIn("revoked", self.ask("GET", "/api/v1/admins", connection=c)[1]["detail"])
        self.a.ctl("cert", "release", serial, "--yes")
        self.assertEqual(self.ask("GET", "/api/v1/session", connection=c)[1]["name"], "cora")
        self.a.ctl("admin", "disable", "cora")
        self.assertEqual(self.ask("GET", "/api/v1/admins", connection=c)[0], 401)
        # one of nobody's authority has the handshake, and no more
        other = os.path.join(self.dir, "other")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", other + ".key", "-out",
            other + ".pem", "-subj", "/CN=cora", "-days", "2")
        self.assertEqual(self.ask("GET", "/api/v1/admins", connection=self.connect(other))[1]["code"], "sign_in.certificate")

    def test_the_port_of_devices_has_none_of_it(self):
        c = http.client.HTTPConnection("127.0.0.1", self.a.port, timeout=30)
        self.addCleanup(c.close)
        for path in ("/api/v1/session", "/api/v1/openapi.json", "/ui/"):
            self.assertEqual(self.ask("GET", path, connection=c)[0], 404)
        self.assertEqual(self.ask("DELETE", "/scep", connection=c)[0], 405)


class Limits(Api):
    def test_slow_handshakes_leave_room(self):
        """More of them than there are connections: who speaks gets a place at once."""
        idle = []
        self.addCleanup(lambda: [s.close() for s in idle])
        for _ in range(300):
            idle.append(socket.create_connection(("127.0.0.1", self.port), 30))
        for _ in range(3):
            self.assertEqual(self.ask("GET", "/api/v1/session", token=self.token)[0], 200)

    def test_bodies(self):
        self.assertEqual(self.ask("POST", "/api/v1/admins", "x" * (300 * 1024), token=self.token)[1]["code"], "body.too_long")
        self.assertEqual(self.ask("POST", "/api/v1/admins", b"\xff\xfe{", token=self.token)[1]["code"], "body.malformed")

    def test_many_at_once(self):
        results = []

        def work():
            c = self.connect()
            for _ in range(10):
                results.append(self.status_of(c))

        threads = [threading.Thread(target=work) for _ in range(12)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        self.assertEqual(results, [200] * 120)

    def status_of(self, c):
        c.request("GET", "/api/v1/openapi.json")
        r = c.getresponse()
        r.read()
        return r.status



class Flood(Api):
    def hello(self):
        """What a client says first, to be said by many without computing anything."""
        out = ssl.MemoryBIO()
        client = self.context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            client.do_handshake()
        return out.read()

    def lines(self):
        return self.a.log_text().count("event=http.handshakes")

    def silent(self, n):
        for _ in range(n):
            s = socket.create_connection(("127.0.0.1", self.port), 60)
            self.addCleanup(s.close)
            yield s

    def enrol(self, name):
        base = os.path.join(self.dir, name)
        challenge = self.a.ctl("challenge", "new", "-q").stdout
        run(SCEPCTL, "client", "enrol", self.a.url + "/scep", "--subject", f"CN={name}", "--key", base + ".key", "--out", base + ".pem",
            "--challenge-file", "-", input=challenge)

    def test_handshakes(self):
        """Each takes a signature on the loop that serves devices: 100 at once and 100 a second at most, whenever they speak.  None
        is refused, and who comes behind them is served as well."""
        n, answered, hello, waiting = 250, [], self.hello(), selectors.DefaultSelector()
        self.addCleanup(waiting.close)
        began = time.monotonic()
        for s in self.silent(n):
            waiting.register(s, selectors.EVENT_READ)
        while self.lines() == 0:
            self.assertLess(time.monotonic() - began, 60, "those that say nothing count as well")
            time.sleep(0.05)
        for key in list(waiting.get_map().values()):
            key.fileobj.sendall(hello)
        administrator = threading.Thread(target=lambda: answers.append(self.ask("GET", "/api/v1/session", token=self.token)[0]))
        answers = []
        administrator.start()
        self.addCleanup(administrator.join)
        self.enrol("honest")
        while len(answered) < n:
            ready = waiting.select(60)
            self.assertTrue(ready, f"{len(answered)} of {n} were answered")
            for key, _ in ready:
                self.assertEqual(key.fileobj.recv(1), b"\x16")  # RFC 8446 section 5.1: a handshake, no alert
                answered.append(time.monotonic() - began)
                waiting.unregister(key.fileobj)
        self.assertLessEqual(self.lines(), 1 + answered[-1] // 60)
        for i, at in enumerate(answered):
            self.assertLessEqual(i + 1, 100 + 100 * (at + 0.1))
        administrator.join()
        self.assertEqual(answers, [200])

    def test_parts_of_a_handshake(self):
        """Who keeps the last octet back has nothing yet, and hinders nobody; nor does who sends what is no handshake."""
        hello = self.hello()
        parts = list(self.silent(100))
        for s in parts:
            s.sendall(hello[:-1])
        for s in self.silent(50):
            s.sendall(b"GET / HTTP/1.1\r\n\r\n")
            self.assertIn(s.recv(1), (b"\x15", b""))  # RFC 8446 section 5.1: an alert, or just the end
        self.assertEqual(self.ask("GET", "/api/v1/session", token=self.token)[0], 200)
        for s in parts:
            s.setblocking(False)
            self.assertRaises(BlockingIOError, s.recv, 1)
            s.setblocking(True)
            s.sendall(hello[-1:])
        self.enrol("honest-too")
        for s in parts:
            self.assertEqual(s.recv(1), b"\x16")


class Guessing(Api):
    def test_guessing(self):
        c = self.connect()
        seen = [self.ask("GET", "/api/v1/admins", connection=c, token=f"scepd_aaaaaaaa_{'a' * 31}{i}") for i in range(2, 10)]
        self.assertEqual({status for status, _ in seen}, {401})
        wrong = len(seen)
        while self.ask("GET", "/api/v1/admins", connection=c, token="x")[0] != 429:  # one more is given every half minute
            wrong += 1
            self.assertLess(wrong, 60)
        self.assertGreaterEqual(wrong, 10)
        self.assertLessEqual(int(self.headers["Retry-After"]), 30)
        # what devices do is another matter
        run(SCEPCTL, "client", "caps", self.a.url + "/scep")
        entries = [e for e in self.a.json("audit", "list", "--limit", "0") if e["event"] == "api.refused"]
        self.assertGreaterEqual(len(entries), 10)
        self.assertLessEqual(len(entries), wrong + 1)


class Reload(Api):
    def test_another_certificate(self):
        old = self.connect()
        self.assertEqual(self.ask("GET", "/api/v1/session", connection=old, token=self.token)[0], 200)
        self.certify(self.a)
        reloads = self.a.log_text().count("event=daemon.reloaded")
        self.a.process.send_signal(1)
        end = time.monotonic() + 60
        while self.a.log_text().count("event=daemon.reloaded") == reloads and time.monotonic() < end:
            time.sleep(0.05)
        new = self.connect()
        self.assertEqual(self.ask("GET", "/api/v1/session", connection=new, token=self.token)[0], 200)
        serials = [c.sock.getpeercert()["serialNumber"] for c in (old, new)]
        self.assertNotEqual(*serials)
        listed = [c for c in self.a.json("cert", "list") if c["serial"].upper() in serials]
        self.assertEqual([(c["subject"], c["san"]) for c in listed], [("CN=localhost", "DNS:localhost,IP:127.0.0.1")] * 2)
        self.assertEqual(self.ask("GET", "/api/v1/session", connection=old, token=self.token)[0], 200)
        with open(os.path.join(self.a.home, "keys", "api.key"), "w") as f:
            f.write("no key\n")
        self.a.process.send_signal(1)
        while "event=daemon.reload_failed" not in self.a.log_text() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertRegex(self.a.log_text(), r"reload_failed.*api\.key")
        self.assertEqual(self.ask("GET", "/api/v1/session", token=self.token)[0], 200)


class Plain(Api):
    tls = False

    def test_on_loopback(self):
        self.assertEqual(self.ask("GET", "/api/v1/session", token=self.token)[0], 200)
        code = self.a.ctl("console", "--admin", "boss", "-q").stdout.strip().partition("#c=")[2]
        self.assertEqual(self.ask("POST", "/api/v1/session", {"code": code})[0], 201)
        self.assertRegex(self.headers["Set-Cookie"], r"^scepd=\S+; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200$")
        self.assertIsNone(self.headers["Strict-Transport-Security"])

    def test_nowhere_else(self):
        with open(self.a.conf) as f:
            text = f.read()
        broken = os.path.join(self.a.home, "broken.conf")
        with open(broken, "w") as f:
            f.write(re.sub(r'api: \{ address = "127.0.0.1"', 'api: { address = "0.0.0.0"', text))
        r = run(SCEPCTL, "-c", broken, "config", "check", check=False)
        self.assertEqual(r.returncode, 7)
        self.assertIn("it needs certificate and key", r.stdout + r.stderr)


if __name__ == "__main__":
    unittest.main()
