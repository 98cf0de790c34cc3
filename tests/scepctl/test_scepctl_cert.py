"""scepctl cert, request cancel and crl: many at once, files of every kind, lists published by hand."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from ctl_case import CONFLICT, DONE, FAILED, NOT_FOUND, SEED, USAGE, Seeded, WithAuthority, ctl
from harness import SCEPCTL, Authority, run

A1, A2, A3, A4 = ("40" + 15 * f"a{n}" for n in (1, 2, 3, 4))


class EachSeeded(WithAuthority):
    @classmethod
    def setUpClass(cls):
        pass

    def setUp(self):
        from ctl_case import make_home
        self.home, _ = make_home("--demo", "--key", "p256")
        self.addCleanup(shutil.rmtree, self.home)
        self.conf = self.home + "/scepd.conf"
        run(SEED, self.home + "/store", self.home + "/ca/ca.pem")

    def state(self, serial):
        return self.lines("cert", "show", serial)[0]["state"]


class Bulk(EachSeeded):
    def test_from_a_list(self):
        ids = self.exits(DONE, self.ctl("cert", "list", "-s", "device-", "--ids", "--state", "active")).stdout
        self.assertEqual(len(ids.split()), 3)
        args = ("cert", "revoke", "--from", "-", "--reason", "superseded")
        r = self.exits(DONE, self.ctl(*args, "--dry-run", input=ids))
        self.assertIn("would revoke " + A1, r.stderr)
        self.assertIn("3 certificates, reason superseded", r.stderr)
        r = self.exits(USAGE, self.ctl(*args, "--yes", input=ids))
        self.assertIn("--yes --expect 3", r.stderr)
        self.exits(CONFLICT, self.ctl(*args, "--yes", "--expect", "2", input=ids))
        self.assertEqual({self.state(s) for s in ids.split()}, {"active"})
        self.exits(DONE, self.ctl(*args, "--yes", "--expect", "3", input=ids))
        self.assertEqual({self.state(s) for s in ids.split()}, {"revoked"})
        self.assertEqual(len(self.lines("audit", "list", "--event", "certificate.revoked")), 3)
        self.assertEqual({c["revocation_reason"] for c in self.lines("cert", "list", "--state", "revoked")}, {"superseded"})

    def test_whole_lines_of_a_list_and_files(self):
        listed = self.ctl("cert", "list", "-s", "device-1").stdout  # tab-separated, serial first
        path = self.home + "/ids"
        with open(path, "w") as f:
            f.write("\n" + listed + "\r\n")
        self.exits(DONE, self.ctl("cert", "revoke", "--from", path, "--yes"))
        self.assertEqual(self.state(A1), "revoked")
        self.exits(NOT_FOUND, self.ctl("cert", "revoke", "--from", self.home + "/none", "--yes"))
        r = self.exits(DONE, self.ctl("cert", "revoke", "--from", "-", "--yes", input=""))
        self.assertIn("nothing to revoke", r.stderr)
        self.exits(USAGE, self.ctl("cert", "revoke", "--yes"))

    def test_one_that_does_not_fit_stops_all(self):
        self.exits(NOT_FOUND, self.ctl("cert", "revoke", A1, "50aaaaaa", "--yes", "--expect", "2"))
        self.exits(USAGE, self.ctl("cert", "revoke", A1, "nonsense", "--yes", "--expect", "2"))
        self.assertEqual(self.state(A1), "active")
        self.exits(DONE, self.ctl("cert", "revoke", A2, "--yes"))
        self.exits(CONFLICT, self.ctl("cert", "revoke", A1, A2, "--yes", "--expect", "2"))
        self.assertEqual(self.state(A1), "active")

    def test_what_others_do_meanwhile_stops_nothing(self):
        """Somebody revokes one of them while the question stands."""
        def quicker():
            self.exits(DONE, self.ctl("cert", "revoke", A2, "--yes"))
        code, out = self.on_terminal("cert", "revoke", A1, A2, A4, meanwhile=quicker, answer="3\n")
        self.assertEqual(code, DONE, out)
        self.assertIn(f"{A2} was revoked meanwhile", out)
        self.assertEqual([self.state(s) for s in (A1, A2, A4)], ["revoked"] * 3)

    def test_what_can_be_done_no_more_is_told_at_the_end(self):
        def revoked():
            self.exits(DONE, self.ctl("cert", "revoke", A1, "--yes"))
        code, out = self.on_terminal("cert", "revoke", A1, A2, "--reason", "hold", meanwhile=revoked, answer="2\n")
        self.assertEqual(code, CONFLICT, out)
        self.assertIn("1 of 2 could not be held", out)
        self.assertEqual([self.state(s) for s in (A1, A2)], ["revoked", "held"])

    def test_another_reason_meanwhile_is_not_what_was_wanted(self):
        def superseded():
            self.exits(DONE, self.ctl("cert", "revoke", A2, "--reason", "superseded", "--yes"))
        code, out = self.on_terminal("cert", "revoke", A1, A2, "--reason", "key-compromise", meanwhile=superseded, answer="2\n")
        self.assertEqual(code, CONFLICT, out)
        self.assertIn(f"{A2} was revoked meanwhile, and its reason stays superseded", out)
        self.assertIn("1 of 2 could not be revoked", out)
        reasons = {c["serial"]: c["revocation_reason"] for c in self.lines("cert", "list", "--state", "revoked")}
        self.assertEqual((reasons[A1], reasons[A2]), ("key-compromise", "superseded"))

    def test_hold_and_release(self):
        self.exits(CONFLICT, self.ctl("cert", "release", A1))
        self.exits(DONE, self.ctl("cert", "revoke", A1, A2, "--reason", "hold", "--yes", "--expect", "2"))
        self.assertEqual(self.state(A1), "held")
        self.exits(DONE, self.ctl("cert", "release", A1, "--dry-run"))
        self.assertEqual(self.state(A1), "held")
        self.exits(DONE, self.ctl("cert", "release", A1))
        self.assertEqual(self.state(A1), "active")
        self.exits(DONE, self.ctl("cert", "revoke", A2, "--yes"))  # a held one for good
        self.exits(CONFLICT, self.ctl("cert", "release", A2))

    def test_typed_number(self):
        code, out = self.on_terminal("cert", "revoke", A1, A2, answer="y\n")
        self.assertEqual(code, USAGE, out)
        self.assertIn("Type 2 to go on", out)
        self.assertEqual(self.state(A1), "active")
        code, out = self.on_terminal("cert", "revoke", A1, A2, answer="2\n")
        self.assertEqual(code, DONE, out)
        self.assertEqual(self.state(A2), "revoked")

    def test_request_cancel(self):
        self.exits(DONE, self.ctl("request", "cancel", "req_aaaaaa", "--note", "wrong device"))
        shown = self.lines("request", "show", "req_aaaaaa")[0]
        self.assertEqual((shown["state"], shown["note"]), ("denied", "wrong device"))
        self.exits(DONE, self.ctl("request", "approve", "req_cccccc"))
        self.exits(DONE, self.ctl("request", "cancel", "req_cccccc"))
        self.assertEqual(self.lines("request", "show", "req_cccccc")[0]["state"], "denied")
        self.exits(CONFLICT, self.ctl("request", "cancel", "req_cccccc"))
        self.assertEqual(len(self.lines("audit", "list", "--event", "request.cancelled")), 2)


class Filters(Seeded):
    def serials(self, *args):
        return [c["serial"] for c in self.lines("cert", "list", *args)]

    def test_filters(self):
        self.assertEqual(self.serials("--expiring", "30d"), [A1])
        self.assertEqual(self.serials("--expires-within", "30d"), [A1])
        self.exits(USAGE, self.ctl("cert", "list", "--expiring", "30d", "--expires-within", "30d"))
        self.assertEqual(self.serials("--sort", "oldest"), [A1, A2, A3, A4])
        self.assertEqual(self.serials("--sort", "newest"), [A4, A3, A2, A1])
        self.assertEqual(self.serials("--sort", "oldest", "--limit", "1"), [A1])
        self.assertEqual(self.serials("--until", "1h"), [A3])
        self.assertEqual(self.serials("--since", "1970-01-02", "--sort", "oldest"), [A1, A2, A3, A4])
        self.assertEqual(self.serials("--challenge", "chl_none"), [])
        for bad in ("yesterday", "2026-13-01", "2026-11-28T10:12", "30"):
            self.exits(USAGE, self.ctl("cert", "list", "--since", bad))

    def test_many_rows_on_a_terminal(self):
        from ctl_case import make_home
        home, _ = make_home("--demo", "--key", "p256")
        self.addCleanup(shutil.rmtree, home)
        run(SEED, home + "/store", home + "/ca/ca.pem", "1500")
        conf, self.conf = self.conf, home + "/scepd.conf"
        try:
            code, out = self.on_terminal("cert", "list", "--limit", "0", "-q")
        finally:
            self.conf = conf
        lines = out.splitlines()
        self.assertEqual((code, len(lines)), (DONE, 1501))  # those behind the measured ones stream in the same widths
        self.assertLessEqual(max(map(len, lines)), 80)
        where = {max(line.find("active"), line.find("revoked")) for line in lines[1:]}
        self.assertEqual(len(where), 1)


class Files(WithAuthority):
    def show(self, path, code=DONE):
        r = self.exits(code, self.ctl("cert", "show", path, "--json"))
        return [json.loads(line) for line in r.stdout.splitlines()]

    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def test_every_kind(self):
        key, csr, csr_der = self.path("k.pem"), self.path("r.pem"), self.path("r.der")
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=x", "-out", csr)
        run("openssl", "req", "-in", csr, "-outform", "DER", "-out", csr_der)
        for path in (csr, csr_der):
            shown = self.show(path)[0]
            self.assertEqual((shown["kind"], shown["subject"], shown["key"]), ("certification request", "CN=x", "RSA-2048"))
        self.assertEqual(self.show(key)[0], {"kind": "private key"})
        ca = self.home + "/ca/ca.pem"
        both = self.path("both.pem")
        with open(both, "w") as f:
            for p in (ca, csr):
                with open(p) as g:
                    f.write(g.read())
        self.assertEqual([s["kind"] for s in self.show(both)], ["certificate", "certification request"])
        p7 = self.path("b.p7")
        run("openssl", "crl2pkcs7", "-nocrl", "-certfile", ca, "-outform", "DER", "-out", p7)
        self.assertEqual([s["kind"] for s in self.show(p7)], ["certificate"])

    def test_message(self):
        vectors = os.path.join(os.path.dirname(__file__), "..", "vectors", "clients")
        found = 0
        for base, _, names in os.walk(vectors):
            for n in names:
                r = self.ctl("cert", "show", os.path.join(base, n), "--json")
                if r.returncode == DONE and '"SCEP message"' in r.stdout:
                    shown = json.loads(r.stdout)
                    self.assertTrue(shown["transaction"])
                    found += 1
        self.assertGreater(found, 0)

    def test_nothing_of_that(self):
        junk = self.path("junk.bin")
        for content in (b"", b"\x30", b"\x30\x80" * 500, os.urandom(5000), b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
            with open(junk, "wb") as f:
                f.write(content)
            self.show(junk, FAILED)
        self.exits(NOT_FOUND, self.ctl("cert", "show", self.path("none.pem")))


class Lists(WithAuthority):
    def test_show_publish_export(self):
        self.assertEqual(self.lines("crl", "show")[0]["state"], "none")
        self.exits(NOT_FOUND, self.ctl("crl", "export"))
        self.exits(DONE, self.ctl("crl", "publish", "--dry-run"))
        self.assertEqual(self.lines("crl", "show")[0]["state"], "none")
        made = self.lines("crl", "publish", "demo")[0]
        shown = self.lines("crl", "show", "demo")[0]
        self.assertEqual(made, shown)
        self.assertEqual((shown["state"], shown["entries"]), ("current", 0))
        der = self.home + "/x.crl"
        with open(der, "wb") as f:
            f.write(subprocess.run([SCEPCTL, "-c", self.conf, "crl", "export", "--der"], stdout=subprocess.PIPE, check=True).stdout)
        self.assertEqual(os.stat(der).st_size, shown["bytes"])
        text = run("openssl", "crl", "-inform", "DER", "-in", der, "-noout", "-crlnumber", "-CAfile", self.home + "/ca/ca.pem")
        self.assertIn("verify OK", text.stderr)
        self.assertEqual(int(text.stdout.split("=")[1], 16), shown["number"])
        by_file = self.lines("crl", "show", der)[0]
        self.assertEqual(by_file["number"], shown["number"])
        pem = self.exits(DONE, self.ctl("crl", "export")).stdout
        r = self.exits(DONE, ctl("crl", "show", "-", "--json", input=pem))  # needs no configuration
        self.assertEqual(json.loads(r.stdout)["number"], shown["number"])
        r = self.exits(NOT_FOUND, self.ctl("crl", "show", "dmeo"))
        self.assertIn('did you mean "demo"', r.stderr)
        self.exits(NOT_FOUND, self.ctl("crl", "publish", "other"))
        self.assertEqual(self.lines("audit", "list", "--event", "crl.published")[0]["object"], "demo")

    def test_two_at_once(self):
        """Whose number is overtaken builds its list anew, and nobody is told of a conflict."""
        self.ctl("crl", "publish")
        first = self.lines("crl", "show")[0]["number"]
        for _ in range(20):
            both = [subprocess.Popen([SCEPCTL, "-c", self.conf, "crl", "publish"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                    for _ in range(2)]
            for p in both:
                _, told = p.communicate()
                self.assertEqual(p.returncode, DONE, told)
        self.assertGreaterEqual(self.lines("crl", "show")[0]["number"], first + 40)
        self.exits(DONE, self.ctl("store", "verify"))

    def test_a_running_daemon_serves_it(self):
        a = Authority("p256")
        self.addCleanup(a.close)
        a.start()
        made = a.json("crl", "publish")[0]
        end = time.monotonic() + 30
        while time.monotonic() < end:
            served = a.get("/crl/demo.crl")
            with open(a.home + "/s.crl", "wb") as f:
                f.write(served)
            number = run("openssl", "crl", "-inform", "DER", "-in", a.home + "/s.crl", "-noout", "-crlnumber").stdout
            if int(number.split("=")[1], 16) == made["number"]:
                break
            time.sleep(0.1)
        else:
            self.fail("the daemon goes on with the old list")
        a.stop()


if __name__ == "__main__":
    unittest.main()
