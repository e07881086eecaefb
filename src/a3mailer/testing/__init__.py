"""Compliance suites, fakes, fault injectors and the transcript player, for our tests and for plug-in authors."""
