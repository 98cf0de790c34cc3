"""The tools of the benchmark do what docs/PERFORMANCE.md says of them.  No figure is judged here."""

import os
import shutil
import tempfile
import unittest
import xml.etree.ElementTree as ET

import plot
import responders
import table
from figures import Ours, Results, anonymous_mib, processes, run
from peer import Peer


class Bench(unittest.TestCase):

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="scepd-bench-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.results = os.path.join(self.dir, "results")

    def test_a_load_in_rounds_with_small_requests(self):
        with Ours() as s:
            r, lines = s.load(41, 4, "--get", "/scep?operation=GetCACaps", "--get", "/nothing", rounds=3)
            self.assertEqual((r["n"], r["issued"], r["bad"], r["none"]), (41, 41, 0, 0))
            self.assertEqual(len(s.authority.json("cert", "list", "--limit", "0")), 41)
            for key in ("server_cpu_us", "client_cpu_us", "floor_us", "floor_beside_us", "over_floor", "server_s"):
                self.assertGreater(r[key], 0, key)
            # Below the floor nobody gets: what does not count the server's processes does.
            self.assertGreater(r["over_floor"], 0.9)
            caps, nothing = [line for line in lines if line.startswith("get ")]
            self.assertRegex(caps, r"^get path=/scep\?operation=GetCACaps n=[1-9]\d* failures=0 p50_ms=")
            self.assertRegex(nothing, r"^get path=/nothing n=0 failures=[1-9]")
            self.assertGreater(s.metric("scepd_store_commits_total"), 0)
            self.assertGreaterEqual(len(processes(s.pid)), 3)  # with keeper and signer
            self.assertGreater(anonymous_mib(s.pid), 0)

    def test_the_peer(self):
        with Peer(certificates=300) as p:
            listed = os.path.join(self.dir, "list")
            r, _ = p.load(5, 1, "--list", listed)
            self.assertEqual((r["n"], r["issued"]), (5, 5))
            with open(listed) as f:
                self.assertEqual([int(line.split()[1], 16) for line in f], [302, 303, 304, 305, 306])

    def test_responders(self):
        """Each answers what it is asked, and wrk's words are understood."""
        with Ours("p256", certificates=300) as s, responders.Nginx(700) as nginx, responders.OpenSsl(300) as openssl:
            requests = responders.Requests(s.authority.ca, 300)
            self.addCleanup(requests.close)
            for server, script, path in ((s, requests.ocsp("/ocsp/demo", 10), "/"), (s, requests.nonces(), "/ocsp/demo"),
                                         (nginx, requests.paths("files", ["/answer"]), "/")):
                r = responders.measure(server, requests, script, 4, 1, path=path)
                self.assertEqual(r["failures"], 0, r)
                for key in ("rate", "p50_ms", "p99_ms", "server_cpu_us"):
                    self.assertGreater(r[key], 0, key)
            # A signature for each nonce; those without are signed once.
            self.assertGreater(s.metric("scepd_ocsp_signed_duration_seconds_count"), 10)
            r = responders.measure(s, requests, requests.paths("none", ["/nothing"]), 4, 1)
            self.assertGreater(r["failures"], 0)
            self.assertGreater(openssl.one_by_one(0.5)["rate"], 0)
            # What is asked is known, and every tenth is revoked.
            with open(requests.file("answer"), "wb") as f:
                f.write(s.authority.get(requests.get("/ocsp/demo", 20)))
            said = run("openssl", "ocsp", "-respin", requests.file("answer"), "-noverify", "-text").stdout
            self.assertIn("Cert Status: revoked", said)

    def test_results_table_and_plots(self):
        out = Results(self.results)
        out.figure("good", 1.05, "ratio", most=1.1)
        out.figure("bad", 1.5, "ratio", least=1.85)
        out.figure("told", 7, "us")
        out.figure("good", 1.2, "ratio", most=1.1)  # a later run counts
        for server in ("scepd", "micromdm"):
            for n in (1, 64):
                out.line(series="connections", server=server, connections=n, rps=100 * n, p50_ms=n, p99_ms=2 * n)
                out.line(series="size", server=server, certificates=1000 * n, server_cpu_us=1000 + n, floor_us=900)
        for server in ("scepd", "nginx", "openssl"):
            out.line(series="ocsp", server=server, connections=1, rate=1000)
            out.line(series="ocsp", server=server, connections=32, rate=50000)
        self.assertEqual(out.missed, ["bad", "good"])
        out.file.close()
        self.assertEqual(table.table(self.results).splitlines()[2:], [
            "| good | 1.2 ratio | <=1.1 | no |", "| bad | 1.5 ratio | >=1.85 | no |", "| told | 7 us |  |  |"])
        plot.draw(self.results)
        for name, lines in (("throughput", 2), ("latency", 4), ("size", 3), ("ocsp", 3)):
            svg = ET.parse(os.path.join(self.dir, name + ".svg")).getroot()
            self.assertEqual(len(svg.findall("{http://www.w3.org/2000/svg}polyline")), lines, name)


if __name__ == "__main__":
    unittest.main()
