"""OCSP by HTTP, as relying parties ask and as nobody should (RFC 6960 appendix A.1, RFC 5019, RFC 9654)."""

import base64
import email.utils
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ocsp_client as ocsp  # noqa: E402
from harness import AuthorityCase, free_port  # noqa: E402
from relying import Device, wait_for  # noqa: E402


class OcspCase(AuthorityCase):
    key = "p256"

    def setUp(self):
        super().setUp()
        self.issuer = ocsp.Issuer(self.a.ca)
        self.port = self.a.port

    def device(self, name):
        return Device(self, name)

    def ask(self, serial, **more):
        return ocsp.post(self.port, ocsp.request(self.issuer.cert_id(serial), **more)).answer()


class OcspHttp(OcspCase):
    def setUp(self):
        super().setUp()
        if not hasattr(type(self), "good"):
            type(self).good = self.device("good")
            self.good.cert = shutil.copy(self.good.cert, self.a.home)
        self.id = self.issuer.cert_id(self.good.serial)
        self.request = ocsp.request(self.id)

    # ---- asking ----

    def test_get_and_post_on_the_same_url(self):
        for path in ("/ocsp", "/ocsp/demo"):
            got = ocsp.get(self.port, ocsp.path_of(self.request, path))
            posted = ocsp.post(self.port, self.request, path=path)
            self.assertEqual(got.answer().said, ["good"])
            self.assertEqual(got.body, posted.body)  # kept, byte for byte
        self.assertEqual(ocsp.judge(got.body, self.a.ca, self.good.cert, self.dir), "good")

    def test_every_hash(self):
        for name in ocsp.HASHES:
            for null in (True, False):
                r = ocsp.post(self.port, ocsp.request(self.issuer.cert_id(self.good.serial, name, null)))
                self.assertEqual(r.answer().said, ["good"], name)

    def test_spellings_of_a_get(self):
        # with '+', '/' and '=' in it, whatever the serial
        spelled = ocsp.request(self.id, extensions=[ocsp.sequence(ocsp.tlv(6, b"\x2a\x03"), ocsp.octets(
            b"\xfb\xef\xbe\xff\xff\xff\xfb\xef\xbe\xff\xff\xff\xfb" + bytes(n)))] if (n := 1) else ())
        text = base64.b64encode(spelled).decode()
        while "=" not in text:
            n += 1
            spelled = ocsp.request(self.id, extensions=[ocsp.sequence(ocsp.tlv(6, b"\x2a\x03"), ocsp.octets(
                b"\xfb\xef\xbe\xff\xff\xff\xfb\xef\xbe\xff\xff\xff\xfb" + bytes(n)))])
            text = base64.b64encode(spelled).decode()
        self.assertTrue({"+", "/", "="} <= set(text))
        lower = "".join(f"%{ord(c):02x}" if c in "+/=" else c for c in text)
        every = "".join(f"%{ord(c):02X}" for c in text)
        url = text.replace("+", "-").replace("/", "_")
        lines = "%0D%0A".join(text[i:i + 64] for i in range(0, len(text), 64))
        for path in ("/ocsp/" + text, ocsp.path_of(spelled), "/ocsp/" + lower, "/ocsp/" + every, "/ocsp//" + text,
                     "/ocsp////" + text, "/ocsp/demo//" + text, "/ocsp/" + text.rstrip("="), "/ocsp/" + url,
                     "/ocsp/" + url.rstrip("="), "/ocsp/" + lines, "/ocsp/" + text + "?a=b", "/OCSP/" + text,
                     f"http://ca.example.org:8080/ocsp/{text}"):
            self.assertEqual(ocsp.get(self.port, path).answer().said, ["good"], path)

    def test_bad_paths_are_malformed(self):
        for rest in ("", "/", "/MEQ%", "/MEQ%2", "/MEQ%zz", "/MEQ%00", "/%252B", "/../demo", "/MEQ*", "/M", "/\xff\xfe",
                     "/" + "M" * 60000):
            self.assertEqual(ocsp.get(self.port, "/ocsp" + rest).answer().status, "malformed_request", rest[:20])
        self.assertEqual(ocsp.get(self.port, "/ocspd/" + base64.b64encode(self.request).decode()).status, 404)
        self.assertEqual(ocsp.get(self.port, "/ocsp/" + "M" * 135000).status, 414)

    def test_post_of_any_type(self):
        for lines in ((), ("Content-Type: application/ocsp-request",), ("Content-Type: text/plain",),
                      ("Content-Type: application/x-www-form-urlencoded",), ("Content-Type: ;;;",)):
            self.assertEqual(ocsp.post(self.port, self.request, *lines).answer().said, ["good"], lines)
        self.assertEqual(ocsp.post(self.port, b"").answer().status, "malformed_request")
        self.assertEqual(ocsp.post(self.port, bytes(65536)).answer().status, "malformed_request")

    def test_a_body_over_64_kib_ends_the_connection(self):
        c = ocsp.Connection(self.port)
        c.send(b"POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n" + bytes(65537))
        self.assertEqual(c.read().status, 413)
        self.assertTrue(c.ended())
        c.close()

    def test_http_1_0_is_answered_and_closed(self):
        head = f"Content-Length: {len(self.request)}\r\n\r\n".encode() + self.request
        for start in (f"GET {ocsp.path_of(self.request)} HTTP/1.0\r\n\r\n".encode(),
                      f"GET {ocsp.path_of(self.request)} HTTP/1.0\r\nHost: ca\r\n\r\n".encode(),
                      b"POST /ocsp HTTP/1.0\r\n" + head, b"POST /ocsp HTTP/1.0\r\nHost: ca\r\n" + head):
            c = ocsp.Connection(self.port)
            c.send(start)
            r = c.read()
            self.assertEqual(r.answer().said, ["good"])
            self.assertTrue(r["Date"])
            self.assertTrue(c.ended())
            c.close()

    def test_http_1_1_goes_on(self):
        path = ocsp.path_of(self.request)
        c = ocsp.Connection(self.port)
        nonce = ocsp.request(self.id, nonce=b"n" * 16)
        one = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        other = f"POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Length: {len(nonce)}\r\n\r\n".encode() + nonce
        c.send(one + other + one + other + one)  # kept ones wait behind those that are signed
        for i in range(5):
            a = c.read().answer()
            self.assertEqual(a.said, ["good"])
            self.assertEqual(a.nonce, b"n" * 16 if i % 2 else None)
        c.close()

    def test_expect_and_chunks(self):
        c = ocsp.Connection(self.port)
        c.send(f"POST /ocsp HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(self.request)}\r\n\r\n")
        while b"100 Continue" not in c.buffer:
            self.assertTrue(c.more())
        c.send(self.request)
        self.assertEqual(c.read().answer().said, ["good"])
        half = len(self.request) // 2
        c.send(b"POST /ocsp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
            f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in (self.request[:half], self.request[half:], b"")))
        self.assertEqual(c.read().answer().said, ["good"])
        c.close()

    def test_odd_framing_is_refused(self):
        n = len(self.request)
        for lines in (f"Content-Length: {n}\r\nContent-Length: {n}\r\n", f"Content-Length: {n}\r\nContent-Length: 5\r\n",
                      f"Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n", f"Content-Length: +{n}\r\n"):
            c = ocsp.Connection(self.port)
            c.send(f"POST /ocsp HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + self.request)
            self.assertEqual(c.read().status, 400, lines)
            self.assertTrue(c.ended())
            c.close()

    def test_methods(self):
        path = ocsp.path_of(self.request)
        got, head = ocsp.get(self.port, path), ocsp.get(self.port, path, method="HEAD")
        for name in ("Content-Length", "Content-Type", "ETag", "Cache-Control", "Expires", "Last-Modified"):
            self.assertEqual(got[name], head[name], name)
        for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
            r = ocsp.get(self.port, path, method=method)
            self.assertEqual(r.status, 405, method)
            self.assertEqual(r["Allow"], "GET, HEAD, POST")
        whole = ocsp.get(self.port, path, "Range: bytes=0-9")
        self.assertEqual(whole.answer().said, ["good"])

    # ---- caches between ----

    def test_what_may_be_kept(self):
        r = ocsp.get(self.port, ocsp.path_of(self.request))
        a = r.answer()
        self.assertEqual(r["Cache-Control"], "max-age=60, public, no-transform, must-revalidate")
        self.assertEqual(r["ETag"], '"' + hashlib.sha256(r.body).hexdigest() + '"')

        def seconds(name):
            return email.utils.parsedate_to_datetime(r[name]).strftime("%Y%m%d%H%M%SZ")
        self.assertEqual(seconds("Last-Modified"), a.this_update)
        self.assertEqual(seconds("Expires"), a.next_update)
        self.assertTrue(a.this_update <= a.produced_at <= seconds("Date") < a.next_update)
        for value in (r["ETag"], '"x", ' + r["ETag"], "*", "W/" + r["ETag"]):
            same = ocsp.get(self.port, ocsp.path_of(self.request), "If-None-Match: " + value)
            self.assertEqual(same.status, 304, value)
            self.assertEqual(same["ETag"], r["ETag"])
            self.assertIsNone(same["Content-Length"])
        self.assertEqual(ocsp.get(self.port, ocsp.path_of(self.request), 'If-None-Match: "x"').status, 200)
        c = ocsp.Connection(self.port)  # nothing stands behind a 304
        c.send((f"GET {ocsp.path_of(self.request)} HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n"
                f"GET {ocsp.path_of(self.request)} HTTP/1.1\r\nHost: x\r\n\r\n"))
        self.assertEqual([c.read().status, c.read().status], [304, 200])
        c.close()

    def test_what_may_not_be_kept(self):
        unknown = self.issuer.cert_id("7f" + "ab" * 15)
        foreign = self.id.replace(hashlib.sha1(self.issuer.key).digest(), b"k" * 20)
        for der, status, said in ((ocsp.request(unknown), "successful", ["unknown"]),
                                  (ocsp.request(self.id, nonce=b"n" * 16), "successful", ["good"]),
                                  (ocsp.request(foreign), "unauthorized", []), (b"\x30\x00", "malformed_request", [])):
            for r in (ocsp.get(self.port, ocsp.path_of(der)), ocsp.post(self.port, der)):
                a = r.answer()
                self.assertEqual((a.status, a.said), (status, said))
                self.assertEqual(r["Cache-Control"], "no-store")
                for name in ("ETag", "Expires", "Last-Modified"):
                    self.assertIsNone(r[name])

    def test_several_in_one(self):
        unknown = self.issuer.cert_id("7f" + "cd" * 15)
        foreign = self.id.replace(hashlib.sha1(self.issuer.key).digest(), b"k" * 20)
        a = ocsp.post(self.port, ocsp.request(self.id, unknown, self.id, foreign)).answer()
        self.assertEqual(a.said, ["good", "unknown", "good", "unknown"])
        self.assertEqual(len(ocsp.post(self.port, ocsp.request(*[self.id] * 100)).answer().said), 100)
        self.assertEqual(ocsp.post(self.port, ocsp.request(*[self.id] * 101)).answer().status, "malformed_request")

    def test_nonces(self):
        for n in (1, 8, 16, 23, 32, 128):
            nonce = os.urandom(n)
            for r in (ocsp.post(self.port, ocsp.request(self.id, nonce=nonce)),
                      ocsp.get(self.port, ocsp.path_of(ocsp.request(self.id, nonce=nonce)))):
                self.assertEqual(r.answer().nonce, nonce)
        for n in (0, 129):
            self.assertEqual(self.ask(self.good.serial, nonce=bytes(n)).status, "malformed_request")

    # ---- who should not ask ----

    def test_hostile_octets(self):
        nested = b""
        for _ in range(3000):
            nested = ocsp.sequence(nested)
        for der in (ocsp.request(*[self.id] * 600), nested[-65000:], nested, self.request[:-1], self.request + b"\x00",
                    b"\x30\x84\xff\xff\xff\xff" + self.request, b"\x30\x80" + self.request[2:] + b"\x00\x00", b"\x00" * 100,
                    os.urandom(1000)):
            der = der[:65536]
            self.assertEqual(ocsp.post(self.port, der).answer().status, "malformed_request", der[:20].hex())
        c = ocsp.Connection(self.port)
        c.send("POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Length: 4294967296\r\n\r\n")
        self.assertEqual(c.read().status, 413)
        c.close()
        self.assertEqual(self.ask(self.good.serial).said, ["good"])

    def test_half_sent_requests_do_not_delay_others(self):
        half = [ocsp.Connection(self.port) for _ in range(100)]
        for i, c in enumerate(half):
            c.send(f"POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Length: {len(self.request)}\r\n\r\n".encode()
                   + self.request[:20] if i % 2 else b"GET /ocsp/MEQ")
        for _ in range(20):
            self.assertEqual(self.ask(self.good.serial).said, ["good"])
            self.assertEqual(self.ask(self.good.serial, nonce=b"12345678").said, ["good"])
        for c in half:
            c.close()

    # ---- the truth ----

    def test_another_process_revokes(self):
        """What is acknowledged shows in the next answer, from the cache or not."""
        d, other = self.device("stolen"), self.device("other")
        der = ocsp.request(self.issuer.cert_id(d.serial))
        kept = ocsp.get(self.port, ocsp.path_of(ocsp.request(self.issuer.cert_id(other.serial))))
        self.assertEqual(ocsp.post(self.port, der).answer().said, ["good"])
        d.revoke()
        self.assertEqual(ocsp.post(self.port, der).answer().said, ["revoked"])
        self.assertEqual(self.ask(d.serial, nonce=b"12345678").said, ["revoked"])
        r = ocsp.get(self.port, ocsp.path_of(der))
        self.assertEqual(ocsp.judge(r.body, self.a.ca, d.cert, self.dir), "revoked")
        self.assertTrue(r["ETag"])
        # others are as good as before, and need no other answer
        self.assertEqual(ocsp.get(self.port, ocsp.path_of(ocsp.request(self.issuer.cert_id(other.serial)))).body, kept.body)

    def test_hold_and_release(self):
        d = self.device("lost")
        for _ in range(3):
            self.assertEqual(self.ask(d.serial).said, ["good"])
            d.revoke("hold")
            self.assertEqual(self.ask(d.serial).said, ["revoked"])
            d.release()
        self.assertEqual(self.ask(d.serial).said, ["good"])

    def test_many_ask_at_once(self):
        """One certificate, not in the cache, thirty clients: all are answered alike."""
        d = self.device("popular")
        der, replies = ocsp.request(self.issuer.cert_id(d.serial)), []
        threads = [threading.Thread(target=lambda: replies.append(ocsp.post(self.port, der))) for _ in range(30)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([r.answer().said for r in replies], [["good"]] * 30)

    # ---- reloads ----

    def test_reloads_drop_nothing(self):
        stop, wrong, count = threading.Event(), [], [0]
        plain, nonce = ocsp.request(self.id), ocsp.request(self.id, nonce=b"12345678")

        def load(der):
            c = ocsp.Connection(self.port)
            while not stop.is_set():
                c.send(f"POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Length: {len(der)}\r\n\r\n".encode() + der)
                r = c.read()
                if r is None or r.answer().said != ["good"]:
                    wrong.append(r and (r.status, r.body))
                    return
                count[0] += 1
            c.close()
        threads = [threading.Thread(target=load, args=(der,)) for der in (plain, nonce) * 3]
        for t in threads:
            t.start()
        for n in range(1, 6):
            self.a.process.send_signal(signal.SIGHUP)
            seen = self.reloads() if n == 1 else seen
            wait_for("it was read anew", lambda: self.reloads() >= seen + n or None)
            before = count[0]
            wait_for("all go on", lambda: count[0] > before + 20 or wrong)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])

    def reloads(self):
        return self.a.log_text().count("event=daemon.reloaded")

    def test_another_signer(self):
        """It is killed: soon there is another, and the kept answers never noticed."""
        self.assertEqual(self.ask(self.good.serial).said, ["good"])
        pid = int(self.a.log_text().rpartition(" signer=")[2].split()[0])
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.ask(self.good.serial).said, ["good"])
        wait_for("another signer signs", lambda: self.ask(self.good.serial, nonce=b"12345678").said == ["good"])
        self.assertEqual(self.ask(self.good.serial).said, ["good"])


