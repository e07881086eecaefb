"""Sieve, a language for what becomes of a mail (RFC 5228 and its extensions): pure, total and bounded.

``parser`` makes a tree of a script, ``compile`` a flat list of instructions, ``interpret`` a list of actions.
Nothing here acts: the actions are values. What a script can say is data in ``extensions``.
"""
