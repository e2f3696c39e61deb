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

// Workflows of different kinds may have one id: a link names both.
const nameOf = (row) => `${row.workflow}/${row.id}`;

function partsOf(name) {
  const at = name.indexOf("/");
  return at < 0 ? { id: name } : { workflow: name.slice(0, at), id: name.slice(at + 1) };
}

// The city guide repeats its audio as one batch.
const restartOf = (step) => (step.step.startsWith("tts:") ? "tts_batch" : step.step);

const columns = [
  { title: "Workflow", show: (row) => html`<code>${row.id}</code>` },
  { title: "Kind", show: (row) => row.workflow },
  { title: "Status", show: (row) => html`<${Badge} value=${row.status} />` },
  { title: "Began", show: (row) => html`<${Ago} time=${row.created_at} />` },
  { title: "Changed", show: (row) => html`<${Ago} time=${row.updated_at} />` },
];

export function Workflows() {
  const [status, setStatus] = useState("");
  const { rows, error, loading, pager } = usePages(() => api.workflows({ status }), api.follow, [status], 5000);
  const known = rows.map((row) => ({ ...row, key: nameOf(row) }));
  return html`<${Page} title="Workflows">
    <form class="search" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Status <input autocomplete="off" value=${status} onChange=${(input) => setStatus(input.target.value.trim())} /></label>
    </form>
    <${Problem} error=${error} />
    ${known.length > 0 && html`<${Table} label="Workflows" columns=${columns} rows=${known} link=${(row) => `#/workflows/${encodeURIComponent(nameOf(row))}`} />`}
    ${!loading && known.length === 0 && html`<${Empty}>No workflows${status && " in this state"}.</${Empty}>`}
    ${pager}
  </${Page}>`;
}

const stepColumns = ({ id, workflow }, reload) => [
  { title: "Step", show: (step) => html`<strong>${step.step}</strong>` },
  { title: "Status", show: (step) => html`<${Badge} value=${step.status} />` },
  { title: "Tries", kind: "number", show: (step) => step.attempts },
  { title: "Why", kind: "wide", show: (step) => step.error ?? "–" },
  { title: "Changed", show: (step) => html`<${Ago} time=${step.ended_at ?? step.started_at} />` },
  { title: "", show: (step) => html`<${Action} confirm="Restart from here" done=${reload}
      run=${() => api.restart(id, { step: restartOf(step), workflow }).then(() => "restarted")}>Restart</${Action}>` },
];

const BatchRestart = ({ id, workflow, reload }) => html`<${Action} confirm="Restart what failed" done=${reload}
  run=${() => api.restart(id, { step: "tts_batch", only: "failed", workflow }).then(() => "restarted")}>Restart the failed ones</${Action}>`;

export function Workflow({ id: name }) {
  const { id, workflow } = partsOf(name);
  const { data, error, reload } = useData(() => api.workflow(id, workflow), [name], 3000);
  const steps = data?.steps ?? [];
  const failedSpeech = steps.some((one) => one.step.startsWith("tts:") && one.status === "failed");
  return html`<${Page} title="Workflow" aside=${html`${failedSpeech && html`<${BatchRestart} id=${id} workflow=${workflow} reload=${reload} />`}
      <a class="button" href="#/workflows">All workflows</a>`}>
    <${Problem} error=${error} />
    ${data && html`
      <${Fields} values=${{
        id: html`<code>${id}</code>`, kind: data.workflow, status: html`<${Badge} value=${data.status} />`,
        version: data.version, error: data.error, began: data.created_at && html`<${Ago} time=${data.created_at} />`,
      }} />
      <h2>Steps</h2>
      ${steps.length ? html`<${Table} label="Steps" columns=${stepColumns({ id, workflow }, reload)} rows=${steps.map((one) => ({ ...one, key: one.step }))} />`
        : html`<${Empty}>No step has begun.</${Empty}>`}
      ${data.history?.length > 0 && html`<div class="card"><h2>History</h2><ol class="tries">${data.history.map((one) => html`<li>
        <${Ago} time=${one.at} /> <${Json} value=${one} /></li>`)}</ol></div>`}`}
  </${Page}>`;
}
