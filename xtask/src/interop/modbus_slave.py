"""A Modbus RTU slave made of pymodbus, at a serial device.

usage: program.py DEVICE
Unit 17. Holding register n is 257 * n, input register n is 1000 + n; coils and discrete inputs are off and on in turn.
"""

import sys

from pymodbus import FramerType
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import StartSerialServer


def block(value):
    """Addresses on the wire begin at 0, and the device's own at 1."""
    return ModbusSequentialDataBlock(1, [value(n) for n in range(100)])


device = ModbusDeviceContext(
    di=block(lambda n: n % 2 == 1),
    co=block(lambda n: n % 2 == 0),
    hr=block(lambda n: 257 * n),
    ir=block(lambda n: 1000 + n),
)
StartSerialServer(
    ModbusServerContext(devices={17: device}, single=False),
    framer=FramerType.RTU,
    port=sys.argv[1],
    baudrate=19200,
)
