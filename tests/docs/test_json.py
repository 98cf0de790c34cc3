"""docs/JSON.md against the program: members of lists exactly and in order, those of one thing at most."""

import json
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from ctl_case import DONE, Seeded

PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "JSON.md")


def documented():
    with open(PAGE) as f:
        rows = re.findall(r"^\| `([a-z ]+)` \| (.*) \|$", f.read(), re.M)
    return {verb: re.sub(r" \(.*\)", "", members).split(", ") for verb, members in rows}


class Page(Seeded):
    def objects(self, *args):
        return [json.loads(line) for line in self.exits(DONE, self.ctl(*args, "--json")).stdout.splitlines()]

    def test_lists(self):
        page = documented()
        self.exits(DONE, self.ctl("challenge", "new", "--count", "2", "-q"))
        for verb in ("challenge list", "request list", "cert list", "audit list", "audit export", "config schema"):
            rows = self.objects(*verb.split())
            self.assertGreater(len(rows), 0, verb)
            for row in rows:
                self.assertEqual(list(row), page[verb], verb)

    def test_things(self):
        page = documented()
        made = self.objects("challenge", "new")[0]
        self.exits(DONE, self.ctl("request", "deny", "req_aaaaaa", "--note", "x"))
        self.exits(DONE, self.ctl("cert", "revoke", "40a2a2", "--yes"))
        copy = self.home + "/b.mdb"
        seen = 0
        for verb, *more in (("challenge new",), ("challenge show", made["id"]), ("request show", "req_aaaaaa"),
                            ("cert show", "40a2a2"), ("crl publish",), ("crl show",), ("store stats",), ("audit show", "1"),
                            ("config show",)):
            documented_members = page["crl show"] if verb == "crl publish" else page[verb]
            for thing in self.objects(*verb.split(), *more):
                seen += 1
                unknown = [m for m in thing if m not in documented_members]
                self.assertEqual(unknown, [], verb)
                order = [documented_members.index(m) for m in thing]
                self.assertEqual(order, sorted(order), verb)
        self.assertGreaterEqual(seen, 9)
        # a store of made-up certificates is copied, and its problems are told
        r = self.ctl("store", "backup", copy, "--json")
        self.assertEqual(list(json.loads(r.stdout)), page["store backup"])
        r = self.ctl("store", "verify", "--json")
        self.assertEqual(list(json.loads(r.stdout.splitlines()[0])), page["store verify"])

    def test_errors(self):
        r = self.ctl("cert", "show", "50ffff", "--json")
        problem = json.loads(r.stderr)
        self.assertEqual(problem["status"], r.returncode)
        self.assertEqual(set(problem), {"status", "detail", "fix"})


if __name__ == "__main__":
    unittest.main()
