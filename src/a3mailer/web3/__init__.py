"""DID methods, contracts, content-addressed storage and anchors will live here; the core works without it."""