class Keys(OcspCase):
    """Two CA keys, each with a path of its own, and the one for both (V39)."""

    def said(self, issuer, device, path):
        r = ocsp.get(self.port, ocsp.path_of(ocsp.request(issuer.cert_id(device.serial)), path))
        a = r.answer()
        return a.said[0] if a.said else a.status

    def test_each_answers_for_its_own(self):
        old = self.device("old")
        self.a.ctl("ca", "rollover", "new", "--by-hand")
        self.a.ctl("ca", "rollover", "activate", "--yes", "--expect", "demo")
        self.a.process.send_signal(signal.SIGHUP)

        def next_ca():
            r = ocsp.get(self.port, "/ca/demo-g2.crt")
            return r.status == 200 and ocsp.Issuer(der=r.body)
        second = wait_for("there is another CA", next_ca)
        wait_for("it has taken over", lambda: "event=daemon.reloaded" in self.a.log_text())
        young = self.device("young")
        # tryLater until the keeper has made its responder, soon after the change
        wait_for("the other key can answer", lambda: self.said(second, young, "/ocsp") == "good")
        for _ in range(2):  # made, then kept
            self.assertEqual([[self.said(i, d, path) for path in ("/ocsp", "/ocsp/demo", "/ocsp/demo-g2")]
                              for i, d in ((self.issuer, old), (second, young))],
                             [["good", "good", "unauthorized"], ["good", "unauthorized", "good"]])
        self.assertEqual(self.said(second, old, "/ocsp"), "unknown")  # its serial is the other's
        old.revoke()
        self.assertEqual([self.said(self.issuer, old, p) for p in ("/ocsp", "/ocsp/demo")], ["revoked"] * 2)
        self.assertEqual(self.said(second, young, "/ocsp"), "good")
        # a signature by the one does not speak for the other: two in one request are the first one's
        a = ocsp.post(self.port, ocsp.request(self.issuer.cert_id(old.serial), second.cert_id(young.serial))).answer()
        self.assertEqual(a.said, ["revoked", "unknown"])


