"""Where the driver of the peer benchmark is, a scratch folder for it, and how it starts Pointsman.

The driver is a folder with `bench.py`, `gen.py`, `peers.py` and `floor.c`: it generates the workloads, starts each server
in turn, checks a sample of its answers, and loads it with dnsperf. It is named by an argument, or by the environment
variable POINTSMAN_PEER_BENCH, or stands in `../shared/bench/peers` beside this project. It is copied before it runs, since
it writes beside itself.
"""
import os
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SCRATCH = os.path.join(ROOT, "target", "peers")
DATA = os.path.join(SCRATCH, "data")
FILES = ("bench.py", "gen.py", "peers.py", "checksrv.py", "floor.c")
# What each peer needs: a program, and the Debian package that has it.
PROGRAMS = {
    "gdnsd": ("gdnsd", "gdnsd"), "knot": ("knotd", "knot knot-module-geoip"), "nsd": ("nsd", "nsd"), "bind9": ("named", "bind9"),
    "pdns": ("pdns_server", "pdns-server pdns-backend-bind"), "pdns-luashared": ("pdns_server", "pdns-server pdns-backend-bind"),
    "pdns-nocache": ("pdns_server", "pdns-server pdns-backend-bind"),
}
MISSING = """The peer benchmark needs its driver: a folder with {files}.
It is not in {place}; name it as an argument, or in POINTSMAN_PEER_BENCH.
The servers it compares with, and dnsperf, are Debian packages:
  apt-get install --no-install-recommends gdnsd knot knot-module-geoip nsd bind9 pdns-server pdns-backend-bind dnsperf
(An executable /usr/sbin/policy-rc.d that exits 101 keeps them from being started as services.)"""


def find(argument=None):
    place = argument or os.environ.get("POINTSMAN_PEER_BENCH") or os.path.join(ROOT, "..", "shared", "bench", "peers")
    if not all(os.path.exists(os.path.join(place, file)) for file in FILES):
        sys.exit(MISSING.format(files=", ".join(FILES), place=os.path.normpath(place)))
    return os.path.normpath(place)


def require(peers):
    """Ends the program where a peer is not known, or it or what measures it is not installed."""
    unknown = [peer for peer in peers if peer not in PROGRAMS]
    if unknown:
        sys.exit(f"no such peer: {', '.join(unknown)}; known: {', '.join(PROGRAMS)}")
    needed = [PROGRAMS[peer] for peer in peers] + [("dnsperf", "dnsperf"), ("cc", "gcc libc6-dev")]
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({package for program, package in needed if not shutil.which(program, path=path)})
    if missing:
        sys.exit(f"not installed; on Debian: apt-get install --no-install-recommends {' '.join(missing)}")


def prepare(place):
    """The driver in the scratch folder, its workloads and the floor responder beside it."""
    os.makedirs(SCRATCH, exist_ok=True)
    changed = False
    for file in FILES:
        source, target = os.path.join(place, file), os.path.join(SCRATCH, file)
        if not os.path.exists(target) or read(source) != read(target):
            shutil.copyfile(source, target)
            changed = True
    if changed or not os.path.exists(os.path.join(DATA, "gen.json")):
        subprocess.run([sys.executable, "gen.py", "--data", DATA], cwd=SCRATCH, check=True)
    subprocess.run(["cc", "-O2", "-o", "floor", "floor.c"], cwd=SCRATCH, check=True)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def build():
    """The release binary, as `.ci/run` builds it."""
    subprocess.run(["cargo", "build", "--release", "--locked", "--bins", "--bench", "answer_cost"], cwd=ROOT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.path.join(os.path.abspath(target), "release", "pointsman")


def serve(binary):
    """The command that the driver starts, its braces filled in by the driver."""
    return (f"{binary} serve --config {{run}}/pointsman.toml --zones {{run}}/zones --data {{run}}/data "
            "--listen 127.0.0.1:{port} --api 127.0.0.1:0 --threads {threads}")


def setup():
    return f"{os.path.join(HERE, 'setup')} {{workload}} {{zones}} {{policy}} {{run}}"


def run(command, **options):
    """Runs a command to its end. A peer has a session of its own and outlives whoever is killed above it: where this program
    is ended by a signal, all that the command started ends with it."""
    def ended(number, _):
        raise SystemExit(128 + number)
    before = {number: signal.signal(number, ended) for number in (signal.SIGTERM, signal.SIGHUP)}
    process = subprocess.Popen(command, **options)
    try:
        code = process.wait()
    except BaseException:
        end_all(process.pid)
        process.wait()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code:
        raise subprocess.CalledProcessError(code, command)


def end_all(pid):
    """Ends a process and all below it. Each is stopped before its children are looked for, so that none starts others."""
    left = [pid]
    found = []
    while left:
        one = left.pop()
        try:
            os.kill(one, signal.SIGSTOP)
        except ProcessLookupError:
            continue
        found.append(one)
        left += children(one)
    for one in found:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            pass


def children(pid):
    """Processes whose parent this is; of all its threads."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:
                parent = int(stat.read().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found.append(int(entry))
    return found
