-- Reason: the unique-id of a message in a maildrop (RFC 1939 section 7) stays when another one of the same email goes.
-- Oldest readable version: that of 0015
--
-- Of the messages of one email in INBOX each has its own number: 0 for the first, for others the uid they once came
-- in with. COPY and MOVE take it along. The unique-ids that were given out until now stay.

ALTER TABLE messages ADD COLUMN twin INTEGER NOT NULL DEFAULT 0;
CREATE INDEX messages_twins ON messages (account, mailbox, uid, twin) WHERE twin <> 0;

UPDATE messages SET twin = uid WHERE mailbox = 1 AND copied = 1 AND (
    EXISTS (SELECT 1 FROM messages o INDEXED BY messages_copied
        WHERE o.account = messages.account AND o.email = messages.email AND o.copied = 1
            AND o.mailbox = 1 AND o.uid < messages.uid)
    OR EXISTS (SELECT 1 FROM fragments f JOIN messages o
            ON o.account = messages.account AND o.mailbox = 1 AND o.uid = f.uid AND o.copied = 0
        WHERE f.id = (messages.account << 32 | messages.email) AND f.mailbox = 1 AND f.uid < messages.uid)
);
