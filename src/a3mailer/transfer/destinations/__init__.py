"""How a domain's hosts are found: by its MX records today; DANE and MTA-STS stand here when they come."""
