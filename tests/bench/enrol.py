"""One enrolment over HTTP: server CPU beside the floor, timed in the same run (load_floor.c).
   enrol.py KEY N CONNECTIONS

With two processors or more the server has one for itself and the client another, so that neither is charged for
what the other does to its caches; `shared` as a fourth argument leaves all of it to the kernel."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import BUILD, Authority, run


def main(key, n, connections, shared):
    a = Authority(key)
    apart = not shared and len(os.sched_getaffinity(0)) > 1
    on = lambda cpu: ["taskset", "-c", cpu] if apart else []
    try:
        a.start(before=on("0"))
        challenges = os.path.join(a.home, "challenges")
        with open(challenges, "w") as f:
            f.write(a.ctl("challenge", "new", "--count", n).stdout)
        r = run(*on("1"), os.path.join(BUILD, "tests", "bench", "scepload"), "--port", a.port, "-n", n, "--connections", connections,
                "--challenges", challenges, "--pid", a.process.pid, "--ca-key", key, "--rounds", 6, timeout=600)
        print(f"ca={key} placed={'apart' if apart else 'shared'}", r.stdout.strip())
        a.stop()
    finally:
        a.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "shared" in sys.argv[4:])
