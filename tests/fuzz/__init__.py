"""Fuzz targets: 10^4 cases each in CI, 10^6 with the marker `long`."""
