"""Revocation lists as the daemon publishes them: partitions, deltas, what caches are told, files for other web servers, and
that none is lost or half there when the daemon dies while it publishes."""

import email.utils
import http.client
import os
import re
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))
from harness import Authority, AuthorityCase, run  # noqa: E402
from relying import Device, wait_for  # noqa: E402
from shim import Faults  # noqa: E402

SHARDS = 3


def ask(a, path, method="GET", **headers):
    c = http.client.HTTPConnection("127.0.0.1", a.port, timeout=30)
    c.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    r = c.getresponse()
    r.body = r.read()
    c.close()
    return r


def openssl_crl(data, *args):
    return subprocess.run(["openssl", "crl", *args], input=data, capture_output=True, check=True, timeout=60).stdout


def text_of(der):
    return openssl_crl(der, "-inform", "DER", "-noout", "-text").decode()


def listed(der):
    return sorted(s.lower() for s in re.findall(r"Serial Number: ([0-9A-F]+)", text_of(der)))


def number_of(der):
    return int(re.search(r"X509v3 CRL Number: \n\s+(\d+)", text_of(der)).group(1))


class Lists(AuthorityCase):
    key = "p256"

    @staticmethod
    def edit(text):
        return re.sub(r'period = "1h"; ?', f'period = "1h"; shards = {SHARDS}; delta = true; ', text)

    @classmethod
    def setUpClass(cls):
        cls.a = Authority(cls.key, edit=cls.edit)
        cls.addClassCleanup(cls.a.close)
        cls.directory = os.path.join(cls.a.home, "published")
        os.mkdir(cls.directory)
        with open(cls.a.conf, "a") as f:
            f.write(f'crl_directory = "{cls.directory}";\n')
        cls.a.start()

    def device(self, name):
        d = Device(self, name)
        d.url = re.search(r"URI:(\S+\.crl)", run("openssl", "x509", "-in", d.cert, "-noout", "-text").stdout).group(1)
        d.list = d.url[len(self.a.url):]
        return d

    def devices_apart(self):
        """Two whose certificates name different partitions."""
        first = self.device("first")
        for i in range(64):
            other = self.device(f"other-{i}")
            if other.url != first.url:
                return first, other
        self.fail("64 certificates in one partition")

    def pem(self, path):
        name = self.path(path.replace("/", "_") + ".pem")
        openssl_crl(ask(self.a, path).body, "-inform", "DER", "-out", name)
        return name

    def verify(self, device, *lists, more=()):
        files = [word for path in lists for word in ("-CRLfile", self.pem(path))]
        r = run("openssl", "verify", "-x509_strict", "-crl_check", "-extended_crl", *more, *files, "-CAfile", self.a.ca, device.cert, check=False)
        return r.stdout + r.stderr

    def on_list(self, device, path=None):
        wait_for("it is listed", lambda: device.serial in listed(ask(self.a, path or device.list).body))

    def test_partitions(self):
        """RFC 5280 section 5.2.5."""
        first, other = self.devices_apart()
        for d in (first, other):
            self.assertRegex(d.url, re.escape(self.a.url) + rf"/crl/demo-p[1-{SHARDS}]\.crl$")
            text = text_of(ask(self.a, d.list).body)
            self.assertRegex(text, r"X509v3 Issuing Distribution Point: critical\s+Full Name:\s+URI:" + re.escape(d.url) + r"\s")
            self.assertIn(": OK", self.verify(d, d.list))
        self.assertIn("different CRL scope", self.verify(first, other.list).replace("Different", "different"))
        first.revoke()
        self.on_list(first)
        self.on_list(first, "/crl/demo.crl")
        self.assertIn("certificate revoked", self.verify(first, first.list))
        self.assertIn("certificate revoked", self.verify(first, "/crl/demo.crl"))
        self.assertIn(": OK", self.verify(other, other.list))
        whole = listed(ask(self.a, "/crl/demo.crl").body)
        parts = [s for k in range(1, SHARDS + 1) for s in listed(ask(self.a, f"/crl/demo-p{k}.crl").body)]
        self.assertEqual(sorted(parts), whole)
        self.assertNotIn("Issuing Distribution Point", text_of(ask(self.a, "/crl/demo.crl").body))

    def test_what_there_is_not(self):
        for name in (f"demo-p{SHARDS + 1}", "demo-p0", "demo-p01", "demo-p-1", "demo-p999999999999", "demo-p128", "demo-p1-delta",
                     "demo-delta-p1", "other-p1", "../crl/demo-p9"):
            self.assertEqual(ask(self.a, f"/crl/{name}.crl").status, 404, name)

    def test_delta(self):
        """RFC 5280 section 5.2.4, as OpenSSL applies it to a list that somebody kept."""
        a, b = self.device("a"), self.device("b")
        a.revoke("hold")
        self.on_list(a, "/crl/demo.crl")
        kept = self.path("kept.pem")
        os.rename(self.pem("/crl/demo.crl"), kept)
        a.release()
        b.revoke()
        self.on_list(b, "/crl/demo.crl")
        delta = self.pem("/crl/demo-delta.crl")
        for device, alone, together in ((a, "certificate revoked", ": OK"), (b, ": OK", "certificate revoked")):
            for more, expected in (((), alone), (("-use_deltas", "-CRLfile", delta), together)):
                r = run("openssl", "verify", "-crl_check", "-extended_crl", "-CRLfile", kept, *more, "-CAfile", self.a.ca, device.cert, check=False)
                self.assertIn(expected, r.stdout + r.stderr)
        self.assertEqual(number_of(ask(self.a, "/crl/demo-delta.crl").body), number_of(ask(self.a, "/crl/demo.crl").body))

    def test_caches(self):
        for path in ("/crl/demo.crl", "/crl/demo-p1.crl", "/ca/demo.crt"):
            r = ask(self.a, path)
            tag, date = r.getheader("ETag"), r.getheader("Last-Modified")
            self.assertRegex(tag, r'^"[0-9a-f]{64}"$')
            self.assertEqual(int(r.getheader("Content-Length")), len(r.body))
            age = int(re.search(r"max-age=(\d+)", r.getheader("Cache-Control")).group(1))
            self.assertTrue(0 < age <= 300)
            expires = email.utils.parsedate_to_datetime(r.getheader("Expires")).timestamp()
            self.assertTrue(abs(expires - time.time() - age) < 60)
            for headers in ({"If_None_Match": tag}, {"If_None_Match": f'"x", W/{tag}'}, {"If_None_Match": "*"}, {"If_Modified_Since": date}):
                for method in ("GET", "HEAD"):
                    same = ask(self.a, path, method, **headers)
                    self.assertEqual((same.status, same.body, same.getheader("ETag")), (304, b"", tag), headers)
            old = email.utils.formatdate(email.utils.parsedate_to_datetime(date).timestamp() - 1, usegmt=True)
            for headers in ({"If_None_Match": '"x"'}, {"If_None_Match": tag[:-2] + '"'}, {"If_Modified_Since": old},
                            {"If_Modified_Since": "yesterday"}, {"If_None_Match": '"x"', "If_Modified_Since": date}):
                self.assertEqual(ask(self.a, path, **headers).body, r.body, headers)
            head = ask(self.a, path, "HEAD")
            self.assertEqual((head.status, head.body, int(head.getheader("Content-Length"))), (200, b"", len(r.body)))
            self.assertEqual(ask(self.a, path, "POST").status, 405)

    def test_old_protocol(self):
        with socket.create_connection(("127.0.0.1", self.a.port), timeout=30) as s:
            s.sendall(b"GET /crl/demo.crl HTTP/1.0\r\n\r\n")
            got = b""
            while part := s.recv(65536):
                got += part
        head, body = got.split(b"\r\n\r\n", 1)
        self.assertIn(b"application/pkix-crl", head)
        self.assertIn("Test CA", text_of(body))

    def test_a_revocation_makes_another_one(self):
        d = self.device("another")
        before = ask(self.a, d.list)
        d.revoke()
        self.on_list(d)
        after = ask(self.a, d.list, If_None_Match=before.getheader("ETag"))
        self.assertEqual(after.status, 200)
        self.assertGreater(number_of(after.body), number_of(before.body))

    def test_files(self):
        d = self.device("file")
        d.revoke()
        self.on_list(d, "/crl/demo.crl")
        names = ["demo.crl", "demo-delta.crl", *(f"demo-p{k}.crl" for k in range(1, SHARDS + 1))]

        def content(name):
            with open(os.path.join(self.directory, name), "rb") as f:
                return f.read()

        def as_served():
            return all(content(n) == ask(self.a, f"/crl/{n}").body for n in names)
        wait_for("the files are what is served", as_served)
        self.assertEqual(sorted(os.listdir(self.directory)), sorted(names))

    def test_scepctl(self):
        lists = self.a.json("crl", "show")
        self.assertEqual([x.get("scope") for x in lists], [None, *(f"p{k}" for k in range(1, SHARDS + 1)), "delta"])
        self.assertTrue(all(x["state"] == "current" for x in lists), lists)
        for path, flags in (("/crl/demo.crl", ()), ("/crl/demo-p2.crl", ("--partition", "2")), ("/crl/demo-delta.crl", ("--delta",))):
            pem = self.a.ctl("crl", "export", *flags).stdout
            der = openssl_crl(pem.encode(), "-outform", "DER")
            self.assertEqual(der, ask(self.a, path).body)


