"""Who may send what to whom: stages, checks, filters and judges of a mail before it is stored."""
