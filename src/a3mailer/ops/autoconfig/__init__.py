"""What mail programs are told so that they set themselves up: one table of services, in each maker's form."""