class Unissued(OcspCase):
    """As `ocsp.unissued` says, after a reload too: an answer by other rules is not what was kept."""

    def test_what_is_said(self):
        asked = self.issuer.cert_id("7e" + "ef" * 15)

        def said():
            r = ocsp.post(self.port, ocsp.request(asked))
            return (r.answer().said or [r.answer().status])[0]
        self.assertEqual(said(), "unknown")
        with open(self.a.conf) as f:
            text = f.read()
        for word, expected in (("unauthorized", "unauthorized"), ("revoked", "revoked")):
            with open(self.a.conf, "w") as f:
                f.write(text + f'ocsp: {{ unissued = "{word}"; }};\n')
            self.a.process.send_signal(signal.SIGHUP)
            wait_for(f"it says {word}", lambda: said() == expected)
        r = ocsp.post(self.port, ocsp.request(asked))
        self.assertEqual(r["Cache-Control"], "no-store")


class Told(OcspCase):
    """What is counted, and what /healthz and scepctl status say."""

    @classmethod
    def setUpClass(cls):
        cls.admin_port = free_port()
        cls.init_args = ("--admin-port", cls.admin_port)
        super().setUpClass()

    def value(self, name, **labels):
        """Sum of the samples with these labels."""
        text = ocsp.get(self.admin_port, "/metrics").body.decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name
                   and all(f'{k}="{v}"' in line for k, v in labels.items()))

    def counts(self):
        return {"good": self.value("scepd_ocsp_responses_total", status="good"),
                "malformed": self.value("scepd_ocsp_responses_total", status="malformed_request"),
                "sha256": self.value("scepd_ocsp_requests_total", hash="SHA-256"),
                "GET": self.value("scepd_ocsp_requests_total", method="GET"),
                "hit": self.value("scepd_ocsp_cache_total", result="hit"),
                "confirmed": self.value("scepd_ocsp_cache_total", result="confirmed"),
                "changed": self.value("scepd_ocsp_cache_total", result="changed"),
                "miss": self.value("scepd_ocsp_cache_total", result="miss"),
                "not_kept": self.value("scepd_ocsp_cache_total", result="not_kept"),
                "signed": self.value("scepd_ocsp_signed_duration_seconds_count")}

    def test_counting(self):
        d, other = self.device("d"), self.device("other")
        before = self.counts()
        self.ask(d.serial)                                              # miss
        self.ask(d.serial)                                              # hit
        self.ask(d.serial, nonce=b"n")                                  # not kept
        ocsp.get(self.port, ocsp.path_of(ocsp.request(self.issuer.cert_id(d.serial, "sha256"))))  # miss: another CertID
        ocsp.get(self.port, "/ocsp/M")                                  # malformed
        other.revoke()
        self.ask(d.serial)                                              # confirmed
        self.ask(d.serial)                                              # hit
        d.revoke()
        self.ask(d.serial)                                              # changed
        after = self.counts()
        self.assertEqual({k: after[k] - before[k] for k in after},
                         {"good": 6, "malformed": 1, "sha256": 1, "GET": 2, "hit": 2, "confirmed": 1, "changed": 1, "miss": 2,
                          "not_kept": 1, "signed": 4})
        wait_for("it is told", lambda: self.value("scepd_ocsp_cached_answers") == 2)
        self.assertGreater(self.value("scepd_authority_not_after_timestamp_seconds", role="ocsp"), time.time())

    def test_health(self):
        check = next(c for c in json.loads(ocsp.get(self.admin_port, "/healthz").body)["checks"] if c["name"] == "ocsp")
        self.assertEqual((check["status"], check["unit"]), ("pass", "hours"))
        self.assertIn("responder", self.a.ctl("status", check=False).stdout)

    def test_the_log_is_quiet(self):
        """Good answers leave no line; refused ones do, but not without end."""
        d = self.device("quiet")
        before = len(self.a.log_text().splitlines())
        for _ in range(50):
            self.ask(d.serial)
        self.assertEqual(len(self.a.log_text().splitlines()), before)
        for _ in range(500):
            ocsp.get(self.port, "/ocsp/M")
        text = self.a.log_text()
        self.assertIn("event=ocsp.refused peer=127.0.0.1 status=malformed_request", text)


