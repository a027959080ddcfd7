"""Remove secrets from addresses before they are shown or stored: query and user may be keys."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit


def public(address: str) -> str:
    """Return the address with a hash in place of query and user, which may be keys."""
    plain = shortened(address, len(address))
    return plain if plain == address else f"{plain}#{hashlib.sha256(address.encode()).hexdigest()}"


def shortened(address: str, most: int = 200) -> str:
    """Return the address without query and user, cut to `most` characters."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    plain = f"{parts.scheme}://{host}{parts.path}" if parts.scheme else address
    return plain if len(plain) <= most else f"...{plain[-most + 3 :]}"
