"""Certificates from an authority that speaks ACME (RFC 8555): our own client (ADR 0026)."""
