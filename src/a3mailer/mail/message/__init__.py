"""The message index: one linear pass over the octets that everyone after shares."""

from a3mailer.mail.message.index import MessageIndex

__all__ = ["MessageIndex"]