class Budget(OcspCase):
    """Two signatures a second: above it clients are told to come again, and what is kept is answered as ever."""

    @staticmethod
    def edit(text):
        return text + 'ocsp: { signatures_per_second = 2; };\n'

    def test_over_the_budget(self):
        d = self.device("one")
        wait_for("it is kept", lambda: self.ask(d.serial).status == "successful")
        asked = [ocsp.post(self.port, ocsp.request(self.issuer.cert_id(d.serial), nonce=b"12345678")) for _ in range(20)]
        later = [r for r in asked if r.answer().status == "try_later"]
        self.assertGreater(len(later), 10)
        self.assertEqual({r["Cache-Control"] for r in later}, {"no-store"})
        for r in asked:
            if r not in later:
                self.assertEqual((r.answer().said, r.answer().nonce), (["good"], b"12345678"))  # never without
        for _ in range(20):
            self.assertEqual(self.ask(d.serial).said, ["good"])
        wait_for("there is room again", lambda: self.ask(d.serial, nonce=b"87654321").said == ["good"])
        self.assertIn("event=ocsp.try_later", self.a.log_text())


class Shares(OcspCase):
    """Who asks with nonces for all that may be signed takes nothing from who asks for little."""

    @staticmethod
    def edit(text):
        return text + 'ocsp: { signatures_per_second = 20; };\n'

    def test_two_addresses(self):
        d = self.device("one")
        request = ocsp.request(self.issuer.cert_id(d.serial), nonce=b"12345678")
        ended = threading.Event()

        def flood():
            while not ended.is_set():
                ocsp.post(self.port, request, source="127.0.0.2")

        floods = [threading.Thread(target=flood) for _ in range(2)]
        for f in floods:
            f.start()
        try:
            wait_for("all is used up", lambda: ocsp.post(self.port, request, source="127.0.0.2").answer().status == "try_later")
            said = [ocsp.post(self.port, request, source="127.0.0.3").answer().said for _ in range(4)]
        finally:
            ended.set()
            for f in floods:
                f.join()
        self.assertEqual(said, [["good"]] * 4)


class SmallCache(OcspCase):
    """More certificates than the cache has places for."""

    @staticmethod
    def edit(text):
        return text + 'ocsp: { cache = 16; };\n'

    def test_all_are_answered(self):
        devices = [self.device(f"d{i}") for i in range(20)]
        for _ in range(3):
            for d in devices:
                self.assertEqual(self.ask(d.serial).said, ["good"])
        devices[3].revoke()
        self.assertEqual([self.ask(d.serial).said for d in devices], [["revoked" if i == 3 else "good"] for i in range(20)])


if __name__ == "__main__":
    unittest.main()
