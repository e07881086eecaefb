"""Running the house: health, audit, backup, limits, alerts."""
