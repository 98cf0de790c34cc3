"""scepctl from outside: what it prints where, and its exit codes.  The daemon does not run."""

import fcntl
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from ctl_case import (CONFLICT, DONE, ESC, FAILED, NOT_FOUND, NOT_PERMITTED, PROBLEMS, UNAVAILABLE, USAGE, Case, Seeded, WithAuthority,
                      ctl)
from harness import SCEPCTL, run


class Init(Case):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="scepctl-test-")
        self.addCleanup(shutil.rmtree, self.dir)

    def mode(self, *parts):
        return stat.S_IMODE(os.stat(os.path.join(self.dir, *parts)).st_mode)

    def tree(self):
        found = {}
        for base, _, names in os.walk(self.dir):
            for n in names:
                p = os.path.join(base, n)
                with open(p, "rb") as f:
                    found[p] = f.read()
        return found

    def test_demo(self):
        r = self.exits(DONE, ctl("init", "--demo", "--home", self.dir, "--port", "9000"))
        values = dict(line.split("\t", 1) for line in r.stdout.splitlines())
        self.assertEqual(values["made"], "yes")
        self.assertEqual(values["certificate"], self.dir + "/ca/ca.pem")
        printed = run("openssl", "x509", "-in", values["certificate"], "-noout", "-fingerprint", "-sha256").stdout
        self.assertEqual(values["sha256"], printed.strip().split("=")[1])
        self.assertEqual(r.stderr.count("scepd.conf"), 3)
        self.assertIn("  scepctl probe http://127.0.0.1:9000/scep ", r.stderr)
        self.assertEqual(sorted(os.listdir(self.dir)), ["authorities", "ca", "keys", "scepd.conf", "store"])
        self.assertEqual(self.mode("keys"), 0o700)
        for key in ("ca.key", "ra.key", "challenge.key", "static-challenge"):
            self.assertEqual(self.mode("keys", key), 0o600, key)
        conf = os.path.join(self.dir, "scepd.conf")
        self.exits(DONE, ctl("-c", conf, "config", "check"))
        shown = json.loads(ctl("-c", conf, "config", "show", "--json").stdout)
        self.assertEqual(shown["endpoints"], "/scep /scep/static /scep/ca /scep/manual /scep/legacy")
        self.assertEqual(ctl("-c", conf, "config", "show", "url").stdout, "http://127.0.0.1:9000\n")

    def locked(self, path):
        """As the run does that is at work there."""
        fd = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX)

    def test_what_a_killed_run_left(self):
        """Keys that nobody uses go with the next run; those of a run that is at work stay."""
        dead, alive, other = (os.path.join(self.dir, n) for n in (".init-Ab12cD", ".init-xYz789", ".init-elsewhere"))
        for d in (dead, alive, other):
            os.makedirs(d + "/keys", 0o700)
            with open(d + "/keys/ca.key", "w") as f:
                f.write("secret")
        self.locked(alive)
        self.exits(DONE, ctl("init", "--demo", "--home", self.dir, "--key", "p256"))
        self.assertFalse(os.path.exists(dead))
        self.assertTrue(os.path.exists(alive + "/keys/ca.key"))
        self.assertTrue(os.path.exists(other + "/keys/ca.key"))
        os.mkdir(dead, 0o700)
        self.exits(DONE, ctl("init", "--demo", "--home", self.dir))  # set up already
        self.assertFalse(os.path.exists(dead))

    def test_killed_between_its_renames(self):
        """The next run names all that stands, and following it is enough."""
        self.exits(DONE, ctl("init", "--demo", "--home", self.dir, "--key", "p256"))
        os.unlink(self.dir + "/scepd.conf")
        shutil.rmtree(self.dir + "/store")
        r = self.exits(CONFLICT, ctl("init", "--demo", "--home", self.dir, "--key", "p256"))
        self.assertIn(f"in {self.dir} there is ca keys, but no {self.dir}/scepd.conf", r.stderr)
        fix, = re.findall(r"^fix: (.*), or choose", r.stderr, re.MULTILINE)
        run("sh", "-c", fix)
        self.exits(DONE, ctl("init", "--demo", "--home", self.dir, "--key", "p256"))
        self.assertEqual(sorted(os.listdir(self.dir + "/old")), ["ca", "keys"])

    def test_second_run_changes_nothing(self):
        self.exits(DONE, ctl("init", "--demo", "--home", self.dir))
        before = self.tree()
        r = self.exits(DONE, ctl("init", "--demo", "--home", self.dir, "--key", "p384"))
        self.assertIn("nothing was changed", r.stderr)
        self.assertIn("made\tno", r.stdout)
        self.assertEqual(before, self.tree())

    def test_ec_leaves_the_endpoint_without_ra_out(self):
        r = self.exits(DONE, ctl("init", "--demo", "--home", self.dir, "--key", "p256"))
        self.assertIn("/scep/ca is left out", r.stderr)
        with open(self.dir + "/scepd.conf") as f:
            self.assertNotIn('"/scep/ca"', f.read())
        text = run("openssl", "x509", "-in", self.dir + "/ca/ca.pem", "-noout", "-text").stdout
        self.assertIn("prime256v1", text)
        text = run("openssl", "x509", "-in", self.dir + "/ca/ra.pem", "-noout", "-text").stdout
        self.assertIn("(2048 bit)", text)

    def test_root_pair_and_passphrase(self):
        secret = os.path.join(self.dir, "pass")
        with open(secret, "w") as f:
            f.write("correct horse\n")
        os.chmod(secret, 0o600)
        home = os.path.join(self.dir, "a", "b")
        self.exits(DONE, ctl("init", "--home", home, "--name", 'A "quoted" \\ CA', "--organization", "Example", "--url",
                             "https://scep.example.org:8443/scep", "--root", "p384", "--ra-pair", "--passphrase-file", secret))
        run("openssl", "verify", "-x509_strict", "-CAfile", home + "/ca/root.pem", home + "/ca/ca.pem")
        for key in ("ca", "root", "ra", "ra-signing", "ra-encryption"):
            with open(f"{home}/keys/{key}.key") as f:
                self.assertIn("ENCRYPTED", f.read(), key)
        conf = home + "/scepd.conf"
        self.exits(DONE, ctl("-c", conf, "config", "check"))
        self.assertEqual(ctl("-c", conf, "config", "show", "url").stdout, "https://scep.example.org:8443\n")
        self.assertEqual(json.loads(ctl("-c", conf, "config", "show", "url", "--json").stdout),
                         {"url": "https://scep.example.org:8443"})
        shown = json.loads(ctl("-c", conf, "ca", "show", "--json").stdout)
        self.assertEqual(shown["crl_url"], "http://scep.example.org/crl/main.crl")
        self.assertEqual(shown["key"], "P-256")
        self.assertIn('quoted', shown["subject"])
        self.assertIn("ra_signing", shown)
        chain = ctl("-c", conf, "ca", "export", "--chain").stdout
        self.assertEqual(chain.count("BEGIN CERTIFICATE"), 2)
        out = ctl("-c", conf, "config", "show").stdout
        self.assertIn("endpoints\t/scep /scep/ndes\n", out)

    def test_all_or_nothing(self):
        os.mkdir(self.dir + "/keys")
        with open(self.dir + "/keys/ca.key", "w") as f:
            f.write("precious")
        before = self.tree()
        r = self.exits(CONFLICT, ctl("init", "--home", self.dir))
        self.assertIn("nothing was changed", r.stderr)
        self.assertEqual(before, self.tree())
        missing = os.path.join(self.dir, "new")
        self.assertNotEqual(ctl("init", "--home", missing, "--name", "\x01").returncode, DONE)
        self.assertFalse(os.path.exists(missing))

    def test_dry_run(self):
        r = self.exits(DONE, ctl("init", "--home", self.dir, "--dry-run"))
        self.assertIn("would make", r.stderr)
        self.assertEqual(os.listdir(self.dir), [])

    def test_data_apart_from_the_configuration(self):
        etc, data = os.path.join(self.dir, "etc"), os.path.join(self.dir, "var", "lib \"x\"")
        self.exits(DONE, ctl("init", "--home", etc, "--data", data, "--port", "9000"))
        self.assertEqual(os.listdir(etc), ["scepd.conf"])
        self.assertEqual(sorted(os.listdir(data)), ["authorities", "ca", "keys", "store"])
        conf = os.path.join(etc, "scepd.conf")
        self.exits(DONE, ctl("-c", conf, "config", "check"))
        self.exits(DONE, ctl("-c", conf, "store", "verify"))
        self.assertEqual(self.exits(DONE, ctl("-c", conf, "config", "show", "store")).stdout.strip(), data + "/store")
        self.assertEqual(json.loads(self.exits(DONE, ctl("init", "--home", etc, "--data", data, "--json")).stdout)["made"], "no")
        # Half of it is there: nothing is overwritten.
        os.unlink(conf)
        r = self.exits(CONFLICT, ctl("init", "--home", etc, "--data", data))
        self.assertIn("another --data", r.stderr)
        self.exits(USAGE, ctl("init", "--home", etc, "--data", "relative"))

    def test_hostile_arguments(self):
        for args in (["--key", "rsa512"], ["--key", "p256", "--ca-decrypts"], ["--port", "0"], ["--port", "x"],
                     ["--bind", '"; evil'], ["--url", 'http://x";y'], ["--url", "ftp://x"], ["--url", "http://"],
                     ["--name", ""], ["--name", "x" * 300], ["--home", "/" + "x" * 500], ["--passphrase-file", "/none"],
                     ["surplus"], ["--demo", "--demo"], ["--demo=yes"], ["--nmae", "x"]):
            r = ctl("init", "--home", self.dir, *args) if args[0] != "--home" else ctl("init", *args)
            self.exits(USAGE, r)
            self.assertEqual(r.stdout, "")
        self.assertEqual(os.listdir(self.dir), [])
        self.assertIn('did you mean "--name"', r.stderr)


