// event -> derived events -> deliveries, as a drawing with links and as a list for those who do not see it.
import { Badge, brief, Empty } from "./ui.js";
import { html } from "./htm-preact.js";

const box = { width: 210, height: 52, gap: 14, between: 70 };
const columnAt = (column) => column * (box.width + box.between);
const rowAt = (row) => row * (box.height + box.gap);

// Rows: one for each delivery, or for a derived event without any; parents stand in the middle of what follows them.
function layout(event) {
  const parents = [event, ...event.derived_events];
  const nodes = [];
  const lines = [];
  let row = 0;
  const deliveriesOf = (id) => event.deliveries.filter((one) => one.event_id === id);
  const placed = new Map();
  for (const parent of parents) {
    const deliveries = deliveriesOf(parent.id);
    if (parent === event && deliveries.length === 0) continue;
    const first = row;
    for (const delivery of deliveries) {
      nodes.push({ column: 2, row, kind: delivery.status, title: delivery.subscription,
        note: `${delivery.status}${delivery.attempts ? `, ${delivery.attempts} failed` : ""}`, hint: delivery.last_error ?? delivery.topic });
      lines.push({ from: parent.id, to: row });
      row += 1;
    }
    row = Math.max(row, first + 1);
    placed.set(parent.id, (first + row - 1) / 2);
  }
  const middle = Math.max(0, (row - 1) / 2);
  for (const derived of event.derived_events) {
    nodes.push({ column: 1, row: placed.get(derived.id), kind: "derived", title: derived.service, note: brief(derived.payload, 26),
      href: `#/events/${derived.id}`, hint: JSON.stringify(derived.payload) });
  }
  nodes.push({ column: 0, row: middle, kind: event.source_event_id ? "derived" : "base", title: event.service, note: brief(event.payload, 26),
    hint: JSON.stringify(event.payload) });
  const edges = [
    ...event.derived_events.map((one) => ({ a: [0, middle], b: [1, placed.get(one.id)] })),
    ...lines.map(({ from, to }) => ({ a: from === event.id ? [0, middle] : [1, placed.get(from)], b: [2, to] })),
  ];
  return { nodes, edges, rows: Math.max(1, row) };
}

function Node({ column, row, kind, title, note, href, hint }) {
  const drawing = html`<g transform=${`translate(${columnAt(column)} ${rowAt(row)})`}>
    <title>${hint}</title>
    <rect class=${`node ${kind}`} width=${box.width} height=${box.height} rx="8" />
    <text class="node-title" x="12" y="22">${title}</text>
    <text class="node-note" x="12" y="41">${note}</text>
  </g>`;
  return href ? html`<a href=${href}>${drawing}</a>` : drawing;
}

function curve({ a, b }) {
  const [x1, y1] = [columnAt(a[0]) + box.width, rowAt(a[1]) + box.height / 2];
  const [x2, y2] = [columnAt(b[0]), rowAt(b[1]) + box.height / 2];
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

export function Picture({ event }) {
  if (!event.derived_events.length && !event.deliveries.length) {
    return html`<${Empty}>No rule fired, so nothing was derived and nothing is sent.</${Empty}>`;
  }
  const { nodes, edges, rows } = layout(event);
  const width = columnAt(2) + box.width;
  const height = rowAt(rows - 1) + box.height;
  return html`<div class="picture-box" tabindex="0" role="group" aria-label="Event, derived events and deliveries">
      <svg class="picture" viewBox=${`-2 -2 ${width + 4} ${height + 4}`} width=${width} height=${height}>
        ${edges.map((edge) => html`<path class="edge" d=${curve(edge)} />`)}
        ${nodes.map((node) => html`<${Node} ...${node} />`)}
      </svg>
    </div>
    <ul class="deliveries">${event.deliveries.map((one) => html`<li key=${one.id}>
      <${Badge} value=${one.status} /> <code>${one.topic}</code> to <strong>${one.subscription}</strong>
      ${one.attempts > 0 && html`, ${one.attempts} failed ${one.attempts === 1 ? "try" : "tries"}`}
      ${one.last_error && html`: <span class="bad-text">${one.last_error}</span>`}</li>`)}</ul>`;
}
