// The overview: what the server does, and what is wrong with it.

import { age, bytes, card, count, el, line, link, name, plain, table, time } from "./show.js";
import { get } from "./ask.js";
import { connections } from "./connections.js";

const perSecond = (n) => (n == null ? "–" : count(n) + "/s");
const upTo = (us) => (us == null ? "–" : us === Infinity ? "> 10 s" : "≤ " + time(us));

function tile(title, value, note, values, kind) {
  return el("div", { class: "tile " + (kind ?? "") }, el("h3", {}, title), el("p", { class: "value" }, value), el("p", { class: "note" }, note ?? ""), line(values, `${title}, newest at the right`));
}

function tiles(live) {
  const v = live.now, r = live.rates, c = v.connections, m = v.memory;
  const share = m.limit > 0 ? m.resident / m.limit : 0;
  const busy = r ? Math.max(...r.loops.map((l) => l.busy)) : null;
  return el("div", { class: "tiles" },
    tile("Publications", perSecond(r?.counters.publications), `${count(v.counters.publications)} since the start`, live.line("publications")),
    tile("Deliveries", perSecond(r?.counters.deliveries), r ? bytes(r.counters.delivery_bytes) + "/s" : "", live.line("deliveries")),
    tile("Latency, 99 of 100", upTo(r?.p99), `half of them ${upTo(r?.p50)}`, live.line("latency")),
    tile("Connections", count(c.all), `ws ${count(c.websocket)} · sse ${count(c.sse)} · poll ${count(c.poll)} · http ${count(c.http)}`, live.line("connections")),
    tile("New connections", perSecond(r?.counters.accepted), c.tls > 0 ? `${count(c.tls)} over TLS` : "", live.line("accepted")),
    tile("Busiest loop", busy == null ? "–" : Math.round(busy * 100) + " %", "of one processor", live.line("busy"), busy > 0.9 ? "bad" : busy > 0.7 ? "warn" : ""),
    tile("Memory", bytes(m.resident), m.limit > 0 ? `${Math.round(share * 100)} % of memory-limit` : `history ${bytes(m.history)}`, live.line("memory"), m.level > 0 ? "bad" : share > 0.8 ? "warn" : ""),
    tile("Slow consumers", count(c.stalled), `${count(c.behind)} others catch up`, live.line("stalled"), c.stalled > 0 ? "warn" : ""),
    tile("Gaps", perSecond(r?.counters.gaps), `${count(v.counters.gaps)} since the start`, live.line("gaps"), r?.counters.gaps > 0 ? "warn" : ""),
    tile("Refusals", perSecond(r?.counters.refusals), `${count(v.counters.refusals)} since the start`, live.line("refusals"), r?.counters.refusals > 0 ? "warn" : ""),
  );
}

function loops(live) {
  const r = live.rates;
  return card("Loops", table([
    ["Loop", (l) => String(l.loop)],
    ["Connections", (l) => count(l.connections), "n"],
    ["Busy", (l) => (r ? Math.round((r.loops[l.loop]?.busy ?? 0) * 100) + " %" : "–"), "n"],
    ["Lag", (l) => time(l.lag_us), "n"],
    ["Turn", (l) => time(r?.loops[l.loop]?.turn), "n"],
    ["Behind", (l) => count(l.behind_messages), "n"],
  ], live.now.loops, "no loops"));
}

// reasons shows counters by reason, the largest first.
function reasons(title, all, rates, empty) {
  const rows = Object.entries(all).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]).slice(0, 12);
  return card(title, table([
    ["Reason", ([reason]) => name(reason)],
    ["Now", ([reason]) => perSecond(rates?.[reason]), "n"],
    ["Since the start", ([, n]) => count(n), "n"],
  ], rows, empty));
}

