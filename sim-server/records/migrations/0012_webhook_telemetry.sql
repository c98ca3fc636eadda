-- How far a webhook was told what devices measure: the end of its last step, in Unix milliseconds. Null where it is not told.
ALTER TABLE webhooks ADD COLUMN told_through BIGINT;
