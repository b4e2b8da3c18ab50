"""An ESP8266 in its ROM loader, as far as `esptool --no-stub read-mac` needs it, at the device of the port.

usage: program.py DEVICE
It answers SYNC as the ROM does, eight times, and reading of registers; every other command is accepted.
"""

import struct
import sys

import serial

SYNC, READ_REG = 0x08, 0x0A
REGISTERS = {
    0x40001000: 0xFFF0C101,  # what chip this is
    0x3FF00050: 0x44000000,  # the MAC address, in three words: 18:fe:34:22:33:44
    0x3FF00054: 0x00002233,
    0x3FF0005C: 0,
    0x60000014: 451,  # the divisor of its UART, by which its crystal is known
}

board = serial.Serial(sys.argv[1], 115200, timeout=None)
print("ready", flush=True)


def answer(op, value):
    packet = struct.pack("<BBHI", 1, op, 2, value) + b"\0\0"
    escaped = packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    board.write(b"\xc0" + escaped + b"\xc0")


while True:
    packet = board.read_until(b"\xc0")[:-1]
    packet = packet.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
    if len(packet) < 8 or packet[0] != 0:
        continue  # the delimiter that begins a packet, or line noise
    op = packet[1]
    if op == SYNC:
        for _ in range(8):
            answer(op, 0x20120707)
    elif op == READ_REG:
        answer(op, REGISTERS.get(struct.unpack("<I", packet[8:12])[0], 0))
    else:
        answer(op, 0)
