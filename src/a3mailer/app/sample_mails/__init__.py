"""Mails that try-it mode delivers to itself at first: plain, threaded, encoded, attached, and a phish."""
