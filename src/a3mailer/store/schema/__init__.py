"""Numbered SQL migrations, each with its reason."""
