// Address, navigation, keyboard, colours. A view is a function of the rest of the address.
import { html, render, useEffect, useState } from "./htm-preact.js";
import { DeadLetter, DeadLetters } from "./dead_letters.js";
import { EventDetail, Events } from "./events.js";
import { listen } from "./live.js";
import { Overview } from "./overview.js";
import { Kept, Quarantine } from "./quarantine.js";
import { Subscriptions } from "./subscriptions.js";
import { useWorkflowsServed, Workflow, Workflows } from "./workflows.js";

const views = [
  { name: "overview", title: "Overview", key: "o", list: Overview },
  { name: "events", title: "Events", key: "e", list: Events, detail: EventDetail },
  { name: "subscriptions", title: "Subscriptions", key: "s", list: Subscriptions },
  { name: "dead-letters", title: "Dead letters", key: "d", list: DeadLetters, detail: DeadLetter },
  { name: "quarantine", title: "Quarantine", key: "q", list: Quarantine, detail: Kept },
  { name: "workflows", title: "Workflows", key: "w", list: Workflows, detail: Workflow, optional: true },
];

function parse(hash) {
  const [path, query] = hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  const view = views.find((one) => one.name === name) ?? views[0];
  return { view, id: rest.length ? decodeURIComponent(rest.join("/")) : null, query: new URLSearchParams(query ?? "") };
}

function useAddress() {
  const [address, setAddress] = useState(() => parse(location.hash));
  useEffect(() => {
    const change = () => {
      setAddress(parse(location.hash));
      document.querySelector("main h1")?.focus({ preventScroll: true });
    };
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  return address;
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("polis-theme", root.dataset.theme);
}

// j and k go through the rows, Enter opens one.
function moveInRows(step) {
  const rows = [...document.querySelectorAll("a[data-row]")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1);
  rows[next].focus();
}

function useKeyboard(shown, setHelp) {
  useEffect(() => {
    let waiting = false;
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input,select,textarea")) return;
      const view = waiting && shown.find((one) => one.key === event.key);
      waiting = event.key === "g";
      if (view) location.hash = `#/${view.name}`;
      else if (event.key === "j" || event.key === "k") moveInRows(event.key === "j" ? 1 : -1);
      else if (event.key === "t") toggleTheme();
      else if (event.key === "?") setHelp((open) => !open);
      else if (event.key === "Escape") setHelp(false);
      else if (event.key === "/") document.querySelector("main input")?.focus();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [shown.length]);
}

const Help = ({ shown, close }) => html`<div class="overlay" onClick=${close}>
  <div class="help" role="dialog" aria-modal="true" aria-label="Keyboard">
    <h2>Keyboard</h2>
    <dl>
      ${shown.map((view) => html`<div><dt><kbd>g</kbd> <kbd>${view.key}</kbd></dt><dd>${view.title}</dd></div>`)}
      <div><dt><kbd>j</kbd> <kbd>k</kbd></dt><dd>next and previous row</dd></div>
      <div><dt><kbd>Enter</kbd></dt><dd>open the row</dd></div>
      <div><dt><kbd>/</kbd></dt><dd>search</dd></div>
      <div><dt><kbd>t</kbd></dt><dd>light or dark</dd></div>
      <div><dt><kbd>?</kbd></dt><dd>this list</dd></div>
    </dl>
    <button class="button" onClick=${close}>Close</button>
  </div>
</div>`;

function App() {
  const { view, id, query } = useAddress();
  const [help, setHelp] = useState(false);
  const [live, setLive] = useState({ connected: false });
  const workflows = useWorkflowsServed();
  const shown = views.filter((one) => !one.optional || workflows);
  useEffect(() => listen(setLive), []);
  useEffect(() => {
    document.title = `${view.title} · Polis`;
  }, [view]);
  useKeyboard(shown, setHelp);
  const View = id !== null && view.detail ? view.detail : view.list;
  return html`
    <a class="skip" href="#main" onClick=${(click) => { click.preventDefault(); document.querySelector("main h1")?.focus(); }}>Skip to the content</a>
    <header class="bar">
      <a class="brand" href="#/overview">Polis</a>
      <nav aria-label="Views">${shown.map((one) => html`
        <a href=${`#/${one.name}`} aria-current=${one === view ? "page" : undefined}>${one.title}</a>`)}
      </nav>
      <span class=${`live ${live.connected ? "on" : "off"}`} role="status">${live.connected ? "live" : "not connected"}</span>
      <button class="icon" aria-label="Light or dark" title="Light or dark (t)" onClick=${toggleTheme}>◐</button>
      <button class="icon" aria-label="Keyboard" title="Keyboard (?)" onClick=${() => setHelp(true)}>?</button>
    </header>
    <main id="main"><${View} key=${`${view.name}/${id}`} id=${id} query=${query} live=${live} /></main>
    ${help && html`<${Help} shown=${shown} close=${() => setHelp(false)} />`}
  `;
}

render(html`<${App} />`, document.getElementById("app"));
