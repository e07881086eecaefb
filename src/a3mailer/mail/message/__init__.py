"""The message index: one linear pass over the octets of a mail that everyone after shares.

Pure: the standard library only, no I/O. `index` never raises, whatever the octets are; `limits` names every
bound. RFC 5322, 2045 to 2047, 2231, 9051 (ENVELOPE, BODYSTRUCTURE, part specifiers), 5256, 8970.
"""

from a3mailer.mail.message.addresses import Address, Group
from a3mailer.mail.message.index import MessageIndex, glance, index
from a3mailer.mail.message.octets import Octets
from a3mailer.mail.message.parts import Part

__all__ = ["Address", "Group", "MessageIndex", "Octets", "Part", "glance", "index"]
