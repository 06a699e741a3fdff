"""Latency of a DNS server at a fixed rate of queries, whatever it answers (an open loop).

A process sends on schedule and never waits for answers: a server that stalls meets the queries that come meanwhile, as it
would outside of a benchmark. Another one receives. A query's time runs from just before it is sent until the kernel
has put its answer into our socket (SO_TIMESTAMPNS), so that it counts neither our own reading nor our own waking up.
"""
import array
import ctypes
import multiprocessing
import socket
import struct
import time

SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
PR_SET_TIMERSLACK = 29
IDS = 1 << 16
# An answer that takes longer is lost.
PATIENCE_S = 1.0
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28}


def questions(path, most=50_000):
    """From lines `name type`: the octets of each query behind its id."""
    made = []
    with open(path) as file:
        for line, _ in zip(file, range(most)):
            name, rtype = line.split()
            wire = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
            made.append(struct.pack("!5H", 0, 1, 0, 0, 0) + wire + struct.pack("!BHH", 0, TYPES[rtype], 1))
    return made


class OpenLoop:
    """`start`, then `stop`, which returns the figures; it ends by itself after `seconds`."""

    def __init__(self, port, asked, rate, seconds):
        self.asked, self.rate, self.seconds = asked, rate, seconds
        self.context = multiprocessing.get_context("fork")
        self.ending = self.context.RawValue("b", 0)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        except PermissionError:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.connect(("127.0.0.1", port))

    def start(self):
        self.parts = []
        for work in (self._receive, self._send):
            ours, theirs = self.context.Pipe(duplex=False)
            process = self.context.Process(target=work, args=(theirs,))
            process.start()
            theirs.close()
            self.parts.append((process, ours))
        return self

    def wait(self):
        """Until all is sent and the last answers had their time."""
        return self._figures()

    def stop(self):
        self.ending.value = 1
        return self._figures()

    def _figures(self):
        (receiver, received), (sender, sent) = self.parts
        stamps = array.array("q", sent.recv_bytes())
        lag = stamps.pop()
        time.sleep(PATIENCE_S)
        self.ending.value = 2
        arrived = array.array("q", received.recv_bytes())
        sender.join()
        receiver.join()
        self.socket.close()
        return figures(stamps, arrived, lag)

    def _send(self, pipe):
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
        ids = [struct.pack("!H", number) for number in range(IDS)]
        asked, count, send, now = self.asked, len(self.asked), self.socket.send, time.time_ns
        stamps, sequence, most, interval = array.array("q"), 0, int(self.rate * self.seconds), 1 / self.rate
        lag, start = 0.0, time.monotonic()
        while sequence < most and not self.ending.value:
            wait = start + sequence * interval - time.monotonic()
            if wait > 0:
                time.sleep(wait)
                continue
            lag = max(lag, -wait)
            message = ids[sequence % IDS] + asked[sequence % count]
            stamps.append(now())
            try:
                send(message)
            except OSError:
                pass # a server that is gone: the query counts as lost
            sequence += 1
        stamps.append(int(lag * 1e9))
        pipe.send_bytes(stamps.tobytes())

    def _receive(self, pipe):
        arrived, receive = array.array("q"), self.socket.recvmsg
        self.socket.settimeout(0.1)
        while self.ending.value != 2:
            try:
                octets, control, _, _ = receive(4096, 64)
            except OSError:
                continue
            seconds, nanoseconds = struct.unpack("qq", control[0][2])
            arrived.extend((octets[0] << 8 | octets[1], seconds * 1_000_000_000 + nanoseconds))
        pipe.send_bytes(arrived.tobytes())


def figures(stamps, arrived, lag):
    """Percentiles in microseconds. Ids come again: an answer belongs to the latest query with its id before it."""
    latency = {}
    for at in range(0, len(arrived), 2):
        number, stamp = arrived[at], arrived[at + 1]
        sequence = number + (len(stamps) - 1 - number) // IDS * IDS
        while sequence >= 0 and stamps[sequence] > stamp:
            sequence -= IDS
        if sequence >= 0 and stamp - stamps[sequence] < PATIENCE_S * 1e9:
            latency.setdefault(sequence, (stamp - stamps[sequence]) / 1000)
    ordered = sorted(latency.values())
    found = {"sent": len(stamps), "lost": len(stamps) - len(ordered), "lag_us": lag / 1000}
    for name, part in (("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999), ("max_us", 1.0)):
        found[name] = ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else None
    return found