function tops(top) {
  const s = top.seconds || null;
  const rate = (n) => (s ? perSecond(n / s) : "–");
  return [
    card("Channels with most subscribers", table([
      ["Channel", (c) => link("channel", c.channel, 60), "names"],
      ["Subscribers", (c) => count(c.subscribers), "n"],
      ["Retained", (c) => count(c.messages), "n"],
    ], top.subscribed, "nobody is subscribed")),
    card("Channels with most publications", table([
      ["Channel", (c) => link("channel", c.channel, 60), "names"],
      ["Messages", (c) => rate(c.publications), "n"],
      ["Bytes", (c) => (s ? bytes(c.bytes / s) + "/s" : "–"), "n"],
    ], top.busiest, s ? "nothing is published" : "counting has begun")),
    card("Users that send most", table([
      ["User", (u) => el("a", { href: "#/connections/" + encodeURIComponent(u.client) }, name(u.client, 40)), "names"],
      ["Connections", (u) => count(u.connections), "n"],
      ["Messages", (u) => rate(u.messages), "n"],
      ["Bytes", (u) => (s ? bytes(u.bytes / s) + "/s" : "–"), "n"],
    ], top.users, s ? "no client with a name sends" : "counting has begun")),
    card("Connections that send most", table([
      ["Connection", (t) => el("a", { href: "#/session/" + t.session }, name(t.client || t.address, 40)), "names"],
      ["Messages", (t) => rate(t.messages), "n"],
      ["Bytes", (t) => (s ? bytes(t.bytes / s) + "/s" : "–"), "n"],
    ], top.talkers, s ? "nobody sends" : "counting has begun")),
  ];
}

function logCard(v) {
  const l = v.log;
  return card("Log", table([["", ([term]) => el("span", { class: "quiet" }, term)], ["", ([, value]) => name(value), "n"]], [
    ["engine", l.engine], ["epoch", l.epoch], ["entries", `${l.oldest} to ${l.head}`],
    ["state", l.failing ? plain(l.failing, 300) : "can be written"],
    ...(l.known ? [["of", String(l.known)], ["behind", l.behind_ms + " ms"]] : []),
    ["channels", count(v.channels.channels)], ["subscriptions", count(v.channels.subscribers)], ["messages retained", count(v.channels.messages)],
    ["up for", age((v.at_ms - v.started_ms) / 1000)], ["process", String(v.process)],
  ], ""));
}

// The slow ones are looked for by a walk over the connections, so not every time.
const slow = { at: 0, rows: null, failed: "" };

function refreshSlow(redraw) {
  if (performance.now() - slow.at < 10000 && slow.at > 0) return;
  slow.at = performance.now();
  get("/connections?behind=1&limit=10").then((page) => { slow.rows = page.connections; slow.failed = ""; }, (e) => { slow.failed = e.message; }).finally(redraw);
}

export function overview(live, redraw) {
  const v = live.now;
  if (!v) return el("p", { class: "quiet" }, "waiting for the first numbers");
  refreshSlow(redraw);
  const slowCard = card("Connections that lag behind", slow.failed ? el("p", { class: "problem" }, plain(slow.failed, 300)) : slow.rows ? connections(slow.rows, "all clients take what they are sent") : el("p", { class: "quiet" }, "looking"));
  slowCard.classList.add("wide");
  const occurred = (title, all) => (Object.values(all).some((n) => n > 0) ? reasons(title, all, null, "") : null);
  return el("div", {}, tiles(live), slow.rows?.length || slow.failed ? slowCard : null, el("div", { class: "cards" },
    loops(live),
    reasons("Gaps by reason", v.gaps, live.rates?.gaps, "no client has missed a message"),
    reasons("Refusals by reason", v.refusals, live.rates?.refusals, "nothing was refused"),
    ...(v.top ? tops(v.top) : []),
    occurred("Connections refused", v.refused),
    occurred("Rate limits hit", v.rate_limited),
    occurred("WebSockets closed by the server, by code", v.closes),
    occurred("Connections evicted", v.evicted),
    card("Memory", table([["", ([term]) => el("span", { class: "quiet" }, term)], ["", ([, n]) => bytes(n), "n"]], [
      ["resident", v.memory.resident], ["heap", v.memory.heap], ["history", v.memory.history], ["encodings", v.memory.encoded], ["held for clients", v.memory.held], ["waiting for a turn", v.memory.waiting], ["unfinished input", v.memory.input],
    ], "")),
    logCard(v),
  ));
}
