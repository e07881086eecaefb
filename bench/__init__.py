"""Benchmarks: one file a question; peers are set up and measured beside us in the same run."""
