"""What administrators' verbs do, as plain calls over a store: run by a worker, or alone when none runs."""
