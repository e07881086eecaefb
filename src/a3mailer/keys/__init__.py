"""Envelope encryption: wrap, unwrap and rotate keys; a door to where the key-encryption key lives."""
