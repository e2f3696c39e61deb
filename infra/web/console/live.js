// One connection to /events/stream for the whole page. The browser comes back by itself, with Last-Event-ID.
const kept = 200;
const seconds = 60;

const listeners = new Set();
const state = { connected: false, recent: [], rate: new Array(seconds).fill(0), total: 0, paused: false };
let source = null;
let second = Math.floor(Date.now() / 1000);
let pending = false;

// A busy city must not render a thousand times a second.
function notify() {
  if (pending) return;
  pending = true;
  setTimeout(() => {
    pending = false;
    for (const listener of listeners) listener({ ...state });
  }, 200);
}

function turnSecond() {
  const now = Math.floor(Date.now() / 1000);
  for (; second < now; second += 1) {
    state.rate.push(0);
    state.rate.shift();
  }
}

function take(message) {
  turnSecond();
  state.rate[seconds - 1] += 1;
  state.total += 1;
  if (!state.paused) {
    state.recent = [JSON.parse(message.data), ...state.recent].slice(0, kept);
  }
  notify();
}

function connect() {
  source = new EventSource("/events/stream");
  source.onopen = () => {
    state.connected = true;
    notify();
  };
  source.onerror = () => {
    state.connected = false;
    notify();
    // The browser gives up after an answer that is no stream, such as a 503 of a full server.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
  };
  source.onmessage = take;
}

export function listen(listener) {
  if (source === null) {
    connect();
    setInterval(() => {
      turnSecond();
      notify();
    }, 1000);
  }
  listeners.add(listener);
  listener({ ...state });
  return () => listeners.delete(listener);
}

export function pause(paused) {
  state.paused = paused;
  notify();
}
