// Connections: a list to search in, and one of them.

import { age, bytes, card, count, el, link, list, name, table, time } from "./show.js";
import { get, may, post, query } from "./ask.js";
import { confirm, say } from "./dialog.js";

const behind = (c) => (c.channel_count === 0 ? "–" : c.caught_up ? "0" : c.behind > 0 ? "≤ " + count(c.behind) : "bytes wait");

export function connections(rows, empty) {
  return table([
    ["Client", (c) => el("a", { href: "#/session/" + c.session }, name(c.client || "anonymous", 40)), "names"],
    ["Address", (c) => name(c.address)],
    ["Transport", (c) => c.transport + (c.tls ? " (TLS)" : "")],
    ["Dialect", (c) => c.dialect || "–"],
    ["Channels", (c) => el("span", {}, c.channels.slice(0, 3).map((n, i) => [i ? ", " : null, link("channel", n, 30)]).flat(), c.channel_count > 3 ? ` and ${c.channel_count - 3} others` : null), "names"],
    ["Behind", behind, "n"],
    ["Waiting", (c) => bytes(c.waiting_bytes), "n"],
    ["Sent", (c) => (c.tcp ? bytes(c.tcp.sent_bytes) : "–"), "n"],
    ["Age", (c) => age(c.age_s), "n"],
  ], rows, empty);
}

// search shows a form and the page of connections that it asks for.
export function search(given = {}) {
  const found = el("div"), total = el("p", { class: "quiet", role: "status" });
  const field = (label, key, hint) => el("label", {}, label, el("input", { name: key, value: given[key] ?? "", placeholder: hint, autocomplete: "off", spellcheck: "false" }));
  const form = el("form", {}, field("Channel", "channel", "room:7"), field("User", "user", "ann"), field("Address", "address", "192.0.2.0/24"),
    el("label", { class: "row" }, el("input", { type: "checkbox", name: "behind", checked: given.behind }), "only those behind"),
    el("button", {}, "Search"));
  const load = async (after) => {
    const data = new FormData(form);
    const values = Object.fromEntries(["channel", "user", "address"].map((k) => [k, String(data.get(k) ?? "").trim()]));
    try {
      const page = await get("/connections" + query({ ...values, behind: data.has("behind"), after, limit: "50" }));
      total.textContent = page.connections.length === 0 ? "" : `${page.connections.length} connections${page.next ? ", and there may be more" : after ? ", the last page" : ""}`;
      found.replaceChildren(connections(page.connections, after ? "no further connection fits" : "no connection is open that fits"),
        page.next ? el("button", { type: "button", onclick: () => load(page.next) }, "Next page") : "");
    } catch (e) {
      total.textContent = "";
      found.replaceChildren(el("p", { class: "problem" }, e.message));
    }
  };
  form.addEventListener("submit", (e) => { e.preventDefault(); load(""); });
  load("");
  const c = card("Connections", form, total, found);
  c.classList.add("stack");
  return c;
}

function endText(end) {
  return el("span", {}, `${age(end.ago_s)} ago, ${end.transport}${end.code ? ` with code ${end.code}` : ""}: `, name(end.reason, 200));
}

