"""Hostile calls made from the OpenAPI document: every parameter and member of every operation gets what it must not, and the answer is a
problem document, never a failure of ours; afterwards the store is sound."""

import json
import os
import socket
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from api_client import ROOT, ApiCase

# What makes trouble somewhere: queries, shells, pages, formats, paths, numbers, directions of writing, other planes.
STRINGS = [
    "' OR '1'='1", "\"; DROP TABLE certificate; --", "<script>alert(1)</script>", "{{7*7}}", "${jndi:ldap://127.0.0.1/a}", "$(reboot)",
    "`id`", "%s%s%s%n", "%00", "../../../../etc/passwd", "..%2f..", "a\r\nX-Header: b", "\u202etxt.exe", "\u0000", "\ud83d\ude00" * 20,
    "\ufffe\uffff", "A" * 5000, "-1", "99999999999999999999", "NaN", "null", "true", "CN=a,CN=b+OU=c", "CN=\\00\\ff", "%devicename%",
    "%25devicename%25", "dev_", "*", "?", "\\", "", " ", "\t", "::1%eth0", "2026-13-41T99:99:99Z", "0x41414141",
]
NUMBERS = [-1, -2**63, 2**31, 2**53, 2**63 - 1, 2**64, 10**400, 0.5, 1e308]
WRONG = [None, True, 0, 1.5, "text", [], {}, [[]], [None], {"a": 1}]


