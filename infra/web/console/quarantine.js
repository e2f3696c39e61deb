import * as api from "./api.js";
import { Action, Ago, Badge, Empty, Fields, Json, Page, Problem, Table, useData, usePages } from "./ui.js";
import { html, useState } from "./htm-preact.js";

const columns = (reload) => [
  { title: "Reason", show: (row) => html`<${Badge} value=${row.reason} tone="bad" />` },
  { title: "Service", show: (row) => row.service ?? "–" },
  { title: "From", show: (row) => (row.message ? `${row.message.topic} ${row.message.partition}/${row.message.offset}` : "HTTP") },
  { title: "What is wrong", kind: "wide", show: (row) => row.detail || row.errors.map((one) => `${one.field} ${one.message}`).join("; ") },
  { title: "Bytes", kind: "number", show: (row) => row.bytes.toLocaleString("en") },
  { title: "When", show: (row) => html`<${Ago} time=${row.created_at} />` },
  { title: "", show: (row) => html`<${Action} run=${() => api.retryQuarantined(row.id).then(() => "stored")} done=${reload}>Retry</${Action}>` },
];

export function Quarantine() {
  const [service, setService] = useState("");
  const { rows, error, loading, pager, reload } = usePages(() => api.quarantine({ service }), api.follow, [service], 5000);
  return html`<${Page} title="Quarantine">
    <form class="search" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Service <input autocomplete="off" value=${service} onChange=${(input) => setService(input.target.value.trim())} /></label>
    </form>
    <${Problem} error=${error} />
    ${rows.length > 0 && html`<${Table} label="Quarantine" columns=${columns(reload)} rows=${rows} link=${(row) => `#/quarantine/${row.id}`} />`}
    ${!loading && rows.length === 0 && html`<${Empty}>Nothing is in quarantine${service && " of this service"}.</${Empty}>`}
    ${pager}
  </${Page}>`;
}

async function load(id) {
  const [item, body] = await Promise.all([api.quarantined(id), api.quarantineBody(id)]);
  return { item, body };
}

export function Kept({ id }) {
  const { data, error } = useData(() => load(id), [id]);
  const item = data?.item;
  const action = item && html`<${Action} kind="primary" run=${() => api.retryQuarantined(id).then((told) => {
    location.hash = `#/events/${told.stored_event_id}`;
    return "stored";
  })}>Retry</${Action}>`;
  return html`<${Page} title="In quarantine" aside=${html`${action} <a class="button" href="#/quarantine">All of it</a>`}>
    <${Problem} error=${error} />
    ${item && html`
      <${Fields} values=${{
        reason: html`<${Badge} value=${item.reason} tone="bad" />`, service: item.service, detail: item.detail || undefined,
        since: html`<${Ago} time=${item.created_at} />`,
        from: item.message ? `${item.message.topic}, partition ${item.message.partition}, offset ${item.message.offset}` : "HTTP",
      }} />
      ${item.errors.length > 0 && html`<div class="card"><h2>Faults</h2><ul>${item.errors.map((one) => html`<li><code>${one.field}</code> ${one.message}</li>`)}</ul></div>`}
      <div class="card"><h2>As it came</h2><${Json} text=${data.body} /></div>`}
  </${Page}>`;
}
