"""The endpoints of the sample configuration that are named after kinds of clients, each asked in the shapes of its own."""

import base64
import json
import os
import re
import secrets
import sys
import unittest
from urllib.parse import quote

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, run
from shapes import PROTECTION_512, TYPE, Device, ShapesCase, lines

SAMPLE = os.path.join(os.path.dirname(__file__), "..", "..", "conf", "scepd.conf.sample")


class NamedEndpoints(ShapesCase):

    @staticmethod
    def edit(text):
        """The sample on a port of its own, and renewing at once; its paths are those of the demo."""
        port = re.search(r"port = (\d+)", text).group(1)
        with open(SAMPLE) as f:
            sample = f.read()
        sample = sample.replace('renew_before = "60d"', 'renew_before = "0s"')  # at any time
        return sample.replace("port = 8080", f"port = {port}").replace("127.0.0.1:8080", f"127.0.0.1:{port}")

    def probe(self, path, *args, **more):
        """What the probe has to say of the endpoint; nobody's client may fail."""
        r = run(SCEPCTL, "probe", self.a.url + path, "--json", *args, **more)
        report = json.loads(r.stdout)
        return {c["id"] for c in report["checks"] if c["status"] in ("warn", "fail")}

    def test_nothing_to_complain_about(self):
        for path in ("apple", "windows", "cisco", "android", "chromeos"):
            self.assertEqual(self.probe("/scep/" + path), set(), path)
        self.assertEqual(self.probe("/scep/legacy"), {"alg.md5", "alg.des"})

    # ---- apple ----

    def apple_message(self, d, **more):
        return d.message(**{"recipients": self.a.ca, "digest": "SHA1", "cipher": "DES-EDE3-CBC", "envelope": "ber",
                            "nonce": secrets.token_hex(8), **more})

    def test_apple_gets_the_ca_alone(self):
        status, headers, der = self.get("/scep/apple", "operation=GetCACert&message=Test%20CA")
        self.assertEqual((status, headers["content-type"]), (200, "application/x-x509-ca-cert"))
        with open(self.path("got.der"), "wb") as f:
            f.write(der)
        text = run("openssl", "x509", "-inform", "DER", "-in", self.path("got.der"), "-noout", "-text").stdout
        for usage in ("Digital Signature", "Key Encipherment", "Certificate Sign", "CRL Sign"):
            self.assertIn(usage, text)
        caps = self.get("/scep/apple", "operation=GetCACaps&message=Test%20CA")[2].split(b"\n")
        for word in (b"AES", b"SHA-256", b"POSTPKIOperation", b"SCEPStandard", b"Renewal"):
            self.assertIn(word, caps)

    def test_apple_old(self):
        """SHA-1, Triple DES, BER, eight octets of nonce, a signer of another name."""
        d = Device(self, "ipad-old", self.a.challenge(), digest="sha1", signer_subject="/CN=MDM SCEP SIGNER/C=US")
        d.transaction = d.transaction.upper()
        self.succeeds(d, self.post("/scep/apple", self.apple_message(d)), digest="sha1", cipher="des-ede3-cbc")

    def test_apple_by_get_with_bare_plus(self):
        d = Device(self, "ipad-get", self.a.challenge())
        message = d.message(recipients=self.a.ca)
        while "+" not in base64.b64encode(message).decode():
            message = d.message(recipients=self.a.ca)
        text = base64.b64encode(message).decode().replace("=", "%3D")
        self.succeeds(d, self.pki(self.get("/scep/apple", f"operation=PKIOperation&message={text}")))

    def test_apple_renews_with_pkcsreq(self):
        """A profile that is sent again: PKCSReq signed by the old certificate, a new key, no challenge; never a RenewalReq."""
        old = Device(self, "ipad-renews", self.a.challenge())
        self.succeeds(old, self.post("/scep/apple", old.message(recipients=self.a.ca)))
        new = Device(self, "ipad-renews-new", subject=["CN = ipad-renews"])
        body = self.post("/scep/apple", new.message(recipients=self.a.ca, cert=old.issued, key=old.key))
        self.succeeds(new, body, "CN=ipad-renews")

    def test_apple_empty_post(self):
        """A proxy that lost the body (micromdm#436): 400, not 500."""
        head = f"POST /scep/apple?operation=PKIOperation HTTP/1.1\r\nHost: x\r\nContent-Type: {TYPE}\r\nContent-Length: 0\r\n\r\n"
        self.assertEqual(self.exchange(head.encode())[0], 400)

    # ---- windows ----

    def windows_device(self, name, challenge):
        return Device(self, name, challenge, digest="sha1", signer_subject="/CN=SCEP Protocol Certificate",
                      attributes=["1.3.6.1.4.1.311.13.2.3 = 10.0.26100.2"],
                      signer_extensions=["subjectKeyIdentifier = hash", "authorityKeyIdentifier = critical, keyid:always"])

    def test_windows(self):
        """The path of NDES in any case, /pkiclient.exe behind it, OAEP, what nobody asked for in signer and request."""
        for path in ("/scep/windows/pkiclient.exe", "/certsrv/mscep/mscep.dll/pkiclient.exe", "/CertSrv/mscep/mscep.dll"):
            with self.subTest(path=path):
                self.assertIn(b"POSTPKIOperation", self.get(path, "operation=GetCACaps&message=default")[2])
                self.assertEqual(self.get(path, "operation=GetCACert&message=default")[1]["content-type"],
                                 "application/x-x509-ca-ra-cert")
                d = self.windows_device("pc-" + secrets.token_hex(4), self.a.challenge("--format", "hex16"))
                self.succeeds(d, self.post(path, d.message(digest="SHA256", oaep="SHA1")))

    def test_windows_is_told_why(self):
        """Event 87 shows the text of the HRESULT; the attributes that Windows insists on are signed."""
        d = self.windows_device("pc-refused", "0000000000000000")
        values = self.fails(d, self.post("/scep/windows", d.message(oaep="SHA1")), "2", "challenge.unknown")
        self.assertEqual(int(values["hresult"]) & 0xffffffff, 0x80094011)

    def test_windows_certificate_is_back_dated(self):
        d = self.windows_device("pc-autopilot", self.a.challenge())
        self.succeeds(d, self.post("/scep/windows", d.message()))
        run("openssl", "verify", "-CAfile", self.a.ca, "-attime", str(int(os.stat(d.issued).st_mtime) - 1800), d.issued)

    # ---- cisco ----

    subject = ["serialNumber = FTX1234A5BC", "unstructuredName = router.example.org", "CN = router"]

    def test_cisco(self):
        """HTTP/1.0 without Host, GET in escaped lines; the signer has part of the name; PKCSReq renews."""
        self.assertEqual(self.get("/scep/cisco/pkiclient.exe", "operation=GetCACert&message=demo", "1.0", "")[0], 200)
        d = Device(self, "router", self.a.challenge(), subject=self.subject, signer_subject="/CN=router", digest="sha1",
                   san="DNS:router.example.org,IP:192.0.2.1")
        d.transaction = d.transaction[:32].upper()
        body = self.cisco("/scep/cisco", d.message(digest="SHA1", cipher="DES-EDE3-CBC"))
        text = self.succeeds(d, body, digest="sha1", cipher="des-ede3-cbc")
        for part in ("FTX1234A5BC", "router.example.org", "IP Address:192.0.2.1", "ipsec Internet Key Exchange"):
            self.assertIn(part, text)
        new = Device(self, "shadow", subject=self.subject, san="DNS:router.example.org,IP:192.0.2.1")
        self.succeeds(new, self.cisco("/scep/cisco", new.message(cert=d.issued, key=d.key)), "CN=router")

    def test_cisco_repeats_its_transaction(self):
        """Some images derive it from the key: the same request again gets the same certificate."""
        d = Device(self, "router-2", self.a.challenge(), subject=self.subject, signer_subject="/CN=router")
        self.succeeds(d, self.cisco("/scep/cisco", d.message()), "CN=router")
        first = self.serial(d.issued)
        self.succeeds(d, self.cisco("/scep/cisco", d.message()), "CN=router")
        self.assertEqual(self.serial(d.issued), first)

    # ---- android ----

    def test_android(self):
        """jscep: BER in both layers, SHA-512, full signature names; the chain with strict types; then GetCRL."""
        shape = {"signed": "ber", "envelope": "ber", "digest": "SHA512", "signature": "full", "attributes": [PROTECTION_512]}
        status, headers, _ = self.get("/scep/android", "operation=GetCACert&message=")
        self.assertEqual((status, headers["content-type"]), (200, "application/x-x509-ca-ra-cert"))
        d = Device(self, "phone", self.a.challenge(), san="email:user@example.org,DNS:phone.example.org")
        body = self.post("/scep/android", d.message(**shape), "Content-Type: application/octet-stream\r\n")
        self.assertIn("user@example.org", self.succeeds(d, body, digest="sha512"))
        issued, d.transaction = d.issued, "1"
        crl = d.message(type="22", content="serial", issuer=self.a.ca, subject=issued, **shape)
        values = d.answer(self.post("/scep/android", crl))
        self.assertEqual((values["status"], values["certificates"], values["crls"]), ("0", "0", "1"))

    def test_android_cut_body(self):
        """Bodies that a network cut off (fleet#38579) are no fault of the server, and cost nothing."""
        d = Device(self, "phone-cut", self.a.challenge())
        message = d.message()
        cut = message[:len(message) // 2]
        head = f"POST /scep/android?operation=PKIOperation HTTP/1.1\r\nHost: x\r\nContent-Type: {TYPE}\r\nContent-Length: {len(cut)}\r\n\r\n"
        self.assertEqual(self.exchange(head.encode() + cut)[0], 400)
        self.succeeds(d, self.post("/scep/android", d.message()))

    # ---- chromeos ----

    def test_chromeos(self):
        """Google's connector is jscep with a static challenge; its messageDigest is over more than the content."""
        shape = {"signed": "der", "envelope": "ber", "digest": "SHA256", "signature": "full"}
        d = Device(self, "chromebook", self.a.static_challenge(), subject=["CN = 5CD1234XYZ", "OU = Chromebooks"])
        self.succeeds(d, self.post("/scep/chromeos", d.message(**shape)), "CN=5CD1234XYZ")
        for odd in ("octet-string", "der"):
            with self.subTest(odd=odd):
                d = Device(self, "chromebook-" + odd, self.a.static_challenge())
                self.succeeds(d, self.post("/scep/chromeos", d.message(message_digest=odd, **shape)))

    def test_chromeos_alone_takes_the_odd_digest(self):
        for odd in ("octet-string", "der"):
            d = Device(self, "strict-" + odd, self.a.challenge())
            message = d.message(message_digest=odd, envelope="ber")
            self.fails(d, self.post("/scep/android", message), "1", "signature.bad")
        d = Device(self, "wrong-digest", self.a.static_challenge())
        self.fails(d, self.post("/scep/chromeos", d.message(message_digest="wrong")), "1", "signature.bad")

    # ---- legacy ----

    def test_legacy(self):
        """MD5 and single DES; printers without GetCACaps send SHA-1 and Triple DES.  Answers never have DES or MD5."""
        d = Device(self, "old-router", self.a.challenge(), digest="md5")
        self.succeeds(d, self.cisco("/scep/legacy", d.message(digest="MD5", cipher="DES-CBC", legacy="yes")), digest="sha1",
                      cipher="des-ede3-cbc")
        d = Device(self, "printer", self.a.challenge(), digest="sha1")
        text = quote(base64.b64encode(d.message(digest="SHA1", cipher="DES-EDE3-CBC")).decode(), safe="")
        self.succeeds(d, self.pki(self.get("/scep/legacy", f"operation=PKIOperation&message={text}")), digest="sha1",
                      cipher="des-ede3-cbc")

    def test_legacy_alone_takes_them(self):
        for path in ("apple", "windows", "cisco", "android"):
            recipients = self.a.ca if path == "apple" else self.a.ra
            d = Device(self, "weak-" + path, self.a.challenge())
            message = d.message(recipients=recipients, cipher="DES-CBC", legacy="yes")
            self.fails(d, self.post("/scep/" + path, message), "0", "algorithm.refused")

    def test_lines_of_64_too(self):
        """sscep and old devices that share an endpoint with Cisco's."""
        d = Device(self, "lines", self.a.challenge(), subject=self.subject, signer_subject="/CN=router")
        text = lines(d.message(), 64).replace("+", "%2B").replace("=", "%3D").replace("\n", "%0A")
        self.succeeds(d, self.pki(self.get("/scep/cisco", f"operation=PKIOperation&message={text}")), "CN=router")


if __name__ == "__main__":
    unittest.main()
