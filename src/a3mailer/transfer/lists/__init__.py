"""Mailing lists (ADR 0029): who is on one, what a mail to it comes to, and the commands it takes by mail."""
