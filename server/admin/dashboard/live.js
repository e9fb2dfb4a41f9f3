// What the server does now: events of /live while the page is seen, and rates from them.

const every = 2;      // seconds
const points = 60;    // of a sparkline

export class Live {
  now = null;
  rates = null;
  lines = new Map();
  paused = false;
  #before = null;
  #source = null;
  #timer = 0;
  #hear;
  #fail;

  constructor(hear, fail) {
    this.#hear = hear;
    this.#fail = fail;
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
    this.#source = null;
    this.#timer = 0;
    this.#before = null;
  }

  #open() {
    const source = new EventSource(`/live?every=${every}s&top=10`);
    this.#source = source;
    source.onmessage = (e) => this.#take(JSON.parse(e.data));
    source.addEventListener("busy", () => this.#fail("an event loop does not respond"));
    source.onerror = () => {
      this.#fail("no connection to the server");
      if (source.readyState !== EventSource.CLOSED) return; // it connects again by itself
      this.#source = null;
      this.#poll();
    };
  }

  // Where no more watchers are admitted, the page asks now and then.
  async #poll() {
    try {
      const response = await fetch("/live?top=10", { cache: "no-store" });
      const body = await response.text();
      if (!response.ok) throw new Error(body.slice(0, 300));
      this.#take(JSON.parse(body));
    } catch (e) {
      this.#fail(String(e.message ?? e));
    }
    if (!document.hidden && !this.paused) this.#timer = setTimeout(() => this.#poll(), 5000);
  }

  #take(now) {
    const before = this.#before?.started_ms === now.started_ms ? this.#before : null;
    this.#before = this.now = now;
    this.rates = before ? rates(before, now) : null;
    if (this.rates) {
      const r = this.rates;
      this.#add("publications", r.counters.publications);
      this.#add("deliveries", r.counters.deliveries);
      this.#add("latency", r.p99);
      this.#add("refusals", r.counters.refusals);
      this.#add("gaps", r.counters.gaps);
      this.#add("accepted", r.counters.accepted);
      this.#add("busy", Math.max(0, ...r.loops.map((l) => l.busy)));
    }
    this.#add("connections", now.connections.all);
    this.#add("memory", now.memory.resident);
    this.#add("behind", now.connections.behind);
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

function rates(before, now) {
  const seconds = Math.max(0.001, (now.at_ms - before.at_ms) / 1000);
  const per = (a, b) => Object.fromEntries(Object.entries(b).map(([key, n]) => [key, Math.max(0, n - (a?.[key] ?? 0)) / seconds]));
  const counts = now.latency.counts.map((n, i) => n - before.latency.counts[i]);
  return {
    seconds,
    counters: per(before.counters, now.counters),
    refusals: per(before.refusals, now.refusals),
    gaps: per(before.gaps, now.gaps),
    p50: quantile(counts, now.latency.bounds_us, 0.5),
    p99: quantile(counts, now.latency.bounds_us, 0.99),
    loops: now.loops.map((l, i) => {
      const b = before.loops[i] ?? l;
      const turns = l.turns - b.turns;
      return { busy: (l.busy_us - b.busy_us) / 1e6 / seconds, turns: turns / seconds, turn: turns > 0 ? (l.busy_us - b.busy_us) / turns : null };
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
