import * as api from "./api.js";
import { Action, Ago, Badge, duration, Empty, Page, Problem, Table, useData } from "./ui.js";
import { html } from "./htm-preact.js";

async function load() {
  const [all, lag, blocked] = await Promise.all([api.subscriptions(), api.lag(), api.blockedKeys()]);
  const byName = new Map(lag.map((one) => [one.subscription, one]));
  return { rows: all.map((one) => ({ ...one, lag: byName.get(one.name) })), blocked: blocked.items };
}

const number = (value) => (value == null ? "–" : value.toLocaleString("en"));

const columns = (reload) => [
  { title: "Name", show: (row) => html`<strong>${row.name}</strong>` },
  { title: "Sink", kind: "wide", show: (row) => html`<code>${row.sink ?? "OUTBOX_SINK of the worker"}</code>` },
  { title: "Topics", show: (row) => (row.topics ?? []).join(", ") },
  { title: "State", show: (row) => html`<${Badge} value=${row.enabled ? "enabled" : "disabled"} />
      ${row.disabled_reason && html` <small>${row.disabled_reason}</small>`}` },
  { title: "Circuit", show: (row) => html`<${Badge} value=${row.lag?.circuit ?? "unknown"} />
      ${row.lag?.circuit_open_since && html` <small>since <${Ago} time=${row.lag.circuit_open_since} /></small>`}` },
  { title: "Not sent", kind: "number", show: (row) => `${number(row.lag?.unsent)}${row.lag?.capped ? "+" : ""}` },
  { title: "Oldest", kind: "number", show: (row) => (row.lag?.unsent ? duration(row.lag.oldest_unsent_seconds) : "–") },
  { title: "Retrying", kind: "number", show: (row) => number(row.lag?.retrying) },
  { title: "Dead", kind: "number", show: (row) => row.lag?.dead_letters
      ? html`<a href=${`#/dead-letters?subscription=${encodeURIComponent(row.name)}`}>${number(row.lag.dead_letters)}</a>` : "0" },
  { title: "Workers", kind: "number", show: (row) => number(row.lag?.workers) },
  { title: "", show: (row) => html`<${Action} run=${() => api.setEnabled(row.name, !row.enabled).then(() => "")} done=${reload}
      confirm=${row.enabled ? "Stop deliveries" : undefined}>${row.enabled ? "Disable" : "Enable"}</${Action}>` },
];

const blockedColumns = [
  { title: "Subscription", show: (row) => row.subscription },
  { title: "Key", show: (row) => html`<code>${row.key}</code>` },
  { title: "Waiting", kind: "number", show: (row) => number(row.waiting) },
  { title: "Tries", kind: "number", show: (row) => row.attempts },
  { title: "Next try", show: (row) => row.next_at ?? "–" },
  { title: "Why", kind: "wide", show: (row) => row.last_error ?? "–" },
];

export function Subscriptions() {
  const { data, error, loading, reload } = useData(load, [], 3000);
  return html`<${Page} title="Subscriptions">
    <${Problem} error=${error} />
    ${data?.rows.length > 0 && html`<${Table} label="Subscriptions" columns=${columns(reload)} rows=${data.rows} />`}
    ${!loading && data?.rows.length === 0 && html`<${Empty}>There are no subscriptions.</${Empty}>`}
    ${data?.blocked.length > 0 && html`<h2>Keys that wait behind a failed message</h2>
      <${Table} label="Blocked keys" columns=${blockedColumns} rows=${data.blocked} />`}
  </${Page}>`;
}
