"""pyserial on a virtual serial device, as on any device. Each line printed is something that was found to be so.

usage: program.py DEVICE UART GATEWAY [BOARD]

The port is a loopback plug, or, with BOARD, this program also is the board, at that device. UART is the program `uart`,
for a second opinion of what is in force.
"""

import hashlib
import json
import random
import subprocess
import sys
import threading
import time

import serial

MEGABYTE = 1024 * 1024
# How long a condition may take to come about before it counts as never.
PATIENCE = 30

device, uart, gateway = sys.argv[1:4]


def demand(what, wanted, got):
    if wanted != got:
        sys.exit(f"{what}: {got!r} instead of {wanted!r}")


def line(wanted):
    """What an application sets comes into force without a word to it, so it is waited for."""
    deadline = time.monotonic() + PATIENCE
    while True:
        said = subprocess.run([uart, "--gateway", gateway, "info", "board0", "--json"],
                              stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
        got = json.loads(said.stdout)["line"]
        if got == wanted:
            return
        if time.monotonic() > deadline:
            demand("the real port's line", wanted, got)
        time.sleep(0.02)


def pump(source, sink, seed, what):
    """Writes to the one while reading from the other; all must arrive, and nothing else."""
    data = random.Random(seed).randbytes(MEGABYTE)
    failed = []

    def write():
        try:
            for at in range(0, len(data), 16384):
                source.write(data[at:at + 16384])
            source.flush()
        except Exception as error:
            failed.append(error)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    arrived = bytearray()
    while len(arrived) < len(data) and not failed:
        more = sink.read(min(65536, len(data) - len(arrived)))
        arrived += more
        if not more:
            break
    writer.join(PATIENCE)
    if failed:
        sys.exit(f"{what}: {failed[0]!r}")
    demand(f"{what}: length", len(data), len(arrived))
    demand(f"{what}: SHA-256", hashlib.sha256(data).hexdigest(), hashlib.sha256(arrived).hexdigest())
    print(f"{what}: 1 MB, SHA-256 equal")


def plug():
    port = serial.Serial(device, 9600, timeout=PATIENCE, exclusive=True)
    line("9600-8n1")
    print(f"open, pyserial {serial.__version__}, exclusively, and 9600 is in force")
    for baud in (50, 300, 31250, 74880, 115200, 250000, 3000000):
        port.baudrate = baud
        line(f"{baud}-8n1")
    port.stopbits = 2
    line("3000000-8n2")
    port.rtscts = True
    line("3000000-8n2-rtscts")
    port.rtscts = False
    port.xonxoff = True
    line("3000000-8n2-xonxoff")
    port.xonxoff = False
    port.stopbits = 1
    line("3000000-8n1")
    print("baud rates, also those without a constant, stop bits and flow control are in force when set")
    port.write(bytes(range(256)))
    demand("all byte values", bytes(range(256)), port.read(256))
    port.write(b"stale")
    deadline = time.monotonic() + PATIENCE
    while port.in_waiting < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    demand("bytes that wait", 5, port.in_waiting)
    port.reset_input_buffer()
    port.write(b"fresh")
    demand("after reset_input_buffer", b"fresh", port.read(5))
    print("all byte values pass; in_waiting counts; reset_input_buffer leaves nothing stale")
    pump(port, port, 1, "there and back")
    port.close()
    again = serial.Serial(device, 115200, timeout=PATIENCE)
    line("115200-8n1")
    again.write(b"again")
    demand("opened again", b"again", again.read(5))
    print("closed and opened again")


def board():
    ours = serial.Serial(sys.argv[4], 115200, timeout=PATIENCE)
    port = serial.Serial(device, 115200, timeout=PATIENCE)
    up = threading.Thread(target=pump, args=(port, ours, 2, "client to board"), daemon=True)
    up.start()
    pump(ours, port, 3, "board to client, at the same time")
    up.join(3 * PATIENCE)
    if up.is_alive():
        sys.exit("client to board: it takes for ever")


board() if len(sys.argv) > 4 else plug()
