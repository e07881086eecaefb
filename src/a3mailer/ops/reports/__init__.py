"""Reports: ours to others, and those of others about us."""
