-- Reason: what the signature of an email was found to be is remembered (RFC 9219 section 4.1), once somebody asked.
-- NULL: nobody has asked.
-- Oldest readable version: that of 0016

ALTER TABLE fragments ADD COLUMN smime BLOB;
