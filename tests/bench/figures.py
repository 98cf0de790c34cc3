"""What the parts of performance.py share: authorities to measure, the load, and the file of results.

A line of results is key=value words: `figure=NAME value=V unit=U goal=G met=yes|no` for what has a goal, `series=NAME ...` for what
is drawn, and `run=NAME ...` for what the load tool said."""

import datetime
import glob
import os
import re
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import BUILD, Authority, free_port, need, run

SCEPLOAD = os.path.join(BUILD, "tests", "bench", "scepload")
SEED = os.path.join(BUILD, "tests", "scepd", "seed_store")
RESULTS = os.path.join(BUILD, "performance", "results")
CPUS = sorted(os.sched_getaffinity(0))


def on(cpus):
    """In front of a command: where it runs; nothing where there is one processor only."""
    return ["taskset", "-c", ",".join(map(str, cpus))] if cpus and len(CPUS) > 1 else []


def values(line):
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


class Results:
    """Prints every line and appends it to the file."""

    def __init__(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.file = open(path, "a")
        self.missed = []

    def line(self, **words):
        words["at"] = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
        text = " ".join(f"{k}={v}" for k, v in words.items())
        print(text, flush=True)
        self.file.write(text + "\n")
        self.file.flush()

    def figure(self, name, value, unit, most=None, least=None):
        """One figure with its goal: at most `most` or at least `least`; without either for comparison only."""
        goal = {} if most is least is None else {"goal": f"<={most}" if most is not None else f">={least}"}
        if goal:
            met = value <= most if most is not None else value >= least
            goal["met"] = "yes" if met else "no"
            if not met:
                self.missed.append(name)
        self.line(figure=name, value=f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}", unit=unit, **goal)


class Server:
    """What both servers have in common: a port, a process, challenges."""

    served = 0

    def load(self, n, connections, *more, key="rsa2048", cpus=None, rounds=1, path="/scep", check=True):
        """One run of scepload with devices that this server has not seen; its last line, and all lines."""
        self.served += 1
        challenges = os.path.join(self.home, "challenges")
        with open(challenges, "w") as f:
            f.write(self.challenges(n))
        r = run(*on(cpus), SCEPLOAD, "--port", self.port, "--path", path, "-n", n, "--connections", connections,
                "--challenges", challenges, "--pid", self.pid, "--ca-key", key, "--rounds", rounds, "--prefix",
                f"load{self.served}", *more, check=False, timeout=1800)
        lines = r.stdout.splitlines()
        if not lines or not lines[-1].startswith("load ") or (check and r.returncode):
            raise AssertionError(f"scepload: exit {r.returncode}\n{r.stdout}\n{r.stderr}")
        return {k: number(v) for k, v in values(lines[-1]).items()}, lines


def number(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


class Ours(Server):
    """scepd with a throw-away authority, on some processors, with some workers and certificates."""

    name = "scepd"

    def __init__(self, key="rsa2048", cpus=None, workers=0, certificates=0, before=()):
        self.admin = free_port()
        edit = lambda text: text.replace("workers = 0;", f"workers = {workers};")
        self.authority = Authority(key, init_args=["--admin-port", self.admin], edit=edit)
        self.home, self.port = self.authority.home, self.authority.port
        self.before = [*on(cpus), *before]
        if certificates:
            run(SEED, os.path.join(self.home, "store"), self.authority.ca, certificates, timeout=900)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.authority.close()

    def start(self):
        self.authority.start(before=self.before)
        self.pid = self.authority.process.pid

    def challenges(self, n):
        return self.authority.ctl("challenge", "new", "--count", n, "-q", timeout=600).stdout

    def metric(self, name):
        """The sum of a metric over its labels."""
        with socket.create_connection(("127.0.0.1", self.admin), timeout=10) as s:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        return sum(float(v) for v in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.M))


def processes(pid):
    """A process, its children, and theirs."""
    out = [pid]
    for task in glob.glob(f"/proc/{pid}/task/*/children"):
        with open(task) as f:
            for child in f.read().split():
                out += processes(int(child))
    return out


def thread_seconds(pid):
    """CPU seconds of each kind of thread of a process and all below, by name; numbers at their end do not count."""
    out = {}
    for p in processes(pid):
        for task in glob.glob(f"/proc/{p}/task/*"):
            try:
                with open(task + "/comm") as name, open(task + "/schedstat") as stat:
                    kind = re.sub(r"[^A-Za-z_]+", "-", name.read().strip()).strip("-")
                    out[kind] = out.get(kind, 0) + int(stat.read().split()[0]) / 1e9
            except OSError:
                pass  # it ended
    return out


def anonymous_mib(pid):
    """Anonymous memory that is resident, of a process and all below."""
    total = 0
    for p in processes(pid):
        with open(f"/proc/{p}/status") as f:
            total += int(re.search(r"^RssAnon:\s+(\d+)", f.read(), re.M)[1])
    return total / 1024


def answers(port):
    """Is there an answer to a small request?"""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            s.sendall(b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return s.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def median(runs, key):
    return statistics.median(r[key] for r in runs)


def elapsed_ms(since):
    return (time.monotonic() - since) * 1e3
