import * as api from "./api.js";
import { pause } from "./live.js";
import { Picture } from "./picture.js";
import { Ago, Badge, brief, Empty, Fields, Json, Page, Problem, Table, useData, usePages } from "./ui.js";
import { html, useState } from "./htm-preact.js";

const columns = [
  { title: "Service", show: (row) => html`<${Badge} value=${row.service} tone=${row.source_event_id ? "derived" : "base"} />` },
  { title: "Payload", kind: "wide", show: (row) => html`<code>${brief(row.payload)}</code>` },
  { title: "Key", show: (row) => row.deduplication_key ?? "–" },
  { title: "When", show: (row) => html`<${Ago} time=${row.created_at} />` },
];

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const instant = (local) => (local ? new Date(local).toISOString() : "");
const isFiltered = (filter) => Object.values(filter).some(Boolean);

function Search({ filter, change }) {
  const [draft, setDraft] = useState(filter);
  const field = (name) => ({ value: draft[name], onInput: (input) => setDraft({ ...draft, [name]: input.target.value }) });
  const submit = (event) => {
    event.preventDefault();
    const service = draft.service.trim();
    // An id is what people have at hand; it leads to the event itself.
    if (uuid.test(service)) location.hash = `#/events/${service}`;
    else change({ ...draft, service });
  };
  return html`<form class="search" role="search" onSubmit=${submit}>
    <label>Service or event id <input name="service" autocomplete="off" ...${field("service")} /></label>
    <label>Since <input type="datetime-local" step="1" ...${field("since")} /></label>
    <label>Until <input type="datetime-local" step="1" ...${field("until")} /></label>
    <button class="button" type="submit">Search</button>
    ${isFiltered(filter) && html`<button class="button" type="button" onClick=${() => { setDraft(none); change(none); }}>All</button>`}
  </form>`;
}

const none = { service: "", since: "", until: "" };

export function Events({ live }) {
  const [filter, setFilter] = useState(none);
  const wanted = { service: filter.service, since: instant(filter.since), until: instant(filter.until) };
  const { rows, error, loading, pager, firstPage } = usePages(() => api.events(wanted), api.follow, [JSON.stringify(wanted)]);
  const matches = (event) => !filter.service || event.service === filter.service;
  // What came since the page was read goes before it, as long as it is the newest page and of all times.
  const fresh = firstPage && !filter.since && !filter.until
    ? (live.recent ?? []).filter((one) => matches(one) && (rows.length === 0 || one.id > rows[0].id)) : [];
  const shown = [...fresh, ...rows];
  const toggle = html`<button class="button" aria-pressed=${Boolean(live.paused)} onClick=${() => pause(!live.paused)}>
    ${live.paused ? "Go on" : "Pause"}</button>`;
  return html`<${Page} title="Events" aside=${toggle}>
    <${Search} filter=${filter} change=${setFilter} />
    <${Problem} error=${error} />
    ${shown.length > 0 && html`<${Table} label="Events" columns=${columns} rows=${shown} link=${(row) => `#/events/${row.id}`} />`}
    ${!loading && shown.length === 0 && html`<${Empty}>No events${isFiltered(filter) ? " of this kind" : " yet"}.</${Empty}>`}
    ${pager}
  </${Page}>`;
}

export function EventDetail({ id }) {
  const { data, error } = useData(() => api.event(id), [id], 5000);
  return html`<${Page} title="Event" aside=${html`<a class="button" href="#/events">All events</a>`}>
    <${Problem} error=${error} />
    ${data && html`
      <${Fields} values=${{
        id: html`<code>${data.id}</code>`,
        service: html`<${Badge} value=${data.service} tone=${data.source_event_id ? "derived" : "base"} />`,
        stored: html`<${Ago} time=${data.created_at} />`,
        timestamp: data.timestamp,
        key: data.deduplication_key,
        "derived from": data.source_event_id ? html`<a href=${`#/events/${data.source_event_id}`}><code>${data.source_event_id}</code></a>` : undefined,
      }} />
      <div class="card"><h2>What followed</h2><${Picture} event=${data} /></div>
      ${data.validation_errors?.length > 0 && html`<div class="card"><h2>Faults of the payload</h2>
        <ul>${data.validation_errors.map((fault) => html`<li><code>${fault.field}</code> ${fault.message}</li>`)}</ul></div>`}
      <div class="columns">
        <div class="card"><h2>Payload</h2><${Json} value=${data.payload} /></div>
        ${data.normalized_payload && html`<div class="card"><h2>Normalised</h2><${Json} value=${data.normalized_payload} /></div>`}
      </div>`}
  </${Page}>`;
}
