-- Tasks of the orchestrator 001, as its two tables showed them: views, because the workflow's row knows it all.

CREATE VIEW tasks AS
SELECT first_event AS id,
       id AS task_id,
       data->>'task_name' AS task_name,
       data->>'task_description' AS task_description,
       upper(status) AS status,                         -- PENDING, IN_PROGRESS, COMPLETED, FAILED
       uuid7_time(first_event) AS created_at,
       updated_at,
       nullif(data->'payload', 'null') AS payload,
       nullif(error, '') AS error_message
FROM workflow_instances
WHERE workflow = 'task';

-- One row a service that a task needs. The ids are those of the first item.
CREATE VIEW service_requests AS
SELECT md5(w.id || '/' || (s.value->>'step'))::uuid AS id,
       w.id AS task_id,
       s.value->>'step' AS service_name,
       wanted.items->0->>'scenario_id' AS scenario_id,
       wanted.items->0->>'business_type_id' AS business_type_id,
       CASE s.value->>'status' WHEN 'pending' THEN 'PENDING' WHEN 'completed' THEN 'COMPLETED' ELSE 'FAILED' END AS status,
       to_timestamp((s.value->>'started_at')::bigint / 1000000.0) AS created_at,
       to_timestamp(coalesce(s.value->>'ended_at', s.value->>'started_at')::bigint / 1000000.0) AS updated_at,
       jsonb_build_object('items', wanted.items) AS request_payload,
       s.value->'data'->'response' AS response_payload,
       s.value->>'error' AS error_message,
       s.number
FROM workflow_instances w
CROSS JOIN jsonb_array_elements(w.steps) WITH ORDINALITY s(value, number)
CROSS JOIN LATERAL (SELECT jsonb_agg(i.item->(s.value->>'step') ORDER BY i.number) AS items
                    FROM jsonb_array_elements(w.data->'payload') WITH ORDINALITY i(item, number)
                    WHERE jsonb_typeof(i.item->(s.value->>'step')) = 'object') wanted
WHERE w.workflow = 'task' AND s.value->>'step' <> 'hub';

-- For the metrics of base scenarios, which are counted at every look; the tables hold all other workflows too.
CREATE INDEX workflow_history_base_scenarios ON workflow_history (workflow, id) INCLUDE (number, status, at)
WHERE workflow IN ('project-created', 'regional-scenario-created');
