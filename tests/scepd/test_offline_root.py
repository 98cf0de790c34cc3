"""The ceremony of docs/OFFLINE-ROOT.md, its commands taken from the page; what is served of it, and what is refused."""

import email.utils
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, SCEPD, Authority, free_port, run

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PAGE = os.path.join(TOP, "docs", "OFFLINE-ROOT.md")


def commands(heading):
    """Those of one part of the page, in order."""
    with open(PAGE) as f:
        part = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", f.read(), re.M | re.S).group(1)
    return textwrap.dedent("\n".join(line for line in part.splitlines() if line.startswith("    ")))


class Home(Authority):

    def __init__(self, directory):
        self.env, self.process = None, None
        self.home = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.conf = os.path.join(self.home, "scepd.conf")
        self.log_path = os.path.join(self.home, "log")


class OfflineRoot(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="scepd-offline-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, True)
        cls.a = Home(os.path.join(cls.dir, "home"))
        cls.work = os.path.join(cls.dir, "ceremony")
        os.mkdir(cls.work)
        cls.env = {**os.environ, "SCEPD_HOME": cls.a.home, "SCEPD_URL": cls.a.url,
                   "PATH": os.path.dirname(SCEPCTL) + ":" + os.environ["PATH"]}
        cls.sh(commands("Before the first ceremony"))
        with open(cls.a.conf) as f:
            text = f.read()
        with open(cls.a.conf, "w") as f:
            f.write(text.replace("port = 8080;", f"port = {cls.a.port};").replace("port = 8081;", "port = 0;"))
        cls.a.start()
        cls.addClassCleanup(cls.a.stop)

    @classmethod
    def sh(cls, script, check=True):
        r = subprocess.run(["sh", "-e", "-c", script], cwd=cls.work, env=cls.env, capture_output=True, text=True, timeout=120)
        if check and r.returncode:
            raise AssertionError(f"{script}\n{r.stdout}{r.stderr}")
        return r

    def refused(self, script, *says):
        r = self.sh(script, check=False)
        self.assertNotEqual(r.returncode, 0, r.stdout)
        for text in says:
            self.assertIn(text, r.stderr)

    def get(self, path, **headers):
        with urllib.request.urlopen(urllib.request.Request(self.a.url + path, headers=headers), timeout=10) as r:
            return r.read(), r.headers

    def served(self, path, wanted):
        """That list, which is served a second or two after it was brought."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                body, headers = self.get(path)
                if body == wanted:
                    return headers
            except urllib.error.HTTPError as e:
                self.assertEqual(e.code, 404)
                e.close()
            time.sleep(0.05)
        self.fail(path + " is not what was brought")

    def file(self, name):
        with open(os.path.join(self.work, name), "rb") as f:
            return f.read()

    def check(self, name):
        """How `scepctl status` sees it."""
        for c in json.loads(self.a.ctl("status", "--json", check=False).stdout)["checks"]:
            if c["name"] == name:
                return c
        return None

    def ask(self, *more, check=True):
        return self.sh("openssl ocsp -issuer root.pem -cert answer.pem -CAfile root.pem -url $SCEPD_URL/ocsp " + " ".join(more),
                       check=check)

    def test_1_nothing_is_made_up(self):
        with self.assertRaises(urllib.error.HTTPError) as e:
            self.get("/crl/main-1.crl")
        self.assertEqual(e.exception.code, 404)
        r = self.ask("-no_nonce", check=False)
        self.assertIn("unauthorized", r.stdout + r.stderr)
        self.assertIsNone(self.check("offline"))

    def test_2_the_ceremony(self):
        self.sh(commands("Each ceremony"))
        # the list, from the address in the certificate below
        out = self.sh("openssl x509 -in answer.pem -noout -ext crlDistributionPoints").stdout
        self.assertIn(self.a.url + "/crl/main-1.crl", out)
        self.sh("openssl crl -in root.crl -outform DER -out root.der")
        body = self.file("root.der")
        headers = self.served("/crl/main-1.crl", body)
        self.assertEqual(headers["Content-Type"], "application/pkix-crl")
        self.assertIn("max-age=", headers["Cache-Control"])
        with self.assertRaises(urllib.error.HTTPError) as e:
            self.get("/crl/main-1.crl", **{"If-None-Match": headers["ETag"]})
        self.assertEqual(e.exception.code, 304)
        # the whole chain of a device, each with its list
        with open(os.path.join(self.work, "fetched.crl"), "wb") as f:
            f.write(body)
        self.sh(f"""
            scepctl challenge new -q > challenge
            scepctl client enrol -q $SCEPD_URL/scep --subject CN=device --key device.key --out device.pem --challenge-file challenge
            curl -sSf -o own.crl $SCEPD_URL/crl/main.crl
            openssl crl -inform DER -in own.crl -out lists.pem
            openssl crl -inform DER -in fetched.crl >> lists.pem
            openssl verify -x509_strict -crl_check_all -CRLfile lists.pem -CAfile root.pem -untrusted answer.pem device.pem""")
        # OCSP, by both hashes, with and without nonce, by POST and by GET
        for more in (["-no_nonce"], [], ["-no_nonce", "-url", "$SCEPD_URL/ocsp/main"]):
            with self.subTest(more=more):
                r = self.ask(*more)
                self.assertIn("answer.pem: good", r.stdout)
                self.assertIn("Response verify OK", r.stderr)
        r = self.sh("openssl ocsp -sha256 -issuer root.pem -cert answer.pem -CAfile root.pem -no_nonce -url $SCEPD_URL/ocsp")
        self.assertIn("answer.pem: good", r.stdout)
        self.sh("openssl base64 -A -in asked.der -out asked.b64")
        body, headers = self.get("/ocsp/" + urllib.request.quote(self.file("asked.b64").decode(), safe=""))
        self.assertEqual(headers["Content-Type"], "application/ocsp-response")
        self.assertEqual(body, self.file("answer.ocsp"))
        self.assertIn("max-age=", headers["Cache-Control"])
        self.assertGreater(email.utils.parsedate_to_datetime(headers["Expires"]).timestamp(), time.time())
        # two at once: not what was signed
        r = self.ask("-no_nonce", "-cert", "answer.pem", check=False)
        self.assertIn("unauthorized", r.stdout + r.stderr)
        self.assertEqual(self.check("offline")["status"], "pass")
        events = [e["event"] for e in self.a.json("audit", "list")]
        self.assertEqual(events.count("crl.imported"), 1)
        self.assertEqual(events.count("ocsp.imported"), 2)

    def test_3_what_is_refused(self):
        self.sh("""cp index.txt index.kept
            openssl ca -config root.cnf -gencrl -crldays 100 -out later.crl
            scepctl crl import -n later.crl
            scepctl crl import later.crl""")
        self.refused("scepctl crl import root.crl", "is older than number")
        self.refused("curl -sSf -o own.crl $SCEPD_URL/crl/main.crl; scepctl crl import own.crl",
                     "none of the issuers above an authority")
        self.refused("scepctl crl import answer.pem", "it is no CRL")
        self.refused("scepctl ocsp import root.crl", "no OCSP response")
        # another root of the same name
        self.sh("""mkdir -p other; cp root.cnf index.txt other/; echo 99 > other/crlnumber; cd other
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout root.key -out root.pem -subj "/CN=Example Root"
            openssl ca -config root.cnf -gencrl -out root.crl
            openssl ocsp -index index.txt -CA root.pem -rsigner root.pem -rkey root.key -reqin ../asked.der -ndays 9 -respout forged""")
        self.refused("scepctl crl import other/root.crl", "its signature is not by this authority")
        self.refused("scepctl ocsp import other/forged", "it was signed neither by")
        # an index of somebody else
        self.refused("""printf '' > empty; openssl ocsp -index empty -CA root.pem -rsigner root.pem -rkey root.key -reqin asked.der -ndays 9 -respout unknown
            scepctl ocsp import unknown""", "has it the right index?")
        # no end, an end that has passed, older than what is there
        self.refused("""openssl ocsp -index index.txt -CA root.pem -rsigner root.pem -rkey root.key -reqin asked.der -respout endless
            scepctl ocsp import endless""", "does not say until when")
        self.refused("""openssl ca -config root.cnf -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z -out ended.crl
            scepctl crl import ended.crl""", "it has ended on 2020-02-01")
        self.refused("""openssl ca -config root.cnf -gencrl -crl_lastupdate 20400101000000Z -crl_nextupdate 20400201000000Z -out early.crl
            scepctl crl import early.crl""", "it begins on 2040-01-01")
        self.refused("printf '0\\003\\012\\001\\001' > refusal; scepctl ocsp import refusal", "it is the refusal")
        # a responder that the root issued for something else
        self.refused("""openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout r.key -subj /CN=R -out r.csr
            openssl x509 -req -in r.csr -CA root.pem -CAkey root.key -days 300 -out r.pem
            openssl ocsp -index index.txt -CA root.pem -rsigner r.pem -rkey r.key -reqin asked.der -ndays 9 -respout by-r
            scepctl ocsp import by-r""", "it was signed neither by")
        self.served("/crl/main-1.crl", subprocess.run(
            ["openssl", "crl", "-in", os.path.join(self.work, "later.crl"), "-outform", "DER"], capture_output=True).stdout)

    def test_4_a_responder_of_the_root(self):
        self.sh("""printf 'extendedKeyUsage = OCSPSigning\\n' > ext
            openssl x509 -req -in r.csr -CA root.pem -CAkey root.key -days 300 -extfile ext -out d.pem
            openssl ocsp -index index.txt -CA root.pem -rsigner d.pem -rkey r.key -reqin asked.der -ndays 60 -respout by-d
            scepctl ocsp import by-d""")
        self.assertIn("answer.pem: good", self.ask("-no_nonce").stdout)
        self.refused("""openssl ocsp -index index.txt -CA root.pem -rsigner d.pem -rkey r.key -reqin asked.der -ndays 400 -respout long
            scepctl ocsp import long""", "for longer than the certificate of its signer")

    def test_5_it_is_in_backups(self):
        backup = os.path.join(self.dir, "backup")
        self.a.ctl("store", "backup", backup)
        served = self.get("/crl/main-1.crl")[0]
        self.assertEqual(self.a.stop(), 0)
        shutil.rmtree(os.path.join(self.a.home, "store"))
        self.a.ctl("store", "restore", "--yes", "--expect", "main", backup)
        self.a.start()
        self.assertEqual(self.get("/crl/main-1.crl")[0], served)
        self.assertIn("answer.pem: good", self.ask("-no_nonce").stdout)
        self.assertIn("0 problems", self.a.ctl("store", "verify").stdout + self.a.ctl("store", "verify").stderr)

    def test_6_the_certificate_is_revoked(self):
        """By the root: the next ceremony tells, and what told otherwise is refused from then on."""
        self.sh("""openssl ca -config root.cnf -revoke answer.pem -crl_reason cessationOfOperation
            openssl ocsp -index index.txt -CA root.pem -rsigner root.pem -rkey root.key -reqin asked.der -ndays 200 -respout revoked.ocsp
            scepctl ocsp import revoked.ocsp""")
        self.assertIn("answer.pem: revoked", self.ask("-no_nonce").stdout)
        self.refused("scepctl ocsp import answer.ocsp", "it is older than the one that is here")
        self.assertIn("answer.pem: revoked", self.ask("-no_nonce").stdout)


if __name__ == "__main__":
    unittest.main()
