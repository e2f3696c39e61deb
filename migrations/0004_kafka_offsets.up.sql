-- Where a consumer group stands in each partition, advanced in the transaction of the events themselves: a message is
-- stored exactly once, whatever happens to consumers, brokers or this database.
CREATE TABLE kafka_offsets (
    consumer_group text NOT NULL,
    topic          text NOT NULL,
    partition      integer NOT NULL,
    next_offset    bigint NOT NULL,
    stored_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, partition)
) WITH (fillfactor = 20);

-- What came over Kafka and could not become an event, too. `service` is empty where none could be told.
ALTER TABLE quarantine
    ADD COLUMN reason text NOT NULL DEFAULT 'invalid',
    ADD COLUMN detail text NOT NULL DEFAULT '',
    ADD COLUMN consumer_group text,
    ADD COLUMN topic text,
    ADD COLUMN partition integer,
    ADD COLUMN message_offset bigint,
    ADD COLUMN message_key bytea,
    ADD COLUMN headers jsonb;

-- The second line of defence: the database itself refuses to keep a message twice.
CREATE UNIQUE INDEX quarantine_message ON quarantine (topic, partition, message_offset, consumer_group) WHERE topic IS NOT NULL;
