"""Every figure of docs/PERFORMANCE.md in one run: performance.py [--results FILE] [--quick] [PART...]

Parts, all by default: enrol sync gets workers peer size ocsp crl overload plots.  Prints one line for each figure, with its goal, appends the
lines to FILE (build/performance/results) and draws plots beside it.  --quick: a tenth of the enrolments and 20,000 certificates
instead of 1,000,000, to see whether all works.  Exit 0 when every goal is met, 3 when one is missed."""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import plot
import responders
from figures import BUILD, CPUS, RESULTS, Ours, Results, anonymous_mib, elapsed_ms, median, need, run, thread_seconds, values
from peer import Peer

FLOOD = os.path.join(BUILD, "tests", "bench", "flood")
REVLOAD = os.path.join(BUILD, "tests", "revocation", "revload")
KEYS = ("rsa2048", "p256")
GETS = ("/scep?operation=GetCACaps", "/scep?operation=GetCACert", "/crl/demo.crl")
# The most that server CPU by floor may be, by key and connections.
OVER_FLOOR = {("rsa2048", 64): 1.10, ("rsa2048", 1): 1.20, ("p256", 64): 1.15}


class Bench:

    def __init__(self, results, quick):
        self.out = results
        self.quick = quick
        self.own, self.other = (CPUS[:1], CPUS[1:2]) if len(CPUS) > 1 else (None, None)

    def n(self, n):
        return max(n // 10, 64) if self.quick else n

    # ---- enrolments ----

    def enrol(self):
        """CPU by floor: two keys, three numbers of connections, the server on its own processor or on all with the client."""
        for key in KEYS:
            for place in ("apart", "shared"):
                apart = place == "apart"
                with Ours(key, cpus=self.own if apart else None) as s:
                    s.load(self.n(300), 8, key=key)
                    for connections, n in ((64, 3000), (8, 2000), (1, 1200)):
                        self.enrol_one(s, key, place, connections, n)

    def enrol_one(self, s, key, place, connections, n):
        waited = s.metric("scepd_store_commit_duration_seconds_sum"), s.metric("scepd_store_commits_total")
        threads = thread_seconds(s.pid)
        r, _ = s.load(self.n(n), connections, key=key, rounds=8, cpus=self.other if place == "apart" else None)
        name = f"enrol.{key}.{connections}.{place}"
        self.out.line(run=name, ca=key, place=place, **r)
        self.out.figure(name + ".over_floor", r["over_floor"], "ratio", most=OVER_FLOOR.get((key, connections)))
        self.out.figure(name + ".over_floor_beside", r["over_floor_beside"], "ratio")
        if connections != 8:
            for thread, seconds in thread_seconds(s.pid).items():
                used = (seconds - threads.get(thread, 0)) / r["n"] * 1e6
                if used >= 1:
                    self.out.figure(f"{name}.of.{thread}", used, "us")
        if connections == 64 and place == "shared":
            self.out.figure(name + ".p99", r["p99_ms"], "ms", most=60)
        if connections == 1 and place == "shared":
            # What a lone client waits beyond the CPU that its enrolment takes and the commit: nobody holds it up.
            commits = s.metric("scepd_store_commits_total") - waited[1]
            commit = (s.metric("scepd_store_commit_duration_seconds_sum") - waited[0]) / commits * 1e3
            self.out.figure(name + ".commit", commit, "ms")
            self.out.figure(name + ".added_wait", r["mean_ms"] - r["server_cpu_us"] / 1e3 - commit, "ms", most=1)

    def sync(self):
        """How often the disk is asked to make durable, counted by strace on the daemon and all its processes."""
        # Fewer than 1,000 would be the first and the last batches only.
        for connections, n in ((64, max(self.n(2000), 1000)), (1, self.n(300))):
            with tempfile.NamedTemporaryFile("r") as count:
                trace = [need("strace"), "-D", "-f", "--seccomp-bpf", "-c", "-U", "calls,name", "-e",
                         "trace=fdatasync,fsync,msync,sync_file_range", "-o", count.name]
                with Ours(before=trace) as s:
                    s.load(n, connections)
                    commits = s.metric("scepd_store_commits_total")
                    s.authority.stop()
                    syncs = sum(map(int, re.findall(r"^\s*(\d+) (?!total)\w+", self.when_written(count.name), re.M)))
            name = f"sync.{connections}"
            self.out.figure(name + ".enrolments_per_commit", n / commits, "enrolments")
            # strace sees those of start and end as well; that is the safe side.
            self.out.figure(name + ".enrolments_per_sync", n / syncs, "enrolments",
                            least=8 if connections == 64 else None)

    @staticmethod
    def when_written(path):
        """strace outlives what it traces by a moment."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with open(path) as f:
                text = f.read()
            if "total" in text:
                return text
            time.sleep(0.05)
        raise AssertionError("strace counted nothing")

    def gets(self):
        """Small requests while all processors are saturated by enrolments."""
        with Ours(certificates=100) as s:
            requests = responders.Requests(s.authority.ca, 100)
            gets = {"gets." + re.sub(r".*=|/crl/.*\.", "", path).lower(): path for path in GETS}
            gets["gets.ocsp"] = requests.get("/ocsp/demo", 1)
            requests.close()
            r, lines = s.load(self.n(4000), 64, *(word for path in gets.values() for word in ("--get", path)))
            self.out.line(run="gets", **r)
            for (name, path), line in zip(gets.items(), [x for x in lines if x.startswith("get ")]):
                n, failures, p50, p99 = re.search(r" n=(\d+) failures=(\d+) p50_ms=(\S+) p99_ms=(\S+)", line).groups()
                self.out.line(run=name, path=path, n=n, failures=failures, p50_ms=p50)
                self.out.figure(name + ".failures", float(failures), "requests", most=0)
                self.out.figure(name + ".p99", float(p99), "ms", most=5)

    # ---- workers ----

    def workers(self):
        """As many workers as processors against one worker on one.

        The client works on the same processors; what it and others use of them is taken out: the time that counts is what the
        server used plus what stood idle, so that idle time counts against the server.  For comparison one worker that has both
        processors, by the clock: loop, committer and client have the second one, which is good for more than one worker's share."""
        rates = {"1": [], "2": [], "1.of_two": []}
        with Ours(cpus=CPUS[:1], workers=1) as one, Ours(cpus=CPUS[:2], workers=2) as two, Ours(workers=1) as wide:
            for _ in range(4):
                for name, s, cpus in (("1", one, CPUS[:1]), ("2", two, CPUS[:2]), ("1.of_two", wide, CPUS[:2])):
                    r, _ = s.load(self.n(2000), 64, cpus=cpus)
                    rates[name].append(r["n"] / (r["wall_s"] if s is wide else (r["server_s"] + r["idle_s"]) / len(cpus)))
                    self.out.line(run="workers." + name, **r)
        rate = {name: statistics.median(of) for name, of in rates.items()}
        for name, value in rate.items():
            self.out.figure(f"workers.{name}.rate", value, "enrolments/s")
        self.out.figure("workers.ratio", rate["2"] / rate["1"], "ratio", least=1.85)
        self.out.figure("workers.ratio_by_clock", rate["2"] / rate["1.of_two"], "ratio")

    # ---- the peer ----

    def peer(self):
        with Ours() as ours, Peer() as peer:
            self.side_by_side("young", ours, peer, 1 / 3)
        with Ours(certificates=20000) as ours, Peer(certificates=20000) as peer:
            self.side_by_side("20000", ours, peer, 1 / 10)
        for server in (Ours, Peer):
            with server() as s:
                self.many_connections(s)

    def side_by_side(self, name, ours, peer, goal):
        """CPU an enrolment at one connection, in turns."""
        cpu = {s.name: [] for s in (ours, peer)}
        for _ in range(4):
            for s in (peer, ours):
                r, _ = s.load(self.n(150) if s is peer else self.n(300), 1)
                self.out.line(run=f"peer.{name}.{s.name}", **r)
                cpu[s.name].append(r["server_cpu_us"])
        a, b = (statistics.median(cpu[s.name]) for s in (ours, peer))
        self.out.figure(f"peer.{name}.scepd_cpu", a, "us")
        self.out.figure(f"peer.{name}.micromdm_cpu", b, "us")
        self.out.figure(f"peer.{name}.cpu", a / b, "ratio", most=round(goal, 3))

    def many_connections(self, s):
        with tempfile.NamedTemporaryFile("r") as listed:
            r, lines = s.load(self.n(1000), 64, "--list", listed.name)
            serials = [line.split()[1] for line in listed]
        self.out.line(run=f"peer.64.{s.name}", **r)
        ours = {"most": 0} if s.name == "scepd" else {}
        self.out.figure(f"peer.64.{s.name}.failures", r["n"] - r["issued"], "enrolments", **ours)
        self.out.figure(f"peer.64.{s.name}.repeated_serials", len(serials) - len(set(serials)), "certificates", **ours)
        self.out.figure(f"peer.64.{s.name}.p99", r["p99_ms"], "ms", **({"most": 60} if ours else {}))

    # ---- a large revocation list ----

    def crl(self):
        """One complete list: CPU of the process that builds and of the one that signs, and memory on top; OpenSSL reads it."""
        n = 20000 if self.quick else 1000000
        lines = run(os.path.join(BUILD, "tests", "bench", "crl_build"), str(n)).stdout.splitlines()
        runs = [values(line) for line in lines if line.startswith("crl ")]
        for r in runs:
            self.out.line(run="crl", **r)
        name = f"crl.{n}"

        def of(key):
            return statistics.median(float(r[key]) for r in runs)

        self.out.figure(name + ".cpu", of("cpu_ms") + of("signer_cpu_ms"), "ms", most=1000)
        self.out.figure(name + ".clock", of("wall_ms"), "ms")
        self.out.figure(name + ".memory", max(float(r["memory_kib"]) for r in runs) / 1024, "MiB", most=32)
        self.out.figure(name + ".octets_an_entry", of("octets") / n, "octets")
        self.out.figure(name + ".not_as_openssl", sum(r["openssl"] != "same" for r in runs), "lists", most=0)

    # ---- the size of the store ----

    def size(self):
        """Cost of an enrolment, start and memory with few and with many certificates, in turns."""
        sizes = (1000, 10000, 100000, 20000 if self.quick else 1000000)
        servers = {n: Ours(cpus=self.own, certificates=n) for n in sizes}
        try:
            self.start_up(servers[sizes[-1]], sizes[-1])
            for s in servers.values():
                s.start()
                s.load(self.n(300), 64, cpus=self.other)
            runs = {n: [] for n in sizes}
            for _ in range(4):
                for n, s in servers.items():
                    runs[n].append(s.load(self.n(1000), 64, cpus=self.other)[0])
            for n, s in servers.items():
                self.out.line(series="size", server=s.name, certificates=n, server_cpu_us=f"{median(runs[n], 'server_cpu_us'):.0f}",
                              floor_us=f"{median(runs[n], 'floor_us'):.0f}", anonymous_mib=f"{anonymous_mib(s.pid):.1f}")
            few, many = (median(runs[n], "server_cpu_us") for n in (sizes[0], sizes[-1]))
            self.out.figure(f"size.{sizes[-1]}.cpu_by_{sizes[0]}", many / few, "ratio", most=1.10)
            self.out.figure(f"size.{sizes[-1]}.anonymous", anonymous_mib(servers[sizes[-1]].pid), "MiB", most=64)
        finally:
            for s in servers.values():
                s.__exit__()
        self.peer_sizes()

    def start_up(self, s, certificates):
        """From the start of the program to the first answer."""
        took = []
        for _ in range(7):
            begun = time.monotonic()
            s.authority.start(before=s.before, every=0.0005)
            took.append(elapsed_ms(begun))
            s.authority.stop()
        self.out.figure(f"size.{certificates}.start", statistics.median(took), "ms", most=200)

    def peer_sizes(self):
        for n in (1000, 5000, 20000):
            with Peer(certificates=n) as p:
                r, _ = p.load(self.n(100), 1)
                self.out.line(series="size", server=p.name, certificates=n, server_cpu_us=r["server_cpu_us"], floor_us=r["floor_us"])

    # ---- OCSP ----

    def ocsp(self):
        """Answers kept and answers signed, beside nginx with a file of the same size, `openssl ocsp`, and `openssl speed`."""
        certificates = 2000 if self.quick else 20000
        with Ours("p256", cpus=self.own, certificates=certificates) as s:
            requests = responders.Requests(s.authority.ca, certificates)
            try:
                size = len(s.authority.get(requests.get("/ocsp/demo", 1)))
                with responders.Nginx(size, self.own) as nginx, responders.OpenSsl(certificates, self.own) as openssl:
                    self.kept(s, nginx, openssl, requests)
                self.signed(s, requests)
                self.kept_beside_signing(s, requests)
            finally:
                requests.close()
        self.revoking()
        self.first_answer()

    def kept(self, s, nginx, openssl, requests):
        """In turns, each server on the one processor, the client on the other."""
        seconds, rounds = (1, 2) if self.quick else (4, 4)
        ours, files = requests.ocsp("/ocsp/demo", 1000), requests.paths("files", ["/answer"])
        responders.measure(s, requests, ours, 32, 2, self.other)  # signs them
        for connections in (1, 8, 32, 128):
            runs = {"scepd": [], "nginx": []}
            for _ in range(rounds):
                for server, script in ((s, ours), (nginx, files)):
                    r = responders.measure(server, requests, script, connections, seconds, self.other)
                    self.out.line(run=f"ocsp.kept.{connections}.{server.name}", **r)
                    runs[server.name].append(r)
            for name, of in runs.items():
                self.out.line(series="ocsp", server=name, connections=connections, rate=f"{median(of, 'rate'):.0f}")
            if connections == 32:
                self.kept_figures(runs, openssl, seconds)

    def kept_figures(self, runs, openssl, seconds):
        ours, theirs = (median(runs[name], "rate") for name in ("scepd", "nginx"))
        peer = [openssl.one_by_one(seconds, self.other) for _ in range(3)]
        slow = median(peer, "rate")
        with responders.OpenSsl(2000, self.own, rsa=True) as of_rsa:
            rsa = of_rsa.one_by_one(seconds, self.other)["rate"]
        self.out.line(series="ocsp", server="openssl", connections=1, rate=f"{slow:.0f}")
        self.out.figure("ocsp.kept.rate", ours, "answers/s")
        self.out.figure("ocsp.kept.cpu", median(runs["scepd"], "server_cpu_us"), "us")
        self.out.figure("ocsp.kept.p99", median(runs["scepd"], "p99_ms"), "ms")
        self.out.figure("ocsp.kept.failures", sum(r["failures"] for r in runs["scepd"]), "requests", most=0)
        self.out.figure("ocsp.nginx.rate", theirs, "answers/s")
        self.out.figure("ocsp.openssl.rate", slow, "answers/s")
        self.out.figure("ocsp.openssl.cpu", median(peer, "server_cpu_us"), "us")
        self.out.figure("ocsp.kept.by_nginx", ours / theirs, "ratio", least=0.5)
        self.out.figure("ocsp.kept.by_openssl", ours / slow, "ratio", least=20)
        self.out.figure("ocsp.openssl.rsa2048.rate", rsa, "answers/s")
        self.out.figure("ocsp.kept.by_openssl.rsa2048", ours / rsa, "ratio")

    def signed(self, s, requests):
        """Each request has a nonce, so each answer is signed; beside what `openssl speed` signs on the same processor."""
        seconds, rounds = (1, 1) if self.quick else (4, 3)
        rates, raw, cpu = [], [], []
        for _ in range(rounds):
            raw.append(responders.raw_signatures(self.own, seconds))
            r = responders.measure(s, requests, requests.nonces(), 64, seconds, self.other, path="/ocsp/demo")
            self.out.line(run="ocsp.signed", **r)
            rates.append(r["rate"])
            cpu.append(r["server_cpu_us"])
        self.out.figure("ocsp.signed.failures", r["failures"], "requests", most=0)
        rate, raw = statistics.median(rates), statistics.median(raw)
        self.out.figure("ocsp.signed.rate", rate, "answers/s")
        self.out.figure("ocsp.signed.cpu", statistics.median(cpu), "us")
        self.out.figure("ocsp.signed.raw", raw, "signatures/s")
        # 15,000 a second or half of what the processor signs with nothing else to do, whichever is less.
        self.out.figure("ocsp.signed.by_goal", rate / min(15000, raw / 2), "ratio", least=1)

    def kept_beside_signing(self, s, requests):
        """Who asks for what is kept does not wait for who has to be signed for."""
        seconds = 2 if self.quick else 6
        signing = responders.start_wrk(requests, s.port, requests.nonces(), 64, seconds + 2, self.other, "/ocsp/demo")
        time.sleep(1)
        r = responders.measure(s, requests, requests.ocsp("/ocsp/demo", 100), 4, seconds, self.other)
        beside = responders.said_by(signing)
        self.out.line(run="ocsp.kept_beside_signing", **r)
        self.out.figure("ocsp.kept_beside_signing.signed", beside["rate"], "answers/s")
        self.out.figure("ocsp.kept_beside_signing.rate", r["rate"], "answers/s")
        self.out.figure("ocsp.kept_beside_signing.p99", r["p99_ms"], "ms", most=5)
        self.out.figure("ocsp.kept_beside_signing.failures", r["failures"] + beside["failures"], "requests", most=0)

    def revoking(self):
        """A thousand revocations a second, by another process, with clients that ask as fast as they can; stale: answers from
        before a change that had been acknowledged when they were asked for."""
        revocations = 1000 if self.quick else 20000
        with Ours("p256", certificates=(revocations + 200) * 10 // 9) as s:
            r = run(REVLOAD, "--port", s.port, "--path", "/ocsp/demo", "--store", s.home + "/store", "--ca", s.authority.ca, "--revocations",
                    revocations, check=False, timeout=900)
            words = values(r.stdout.splitlines()[-1]) if r.stdout else {}
            if r.returncode not in (0, 1) or not words:
                raise AssertionError(f"revload: exit {r.returncode}\n{r.stdout}\n{r.stderr}")
            self.out.line(run="ocsp.revoking", **words)
            for name, unit, most in (("changes_per_s", "changes/s", None), ("answers_per_s", "answers/s", None), ("stale", "answers", 0),
                                     ("stale_ms", "ms", 1000), ("wrong", "answers", 0), ("failures", "requests", 0)):
                self.out.figure("ocsp.revoking." + name, float(words[name]), unit, most=most)

    def first_answer(self):
        """From the start of the program to the first OCSP answer: the same with few and with many certificates."""
        many = 20000 if self.quick else 1000000
        for certificates in (1000, many):
            s = Ours("p256", certificates=certificates)
            requests = responders.Requests(s.authority.ca, certificates)
            try:
                took = []
                for _ in range(5):
                    begun = time.monotonic()
                    s.authority.start(every=0.0005)
                    path = requests.get("/ocsp/demo", certificates - 1)
                    while not self.answered(s, path):
                        time.sleep(0.0005)
                    took.append(elapsed_ms(begun))
                    s.authority.stop()
                self.out.figure(f"ocsp.{certificates}.start", statistics.median(took), "ms", most=200)
            finally:
                requests.close()
                s.__exit__()

    @staticmethod
    def answered(s, path):
        """A whole answer: more than the five octets of tryLater."""
        try:
            return len(s.authority.get(path)) > 100
        except OSError:
            return False

    # ---- overload ----

    def overload(self):
        """Twenty times the capacity from one address for a while; then: how long until all is as before?"""
        with Ours() as s:
            s.load(self.n(300), 8)
            before, _ = s.load(self.n(2000), 16)
            recovered = [self.flooded(s, before["rps"]) for _ in range(1 if self.quick else 3)]
            self.out.figure("overload.capacity", before["rps"], "enrolments/s")
            # The worst of all: each time is to be within a second.
            for name, values_of in zip(("queue_empty", "slowest_enrolment", "recovery"), zip(*recovered)):
                self.out.figure("overload." + name, max(values_of), "ms", most=1000 if name == "recovery" else None)

    def flooded(self, s, capacity):
        """ms from the end of the flood: until the queue is empty; the slowest of the first enrolments then; both."""
        flood = subprocess.Popen([FLOOD, "--port", str(s.port), "--from", "127.0.0.2", "--rate", str(20 * capacity), "--connections",
                                  "900"], stdout=subprocess.PIPE, text=True)
        try:
            if flood.stdout.readline() != "ready\n":
                raise AssertionError("no flood")
            rejected = s.metric("scepd_queue_rejected_total")
            meanwhile, _ = s.load(self.n(1000), 16)
            if s.metric("scepd_queue_rejected_total") - rejected < 1000:
                raise AssertionError("the flood was none")
            flood.terminate()
            flood.wait(60)
            begun = time.monotonic()
            while s.metric("scepd_queue_jobs") > 0:
                time.sleep(0.002)
            empty = elapsed_ms(begun)
            after, _ = s.load(self.n(200), 4)
            got = values(flood.stdout.read())
            self.out.line(run="overload", capacity=capacity, **{k: got[k] for k in ("offered", "sent", "ok", "busy", "seconds")},
                          rps_meanwhile=meanwhile["rps"], p99_ms_meanwhile=meanwhile["p99_ms"], empty_ms=f"{empty:.0f}",
                          max_ms_after=after["max_ms"])
            return empty, float(after["max_ms"]), empty + float(after["max_ms"])
        finally:
            flood.kill()
            flood.wait()
            flood.stdout.close()

    # ---- plots ----

    def plots(self):
        """Throughput and latency against connections, and what is drawn of it and of the sizes."""
        for server in (Ours, Peer):
            for connections in (1, 2, 4, 8, 16, 32, 64, 128, 256):
                with server() as s:
                    n = 2000 if server is Ours else 300
                    r, _ = s.load(self.n(n), connections)
                    self.out.line(series="connections", server=s.name, **{k: r[k] for k in (
                        "connections", "n", "issued", "rps", "p50_ms", "p99_ms", "server_cpu_us", "floor_us")})
        plot.draw(self.out.file.name)


PARTS = ("enrol", "sync", "gets", "workers", "peer", "size", "ocsp", "crl", "overload", "plots")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("part", nargs="*", help=" ".join(PARTS))
    p.add_argument("--results", default=RESULTS)
    p.add_argument("--quick", action="store_true")
    o = p.parse_args()
    if set(o.part) - set(PARTS):
        p.error(f"parts are {' '.join(PARTS)}")
    out = Results(o.results)
    for part in o.part or PARTS:
        getattr(Bench(out, o.quick), part)()
    for name in out.missed:
        print(f"missed: {name}")
    sys.exit(3 if out.missed else 0)


if __name__ == "__main__":
    main()
