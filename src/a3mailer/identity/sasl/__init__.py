"""SASL mechanisms (RFC 4422), one file each; the table is MECHANISMS in ``offer.py``."""
