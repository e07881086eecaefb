"""Addresses that lead on or come back: SRS, VERP, ARC sets of forwarded mail, masked addresses."""
