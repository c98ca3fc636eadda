-- What happened and has not been handed to the webhooks yet: written in the transaction that makes it so.
CREATE TABLE news (
    id TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX news_seq ON news (seq);

-- Where others want to hear of it: its JSON in `body`, with the secret that signs. `dropped` counts what gave way.
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    dropped BIGINT NOT NULL,
    body TEXT NOT NULL
);

-- What each webhook was told or is still to be told, in the order of `seq`. `status` is waiting, delivered or failed.
CREATE TABLE webhook_deliveries (
    id TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    event TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    first_tried_at BIGINT,
    next_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    ended_at BIGINT,
    outcome TEXT,
    body TEXT NOT NULL
);
CREATE INDEX webhook_deliveries_of ON webhook_deliveries (webhook_id, status, seq);
CREATE INDEX webhook_deliveries_seq ON webhook_deliveries (webhook_id, seq);
