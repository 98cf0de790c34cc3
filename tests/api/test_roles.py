"""Each call by each role, from the OpenAPI document: who may not is told so, whatever he asks for; who may gets past that gate.  What
exists is told to nobody who may not know it."""

import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from api_client import ROOT, Api, ApiCase

RANK = {"nobody": 0, "auditor": 1, "operator": 2, "administrator": 3}
CALLERS = {None: 0, "auditor": 1, "operator": 2, "administrator": 3, "disabled": -1, "expired": -1}

# Sessions are where somebody becomes somebody: they answer everybody, each in its own way.
SESSION = ("/session",)
# Everybody may make and revoke tokens for himself.
OWN = ("/tokens", "/tokens/no-such-thing")


class Roles(ApiCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.callers = {role: cls.caller(role, wanders=True) for role in CALLERS}

    def path_of(self, o):
        """The path with names of what is not there: a role is looked at before anything else is."""
        return "/".join("no-such-thing" if part.startswith("{") else part for part in o["path"][len(ROOT):].split("/"))

    def ask(self, api, o, **headers):
        return api(o["method"], self.path_of(o), body=b"{}" if "requestBody" in o else None, etag="*", **headers)

    def test_matrix(self):
        asked = 0
        for o in self.document.operations:
            if o["path"][len(ROOT):] in SESSION:
                continue
            for role, api in self.callers.items():
                with self.subTest(f"{o['operationId']} by {role or 'nobody'}"):
                    a = self.ask(api, o)
                    needed, rank = RANK[o["x-role"]], CALLERS[role]
                    if needed == 0:
                        self.assertEqual(a.status, 200, a.body)
                    elif rank <= 0:
                        self.assertEqual(a.status, 401, a.body)
                        self.assertIn("Bearer", a.headers["WWW-Authenticate"])
                    elif rank < needed:
                        self.assertEqual((a.status, a["code"]), (403, "role.missing"), a.body)
                        self.assertIn(o["x-role"], a["detail"])
                    else:
                        self.assertNotIn(a.status, (401, 403), a.body)
                        self.assertLess(a.status, 500, a.body)
                    asked += 1
        self.assertGreater(asked, 150)

    def test_every_change_needs_more_than_reading(self):
        for o in self.document.operations:
            if o["method"] != "GET" and not self.path_of(o).endswith("/check") and self.path_of(o) not in (*SESSION, *OWN):
                self.assertGreaterEqual(RANK[o["x-role"]], 2, o["operationId"])
            elif o["method"] == "GET" and self.path_of(o) not in (*SESSION, "/openapi.json"):
                self.assertGreaterEqual(RANK[o["x-role"]], 1, o["operationId"])

    def test_a_refusal_is_in_the_audit_log(self):
        """Its name makes it the first: of a flood, as the other tests are one, not all are recorded."""
        auditor = self.callers["auditor"]
        auditor("POST", "/challenges")
        for _ in range(100):
            entries = auditor.get("/audit?event=api.refused&actor=auditor&limit=500")["items"]
            if any("challenge_new" in e["text"] and "403 role.missing" in e["text"] for e in entries):
                return
            time.sleep(0.1)
        self.fail(f"not recorded: {entries[:5]}")

    def test_guessed_tokens(self):
        """A token is good or it is not: nothing near one is, and who guesses is slowed down and locks nobody else out."""
        token = self.a.tokens["administrator"]
        prefix, ident, secret = token.rsplit("_", 2)
        other = self.a.tokens["auditor"].rsplit("_", 2)[2]
        guesses = [secret[:-1], secret + "a", secret.upper() if secret.upper() != secret else secret.lower(), other, "", "\\", "*",
                   secret[::-1], secret[:-1] + chr(ord(secret[-1]) ^ 1)]
        for guess in guesses:
            a = Api(self.a.api_port, f"{prefix}_{ident}_{guess}").raw("GET", ROOT + "/overview")
            self.assertIn(a.status, (401, 429), (guess, a.body))
        many = [Api(self.a.api_port, f"{prefix}_{ident}_{i:020d}").raw("GET", ROOT + "/overview") for i in range(60)]
        self.assertEqual({a.status for a in many}, {401, 429})
        slowed = [a for a in many if a.status == 429]
        self.assertGreater(int(slowed[0].headers["Retry-After"]), 0)
        # the owner, from elsewhere, is not kept out
        r = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--interface", "127.0.0.2", "-H",
                            f"Authorization: Bearer {token}", f"http://127.0.0.1:{self.a.api_port}{ROOT}/overview"],
                           capture_output=True, text=True, timeout=60)
        self.assertEqual(r.stdout, "200")


if __name__ == "__main__":
    unittest.main(verbosity=2)
