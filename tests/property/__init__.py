"""Properties of parsers and engines that hold for any input (hypothesis)."""
