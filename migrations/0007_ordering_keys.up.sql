-- The ordering key itself, for sinks that give it to the receiver, as the key of a Kafka record. NULL = the id of the
-- message's base event.
ALTER TABLE outbox ADD COLUMN ordering_key text;
ALTER TABLE dead_letters ADD COLUMN ordering_key text;
