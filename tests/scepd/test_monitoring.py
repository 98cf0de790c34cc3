"""conf/alerts.yml and conf/grafana-dashboard.json: they only ask for metrics that exist, the alerts fire when they should,
and the runbook has a paragraph for each alert and each check."""

import json
import os
import re
import subprocess
import tempfile
import unittest

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
ALERTS = os.path.join(TOP, "conf", "alerts.yml")
DASHBOARD = os.path.join(TOP, "conf", "grafana-dashboard.json")
WORDS = {"ScepdDown", "ScepdAuthorityExpiring", "ScepdRevocationStale", "ScepdOcspFailing", "ScepdRefusalsHigh",
         "ScepdChallengeReplay", "ScepdSignerCapped", "ScepdOverloaded", "ScepdStoreFilling", "ScepdBackupOld"}


def text(*path):
    with open(os.path.join(TOP, *path)) as f:
        return f.read()


def documented():
    """name -> (type, labels)"""
    rows = re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|([a-z, _]*)\|", text("docs", "METRICS.md"), re.M)
    return {name: (kind, {x for x in labels.strip().split(", ") if x}) for name, kind, labels in rows}


def asked(expression):
    """(metric, labels used in its braces) of a query."""
    for name, braces in re.findall(r"\b((?:scepd|process)_[a-z_]+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', braces)))


def promtool(*args):
    return subprocess.run(["promtool", *args], capture_output=True, text=True)


class Monitoring(unittest.TestCase):
    def assert_exists(self, expression, where):
        metrics = documented()
        found = 0
        for name, labels in asked(expression):
            base = re.sub("_(bucket|sum|count)$", "", name)
            if name not in metrics and base in metrics:
                self.assertEqual(metrics[base][0], "histogram", where)
                name, labels = base, labels - {"le"}
            self.assertIn(name, metrics, where)
            self.assertLessEqual(labels - {"instance", "job"}, metrics[name][1], f"{where}: {name}")
            found += 1
        return found

    def test_the_dashboard(self):
        dashboard = json.loads(text("conf", "grafana-dashboard.json"))
        rows = [p["title"] for p in dashboard["panels"] if p["type"] == "row"]
        self.assertEqual(rows, ["Now", "Traffic", "Lifecycle", "Machine"])
        ids = [p["id"] for p in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        queries = [(p["title"], t["expr"]) for p in dashboard["panels"] for t in p.get("targets", [])]
        self.assertGreater(len(queries), 25)
        for title, query in queries:
            self.assertTrue(self.assert_exists(query, title) or "up{" in query, title)
        with tempfile.TemporaryDirectory() as d:  # and they can be parsed
            rules = os.path.join(d, "rules.yml")
            with open(rules, "w") as f:
                json.dump({"groups": [{"name": "g", "rules": [
                    {"record": f"r:{i}", "expr": q.replace("$__rate_interval", "5m")} for i, (_, q) in enumerate(queries)]}]},
                    f)
            r = promtool("check", "rules", rules)
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_panels_do_not_overlap(self):
        taken = set()
        for p in json.loads(text("conf", "grafana-dashboard.json"))["panels"]:
            g = p["gridPos"]
            self.assertLessEqual(g["x"] + g["w"], 24)
            cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
            self.assertFalse(cells & taken, p["title"])
            taken |= cells

    def test_the_alerts(self):
        r = promtool("check", "rules", ALERTS)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        alerts = text("conf", "alerts.yml")
        self.assertEqual(set(re.findall(r"- alert: (\w+)", alerts)), WORDS)
        rules = "\n".join(line for line in alerts.splitlines() if not line.lstrip().startswith("#"))
        self.assertGreater(self.assert_exists(rules, "alerts"), 12)

    def test_they_fire_when_they_should(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as f:
            f.write(text("tests", "scepd", "alerts.test.yml").replace("ALERTS", os.path.abspath(ALERTS)))
            f.flush()
            r = promtool("test", "rules", f.name)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        tested = text("tests", "scepd", "alerts.test.yml")
        for name in WORDS:
            self.assertRegex(tested, rf"alertname: {name}\n\s+exp_alerts", name)

    def test_the_runbook(self):
        runbook = text("docs", "RUNBOOK.md")
        anchors = {h.lower() for h in re.findall(r"^### (\w+)$", runbook, re.M)}
        for url in re.findall(r"runbook_url: (\S+)", text("conf", "alerts.yml")):
            page, _, anchor = url.partition("#")
            self.assertEqual(page, "docs/RUNBOOK.md")
            self.assertIn(anchor, anchors)
        for anchor in re.findall(r"\]\(#(\w+)\)", runbook):
            self.assertIn(anchor, anchors)
        checks = set(re.findall(r"^\| `(\w+)` \|", text("docs", "METRICS.md").partition("## What a scrape costs")[0], re.M))
        self.assertGreater(len(checks), 10)
        self.assertLessEqual(checks, anchors)

    def test_every_check_of_the_code_is_documented(self):
        source = text("scepd", "health.c") + text("scepctl", "ctl_status.c")
        names = set(re.findall(r'health_add\(\s*h, "(\w+)"', source)) | set(re.findall(r'tell_ending\(h, "(\w+)"', source))
        checks = set(re.findall(r"^\| `(\w+)` \|", text("docs", "METRICS.md").partition("## What a scrape costs")[0], re.M))
        self.assertEqual(names, checks)


if __name__ == "__main__":
    unittest.main()