class Tls(WithAuthority):
    def test_the_configuration_names_the_files_already(self):
        """Whoever writes the settings first, as manuals are read, is told what makes the files, and it makes them."""
        with open(self.conf) as f:
            text = f.read()
        with open(self.conf, "w") as f:
            f.write(re.sub(r"^api: \{[^}]*\};", 'api: { address = "0.0.0.0"; port = 8443; certificate = "keys/a.pem"; key = "keys/a.key"; };',
                           text, flags=re.M))
        r = self.exits(FAILED, self.ctl("challenge", "list"))
        self.assertIn("keys/a.pem: No such file or directory (scepctl ca tls --host NAME makes it)", r.stderr)
        self.exits(DONE, self.ctl("ca", "tls", "--host", "scepd.example.org"))
        self.assertEqual(os.stat(self.home + "/keys/a.key").st_mode & 0o777, 0o600)
        self.exits(DONE, self.ctl("challenge", "list"))

    def test_only_a_pair_for_tls_is_replaced(self):
        ca, keys, store, out = (os.path.join(self.home, d) for d in ("ca", "keys", "store", "tls"))
        os.mkdir(out)

        def tls(certificate, key):
            return self.ctl("ca", "tls", "--host", "localhost", "--certificate-file", certificate, "--key-file", key)

        def contents():
            read = {}
            for path in [os.path.join(d, name) for d in (ca, keys, out) for name in os.listdir(d)] + [self.conf]:
                with open(path, "rb") as f:
                    read[path] = f.read()
            return read

        mine, key = os.path.join(out, "a.pem"), os.path.join(out, "a.key")
        self.exits(DONE, tls(mine, key))
        pair, same = out + "/pair", out + "/../tls/"  # one file for both, by two names
        with open(pair, "wb") as f:
            f.write(contents()[mine] + contents()[key])
        os.symlink(pair, out + "/other")
        before = contents()
        for certificate, of in ((mine, keys + "/ca.key"), (out + "/new.pem", keys + "/ca.key"), (ca + "/ca.pem", keys + "/ca.key"),
                                (ca + "/ra.pem", keys + "/ra.key"), (ca + "/ca.pem", key), (ca + "/ca.pem", out + "/new.key"),
                                (store + "/data.mdb", out + "/new.key"), (self.conf, key), (mine, store + "/data.mdb"),
                                (mine, self.conf), (out + "/both", out + "/both"), (key, key),
                                (pair, out + "/other"), (pair, same + "pair"), (out + "/both", same + "both")):
            with self.subTest((certificate, of)):
                r = tls(certificate, of)
                self.assertNotEqual(r.returncode, DONE)
                self.assertIn("move away", r.stderr)
                self.assertEqual(contents(), before)
        self.exits(DONE, self.ctl("store", "verify"))
        self.exits(DONE, tls(mine, key))
        self.assertNotEqual(contents()[key], before[key])

    def test_one_renewal_at_a_time(self):
        """Two would mix their pairs; what a killed one left goes."""
        out = os.path.join(self.home, "one")
        mine, key = out + "/o.pem", out + "/o.key"
        args = ("ca", "tls", "--host", "localhost", "--certificate-file", mine, "--key-file", key)
        os.mkdir(out)
        for name in ("o.pem.4711.new", "o.key.new", "o.pem.x.new", "other.pem.4711.new"):
            with open(os.path.join(out, name), "w"):
                pass
        fd = os.open(out, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        r = self.exits(UNAVAILABLE, self.ctl(*args))
        self.assertIn("another scepctl ca tls is at work", r.stderr)
        self.assertEqual(len(os.listdir(out)), 4)
        os.close(fd)
        self.exits(DONE, self.ctl(*args))
        self.assertEqual(sorted(os.listdir(out)), ["o.key", "o.pem", "o.pem.x.new", "other.pem.4711.new"])

    def test_a_renewal_that_was_interrupted_is_done_again(self):
        mine, key = os.path.join(self.home, "i.pem"), os.path.join(self.home, "i.key")
        args = ("ca", "tls", "--host", "localhost", "--certificate-file", mine, "--key-file", key)
        self.exits(DONE, self.ctl(*args))
        with open(key, "rb") as f:
            old = f.read()
        self.exits(DONE, self.ctl(*args))
        os.rename(key, key + ".new")  # as kill -9 between its two renames leaves them
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(old)
        self.exits(DONE, self.ctl(*args))
        self.assertFalse(os.path.exists(key + ".new"))
        self.exits(DONE, self.ctl(*args))


class Challenges(WithAuthority):
    def test_password_alone_on_stdout(self):
        r = self.exits(DONE, self.ctl("challenge", "new"))
        self.assertRegex(r.stdout, r"\A[A-Z0-9]{4}(-[A-Z0-9]{4}){3}\n\Z")
        self.assertRegex(r.stderr, r"id chl_\w+, one use, until ")
        self.assertEqual(self.exits(DONE, self.ctl("challenge", "new", "-q")).stderr, "")

    def test_many_and_hex(self):
        r = self.exits(DONE, self.ctl("challenge", "new", "--count", "20", "--format", "hex16"))
        self.assertEqual(len(set(r.stdout.splitlines())), 20)
        for line in r.stdout.splitlines():
            self.assertRegex(line, r"\A[0-9A-F]{16}\Z")
        self.assertIn("20 challenges", r.stderr)

    def test_bound_listed_shown_revoked(self):
        made = self.lines("challenge", "new", "--uses", "3", "--expires", "2d", "--subject", "CN=ipad", "--template", "device",
                          "--endpoint", "/scep", "--label", "tab\there")[0]
        self.assertEqual(made["uses"], 3)
        listed = [c for c in self.lines("challenge", "list", "--state", "active") if c["id"] == made["id"]][0]
        self.assertEqual(listed["bound_to"], "CN=ipad, template device, endpoint /scep")
        self.assertEqual(listed["label"], "tab\there")
        plain = self.exits(DONE, self.ctl("challenge", "list", "--limit", "0")).stdout
        row = [line for line in plain.splitlines() if line.startswith(made["id"])][0].split("\t")
        self.assertEqual(row[1:3] + row[4:6], ["active", "0 of 3", "CN=ipad, template device, endpoint /scep", "tab\\x09here"])
        self.assertNotIn(made["challenge"], plain)
        self.assertEqual(self.lines("challenge", "show", made["id"])[0]["state"], "active")
        self.assertIn("would revoke", self.exits(DONE, self.ctl("challenge", "revoke", made["id"], "-n")).stderr)
        self.exits(DONE, self.ctl("challenge", "revoke", made["id"]))
        self.assertEqual(self.lines("challenge", "show", made["id"])[0]["state"], "revoked")
        self.exits(CONFLICT, self.ctl("challenge", "revoke", made["id"]))

    def test_refused(self):
        for args in (["--count", "0"], ["--count", "1e3"], ["--count", "99999999999999999999"], ["--expires", "30"],
                     ["--expires", "0s"], ["--uses", "-1"], ["--format", "hex"], ["--colour", "red"], ["x"], ["--count"]):
            r = self.exits(USAGE, self.ctl("challenge", "new", *args))
            self.assertEqual(r.stdout, "", args)
        r = self.exits(NOT_FOUND, self.ctl("challenge", "new", "--endpoint", "/secp"))
        self.assertIn('did you mean "/scep"', r.stderr)
        self.exits(NOT_FOUND, self.ctl("challenge", "new", "--template", "x"))
        self.exits(NOT_FOUND, self.ctl("challenge", "show", "chl_nothing"))

    def test_list_limit(self):
        self.exits(DONE, self.ctl("challenge", "new", "--count", "60"))
        r = self.exits(DONE, self.ctl("challenge", "list"))
        self.assertEqual(len(r.stdout.splitlines()), 50)
        self.assertRegex(r.stderr, r"50 of \d+ challenges")


class Certificates(Seeded):
    def test_list(self):
        r = self.exits(DONE, self.ctl("cert", "list"))
        rows = [line.split("\t") for line in r.stdout.splitlines()]
        self.assertEqual(len(rows), 4)
        self.assertEqual({len(row) for row in rows}, {16})
        self.assert_harmless(r.stdout, 4)
        self.assertIn("CN=evil\\x1b[31m\\x0aroot\\x09tab\\u202etxt,O=\\xff", r.stdout)
        listed = self.lines("cert", "list", "--search", "DEVICE-1.example")
        self.assertEqual([c["subject"] for c in listed], ["CN=device-1,O=Example"])
        self.assertEqual(listed[0]["serial"], "40" + 15 * "a1")
        self.assertEqual([c["subject"] for c in self.lines("cert", "list", "--expires-within", "30d")],
                         ["CN=device-1,O=Example"])
        self.assertEqual([c["subject"] for c in self.lines("cert", "list", "--state", "expired")],
                         ["CN=device-3,O=Example"])
        r = self.exits(DONE, self.ctl("cert", "list", "--limit", "2"))
        self.assertEqual(len(r.stdout.splitlines()), 2)
        self.assertIn("more match", r.stderr)
        self.assertEqual(self.exits(DONE, self.ctl("cert", "list", "-s", "nobody")).stdout, "")
        self.exits(USAGE, self.ctl("cert", "list", "--state", "dead"))
        self.assertEqual(len(self.exits(DONE, self.ctl("certs", "list")).stdout.splitlines()), 4)

    def test_show_and_export(self):
        serial = "40" + 15 * "a2"
        for form in (serial, serial.upper(), serial[:8], "40:A2:a2:a2", "0x40a2a2a2", "40a2a2a2.."):
            self.assertEqual(self.lines("cert", "show", form)[0]["serial"], serial, form)
        for none in ("50a2a2", "40a2"):  # so few digits are looked for as a whole serial
            self.exits(NOT_FOUND, self.ctl("cert", "show", none))
        for bad in ("40a", "nonsense", "", "40a2a2" + "f" * 200):
            self.exits(USAGE, self.ctl("cert", "show", bad))
        pem = self.exits(DONE, self.ctl("cert", "export", serial)).stdout
        with open(self.home + "/ca/ca.pem") as f:
            self.assertEqual(pem, f.read())

    def test_show_file(self):
        path = self.home + "/ca/ca.pem"
        with open(path) as f:
            pem = f.read()
        for r in (self.ctl("cert", "show", path), self.ctl("cert", "show", "-", input=pem)):
            self.exits(DONE, r)
            self.assertIn("kind\tcertificate\n", r.stdout)
            self.assertIn("key\tP-256\n", r.stdout)
        self.exits(FAILED, self.ctl("cert", "show", "-", input="nothing"))
        self.exits(FAILED, self.ctl("cert", "show", self.conf))
        self.assertNotEqual(self.ctl("cert", "show", "./none.pem").returncode, DONE)

    def test_revoke(self):
        serial = "40" + 15 * "a1"
        r = self.exits(USAGE, self.ctl("cert", "revoke", serial, "--reason", "superseded"))
        self.assertIn("--yes", r.stderr)
        r = self.exits(DONE, self.ctl("cert", "revoke", serial, "--dry-run"))
        self.assertIn("would revoke", r.stderr)
        self.assertEqual(self.lines("cert", "show", serial)[0]["state"], "active")
        r = self.exits(USAGE, self.ctl("cert", "revoke", serial, "--reason", "key-compromised", "-y"))
        self.assertIn('did you mean "key-compromise"', r.stderr)
        self.exits(DONE, self.ctl("cert", "revoke", serial, "--reason", "key-compromise", "--yes"))
        shown = self.lines("cert", "show", serial)[0]
        self.assertEqual((shown["state"], shown["revocation_reason"]), ("revoked", "key-compromise"))
        self.exits(CONFLICT, self.ctl("cert", "revoke", serial, "--yes"))
        r = self.exits(DONE, self.ctl("cert", "revoke", "40" + 15 * "a2", "--reason", "cessationOfOperation", "--dry-run"))
        self.assertIn("reason cessation.", r.stderr)
        events = self.lines("audit", "list")
        self.assertTrue(any(serial in e["object"] or serial in e["text"] for e in events), events)

    def test_few_digits_are_no_prefix(self):
        """All serials here begin so: none of them is meant by that."""
        self.exits(NOT_FOUND, self.ctl("cert", "show", "40"))
        self.exits(USAGE, self.ctl("cert", "show", "4"))

    def test_store(self):
        self.assertEqual(self.lines("store", "stats")[0]["certificates"], 4)


class Requests(Seeded):
    def test_list_show_decide(self):
        r = self.exits(DONE, self.ctl("request", "list", "--state", "pending"))
        self.assert_harmless(r.stdout, 3)
        self.assertIn("req_aaaabb", r.stdout)
        r = self.exits(DONE, self.ctl("request", "show", "req_aaaabb"))
        self.assertNotIn(ESC, r.stdout)
        self.exits(NOT_FOUND, self.ctl("request", "show", "req_aaaa"))
        self.exits(NOT_FOUND, self.ctl("request", "show", "req_zzzzzz"))
        self.assertIn("would approve", self.exits(DONE, self.ctl("request", "approve", "req_aaaaaa", "--dry-run")).stderr)
        self.exits(DONE, self.ctl("request", "approve", "req_aaaaaa"))
        self.exits(CONFLICT, self.ctl("request", "deny", "req_aaaaaa"))
        r = self.exits(DONE, self.ctl("request", "deny", "req_aaaabb", "--note", "not\x1bours"))
        self.assertNotIn(ESC, r.stderr)
        shown = self.lines("request", "show", "req_aaaabb")[0]
        self.assertEqual((shown["state"], shown["note"]), ("denied", "not\x1bours"))
        self.exits(USAGE, self.ctl("request", "deny", "req_cccccc", "--note", "x" * 300))
        self.exits(USAGE, self.ctl("request", "approve"))
        self.exits(CONFLICT, self.ctl("request", "deny", "req_aaaabb"))
        self.exits(DONE, self.ctl("request", "approve", "req_aaaabb"))  # taken back
        self.assertEqual(self.lines("request", "show", "req_aaaabb")[0]["state"], "approved")
        self.assertEqual([r["id"] for r in self.lines("request", "list", "--state", "pending")], ["req_cccccc"])


class Grammar(WithAuthority):
    def test_help_everywhere(self):
        nouns = ("ca", "challenge", "request", "cert", "config", "store", "audit", "client")
        for args in ([], ["--help"], ["-h"], *([n] for n in nouns), *([n, "--help"] for n in nouns)):
            r = self.exits(DONE, ctl(*args))
            self.assertIn("scepctl", r.stdout)
            self.assertEqual(r.stderr, "")
        for noun in nouns:
            verbs = re.findall(r"^  (\w+)", ctl(noun).stdout, re.M)
            self.assertGreater(len(verbs), 0)
            for verb in verbs:
                self.assertIn("Examples:", self.exits(DONE, ctl(noun, verb, "--help")).stdout)
                self.assertNotIn("Examples:", self.exits(DONE, ctl(noun, verb, "-h")).stdout)
        self.assertIn("Examples:", self.exits(DONE, ctl("init", "--help")).stdout)
        for args in (["--version"], ["cert", "--version"], ["cert", "list", "--version"]):
            self.assertRegex(self.exits(DONE, ctl(*args)).stdout, r"^scepctl \d")
        self.exits(USAGE, ctl("client", "enrol", "http://127.0.0.1:1/scep", "--dry-run"))

    def test_typing_mistakes(self):
        for args, hint in ((["crt"], "cert"), (["cert", "lst"], "list"), (["cert", "list", "--serach", "x"], "--search"),
                           (["--jsno", "cert", "list"], "--json"), (["cert", "list", "--state", "revokd"], "revoked")):
            r = self.exits(USAGE, self.ctl(*args))
            self.assertIn(f'did you mean "{hint}"', r.stderr)
            self.assertEqual(r.stdout, "")

    def test_hostile_arguments(self):
        for args in (["\x1b[2J"], ["cert", "\x1b[2J"], ["cert", "list", "--\x1b[2J"], ["cert", "show", "\x1b[2Jx"],
                     ["challenge", "show", "\x1b[2J"], ["-\x1b"], ["cert", "list", "-" + "y" * 5000 + "\x1b"]):
            r = self.ctl(*args)
            self.assertIn(r.returncode, (USAGE, NOT_FOUND))
            self.assertNotIn(ESC, r.stderr + r.stdout)
        self.exits(USAGE, self.ctl("challenge", "revoke", *["chl_x"] * 100))

    def test_flags_stand_anywhere(self):
        for args in (["--json", "store", "stats"], ["store", "--json", "stats"], ["store", "stats", "--json"]):
            json.loads(self.exits(DONE, self.ctl(*args)).stdout)
        self.exits(DONE, ctl("store", "stats", "-qc" + self.conf))

    def test_errors_as_json(self):
        r = self.exits(NOT_FOUND, self.ctl("challenge", "show", "chl_none99", "--json"))
        problem = json.loads(r.stderr)
        self.assertEqual(problem["status"], NOT_FOUND)
        self.assertIn("chl_none99", problem["detail"])

    def test_configuration(self):
        self.assertIn("scepctl init", self.exits(FAILED, ctl("-c", "/none/scepd.conf", "cert", "list")).stderr)
        by_home = ctl("config", "show", "file", env={"SCEPD_HOME": self.home})
        self.assertEqual(self.exits(DONE, by_home).stdout, self.conf + "\n")
        by_conf = ctl("config", "show", "file", env={"SCEPD_CONF": self.conf, "SCEPD_HOME": "/none"})
        self.assertEqual(self.exits(DONE, by_conf).stdout, self.conf + "\n")
        bad = self.home + "/bad.conf"
        with open(self.conf) as f:
            text = f.read()
        with open(bad, "w") as f:
            f.write(text.replace("workers", "wrokers").replace('"365d"', '"365"'))
        with open(bad + "2", "w") as f:
            f.write(text.replace('path = "/scep/static"', 'path = "/crl/demo.crl"'))
        r = self.exits(PROBLEMS, self.ctl("config", "check", bad + "2"))
        self.assertIn("two things", r.stdout)
        r = self.exits(PROBLEMS, self.ctl("config", "check", bad))
        self.assertEqual(len(r.stdout.splitlines()), 2)
        self.assertRegex(r.stdout, r'bad.conf:\d+: unknown setting "wrokers"')
        self.exits(FAILED, ctl("-c", bad, "cert", "list"))

    def test_no_store(self):
        os.rename(self.home + "/store", self.home + "/away")
        try:
            r = self.exits(NOT_FOUND, self.ctl("cert", "list"))
        finally:
            os.rename(self.home + "/away", self.home + "/store")
        self.assertIn("scepctl init", r.stderr)

    def test_full_disk(self):
        with open("/dev/full", "w") as full:
            r = subprocess.run([SCEPCTL, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(r.returncode, FAILED)
        self.assertIn("cannot write", r.stderr)

    def test_not_permitted(self):
        if os.geteuid() == 0:
            # The tree may lie where only root may look: the program is run from elsewhere.
            public = tempfile.mkdtemp()
            self.addCleanup(shutil.rmtree, public)
            os.chmod(public, 0o755)
            other = dict(user=65534, group=65534, extra_groups=[], program=shutil.copy(SCEPCTL, public))
            os.chmod(self.home, 0o755)
        else:
            other = {}
            os.chmod(self.home, 0o000)
        try:
            r = self.exits(NOT_PERMITTED, self.ctl("cert", "list", cwd="/", **other))
            self.assertIn("fix: run it as root", r.stderr)
        finally:
            os.chmod(self.home, 0o755)


@unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
class AsRoot(WithAuthority):
    def test_root_leaves_nothing_of_its_own_in_the_store(self):
        for base, dirs, names in os.walk(self.home):
            for n in dirs + names:
                os.chown(os.path.join(base, n), 65534, 65534)
        os.chown(self.home, 65534, 65534)
        os.unlink(self.home + "/store/lock.mdb")
        self.exits(DONE, self.ctl("challenge", "new"))
        for n in os.listdir(self.home + "/store"):
            self.assertEqual(os.stat(self.home + "/store/" + n).st_uid, 65534, n)


    def test_user(self):
        home = tempfile.mkdtemp(prefix="scepctl-test-")
        self.addCleanup(shutil.rmtree, home)
        os.chmod(home, 0o755)
        self.exits(USAGE, ctl("init", "--home", home, "--user", "no such user"))
        self.exits(DONE, ctl("init", "--home", home, "--user", "nobody"))
        nobody = pwd.getpwnam("nobody").pw_uid
        for path in ("keys", "keys/ca.key", "keys/challenge.key", "store", "store/data.mdb"):
            self.assertEqual(os.stat(os.path.join(home, path)).st_uid, nobody, path)
        for path in ("scepd.conf", "ca/ca.pem"):
            self.assertEqual(os.stat(os.path.join(home, path)).st_uid, 0, path)
        with open(home + "/scepd.conf") as f:
            self.assertIn('\nuser = "nobody";', f.read())
        self.exits(DONE, ctl("-c", home + "/scepd.conf", "challenge", "new"))
        self.exits(DONE, ctl("-c", home + "/scepd.conf", "store", "verify"))


if __name__ == "__main__":
    unittest.main()
