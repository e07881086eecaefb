"""Who really sent this: SPF, DKIM, DMARC, ARC, DANE and MTA-STS will live here, pure over a Resolver door."""
