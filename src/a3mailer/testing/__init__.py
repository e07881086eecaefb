"""Compliance suites, fakes, fault injectors and the transcript player, shipped for plug-in authors."""
