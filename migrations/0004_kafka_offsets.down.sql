DROP INDEX quarantine_message;
DELETE FROM quarantine WHERE topic IS NOT NULL;
ALTER TABLE quarantine
    DROP COLUMN reason,
    DROP COLUMN detail,
    DROP COLUMN consumer_group,
    DROP COLUMN topic,
    DROP COLUMN partition,
    DROP COLUMN message_offset,
    DROP COLUMN message_key,
    DROP COLUMN headers;
DROP TABLE kafka_offsets;
