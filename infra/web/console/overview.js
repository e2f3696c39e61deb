import * as api from "./api.js";
import { Ago, Badge, brief, duration, Empty, Page, Problem, Sparkline, useData } from "./ui.js";
import { html } from "./htm-preact.js";

const refresh = 5000;

async function load() {
  const [ready, samples, lag] = await Promise.all([api.ready(), api.metrics(), api.lag()]);
  return { ready, samples, lag };
}

const Tile = ({ title, value, note, href, tone = "" }) => html`<a class=${`tile ${tone}`} href=${href}>
  <span class="tile-title">${title}</span><span class="tile-value">${value}</span><span class="tile-note">${note}</span>
</a>`;

function Health({ data }) {
  const { samples, lag, ready } = data;
  const errors = api.sum(samples, "http_requests_total", (labels) => labels.status.startsWith("5"));
  const unsent = lag.reduce((total, one) => total + one.unsent, 0);
  const oldest = Math.max(0, ...lag.map((one) => one.oldest_unsent_seconds ?? 0));
  const dead = lag.reduce((total, one) => total + one.dead_letters, 0);
  const open = lag.filter((one) => one.circuit === "open").map((one) => one.subscription);
  const workers = Math.max(0, ...lag.map((one) => one.workers));
  return html`<div class="tiles">
    <${Tile} title="This API" value=${ready.ready ? "ready" : "not ready"} note=${ready.reason || "database and schema are fine"}
      href="#/overview" tone=${ready.ready ? "good" : "bad"} />
    <${Tile} title="Messages not sent" value=${unsent.toLocaleString("en")} note=${unsent ? `the oldest for ${duration(oldest)}` : "all are sent"}
      href="#/subscriptions" tone=${oldest > 60 ? "bad" : ""} />
    <${Tile} title="Workers" value=${workers} note=${workers ? "deliver" : "nobody delivers"} href="#/subscriptions" tone=${workers ? "" : "bad"} />
    <${Tile} title="Circuits open" value=${open.length} note=${open.join(", ") || "every destination answers"}
      href="#/subscriptions" tone=${open.length ? "bad" : ""} />
    <${Tile} title="Dead letters" value=${dead.toLocaleString("en")} note="can be replayed" href="#/dead-letters" tone=${dead ? "wait" : ""} />
    <${Tile} title="Answers 5xx" value=${errors.toLocaleString("en")} note="since this API started" href="#/overview" tone=${errors ? "wait" : ""} />
  </div>`;
}

export function Overview({ live }) {
  const { data, error } = useData(load, [], refresh);
  const minute = live.rate ?? [];
  const perSecond = minute.slice(-11, -1).reduce((total, one) => total + one, 0) / 10;
  return html`<${Page} title="Overview">
    <${Problem} error=${error} />
    ${data && html`<${Health} data=${data} />`}
    <div class="card">
      <h2>Events</h2>
      <p class="rate"><strong>${perSecond.toFixed(1)}</strong> a second, over the last ten</p>
      <${Sparkline} values=${minute} label=${`Events in each second of the last minute, now ${perSecond.toFixed(1)} a second`} />
      ${live.recent?.length
        ? html`<ul class="feed">${live.recent.slice(0, 12).map((event) => html`<li key=${event.id}>
            <a href=${`#/events/${event.id}`}><${Badge} value=${event.service} tone=${event.source_event_id ? "derived" : "base"} />
            <code>${brief(event.payload)}</code></a> <${Ago} time=${event.created_at} /></li>`)}</ul>`
        : html`<${Empty}>What happens from now on appears here.</${Empty}>`}
    </div>
  </${Page}>`;
}
