"""scepctl store and audit: backup, restore, purge, and the proof that nobody rewrote the log."""

import fcntl
import json
import os
import pwd
import random
import shutil
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from ctl_case import (CONFLICT, DAMAGED, DONE, FAILED, NOT_FOUND, NOT_PERMITTED, PROBLEMS, UNAVAILABLE, USAGE, WithAuthority)
from harness import SCEPCTL, SCEPD, Authority, run

PAGE = 4096


class Fresh(WithAuthority):
    """An authority for each test: they move its store about."""

    @classmethod
    def setUpClass(cls):
        pass

    def setUp(self):
        from ctl_case import make_home
        self.home, _ = make_home("--demo", "--key", "p256")
        self.addCleanup(shutil.rmtree, self.home)
        self.conf = self.home + "/scepd.conf"
        self.file = self.home + "/b.mdb"
        self.store = self.home + "/store"

    def backup(self):
        self.exits(DONE, self.ctl("store", "backup", self.file))

    def lose(self):
        shutil.rmtree(self.store)

    def restore(self):
        return self.exits(DONE, self.ctl("store", "restore", self.file, "--yes", "--expect", "demo"))

    def events(self):
        return [e["event"] for e in self.lines("audit", "list", "--limit", "0")]


class Damage(Fresh):
    SEEDS = 20
    SPOTS = 20

    def setUp(self):
        super().setUp()
        self.exits(DONE, self.ctl("challenge", "new", "--count", "300", "-q"))
        self.data = self.store + "/data.mdb"
        with open(self.data, "rb") as f:
            self.whole = f.read()

    def write(self, octets):
        with open(self.data, "r+b") as f:
            f.write(octets)

    def flip(self, seed):
        """Bits behind the meta pages."""
        r = random.Random(seed)
        octets = bytearray(self.whole)
        for _ in range(self.SPOTS):
            octets[r.randrange(2 * PAGE, len(octets))] ^= 1 << r.randrange(8)
        self.write(octets)

    def lose_pages(self):
        """The heads of pages stand, their entries are nowhere."""
        octets = bytearray(self.whole)
        for at in range(2 * PAGE, len(octets), PAGE):
            octets[at + 16:at + PAGE] = b"\xff" * (PAGE - 16)
        self.write(octets)

    def test_bits(self):
        """Whatever is damaged ends a command with an exit code and a word on it."""
        for seed in range(self.SEEDS):
            self.flip(seed)
            for verb in (("store", "verify"), ("audit", "verify"), ("store", "backup", f"{self.home}/{seed}.mdb")):
                with self.subTest(seed=seed, verb=verb):
                    r = self.ctl(*verb)
                    self.assertIn(r.returncode, (DONE, FAILED, PROBLEMS, DAMAGED), r.stderr)
                    if r.returncode == DAMAGED:
                        self.assertRegex(r.stderr, r"fix: .*scepctl store restore FILE")

    def test_nothing_to_read(self):
        self.backup()
        self.lose_pages()
        for verb in (("store", "verify"), ("audit", "verify"), ("store", "backup", self.home + "/c.mdb"), ("challenge", "list")):
            r = self.exits(DAMAGED, self.ctl(*verb))
            self.assertIn("damaged", r.stderr)
            self.assertIn("fix: if scepctl store verify says so too: stop scepd, move the store away, restore the last backup", r.stderr)
        r = self.exits(DAMAGED, run(SCEPD, "-c", self.conf, check=False))
        self.assertIn("fix: move the store away, restore the last backup", r.stderr)
        os.rename(self.store, self.store + ".old")
        self.restore()
        self.exits(DONE, self.ctl("store", "verify"))

    def test_a_damaged_backup(self):
        self.backup()
        self.lose()
        with open(self.file, "r+b") as f:
            f.truncate(3 * PAGE)
        r = self.exits(DAMAGED, self.ctl("store", "restore", self.file, "--yes", "--expect", "demo"))
        self.assertIn("fix: take an older backup", r.stderr)
        self.assertFalse(os.path.exists(self.store))

    def test_a_store_that_was_cut_short_is_told(self):
        os.truncate(self.data, 2 * PAGE)  # its meta pages, and none that they lead to
        r = self.exits(DAMAGED, self.ctl("store", "verify"))
        self.assertIn("a file of it ends too early", r.stderr)
        r = self.exits(DAMAGED, run(SCEPD, "-c", self.conf, check=False))
        self.assertIn("a file of it ends too early", r.stderr)


