"""Rules of the store stated with small values; every backend is held to them beside the compliance suite."""
