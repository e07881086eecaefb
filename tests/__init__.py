"""The test suite; ``python -m tests`` is what ``./run test`` runs."""
