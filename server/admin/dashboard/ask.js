// Requests to the listener that has served this page.

let token = "";

async function answer(response) {
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  const e = new Error(body?.error?.message ?? `${response.status} ${response.statusText}`);
  e.code = body?.error?.code;
  e.status = response.status;
  e.body = body;
  throw e;
}

export async function get(path) {
  return answer(await fetch(path, { headers: { Accept: "application/json" }, cache: "no-store" }));
}

// post sends an order; the token shows that this page sends it.
export async function post(path, body, again = true) {
  if (!token) token = (await get("/csrf")).token;
  try {
    return await answer(await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json", "Peal-CSRF": token }, body: JSON.stringify(body ?? {}),
    }));
  } catch (e) {
    if (e.code !== "csrf" || !again) throw e;
    token = ""; // the server was restarted
    return post(path, body, false);
  }
}

// query writes the parameters that have a value.
export function query(values) {
  const q = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value) q.set(key, value === true ? "1" : value);
  const text = q.toString();
  return text ? "?" + text : "";
}
