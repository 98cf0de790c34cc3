"""The admin listener: who may ask, what is counted, and that every name is documented."""

import json
import os
import re
import signal
import sys
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import SCEPCTL, SCEPD, Authority, free_port, need, run  # noqa: E402

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def fetch(url, method="GET", data=None):
    """Status, body and media type."""
    request = urllib.request.Request(url, method=method, data=data)
    try:
        with urllib.request.urlopen(request, timeout=10) as r:
            return r.status, r.read().decode(), r.headers["Content-Type"]
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode(), e.headers["Content-Type"]


SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\]|\\["\\n])*",?)+)\})? (\S+)$')


def parse(text):
    """A strict reader of the text format: families (name -> type) and samples ((name, labels) -> value)."""
    families, samples, current = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            assert current not in families, f"{current} twice"
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current, line
            families[name] = kind
        else:
            m = SAMPLE.match(line)
            assert m, line
            name, labels, value = m.group(1), m.group(2) or "", float(m.group(3))
            base = re.sub("_(bucket|sum|count)$", "", name) if families[current] == "histogram" else name
            assert base == current, f"{line}: not of {current}"
            pairs = tuple(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels))
            assert (name, pairs) not in samples, line
            samples[name, pairs] = value
    return families, samples


class Admin:
    """An authority with an admin listener."""

    def __init__(self, edit=None, **more):
        self.port = free_port()
        self.a = Authority(init_args=("--admin-port", self.port), edit=edit, **more)
        self.url = f"http://127.0.0.1:{self.port}"

    def get(self, path):
        return fetch(self.url + path)

    def samples(self):
        return parse(self.get("/metrics")[1])[1]

    def value(self, name, **labels):
        """Sum of the samples with at least these labels."""
        return sum(v for (n, pairs), v in self.samples().items() if n == name and labels.items() <= dict(pairs).items())

    def health(self, path="/healthz"):
        status, body, _ = self.get(path)
        return status, json.loads(body)

    def enrol(self, directory, subject="CN=device", challenge=None, check=True):
        n = len(os.listdir(directory))
        return run(SCEPCTL, "client", "enrol", self.a.url + "/scep", "--subject", subject, "--key",
                   os.path.join(directory, f"{n}.key"), "--out", os.path.join(directory, f"{n}.pem"), "--challenge-file",
                   "-", input=challenge or self.a.challenge(), check=check)

    def wait(self, what, seconds=20):
        """The figures of the store follow within two seconds or so."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "did not come about"
            time.sleep(0.05)


class Listener(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Admin()
        cls.addClassCleanup(cls.s.a.close)
        cls.s.a.start()

    def test_paths(self):
        self.assertEqual(self.s.get("/livez"), (200, "ok\n", "text/plain; charset=utf-8"))
        self.assertEqual(self.s.get("/")[0], 404)
        self.assertEqual(self.s.get("/scep?operation=GetCACaps")[0], 404)
        self.assertEqual(fetch(self.s.url + "/metrics", "POST", b"x")[0], 405)
        self.assertEqual(fetch(self.s.url + "/metrics", "HEAD")[:2], (200, ""))
        status, _, kind = self.s.get("/metrics")
        self.assertEqual((status, kind), (200, "text/plain; version=0.0.4; charset=utf-8"))

    def test_devices_do_not_see_it(self):
        for path in ("/livez", "/readyz", "/healthz", "/metrics"):
            self.assertEqual(fetch(self.s.a.url + path)[0], 404, path)

    def test_health_of_a_fresh_authority(self):
        for path in ("/healthz", "/readyz"):
            status, health = self.s.health(path)
            self.assertEqual(status, 200)
            names = [c["name"] for c in health["checks"]]
            for name in "store signer commit queue config ca_expiry ra_expiry crl disk map clock backup audit_chain".split():
                self.assertIn(name, names)
            self.assertEqual([c for c in health["checks"] if c["status"] == "fail"], [])

    def test_metrics_are_what_promtool_likes(self):
        r = run(need("promtool"), "check", "metrics", input=self.s.get("/metrics")[1])
        self.assertEqual(r.stdout + r.stderr, "")

    def test_every_name_is_documented_and_the_other_way_round(self):
        families, samples = parse(self.s.get("/metrics")[1])
        with open(os.path.join(TOP, "docs", "METRICS.md")) as f:
            rows = re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|([a-z, _]*)\|", f.read(), re.M)
        self.assertEqual({name: kind for name, kind, _ in rows}, families)
        labels = {name: {x for x in words.strip().split(", ") if x} for name, _, words in rows}
        for name, pairs in samples:
            base = re.sub("_(bucket|sum|count)$", "", name) if name not in families else name
            self.assertEqual({k for k, _ in pairs} - {"le"}, labels[base], name)

    def test_histograms_are_whole(self):
        families, samples = parse(self.s.get("/metrics")[1])
        for (name, pairs), value in samples.items():
            if not name.endswith("_bucket") or ("le", "+Inf") not in pairs:
                continue
            base, rest = name[: -len("_bucket")], tuple(p for p in pairs if p[0] != "le")
            self.assertEqual(value, samples[base + "_count", rest])
            steps = [v for (n, p), v in samples.items() if n == name and tuple(x for x in p if x[0] != "le") == rest]
            self.assertEqual(steps, sorted(steps))


class Counting(unittest.TestCase):
    def setUp(self):
        self.s = Admin()
        self.addCleanup(self.s.a.close)
        self.s.a.start()
        self.dir = os.path.join(self.s.a.home, "client")
        os.mkdir(self.dir)

    def test_an_enrolment(self):
        self.s.enrol(self.dir)
        v = self.s.value
        requests = "scepd_scep_requests_total"
        self.assertEqual(v(requests, endpoint="/scep", operation="PKCSReq", result="issued"), 1)
        self.assertEqual(v(requests, operation="GetCACert", result="answered"), 1)
        self.assertEqual(v("scepd_scep_request_duration_seconds_count", operation="PKCSReq"), 1)
        self.assertEqual(v("scepd_certificates_issued_total", template="device", kind="initial"), 1)
        self.assertEqual(v("scepd_signer_operations_total", operation="certificate", key="ca", result="done"), 1)
        self.assertEqual(v("scepd_signer_operations_total", operation="decrypt", key="ra", result="done"), 1)
        self.assertEqual(v("scepd_store_commits_total"), 1)
        self.assertEqual(v("scepd_store_commit_records_sum"), 1)
        self.assertEqual(v("scepd_queue_wait_seconds_count"), 1)
        self.assertEqual(v("scepd_scep_refusals_total"), 0)
        self.s.wait(lambda: v("scepd_certificates", state="active") == 1)
        self.assertEqual(v("scepd_certificates_expiring"), 0)
        self.s.wait(lambda: v("scepd_challenges", state="used") == 1)
        self.assertEqual(v("scepd_devices", state="active"), 0)
        self.s.a.ctl("device", "new", "pad")
        self.s.wait(lambda: v("scepd_devices", state="active") == 1)
        self.s.wait(lambda: v("scepd_challenges_issued_total") == 1)
        self.assertEqual(v("scepd_store_oldest_reader_seconds"), 0)
        self.s.wait(lambda: v("scepd_audit_entries_total") >= 2)

    def test_refusals_by_reason_and_nothing_of_the_client_in_labels(self):
        self.s.enrol(self.dir, "CN=evil-subject", challenge="0000-0000-0000-0000", check=False)
        fetch(self.s.a.url + "/evil-path")
        fetch(self.s.a.url + "/scep?operation=EvilOperation")
        fetch(self.s.a.url + "/scep", "POST", b"evil-message")
        v = self.s.value
        self.assertEqual(v("scepd_scep_refusals_total", endpoint="/scep", reason="challenge.unknown"), 1)
        self.assertEqual(v("scepd_scep_refusals_total", endpoint="none", reason="http.wrong_path"), 1)
        self.assertEqual(v("scepd_scep_refusals_total", endpoint="/scep", reason="http.operation"), 1)
        self.assertEqual(v("scepd_scep_requests_total", endpoint="/scep", operation="none", result="refused"), 2)
        self.assertNotIn("evil", self.s.get("/metrics")[1].lower())

    def test_what_waits(self):
        run(SCEPCTL, "client", "enrol", self.s.a.url + "/scep/manual", "--subject", "CN=waits", "--key",
            os.path.join(self.dir, "key"), "--out", os.path.join(self.dir, "pem"), check=False)
        self.s.wait(lambda: self.s.value("scepd_requests_pending", endpoint="/scep/manual") == 1)
        self.assertLess(abs(self.s.value("scepd_requests_pending_oldest_timestamp_seconds") - time.time()), 60)
        self.assertEqual(self.s.value("scepd_scep_requests_total", result="pending"), 1)

    def test_a_backup(self):
        backup = lambda: [c for c in self.s.health()[1]["checks"] if c["name"] == "backup"][0]["status"]
        self.assertEqual(backup(), "pass")
        self.s.enrol(self.dir)
        self.s.wait(lambda: backup() == "warn")
        self.assertEqual(self.s.value("scepd_backup_last_success_timestamp_seconds"), 0)
        self.s.a.ctl("store", "backup", os.path.join(self.s.a.home, "copy.mdb"))
        self.s.wait(lambda: backup() == "pass")
        self.assertLess(abs(self.s.value("scepd_backup_last_success_timestamp_seconds") - time.time()), 60)

    def test_revocation_shows_in_the_list(self):
        self.s.enrol(self.dir)
        serial = self.s.a.json("cert", "list")[0]["serial"]
        self.s.a.ctl("cert", "revoke", serial, "--yes")
        self.s.wait(lambda: self.s.value("scepd_crl_entries", authority="demo") == 1)
        self.s.wait(lambda: self.s.value("scepd_certificates", state="revoked") == 1)
        self.assertEqual(self.s.value("scepd_certificates", state="active"), 0)
        self.assertEqual(self.s.value("scepd_certificates_revoked_total", reason="unspecified"), 1)

    def test_dropped_log_lines_are_counted(self):
        for _ in range(250):
            fetch(self.s.a.url + "/nowhere")
        self.assertEqual(self.s.value("scepd_scep_refusals_total", reason="http.wrong_path"), 250)
        written = self.s.a.log_text().count("reason=http.wrong_path")
        self.assertEqual(written + self.s.value("scepd_log_dropped_total"), 250)


class Changing(unittest.TestCase):
    """What a running daemon goes through."""

    def setUp(self):
        self.s = Admin()
        self.addCleanup(self.s.a.close)
        self.s.a.start()

    def check(self, name):
        return [c for c in self.s.health()[1]["checks"] if c["name"] == name][0]

    def reload(self, edit):
        with open(self.s.a.conf) as f:
            text = f.read()
        with open(self.s.a.conf, "w") as f:
            f.write(edit(text))
        self.s.a.process.send_signal(signal.SIGHUP)
        return text

    def test_a_reload_that_fails_and_one_that_does_not(self):
        read_at = self.s.value("scepd_config_last_reload_timestamp_seconds")
        self.assertEqual(self.s.value("scepd_config_last_reload_successful"), 1)
        before = self.reload(lambda t: t + "nonsense = 1;\n")
        self.s.wait(lambda: self.s.value("scepd_config_last_reload_successful") == 0)
        self.assertEqual(self.s.value("scepd_config_last_reload_timestamp_seconds"), read_at)
        self.assertEqual(self.check("config")["status"], "warn")
        self.assertEqual(self.s.get("/healthz")[0], 200)
        self.reload(lambda t: before.replace('path = "/scep/manual"', 'path = "/scep/by-hand"'))
        self.s.wait(lambda: self.s.value("scepd_config_last_reload_successful") == 1)
        self.assertEqual(self.check("config")["status"], "pass")
        self.s.wait(lambda: ("scepd_requests_pending", (("endpoint", "/scep/by-hand"),)) in self.s.samples())

    def test_who_may_ask_can_be_reloaded(self):
        self.reload(lambda t: t.replace('admin: { address = "127.0.0.1";',
                                        'admin: { address = "127.0.0.1"; allow = ["10.0.0.0/8"];'))
        self.s.wait(lambda: self.s.get("/livez")[0] == 403)

    def test_another_signer(self):
        pid = int(re.findall(r"event=daemon\.started .*\bsigner=(\d+)", self.s.a.log_text())[-1])
        os.kill(pid, signal.SIGKILL)
        self.s.wait(lambda: self.s.value("scepd_signer_restarts_total") == 1)
        self.s.wait(lambda: self.check("signer")["status"] == "pass")
        directory = os.path.join(self.s.a.home, "client")
        os.mkdir(directory)
        self.s.enrol(directory)

    def test_no_other_signer(self):
        pid = int(re.findall(r"event=daemon\.started .*\bsigner=(\d+)", self.s.a.log_text())[-1])
        key = os.path.join(self.s.a.home, "keys", "ca.key")
        os.rename(key, key + ".away")
        os.kill(pid, signal.SIGKILL)
        self.s.wait(lambda: self.check("signer")["status"] == "fail")
        self.assertEqual(self.s.get("/healthz")[0], 503)
        self.assertEqual(self.s.get("/readyz")[0], 503)
        self.assertEqual(self.s.get("/livez")[0], 200)
        os.rename(key + ".away", key)
        self.s.wait(lambda: self.s.get("/readyz")[0] == 200, 60)


class Status(unittest.TestCase):
    def setUp(self):
        self.s = Admin()
        self.addCleanup(self.s.a.close)

    def status(self, *args):
        r = run(SCEPCTL, "-c", self.s.a.conf, "status", *args, check=False)
        return r.returncode, r.stdout, r.stderr

    def checks(self, health):
        return {c["name"]: c["status"] for c in health["checks"]}

    def start(self):
        """Until the first list of the new authority is out."""
        self.s.a.start()
        self.s.wait(lambda: self.checks(self.s.health()[1])["crl"] == "pass")

    def test_the_same_as_healthz(self):
        self.start()
        code, out, told = self.status("--json")
        mine, theirs = json.loads(out), self.s.health()[1]
        self.assertEqual(self.checks(mine), self.checks(theirs))
        self.assertEqual(mine["version"], theirs["version"])
        self.assertEqual(code, 0)
        self.assertIn("are well", told)
        rows = [line.split("\t") for line in self.status()[1].splitlines()]
        self.assertEqual({r[1]: r[0] for r in rows}, self.checks(theirs))

    def test_without_the_daemon(self):
        self.start()
        theirs = self.checks(self.s.health()[1])
        self.s.a.stop()
        code, out, told = self.status("--json")
        mine = self.checks(json.loads(out))
        self.assertEqual(mine.pop("daemon"), "fail")
        self.assertEqual(code, 7)
        self.assertIn("1 of 11 checks need attention", told)
        for name in ("signer", "commit", "queue", "config", "confinement"):
            theirs.pop(name)
        self.assertEqual(mine, theirs)

    def test_without_an_admin_listener(self):
        self.s = Admin(edit=lambda t: re.sub(r"(admin: .*port = )\d+", r"\g<1>0", t))
        self.addCleanup(self.s.a.close)
        self.s.a.start()
        code, out, _ = self.status("--json")
        daemon = [c for c in json.loads(out)["checks"] if c["name"] == "daemon"][0]
        self.assertEqual((code, daemon["status"]), (0, "pass"))
        self.assertIn("there is no admin listener", daemon["text"])
        self.assertNotIn("admin=", self.s.a.log_text())

    def test_no_list_was_ever_published(self):
        code, out, _ = self.status("--json")
        self.assertEqual(self.checks(json.loads(out))["crl"], "fail")
        self.assertEqual(code, 7)


class Access(unittest.TestCase):
    def start(self, edit):
        s = Admin(edit=edit)
        self.addCleanup(s.a.close)
        s.a.start()
        return s

    def problems(self, old, new):
        s = Admin(edit=lambda text: text.replace(old, new))
        self.addCleanup(s.a.close)
        r = run(SCEPD, "-c", s.a.conf, "--check-config", check=False)
        return r.returncode, r.stdout + r.stderr

    def test_others_get_403(self):
        s = self.start(lambda t: t.replace('admin: { address = "127.0.0.1";',
                                           'admin: { address = "127.0.0.1"; allow = ["127.0.0.2", "10.0.0.0/8"];'))
        for path in ("/livez", "/metrics", "/healthz", "/nothing"):
            self.assertEqual(s.get(path)[0], 403, path)
        self.assertIn("event=admin.refused path=/metrics peer=127.0.0.1 status=403", s.a.log_text())

    def test_beyond_loopback_needs_names(self):
        code, text = self.problems('admin: { address = "127.0.0.1"', 'admin: { address = "0.0.0.0"')
        self.assertEqual(code, 7)
        self.assertRegex(text, r'scepd\.conf:\d+: admin: address = "0\.0\.0\.0" is not loopback: it needs allow')

    def test_beyond_loopback_for_those_named(self):
        s = self.start(lambda t: t.replace('admin: { address = "127.0.0.1";',
                                           'admin: { address = "0.0.0.0"; allow = ["127.0.0.1"];'))
        self.assertEqual(s.get("/livez")[0], 200)

    def test_mistakes(self):
        code, text = self.problems("admin: {", 'admin: { allow = ["10.0.0.0/33", "localhost"];')
        self.assertEqual(code, 7)
        self.assertIn('"10.0.0.0/33" is no address or network', text)
        self.assertIn('"localhost" is no address or network', text)

    def test_the_port_is_taken(self):
        s = self.start(None)
        other = Authority(init_args=("--admin-port", s.port))
        self.addCleanup(other.close)
        r = run(SCEPD, "-c", other.conf, check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn(f"cannot listen on 127.0.0.1:{s.port}", r.stderr)
        self.assertIn("admin.port", r.stderr)


if __name__ == "__main__":
    unittest.main()
