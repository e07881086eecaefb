"""Moving mail (RFC 5598: MSA, MTA, MDA): policy, receive, route, deliver, queue, relay, bounce."""
