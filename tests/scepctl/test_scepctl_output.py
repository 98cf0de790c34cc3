"""How scepctl speaks: tables that fit, pipes, JSON, comma-separated values, colours, questions."""

import csv
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from ctl_case import (CONFLICT, DONE, ESC, FAILED, INTERRUPTED, NOT_FOUND, PROBLEMS, SEED, UNAVAILABLE, USAGE, Seeded, ctl,
                      make_home)
from harness import SCEPCTL, run


class Terminal(Seeded):
    """On a terminal: a table that fits, and questions."""

    def test_table_fits(self):
        for columns in (80, 100, 200):
            code, out = self.on_terminal("cert", "list", "-q", "--utc", columns=columns)
            self.assertEqual(code, DONE)
            lines = out.splitlines()
            self.assertEqual(len(lines), 5)
            self.assertTrue(lines[0].startswith("SERIAL"))
            self.assertLessEqual(max(map(len, lines)), columns)
            self.assertNotIn(ESC, out)
            self.assertIn("40a1a1a1..", out)

    def test_question(self):
        serial = "40" + 15 * "a2"
        code, out = self.on_terminal("cert", "revoke", serial, answer="n\n")
        self.assertEqual(code, USAGE)
        self.assertIn("[y/N]", out)
        self.assertIn("nothing was changed", out)
        code, out = self.on_terminal("cert", "revoke", serial, "--no-input")
        self.assertEqual(code, USAGE)
        code, out = self.on_terminal("cert", "revoke", serial, answer="y\n")
        self.assertEqual(code, DONE, out)

    def test_colour_is_for_states_and_beside_the_word(self):
        code, out = self.on_terminal("cert", "list", "-q", "--wide", TERM="xterm")
        self.assertEqual(code, DONE)
        self.assertIn(ESC + "[32mactive" + ESC + "[0m", out)
        self.assertIn(ESC + "[2mexpired" + ESC + "[0m", out)
        for env in ({"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}):
            self.assertNotIn(ESC, self.on_terminal("cert", "list", **env)[1])
        self.assertNotIn(ESC, self.on_terminal("cert", "list", "--color", "never", TERM="xterm")[1])
        self.assertIn(ESC, self.on_terminal("cert", "list", "--color", "always", TERM="dumb")[1])
        self.assertIn(ESC, self.on_terminal("cert", "list", TERM="xterm", NO_COLOR="")[1])
        self.assertNotIn(ESC, self.ctl("cert", "list", env={"TERM": "xterm"}).stdout)

    def test_nothing_but_ascii_where_the_locale_has_no_more(self):
        label = "J\u00fcrgen \u6771\u4eac"
        self.exits(DONE, self.ctl("challenge", "new", "--label", label))
        self.assertIn(label, self.on_terminal("challenge", "list", columns=200)[1])
        code, out = self.on_terminal("challenge", "list", columns=200, LC_ALL="C")
        self.assertEqual(code, DONE)
        self.assertTrue(out.isascii())
        self.assertIn("J\\u00fcrgen \\u6771\\u4eac", out)
        self.assertIn(label, self.ctl("challenge", "list", env={"LC_ALL": "C"}).stdout)  # pipes speak UTF-8

    def test_wide_shows_all_and_shortens_nothing(self):
        out = self.on_terminal("cert", "list", "-q", "--wide")[1].splitlines()
        self.assertIn("TRANSACTION", out[0])
        self.assertIn("NOT BEFORE", out[0])
        self.assertTrue(any("40" + 15 * "a1" in line for line in out))


class Golden(Seeded):
    """Tables at two widths and the form for pipes, to the last blank.  GOLDEN_WRITE=1 writes them anew."""

    where = os.path.join(os.path.dirname(__file__), "golden")

    def compare(self, name, text):
        path = os.path.join(self.where, name)
        if os.environ.get("GOLDEN_WRITE"):
            with open(path, "w") as f:
                f.write(text)
        with open(path) as f:
            self.assertEqual(text, f.read(), name)

    def test_tables_and_pipes(self):
        columns = {"cert": "serial,subject,template,state,san,renewed_by", "request": "id,subject,state,endpoint,key,polls,peer"}
        for noun, names in columns.items():
            for width in (80, 200):
                code, out = self.on_terminal(noun, "list", "-q", "--columns", names, columns=width)
                self.assertEqual(code, DONE)
                self.compare(f"{noun}-list-{width}.txt", out)
            self.compare(f"{noun}-list-pipe.txt", self.ctl(noun, "list", "--columns", names).stdout)
            self.compare(f"{noun}-list.csv", self.ctl(noun, "list", "--columns", names, "--csv").stdout)


class ExitCodes(Seeded):
    """Every code of scepctl(1), and that the page lists just these."""

    def test_each(self):
        missing = self.home + "/none.conf"
        self.exits(DONE, self.ctl("cert", "list", "-s", "nothing has this"))
        self.exits(FAILED, ctl("-c", missing, "cert", "list"))
        self.exits(USAGE, self.ctl("cert", "revoke", "40a1a1"))
        self.exits(NOT_FOUND, self.ctl("cert", "show", "50a1a1"))
        self.exits(NOT_FOUND, self.ctl("request", "show", "req_aaaa"))  # not unique
        self.exits(CONFLICT, self.ctl("cert", "revoke", "40a1a1", "--yes", "--expect", "7"))
        self.exits(PROBLEMS, self.ctl("store", "verify"))  # the certificates are made up
        r = self.exits(UNAVAILABLE, ctl("client", "caps", "http://127.0.0.1:1/scep"))
        self.assertNotIn("Traceback", r.stderr)

    def test_page(self):
        page = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "scepctl.1")
        with open(page) as f:
            section = f.read().split(".Sh EXIT STATUS")[1].split(".Sh")[0]
        self.assertEqual(re.findall(r"^\.It (\d+)$", section, re.M), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "130"])

    def test_closed_from_the_start(self):
        """Whoever starts it may have closed 0, 1 and 2: a file of the store with such a number would get what is printed."""
        home, _ = make_home("--demo", "--key", "p256")
        self.addCleanup(shutil.rmtree, home)
        run(SEED, home + "/store", home + "/ca/ca.pem", "20")
        conf = home + "/scepd.conf"

        def content(name):
            with open(f"{home}/store/{name}", "rb") as f:
                return f.read()

        for closed in ([0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]):
            with self.subTest(closed=closed):
                data = content("data.mdb")
                r = subprocess.run([SCEPCTL, "-c", conf, "cert", "list", "--limit", "0"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                                   preexec_fn=lambda: [os.close(fd) for fd in closed])
                self.assertTrue(content("data.mdb") == data, "the store was written to")
                self.assertFalse(b"CN=" in content("lock.mdb"), "the store's locks were written to")
                self.assertEqual(r.returncode, FAILED if 1 in closed else DONE, r.stderr)
                self.assertEqual("cannot write to standard output" in r.stderr, 1 in closed and 2 not in closed, r.stderr)
                self.assertEqual(len(r.stdout.splitlines()), 0 if 1 in closed else 20)

    def test_files_may_not_grow(self):
        """RLIMIT_FSIZE is told like a full disk, and nothing half made stays."""
        where = tempfile.mkdtemp(prefix="scepctl-test-")
        self.addCleanup(shutil.rmtree, where)
        r = subprocess.run([SCEPCTL, "init", "--home", where + "/home", "--demo", "--key", "p256"], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=60,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
        self.exits(FAILED, r)
        self.assertIn("File too large", r.stderr)
        self.assertEqual(os.listdir(where), [])

    def test_interrupted_between_two(self):
        """Ctrl-C while many are revoked: exit 130, says how far it got, and the store is whole."""
        home, _ = make_home("--demo", "--key", "p256")
        self.addCleanup(shutil.rmtree, home)
        run(SEED, home + "/store", home + "/ca/ca.pem", "1500")
        conf = home + "/scepd.conf"
        ids = ctl("-c", conf, "cert", "list", "--ids", "--limit", "0", "--state", "active").stdout
        n = len(ids.split())
        with open(home + "/ids", "w") as f:
            f.write(ids)
        p = subprocess.Popen([SCEPCTL, "-c", conf, "cert", "revoke", "--from", home + "/ids", "--yes", "--expect", str(n)],
                             stderr=subprocess.PIPE, text=True)
        first = p.stderr.readline()
        self.assertIn("to revoke", first)
        done = 0
        while done == 0:  # until the first is revoked
            done = json.loads(ctl("-c", conf, "store", "stats", "--json").stdout)["revoked"] - 150
        p.send_signal(signal.SIGINT)
        told = p.stderr.read()
        p.stderr.close()
        self.assertEqual(p.wait(), INTERRUPTED, told)
        said = int(re.search(r"interrupted: (\d+) of", told).group(1))
        now = json.loads(ctl("-c", conf, "store", "stats", "--json").stdout)["revoked"] - 150
        self.assertEqual(said, now)
        self.assertLess(now, n)


class Forms(Seeded):
    def test_columns(self):
        r = self.exits(DONE, self.ctl("cert", "list", "-s", "device-1", "--columns", "state,serial"))
        self.assertEqual(r.stdout, "active\t40" + 15 * "a1" + "\n")
        listed = self.lines("cert", "list", "-s", "device-1", "--columns", "state,serial")
        self.assertEqual(listed, [{"state": "active", "serial": "40" + 15 * "a1"}])
        code, out = self.on_terminal("cert", "list", "-s", "device-1", "-q", "--columns", "not_before,subject")
        self.assertTrue(out.startswith("NOT BEFORE"), out)
        r = self.exits(USAGE, self.ctl("cert", "list", "--columns", "sreial"))
        self.assertIn('did you mean "serial"', r.stderr)
        self.assertEqual(r.stdout, "")
        self.exits(USAGE, self.ctl("cert", "list", "--columns", ""))
        r = self.exits(DONE, self.ctl("cert", "show", "40a2a2", "--columns", "subject"))
        self.assertEqual(len(r.stdout.splitlines()), 1)

    def test_ids(self):
        r = self.exits(DONE, self.ctl("cert", "list", "--ids", "-s", "device-"))
        self.assertEqual(sorted(r.stdout.split()), sorted("40" + 15 * f"a{n}" for n in (1, 2, 3, 4)))
        self.assertEqual(self.ctl("cert", "show", "40a1a1", "--ids").stdout, "40" + 15 * "a1" + "\n")

    def test_csv(self):
        self.exits(DONE, self.ctl("challenge", "new", "--label", 'a "quoted", label'))
        rows = list(csv.DictReader(io.StringIO(self.ctl("challenge", "list", "--csv").stdout)))
        self.assertIn('a "quoted", label', [row["label"] for row in rows])
        rows = list(csv.DictReader(io.StringIO(self.ctl("store", "stats", "--csv").stdout)))
        self.assertEqual(rows[0]["certificates"], "4")

    def test_csv_is_raw(self):
        """Scripts get what JSON has; that spreadsheets see formulas in it stands in scepctl(1)."""
        for begin in "=+-@'":
            self.exits(DONE, self.ctl("challenge", "new", "--label=" + begin + "1+1,2"))
        rows = list(csv.DictReader(io.StringIO(self.ctl("challenge", "list", "--csv").stdout)))
        objects = [json.loads(line) for line in self.ctl("challenge", "list", "--json").stdout.splitlines()]
        self.assertEqual([row["label"] for row in rows], [o["label"] or "" for o in objects])
        self.assertLessEqual({b + "1+1,2" for b in "=+-@'"}, {row["label"] for row in rows})

    def test_one_form_at_a_time(self):
        for two in (["--json", "--csv"], ["--csv", "--ids"], ["--ids", "--json"]):
            self.exits(USAGE, self.ctl("cert", "list", *two))
        self.exits(USAGE, self.ctl("cert", "list", "--color", "blue"))

    def test_verbose_says_which_files(self):
        r = self.exits(DONE, self.ctl("store", "stats", "-v"))
        self.assertIn("configuration " + self.conf, r.stderr)
        self.assertIn("store " + self.home + "/store", r.stderr)

    def test_problems_of_the_configuration_as_json(self):
        bad = self.home + "/bad.conf"
        with open(self.conf) as f, open(bad, "w") as g:
            g.write(f.read().replace("workers", "wrokers"))
        r = ctl("-c", bad, "cert", "list", "--json")
        told = [json.loads(line) for line in r.stderr.splitlines()]
        self.assertIn("wrokers", told[0]["problem"])
        self.assertEqual(told[-1]["status"], r.returncode)


if __name__ == "__main__":
    unittest.main()
