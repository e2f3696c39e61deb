import * as api from "./api.js";
import { Action, Ago, Badge, Empty, Fields, Json, Page, Problem, Table, useData, usePages } from "./ui.js";
import { html, useState } from "./htm-preact.js";

const columns = (reload) => [
  { title: "Topic", show: (row) => html`<code>${row.topic}</code>` },
  { title: "Subscription", show: (row) => row.subscription },
  { title: "Reason", show: (row) => html`<${Badge} value=${row.reason} tone="bad" />` },
  { title: "Tries", kind: "number", show: (row) => row.attempts },
  { title: "Why", kind: "wide", show: (row) => row.last_error },
  { title: "Died", show: (row) => html`<${Ago} time=${row.died_at} />` },
  { title: "", show: (row) => html`<${Action} run=${() => api.replay(row.id).then(() => "on its way")} done=${reload}>Replay</${Action}>` },
];

function Filter({ filter, change }) {
  const set = (name) => ({ value: filter[name], onChange: (input) => change({ ...filter, [name]: input.target.value.trim() }) });
  return html`<form class="search" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label>Subscription <input autocomplete="off" ...${set("subscription")} /></label>
    <label>Topic <input autocomplete="off" ...${set("topic")} /></label>
    <label>Reason <select ...${set("reason")}>
      <option value="">any</option>${["destination", "poison", "ours", "parked"].map((one) => html`<option>${one}</option>`)}
    </select></label>
  </form>`;
}

export function DeadLetters({ query }) {
  const [filter, setFilter] = useState({ subscription: query.get("subscription") ?? "", topic: "", reason: "" });
  const { rows, error, loading, pager, reload } = usePages(() => api.deadLetters(filter), api.follow, [JSON.stringify(filter)], 5000);
  const wanted = Object.fromEntries(Object.entries(filter).filter(([, value]) => value));
  const all = html`<${Action} confirm="Replay all that match" run=${() => api.replayAll(wanted).then((told) => told.replayed == null ? "on their way" : `${told.replayed} on their way`)}
    done=${reload} disabled=${rows.length === 0}>Replay all</${Action}>`;
  return html`<${Page} title="Dead letters" aside=${all}>
    <${Filter} filter=${filter} change=${setFilter} />
    <${Problem} error=${error} />
    ${rows.length > 0 && html`<${Table} label="Dead letters" columns=${columns(reload)} rows=${rows} link=${(row) => `#/dead-letters/${row.id}`} />`}
    ${!loading && rows.length === 0 && html`<${Empty}>No dead letters${Object.keys(wanted).length ? " of this kind" : ": everything was delivered or is being tried"}.</${Empty}>`}
    ${pager}
  </${Page}>`;
}

export function DeadLetter({ id }) {
  const { data, error, reload } = useData(() => api.deadLetter(id), [id], 5000);
  const action = data && html`<${Action} kind="primary" run=${() => api.replay(id).then(() => "on its way")} done=${reload}>Replay</${Action}>`;
  return html`<${Page} title="Dead letter" aside=${html`${action} <a class="button" href="#/dead-letters">All dead letters</a>`}>
    <${Problem} error=${error} />
    ${data && html`
      <${Fields} values=${{
        topic: html`<code>${data.topic}</code>`, subscription: data.subscription, reason: html`<${Badge} value=${data.reason} tone="bad" />`,
        event: html`<a href=${`#/events/${data.event_id}`}><code>${data.event_id}</code></a>`, died: html`<${Ago} time=${data.died_at} />`,
        replayed: data.replayed_at ? html`<${Ago} time=${data.replayed_at} />` : "no", why: data.last_error,
      }} />
      <div class="columns">
        <div class="card"><h2>Tries</h2>${data.tries?.length
          ? html`<ol class="tries">${data.tries.map((one) => html`<li><${Ago} time=${one.at} /> ${one.status ? html`<${Badge} value=${String(one.status)} tone="bad" />` : ""} ${one.error}
              ${one.excerpt && html`<${Json} text=${one.excerpt} />`}</li>`)}</ol>`
          : html`<${Empty}>It was never tried.</${Empty}>`}</div>
        <div class="card"><h2>Payload</h2><${Json} value=${data.payload} /></div>
      </div>`}
  </${Page}>`;
}
