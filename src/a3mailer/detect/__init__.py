"""How dangerous is this mail: signals, verdict, explanation and learning will live here."""