class Backup(Fresh):
    def test_file(self):
        self.exits(DONE, self.ctl("challenge", "new", "--label", "before"))
        r = self.exits(DONE, self.ctl("store", "backup", self.file, "--json"))
        made = json.loads(r.stdout)
        self.assertEqual((made["file"], made["problems"]), (self.file, 0))
        self.assertEqual(made["bytes"], os.stat(self.file).st_size)
        self.assertEqual(os.stat(self.file).st_mode & 0o777, 0o600)
        self.assertIn("Keys", r.stderr)
        self.assertIn("backup_last_success", self.lines("store", "stats")[0])
        self.assertEqual(self.lines("audit", "list")[-1]["event"], "store.backup")
        self.exits(CONFLICT, self.ctl("store", "backup", self.file))  # never overwritten
        self.assertEqual(os.listdir(self.home).count("b.mdb.part"), 0)

    def test_directory_and_keep(self):
        kept = self.home + "/backups"
        os.mkdir(kept)
        for name in ("scepd-20200101T000000Z.mdb", "scepd-20200102T000000Z.mdb", "scepd-x.mdb", "precious"):
            with open(os.path.join(kept, name), "w"):
                pass
        r = self.exits(DONE, self.ctl("store", "backup", kept, "--keep", "2"))
        self.assertIn("removed " + kept + "/scepd-20200101T000000Z.mdb", r.stderr)
        names = sorted(os.listdir(kept))
        self.assertEqual(len(names), 4)
        self.assertEqual(names[0], "precious")
        self.assertEqual(names[1], "scepd-20200102T000000Z.mdb")
        self.assertRegex(names[2], r"^scepd-\d{8}T\d{6}Z\.mdb$")
        self.assertEqual(names[3], "scepd-x.mdb")

    def test_what_a_killed_run_left(self):
        """Each has a name of its own: the next run takes them away, but none that is being written."""
        kept = self.home + "/backups"
        os.mkdir(kept)
        dead, alive, other = (f"{kept}/{n}.part" for n in ("scepd-20200101T000000Z.mdb", "scepd-20200102T000000Z.mdb", "scepd-x.mdb"))
        for name in (dead, alive, other):
            with open(name, "w") as f:
                f.write("half of it")
        with open(alive, "r+") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            self.exits(DONE, self.ctl("store", "backup", kept))
            self.assertEqual([os.path.exists(n) for n in (dead, alive, other)], [False, True, True])
        self.exits(DONE, self.ctl("store", "backup", kept + "/own-name.mdb"))
        self.assertTrue(os.path.exists(alive))  # not asked for the directory

    def test_refused(self):
        self.exits(USAGE, self.ctl("store", "backup"))
        self.exits(USAGE, self.ctl("store", "backup", self.file, "--keep", "3"))
        self.exits(USAGE, self.ctl("store", "backup", self.home, "--keep", "0"))
        self.exits(NOT_FOUND, self.ctl("store", "backup", self.home + "/none/b.mdb"))
        self.exits(NOT_FOUND, self.ctl("store", "backup", self.home + "/none/"))
        self.exits(DONE, self.ctl("store", "backup", self.file, "-n"))
        self.assertFalse(os.path.exists(self.file))

    def test_no_room(self):
        self.exits(DONE, self.ctl("challenge", "new", "--count", "2000", "-q"))
        r = run("sh", "-c", f'trap "" XFSZ; ulimit -f 40; exec {SCEPCTL} -c {self.conf} store backup {self.file}', check=False)
        self.exits(UNAVAILABLE, r)
        self.assertEqual([n for n in os.listdir(self.home) if n.startswith("b.mdb")], [])
        self.assertNotIn("store.backup", self.events())
        self.backup()

    def test_beside_a_daemon_under_load(self):
        a = Authority("p256")
        self.addCleanup(a.close)
        a.start()
        stop = threading.Event()
        failures = []

        def load():
            while not stop.is_set():
                r = run(SCEPCTL, "-c", a.conf, "challenge", "new", "--count", "50", "-q", check=False)
                failures.extend([r.stderr] if r.returncode else [])

        threads = [threading.Thread(target=load) for _ in range(2)]
        for t in threads:
            t.start()
        try:
            for i in range(5):
                made = json.loads(a.ctl("store", "backup", f"{a.home}/b{i}.mdb", "--json").stdout)
                self.assertEqual(made["problems"], 0)
                a.get("/scep?operation=GetCACaps")
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(failures, [])
        a.ctl("store", "verify")
        a.stop()


