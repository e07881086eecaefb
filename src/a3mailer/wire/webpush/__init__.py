"""Web Push as its application server speaks it (RFC 8030, RFC 8291, RFC 8292); pure."""
