"""A client made of pyserial, and what it must see. Each line printed is something that was found to be so.

usage: program.py WAY URL UART GATEWAY [BOARD]

WAY is `plug` (the port is a loopback plug), `board` (this program also is the board, at the device BOARD) or `bytes`
(URL carries nothing but bytes, and the port is a loopback plug). UART is the program `uart`, for a second opinion of
what is in force.
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
PATIENCE = 20

way, url, uart, gateway = sys.argv[1:5]


def info():
    said = subprocess.run([uart, "--gateway", gateway, "info", "board0", "--json"],
                          stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
    return json.loads(said.stdout)


def demand(what, wanted, got):
    if wanted != got:
        sys.exit(f"{what}: {got!r} instead of {wanted!r}")


def eventually(what, wanted, get):
    deadline = time.monotonic() + PATIENCE
    while (got := get()) != wanted:
        if time.monotonic() > deadline:
            demand(what, wanted, got)
        time.sleep(0.01)


def noise(seed):
    """A megabyte in which every byte value occurs, and IAC more often than others."""
    data = bytearray(random.Random(seed).randbytes(MEGABYTE))
    data[1000:1256] = bytes(range(256))
    data[5000:5100] = b"\xff" * 100
    return bytes(data)


def pump(source, sink, data, what):
    """Writes to the one while reading from the other; all must arrive, and nothing else."""
    failed = []

    def write():
        try:
            for at in range(0, len(data), 16384):
                source.write(data[at:at + 16384])
        except Exception as error:
            failed.append(error)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    arrived = bytearray()
    deadline = time.monotonic() + 3 * PATIENCE
    while len(arrived) < len(data) and time.monotonic() < deadline and not failed:
        arrived += sink.read(min(65536, len(data) - len(arrived)))
    writer.join(PATIENCE)
    if failed:
        sys.exit(f"{what}: {failed[0]!r}")
    demand(f"{what}: length", len(data), len(arrived))
    demand(f"{what}: SHA-256", hashlib.sha256(data).hexdigest(), hashlib.sha256(arrived).hexdigest())
    print(f"{what}: 1 MB, SHA-256 equal")


def settings(port):
    begin = time.monotonic()
    for baud in (50, 255, 300, 9600, 65535, 115200, 1000000, 4000000):
        port.baudrate = baud
        demand("baud rate", f"{baud}-8n1", info()["line"])
    port.baudrate = 19200
    for bits in (5, 6, 7, 8):
        port.bytesize = bits
        demand("data bits", f"19200-{bits}n1", info()["line"])
    for parity in "OEMSN":
        port.parity = parity
        demand("parity", f"19200-8{parity.lower()}1", info()["line"])
    for stop, name in ((1.5, "1.5"), (2, "2"), (1, "1")):
        port.stopbits = stop
        demand("stop bits", f"19200-8n{name}", info()["line"])
    for flow in ("rtscts", "xonxoff"):
        setattr(port, flow, True)
        demand("flow control", f"19200-8n1-{flow}", info()["line"])
        setattr(port, flow, False)
        demand("flow control", "19200-8n1", info()["line"])
    print(f"every setting was acknowledged and is in force ({time.monotonic() - begin:.1f} s)")


def purge(port, fill):
    fill(b"\x00\xffstale")
    eventually("bytes to purge", 7, lambda: port.in_waiting)
    port.reset_input_buffer()
    demand("after the purge", 0, port.in_waiting)
    port.reset_output_buffer()
    fill(b"fresh")
    demand("after the purge", b"fresh", port.read(5))
    print("purge of both buffers is acknowledged, and nothing stale is left")


def plug():
    port = opened()
    settings(port)
    for name, seen in (("rts", ("cts",)), ("dtr", ("dsr", "cd"))):
        for on in (False, True):
            setattr(port, name, on)
            demand(f"{name} at the gateway", on, info()["outputs"][name])
            for line in seen:
                eventually(f"{line} after {name}={on}", on, lambda: getattr(port, line))
    demand("RI", False, port.ri)
    print("RTS is seen at CTS, DTR at DSR and DCD, without asking")
    breaks = info()["counters"]["breaks"]
    port.break_condition = True
    port.break_condition = False
    port.send_break(0.05)
    eventually("breaks", breaks + 2, lambda: info()["counters"]["breaks"])
    print("break on and off, and a break of a length, reach the plug")
    purge(port, port.write)
    pump(port, port, noise(1), "there and back")
    port.close()

    polling = serial.serial_for_url(url + "?poll_modem", timeout=PATIENCE)
    polling.rts = False
    time.sleep(0.35)  # pyserial asks again when what it knows is older than 0.3 s.
    begin = time.monotonic()
    demand("CTS when asked", False, polling.cts)
    demand("DSR when asked", True, polling.dsr)
    if time.monotonic() - begin > 2:
        sys.exit("the modem state was not answered, pyserial used what it knew")
    polling.close()
    print("the modem state is answered when pyserial asks for it")

    lenient = serial.serial_for_url(url + "?ign_set_control", timeout=PATIENCE)
    lenient.write(b"lenient")
    demand("with ign_set_control", b"lenient", lenient.read(7))
    lenient.close()
    print("ign_set_control, which it does not need, does no harm")


def board():
    device = serial.Serial(sys.argv[5], 115200, timeout=PATIENCE)
    port = opened()
    settings(port)
    for name in ("rts", "dtr"):
        for on in (False, True):
            setattr(port, name, on)
            demand(f"{name}, remembered", on, info()["outputs"][name])
    demand("CTS, DSR, DCD, RI of a device without them", (True, True, True, False),
           (port.cts, port.dsr, port.cd, port.ri))
    port.send_break(0.05)
    print("signals are acknowledged and remembered, breaks are acknowledged")
    purge(port, device.write)
    both_ways(port, device)
    port.close()
    device.close()


def both_ways(port, device):
    up = threading.Thread(target=pump, args=(port, device, noise(2), "client to board"), daemon=True)
    up.start()
    pump(device, port, noise(3), "board to client, at the same time")
    up.join(3 * PATIENCE)
    if up.is_alive():
        sys.exit("client to board: it takes for ever")


def bytes_only():
    port = serial.serial_for_url(url, timeout=PATIENCE)
    port.write(bytes(range(256)))
    got = bytearray()
    while len(got) < 256 and (more := port.read(256 - len(got))):
        got += more
    demand("all byte values", bytes(range(256)), bytes(got))
    pump(port, port, noise(4), "there and back")
    port.close()
    if len(sys.argv) > 5:
        device = serial.Serial(sys.argv[5], 115200, timeout=PATIENCE)
        both_ways(serial.serial_for_url(url, timeout=PATIENCE), device)


def opened():
    begin = time.monotonic()
    port = serial.serial_for_url(url, 115200, timeout=PATIENCE)
    took = time.monotonic() - begin
    # Its own waits of 50 ms add up to 0.4 s; one answer that it misses costs it 3 s more.
    if took > 3:
        sys.exit(f"opening took {took:.1f} s: pyserial waited for an answer that never came")
    print(f"open, {serial.__version__}, without ign_set_control ({took:.2f} s)")
    return port


{"plug": plug, "board": board, "bytes": bytes_only}[way]()
