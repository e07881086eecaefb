"""The index of texts: sealed volumes of each account's mails, in files of their own (ADR 0037)."""
