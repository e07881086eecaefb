"""The reference backend: everything in memory, every rule of the doors, the simplest code that keeps them."""
