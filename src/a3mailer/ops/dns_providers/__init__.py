"""Who keeps zones: one file a kind of provider (``ops/dns_provider.py`` is the door)."""
