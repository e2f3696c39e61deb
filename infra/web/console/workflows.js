// Shown only where the API has workflows; answers 404 where it has none.
import * as api from "./api.js";
import { Action, Ago, Badge, Empty, Fields, Json, Page, Problem, Table, useData, usePages } from "./ui.js";
import { html, useEffect, useState } from "./htm-preact.js";

export function useWorkflowsServed() {
  const [served, setServed] = useState(false);
  useEffect(() => {
    api.workflows({ limit: 1 }).then(() => setServed(true), (error) => setServed(error.status !== 404 && error.status !== 0));
  }, []);
  return served;
}

const idOf = (row) => row.id ?? row.workflow_id ?? row.route_id;
const kindOf = (row) => row.workflow ?? row.definition ?? row.type ?? row.kind ?? "–";
const triesOf = (step) => step.attempts ?? step.retries ?? 0;

const columns = [
  { title: "Workflow", show: (row) => html`<code>${idOf(row)}</code>` },
  { title: "Kind", show: (row) => kindOf(row) },
  { title: "Status", show: (row) => html`<${Badge} value=${row.status} />` },
  { title: "Began", show: (row) => html`<${Ago} time=${row.created_at ?? row.started_at} />` },
  { title: "Changed", show: (row) => html`<${Ago} time=${row.updated_at} />` },
];

export function Workflows() {
  const [status, setStatus] = useState("");
  const { rows, error, loading, pager } = usePages(() => api.workflows({ status }), api.follow, [status], 5000);
  const known = rows.map((row) => ({ ...row, key: idOf(row) }));
  return html`<${Page} title="Workflows">
    <form class="search" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Status <input autocomplete="off" value=${status} onChange=${(input) => setStatus(input.target.value.trim())} /></label>
    </form>
    <${Problem} error=${error} />
    ${known.length > 0 && html`<${Table} label="Workflows" columns=${columns} rows=${known} link=${(row) => `#/workflows/${encodeURIComponent(idOf(row))}`} />`}
    ${!loading && known.length === 0 && html`<${Empty}>No workflows${status && " in this state"}.</${Empty}>`}
    ${pager}
  </${Page}>`;
}

const stepColumns = (id, reload) => [
  { title: "Step", show: (step) => html`<strong>${step.step ?? step.name}</strong>` },
  { title: "Status", show: (step) => html`<${Badge} value=${step.status} />` },
  { title: "Tries", kind: "number", show: triesOf },
  { title: "Why", kind: "wide", show: (step) => step.error ?? step.last_error ?? "–" },
  { title: "Changed", show: (step) => html`<${Ago} time=${step.updated_at ?? step.finished_at ?? step.started_at} />` },
  { title: "", show: (step) => html`<${Action} confirm="Restart from here" done=${reload}
      run=${() => api.restart(id, (step.step ?? step.name).split(":")[0]).then(() => "restarted")}>Restart</${Action}>` },
];

const BatchRestart = ({ id, reload }) => html`<${Action} confirm="Restart what failed" done=${reload}
  run=${() => api.restart(id, "tts_batch", "failed").then(() => "restarted")}>Restart the failed ones</${Action}>`;

export function Workflow({ id }) {
  const { data, error, reload } = useData(() => api.workflow(id), [id], 3000);
  const steps = data?.steps ?? [];
  const failedSpeech = steps.some((one) => (one.step ?? "").startsWith("tts:") && one.status === "failed");
  return html`<${Page} title="Workflow" aside=${html`${failedSpeech && html`<${BatchRestart} id=${id} reload=${reload} />`}
      <a class="button" href="#/workflows">All workflows</a>`}>
    <${Problem} error=${error} />
    ${data && html`
      <${Fields} values=${{
        id: html`<code>${id}</code>`, kind: kindOf(data), status: html`<${Badge} value=${data.status} />`,
        version: data.version, error: data.error, began: data.created_at && html`<${Ago} time=${data.created_at} />`,
      }} />
      <h2>Steps</h2>
      ${steps.length ? html`<${Table} label="Steps" columns=${stepColumns(id, reload)} rows=${steps.map((one) => ({ ...one, key: one.step ?? one.name }))} />`
        : html`<${Empty}>No step has begun.</${Empty}>`}
      ${data.history?.length > 0 && html`<div class="card"><h2>History</h2><ol class="tries">${data.history.map((one) => html`<li>
        <${Ago} time=${one.at ?? one.created_at} /> <${Json} value=${one} /></li>`)}</ol></div>`}`}
  </${Page}>`;
}
