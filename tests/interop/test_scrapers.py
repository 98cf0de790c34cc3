"""MDM products in front of the page of NDES and of the webhooks: read as each of them reads, over TLS, by Basic; and what was read
is used by a real client at the endpoint."""

import base64
import hashlib
import http.client
import json
import os
import re
import shlex
import ssl
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import scrapers
from harness import SCEPCTL, Authority, AuthorityCase, free_port, need, run

PATHS = {"utf-16": "/certsrv/mscep_admin", "utf-16le": "/pages/le", "utf-8": "/pages/utf8"}
NDES_SCEP = "/certsrv/mscep/mscep.dll"
EVENT = {"webhook": {"id": 1, "name": "SCEP", "eventTimestamp": 1553550275590, "webhookEvent": "SCEPChallenge"},
         "event": {"scepServerUrl": "http://scep.example.org/scep", "payloadIdentifier": "com.example.scep",
                   "payloadTypes": ["com.apple.security.scep"], "targetDevice": {"serialNumber": "C02<B>\"'\n"}}}


class Products(AuthorityCase):

    @classmethod
    def settings(cls, text):
        """The demo's, with an API over TLS and a page in each encoding."""
        cls.api_port = free_port()
        text = re.sub(r"(?m)^api: \{.*?\};\n", "", text, flags=re.S)
        pages = "".join(f'{{ endpoint = "/scep"; path = "{path}"; encoding = "{encoding}"; }},\n'
                        for encoding, path in PATHS.items())
        return text + f"""
api: {{ port = {cls.api_port}; certificate = "keys/api.pem"; key = "keys/api.key"; }};
ndes = ( {pages} {{ endpoint = "/scep"; path = "/pages/few"; cache = 3; }},
         {{ endpoint = "/scep"; path = "/pages/crowd"; cache = 40; encoding = "utf-8"; password_length = 16; }},
         {{ endpoint = "/scep/static"; path = "/pages/single"; single_password = true; }} );
challenge_hooks = ( {{ name = "jamf"; endpoint = "/scep"; validity = "10m"; }} );
"""

    @classmethod
    def setUpClass(cls):
        certify = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                                  "-", "-subj", "/CN=localhost", "-days", "30", "-addext", "subjectAltName=DNS:localhost"],
                                 capture_output=True, text=True, check=True).stdout
        cls.a = Authority(edit=cls.settings)
        cls.addClassCleanup(cls.a.close)
        cls.tls = os.path.join(cls.a.home, "keys", "api.pem")
        for name, words in (("api.pem", "CERTIFICATE"), ("api.key", "PRIVATE KEY")):
            pem = re.search(rf"-----BEGIN {words}-----.*?-----END {words}-----\n", certify, re.S).group(0)
            with open(os.path.join(cls.a.home, "keys", name), "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
                f.write(pem)
        with open(os.path.join(cls.a.home, "keys", "static-challenge"), "w") as f:
            f.write("8CE317021F6900698CE317021F690069\n")
        cls.a.start()
        cls.token = cls.new_token("mdm", "operator")

    @classmethod
    def new_token(cls, name, role):
        cls.a.ctl("admin", "new", name, "--role", role)
        return cls.a.ctl("admin", "token", "new", name, "-q").stdout.strip()

    # ---- asking ----

    def context(self):
        return ssl.create_default_context(cafile=self.tls)

    def ask(self, path, user="mdm", token=None, method="GET", body=None, **headers):
        """Status, headers and body.  `user` None: nobody signs in."""
        c = http.client.HTTPSConnection("localhost", self.api_port, timeout=60, context=self.context())
        try:
            head = {k.replace("_", "-"): v for k, v in headers.items()}
            if user is not None:
                secret = f"{user}:{self.token if token is None else token}".encode()
                head["Authorization"] = "Basic " + base64.b64encode(secret).decode()
            c.request(method, path, body, head)
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()

    def page(self, path, **more):
        status, headers, body = self.ask(path, **more)
        self.assertEqual(status, 200, body)
        return headers, body

    def curl(self, *args):
        return run(need("curl"), "-sS", "--cacert", self.tls, *args, check=False)

    def url(self, path):
        return f"https://localhost:{self.api_port}{path}"

    def challenges(self):
        return self.a.json("challenge", "list", "--limit", "0")

    def enrol(self, name, challenge, endpoint=NDES_SCEP, check=True):
        """By our own client; its certificate."""
        run(SCEPCTL, "client", "enrol", self.a.url + endpoint, "--subject", f"CN={name}", "--key", self.path(name + ".key"), "--out",
            self.path(name + ".pem"), "--challenge-file", "-", input=challenge, check=check)
        return self.path(name + ".pem")

    # ---- the page ----

    def test_every_reader_in_every_encoding(self):
        for encoding, path in PATHS.items():
            for name, (read, encodings) in scrapers.SCRAPERS.items():
                if encoding not in encodings:
                    continue
                with self.subTest(encoding=encoding, reader=name):
                    headers, raw = self.page(path)
                    self.assertEqual(headers["Content-Type"], "text/html")
                    self.assertEqual(headers["Cache-Control"], "no-store")
                    self.assertEqual(headers["Content-Length"], str(len(raw)))
                    secret = read(raw, headers)
                    self.assertRegex(secret, r"^[0-9A-F]{16}$")
                    device = re.sub(r"\W", "", name + encoding)
                    self.assert_good_certificate(self.enrol(device, secret), "CN=" + device)

    def test_scripts_of_shells(self):
        for encoding, path in PATHS.items():
            with self.subTest(encoding=encoding):
                fetch = f"curl -sS --cacert {shlex.quote(self.tls)} -u mdm:{self.token} {self.url(path)} | {scrapers.SHELL}"
                secret = run("sh", "-c", fetch).stdout.strip()
                self.assertRegex(secret, r"^[0-9A-F]{16}$")
                self.enrol("shell-" + encoding, secret)

    def test_strongswan_enrols_with_it(self):
        headers, raw = self.page(PATHS["utf-16"])
        key = self.make_key()
        run(need("pki"), "--scepca", "--url", self.a.url + NDES_SCEP, "--caout", self.path("ca.pem"), "--raout", self.path("ra.pem"),
            "--outform", "pem", "--force")
        with open(key) as stdin:
            r = subprocess.run(["pki", "--scep", "--url", self.a.url + NDES_SCEP, "--dn", "CN=scraped", "--cacert-enc",
                                self.path("ra.pem"), "--cacert-sig", self.path("ra.pem"), "--cacert", self.path("ca.pem"), "--outform",
                                "pem", "--password", scrapers.fleet(raw, headers)], stdin=stdin, capture_output=True, timeout=60)
        self.assertEqual(r.returncode, 0, r.stderr)
        with open(self.path("cert.pem"), "wb") as f:
            f.write(r.stdout)
        self.assert_good_certificate(self.path("cert.pem"), "CN=scraped")

    def test_thumbprint_is_the_ca(self):
        der = run("openssl", "x509", "-in", self.a.ca, "-outform", "DER", "-out", self.path("ca.der")) and open(self.path("ca.der"), "rb")
        with der:
            md5 = hashlib.md5(der.read(), usedforsecurity=False).hexdigest().upper()
        _, raw = self.page(PATHS["utf-8"])
        groups = " ".join(md5[i:i + 8] for i in range(0, 32, 8))
        self.assertIn(f" <P> The thumbprint (hash value) for the CA certificate is: <B> {groups} </B> ".encode(), raw)

    def test_names_as_products_write_them(self):
        for user in ("MDM", "EXAMPLE\\mdm", "mdm@example.org"):
            _, raw = self.page(PATHS["utf-8"], user=user)
            self.assertRegex(scrapers.fleet(raw, {}), r"^[0-9A-F]{16}$")

    def test_probes_make_nothing(self):
        before = len(self.challenges())
        for path in ("/certsrv/mscep_admin", "/CertSrv/mscep_admin/", "/certsrv/mscep_admin/mscep.dll"):
            for method in ("GET", "HEAD", "POST"):
                status, headers, body = self.ask(path, user=None, method=method)
                self.assertEqual((status, headers["WWW-Authenticate"]), (401, 'Basic realm="scepd", charset="UTF-8"'))
                self.assertNotIn(b"password is", body.replace(b"\0", b""))
            self.assertEqual(self.ask(path, method="HEAD")[0::2], (200, b""))
            status, headers, _ = self.ask(path, method="POST", body="x")
            self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))
        self.assertEqual(self.ask(PATHS["utf-16"], Sec_Fetch_Site="cross-site")[0], 403)
        self.assertEqual(self.ask("/certsrv/mscep_admin/../mscep_admin")[0], 404)
        self.assertEqual(len(self.challenges()), before)

    def test_clients_that_would_rather_have_ntlm(self):
        """Those that take what is offered get in; who insists on NTLM gets 401 and makes nothing."""
        r = self.curl("--anyauth", "-u", f"EXAMPLE\\mdm:{self.token}", self.url(PATHS["utf-8"]))
        self.assertIn("The enrollment challenge password is: <B> ", r.stdout)
        before = len(self.challenges())
        r = self.curl("--ntlm", "-u", f"EXAMPLE\\mdm:{self.token}", "-o", self.path("page"), "-w", "%{http_code}", self.url(PATHS["utf-8"]))
        if "401" not in r.stdout:  # a curl without NTLM says so itself
            self.assertNotEqual(r.returncode, 0)
        self.assertEqual(len(self.challenges()), before)

    def test_an_auditor_is_told(self):
        token = self.new_token("anna", "auditor")
        for encoding, path in PATHS.items():
            headers, raw = self.page(path, user="anna", token=token)
            self.assertEqual(scrapers.fleet(raw, headers), scrapers.FORBIDDEN)
        refused = [e for e in self.a.json("audit", "list") if e["event"] == "api.refused" and e["actor"] == "anna"]
        self.assertEqual(len(refused), 3)

    def test_one_password_for_all(self):
        secret = set()
        for name, (read, encodings) in scrapers.SCRAPERS.items():
            headers, raw = self.page("/pages/single")
            secret.add(read(raw, headers))
        self.assertIn("8CE317021F6900698CE317021F690069", secret)
        secret.discard("8CE317021F6900698CE317021F690069")
        self.assertLessEqual(secret, {scrapers.NOTHING})  # PowerShell's script wants sixteen digits
        for name in ("one", "two"):
            self.enrol("single-" + name, "8CE317021F6900698CE317021F690069", "/scep/static")

    # ---- how many, and a restart ----

    def test_full_restart_and_free(self):
        secrets = []
        for _ in range(3):
            headers, raw = self.page("/pages/few")
            secrets.append(scrapers.fleet(raw, headers))
        self.assertEqual(len(set(secrets)), 3)
        for kill in (False, True):
            headers, raw = self.page("/pages/few")
            for name in ("Fleet", "ManageEngine", "Flask portal", "PowerShell"):
                self.assertEqual(scrapers.SCRAPERS[name][0](raw, headers), scrapers.FULL, name)
            self.assertIn("event=ndes.full", self.a.log_text())
            self.a.kill() if kill else self.a.stop()
            self.a.start()
        self.enrol("after-restart", secrets[0])  # made before, used after
        headers, raw = self.page("/pages/few")
        fourth = scrapers.fleet(raw, headers)
        self.assertRegex(fourth, r"^[0-9A-F]{16}$")
        headers, raw = self.page("/pages/few")
        self.assertEqual(scrapers.fleet(raw, headers), scrapers.FULL)
        of_page = [c for c in self.challenges() if c["label"] == "ndes /pages/few" and c["state"] == "active"]
        self.assertEqual(len(of_page), 3)
        self.a.ctl("challenge", "revoke", of_page[0]["id"])
        headers, raw = self.page("/pages/few")
        self.assertRegex(scrapers.fleet(raw, headers), r"^[0-9A-F]{16}$")
        self.a.ctl("store", "verify")  # fails when anything is wrong, the count of a pool too

    def test_many_at_once(self):
        """Sixty at once for forty slots: forty of them, all different, all good; nobody is kept waiting or sent away otherwise."""
        got, lock = [], threading.Lock()

        def fetch():
            for _ in range(5):
                headers, raw = self.page("/pages/crowd")
                with lock:
                    got.append(scrapers.fleet(raw, headers))
        threads = [threading.Thread(target=fetch) for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        good = [g for g in got if g != scrapers.FULL]
        self.assertEqual((len(got), len(good), len(set(good))), (60, 40, 40))
        self.enrol("crowd-first", good[0])
        self.enrol("crowd-last", good[-1])

    # ---- webhooks ----

    def post(self, path, body, **more):
        more.setdefault("Content_Type", "application/json")
        return self.ask(path, method="POST", body=body if isinstance(body, (str, bytes)) else json.dumps(body), **more)

    def test_jamf_puts_it_into_the_profile(self):
        status, headers, body = self.post("/hooks/challenge/jamf", EVENT)
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain"))
        self.assertRegex(body.decode(), r"\A[0-9A-Z]{4}(-[0-9A-Z]{4}){3}\Z")
        self.assert_good_certificate(self.enrol("jamf-device", body.decode(), "/scep"), "CN=jamf-device")
        made = [c for c in self.challenges() if c["label"] == "hook jamf"]
        self.assertNotIn("C02", json.dumps(made))  # nothing of the body is taken over

    def test_programs_read_json(self):
        status, headers, body = self.post("/hooks/challenge/jamf/json", "", user=None, Authorization="Bearer " + self.token)
        answer = json.loads(body)
        self.assertEqual((status, sorted(answer)), (200, ["challenge", "expires_at", "id", "url"]))
        self.assertEqual(answer["url"], self.a.url + "/scep")
        self.enrol("json-device", answer["challenge"], "/scep")

    def test_hostile_webhooks(self):
        before = len(self.challenges())
        for body, status in (("{", 400), ("[]", 400), ('{"a":1,"a":2}', 400), ("[" * 100000, 400), ("x" * 300000, 413),
                             ({"webhook": {"webhookEvent": "ComputerAdded"}}, 422), (b'{"a":"\xff"}', 400)):
            self.assertEqual(self.post("/hooks/challenge/jamf", body)[0], status, str(body)[:40])
        self.assertEqual(self.post("/hooks/challenge/jamf", EVENT, Content_Type="text/plain")[0], 415)
        self.assertEqual(self.post("/hooks/challenge/other", EVENT)[0], 404)
        self.assertEqual(self.post("/hooks/challenge/jamf", EVENT, user=None)[0], 401)
        self.assertEqual(self.ask("/hooks/challenge/jamf")[0], 405)
        self.assertEqual(len(self.challenges()), before)

    def test_zz_guessing(self):
        """The last one, by its name: this address has to wait afterwards."""
        statuses = [self.ask(PATHS["utf-16"], user="mdm", token=f"scepd_tok_00000000_{i:032d}")[0] for i in range(40)]
        self.assertEqual(statuses[0], 401)
        self.assertEqual(statuses[-1], 429)
        self.assertEqual(set(statuses), {401, 429})
        status, headers, body = self.ask(PATHS["utf-16"], user="mdm", token="x")
        self.assertGreater(int(headers["Retry-After"]), 0)


if __name__ == "__main__":
    unittest.main()
