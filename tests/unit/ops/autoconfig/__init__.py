"""Tests of what mail programs are told."""
