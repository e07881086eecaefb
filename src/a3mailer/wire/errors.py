"""The two ways a protocol goes wrong: by us or by them."""

from __future__ import annotations


class LocalProtocolError(Exception):
    """We used an engine against its rules: a bug of ours."""


class RemoteProtocolError(Exception):
    """The peer broke the protocol. The only exception a parser raises."""
