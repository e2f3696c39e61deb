-- How far the keys of events that are gone were removed: a table of keys has no index on its event, so it is read
-- once for a day that was dropped, and not at every look.
CREATE TABLE retention_progress (
    subject     text PRIMARY KEY,
    done_before uuid NOT NULL
);
