"""JMAP on the wire (RFC 8620): requests, references to results, patches, values and errors; sans I/O."""
