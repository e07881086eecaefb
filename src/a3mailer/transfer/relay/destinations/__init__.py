"""How a domain's hosts are found by its MX records, and what its TLSA records demand of them (DANE)."""
