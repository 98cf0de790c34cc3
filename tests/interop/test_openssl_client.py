"""Clients that cannot be installed, in their shapes: messages are written, and answers judged, by OpenSSL's CMS alone
(cms_client.c)."""

import base64
import os
import secrets
import sys
import unittest
from urllib.parse import quote

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import run
from shapes import PROTECTION_256, PROTECTION_512, TYPE, Connection, Device, ShapesCase, lines


class OpenSslClient(ShapesCase):

    @staticmethod
    def edit(text):
        """Behind the static challenge there is a proxy, which signs with keys of its own."""
        return text.replace('challenge = "static";', 'challenge = "static"; any_signer_key = true; password_recipient = true;')

    # ---- the shapes of clients ----

    def test_jscep(self):
        """BER in both layers, sha512WithRSA, raw '+', '/' and '=' in the query; numbers as transactionIDs."""
        shape = {"signed": "ber", "envelope": "ber", "digest": "SHA512", "signature": "full", "attributes": [PROTECTION_512]}
        d = Device(self, "jscep", self.a.challenge(), san="DNS:jscep.example.org")
        message = d.message(**shape)
        while "+" not in base64.b64encode(message).decode():
            message = d.message(**shape)
        text = base64.b64encode(message).decode()
        self.assertEqual(self.get("/scep", "operation=GetCACert&message=")[1]["content-type"], "application/x-x509-ca-ra-cert")
        body = self.pki(self.get("/scep", f"operation=PKIOperation&message={text}"))
        self.assertIn("DNS:jscep.example.org", self.succeeds(d, body, digest="sha512"))
        # The same again by POST: the same certificate, no second challenge.
        first = self.serial(d.issued)
        body = self.post("/scep", d.message(**shape), "Content-Type: application/octet-stream\r\n")
        self.succeeds(d, body, digest="sha512")
        self.assertEqual(self.serial(d.issued), first)
        issued, d.transaction = d.issued, "0"
        body = self.post("/scep", d.message(type="21", content="serial", issuer=self.a.ca, subject=issued, **shape))
        self.succeeds(d, body, digest="sha512")
        self.assertEqual(self.serial(d.issued), first)
        d.transaction = "1"
        values = d.answer(self.post("/scep", d.message(type="22", content="serial", issuer=self.a.ca, subject=issued, **shape)))
        self.assertEqual((values["status"], values["certificates"], values["crls"]), ("0", "0", "1"))
        run("openssl", "crl", "-in", d.issued, "-noout", "-CAfile", self.a.ca, "-verify")

    def test_jscep_polls(self):
        d = Device(self, "poller")
        shape = {"signed": "ber", "envelope": "ber"}
        self.assertEqual(d.answer(self.post("/scep/manual", d.message(**shape)))["status"], "3")
        poll = {"type": "20", "content": "poll", "issuer": self.a.ca, "subject": d.cert, **shape}
        values = d.answer(self.post("/scep/manual", d.message(**poll)))
        self.assertEqual((values["status"], values["content"]), ("3", "0"))
        self.approve("CN=poller")
        self.succeeds(d, self.post("/scep/manual", d.message(**poll)))

    def test_apple(self):
        """SHA-1 and Triple DES, eight octets of nonce, a signer of another name, '+' and '/' as they are; the CA alone."""
        status, headers, der = self.get("/scep/ca", "operation=GetCACert&message=Test%20CA")
        self.assertEqual((status, headers["content-type"]), (200, "application/x-x509-ca-cert"))
        with open(self.path("got.der"), "wb") as f:
            f.write(der)
        self.assertEqual(run("openssl", "x509", "-inform", "DER", "-in", self.path("got.der")).stdout,
                         run("openssl", "x509", "-in", self.a.ca).stdout)
        for method in ("POST", "GET"):
            name = "ipad-" + method.lower()
            d = Device(self, name, self.a.challenge(), digest="sha1", signer_subject="/CN=MDM SCEP SIGNER/C=US")
            d.transaction = d.transaction.upper()
            message = d.message(recipients=self.a.ca, digest="SHA1", cipher="DES-EDE3-CBC", envelope="ber",
                                nonce=secrets.token_hex(8))
            if method == "POST":
                body = self.post("/scep/ca", message)
            else:
                text = base64.b64encode(message).decode().replace("=", "%3D")
                body = self.pki(self.get("/scep/ca", f"operation=PKIOperation&message={text}"))
            self.succeeds(d, body, digest="sha1", cipher="des-ede3-cbc")

    def test_windows(self):
        """OAEP, a signer certificate with a critical authorityKeyIdentifier, attributes nobody asked for."""
        for hash, mgf in (("SHA1", "SHA1"), ("SHA256", "SHA256"), ("SHA256", "SHA1")):
            with self.subTest(hash=hash, mgf=mgf):
                self.assertIn(b"POSTPKIOperation", self.get("/scep/pkiclient.exe", "operation=GetCACaps&message=default")[2])
                d = Device(self, f"pc-{hash}-{mgf}".lower(), self.a.challenge(), digest="sha1",
                           signer_subject="/CN=SCEP Protocol Certificate",
                           attributes=["1.3.6.1.4.1.311.13.2.3 = 10.0.26100.2"],
                           signer_extensions=["subjectKeyIdentifier = hash", "authorityKeyIdentifier = critical, keyid:always"])
                self.assertIn("Authority Key Identifier: critical", run("openssl", "x509", "-in", d.cert, "-noout", "-text").stdout)
                body = self.post("/scep/pkiclient.exe", d.message(digest="SHA1", cipher="DES-EDE3-CBC", oaep=hash, mgf=mgf))
                self.succeeds(d, body, digest="sha1", cipher="des-ede3-cbc")

    def test_cisco(self):
        """HTTP/1.0 without Host, GET in escaped lines (RFC 8894 sections 4.1 and 7.10); the signer has only part of the name;
        renewal by PKCSReq."""
        subject = ["serialNumber = FTX1234A5BC", "unstructuredName = router.example.org", "CN = router"]
        d = Device(self, "router", self.a.challenge(), subject=subject, signer_subject="/CN=router", digest="sha1")
        d.transaction = d.transaction[:32].upper()
        self.assertEqual(self.get("/scep/cgi-bin/pkiclient.exe", "operation=GetCACert&message=demo", "1.0", "")[0], 200)
        body = self.cisco("/scep", d.message(digest="SHA1", cipher="DES-EDE3-CBC"))
        text = self.succeeds(d, body, digest="sha1", cipher="des-ede3-cbc")
        self.assertIn("FTX1234A5BC", text)
        new = Device(self, "shadow", subject=subject)
        body = self.cisco("/scep", new.message(cert=d.issued, key=d.key))
        self.succeeds(new, body, "CN=router")

    def test_old_cisco(self):
        """MD5 and single DES; the answer has neither (RFC 8894 sections 2.9 and 7.5)."""
        d = Device(self, "old-router", self.a.challenge(), digest="md5")
        body = self.cisco("/scep/legacy", d.message(digest="MD5", cipher="DES-CBC", legacy="yes"))
        self.succeeds(d, body, digest="sha1", cipher="des-ede3-cbc")

    def test_cryptlib(self):
        """One connection for all, Host without port, the user's name as transactionID and again in the renewal."""
        user = "Jane Doe " + secrets.token_hex(4)
        shape = {"attributes": [PROTECTION_256, "1.2.840.113549.1.9.25.3:" + secrets.token_hex(16)]}
        c = Connection(self.a.port)
        self.addCleanup(c.close)
        head = "Host: 127.0.0.1\r\nCache-Control: no-cache, no-store\r\n"
        caps = c.send(f"GET /scep?operation=GetCACaps HTTP/1.1\r\n{head}\r\n".encode()).response()[2]
        self.assertNotIn(b"\r", caps)
        self.assertLessEqual(len(caps.split(b"\n")), 32)
        self.assertEqual(c.send(f"GET /scep?operation=GetCACert HTTP/1.1\r\n{head}\r\n".encode()).response()[0], 200)

        def send(message):
            c.send(f"POST /scep?operation=PKIOperation HTTP/1.1\r\n{head}Content-Type: {TYPE}\r\nContent-Length: "
                   f"{len(message)}\r\n\r\n".encode() + message)
            return self.pki(c.response())

        old = Device(self, "jane", self.a.challenge(), days="1")
        old.transaction = user
        self.succeeds(old, send(old.message(**shape)))
        new = Device(self, "jane-new", subject=["CN = jane"])
        new.transaction = user
        self.succeeds(new, send(new.message(type="17", cert=old.issued, key=old.key, **shape)), "CN=jane")
        self.assertNotEqual(self.serial(old.issued), self.serial(new.issued))

    def test_pyscep(self):
        """SHA-512, AES-256; &message= after the operation even in a POST; PENDING must have a content."""
        d = Device(self, "pyscep", self.a.challenge())
        body = self.post("/scep", d.message(digest="SHA512", cipher="AES-256-CBC"), query="?operation=PKIOperation&message=")
        self.succeeds(d, body, digest="sha512", cipher="aes-256-cbc")
        waiting = Device(self, "pyscep-waiting")
        self.assertEqual(waiting.answer(self.post("/scep/manual", waiting.message()))["content"], "0")

    def test_certmonger(self):
        """X.509 version 1, 33 octets of serial number, valid for a century, 77 digits; PKCSReq again is its poll."""
        d = Device(self, "monger", v1=True, serial="0x7f" + secrets.token_hex(32), days="36500")
        self.assertIn("Version: 1", run("openssl", "x509", "-in", d.cert, "-noout", "-text").stdout)
        d.transaction = "1" + "".join(secrets.choice("0123456789") for _ in range(76))

        def send():
            text = quote(base64.b64encode(d.message(cipher="AES-256-CBC")).decode(), safe="")
            return self.pki(self.get("/scep/manual", f"operation=PKIOperation&message={text}"))

        self.assertEqual(d.answer(send())["status"], "3")
        self.assertEqual(d.answer(send())["status"], "3")
        self.approve("CN=monger")
        self.succeeds(d, send(), cipher="aes-256-cbc")

    def test_micromdm(self):
        """base64url, the message before the operation, base64 as transactionID."""
        d = Device(self, "mdm", self.a.challenge(), signer_subject="/CN=SCEP SIGNER")
        d.transaction = base64.b64encode(b"\xfb\xff" + secrets.token_bytes(18)).decode()
        text = base64.urlsafe_b64encode(d.message(digest="SHA1")).decode().replace("=", "%3D")
        body = self.pki(self.get("/scep", f"message={text}&operation=PKIOperation"))
        self.succeeds(d, body, digest="sha1")

    def test_strongswan_and_sscep(self):
        """No Content-Type; full names of algorithms; GET in lines of 64 with only '+' and '=' escaped."""
        for digest in ("SHA1", "SHA256", "SHA384", "SHA512"):
            with self.subTest(digest=digest):
                d = Device(self, "moon-" + digest.lower(), self.a.challenge())
                body = self.post("/scep", d.message(digest=digest, signature="full"), headers="Connection: close\r\n")
                self.succeeds(d, body, digest=digest.lower())
        d = Device(self, "sscep", self.a.challenge(), serial="0x7f" + secrets.token_hex(31))
        text = lines(d.message(digest="SHA512"), 64).replace("+", "%2B").replace("=", "%3D").replace("\n", "%0A")
        self.succeeds(d, self.pki(self.get("/scep", f"operation=PKIOperation&message={text}")), digest="sha512")

    def test_proxy(self):
        """Fleet signs with a key of its own for the device's; that one is P-256 here."""
        d = Device(self, "behind-a-proxy", self.a.static_challenge(), ec=True, signer_subject="/CN=proxy")
        self.succeeds(d, self.post("/scep/static", d.message()), key_usage=("Digital Signature",))
        d = Device(self, "no-proxy", self.a.challenge(), ec=True)
        self.fails(d, self.post("/scep", d.message()), "2", "csr.signer")

    def test_ec_device(self):
        """RFC 8894 section 3.1: the answer to an EC key, opened by the openssl command with the challenge."""
        secret = self.a.static_challenge()
        d = Device(self, "ec-device", secret, ec=True)
        cert, reply, envelope, certs = (self.path("ec-device" + end) for end in (".ec.pem", ".reply", ".envelope", ".p7"))
        run("openssl", "req", "-x509", "-new", "-key", d.key, "-subj", "/CN=ec-device", "-days", "2", "-out", cert)
        with open(reply, "wb") as f:
            f.write(self.post("/scep/static", d.message(cert=cert, key=d.key)))
        run("openssl", "cms", "-verify", "-noverify", "-inform", "DER", "-in", reply, "-out", envelope)
        run("openssl", "cms", "-decrypt", "-inform", "DER", "-in", envelope, "-pwri_password", secret, "-out", certs)
        run("openssl", "pkcs7", "-inform", "DER", "-in", certs, "-print_certs", "-out", self.path("ec-device.pem"))
        self.assert_good_certificate(self.path("ec-device.pem"), "CN=ec-device", ["Digital Signature"])

    # ---- what else CMS allows ----

    def test_several_recipients(self):
        """Fleet and micromdm encrypt to whatever certificates they got; strangers come first."""
        stranger = Device(self, "stranger")
        everybody = self.path("everybody.pem")
        with open(everybody, "w") as out:
            for pem in (stranger.cert, self.a.ca, self.a.ra):
                with open(pem) as f:
                    out.write(f.read())
        for endpoint in ("/scep", "/scep/ca"):
            d = Device(self, "many" + endpoint.replace("/", "-"), self.a.challenge())
            more = {"more_certs": everybody}
            self.succeeds(d, self.post(endpoint, d.message(recipients=everybody, **more)))

    def test_to_the_authority_though_there_is_an_ra(self):
        d = Device(self, "to-ca", self.a.challenge())
        self.succeeds(d, self.post("/scep", d.message(recipients=self.a.ca)))

    def test_pss_and_key_identifiers(self):
        d = Device(self, "pss", self.a.challenge(), signer_extensions=["subjectKeyIdentifier = hash"])
        message = d.message(signature="pss", signer_by="key", recipient_by="key", digest="SHA384")
        self.succeeds(d, self.post("/scep", message), digest="sha384")

    def test_every_oaep_and_cipher(self):
        for hash, cipher in (("SHA224", "AES-128-CBC"), ("SHA384", "AES-192-CBC"), ("SHA512", "AES-256-CBC")):
            with self.subTest(hash=hash, cipher=cipher):
                d = Device(self, "oaep-" + hash.lower(), self.a.challenge())
                body = self.post("/scep", d.message(oaep=hash, cipher=cipher))
                self.succeeds(d, body, cipher=cipher.lower())

    def test_expect_continue(self):
        d = Device(self, "expectant", self.a.challenge())
        message = d.message()
        c = Connection(self.a.port)
        self.addCleanup(c.close)
        c.send(f"POST /scep?operation=PKIOperation HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
               f"Content-Length: {len(message)}\r\n\r\n".encode())
        self.assertEqual(c.response()[0], 100)
        self.succeeds(d, self.pki(c.send(message).response()))

    # ---- refusals, as OpenSSL reads them ----

    def test_wrong_challenge(self):
        d = Device(self, "wrong", "7QK4-M2XH-9RTD-VN3A")
        self.fails(d, self.post("/scep", d.message()), "2", "challenge.unknown")

    def test_for_somebody_else(self):
        d, other = Device(self, "lost", self.a.challenge()), Device(self, "other")
        self.fails(d, self.post("/scep", d.message(recipients=other.cert)), "1", "message.not_for_us")

    def test_weak_algorithms(self):
        d = Device(self, "weak", self.a.challenge())
        self.fails(d, self.post("/scep", d.message(cipher="DES-CBC", legacy="yes")), "0", "algorithm.refused")
        self.fails(d, self.post("/scep", d.message(digest="MD5")), "0", "algorithm.refused")
        self.succeeds(d, self.post("/scep", d.message()))  # nothing was burnt

    def test_changed_message(self):
        """One bit in the envelope: the signature is wrong, and the answer still a CertRep."""
        d = Device(self, "changed", self.a.challenge())
        message = bytearray(d.message())
        message[200] ^= 1
        self.fails(d, self.post("/scep", bytes(message)), "1", "signature.bad")

    def test_unknown_type_and_poll(self):
        d = Device(self, "odd", self.a.challenge())
        self.fails(d, self.post("/scep", d.message(type="99")), "2", "message.unsupported")
        poll = d.message(type="20", content="poll", issuer=self.a.ca, subject=d.cert)
        self.fails(d, self.post("/scep", poll), "4", "request.unknown")


if __name__ == "__main__":
    unittest.main()
