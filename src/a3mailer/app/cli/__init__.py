"""The command line: one file a verb family, on top of the control socket."""
