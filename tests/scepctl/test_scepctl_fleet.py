"""scepctl device, group, policy: what people type, what they are asked, and what a terminal shows."""

import csv
import os
import signal
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from ctl_case import CONFLICT, DONE, INTERRUPTED, NOT_FOUND, PROBLEMS, USAGE, WithAuthority
from harness import SCEPCTL, Authority, run


class Fleet(WithAuthority):
    def does(self, *args, **more):
        return self.exits(DONE, self.ctl(*args, **more))

    def policy(self, name, subject="CN=%devicename%", *more):
        return self.does("policy", "new", name, "--subject", subject, "--endpoint", "/scep", *more).stdout.strip()

    def write(self, name, text, mode="w"):
        path = os.path.join(self.home, name)
        with open(path, mode) as f:
            f.write(text)
        return path

    def rows(self, path):
        with open(path, newline="") as f:
            return list(csv.DictReader(f))


class Devices(Fleet):
    def test_a_device(self):
        r = self.does("device", "new", "ipad-1", "--platform", "apple", "--user", "anna")
        self.assertRegex(r.stdout, r"\Adev_[0-9a-z]{6}\n\Z")
        which = r.stdout.strip()
        self.exits(CONFLICT, self.ctl("device", "new", "IPAD-1"))
        self.exits(USAGE, self.ctl("device", "new", "x", "--platform", "amiga"))
        self.exits(NOT_FOUND, self.ctl("device", "show", "nobody"))
        for name in (which, which[:8], "Ipad-1"):
            self.assertIn("ipad-1", self.does("device", "show", name).stdout)
        self.does("device", "edit", "ipad-1", "--name", "ipad-one", "--user", "")
        shown = self.lines("device", "show", which)[0]
        self.assertEqual((shown["name"], shown["version"], "user" in shown), ("ipad-one", 2, False))
        self.does("device", "isolate", which, "--note", "lost")
        self.exits(CONFLICT, self.ctl("device", "isolate", which))
        self.assertEqual([d["name"] for d in self.lines("device", "list", "--state", "isolated")], ["ipad-one"])
        self.does("device", "release", which)
        events = [e["what"] for e in self.lines("device", "history", which)]
        self.assertEqual(events, ["device.released", "device.isolated", "device.edited", "device.created"])

    def test_retire_asks(self):
        which = self.does("device", "new", "old").stdout.strip()
        self.assertIn("--yes", self.exits(USAGE, self.ctl("device", "retire", "old")).stderr)
        self.assertIn("would: 1 device", self.does("device", "retire", "old", "--dry-run").stderr)
        self.assertEqual(self.lines("device", "show", which)[0]["state"], "active")
        self.does("device", "retire", "old", "--yes")
        self.exits(CONFLICT, self.ctl("device", "retire", which, "--yes"))
        for name in ("r1", "r2", "r3"):
            self.does("device", "new", name, "--user", "ben")
        ids = self.does("device", "list", "--user", "BEN", "--ids").stdout
        retire = ("device", "retire", "--from", "-", "--yes")
        self.assertIn("--expect 3", self.exits(USAGE, self.ctl(*retire, input=ids)).stderr)
        self.exits(CONFLICT, self.ctl(*retire, "--expect", "4", input=ids))
        self.assertIn("3 devices retired", self.does(*retire, "--expect", "3", input=ids).stderr)

    def test_retire_goes_on(self):
        ids = [self.does("device", "new", name).stdout.strip() for name in ("go1", "go2", "go3")]
        self.does("device", "retire", "go1", "--yes")
        r = self.does("device", "retire", "--from", "-", "--yes", "--expect", "2", input="\n".join(ids + ["go2", ids[2]]))
        self.assertIn("device go1 is retired already", r.stderr)
        self.assertIn("2 devices retired", r.stderr)
        self.exits(CONFLICT, self.ctl("device", "retire", *ids, "--yes", "--expect", "3"))
        self.exits(NOT_FOUND, self.ctl("device", "retire", ids[0], "nobody", "--yes"))

    def test_another_user(self):
        self.policy("user-p", "CN=%devicename%")
        self.does("group", "new", "user-g", "--users")
        self.does("group", "add", "user-g", "uma")
        self.does("policy", "assign", "user-p", "user-g")
        self.does("device", "new", "user-d", "--user", "uma")
        self.does("challenge", "new", "--device", "user-d")
        plan = self.does("device", "edit", "user-d", "--user", "eve", "--dry-run").stderr
        self.assertIn("1 device would lose a policy: 1 challenge void", plan)
        self.assertEqual(self.lines("device", "show", "user-d")[0]["user"], "uma")
        self.assertIn("1 device lost a policy: 1 challenge void", self.does("device", "edit", "user-d", "--user", "eve").stderr)

    def test_what_a_device_has_is_revoked(self):
        """All that it could still show, and nothing of others; the device stays."""
        a = Authority("p256")
        self.addCleanup(a.close)
        a.start()
        ctl = lambda *args, code=0: self.exits(code, run(SCEPCTL, "-c", a.conf, *args, check=False))
        ctl("policy", "new", "corp", "--endpoint", "/scep", "--subject", "CN=%devicename%")
        for name in ("phone", "other"):
            ctl("device", "new", name)
            ctl("policy", "assign", "corp", name)

        def enrol(name, n):
            challenge = os.path.join(a.home, "challenge")
            with open(challenge, "w") as f:
                f.write(ctl("challenge", "new", "--device", name, "-q").stdout)
            key, out = (os.path.join(a.home, f"{name}-{n}.{end}") for end in ("key", "pem"))
            run(SCEPCTL, "client", "enrol", a.url + "/scep", "--subject", "CN=" + name, "--key", key, "--out", out, "--challenge-file", challenge)
        states = lambda name: sorted(c["state"] for c in a.json("cert", "list", "--device", name))
        for name in ("phone", "other"):
            enrol(name, 1)
        r = ctl("cert", "revoke", "--device", "phone", "--dry-run")
        self.assertRegex(r.stderr, r"would revoke [0-9a-f]+, CN=phone")
        self.assertEqual(states("phone"), ["active"])
        ctl("cert", "revoke", "--device", "phone", code=USAGE)  # nobody was asked
        ctl("cert", "revoke", "--device", "nobody", "--yes", code=NOT_FOUND)
        ctl("cert", "revoke", "--device", "phone", "5c1f09", "--yes", code=USAGE)
        ctl("cert", "revoke", "--device", "phone", "--from", "-", "--yes", code=USAGE)
        r = ctl("cert", "revoke", "--device", "phone", "--reason", "hold", "--yes")
        self.assertNotIn("device retire", r.stderr)
        enrol("phone", 2)
        self.assertEqual(states("phone"), ["active", "held"])
        self.assertIn("--expect 2", ctl("cert", "revoke", "--device", "phone", "--yes", code=USAGE).stderr)
        r = ctl("cert", "revoke", "--device", "phone", "--reason", "key-compromise", "--yes", "--expect", "2")
        self.assertIn("device retire", r.stderr)
        self.assertEqual((states("phone"), states("other")), (["revoked", "revoked"], ["active"]))
        self.assertIn("nothing to revoke", ctl("cert", "revoke", "--device", "phone", "--yes").stderr)
        self.assertEqual(a.json("device", "show", "phone")[0]["state"], "active")
        enrol("phone", 3)

    def test_what_is_looked_for_elsewhere(self):
        r = self.exits(USAGE, self.ctl("device", "revoke", "x"))
        self.assertRegex(r.stderr, r"fix: scepctl cert revoke --device NAME.*scepctl device retire NAME")
        for word in ("remove", "delete"):
            self.assertIn("fix: scepctl device retire NAME", self.exits(USAGE, self.ctl("device", word, "x")).stderr)
        self.does("device", "new", "my-phone")
        self.assertIn("--device NAME", self.exits(USAGE, self.ctl("cert", "revoke", "my-phone", "--yes")).stderr)

    def test_what_comes_next(self):
        r = self.does("policy", "new", "nx", "--subject", "CN=%devicename%", "--endpoint", "/scep")
        self.assertRegex(r.stderr, r"scepctl policy assign pol_\w+ DEVICE\|GROUP\n.*scepctl profile new apple --device NAME --new-device --policy nx\n")
        out = os.path.join(self.home, "nx.mobileconfig")
        r = self.does("profile", "new", "apple", "--device", "nx-phone", "--new-device", "--policy", "nx", "-o", out)
        self.assertRegex(r.stderr, r"next: .*Profile Downloaded.*; then: scepctl explain nx-phone\n")
        self.assertRegex(r.stderr, r"warning: the file says http://127\.0\.0\.1:\d+/scep, which only this machine itself reaches: set listen\.url")
        d = self.does("device", "new", "nx phone").stdout.strip()
        self.does("policy", "assign", "nx", d)
        for kind, how in (("windows", "OMA-URI"), ("android", "program"), ("chromeos", "admin console"), ("cisco", "configuration mode"),
                          ("strongswan", "run it"), ("certmonger", "run it")):
            r = self.does("profile", "new", kind, "--device", d, "--policy", "nx", "-o", f"{out}.{kind}")
            self.assertRegex(r.stderr, rf"next: .*{how}.*; then: scepctl explain {d}\n")
        r = self.does("profile", "new", "jamf", "--policy", "nx", "-o", out + ".jamf")
        self.assertRegex(r.stderr, r"next: upload it to Jamf Pro[^;]*\n")

    def test_on_a_terminal(self):
        self.does("device", "new", "evil \\u202e \x7f name".replace("\x7f", ""), "--platform", "linux")
        code, shown = self.on_terminal("device", "list")
        self.assertEqual(code, DONE)
        self.assertIn("PLATFORM", shown)
        code, shown = self.on_terminal("device", "retire", "evil \\u202e  name", answer="n\n")
        self.assertEqual(code, USAGE)
        self.assertIn("nothing was changed", shown)


