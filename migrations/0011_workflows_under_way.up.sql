-- For the metrics: the workflows under way, the oldest first, without reading those that have ended. It holds no status, so
-- that a turn that changes only that stays a HOT update.
CREATE INDEX workflow_instances_under_way ON workflow_instances (first_event) WHERE NOT ended;
