"""Reads our server's /metrics: what it counted itself."""

import http.client
from typing import Final

TIMEOUT: Final = 10


def scrape(port: int) -> dict[str, float]:
    """Every sample by its name with labels, as printed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise OSError(f"/metrics answered {answer.status}")
    pairs = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}
