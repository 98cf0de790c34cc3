"""docs/JSON.md against the program: every verb is on the page; the members of lists exactly and in order; of one thing, no member is
printed that is not on the page, and each that is there is printed by one of the runs here."""

import json
import os
import re
import shutil
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from ctl_case import DONE, PROBLEMS, SEED, Case, Seeded, ctl, make_home
from harness import SCEPCTL, Authority, free_port, run

TESTS = os.path.join(os.path.dirname(__file__), "..")
PAGE = os.path.join(TESTS, "..", "docs", "JSON.md")
VERBS = os.path.join(TESTS, "..", "scepctl", "scepctl.c")

# What no run here can bring about, and why.
NOT_HERE = {
    "crl show": {"problem"},  # a list in the store that cannot be read
    "crl publish": {"problem"},
    "request show": {"device", "policy"},  # no endpoint here wants a challenge and an approval
    "SCEP message": {"problem"},  # a good signature over attributes that are not: no vector has that
    "explain.attempts": {"device", "policy"},  # of a challenge made for a device: tests/enroll/test_assigned.c
}


def page_text():
    with open(PAGE) as f:
        return f.read()


def documented():
    rows = re.findall(r"^\| `([a-zA-Z .]+)` \| (.*) \|$", page_text(), re.M)
    return {verb: re.sub(r" \(.*\)", "", members).split(", ") for verb, members in rows}


class Page(Seeded):
    def objects(self, *args):
        return [json.loads(line) for line in self.exits(DONE, self.ctl(*args, "--json")).stdout.splitlines()]

    def test_every_verb_is_here(self):
        with open(VERBS) as f:
            table = f.read().split("const struct ctl_verb ctl_verbs[]")[1]
        verbs = {" ".join(filter(None, words)) for words in re.findall(r'^    \{"(\w+)", "(\w*)", "', table, re.M)}
        self.assertGreater(len(verbs), 40)
        without = page_text().split("\n## No JSON\n")[1]
        named = set(documented()) | set(re.findall(r"`([a-z]+(?: [a-z]+)?)`", without))
        self.assertEqual(verbs - named, set())

    def test_lists(self):
        page = documented()
        self.exits(DONE, self.ctl("challenge", "new", "--count", "2", "-q"))
        for verb in ("challenge list", "request list", "cert list", "audit list", "audit export", "config schema", "ca rollover"):
            rows = self.objects(*verb.split())
            self.assertGreater(len(rows), 0, verb)
            for row in rows:
                self.assertEqual(list(row), page[verb], verb)
        # a store of made-up certificates has problems
        r = self.ctl("store", "verify", "--json")
        self.assertEqual(list(json.loads(r.stdout.splitlines()[0])), page["store verify"])
        r = self.exits(PROBLEMS, self.ctl("audit", "verify", "--against", "-", "--json", input="no entry\n"))
        self.assertEqual(list(json.loads(r.stdout.splitlines()[0])), page["audit verify"])
        broken = self.home + "/broken.conf"
        with open(broken, "w") as f:
            f.write("nothing = true;\n")
        r = self.exits(PROBLEMS, self.ctl("config", "check", broken, "--json"))
        self.assertEqual(list(json.loads(r.stdout.splitlines()[0])), page["config check"])

    def test_errors(self):
        r = self.ctl("cert", "show", "50ffff", "--json")
        problem = json.loads(r.stderr)
        self.assertEqual(problem["status"], r.returncode)
        self.assertEqual(set(problem), {"status", "detail", "fix"})

    def test_a_member_never_changes_its_type(self):
        whole = self.objects("config", "show")[0]
        for name in set(whole) - {"endpoints"}:
            self.assertEqual(self.objects("config", "show", name)[0], {name: whole[name]})


