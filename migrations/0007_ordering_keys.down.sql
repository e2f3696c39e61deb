ALTER TABLE dead_letters DROP COLUMN ordering_key;
ALTER TABLE outbox DROP COLUMN ordering_key;
