"""A Modbus RTU master made of pymodbus, on a socket that carries nothing but bytes or on a serial device, and a slave at
the device of the port.

usage: program.py BOARD HOST PORT
       program.py BOARD DEVICE
The slave is forty lines of ours, with a CRC of its own, so that master and slave share no code.
"""

import struct
import sys
import threading

import serial
from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient, ModbusTcpClient

board, *way = sys.argv[1:]
UNIT = 17


def crc(frame):
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return struct.pack("<H", value)


def slave(line, registers):
    """Requests of 8 bytes (read holding registers, write one register) and of function 16, one after the other."""
    while True:
        head = line.read(8)
        if len(head) < 8:
            return
        unit, function, at, count = struct.unpack(">BBHH", head[:6])
        frame = head
        if function == 16:
            frame += line.read(head[6] + 1)  # 7 bytes of head, the values, 2 of CRC
        good = crc(frame[:-2]) == frame[-2:]
        if not good or unit != UNIT:
            sys.exit(f"the slave was sent {frame.hex(' ')}")
        if at + (1 if function == 6 else count) > len(registers):
            answer = bytes((unit, function | 0x80, 2))
        elif function == 3:
            answer = struct.pack(">BBB", unit, function, 2 * count)
            answer += struct.pack(f">{count}H", *registers[at:at + count])
        elif function == 6:
            registers[at] = count
            answer = frame[:6]
        elif function == 16:
            registers[at:at + count] = struct.unpack(f">{count}H", frame[7:-2])
            answer = frame[:6]
        else:
            answer = bytes((unit, function | 0x80, 1))
        line.write(answer + crc(answer))


def demand(what, wanted, got):
    if wanted != got:
        sys.exit(f"{what}: {got!r} instead of {wanted!r}")


line = serial.Serial(board, 115200, timeout=60)
registers = [i * 257 % 65536 for i in range(1000)]
threading.Thread(target=slave, args=(line, list(registers)), daemon=True).start()

if len(way) == 2:
    master = ModbusTcpClient(way[0], port=int(way[1]), framer=FramerType.RTU, timeout=5, retries=0)
else:
    master = ModbusSerialClient(way[0], framer=FramerType.RTU, baudrate=19200, timeout=5, retries=0)
demand("connected", True, master.connect())
for at in range(0, 1000, 125):
    read = master.read_holding_registers(at, count=125, device_id=UNIT)
    demand(f"registers from {at}", registers[at:at + 125], read.registers)
print("1000 registers read, 125 at a time")
for value in (0, 0xFFFF, 0x0D0A, 0x1113):
    master.write_register(5, value, device_id=UNIT)
    demand("a register written", [value], master.read_holding_registers(5, count=1, device_id=UNIT).registers)
print("single registers written and read again, bytes FF, CR, XON and XOFF among them")
master.write_registers(100, list(range(65413, 65536)), device_id=UNIT)
demand("registers written", list(range(65413, 65536)),
       master.read_holding_registers(100, count=123, device_id=UNIT).registers)
print("123 registers written in one frame")
refused = master.read_holding_registers(999, count=2, device_id=UNIT)
demand("beyond the last register", (True, 2), (refused.isError(), refused.exception_code))
print("an exception of the slave arrives as one")
for _ in range(200):
    demand("again", [registers[7]], master.read_holding_registers(7, count=1, device_id=UNIT).registers)
print("200 requests in a row, none repeated")
master.close()
