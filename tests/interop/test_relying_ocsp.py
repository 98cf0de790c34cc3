"""Relying parties that ask by OCSP: openssl ocsp, GnuTLS' ocsptool, nginx, Apache, FreeRADIUS, strongSwan and curl with stapling,
unmodified from Debian.

A good device is let in and a revoked one is not, although the same server let it in before; a certificate that the CA key
signed but the store does not know is unknown, and let in by none.  Nobody is told anything: no reload, no CRL."""

import base64
import os
import re
import signal
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, need, run
from relying import Apache, Forged, Nginx, Radius, RelyingCase, wait_for

HASHES = ("sha1", "sha256", "sha384", "sha512")


class Ocsp(RelyingCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.url = cls.a.url + "/ocsp/demo"

    def ask(self, *what, url=None, options=(), check=True):
        """openssl ocsp: certificates and numbers in one request; what it printed."""
        r = run("openssl", "ocsp", "-issuer", self.a.ca, "-CAfile", self.a.ca, "-url", url or self.url, *options, *what, check=False)
        if check and (r.returncode or "Response verify OK" not in r.stderr):
            raise AssertionError(f"{r.stdout}\n{r.stderr}\n{self.a.log_text()[-2000:]}")
        return r.stdout + r.stderr

    # ---- openssl ocsp ----

    def test_openssl(self):
        """RFC 6960 section 2.2: good, revoked with reason and time, unknown."""
        good, lost, held = self.device("good"), self.device("lost"), self.device("held")
        self.assertIn("good.pem: good", self.ask("-cert", good.cert))
        self.assertIn("lost.pem: good", self.ask("-cert", lost.cert))
        lost.revoke()
        held.revoke("hold")
        for url in (self.url, self.a.url + "/ocsp"):
            text = self.ask("-cert", lost.cert, url=url)
            self.assertIn("lost.pem: revoked", text)
            self.assertIn("Reason: keyCompromise", text)
            self.assertIn("Revocation Time: ", text)
            self.assertIn("Reason: certificateHold", self.ask("-cert", held.cert, url=url))
            self.assertIn("good.pem: good", self.ask("-cert", good.cert, url=url))
        self.assertIn("0x4711: unknown", self.ask("-serial", "0x4711"))
        held.release()
        self.assertIn("held.pem: good", self.ask("-cert", held.cert))

    def test_every_hash_several_and_nonces(self):
        """RFC 6960 section 4.1.1: several certificates in one request, each with the hash that it likes."""
        good, lost = self.device("several"), self.device("and-lost")
        lost.revoke("superseded")
        for name in HASHES:
            self.assertIn("several.pem: good", self.ask("-" + name, "-cert", good.cert))
        for options in ((), ("-no_nonce",)):
            text = self.ask(*(word for name in HASHES for d in (good, lost) for word in ("-" + name, "-cert", d.cert)), "-sha256",
                            "-serial", "0x4712", options=options)
            self.assertEqual((text.count("several.pem: good"), text.count("and-lost.pem: revoked"), text.count("0x4712: unknown")),
                             (len(HASHES), len(HASHES), 1), text)
            self.assertNotIn("WARNING", text)  # as where a nonce is missing

    def test_get_by_curl(self):
        """RFC 6960 appendix A.1: the request is the path; the answer is the one that POST gives."""
        lost = self.device("by-get")
        lost.revoke()
        request, answer = self.path("request.der"), self.path("answer.der")
        run("openssl", "ocsp", "-issuer", self.a.ca, "-cert", lost.cert, "-no_nonce", "-reqout", request)
        with open(request, "rb") as f:
            text = base64.b64encode(f.read()).decode()
        for path in (text, urllib.parse.quote(text, safe="")):
            run("curl", "-sSf", "--path-as-is", "-o", answer, f"{self.url}/{path}")
            r = run("openssl", "ocsp", "-respin", answer, "-issuer", self.a.ca, "-cert", lost.cert, "-CAfile", self.a.ca)
            self.assertIn("by-get.pem: revoked", r.stdout)
            self.assertIn("Response verify OK", r.stderr)

    # ---- GnuTLS ----

    def test_gnutls(self):
        good, lost, strange = self.device("g-good"), self.device("g-lost"), Forged(self, "g-strange")
        lost.revoke()
        for more in ((), ("--nonce",)):
            for device, status in ((good, "good"), (lost, "revoked"), (strange, "unknown")):
                r = run("ocsptool", "--ask=" + self.url, "--load-cert", device.cert, "--load-issuer", self.a.ca, "--load-trust", self.a.ca,
                        *more, check=False)
                self.assertRegex(r.stdout, rf"Certificate Status: {status}", r.stderr)
                self.assertIn("Verifying OCSP Response: Success", r.stdout, r.stderr)

    # ---- servers that ask for each client ----

    def turned_away(self, lets_in):
        """One device is in and one out after `revoke`; one that nobody issued never is."""
        good, lost, strange = self.device("in"), self.device("out"), Forged(self, "strange")
        self.assertTrue(lets_in(good))
        self.assertTrue(lets_in(lost))
        self.assertFalse(lets_in(strange))
        lost.revoke()
        self.assertFalse(lets_in(lost), "revoked, acknowledged, and let in")
        self.assertTrue(lets_in(good))

    def test_nginx(self):
        """ssl_ocsp without a cache asks the responder that the certificate names at each handshake."""
        nginx = Nginx(self, self.server(), f"ssl_client_certificate {self.a.ca}; ssl_verify_client on; ssl_ocsp leaf;")
        self.turned_away(lambda d: {"200": True, "400": False}[nginx.status(d)])
        self.assertIn("certificate revoked", nginx.log_text())

    def test_nginx_with_a_cache(self):
        """It asks the responder that it is told, and keeps what it heard until nextUpdate: that is the delay."""
        server, good, lost = self.server(), self.device("kept-good"), self.device("kept-lost")
        lines = f"ssl_client_certificate {self.a.ca}; ssl_verify_client on; ssl_ocsp leaf; ssl_ocsp_responder {self.a.url}/ocsp;"
        keeps, asks = Nginx(self, server, lines, "ssl_ocsp_cache shared:ocsp:1m;"), Nginx(self, server, lines)
        for nginx in (keeps, asks):
            self.assertEqual([nginx.status(d) for d in (good, lost)], ["200", "200"])
        lost.revoke()
        self.assertEqual([nginx.status(lost) for nginx in (keeps, asks)], ["200", "400"])

    def test_apache(self):
        """SSLOCSPUseRequestNonce is on by default, with 16 octets, and insisted on."""
        apache = Apache(self, self.server(), f"SSLCACertificateFile {self.a.ca}\nSSLVerifyClient require\nSSLOCSPEnable on\n")
        self.turned_away(apache.lets_in)

    def test_apache_with_another_responder(self):
        apache = Apache(self, self.server(), f"SSLCACertificateFile {self.a.ca}\nSSLVerifyClient require\nSSLOCSPEnable on\n"
                        f"SSLOCSPDefaultResponder {self.a.url}/ocsp\nSSLOCSPOverrideResponder on\n")
        self.turned_away(apache.lets_in)

    def test_radius(self):
        """EAP-TLS; the nonce has 8 octets and must come back."""
        radius = Radius(self, self.server(), f"""ca_file = {self.a.ca}
            ocsp {{
                enable = yes
                override_cert_url = no
                use_nonce = yes
                timeout = 10
                softfail = no
            }}""")
        self.turned_away(radius.lets_in)
        self.assertIn("Cert status: revoked", radius.log_text())

    def test_strongswan(self):
        """The revocation plugin of charon, by pki --verify --online: OCSP first, a CRL only where that fails."""
        def lets_in(device):
            r = run(need("pki"), "--verify", "--in", device.cert, "--cacert", self.a.ca, "--online", check=False)
            self.assertIn("ocsp response is valid", r.stderr)
            self.assertNotIn("fetching crl", r.stderr)
            return "certificate status is good" in r.stderr
        good, lost = self.device("in"), self.device("out")
        self.assertTrue(lets_in(good))
        self.assertTrue(lets_in(lost))
        lost.revoke()
        self.assertFalse(lets_in(lost))

    # ---- stapling ----

    def test_stapling(self):
        """nginx fetches the answer for its own certificate and staples it; curl insists on it."""
        lines = f"ssl_stapling on; ssl_stapling_verify on; ssl_trusted_certificate {self.a.ca};"
        server = self.server("stapled")
        nginx = Nginx(self, server, lines)
        wait_for("nginx staples", lambda: nginx.status(None, "--cert-status") == "200", said=nginx.log_text)
        server.revoke()
        # What is stapled holds until nginx asks again; a new nginx never gets a good answer.
        again = Nginx(self, server, lines)
        wait_for("nginx has asked", lambda: again.status(None, "--cert-status") != "200" and "certificate status \"revoked\"" in
                 again.log_text())
        self.assertEqual(again.status(None), "200")


class RolledOver(RelyingCase):
    """The authority has a new key: what the old one issued is still told of, signed for that key."""

    def status(self, device, ca, url):
        r = run("openssl", "ocsp", "-issuer", ca, "-CAfile", ca, "-cert", device.cert, "-url", url, check=False)
        if r.returncode:
            return r.stdout + r.stderr
        self.assertIn("Response verify OK", r.stderr)
        return r.stdout.split()[1]

    def url_in(self, device):
        return run("openssl", "x509", "-in", device.cert, "-noout", "-ocsp_uri").stdout.strip()

    def test_both_keys(self):
        old, lost = self.device("old"), self.device("old-lost")
        self.a.ctl("ca", "rollover", "new", "--by-hand")
        self.a.ctl("ca", "rollover", "activate", "--yes", "--expect", "demo")
        first = run(SCEPCTL, "client", "getca", self.a.url + "/scep").stdout
        self.a.process.send_signal(signal.SIGHUP)
        wait_for("the new CA has taken over", lambda: run(SCEPCTL, "client", "getca", self.a.url + "/scep").stdout != first)
        second, der = self.path("second.pem"), self.path("second.der")
        with open(der, "wb") as f:
            f.write(self.a.get("/ca/demo-g2.crt"))
        run("openssl", "x509", "-inform", "DER", "-in", der, "-out", second)
        new = self.device("new")
        self.assertEqual(self.url_in(old), self.url)
        self.assertNotEqual(self.url_in(new), self.url)
        lost.revoke()
        for url in (self.url_in(old), self.a.url + "/ocsp"):
            self.assertEqual(self.status(old, self.a.ca, url), "good")
            self.assertEqual(self.status(lost, self.a.ca, url), "revoked")
        # Its responder is made when it is seen to have none.
        wait_for("the new key has a responder", lambda: self.status(new, second, self.url_in(new)) == "good")
        self.assertEqual(self.status(new, second, self.a.url + "/ocsp"), "good")
        new.revoke()
        self.assertEqual(self.status(new, second, self.url_in(new)), "revoked")
        # Each key has its list, and each list its own.
        wait_for("the list of the old key", lambda: lost.serial in self.list_of(old) and new.serial not in self.list_of(old))
        wait_for("the list of the new key", lambda: new.serial in self.list_of(new) and lost.serial not in self.list_of(new))

    def list_of(self, device):
        url = re.search(r"URI:(http\S+\.crl)", run("openssl", "x509", "-in", device.cert, "-noout", "-text").stdout)[1]
        with open(self.path("one.crl"), "wb") as f:
            f.write(self.a.get(url.removeprefix(self.a.url)))
        return run("openssl", "crl", "-inform", "DER", "-in", self.path("one.crl"), "-noout", "-text").stdout.lower()

    @property
    def url(self):
        return self.a.url + "/ocsp/demo"


if __name__ == "__main__":
    unittest.main()
