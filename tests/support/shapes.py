"""Messages in the shapes of clients that cannot be installed: written, and answers judged, by OpenSSL's CMS alone
(tests/interop/cms_client.c).  HTTP is spoken byte by byte, since much of what devices do there no library would."""

import base64
import itertools
import os
import secrets
import socket
import time
from urllib.parse import quote

from harness import BUILD, AuthorityCase, run

CMS_CLIENT = os.environ.get("CMS_CLIENT", os.path.join(BUILD, "tests", "interop", "cms_client"))
TYPE = "application/x-pki-message"

# RFC 6211 as jscep and cryptlib send it: { SHA-512 } and { SHA-256 }, [1] { rsaEncryption }
PROTECTION_512 = "1.2.840.113549.1.9.52:301c300b0609608648016503040203a10d06092a864886f70d0101010500"
PROTECTION_256 = "1.2.840.113549.1.9.52:301c300b0609608648016503040201a10d06092a864886f70d0101010500"


def cms_client(*args):
    """It ends after one message and frees nothing, which a sanitizer's look for leaks need not tell."""
    asan = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "detect_leaks=0")))
    return run(CMS_CLIENT, *args, env={**os.environ, "ASAN_OPTIONS": asan})


class Connection:
    """One TCP connection; nothing is sent that the caller did not write."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)
        return self

    def response(self):
        """(status, headers in lower case, body)"""
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline().strip()):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if status == 100:
            return status, headers, b""
        if "content-length" in headers:
            body = self.file.read(int(headers["content-length"]))
        else:
            body = self.file.read()
        return status, headers, body

    def at_end(self):
        return self.file.read(1) == b""

    def close(self):
        self.file.close()
        self.socket.close()


def lines(data, n):
    """Base64 in lines of n characters, each with its newline."""
    text = base64.b64encode(data).decode()
    return "".join(text[i:i + n] + "\n" for i in range(0, len(text), n))


class Device:
    """Keys, request and signer certificate of one device, made by the openssl command."""

    def __init__(self, case, name, challenge=None, subject=None, signer_subject=None, san=None, attributes=(), digest="sha256",
                 signer_extensions=(), serial=None, days="2", v1=False, ec=False, strings="utf8only"):
        self.case, self.name = case, name
        self.key = self.signer_key = case.make_key(name + ".key")
        if ec:
            self.key = case.path(name + ".ec.key")
            run("openssl", "ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", self.key)
        self.transaction = secrets.token_hex(20)
        self.csr, self.cert = case.path(name + ".csr"), case.path(name + ".self.pem")
        self.conf = case.path(name + ".cnf")
        attributes = [*attributes, *([f"challengePassword = {challenge}"] if challenge else [])]
        with open(self.conf, "w") as f:
            f.write(f"[req]\nprompt = no\nutf8 = yes\nstring_mask = {strings}\ndistinguished_name = dn\n")
            f.write("attributes = attributes\n" if attributes else "")
            f.write("req_extensions = wishes\n" if san else "")
            f.write("[dn]\n" + "\n".join(subject or [f"CN = {name}"]))
            f.write("\n[attributes]\n" + "\n".join(attributes))
            f.write("\n[wishes]\n" + (f"subjectAltName = {san}" if san else ""))
            f.write("\n[signer]\nkeyUsage = digitalSignature, keyEncipherment\n" + "\n".join(signer_extensions) + "\n")
        run("openssl", "req", "-new", "-" + digest, "-key", self.key, "-config", self.conf, "-outform", "DER", "-out", self.csr)
        serial = ("-set_serial", serial) if serial else ()
        if v1:
            run("openssl", "x509", "-req", "-inform", "DER", "-in", self.csr, "-signkey", self.signer_key, "-days", days, *serial,
                "-out", self.cert)
        else:
            run("openssl", "req", "-x509", "-new", "-key", self.signer_key, "-" + digest, "-days", days, *serial, "-subj",
                signer_subject or f"/CN={name}", "-config", self.conf, "-extensions", "signer", "-out", self.cert)

    def message(self, **options):
        """A pkiMessage; `recipients` and whatever cms_client takes, with '-' written as '_'."""
        out = self.case.path("request.der")
        self.nonce = options.pop("nonce", None) or secrets.token_hex(16)
        many = [f"attribute={a}" for a in options.pop("attributes", ())]
        given = {"content": self.csr, "cert": self.cert, "key": self.signer_key, "transaction": self.transaction,
                 "recipients": self.case.a.ra, "nonce": self.nonce, "out": out, **options}
        self.opened_by = given["cert"], given["key"]
        cms_client("request", *(f"{k.replace('_', '-')}={v}" for k, v in given.items()), *many)
        with open(out, "rb") as f:
            return f.read()

    def answer(self, body, legacy="no", check=True):
        """The CertRep judged by OpenSSL, as a dictionary; the certificate is in self.issued."""
        file, self.issued = self.case.path("reply.der"), self.case.path(f"{self.name}-{next(self.case.counter)}.pem")
        with open(file, "wb") as f:
            f.write(body)
        cert, key = self.opened_by
        r = cms_client("reply", f"in={file}", f"ca={self.case.a.ca}", f"cert={cert}", f"key={key}", f"out={self.issued}",
                       f"legacy={legacy}")
        values = dict(line.split("=", 1) for line in r.stdout.splitlines())
        if check:
            self.case.assertEqual(values["type"], "3")
            self.case.assertEqual(values["recipientNonce"], self.nonce)
            self.case.assertEqual(len(values["senderNonce"]), 32)
            self.case.assertEqual(values["signature"], "rsaEncryption")
        return values


class ShapesCase(AuthorityCase):
    counter = itertools.count()

    def exchange(self, data):
        c = Connection(self.a.port)
        self.addCleanup(c.close)
        return c.send(data).response()

    def pki(self, response):
        status, headers, body = response
        self.assertEqual(status, 200, body)
        self.assertEqual(headers["content-type"], TYPE)
        return body

    def post(self, path, message, headers=f"Content-Type: {TYPE}\r\n", query="?operation=PKIOperation"):
        head = f"POST {path}{query} HTTP/1.1\r\nHost: 127.0.0.1:{self.a.port}\r\n{headers}Content-Length: {len(message)}\r\n\r\n"
        return self.pki(self.exchange(head.encode() + message))

    def get(self, path, query, version="1.1", headers=None):
        headers = headers if headers is not None else f"Host: 127.0.0.1:{self.a.port}\r\nConnection: close\r\n"
        return self.exchange(f"GET {path}?{query} HTTP/{version}\r\n{headers}\r\n".encode())

    def succeeds(self, device, body, subject=None, digest="sha256", cipher="aes-128-cbc",
                 key_usage=("Digital Signature", "Key Encipherment"), **more):
        """SUCCESS in the algorithms of the request, one good certificate for the device's key and nothing else."""
        values = device.answer(body, **more)
        self.assertEqual(values["status"], "0", values)
        self.assertEqual(values["transaction"], device.transaction)
        self.assertEqual((values["digest"].lower(), values["cipher"]), (digest, cipher))
        self.assertEqual((values["certificates"], values["crls"]), ("1", "0"))
        public = run("openssl", "pkey", "-in", device.key, "-pubout").stdout
        self.assertEqual(run("openssl", "x509", "-in", device.issued, "-noout", "-pubkey").stdout, public)
        return self.assert_good_certificate(device.issued, subject or f"CN={device.name}", key_usage)

    def fails(self, device, body, fail_info, reason):
        values = device.answer(body)
        self.assertEqual((values["status"], values["failInfo"]), ("2", fail_info), values)
        self.assertIn(reason, values["failText"])
        self.assertRegex(values["hresult"], r"^-\d+$")
        self.assertEqual(values["content"], "0")
        return values

    def cisco(self, endpoint, message):
        query = "operation=PKIOperation&message=" + quote(lines(message, 76), safe="")
        self.assertIn("%0A", query)
        c = Connection(self.a.port)
        self.addCleanup(c.close)
        r = c.send(f"GET {endpoint}/cgi-bin/pkiclient.exe?{query} HTTP/1.0\r\n\r\n".encode()).response()
        self.assertIn("content-length", r[1])
        self.assertTrue(c.at_end())
        return self.pki(r)

    def approve(self, subject):
        for _ in range(100):
            waiting = [r for r in self.a.json("request", "list") if r["subject"] == subject]
            if waiting:
                break
            time.sleep(0.05)
        self.a.ctl("request", "approve", waiting[0]["id"])
