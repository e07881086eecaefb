"""The Merkle log, checkpoints, salted leaves and proofs will live here (pure)."""
