// What the server does now: events of /live while the page is seen, and rates from them.

const every = 2;      // seconds
const points = 60;    // of a sparkline
const patience = 12;  // seconds without an event, after which the connection counts as lost

export class Live {
  now = null;
  rates = null;
  lines = new Map();
  paused = false;
  stale = false;  // what is shown is older than it should be
  #before = null;
  #source = null;
  #timer = 0;
  #silence = 0;
  #hear;
  #fail;
  #replaced;

  // hear is called when there are numbers, fail with why there are none, and replaced with the answer before
  // and this one when another process serves.
  constructor(hear, fail, replaced) {
    this.#hear = hear;
    this.#fail = fail;
    this.#replaced = replaced;
    document.addEventListener("visibilitychange", () => this.#choose());
    this.#choose();
  }

  pause(on) {
    this.paused = on;
    this.#choose();
  }

  // Nothing is asked for while nobody looks.
  #choose() {
    const wanted = !document.hidden && !this.paused;
    if (wanted && !this.#source && !this.#timer) this.#open();
    if (!wanted) this.#close();
  }

  #close() {
    this.#source?.close();
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#source = null;
    this.#timer = 0;
    this.#before = null;
  }

  #lost(why) {
    this.stale = true;
    this.#fail(why);
  }

  #later(seconds, what) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => { this.#timer = 0; what(); }, seconds * 1000);
  }

  // Also behind a connection that hangs, as after the sleep of a laptop.
  #awaitEvent(source) {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      if (source !== this.#source) return;
      this.#lost(`no numbers for ${patience} s: trying again`);
      source.close();
      this.#source = null;
      this.#later(1, () => this.#open());
    }, patience * 1000);
  }

  #open() {
    const source = new EventSource(`${location.origin}/live?every=${every}s&top=10`);
    this.#source = source;
    this.#awaitEvent(source);
    source.onmessage = (e) => { this.#awaitEvent(source); this.#take(JSON.parse(e.data)); };
    source.addEventListener("busy", () => { this.#awaitEvent(source); this.#lost("an event loop does not respond"); });
    source.addEventListener("upgraded", () => this.#lost("another process takes over: connecting to it"));
    source.onerror = () => {
      if (source !== this.#source) return;
      if (source.readyState !== EventSource.CLOSED) { // it connects again by itself
        this.#awaitEvent(source);
        this.#lost("no connection to the server: connecting again");
        return;
      }
      clearTimeout(this.#silence);
      this.#source = null;
      this.#ask();
    };
  }

  // Where a stream is refused, because there are too many or the server starts, the page asks once, for the
  // reason, and tries again later.
  async #ask() {
    try {
      const response = await fetch(location.origin + "/live?top=10", { cache: "no-store" });
      const body = await response.text();
      if (!response.ok) throw new Error(reason(response, body));
      this.#take(JSON.parse(body));
    } catch (e) {
      this.#lost(String(e.message ?? e).slice(0, 300));
    }
    if (!document.hidden && !this.paused) this.#later(every, () => this.#open());
  }

  #take(now) {
    const last = this.now;
    this.stale = false;
    if (last && !same(last, now)) this.#replaced(last, now);
    const before = this.#before && same(this.#before, now) ? this.#before : null;
    this.#before = this.now = now;
    this.rates = before ? rates(before, now) : null;
    if (this.rates) {
      const r = this.rates;
      this.#add("publications", r.counters.publications);
      this.#add("deliveries", r.counters.deliveries);
      this.#add("latency", r.p99 === Infinity ? 1e7 : r.p99);
      this.#add("refusals", r.counters.refusals);
      this.#add("gaps", r.counters.gaps);
      this.#add("accepted", r.counters.accepted);
      this.#add("busy", Math.max(0, ...r.loops.map((l) => l.busy)));
    }
    this.#add("connections", now.connections.all);
    this.#add("memory", now.memory.resident);
    this.#add("stalled", now.connections.stalled);
    this.#hear();
  }

  #add(name, value) {
    const line = this.lines.get(name) ?? [];
    line.push(value ?? 0);
    if (line.length > points) line.shift();
    this.lines.set(name, line);
  }

  line(name) { return this.lines.get(name) ?? []; }
}

// same reports whether the counters of two answers are those of one process.
export const same = (a, b) => a.started_ms === b.started_ms && a.process === b.process && a.counters.deliveries <= b.counters.deliveries;

// reason is why a response is none, from a body in JSON or in words.
export function reason(response, body) {
  try {
    return JSON.parse(body).error.message;
  } catch {
    return body.trim() || `${response.status} ${response.statusText}`;
  }
}

export function rates(before, now) {
  const seconds = Math.max(0.001, (now.at_ms - before.at_ms) / 1000);
  const more = (a, b) => Math.max(0, (b ?? 0) - (a ?? 0));
  const per = (a, b) => Object.fromEntries(Object.entries(b).map(([key, n]) => [key, more(a?.[key], n) / seconds]));
  const counts = now.latency.counts.map((n, i) => more(before.latency.counts[i], n));
  return {
    seconds,
    counters: per(before.counters, now.counters),
    refusals: per(before.refusals, now.refusals),
    gaps: per(before.gaps, now.gaps),
    p50: quantile(counts, now.latency.bounds_us, 0.5),
    p99: quantile(counts, now.latency.bounds_us, 0.99),
    loops: now.loops.map((l, i) => {
      const b = before.loops[i] ?? l;
      const turns = more(b.turns, l.turns), busy = more(b.busy_us, l.busy_us);
      return { busy: busy / 1e6 / seconds, turns: turns / seconds, turn: turns > 0 ? busy / turns : null };
    }),
  };
}

// quantile is the bound of the bucket that has it, in microseconds; null without samples, Infinity
// beyond the last bound.
export function quantile(counts, bounds, q) {
  const all = counts.reduce((a, b) => a + b, 0);
  if (all <= 0) return null;
  let seen = 0;
  for (let i = 0; i < counts.length; i++) {
    seen += counts[i];
    if (seen >= q * all) return bounds[i] ?? Infinity;
  }
  return Infinity;
}
