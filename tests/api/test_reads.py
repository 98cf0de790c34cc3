"""What is read by way of the API stands in the audit log, once and as a count, however often it is asked for."""

import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from api_client import Api, ApiAuthority

POLLS = 40


class Reads(unittest.TestCase):
    def setUp(self):
        self.a = ApiAuthority()
        self.addCleanup(self.a.close)
        self.a.start()
        self.api = self.caller("operator")

    def caller(self, role):
        api = self.a.as_role(role, self.a.document())
        self.addCleanup(api.close)
        return api

    def entries(self, *more):
        return [e for e in self.a.json("audit", "list", "--limit", "0", "--reads", *more) if e["event"] == "api.read"]

    def wait(self, condition, what):
        for _ in range(600):
            if condition():
                return
            time.sleep(0.1)
        self.fail(what)

    def whole(self):
        self.a.ctl("audit", "verify")
        self.a.ctl("store", "verify")

    def test_what_was_read_is_there(self):
        self.assertEqual(self.api.get("/devices").status, 200)
        self.wait(self.entries, "nothing is written by itself")
        self.assertEqual([(e["actor"], e["object"]) for e in self.entries()], [("operator", "/devices")])
        self.assertRegex(self.entries()[0]["text"], r"^GET device_list from 127\.0\.0\.1$")
        # whoever reads the log finds all that was read before, at once
        self.api.get("/certificates")
        auditor = self.caller("auditor")
        seen = auditor.get("/audit?reads=true&actor=operator")["items"]
        self.assertEqual([e["object"] for e in seen if e["event"] == "api.read"], ["/certificates", "/devices"])
        exported = auditor.get("/audit", Accept="application/x-ndjson").body.decode()
        self.assertIn('"/certificates"', exported)
        # and who asks for changes is not shown them
        self.assertNotIn("api.read", [e["event"] for e in auditor.get("/audit?limit=500")["items"]])
        self.assertNotIn("api.read", [e["event"] for e in self.a.json("audit", "list")])
        self.assertEqual([e["object"] for e in self.a.json("audit", "list", "--event", "api.read", "--actor", "operator")],
                         ["/devices", "/certificates"])
        self.whole()

    def test_an_open_console_costs_two_entries(self):
        for _ in range(POLLS):
            self.api.get("/overview")
        self.a.stop()
        told = self.entries()
        self.assertEqual([e["object"] for e in told], ["/overview", "/overview"])
        self.assertRegex(told[1]["text"], rf"^GET overview from 127\.0\.0\.1: {POLLS - 1} more, \S+Z to \S+Z$")
        self.whole()

    def test_a_fleet_that_is_read_whole(self):
        for i in range(200):
            self.assertEqual(self.api.get(f"/devices/mac-{i}").status, 404)
        self.a.stop()
        told = self.entries()
        self.assertEqual(len(told), 61)
        self.assertEqual(told[-1]["object"], "/devices/*")
        self.assertIn(": 140 others, ", told[-1]["text"])
        self.whole()

    def test_a_reload_forgets_nothing(self):
        self.api.get("/overview")
        self.api.get("/overview")
        self.a.process.send_signal(signal.SIGHUP)
        self.wait(lambda: "event=daemon.reloaded" in self.a.log_text(), "no reload")
        self.api.get("/overview")
        self.a.stop()
        self.assertEqual([e["text"].partition(": ")[2].partition(",")[0] for e in self.entries()], ["", "2 more"])

    def test_killed(self):
        """The counts of ten minutes may be lost, not what is written; and the chain goes on."""
        self.api.get("/devices")
        self.wait(self.entries, "nothing is written by itself")
        self.a.kill()
        self.whole()
        self.assertEqual(len(self.entries()), 1)
        self.a.start()
        Api(self.a.api_port, self.a.tokens["operator"]).raw("GET", "/api/v1/devices")
        self.wait(lambda: len(self.entries()) == 2, "not written after a new start")
        self.whole()

    def test_the_newest_changes_are_shown_behind_many_reads(self):
        for i in range(3):
            self.a.ctl("challenge", "new", "--label", f"c{i}")
            for k in range(30):
                self.api.get(f"/devices/mac-{30 * i + k}")
            self.wait(lambda: len(self.entries()) >= min(60, 30 * (i + 1)), "not written")
        self.assertIn("--reads shows", self.a.ctl("audit", "list", "--limit", "3").stderr)
        self.assertNotIn("--reads shows", self.a.ctl("audit", "list", "--limit", "3", "--reads").stderr)
        said = [e["event"] for e in self.a.json("audit", "list", "--limit", "3")]
        self.assertEqual(said, ["challenge.created"] * 3)
        self.assertEqual(len(self.a.json("audit", "list", "--limit", "3", "--reads")), 3)


if __name__ == "__main__":
    unittest.main()
