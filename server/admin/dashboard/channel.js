// A channel, and the form that sends a test message.

import { bytes, card, count, el, list, name } from "./show.js";
import { get, may, post } from "./ask.js";
import { search } from "./connections.js";

export function channel(text) {
  const facts = el("div");
  get("/channel?name=" + encodeURIComponent(text)).then((c) => facts.replaceChildren(list([
    ["Subscribers on this node", count(c.subscribers)], ["Members", count(c.members)], ["Messages retained", `${count(c.messages)}, ${bytes(c.bytes)}`],
    ["Oldest", c.oldest], ["Newest", c.newest], ["Rule", c.rule ? name(c.rule) : "none"],
  ])), (e) => facts.replaceChildren(el("p", { class: "problem" }, e.message)));
  return el("div", { class: "stack" }, card(el("span", {}, "Channel ", name(text, 200)), facts, el("p", {}, el("a", { href: "#/trace/channel/" + encodeURIComponent(text) }, "Trace a message of this channel"))), send(text), search({ channel: text }));
}

export function send(text = "") {
  if (!may("publish")) return card("Send a test message", el("p", { class: "quiet" }, "Your key does not allow it."));
  const result = el("p", { role: "status" });
  const button = el("button", {}, "Send");
  const form = el("form", { class: "tall" },
    el("label", {}, "Channel", el("input", { name: "channel", value: text, required: true, autocomplete: "off", spellcheck: "false" })),
    el("label", {}, "Event (optional)", el("input", { name: "event", autocomplete: "off", spellcheck: "false" })),
    el("label", {}, "Data", el("textarea", { name: "data", spellcheck: "false" }, "hello from the dashboard")),
    button, result);
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const data = new FormData(form);
    button.disabled = true;
    try {
      const sent = await post("/publish", { channel: data.get("channel"), event: data.get("event"), data: data.get("data") });
      result.textContent = `in the log at ${sent.cursor}; ${count(sent.subscribers)} subscribers on this node`;
    } catch (failure) {
      result.textContent = "not sent: " + failure.message;
    } finally {
      button.disabled = false;
    }
  });
  return card("Send a test message", el("p", { class: "quiet" }, "Every subscriber of the channel receives it, as any other message."), form);
}