class Policies(Fleet):
    def test_assign_and_take_away(self):
        self.policy("lab", "CN=%devicename%,O=Lab")
        self.does("group", "new", "benches")
        for name in ("b1", "b2"):
            self.does("device", "new", name)
            self.does("group", "add", "benches", name)
        self.assertIn("is in benches already", self.does("group", "add", "benches", "b1").stderr)
        self.does("policy", "assign", "lab", "benches")
        self.assertIn("already", self.does("policy", "assign", "lab", "benches").stderr)
        self.does("challenge", "new", "--device", "b1")
        self.does("policy", "check", "lab", "b1")
        plan = self.does("policy", "unassign", "lab", "benches", "--dry-run").stderr
        self.assertIn("2 devices would lose the policy: 1 challenge void", plan)
        self.exits(USAGE, self.ctl("policy", "unassign", "lab", "benches", "--yes"))
        self.exits(CONFLICT, self.ctl("policy", "unassign", "lab", "benches", "--yes", "--expect", "3"))
        self.exits(CONFLICT, self.ctl("policy", "unassign", "lab", "benches", "--dry-run", "--expect", "3"))
        done = self.does("policy", "unassign", "lab", "benches", "--yes", "--expect", "2").stderr
        self.assertIn("2 devices lost the policy: 1 challenge void", done)
        self.exits(NOT_FOUND, self.ctl("policy", "unassign", "lab", "benches", "--yes"))
        self.does("policy", "assign", "lab", "b1", "b2")
        self.does("policy", "unassign", "lab", "b1")
        self.exits(NOT_FOUND, self.ctl("policy", "unassign", "lab", "b1", "nobody"))
        r = self.does("policy", "unassign", "lab", "b1", "b2", "b2")
        self.assertIn("policy lab is not assigned to b1", r.stderr)
        self.assertIn("unassigned lab: 1 device lost the policy", r.stderr)
        self.exits(NOT_FOUND, self.ctl("policy", "unassign", "lab", "b1", "b2"))
        r = self.exits(PROBLEMS, self.ctl("policy", "check", "lab", "b1"))
        self.assertIn("assignment\tFAIL", r.stdout)
        self.does("policy", "remove", "lab")
        self.assertEqual(self.lines("policy", "list", "-s", "lab"), [])
        self.does("group", "drop", "benches", "b1", "b2")
        self.does("group", "remove", "benches")

    def test_a_dry_run_is_what_would_be_done(self):
        """What it takes along is told, what would be refused is refused, and nothing is changed."""
        self.policy("hall", "CN=%devicename%,OU=%group%")
        made = [self.does("group", "new", name).stdout.strip() for name in ("west", "east")]
        first, then = sorted(made)  # who has the policy by both is told the name of the first
        for name in ("h1", "h2"):
            self.does("device", "new", name)
            self.does("group", "add", then, name)
        self.does("group", "add", first, "h2")
        self.does("policy", "assign", "hall", then)
        for name, *args in (("h2", "policy", "assign", "hall", first), ("h1", "group", "add", first, "h1")):
            self.does("challenge", "new", "--device", name)
            for _ in "planned", "planned again":
                plan = self.does(*args, "--dry-run").stderr
                self.assertIn(f"would {args[1]} ", plan)
                self.assertIn("1 challenge with the old names would be void", plan)
            self.assertIn("1 challenge with the old names is void now", self.does(*args).stderr)
            self.assertIn("already", self.does(*args, "--dry-run").stderr)
        self.does("challenge", "new", "--device", "h1")
        for what, *args in (("group", "group", "edit", first, "--name", "north"), ("policy", "policy", "edit", "hall", "--subject", "CN=%devicename%")):
            before = self.does(what, "show", args[2], "--json").stdout
            plan = self.does(*args, "--dry-run").stderr
            self.assertIn(f"would change {what}", plan)
            self.assertIn("1 challenge with the old names would be void", plan)
            self.assertEqual(self.does(what, "show", args[2], "--json").stdout, before)
        for args in (("group", "edit", first, "--note", "x"), ("policy", "pause", "hall")):
            before = self.does(args[0], "show", args[2], "--json").stdout
            self.assertNotIn("challenge", self.does(*args, "--dry-run").stderr)
            self.assertEqual(self.does(args[0], "show", args[2], "--json").stdout, before)
        self.exits(CONFLICT, self.ctl("group", "edit", first, "--name", "east" if first == made[0] else "west", "--dry-run"))
        self.exits(NOT_FOUND, self.ctl("group", "add", first, "nobody", "--dry-run"))
        self.exits(NOT_FOUND, self.ctl("policy", "assign", "hall", "nobody", "--dry-run"))

    def test_a_challenge_for_a_device(self):
        self.policy("corp", "CN=%devicename%,serialNumber=%serialnumber%")
        self.assertIn("device new", self.exits(NOT_FOUND, self.ctl("challenge", "new", "--device", "c1")).stderr)
        self.does("device", "new", "c1")
        self.exits(1, self.ctl("challenge", "new", "--device", "c1"))  # no policy
        r = self.exits(USAGE, self.ctl("policy", "assign", "corp", "c1"))
        self.assertIn("%serialnumber% has no value", r.stderr)
        self.does("device", "edit", "c1", "--serial-number", "77")
        self.does("policy", "assign", "corp", "c1")
        for flag in ("--subject", "--count", "--label"):
            self.exits(USAGE, self.ctl("challenge", "new", "--device", "c1", flag, "2"))
        self.exits(USAGE, self.ctl("challenge", "new", "--policy", "corp"))
        made = self.lines("challenge", "new", "--device", "c1", "--policy", "corp", "--expires", "2h")[0]
        shown = self.lines("challenge", "show", made["id"])[0]
        self.assertEqual(shown["subject"], "CN=c1,serialNumber=77")
        self.policy("plain")
        r = self.does("challenge", "new", "--device", "c2", "--new-device", "--policy", "plain", "--format", "hex16")
        self.assertRegex(r.stdout, r"\A[0-9A-F]{16}\n\Z")
        self.assertEqual(self.lines("device", "show", "c2")[0]["policies"], "plain")

    def test_warnings_and_checks(self):
        r = self.does("policy", "new", "twins", "--subject", "CN=%user%", "--endpoint", "/scep")
        self.assertIn("warning: the subject has nothing", r.stderr)
        for name in ("t1", "t2"):
            self.does("device", "new", name, "--user", "anna")
        self.does("policy", "assign", "twins", "t1")
        r = self.exits(CONFLICT, self.ctl("policy", "assign", "twins", "t2"))
        self.assertIn("devices t1 and t2 would get the same subject, CN=anna", r.stderr)
        self.does("device", "edit", "t2", "--user", "ben")
        self.does("policy", "assign", "twins", "t2")
        self.does("policy", "check", "twins")
        r = self.exits(CONFLICT, self.ctl("device", "edit", "t2", "--user", "Anna"))
        self.assertIn("devices t1 and t2 would get the same subject, CN=Anna", r.stderr)
        self.does("device", "edit", "t2", "--user", "")
        r = self.exits(PROBLEMS, self.ctl("policy", "check", "twins"))
        self.assertIn("%user% has no value", r.stdout)
        self.does("policy", "edit", "twins", "--subject", "CN=%devicename%")
        self.does("policy", "check", "twins")
        self.does("policy", "pause", "twins")
        r = self.exits(1, self.ctl("challenge", "new", "--device", "t1", "--policy", "twins"))
        self.assertIn("policy.paused", r.stderr)
        self.does("policy", "resume", "twins")

    def test_check_a_request(self):
        self.policy("asks", "CN=%devicename%", "--key", "p256")
        self.does("device", "new", "q1")
        self.does("policy", "assign", "asks", "q1")
        # as it is decided: a larger key will do, if the template has it too
        for curve, name, good in (("P-256", "q1", True), ("P-256", "q2", False), ("P-384", "q1", True)):
            path = os.path.join(self.home, "q.csr")
            subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:" + curve, "-nodes", "-keyout",
                            path + ".key", "-subj", "/CN=" + name, "-out", path], check=True, capture_output=True)
            self.exits(DONE if good else PROBLEMS, self.ctl("policy", "check", "asks", "q1", "--csr", path))


