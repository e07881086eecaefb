"""Durability shown, not claimed: kills, injected errors, power cuts, exhaustion, each judged by a ledger."""