class Things(Case):
    """A life in short, with the daemon: whatever is told on the way is compared."""

    def setUp(self):
        self.page = documented()
        self.seen = {}
        self.api = free_port()
        self.a = Authority(key="p256", init_args=["--ra-pair", "--admin-port", free_port(), "--api-port", self.api])
        self.addCleanup(self.a.close)
        self.dir = tempfile.mkdtemp(prefix="scepctl-json-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.keys = 0

    def path(self, name):
        return os.path.join(self.dir, name)

    def note(self, row, thing):
        """No member that is not on the page, in its order."""
        members = self.page[row]
        self.assertEqual([m for m in thing if m not in members], [], row)
        order = [members.index(m) for m in thing]
        self.assertEqual(order, sorted(order), row)
        self.seen.setdefault(row, set()).update(thing)

    def told(self, verb, *args, conf=None, codes=(DONE,), row=None):
        """What a verb prints, compared with its row of the page, or with that of the kind where it shows a file."""
        r = ctl("-c", conf or self.a.conf, *verb.split(), *args, "--json")
        self.assertIn(r.returncode, codes, f"{r.args}\n{r.stdout}\n{r.stderr}")
        things = [json.loads(line) for line in r.stdout.splitlines()]
        self.assertGreater(len(things), 0, verb)
        for thing in things:
            self.note(row or (verb if verb == "ca import" else thing.get("kind", verb)), thing)
        return things

    def file(self, path):
        return self.told("cert show", path)

    def enrol(self, subject, challenge, *args, path="/scep", check=True):
        self.keys += 1
        base = self.path(f"d{self.keys}")
        r = run(SCEPCTL, "client", "enrol", self.a.url + path, "--subject", subject, "--key", base + ".key", "--out", base + ".pem",
                "--challenge-file", "-", *args, input=challenge, check=check)
        return base, r

    def explain(self, what, until=lambda o: o["attempts"]):
        """What was refused is written within a second."""
        for _ in range(100):
            r = ctl("-c", self.a.conf, "explain", "--json", "--limit", "1000", "--", what)
            o = json.loads(r.stdout) if r.returncode == DONE else None
            if o and until(o):
                break
            time.sleep(0.1)
        else:
            self.fail(f"{what} does not become known:\n{r.stdout}{r.stderr}")
        self.note("explain", o)
        if "reason" in o:
            self.note("explain.reason", o["reason"])
        for attempt in o["attempts"]:
            self.note("explain.attempts", attempt)
            for check in attempt["checks"]:
                self.note("explain.attempts.checks", check)
        return o

    def get(self, path):
        try:
            urllib.request.urlopen(self.a.url + path, timeout=10).close()
        except urllib.error.HTTPError as e:
            e.close()

    # ---- chapters ----

    def challenges(self):
        made = self.told("challenge new", "--subject", "CN=one", "--san", "DNS:one.example.org", "--template", "device", "--endpoint",
                         "/scep", "--label", "desk", "--expires", "1d")[0]
        one, _ = self.enrol("CN=one", made["challenge"], "--san", "DNS:one.example.org")
        self.enrol("CN=one", made["challenge"], "--san", "DNS:one.example.org", check=False)
        self.a.ctl("challenge", "revoke", made["id"])
        self.told("challenge show", made["id"])
        self.explain(made["id"], lambda o: o["matched"] == 2)
        return one

    def certificates(self, one):
        run(SCEPCTL, "client", "renew", self.a.url + "/scep", "--cert", one + ".pem", "--key", one + ".key", "--new-key",
            one + ".new.key", "--out", one + ".new.pem")
        newest, oldest = self.a.json("cert", "list")
        self.told("cert show", oldest["serial"])
        self.a.ctl("cert", "revoke", newest["serial"], "--yes", "--reason", "hold")
        self.told("cert show", newest["serial"])
        self.explain(newest["serial"])
        self.seen["cert show"].add("ca")  # of a CA's certificate; those of the store are of devices
        self.file(one + ".pem")

    def accounts(self, one):
        admin = self.told("admin new", "anna", "--role", "operator", "--certificate", one + ".pem")[0]["name"]
        token = self.told("admin token", "new", admin, "--label", "test", row="admin token new")[0]
        request = urllib.request.Request(f"http://127.0.0.1:{self.api}/api/v1/session",
                                         headers={"Authorization": "Bearer " + token["secret"]})
        with urllib.request.urlopen(request, timeout=10) as r:
            self.assertEqual(json.load(r)["name"], "anna")
        for verb, *args in (("admin show",), ("admin edit", "--role", "auditor"), ("admin disable",)):
            self.told(verb, admin, *args)
        self.seen["admin new"].add("seen_at")  # nobody has signed in before he is made
        self.told("admin list")
        self.told("admin token", "list", row="admin token")
        self.told("admin new", "ben")
        self.told("console", "--admin", "ben")
        self.told("ca tls", "--host", "localhost,127.0.0.1")

    def requests(self):
        self.enrol("CN=waits", "", "--san", "DNS:waits.example.org", path="/scep/manual", check=False)
        waits = self.a.json("request", "list")[0]
        self.explain(waits["id"])
        csr = self.path("csr")
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path("csr.key"),
            "-subj", "/CN=asks", "-addext", "keyUsage=digitalSignature", "-addext", "extendedKeyUsage=clientAuth", "-addext",
            "subjectAltName=DNS:asks.example.org", "-outform", "DER", "-out", csr)
        run(SEED, self.a.home + "/store", self.a.ca, "request", csr)
        self.a.ctl("request", "deny", "req_dddddd", "--note", "not ours")
        self.told("request show", "req_dddddd")
        run(SEED, self.a.home + "/store", self.a.ca)  # one whose CSR cannot be read
        self.told("request show", "req_aaaaaa")
        self.file(csr)
        self.file(self.path("csr.key"))

    def fleet(self):
        """A policy, and a device that enrols by it and is seen."""
        self.told("policy new", "corp", "--endpoint", "/scep", "--subject", "CN=%devicename%", "--san", "DNS:%host%", "--eku", "clientAuth")
        self.told("group new", "sales", "--note", "who sell")
        self.told("device new", "pad", "--platform", "apple", "--serial-number", "1", "--udid", "2", "--user", "anna", "--email",
                  "anna@example.org", "--host", "pad.example.org")
        self.a.ctl("group", "add", "sales", "pad")
        self.a.ctl("policy", "assign", "corp", "sales")
        made = self.told("challenge new", "--device", "pad")[0]
        self.enrol("CN=pad", made["challenge"], "--san", "DNS:pad.example.org")
        self.explain(made["id"])
        self.told("challenge show", made["id"])
        self.told("cert show", self.a.json("cert", "list", "--device", "pad")[0]["serial"])
        self.told("device show", "pad")
        self.told("group show", "sales")
        self.told("policy show", "corp")
        with open(self.path("fleet.csv"), "w") as f:
            f.write("name,host\npad-2,pad-2.example.org\n")
        self.told("device import", self.path("fleet.csv"), "--policy", "corp", "--challenges", self.path("list.csv"))
        for verb in ("device list", "group list", "group members", "policy list", "policy check", "device history", "group history",
                     "policy history"):
            which = {"group members": ["sales"], "policy check": ["corp", "pad"], "device history": ["pad"], "group history": ["sales"],
                     "policy history": ["corp"]}.get(verb, [])
            for row in self.told(verb, *which):
                self.assertEqual(list(row), self.page[verb], verb)

    def attempts(self):
        for _ in range(60):
            self.get("/flood")
        self.a.stop()  # ends the minute
        self.a.start()
        self.explain("http.wrong_path", lambda o: any("more" in a for a in o["attempts"]))

    def messages(self):
        for base, _, names in os.walk(os.path.join(TESTS, "vectors", "clients")):
            for path in (os.path.join(base, n) for n in names):
                r = ctl("cert", "show", path, "--json")
                if r.returncode == DONE and json.loads(r.stdout.splitlines()[0])["kind"] == "SCEP message":
                    self.answer_to(path, self.file(path)[0])

    def answer_to(self, path, message):
        """It is encrypted for somebody else: the answer is a refusal, unless it is an answer itself."""
        if "status" in message:
            return
        with open(path, "rb") as f:
            request = urllib.request.Request(self.a.url + "/scep?operation=PKIOperation", f.read(),
                                             {"Content-Type": "application/x-pki-message"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer, open(self.path("answer"), "wb") as f:
                f.write(answer.read())
        except urllib.error.HTTPError as e:
            e.close()
            return
        self.file(self.path("answer"))

    def authority(self):
        made = self.told("ca rollover new", "--at", "2031-01-01", "--validity", "3650d")[0]
        self.assertEqual((made["generation"], made["role"]), (2, "next"))
        self.assertEqual(self.told("ca rollover abort", "--yes")[0]["role"], "forgotten")
        made = self.told("ca rollover new", "--by-hand")[0]
        self.assertEqual((made["generation"], made["role"], "takes_over" in made), (3, "next", False))
        taken = self.told("ca rollover activate", "--yes", "--expect", "demo")[0]
        self.assertEqual((taken["sha256"], taken["role"]), (made["sha256"], "current"))
        self.assertEqual(self.told("ca rollover new", "--ra")[0]["generation"], 3)
        self.told("ca rollover new", "--at", "2031-01-01")
        roles = {thing["role"] for thing in self.told("ca show")}
        self.assertEqual(roles, {"current", "next", "former"})
        self.told("crl publish")
        self.told("crl show")
        crl = self.path("list.crl")
        with open(crl, "w") as f:
            f.write(self.a.ctl("crl", "export").stdout)
        self.assertEqual(self.told("crl show", crl), self.file(crl))
        self.told("config show")
        self.told("client caps", self.a.url + "/scep", conf="/none")

    def status(self):
        for check in self.told("status", codes=(DONE, PROBLEMS))[0]["checks"]:
            self.note("status.checks", check)

    def probe(self):
        report = self.told("probe", self.a.url + "/scep", codes=(DONE, PROBLEMS))[0]
        for row in ("checks", "certificates"):
            for thing in report[row]:
                self.note("probe." + row, thing)

    def store(self):
        copy = self.path("copy.mdb")
        self.told("store purge", "requests", "challenges", "certs", "devices", "removals", "--older-than", "365d")
        self.told("audit show", "1")
        home, _ = make_home("--name", "Empty CA")
        self.addCleanup(shutil.rmtree, home)
        conf = home + "/scepd.conf"
        self.exits(DONE, ctl("-c", conf, "challenge", "new", "-q"))
        self.told("store backup", copy, conf=conf)
        self.told("store stats", conf=conf)
        shutil.rmtree(home + "/store")
        self.told("store restore", copy, "--yes", "--expect", "main", conf=conf)
        r = self.exits(DONE, ctl("-c", conf, "audit", "verify", "--json"))
        self.assertEqual(list(json.loads(r.stdout)), self.page["audit verify"])

    def outside(self):
        """An authority that moves in, with all that its certificate can have, and one under a root elsewhere."""
        old, key = self.path("old.pem"), self.path("old.key")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", old, "-days", "3650", "-subj",
            "/CN=Old CA", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-addext",
            "extendedKeyUsage=clientAuth", "-addext", "subjectAltName=DNS:old.example.org")
        self.file(old)
        issued, home = self.path("issued"), self.path("moved")
        os.mkdir(issued)
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", self.path("dev.key"), "-subj", "/CN=dev", "-out",
            self.path("dev.csr"))
        run("openssl", "x509", "-req", "-in", self.path("dev.csr"), "-CA", old, "-CAkey", key, "-set_serial", "7", "-days", "30", "-out",
            issued + "/dev.pem")
        with open(self.path("index.txt"), "w"):
            pass
        with open(self.path("ca.cnf"), "w") as f:
            f.write(f"[ca]\ndefault_ca=c\n[c]\ndatabase={self.path('index.txt')}\ncrlnumber={self.path('number')}\ndefault_md=sha256\n")
        with open(self.path("number"), "w") as f:
            f.write("2A\n")
        run("openssl", "ca", "-config", self.path("ca.cnf"), "-gencrl", "-crldays", "30", "-cert", old, "-keyfile", key, "-out",
            issued + "/ca.crl")
        with open(self.path("bundle.pem"), "w") as f:
            for name in (key, old):
                with open(name) as g:
                    f.write(g.read())
        r = self.exits(DONE, ctl("init", "--home", home, "--from", self.path("bundle.pem"), "--json"))
        self.note("init", json.loads(r.stdout.splitlines()[-1]))
        self.told("ca show", conf=home + "/scepd.conf")
        self.told("ca import", issued, "--yes", conf=home + "/scepd.conf")

        root, waits = self.path("root.pem"), self.path("waits")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.path("root.key"), "-out", root, "-subj",
            "/CN=Root", "-days", "5000", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        r = self.exits(DONE, ctl("init", "--home", waits, "--external-root", "--json"))
        self.note("init", json.loads(r.stdout))
        with open(self.path("x.cnf"), "w") as f:
            f.write("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n")

        def sign(csr):
            with open(self.path("next.csr"), "w") as f:
                f.write(csr)
            run("openssl", "x509", "-req", "-in", self.path("next.csr"), "-CA", root, "-CAkey", self.path("root.key"), "-CAcreateserial",
                "-days", "3000", "-extfile", self.path("x.cnf"), "-out", self.path("answer.pem"))
            return self.path("answer.pem")

        conf = waits + "/scepd.conf"
        self.told("ca install", sign(ctl("-c", conf, "ca", "csr").stdout), root, conf=conf)
        with open(self.path("ca.cnf"), "a") as f:
            f.write(f"certificate={root}\nprivate_key={self.path('root.key')}\n")
        run("openssl", "ca", "-config", self.path("ca.cnf"), "-gencrl", "-crldays", "30", "-out", self.path("root.crl"))
        self.told("crl import", self.path("root.crl"), conf=conf)
        serial = run("openssl", "x509", "-in", self.path("answer.pem"), "-noout", "-serial").stdout.strip().partition("=")[2]
        with open(self.path("index.txt"), "a") as f:
            f.write(f"V\t400101000000Z\t\t{serial}\tunknown\t/CN=Sub\n")
        run("openssl", "ocsp", "-issuer", root, "-cert", self.path("answer.pem"), "-no_nonce", "-reqout", self.path("asked"))
        run("openssl", "ocsp", "-index", self.path("index.txt"), "-CA", root, "-rsigner", root, "-rkey", self.path("root.key"),
            "-reqin", self.path("asked"), "-ndays", "30", "-respout", self.path("answered"))
        self.told("ocsp import", self.path("answered"), conf=conf)
        first = self.told("ca show", conf=conf)[0]["sha256"]
        installed = self.told("ca install", sign(ctl("-c", conf, "ca", "csr", "--next").stdout), root, conf=conf)[0]
        self.assertEqual([g["sha256"] for g in self.told("ca show", conf=conf)], [first, installed["sha256"]])

    def test_each_member_is_printed(self):
        self.a.start()
        one = self.challenges()
        self.certificates(one)
        self.accounts(one)
        self.requests()
        self.fleet()
        self.attempts()
        self.messages()
        self.authority()
        self.status()
        self.probe()
        self.store()
        self.outside()
        # a reason alone, where no configuration is
        r = self.exits(DONE, ctl("explain", "key.small", "--json", env={"SCEPD_HOME": self.path("none")}))
        self.note("explain.reason", json.loads(r.stdout))
        lists = {"admin list", "admin token", "challenge list", "request list", "cert list", "ca rollover", "audit list", "audit export", "audit verify",
                 "config schema", "config check", "store verify"}
        missing = {row: set(members) - self.seen.get(row, set()) - NOT_HERE.get(row, set())
                   for row, members in self.page.items() if row not in lists}
        self.assertEqual({row: m for row, m in missing.items() if m}, {})


if __name__ == "__main__":
    unittest.main()