class Import(Fleet):
    def test_challenges(self):
        self.policy("imp", "CN=%devicename%,O=Example")
        fleet = self.write("fleet.csv", 'name,platform,groups\n"i1, first",apple,new\ni2,apple,\n')
        out = os.path.join(self.home, "out.csv")
        r = self.exits(USAGE, self.ctl("device", "import", fleet))
        self.assertIn("line 2: groups: there is no group", r.stderr)
        self.assertEqual(self.lines("device", "list", "-s", "i1"), [])
        more = ("--policy", "imp", "--challenges", out, "--new-groups")
        self.assertIn("would import: 2 new", self.does("device", "import", fleet, *more, "--dry-run").stderr)
        self.assertFalse(os.path.exists(out))
        told = self.lines("device", "import", fleet, *more)[0]
        self.assertEqual((told["new"], told["challenges"], told["groups"]), (2, 2, 1))
        self.assertEqual(stat.S_IMODE(os.stat(out).st_mode), 0o600)
        rows = self.rows(out)
        self.assertEqual([(r["name"], r["subject"]) for r in rows],
                         [("i1, first", "CN=i1\\, first,O=Example"), ("i2", "CN=i2,O=Example")])
        self.assertEqual({len(r["challenge"]) for r in rows}, {19})
        self.assertEqual(rows[0]["url"], "http://127.0.0.1:8080/scep")
        # again: everybody has theirs; from standard input too
        told = self.lines("device", "import", fleet, *more)[0]
        self.assertEqual((told["same"], told["had_challenge"], told["challenges"]), (2, 2, 0))
        with open(fleet) as f:
            self.does("device", "import", "-", input=f.read())
        self.assertEqual(self.rows(out), rows)
        self.exits(CONFLICT, self.ctl("device", "import", fleet, "--policy", "imp", "--challenges", self.write("mine", "a,b\n1,2\n")))

    def test_what_is_no_list_of_challenges_is_left_as_it_is(self):
        self.policy("kept", "CN=%devicename%")
        fleet = self.write("kept.csv", "name\nk1")
        keys = os.path.join(self.home, "keys")
        mine = (fleet, self.write("none", "device,name"), self.write("last", "one\ntwo"), self.conf)
        for path in (*mine, os.path.join(keys, "challenge.key"), os.path.join(keys, "ca.key"),
                     os.path.join(self.home, "store", "data.mdb"), os.path.join(self.home, "store", "lock.mdb")):
            with self.subTest(path):
                if path in mine:
                    os.chmod(path, 0o640)
                mode = os.stat(path).st_mode
                with open(path, "rb") as f:
                    before = f.read()
                self.exits(CONFLICT, self.ctl("device", "import", fleet, "--policy", "kept", "--challenges", path))
                self.assertEqual(os.stat(path).st_mode, mode)
                with open(path, "rb") as f:
                    if not path.endswith("lock.mdb"):  # readers leave their numbers there
                        self.assertEqual(f.read(), before)
                    else:
                        self.assertEqual(len(f.read()), len(before))
        self.does("store", "verify")
        # one whose first line was cut in two by a crash is one
        cut = self.write("cut.csv", "name,device,pol")
        self.assertEqual(self.lines("device", "import", fleet, "--policy", "kept", "--challenges", cut)[0]["challenges"], 1)
        self.assertEqual([r["name"] for r in self.rows(cut)], ["k1"])

    def test_changes_are_asked_for(self):
        fleet = self.write("u.csv", "name,user\nu1,anna\nu2,anna\n")
        self.does("device", "import", fleet)
        fleet = self.write("u.csv", "name,user\nu1,ben\nu2,ben\n")
        self.exits(USAGE, self.ctl("device", "import", fleet))
        self.exits(USAGE, self.ctl("device", "import", fleet, "--update"))
        self.does("device", "import", fleet, "--update", "--yes", "--expect", "2")
        self.assertEqual(len(self.lines("device", "list", "--user", "ben", "-s", "u")), 2)

    def test_what_another_user_loses_is_asked_for(self):
        self.policy("theirs", "CN=%devicename%,O=Example")
        self.does("group", "new", "carols", "--users")
        self.does("group", "add", "carols", "carol")
        self.does("policy", "assign", "theirs", "carols")
        self.does("device", "new", "w1", "--user", "carol")
        lost = "1 device would lose a policy"
        fleet = ("device", "import", self.write("w.csv", "name,user\nw1,dave\n"), "--update")
        self.assertIn(lost, self.does(*fleet, "--dry-run").stderr)
        again = self.does(*fleet, "--policy", "theirs", "--dry-run").stderr
        self.assertIn("1 get the policy", again)
        self.assertNotIn("lose", again)
        r = self.exits(USAGE, self.ctl(*fleet))
        self.assertIn(lost, r.stderr)
        self.assertIn("--yes", r.stderr)
        self.assertEqual(self.lines("device", "list", "--user", "dave"), [])
        told = self.lines(*fleet, "--yes")[0]
        self.assertEqual((told["updated"], told["lost_policy"], told["revoked"]), (1, 1, 0))

    def test_how_many_lose_is_expected_too(self):
        """Who expects so many changed devices has not expected that some of them lose a policy."""
        self.policy("sold", "CN=%devicename%,O=Example")
        self.does("group", "new", "erins", "--users")
        self.does("group", "add", "erins", "erin")
        self.does("policy", "assign", "sold", "erins")
        for name, user in (("x1", "erin"), ("x2", "frank"), ("x3", "frank")):
            self.does("device", "new", name, "--user", user)
        fleet = ("device", "import", self.write("x.csv", "name,user\nx1,gil\nx2,gil\nx3,gil\n"), "--update", "--yes")
        r = self.exits(CONFLICT, self.ctl(*fleet, "--expect", "3"))
        self.assertIn("this is 3/1", r.stderr)
        self.assertEqual(self.lines("device", "list", "--user", "gil"), [])
        told = self.lines(*fleet, "--expect", "3/1")[0]
        self.assertEqual((told["updated"], told["lost_policy"]), (3, 1))
        # challenges that are void for another name are told as well
        self.does("policy", "assign", "sold", "x2")
        self.does("challenge", "new", "--device", "x2")
        fleet = ("device", "import", self.write("x.csv", "name,serial_number\nx2,77\n"), "--update")
        self.assertIn("1 challenge void", self.does(*fleet, "--dry-run").stderr)
        self.assertIn("1 challenge void", self.does(*fleet).stderr)

    def test_interrupted(self):
        self.policy("many", "CN=%devicename%")
        n = 30000
        fleet = self.write("many.csv", "name\n" + "".join(f"many-{i}\n" for i in range(n)))
        out = os.path.join(self.home, "many.out")
        args = ("device", "import", fleet, "--policy", "many", "--challenges", out)
        p = subprocess.Popen([SCEPCTL, "-c", self.conf, *args], stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 60
        while (not os.path.exists(out) or os.path.getsize(out) < 200000) and p.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        p.send_signal(signal.SIGINT)
        said = p.communicate()[1]
        self.assertEqual(p.returncode, INTERRUPTED, said)
        self.assertIn("the same command goes on", said)
        told = self.lines(*args)[0]
        self.assertGreater(told["had_challenge"], 0)
        self.assertEqual(told["had_challenge"] + told["challenges"], n)
        rows = self.rows(out)
        self.assertEqual(len(rows), n)
        self.assertEqual(len({r["name"] for r in rows}), n)
        self.exits(DONE, self.ctl("store", "verify"))


if __name__ == "__main__":
    unittest.main()
