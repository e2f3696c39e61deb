DROP VIEW service_requests;
DROP VIEW tasks;
