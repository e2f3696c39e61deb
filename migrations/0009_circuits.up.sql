-- What operators see of the circuit breakers, which live in the workers: since when this worker holds the messages of
-- this subscription back.
ALTER TABLE outbox_workers ADD COLUMN circuit_open_since timestamptz;
