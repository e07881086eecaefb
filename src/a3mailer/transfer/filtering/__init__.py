"""Sieve at delivery (RFC 5228): the scripts of a domain's operator and of the account, and what they do."""
