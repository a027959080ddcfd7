"""Addresses as they may be shown and written down: query and user may be keys."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit


def public(address: str) -> str:
    """The address as it may be written down: a hash for query and user, which may be keys."""
    plain = shortened(address, len(address))
    return plain if plain == address else f"{plain}#{hashlib.sha256(address.encode()).hexdigest()}"


def shortened(address: str, most: int = 200) -> str:
    """The address without query and user, no longer than `most`."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    plain = f"{parts.scheme}://{host}{parts.path}" if parts.scheme else address
    return plain if len(plain) <= most else f"...{plain[-most + 3 :]}"
