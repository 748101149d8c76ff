"""Loopback: which addresses and names are this machine's own, and no other machine's."""

import functools
import ipaddress
import re

_PORT = re.compile(":[0-9]*$")


@functools.lru_cache(64)
def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own loopback address: 127.0.0.0/8, ::1, localhost."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower() == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


@functools.lru_cache(64)
def is_name_of_loopback(host: bytes, allowed: frozenset[str]) -> bool:
    """Whether a Host header has a name that only this machine can have for itself, or one that is allowed."""
    name = _PORT.sub("", host.decode("latin-1").lower())
    # Browsers never look up what ends in .localhost (RFC 6761 §6.3).
    return name in allowed or name.endswith(".localhost") or is_loopback(name.removeprefix("[").removesuffix("]"))
