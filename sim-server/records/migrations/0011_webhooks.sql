-- What happened and has not been handed to the webhooks yet: written in the transaction that makes it so.
CREATE TABLE news (
    id TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    device_id TEXT,
    body TEXT NOT NULL
);
CREATE INDEX news_seq ON news (seq);

-- Which devices were last said to be online: what has become of one is news only where it differs.
CREATE TABLE device_presence (
    device_id TEXT PRIMARY KEY,
    online BIGINT NOT NULL
);

-- Where others want to hear of it: its JSON in `body`, with the secret that signs. `last_seq` numbers its deliveries.
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    body TEXT NOT NULL
);

-- What each webhook was told or is still to be told, in the order of `seq`. `status` is waiting, delivered or dead.
CREATE TABLE webhook_deliveries (
    id TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    event TEXT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    queued_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    ended_at BIGINT,
    outcome TEXT
);
CREATE INDEX webhook_deliveries_of ON webhook_deliveries (webhook_id, status, seq);
CREATE INDEX webhook_deliveries_seq ON webhook_deliveries (webhook_id, seq);
