-- Reason: the secrets of hooks are sealed under the key of their account; those that are in clear are found by this.
-- Oldest readable version: this one (an older one cannot read what is sealed).

CREATE INDEX documents_hooks ON documents (account) WHERE kind = 'hook';