class Hostile(ApiCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.a.enrol("victim")
        cls.a.enrol("waiting", "/scep/manual")
        cls.serial = cls.api.get("/certificates")["items"][0]["serial"]

    def never_fails(self, a):
        self.assertLess(a.status, 500, a.body)

    def samples(self, path, value="no-such-thing"):
        return "/".join(value if part.startswith("{") else part for part in path[len(ROOT):].split("/"))

    def quote(self, text):
        return "".join(c if c.isalnum() and c.isascii() else "".join(f"%{b:02X}" for b in c.encode("utf-8", "surrogatepass")) for c in text)

    def good_body(self, schema):
        """Something for each member that must be there."""
        kinds = {"string": "x", "integer": 1, "boolean": False, "array": [], "object": {}}
        body = {}
        for name in schema.get("required", []):
            p = schema["properties"][name]
            kind = p["type"] if isinstance(p["type"], str) else p["type"][0]
            body[name] = p["enum"][0] if "enum" in p else kinds[kind]
        return body

    def bodies(self):
        """Operations with a body that may be sent without harm to the test itself."""
        for o in self.document.operations:
            if "requestBody" in o and o["path"][len(ROOT):] != "/session":
                yield o, o["requestBody"]["content"]["application/json"]["schema"]

    # ---- names in paths and queries ----

    def test_strings_in_every_path(self):
        asked = 0
        for o in self.document.operations:
            if "{" not in o["path"]:
                continue
            for s in STRINGS:
                if not s:
                    continue
                if "\0" in s or len(s) > 2000:  # ends in http/, before it is a path at all
                    self.assertIn(self.api.raw(o["method"], ROOT + self.samples(o["path"], self.quote(s))).status, (400, 404, 414))
                    continue
                a = self.api(o["method"], self.samples(o["path"], self.quote(s)), body=b"{}" if "requestBody" in o else None, etag="*")
                with self.subTest(f"{o['operationId']} {s[:40]!r}"):
                    self.never_fails(a)
                    self.assertGreaterEqual(a.status, 400, a.body)
                asked += 1
        self.assertGreater(asked, 300)

    def test_strings_in_every_query(self):
        for o in self.document.operations:
            for p in o.get("parameters", []):
                if p["in"] != "query":
                    continue
                for s in STRINGS:
                    a = self.api(o["method"], f"{self.samples(o['path'], self.serial)}?{p['name']}={self.quote(s)}")
                    with self.subTest(f"{o['operationId']} {p['name']}={s[:40]!r}"):
                        self.never_fails(a)
                kind = p["schema"].get("type")
                if kind == "integer":
                    for n in NUMBERS:
                        self.never_fails(self.api(o["method"], f"{self.samples(o['path'])}?{p['name']}={n}"))

    def test_limits_are_limits(self):
        for o in self.document.operations:
            if not any(p["name"] == "limit" for p in o.get("parameters", [])) or "{" in o["path"]:
                continue
            path = o["path"][len(ROOT):]
            for bad in ("-1", "0", "501", "1e3", "0x10", "", " 5", "5 ", "٥", "99999999999999999999"):
                a = self.api.get(f"{path}?limit={self.quote(bad)}")
                self.assertEqual((a.status, a["code"]), (422, "input.invalid"), (path, bad, a.body))
            for bad in ("?limit=1&limit=2", "?no_such_filter=1", "?Limit=1", "?limt=1", "?=1", "?limit"):
                self.assertEqual(self.api.get(path + bad).status, 422, (path, bad))
            self.assertIn("did you mean", self.api.get(path + "?limt=1")["detail"])

    # ---- paths ----

    def test_path_tricks(self):
        port = self.a.api_port
        for path in (f"{ROOT}/certificates/", f"{ROOT}//certificates", f"{ROOT}/./certificates", f"{ROOT}/x/../certificates", f"{ROOT}/CERTIFICATES",
                     f"{ROOT}/certificates%2f{self.serial}", f"{ROOT}/certificates/{self.serial}%00", f"{ROOT}/certificates;a=b", f"{ROOT}",
                     "/api/v2/certificates", "/API/v1/certificates", f"{ROOT}/%63ertificates/%2e%2e/overview", f"{ROOT}/certificates/..%5c",
                     f"{ROOT}/" + "a/" * 200, f"{ROOT}/" + "a" * 5000, f"{ROOT}/certificates/{self.serial}/revoke/revoke", "/ui/../api/v1/overview"):
            a = self.api.raw("GET", path)
            with self.subTest(path[:60]):
                self.assertIn(a.status, (400, 404, 405, 414, 431), a.body)
        with socket.create_connection(("127.0.0.1", port), 10) as s:  # what no library sends
            s.sendall(b"GET " + ROOT.encode() + b"/certificates\x00 HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertIn(s.recv(4096)[:12].split(b" ")[1:2], ([b"400"], [b"404"], []))

    def test_methods(self):
        for path in {o["path"] for o in self.document.operations}:
            known = {o["method"] for o in self.document.operations if o["path"] == path}
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                if method in known:
                    continue
                a = self.api(method, self.samples(path), body=b"{}" if method != "GET" else None)
                if a.status == 404:  # another path has this one's form, and the method
                    continue
                self.assertEqual(a.status, 405, (method, path, a.body))
                self.assertLessEqual(known, set(a.headers["Allow"].split(", ")))
            for method in ("TRACE", "CONNECT", "OPTIONS", "PROPFIND"):
                self.assertGreaterEqual(self.api.raw(method, self.samples(path) or "/").status, 400)

    # ---- bodies ----

    def test_wrong_types_and_strings_in_every_member(self):
        asked = 0
        for o, schema in self.bodies():
            path = self.samples(o["path"], self.serial)
            for name, p in schema.get("properties", {}).items():
                kinds = p["type"] if isinstance(p["type"], list) else [p["type"]]
                is_string, is_number = "string" in kinds and "enum" not in p, "integer" in kinds
                for value in WRONG + (STRINGS if is_string else STRINGS[:3]) + (NUMBERS if is_number else []):
                    body = {**self.good_body(schema), name: value}
                    a = self.api(o["method"], path, body=json.dumps(body).replace("Infinity", "1e999").encode(), etag='"0"')
                    with self.subTest(f"{o['operationId']} {name}={str(value)[:40]!r}"):
                        self.never_fails(a)
                        if a.status == 422 and a["code"] == "input.invalid" and a.json.get("errors"):
                            self.assertTrue(all(e["pointer"] for e in a["errors"]))
                    asked += 1
        self.assertGreater(asked, 200)

    def test_bodies_that_are_none(self):
        deep = b"[" * 100000 + b"]" * 100000
        cases = [
            (b"", None), (b"{", 400), (b"nonsense", 400), (b"[]", 400), (b"null", 400), (b"\"text\"", 400), (b"{}{}", 400), (b"{} x", 400),
            (b"{\"label\":\"a\",\"label\":\"b\"}", 400), (b"{\"label\":\"\\u0000\"}", None), (b"{\"label\":\"\x00\"}", 400),
            (b"{\"label\":\"\\ud800\"}", 400), (b"{\"label\":\"\xff\"}", 400), (b"{\"label\":\"\xc0\xaf\"}", 400), (b"\xef\xbb\xbf{}", 400),
            (b"{\"label\":" + deep + b"}", 400), (b"{\"a\":" * 50 + b"1" + b"}" * 50, 400), (b"{\"uses\":1e999}", 400), (b"{\"uses\":01}", 400),
            (b"{\"uses\":" + b"9" * 4000 + b"}", 400), (b"{\"__proto__\":{}}", 422), (b"{\"\":1}", 422), (b"{\"lable\":\"x\"}", 422),
            (b"{\"label\":\"" + b"x" * (300 * 1024) + b"\"}", 413), (b"{" + b",".join(b"\"m%d\":1" % i for i in range(20000)) + b"}", None),
            (b" " * 200000 + b"{}", None),
        ]
        for body, status in cases:
            a = self.api("POST", "/challenges", body=body)
            with self.subTest(body[:40]):
                self.never_fails(a)
                if status == 400 and a.status == 422:
                    status = 422
                if status:
                    self.assertEqual(a.status, status, a.body[:300])
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", "text/html"):
            self.assertEqual(self.api("POST", "/challenges", body=b"{}", Content_Type=kind).status, 415, kind)
        self.assertIn("did you mean", self.api("POST", "/challenges", {"lable": "x"})["detail"])

    def test_headers(self):
        for value in ("\"", "W/\"1\"", "\"1", "1", "\"" + "9" * 400 + "\"", ",,,,", "\"a\",\"b\"", "\\"):
            a = self.api("POST", f"/certificates/{self.serial}/revoke", {}, etag=value)
            with self.subTest(value[:30]):
                self.assertEqual(a.status, 412, a.body)
            self.never_fails(self.api.get("/overview", If_None_Match=value))
        for value in ("x" * 300, "", " ", "\u00e9"):
            a = self.api("POST", "/challenges", {}, Idempotency_Key=value.encode().decode("latin-1"))
            self.assertIn(a.status, (201, 400, 422), a.body)
        for value in ("x" * 200, "a b", "\t", "../../x", "<a>"):
            a = self.api.get("/reasons/busy", X_Request_Id=value)
            self.assertEqual(a.status, 200)
            self.assertNotEqual(a.headers["X-Request-Id"], value)

    # ---- other sites ----

    def test_other_sites(self):
        """A browser with a session that another site sends here changes nothing."""
        a = self.api("POST", "/session", {"token": self.a.tokens["administrator"]})
        self.assertLess(a.status, 300, a.body)
        cookie = a.headers["Set-Cookie"].split(";")[0]
        for flag in ("HttpOnly", "SameSite=Strict"):
            self.assertIn(flag, a.headers["Set-Cookie"])
        browser = self.a.as_role(None, self.document)
        self.addCleanup(browser.close)
        host = f"127.0.0.1:{self.a.api_port}"
        self.assertEqual(browser.get("/overview", Cookie=cookie).status, 200)
        same = {"Cookie": cookie, "Origin": f"http://{host}"}
        self.assertEqual(browser("POST", "/challenges", {}, **same).status, 201)
        for other in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"http://{host}.evil.example"},
                      {"Origin": "http://127.0.0.1"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {}):
            a = browser("POST", "/challenges", {}, **{"Cookie": cookie, **{k.replace("-", "_"): v for k, v in other.items()}})
            with self.subTest(str(other)):
                self.assertEqual((a.status, a["code"]), (403, "origin.foreign"), a.body)
        a = browser("POST", "/challenges", body=b"label=x", Content_Type="application/x-www-form-urlencoded", **same)
        self.assertIn(a.status, (403, 415))
        for a in (browser.get("/overview", Cookie=cookie, Origin="http://evil.example"), browser.get("/openapi.json")):
            self.assertNotIn("Access-Control-Allow-Origin", a.headers)
            self.assertEqual(a.headers["X-Content-Type-Options"], "nosniff")

    def tearDown(self):
        self.assertIsNone(self.a.process.poll(), self.a.log_text()[-2000:])

    @classmethod
    def tearDownClass(cls):
        r = cls.a.ctl("store", "verify", check=False)
        assert r.returncode == 0 and not r.stdout, r.stdout + r.stderr
        assert cls.a.stop() == 0


if __name__ == "__main__":
    unittest.main(verbosity=2)
