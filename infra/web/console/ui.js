// The parts that the views are made of.
import { html, useCallback, useEffect, useRef, useState } from "./htm-preact.js";

// What `load` gives, again every `interval` ms while the page is visible.
export function useData(load, dependencies = [], interval = 0) {
  const [state, setState] = useState({ data: null, error: null, loading: true });
  const turn = useRef(0);
  const reload = useCallback(async () => {
    const mine = (turn.current += 1);
    try {
      const data = await load();
      if (mine === turn.current) setState({ data, error: null, loading: false });
    } catch (error) {
      if (mine === turn.current) setState((before) => ({ ...before, error, loading: false }));
    }
  }, dependencies);
  useEffect(() => {
    reload();
    if (!interval) return undefined;
    const timer = setInterval(() => document.visibilityState === "visible" && reload(), interval);
    return () => clearInterval(timer);
  }, [reload, interval]);
  return { ...state, reload };
}

export const Problem = ({ error }) =>
  error ? html`<p class="problem" role="alert">${error.status ? `${error.status}: ` : ""}${error.message}</p>` : null;

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

const tones = {
  sent: "good", closed: "good", enabled: "good", completed: "good", finished: "good", ready: "good", live: "good",
  pending: "wait", running: "wait", waiting: "wait", story: "wait", skipped: "quiet", disabled: "quiet",
  failed: "bad", open: "bad", dead: "bad", timed_out: "bad", expired: "bad",
};

export const Badge = ({ value, tone }) => html`<span class=${`badge ${tone ?? tones[value] ?? "quiet"}`}>${value}</span>`;

export const Json = ({ value, text }) => html`<pre class="json" tabindex="0">${text ?? JSON.stringify(value, null, 2)}</pre>`;

const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 1) return seconds > 0 ? "< 1 s" : "0 s";
  const [unit, size] = units.find(([, length]) => seconds >= length);
  return `${Math.floor(seconds / size)} ${unit}`;
}

export function Ago({ time }) {
  if (!time) return html`<span>–</span>`;
  const age = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  return html`<time datetime=${time} title=${time}>${age < 1 ? "now" : `${duration(age)} ago`}</time>`;
}

export const brief = (payload, length = 90) => {
  const text = typeof payload === "string" ? payload : JSON.stringify(payload);
  return text.length > length ? `${text.slice(0, length)}…` : text;
};

// A button for what changes something: says what it does while it does it, and shows what came of it.
export function Action({ children, run, done, kind = "", confirm, disabled = false }) {
  const [state, setState] = useState({ busy: false, note: null, bad: false, asked: false });
  const act = async () => {
    if (confirm && !state.asked) return setState((before) => ({ ...before, asked: true, note: null }));
    setState({ busy: true, note: null, bad: false, asked: false });
    try {
      const note = await run();
      setState({ busy: false, note: note ?? "done", bad: false, asked: false });
      done?.();
    } catch (error) {
      setState({ busy: false, note: error.message, bad: true, asked: false });
    }
  };
  return html`<span class="action">
    <button class=${`button ${kind} ${state.asked ? "danger" : ""}`} disabled=${state.busy || disabled} onClick=${act}>
      ${state.asked ? confirm : children}
    </button>
    ${state.asked && html`<button class="button" onClick=${() => setState((before) => ({ ...before, asked: false }))}>Keep</button>`}
    ${state.note && html`<span class=${state.bad ? "bad-text" : "good-text"} role="status">${state.note}</span>`}
  </span>`;
}

// A table whose rows can be reached with the keyboard; on a phone every row becomes a card.
export function Table({ columns, rows, link, label }) {
  return html`<div class="table-box" role="region" aria-label=${label} tabindex="0">
    <table>
      <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.kind ?? ""}>${column.title}</th>`)}</tr></thead>
      <tbody>
        ${rows.map((row) => html`<tr key=${row.id ?? row.name ?? row.key} class=${link ? "linked" : ""}
            onClick=${(click) => link && !click.target.closest("a,button") && (location.hash = link(row))}>
          ${columns.map((column, index) => html`<td class=${column.kind ?? ""} data-title=${column.title}>
            ${index === 0 && link ? html`<a href=${link(row)} data-row>${column.show(row)}</a>` : column.show(row)}
          </td>`)}
        </tr>`)}
      </tbody>
    </table>
  </div>`;
}

// Pages behind one another through the Link header.
export function usePages(first, follow, dependencies = [], interval = 0) {
  const [trail, setTrail] = useState([]);
  useEffect(() => setTrail([]), dependencies);
  const address = trail.at(-1);
  const state = useData(() => (address ? follow(address) : first()), [address, ...dependencies], address ? 0 : interval);
  const pager = html`<nav class="pager" aria-label="Pages">
    <button class="button" disabled=${trail.length === 0} onClick=${() => setTrail(trail.slice(0, -1))}>Newer</button>
    <span>page ${trail.length + 1}</span>
    <button class="button" disabled=${!state.data?.next} onClick=${() => setTrail([...trail, state.data.next])}>Older</button>
  </nav>`;
  return { ...state, rows: state.data?.items ?? [], pager, firstPage: trail.length === 0 };
}

export function Fields({ values }) {
  return html`<dl class="fields">${Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => html`<div><dt>${name}</dt><dd>${value ?? "–"}</dd></div>`)}</dl>`;
}

export const Page = ({ title, children, aside }) => html`<section>
  <header class="page-head"><h1 tabindex="-1">${title}</h1><div class="aside">${aside}</div></header>
  ${children}
</section>`;

// The last minute as bars; told in words, too.
export function Sparkline({ values, label }) {
  const most = Math.max(1, ...values);
  const width = 100 / values.length;
  return html`<svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label=${label}>
    ${values.map((value, index) => html`<rect x=${index * width} width=${width * 0.8} y=${30 - (value / most) * 30} height=${(value / most) * 30} />`)}
  </svg>`;
}
