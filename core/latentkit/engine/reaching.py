"""Over which network interface the processes of several machines talk, and whether all of them reach all."""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import TYPE_CHECKING

from latentkit.engine.launching import rank, size
from latentkit.errors import LatentkitError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

INTERFACE = "GLOO_SOCKET_IFNAME"
_SECONDS = 10.0
_ADDRESS_OF_INTERFACE = 0x8915  # SIOCGIFADDR of Linux


def choose_interface() -> str:
    """Have gloo talk over the interface by which the first process is reached, unless the user has chosen one.

    Left alone it takes the address that the machine's name stands for, often one that only the machine itself reaches.

    Returns:
        The address of this machine on the interface; empty where that cannot be told.
    """
    found = addresses()
    if INTERFACE in os.environ:
        return found.get(os.environ[INTERFACE], "")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))  # sends nothing
        except OSError:
            return ""
        own = str(probe.getsockname()[0])
    for name, address in found.items():
        if address == own:
            os.environ[INTERFACE] = name
            return address
    return ""


def addresses() -> dict[str, str]:
    """The address of each interface that has one; nothing on other systems than Linux."""
    if not sys.platform.startswith("linux"):
        return {}
    import fcntl

    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            try:
                answer = fcntl.ioctl(probe.fileno(), _ADDRESS_OF_INTERFACE, request)
            except OSError:  # it has none
                continue
            found[name] = socket.inet_ntoa(answer[20:24])
    return found


def reach_all(store: Store, address: str) -> None:
    """Try whether each process can connect to each other one.

    Args:
        store: where they tell each other.
        address: of this process.

    Raises:
        LatentkitError: in all of them alike: who does not reach whom.
    """
    with socket.create_server((address, 0)) as listening:
        store.set(f"address {rank()}", f"{address} {listening.getsockname()[1]}")
        fault = ""
        for other in range(size()):
            host, port = str(store.get(f"address {other}"), "ascii").split()
            try:
                socket.create_connection((host, int(port)), _SECONDS).close()
            except OSError as error:
                over = os.environ.get(INTERFACE)
                fault = (
                    f"process {rank()} does not reach process {other} at {host}: {error.strerror or error}\n"
                    f"  They talk over the network interface {over}; set {INTERFACE} to take another one"
                )
                break
        store.set(f"reaches {rank()}", fault)
        faults = [str(store.get(f"reaches {other}"), "utf-8") for other in range(size())]
    for fault in faults:
        if fault:
            raise LatentkitError(fault)
