// The API, and nothing that is not in openapi.json.

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { headers: { Accept: "application/json" }, cache: "no-store", ...options });
  } catch {
    throw new ApiError(0, "The API does not answer.");
  }
  if (response.ok) return response;
  let detail = response.statusText;
  try {
    const problem = await response.json();
    detail = problem.detail ?? (problem.reasons ?? []).join(", ") ?? detail;
  } catch {
    // Not a problem document: the status says what there is to say.
  }
  throw new ApiError(response.status, String(detail || `status ${response.status}`));
}

const path = (strings, ...values) =>
  strings.reduce((text, part, index) => text + encodeURIComponent(values[index - 1]) + part);

function query(values) {
  const wanted = Object.entries(values).filter(([, value]) => value !== "" && value != null);
  return wanted.length ? `?${new URLSearchParams(wanted)}` : "";
}

// A page of a list and the address of the next one, as the Link header gives it.
async function page(address) {
  const response = await request(address);
  const next = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get("Link") ?? "");
  return { items: await response.json(), next: next ? next[1] : null };
}

const get = async (address) => (await request(address)).json();
const post = async (address, body) => {
  const response = await request(address, {
    method: "POST",
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
  });
  const text = await response.text();
  return text ? JSON.parse(text) : {};
};

export const events = (filter) => page(`/events${query({ limit: 50, ...filter })}`);
export const event = (id) => get(path`/events/${id}`);
export const subscriptions = () => get("/subscriptions");
export const lag = () => get("/outbox/lag");
export const setEnabled = (name, enabled) =>
  request(path`/subscriptions/${name}`, {
    method: "PATCH",
    body: JSON.stringify({ enabled }),
    headers: { "Content-Type": "application/json" },
  });
export const deadLetters = (filter) => page(`/outbox/dead-letters${query({ limit: 50, ...filter })}`);
export const deadLetter = (id) => get(path`/outbox/dead-letters/${id}`);
export const replay = (id) => post(path`/outbox/dead-letters/${id}/replay`);
export const replayAll = (filter) => post("/outbox/replays", filter);
export const blockedKeys = () => page("/outbox/blocked-keys");
export const quarantine = (filter) => page(`/quarantine${query({ limit: 50, ...filter })}`);
export const quarantined = (id) => get(path`/quarantine/${id}`);
export const quarantineBody = async (id) => (await request(path`/quarantine/${id}/body`)).text();
export const retryQuarantined = (id) => post(path`/quarantine/${id}/retry`);
export const workflow = (id, workflow) => get(path`/workflows/${id}` + query({ workflow }));
export const restart = (id, wish) => post(path`/workflows/${id}/restart` + query(wish));
export const follow = page;

// Older and newer forms of the list: an array, or an object with one.
export function workflows(filter = {}) {
  return page(`/workflows${query({ limit: 50, ...filter })}`);
}

export async function ready() {
  try {
    await request("/readyz");
    return { ready: true, reason: "" };
  } catch (error) {
    return { ready: false, reason: error.message };
  }
}

// The samples of the exposition format: [{name, labels, value}].
export async function metrics() {
  const text = await (await request("/metrics", { headers: { Accept: "text/plain" } })).text();
  const samples = [];
  for (const line of text.split("\n")) {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) continue;
    const labels = Object.fromEntries(
      [...(found[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]),
    );
    samples.push({ name: found[1], labels, value: Number(found[3]) });
  }
  return samples;
}

export const sum = (samples, name, matches = () => true) =>
  samples.filter((one) => one.name === name && matches(one.labels)).reduce((total, one) => total + one.value, 0);