class Dying(unittest.TestCase):
    """What is acknowledged is on the list of the next daemon, whatever step of publishing the last one died in."""

    def setUp(self):
        self.a = Authority("p256")
        self.addCleanup(self.a.close)
        self.faults = Faults(self.a.home)
        self.dir = self.a.home

    def path(self, name):
        return os.path.join(self.a.home, name)

    def ctl(self, *args):
        """Without the faults: they are for the daemon."""
        return self.a.ctl(*args, env=dict(os.environ))

    def files(self):
        return sorted(os.listdir(os.path.join(self.a.home, "store", "crl")))

    def current(self):
        r = ask(self.a, "/crl/demo.crl")
        return r.body if r.status == 200 else None

    def test_at_every_step(self):
        """One list is two syncs: of its file, and of its folder when it has its name."""
        number, revoked = 0, []
        for i, (action, after) in enumerate((a, n) for n in range(2) for a in ("kill-before", "kill-after")):
            self.a.env = self.faults.env
            self.a.start()
            d = Device(self, f"d{i}")
            self.faults.set("other_sync", action, after=after)
            self.ctl("cert", "revoke", d.serial, "--yes")
            revoked.append(d.serial)
            self.assertNotEqual(self.a.process.wait(60), 0)
            self.faults.set("other_sync", "none")
            self.a.kill_all()
            self.ctl("store", "verify")
            self.a.start()
            wait_for("the list", lambda: self.current() and listed(self.current()) == sorted(revoked))
            self.assertGreater(number_of(self.current()), number)
            number = number_of(self.current())
            wait_for("one file is left", lambda: len(self.files()) == 1)
            self.ctl("store", "verify")
            self.a.stop()

    def test_a_disk_that_fails(self):
        """The list before goes on; the next try makes a new one."""
        self.a.env = self.faults.env
        self.a.start()
        d, before = Device(self, "d"), self.current()
        self.faults.set("other_sync", "fail", times=-1)
        self.ctl("cert", "revoke", d.serial, "--yes")
        wait_for("it is told", lambda: "event=crl.failed" in self.a.log_text())
        self.assertEqual(self.current(), before)
        self.faults.set("other_sync", "none")
        wait_for("the list", lambda: d.serial in listed(self.current()))
        self.assertEqual(len(self.files()), 1)
        self.ctl("store", "verify")


if __name__ == "__main__":
    unittest.main(verbosity=2)
