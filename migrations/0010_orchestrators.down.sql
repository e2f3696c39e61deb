DROP INDEX workflow_history_base_scenarios;
DROP VIEW service_requests;
DROP VIEW tasks;