class Restore(Fresh):
    def test_all_that_was(self):
        self.exits(DONE, self.ctl("challenge", "new", "--label", "before"))
        self.exits(DONE, self.ctl("crl", "publish"))
        before = self.lines("crl", "show")[0]["number"]
        self.backup()
        self.exits(DONE, self.ctl("challenge", "new", "--label", "after"))
        for _ in range(3):
            self.exits(DONE, self.ctl("crl", "publish"))
        used = self.lines("crl", "show")[0]["number"]
        self.assertEqual(used, before + 3)
        r = self.exits(CONFLICT, self.ctl("store", "restore", self.file, "--yes", "--expect", "demo"))
        self.assertIn("nothing is ever overwritten", r.stderr)
        self.lose()
        r = self.restore()
        for told in ("unknown now", "can be neither renewed nor revoked", "good again", "no keys"):
            self.assertIn(told, r.stderr)
        self.assertEqual([c["label"] for c in self.lines("challenge", "list")], ["before"])
        self.exits(DONE, self.ctl("store", "verify"))
        self.assertEqual(self.lines("crl", "show")[0]["state"], "missing")  # a new one is due
        self.exits(DONE, self.ctl("crl", "publish"))
        self.assertGreater(self.lines("crl", "show")[0]["number"], used)
        self.assertEqual(self.events().count("store.restored"), 1)
        self.assertEqual(sorted(os.listdir(self.store)), ["crl", "data.mdb", "lock.mdb"])

    def test_into_an_empty_directory(self):
        self.backup()
        self.lose()
        os.mkdir(self.store)
        self.restore()
        self.exits(DONE, self.ctl("store", "verify"))

    def test_confirmation(self):
        self.backup()
        self.lose()
        r = self.exits(USAGE, self.ctl("store", "restore", self.file))
        self.assertIn("--yes --expect demo", r.stderr)
        self.exits(USAGE, self.ctl("store", "restore", self.file, "--yes"))
        self.exits(CONFLICT, self.ctl("store", "restore", self.file, "--yes", "--expect", "other"))
        r = self.exits(DONE, self.ctl("store", "restore", self.file, "--dry-run"))
        self.assertIn("would restore", r.stderr)
        code, out = self.on_terminal("store", "restore", self.file, answer="something\n")
        self.assertEqual(code, USAGE, out)
        self.assertFalse(os.path.exists(self.store))
        self.assertFalse(os.path.exists(self.store + ".restoring"))
        code, out = self.on_terminal("store", "restore", self.file, answer="demo\n")
        self.assertEqual(code, DONE, out)
        self.exits(DONE, self.ctl("store", "verify"))

    def test_bad_files(self):
        self.lose()
        self.exits(NOT_FOUND, self.ctl("store", "restore", self.home + "/none"))
        with open(self.file, "w") as f:
            f.write("no store")
        self.exits(FAILED, self.ctl("store", "restore", self.file, "--yes", "--expect", "demo"))
        self.assertFalse(os.path.exists(self.store))
        self.assertFalse(os.path.exists(self.store + ".restoring"))

    def test_not_while_it_is_served(self):
        a = Authority("p256")
        self.addCleanup(a.close)
        a.start()
        a.ctl("store", "backup", a.home + "/b.mdb")
        for n in os.listdir(a.home + "/store"):
            path = f"{a.home}/store/{n}"
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        r = run(SCEPCTL, "-c", a.conf, "store", "restore", a.home + "/b.mdb", "--yes", "--expect", "demo", check=False)
        self.exits(UNAVAILABLE, r)
        self.assertIn("systemctl stop scepd", r.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_root_leaves_nothing_of_its_own(self):
        nobody = pwd.getpwnam("nobody").pw_uid
        for base, dirs, names in os.walk(self.home):
            for n in dirs + names:
                os.chown(os.path.join(base, n), nobody, nobody)
        kept = self.home + "/backups"
        os.mkdir(kept)
        os.chmod(self.home, 0o755)
        r = self.exits(NOT_PERMITTED, self.ctl("store", "backup", kept))
        self.assertIn("fix: install -d -m 700 -o nobody", r.stderr)
        os.chown(kept, nobody, nobody)
        made = json.loads(self.exits(DONE, self.ctl("store", "backup", kept, "--json")).stdout)["file"]
        self.assertEqual(os.stat(made).st_uid, nobody)
        self.lose()
        os.mkdir(self.store)
        os.chown(self.store, nobody, nobody)
        self.exits(DONE, self.ctl("store", "restore", made, "--yes", "--expect", "demo"))
        for path in (self.store, self.store + "/data.mdb", self.store + "/lock.mdb"):
            self.assertEqual(os.stat(path).st_uid, nobody, path)
        self.exits(DONE, self.ctl("challenge", "new"))


class Purge(Fresh):
    def test_refused(self):
        self.exits(USAGE, self.ctl("store", "purge", "--older-than", "365d"))
        self.exits(USAGE, self.ctl("store", "purge", "certs"))
        self.exits(USAGE, self.ctl("store", "purge", "audit", "--older-than", "365d"))
        r = self.exits(USAGE, self.ctl("store", "purge", "certs", "--older-than", "29d"))
        self.assertIn("lost reply", r.stderr)

    def test_old_certificates(self):
        run(os.environ["SCEPD_SEED_STORE"], self.store, self.home + "/ca/ca.pem", "old")
        args = ("store", "purge", "certs", "challenges", "--older-than", "365d")
        r = self.exits(DONE, self.ctl(*args, "--dry-run", "--json"))
        self.assertEqual(json.loads(r.stdout), {"challenges": 0, "certs": 1500})
        self.assertIn("would forget 1500", r.stderr)
        self.exits(USAGE, self.ctl(*args, "--yes"))
        self.exits(CONFLICT, self.ctl(*args, "--yes", "--expect", "1499"))
        before = self.lines("store", "stats")[0]["certificates"]
        self.exits(DONE, self.ctl(*args, "--yes", "--expect", "1500"))
        self.assertEqual(self.lines("store", "stats")[0]["certificates"], before - 1500)
        self.assertGreaterEqual(self.events().count("store.purged"), 2)  # one for each thousand
        self.exits(DONE, self.ctl(*args, "--yes"))  # nothing is left


class Audit(Fresh):
    def setUp(self):
        super().setUp()
        for i in range(5):
            self.exits(DONE, self.ctl("challenge", "new", "--label", f"n{i}"))
        self.copy = self.home + "/audit.jsonl"

    def export(self):
        with open(self.copy, "w") as f:
            f.write(self.exits(DONE, self.ctl("audit", "export")).stdout)

    def against(self):
        return self.ctl("audit", "verify", "--against", self.copy, "--json")

    def test_list_and_show(self):
        self.assertEqual(len(self.lines("audit", "list", "--event", "challenge")), 5)
        self.assertEqual(self.lines("audit", "list", "--event", "certificate"), [])
        self.assertEqual(len(self.lines("audit", "list", "--since", "1h")), 6)  # the first administrator, five challenges
        self.assertEqual(self.lines("audit", "list", "--until", "2020-01-01"), [])
        self.assertEqual([e["seq"] for e in self.lines("audit", "list", "--limit", "2")], [5, 6])
        listed = self.lines("audit", "list", "--from", "3", "--limit", "1")[0]
        self.assertEqual(listed, self.lines("audit", "show", "3")[0])
        self.exits(USAGE, self.ctl("audit", "list", "--since", "yesterday"))
        self.exits(NOT_FOUND, self.ctl("audit", "show", "99"))
        self.exits(NOT_FOUND, self.ctl("audit", "show", "0"))
        self.exits(USAGE, self.ctl("audit", "show", "x"))

    def test_whole(self):
        r = self.exits(DONE, self.ctl("audit", "verify"))
        self.assertIn("6 entries, 0 problems, 0 seams", r.stderr)
        self.export()
        self.exits(DONE, self.against())
        self.exits(DONE, self.ctl("challenge", "new"))  # what came after the copy is no matter
        self.exits(DONE, self.against())
        with open(self.copy) as f:
            tail = f.read().split("\n", 2)[2]
        r = self.exits(DONE, self.ctl("audit", "verify", "--against", "-", input=tail))
        self.assertIn("4 entries of the copy", r.stderr)

    def test_rewritten(self):
        self.export()
        with open(self.copy) as f:
            lines = f.read().splitlines()
        for number, change in ((3, ("n1", "n9")), (5, ('"chain":"', '"chain":"00'))):
            changed = list(lines)
            changed[number - 1] = changed[number - 1].replace(*change)
            self.assertNotEqual(changed, lines)
            with open(self.copy, "w") as f:
                f.write("\n".join(changed) + "\n")
            r = self.exits(PROBLEMS, self.against())
            found = [json.loads(line) for line in r.stdout.splitlines()]
            self.assertEqual([(x["result"], x["seq"]) for x in found], [("FAIL", number)])
        with open(self.copy, "w") as f:
            f.write("\n".join(lines + [lines[-1].replace('"seq":6', '"seq":7')]) + "\n")
        r = self.exits(PROBLEMS, self.against())
        self.assertIn("the copy has this entry and the log has not", r.stdout)

    def test_hostile_copies(self):
        for text in ("nonsense\n", "{}\n", '{"seq":-1}\n', '{"seq":1}\n{"seq":1}\n', '{"seq":1,"x":"' + "y" * 100000 + '"}\n', "\0\n",
                     "[" * 10000):
            r = self.exits(PROBLEMS, self.ctl("audit", "verify", "--against", "-", input=text))
            self.assertNotIn("\0", r.stdout)
        self.exits(NOT_FOUND, self.ctl("audit", "verify", "--against", self.home + "/none"))

    def test_across_backup_and_restore(self):
        self.export()
        self.backup()
        self.exits(DONE, self.ctl("challenge", "new", "--label", "lost"))
        later = self.home + "/later.jsonl"
        with open(later, "w") as f:
            f.write(self.ctl("audit", "export").stdout)
        self.lose()
        self.restore()
        r = self.exits(DONE, self.ctl("audit", "verify", "--json"))
        seams = [json.loads(line) for line in r.stdout.splitlines()]
        self.assertEqual([s["result"] for s in seams], ["seam"])
        self.assertIn("ends with entry 6", seams[0]["text"])
        self.exits(DONE, self.against())
        self.copy = later
        r = self.exits(PROBLEMS, self.against())
        self.assertIn("lost by the restore before it, or rewritten", r.stdout)


if __name__ == "__main__":
    unittest.main()