// session shows one connection.
export function session(id) {
  const box = el("div", { class: "stack" });
  let open = true;
  // A connection that was ended is open until its client has hung up, for some seconds at most.
  const again = (left) => setTimeout(async () => {
    await show();
    if (open && left > 0 && box.isConnected) again(left - 1);
  }, 1000);
  const show = async () => {
    let c;
    try {
      c = await get("/connections/" + encodeURIComponent(id));
    } catch (e) {
      const end = e.body?.last_end;
      open = false;
      box.replaceChildren(el("h2", {}, "Connection"), el("p", { class: "problem" }, e.status === 404 ? "This connection is not open." : e.message), end ? list([["How it ended", endText(end)], ["Client", name(end.client)], ["Address", end.address]]) : null,
        e.status === 404 ? el("p", {}, el("a", { href: "#/trace/session/" + encodeURIComponent(id) }, "Trace a message of this session")) : null);
      return;
    }
    const t = c.tcp;
    const act = (title, text, path, body) => async () => {
      if (!await confirm(title, text)) return;
      try {
        const done = await post(path, body);
        say(done.stored === false ? "done, but the log has not stored it" : `connections ended: ${done.disconnected}`, done.stored !== false);
        again(30);
      } catch (e) {
        say(e.message);
      }
    };
    box.replaceChildren(
      el("h2", {}, "Connection of ", name(c.client || "an anonymous client")),
      el("div", { class: "actions" },
        el("button", { type: "button", onclick: show }, "Refresh"),
        el("a", { class: "button", href: "#/trace/session/" + encodeURIComponent(c.session) }, "Trace a message"),
        !may("disconnect") ? null : el("button", { type: "button", class: "danger", onclick: act("Disconnect this connection?", "The client may connect again at once.", `/connections/${c.session}/disconnect`) }, "Disconnect"),
        may("disconnect") && c.client && c.kind !== "backend" ? el("button", { type: "button", class: "danger", onclick: act("Disconnect the client?", "All of its connections end, on all nodes, and it is kept away for the time of disconnect-window.", "/disconnect", { client: c.client }) }, "Disconnect and keep away") : null),
      list([
        ["Transport", `${c.transport}${c.tls ? " over TLS" : ""}, ${c.state}`], ["Dialect", c.dialect], ["Age", age(c.age_s)], ["Silent for", age(c.silent_s)],
        ["Client", c.client ? el("span", {}, name(c.client), ` (${c.kind})`) : c.kind], ["Info", c.info ? name(c.info, 500) : null], ["Token", c.token_id ? name(c.token_id) : null],
        ["Token expires", c.expires_ms ? new Date(c.expires_ms).toLocaleString() : null], ["Named by the backend", c.backend_user ? name(c.backend_user) : null],
        ["Address", el("span", {}, name(c.address), c.trusted_proxy ? " (trusted proxy)" : "")], ["Through", c.proxy],
        [`Channels (${c.channel_count})`, el("span", {}, c.channels.map((n, i) => [i ? ", " : null, link("channel", n)]).flat())],
        ["Position", c.cursor ? `${c.cursor} (${c.sequence})` : null],
        ["Behind", c.channel_count ? (c.caught_up ? "it has all there is" : `at most ${count(c.behind)} messages, ${bytes(c.waiting_bytes)} wait for its socket${c.stalled ? ", which is full" : ""}${c.slow ? "; a slow consumer" : ""}`) : null],
        ["Last gap", c.last_gap ? `${age(c.last_gap.ago_s)} ago, ${c.last_gap.reason}, up to ${c.last_gap.cursor}` : null],
        ["Heartbeats missed", c.missed_heartbeats || null], ["Unread input", c.input_bytes ? bytes(c.input_bytes) : null], ["Replies due", c.replies_due || null],
        ["Sent", t ? `${bytes(t.sent_bytes)}, ${bytes(t.acknowledged_bytes)} acknowledged, ${bytes(t.unsent_bytes)} in the kernel` : null], ["Received", t ? bytes(t.received_bytes) : null],
        ["Network", t ? `round trip ${time(t.round_trip_us)}, ${count(t.retransmitted_segments)} segments sent again, window closed for ${time(t.window_closed_ms * 1000)}` : null],
        ["Last end of the same client", c.last_end ? endText(c.last_end) : null],
        ["Session", c.session], ["Earlier session", c.earlier], ["Number in the log", c.number], ["Loop", String(c.loop)],
      ]));
  };
  show();
  return el("section", { class: "card" }, box);
}

// ended shows the newest ends.
export function ended() {
  const box = el("div", {}, el("p", { class: "quiet" }, "looking"));
  get("/connections/ended?limit=200").then(({ ends }) => box.replaceChildren(table([
    ["Ago", (e) => age(e.ago_s), "n"],
    ["Client", (e) => el("a", { href: "#/session/" + e.session }, name(e.client || "anonymous", 40)), "names"],
    ["Address", (e) => name(e.address)],
    ["Transport", (e) => e.transport],
    ["Code", (e) => (e.code ? String(e.code) : "–"), "n"],
    ["Reason", (e) => name(e.reason, 200), "names"],
  ], ends, "no stream or waiting poll has ended")), (e) => box.replaceChildren(el("p", { class: "problem" }, e.message)));
  const c = card("Ended connections", el("p", { class: "quiet" }, "The newest streams and waiting polls that have ended; each loop remembers 256."), box);
  c.classList.add("stack");
  return c;
}
