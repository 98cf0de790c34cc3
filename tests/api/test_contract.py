"""The REST API against its own document: every answer is what the OpenAPI document says, every operation of it is there, and
what both tell has the same names and values as scepctl --json."""

import http.server
import json
import os
import plistlib
import re
import sys
import threading
import time
import unittest

import jsonschema

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from api_client import ROOT, ApiAuthority, Document
from harness import run


class Contract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        heard = []
        cls.heard = heard

        class Hook(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        hook = f'webhooks = ( {{ name = "mdm"; kind = "notify"; insecure = true; url = "http://127.0.0.1:{server.server_port}/"; }} );\n'
        cls.a = ApiAuthority(edit=lambda text: text + "\n" + hook)
        cls.addClassCleanup(cls.a.close)
        cls.a.start()
        cls.document = cls.a.document()
        cls.api = cls.a.as_role("administrator", cls.document)
        cls.addClassCleanup(cls.api.close)
        for i in range(3):
            cls.a.enrol(f"device-{i}")
        for i in range(2):
            cls.a.enrol(f"waiting-{i}", "/scep/manual")
        cls.a.enrol("refused", challenge="NOTA-CHAL-LENG-EATA")
        cls.group = cls.api("POST", "/groups", {"name": "Berlin"}).json
        cls.device = cls.api("POST", "/devices", {"name": "ipad-0113", "platform": "apple", "user": "anna", "serial_number": "C02X"}).json
        cls.policy = cls.api("POST", "/policies", {"name": "corp", "endpoint": "/scep", "subject": "CN=%devicename%"}).json
        cls.api("PUT", f"/groups/{cls.group['id']}/members/ipad-0113", etag=cls.group["etag"])
        cls.api("PUT", f"/policies/{cls.policy['id']}/assignments/{cls.group['id']}", {}, etag=cls.policy["etag"])
        cls.serial = cls.api.get("/certificates?q=device-0")["items"][0]["serial"]

    def setUp(self):
        self.samples = {
            "serial": self.serial,
            "request": self.api.get("/requests?state=pending")["items"][0]["id"],
            "challenge": self.api.get("/challenges")["items"][0]["id"],
            "authority": "demo",
            "template": "device",
            "code": "challenge.used",
            "admin": self.api.get("/admins")["items"][0]["id"],
            "token": self.api.get("/tokens")["items"][0]["id"],
            "device": self.device["id"],
            "group": self.group["id"],
            "policy": self.policy["id"],
        }

    # ---- the document ----

    def test_document(self):
        whole = self.document.whole
        self.assertEqual(whole["openapi"], "3.1.0")
        for name, schema in whole["components"]["schemas"].items():
            with self.subTest(name):
                jsonschema.Draft202012Validator.check_schema(schema)
        ids = [o["operationId"] for o in self.document.operations]
        self.assertEqual(len(ids), len(set(ids)))
        for o in self.document.operations:
            with self.subTest(o["operationId"]):
                self.assertTrue(o["summary"].endswith("."))
                named = {p["name"] for p in o.get("parameters", []) if p["in"] == "path"}
                self.assertEqual(named, {p.strip("{}") for p in o["path"].split("/") if p.startswith("{")})
                self.assertIn(o["x-role"], ("nobody", "auditor", "operator", "administrator"))

    def test_every_read_is_as_the_document_says(self):
        """Whatever can be read is read: the client holds each answer against the document."""
        asked = 0
        for o in self.document.operations:
            path = o["path"][len(ROOT):]
            if o["method"] != "GET":
                continue
            for name, value in self.samples.items():
                path = path.replace("{" + name + "}", value)
            if "{" in path:
                continue
            needed = [p["name"] for p in o.get("parameters", []) if p["in"] == "query" and p["required"]]
            path += "?" + "&".join(f"{n}={self.samples['code']}" for n in needed) if needed else ""
            with self.subTest(path):
                a = self.api.get(path)
                self.assertIn(a.status, (200, 204), a.body)
                head = self.api.raw("HEAD", ROOT + path)
                self.assertEqual((head.status, head.body), (a.status, b""))
                for kind in o["responses"].get("200", {}).get("content", {}):
                    self.assertIn(self.api.get(path, Accept=kind).status, (200, 204))
                asked += 1
        self.assertGreater(asked, 15)

    def test_every_operation_is_there(self):
        for o in self.document.operations:
            path = o["path"][len(ROOT):]
            for part in path.split("/"):
                if part.startswith("{"):
                    path = path.replace(part, "nothing-like-this")
            a = self.api(o["method"], path, body=b"" if o["method"] in ("POST", "PATCH") else None)
            with self.subTest(o["operationId"]):
                self.assertNotIn(a.json and a.json.get("code"), ("path.unknown", "method.forbidden"), a.body)

    # ---- what is told ----

    def test_list_and_item_agree(self):
        for path, name in (("/certificates", "serial"), ("/requests", "id"), ("/challenges", "id"), ("/templates", "name"),
                           ("/authorities", "name"), ("/reasons", "code")):
            for row in self.api.get(path)["items"][:5]:
                whole = self.api.get(f"{path}/{row[name]}").json
                for key, value in row.items():
                    self.assertEqual(whole[key], value, f"{path} {key}")

    def test_same_names_as_scepctl(self):
        """P8: what scepctl --json tells of one thing, the API tells by the same names and in the same words."""
        def same(told, item):
            for key, value in told.items():
                self.assertEqual(item.get(key), None if value == "" else value, f"{key} of {told}")

        same(self.a.json("cert", "show", self.serial)[0], self.api.get(f"/certificates/{self.serial}").json)
        for row in self.a.json("cert", "list", "--search", "device-"):
            same(row, self.api.get(f"/certificates/{row['serial']}").json)
        for row in self.a.json("request", "list"):
            same(row, self.api.get(f"/requests/{row['id']}").json)
            same(self.a.json("request", "show", row["id"])[0], self.api.get(f"/requests/{row['id']}").json)
        for row in self.a.json("challenge", "list"):
            same({k: v for k, v in row.items() if k != "bound_to"}, self.api.get(f"/challenges/{row['id']}").json)
        told = self.a.json("audit", "export")
        entries = {e["seq"]: e for e in self.api.all("/audit?limit=500&reads=true")}
        for row in told:
            same(row, entries[row["seq"]])
        told = self.a.json("ca", "show")[0]
        item = self.api.get("/authorities/demo").json
        same({k: v for k, v in told.items() if k not in ("authority", "certificate")}, item)
        told, item = self.a.json("explain", self.serial)[0], self.api.get(f"/explain?what={self.serial}").json
        self.assertEqual([x["attempt"] for x in told["attempts"]], [x["attempt"] for x in item["attempts"]])
        same(told["attempts"][0], item["attempts"][0])
        checks = {c["name"] for c in self.api.get("/status")["checks"]}
        told = json.loads(self.a.ctl("status", "--json", check=False).stdout)
        self.assertLessEqual({c["name"] for c in told["checks"]} - {"daemon"}, checks)

    def test_files(self):
        pem = self.api.get(f"/certificates/{self.serial}", Accept="application/x-pem-file")
        der = self.api.get(f"/certificates/{self.serial}", Accept="application/pkix-cert")
        told = run("openssl", "x509", "-noout", "-serial", input=pem.body.decode()).stdout
        self.assertEqual(told.strip().split("=")[1].lower(), self.serial)
        self.assertEqual(der.body[:1], b"\x30")
        chain = self.api.get("/authorities/demo/chain", Accept="application/x-pem-file")
        with open(self.a.ca) as f:
            self.assertIn(f.read().strip(), chain.body.decode())

    def test_what_would_be_issued(self):
        waiting = self.api.get("/requests?state=pending")["items"][0]
        would = self.api.get(f"/requests/{waiting['id']}")["would_issue"]
        self.assertTrue(would["ok"])
        self.assertEqual(would["subject"], waiting["subject"])
        self.assertEqual(would["ext_key_usage"], "clientAuth")
        key, csr = os.path.join(self.a.home, "c.key"), os.path.join(self.a.home, "c.csr")
        run("openssl", "req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", key, "-out", csr, "-subj", "/O=nobody")
        with open(csr) as f:
            a = self.api("POST", "/templates/device/check", {"csr": f.read()})
        self.assertEqual((a.status, a["ok"]), (200, False))
        self.assertIn(a["code"], ("key.small", "subject.missing"))
        self.assertTrue(a["fix"])

    # ---- what is changed ----

    def test_revoked_for_the_whole_world(self):
        self.a.enrol("lost")
        c = self.api.get("/certificates?q=lost")["items"][0]
        a = self.api("POST", f"/certificates/{c['serial']}/revoke", {"reason": "key-compromise", "note": "ticket 4711"}, etag=c["etag"])
        self.assertEqual((a.status, a["state"], a["revocation_reason"]), (200, "revoked", "key-compromise"))
        before = self.api.get("/authorities/demo")["crl_number"]
        a = self.api("POST", "/authorities/demo/crl/publish")
        self.assertEqual(a.status, 200, a.body)
        self.assertGreater(a["crl_number"], before)
        self.assertIn(c["serial"].upper(), run("openssl", "crl", "-in", self.a.crl(), "-noout", "-text").stdout)
        said = self.api.get(f"/audit?object={c['serial']}&event=certificate.revoked")["items"]
        self.assertIn("ticket 4711", said[0]["text"])
        self.assertEqual(said[0]["actor"], "administrator")

    def test_approved_and_fetched(self):
        self.a.enrol("approved", "/scep/manual")
        r = [x for x in self.api.all("/requests?state=pending") if x["subject"] == "CN=approved"][0]
        self.assertEqual(self.api("POST", f"/requests/{r['id']}/approve", {"note": "ours"}, etag=r["etag"]).status, 200)
        self.a.enrol("approved", "/scep/manual")
        whole = self.api.get(f"/requests/{r['id']}").json
        self.assertEqual((whole["state"], whole["note"]), ("issued", "ours"))
        self.assertEqual(self.api.get(f"/certificates/{whole['serial']}")["subject"], "CN=approved")

    def test_challenge_is_good_for_what_it_says(self):
        made = self.api("POST", "/challenges", {"subject": "CN=bound", "endpoint": "/scep"})
        self.assertEqual((made.status, made["warnings"]), (201, []))
        self.assertNotEqual(self.a.enrol("other", challenge=made["secret"]).returncode, 0)
        r = self.a.enrol("bound", challenge=made["secret"])
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(self.api.get(f"/challenges/{made['id']}")["state"], "used")

    def test_no_way_past_a_policy_is_advised(self):
        """The subject of a device: who makes a challenge for it alone is warned, and explain names the device."""
        device = self.api.get("/devices/ipad-0113")["id"]
        made = self.api("POST", "/challenges", {"subject": "CN=ipad-0113"})
        self.assertEqual(made.status, 201)
        self.assertEqual(len(made["warnings"]), 1)
        self.assertIn(f"challenge new --device {device}", made["warnings"][0])
        self.assertNotEqual(self.a.enrol("ipad-0113", challenge="nothing like it").returncode, 0)
        for _ in range(100):
            told = self.api.get("/explain?what=CN%3Dipad-0113")
            if told.status == 200 and told["attempts"] and told["attempts"][0].get("reason") == "challenge.unknown":
                break
            time.sleep(0.1)
        for fix in (told["reason"]["fix"], told["attempts"][0]["fix"]):
            self.assertIn(f"challenge new --device {device}", fix)
            self.assertNotIn("--subject", fix)

    # ---- devices, groups, policies ----

    def test_device_from_the_cradle_to_the_grave(self):
        """A policy reaches a device by its group; it enrols by a challenge of its own; what it has goes with it."""
        api = self.api
        d = api("POST", "/devices", {"name": "ipad-7", "platform": "apple", "email": ""})
        self.assertEqual((d.status, d["state"], d["email"]), (201, "active", None))
        self.assertEqual(api("POST", "/devices", {"name": "IPAD-7"}).status, 409)
        self.assertEqual(api.get(f"/devices/{d['id']}/policies")["items"], [])
        self.assertEqual(api("POST", f"/devices/{d['id']}/challenges", {"policy": "corp"})["code"], "policy.unassigned")
        a = api("PUT", f"/groups/Berlin/members/{d['id']}", etag=self.group["etag"])
        self.assertEqual((a.status, a["changed"]), (200, True))
        has = api.get(f"/devices/ipad-7/policies")["items"]
        self.assertEqual([(p["name"], p["way"], p["subject"]) for p in has], [("corp", "group", "CN=ipad-7")])
        check = api("POST", "/policies/corp/check", {"device": "ipad-7"})
        self.assertEqual((check.status, check["ok"], check["subject"]), (200, True, "CN=ipad-7"))
        made = api("POST", f"/devices/ipad-7/challenges")
        self.assertEqual((made.status, made["device_name"], made["policy_name"]), (201, "ipad-7", "corp"))
        self.assertNotEqual(self.a.enrol("ipad-8", challenge=made["secret"]).returncode, 0)
        self.assertIsNone(api.get("/devices/ipad-7")["certificate"])
        r = self.a.enrol("ipad-7", challenge=made["secret"])
        self.assertEqual(r.returncode, 0, r.stderr)
        held = [x for x in api.all("/devices?q=ipad-7")][0]["certificate"]
        self.assertEqual(held, api.get("/devices/ipad-7")["certificate"])
        whole = api.get(f"/certificates/{held['serial']}")
        self.assertEqual((held["state"], held["not_after"], held["sha256"]),
                         ("active", whole["not_after"], whole["sha256"].replace(":", "").lower()))
        certificates = api.get("/devices/ipad-7/certificates")["items"]
        self.assertEqual([(c["state"], c["device"], c["policy"]) for c in certificates], [("active", d["id"], self.policy["id"])])
        self.assertEqual([c["serial"] for c in api.all(f"/certificates?device={d['id']}")], [certificates[0]["serial"]])
        for _ in range(100):
            kinds = {e.get("result") or e["event"] for e in api.all("/devices/ipad-7/events?limit=2")}
            if {"issued", "refused"} <= kinds:
                break
            time.sleep(0.1)
        self.assertLessEqual({"issued", "refused", "device.created"}, kinds)
        now = api.get("/devices/ipad-7")
        edited = api("PATCH", "/devices/ipad-7", {"user": "bert"}, etag=now["etag"])
        self.assertEqual((edited.status, edited["user"], edited["platform"]), (200, "bert", "apple"))
        self.assertEqual(api("PATCH", "/devices/ipad-7", {"user": "carl"}, etag=now["etag"]).status, 412)
        isolated = api("POST", "/devices/ipad-7/isolate", {"note": "lost?"}, etag=edited["etag"])
        self.assertEqual((isolated.status, isolated["state"]), (200, "isolated"))
        self.assertEqual(api("POST", "/devices/ipad-7/challenges")["code"], "device.isolated")
        retired = api("POST", f"/devices/{d['id']}/retire", {}, etag=isolated["etag"])
        self.assertEqual((retired.status, retired["state"], retired["effects"]["certificates"]), (200, "retired", 1))
        self.assertEqual(retired["warnings"], [])
        self.assertEqual(api.get(f"/certificates/{certificates[0]['serial']}")["revocation_reason"], "cessation")

    def test_what_another_user_takes_away_is_told(self):
        api = self.api
        g = api("POST", "/groups", {"name": "Annas", "users": True})
        api("PUT", f"/groups/{g['id']}/members/anna.b", etag=g["etag"])
        p = api("POST", "/policies", {"name": "annas", "endpoint": "/scep", "subject": "CN=%devicename%-a"})
        self.assertEqual(api("PUT", f"/policies/annas/assignments/{g['id']}", {}, etag=p["etag"]).status, 200)
        d = api("POST", "/devices", {"name": "mac-7", "user": "anna.b"})
        self.assertEqual(api("POST", "/devices/mac-7/challenges", {"policy": "annas"}).status, 201)
        same = api("PATCH", "/devices/mac-7", {"platform": "apple"}, etag=d["etag"])
        self.assertEqual(same["effects"], {"devices": 0, "certificates": 0, "requests": 0, "challenges": 0})
        other = api("PATCH", "/devices/mac-7", {"user": "carl"}, etag=same["etag"])
        self.assertEqual((other.status, other["user"], other["groups"]), (200, "carl", []))
        self.assertEqual(other["effects"], {"devices": 1, "certificates": 0, "requests": 0, "challenges": 1})

    def test_profiles(self):
        """The file of a profile is the answer; who has it enrols once."""
        for kind in ("apple", "windows", "android", "chromeos", "cisco", "strongswan", "certmonger"):
            a = self.api("POST", "/profiles", {"device": "ipad-0113", "policy": "corp", "platform": kind})
            with self.subTest(kind):
                self.assertEqual(a.status, 200, a.body)
                self.assertIn("attachment; filename=", a.headers["Content-Disposition"])
                self.assertEqual(a.headers["Cache-Control"], "no-store")
                made = self.api.get("/challenges/" + a.headers["X-Challenge-Id"]).json
                self.assertEqual((made["state"], made["device"], made["policy"]), ("active", self.device["id"], self.policy["id"]))
        apple = self.api("POST", "/profiles", {"device": "ipad-0113", "policy": "corp", "platform": "apple"})
        payload = [p for p in plistlib.loads(apple.body)["PayloadContent"] if p["PayloadType"] == "com.apple.security.scep"][0]
        secret = payload["PayloadContent"]["Challenge"]
        self.assertEqual(payload["PayloadContent"]["URL"], self.a.url + "/scep")
        self.assertNotIn(secret.encode(), self.api.get("/challenges/" + apple.headers["X-Challenge-Id"]).body)
        r = self.a.enrol("ipad-0113", challenge=secret)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertNotEqual(self.a.enrol("ipad-0113-again", challenge=secret).returncode, 0)
        for body, code in (({"platform": "apple"}, "input.invalid"), ({"platform": "vax", "device": "ipad-0113"}, "input.invalid"),
                           ({"platform": "apple", "device": "nobody"}, "not_found")):
            self.assertEqual(self.api("POST", "/profiles", body)["code"], code, body)

    def test_webhooks(self):
        hook = self.api.get("/webhooks")["items"][0]
        self.assertEqual((hook["name"], hook["kind"], hook["signed"], hook["revocations_seconds"]), ("mdm", "notify", False, None))
        a = self.api("POST", "/webhooks/mdm/test")
        self.assertEqual(a.status, 200, a.body)
        self.assertEqual((a["ok"], a["status"]), (True, 204))
        self.assertEqual([(h["event"], h["endpoint"]) for h in self.heard], [("test", None)])
        self.assertEqual(self.api("POST", "/webhooks/none/test").status, 404)

    def test_policy_and_its_removal(self):
        api = self.api
        a = api("POST", "/policies", {"name": "bad", "endpoint": "/scep", "subject": "CN=%devicenam%"})
        self.assertEqual((a.status, a["errors"][0]["pointer"]), (422, "/subject"), a.body)
        p = api("POST", "/policies", {"name": "brief", "endpoint": "/scep", "subject": "CN=%serialnumber%", "key_type": "ec",
                                      "revoke_on_removal": True})
        self.assertEqual((p.status, p["key_size"], p["challenge"]), (201, 256, "one-time"))
        a = api("PUT", "/policies/brief/assignments/ipad-0113", {}, etag=p["etag"])
        self.assertEqual((a.status, a["changed"]), (200, True), a.body)
        given = api.get("/policies/brief/assignments")["items"]
        self.assertEqual([(t["kind"], t["name"], t["by"]) for t in given], [("device", "ipad-0113", "administrator")])
        made = api("POST", "/devices/ipad-0113/challenges", {"policy": "brief"})
        self.assertEqual(made.status, 201, made.body)
        gone = api("DELETE", f"/policies/{p['id']}", etag=api.get("/policies/brief")["etag"])
        self.assertEqual((gone.status, gone["effects"]["challenges"]), (200, 1), gone.body)
        self.assertEqual(api.get(f"/challenges/{made['id']}")["state"], "revoked")
        self.assertEqual(api.get(f"/policies/{p['id']}").status, 404)

    def test_devices_by_page(self):
        made = [self.api("POST", "/devices", {"name": f"page-{i:02}", "platform": "linux"})["id"] for i in range(12)]
        self.assertEqual([d["id"] for d in self.api.all("/devices?platform=linux&limit=5")], made)
        self.assertEqual([d["name"] for d in self.api.get("/devices?q=PAGE-03")["items"]], ["page-03"])
        self.assertEqual([d["id"] for d in self.api.all(f"/devices?group={self.group['id']}&state=active")].count(self.device["id"]), 1)

    # ---- pages and races ----

    def test_pages_under_inserts(self):
        """P20: what was there all the time is seen exactly once, whatever comes in meanwhile."""
        made = {self.api("POST", "/challenges", {"label": f"page-{i}"})["id"] for i in range(40)}
        stop = threading.Event()

        def insert():
            api = self.a.as_role("operator")
            while not stop.is_set():
                api("POST", "/challenges", {"label": "meanwhile"})
            api.close()

        threads = [threading.Thread(target=insert) for _ in range(2)]
        for t in threads:
            t.start()
        try:
            for path in ("/challenges?limit=7", "/audit?limit=11&event=challenge.created"):
                seen = [i.get("object", i["id"]) for i in self.api.all(path)]
                self.assertEqual(len(seen), len(set(seen)), path)
                self.assertLessEqual(made, set(seen), path)
        finally:
            stop.set()
            for t in threads:
                t.join()

    def race(self, calls):
        """All at once, each on a connection of its own; their statuses, sorted."""
        answers, barrier = [], threading.Barrier(len(calls))

        def one(call):
            api = self.a.as_role("administrator", self.document)
            barrier.wait()
            answers.append(call(api).status)
            api.close()

        threads = [threading.Thread(target=one, args=(c,)) for c in calls]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(answers), len(calls))
        return sorted(answers)

    def test_exactly_one_wins(self):
        """P19: of many who change what they have seen, one does."""
        for i in range(4):
            self.a.enrol(f"race-{i}", "/scep/manual")
            r = [x for x in self.api.all("/requests?state=pending") if x["subject"] == f"CN=race-{i}"][0]
            verbs = ["approve", "deny"] * 4
            got = self.race([lambda api, v=v: api("POST", f"/requests/{r['id']}/{v}", {}, etag=r["etag"]) for v in verbs])
            self.assertEqual(got, [200] + [412] * 7)
        for i in range(4):
            self.a.enrol(f"raced-{i}")
            c = self.api.get(f"/certificates?q=raced-{i}")["items"][0]
            verbs = ["hold", "superseded"] * 4
            got = self.race([lambda api, v=v: api("POST", f"/certificates/{c['serial']}/revoke", {"reason": v}, etag=c["etag"])
                             for v in verbs])
            self.assertEqual(got, [200] + [412] * 7)
        made = self.api("POST", "/challenges")
        got = self.race([lambda api: api("DELETE", f"/challenges/{made['id']}", etag=made["etag"])] * 8)
        self.assertEqual(got, [204] + [412] * 7)

    def test_asked_twice_and_done_once(self):
        got = self.race([lambda api: api("POST", "/challenges", {"label": "once"}, Idempotency_Key="the-same-question")] * 6)
        self.assertLessEqual(set(got), {201, 409})
        made = [c for c in self.api.all("/challenges") if c["label"] == "once"]
        self.assertEqual(len(made), 1)
        again = self.api("POST", "/challenges", {"label": "once"}, Idempotency_Key="the-same-question")
        self.assertEqual((again.status, again["id"]), (201, made[0]["id"]))
        self.assertEqual(self.api("POST", "/challenges", {"label": "other"}, Idempotency_Key="the-same-question").status, 422)

    # ---- the first page ----

    def test_overview(self):
        for _ in range(100):  # attempts reach the store within a second
            o = self.api.get("/overview").json
            if o["issued_24h"] >= 3 and o["refused_24h"] >= 1:
                break
            time.sleep(0.1)
        self.assertGreaterEqual(o["issued_24h"], 3)
        self.assertGreaterEqual(o["refused_24h"], 1)
        self.assertEqual(len(o["last_24h"]), 24)
        self.assertEqual(sum(h["issued"] for h in o["last_24h"]), o["issued_24h"])
        self.assertGreaterEqual(o["requests"]["pending"], 1)
        self.assertIn("requests.pending", [x["code"] for x in o["attention"]])
        self.assertEqual(o["authorities"][0]["name"], "demo")
        self.assertGreater(o["authorities"][0]["days_left"], 3000)

    def test_export(self):
        lines = self.api.get("/audit", Accept="application/x-ndjson").body.decode().splitlines()
        rows = [json.loads(line) for line in lines]
        self.assertEqual([r["seq"] for r in rows], sorted((r["seq"] for r in rows), reverse=True))
        self.assertEqual(rows[-1]["seq"], 1)

    def test_examples_of_the_page(self):
        """Every command of docs/API.md is run."""
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "API.md")) as f:
            commands = re.search(r"## Examples.*?```sh\n(.*?)```", f.read(), re.S).group(1).splitlines()
        self.assertGreater(len(commands), 4)
        env = {**os.environ, "URL": f"http://127.0.0.1:{self.a.api_port}", "TOKEN": self.a.tokens["administrator"]}
        for command in commands:
            r = run("bash", "-c", command, env=env, check=False)
            self.assertEqual(r.returncode, 0, f"{command}\n{r.stdout}\n{r.stderr}")

    @classmethod
    def tearDownClass(cls):
        r = cls.a.ctl("store", "verify", check=False)
        assert r.returncode == 0 and not r.stdout, r.stdout + r.stderr
        assert cls.a.stop() == 0, cls.a.log_text()[-4000:]


if __name__ == "__main__":
    unittest.main(verbosity=2)
