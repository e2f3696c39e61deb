ALTER TABLE outbox_workers DROP COLUMN circuit_open_since;
