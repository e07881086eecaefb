"""Backends, one file or folder each. Named only by ``app`` and by their own tests."""
