"""Jobs: one thing done to a thousand, with progress, stopped, resumed, and gone on with by another scepd (P27)."""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from api_client import ApiCase

MANY = int(os.environ.get("SCEPD_JOB_ITEMS", "1000"))


class Jobs(ApiCase):
    def devices(self, name, n):
        path = os.path.join(self.a.home, name + ".csv")
        with open(path, "w") as f:
            f.write("name,platform\n" + "".join(f"{name}-{i:05},linux\n" for i in range(n)))
        self.a.ctl("device", "import", path, "--yes", timeout=300)

    def wait(self, job, until):
        for _ in range(3000):
            j = self.api.get(f"/jobs/{job}").json
            if until(j):
                return j
            time.sleep(0.1)
        self.fail(f"it does not come to this: {j}")

    def states(self, name):
        found = [d["state"] for d in self.api.all(f"/devices?q={name}-&limit=500")]
        return {s: found.count(s) for s in set(found)}

    def test_a_thousand(self):
        self.devices("bulk", MANY)
        self.devices("stays", 3)
        what = {"action": "isolate", "filter": {"q": "bulk-", "state": "active"}, "note": "drill"}
        dry = self.api("POST", "/bulk", {**what, "dry_run": True})
        self.assertEqual((dry.status, dry["matched"], dry["job"]), (200, MANY, None))
        self.assertEqual(dry["sample"][0], "bulk-00000")
        wrong = self.api("POST", "/bulk", {**what, "expect": MANY - 1})
        self.assertEqual((wrong.status, wrong["code"]), (409, "conflict"))
        self.assertEqual(self.api("POST", "/bulk", what).status, 422)
        self.assertEqual(self.states("bulk"), {"active": MANY})
        made = self.api("POST", "/bulk", {**what, "expect": MANY})
        self.assertEqual((made.status, made["matched"]), (202, MANY), made.body)
        job = made["job"]["id"]
        self.assertTrue(made.headers["Location"].endswith("/jobs/" + job))
        # stopped somewhere in it
        self.wait(job, lambda j: j["done"] > 0)
        etag = self.api.get(f"/jobs/{job}")["etag"]
        stopped = self.api("POST", f"/jobs/{job}/stop", etag=etag)
        if stopped.status == 200:
            self.assertEqual(stopped["state"], "stopped")
            self.assertEqual(self.api("POST", f"/jobs/{job}/resume", etag=etag).status, 412)
            still = self.api.get(f"/jobs/{job}")["done"]
            time.sleep(1.5)
            self.assertEqual(self.api.get(f"/jobs/{job}")["done"], still)
            self.assertEqual(self.api("POST", f"/jobs/{job}/resume", etag=stopped["etag"])["state"], "running")
        else:  # a quick machine: it was done before
            self.assertEqual(stopped.status, 409, stopped.body)
        # killed somewhere in it
        self.a.kill_all()
        self.a.start()
        self.api.close()
        done = self.wait(job, lambda j: j["state"] == "done")
        self.assertEqual((done["done"], done["total"], done["failed"]), (MANY, MANY, 0), done)
        self.assertEqual(self.states("bulk"), {"isolated": MANY})
        self.assertEqual(self.states("stays"), {"active": 3})
        entries = self.api.all("/audit?event=device.isolated&limit=500")
        self.assertEqual(len({e["object"] for e in entries}), MANY)
        self.assertEqual(len(entries), MANY)
        self.assertEqual({e["actor"] for e in entries}, {"administrator"})
        self.assertEqual(self.api("POST", f"/jobs/{job}/stop", etag="*").status, 409)

    def test_certificates_and_what_is_not_there(self):
        for i in range(3):
            self.a.enrol(f"lost-{i}")
        serials = [c["serial"] for c in self.api.all("/certificates?q=lost-")]
        made = self.api("POST", "/bulk", {"action": "revoke", "ids": [*serials, "00ff00ff00ff"], "reason": "key-compromise", "expect": 4})
        done = self.wait(made["job"]["id"], lambda j: j["state"] == "done")
        self.assertEqual((done["done"], done["failed"]), (4, 1))
        self.assertIn("00ff00ff00ff", done["failure"])
        self.assertEqual({c["revocation_reason"] for c in self.api.all("/certificates?q=lost-")}, {"key-compromise"})

    def test_requests(self):
        for i in range(2):
            self.a.enrol(f"wait-{i}", "/scep/manual")
        made = self.api("POST", "/bulk", {"action": "approve", "filter": {"endpoint": "/scep/manual"}, "expect": 2})
        self.wait(made["job"]["id"], lambda j: j["state"] == "done")
        self.assertEqual({r["state"] for r in self.api.all("/requests")}, {"approved"})

    def test_what_is_refused(self):
        for body in ({"action": "assign", "filter": {}, "expect": 1}, {"action": "assign", "filter": {}, "policy": "none", "expect": 1},
                     {"action": "revoke", "expect": 1}, {"action": "revoke", "ids": [], "filter": {}, "expect": 1},
                     {"action": "burn", "filter": {}}, {"action": "retire", "filter": {"colour": "red"}, "dry_run": True}):
            self.assertEqual(self.api("POST", "/bulk", body).status, 422, body)
        operator = self.a.as_role("operator", self.document)
        self.addCleanup(operator.close)
        self.assertEqual(operator("POST", "/bulk", {"action": "retire", "filter": {}, "dry_run": True}).status, 403)

    @classmethod
    def tearDownClass(cls):
        r = cls.a.ctl("store", "verify", check=False, timeout=300)
        assert r.returncode == 0 and not r.stdout, r.stdout + r.stderr
        assert cls.a.stop() == 0, cls.a.log_text()[-4000:]


if __name__ == "__main__":
    unittest.main(verbosity=2)
