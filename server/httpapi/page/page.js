'use strict';
const $ = id => document.getElementById(id);
const query = () => 'channel=' + encodeURIComponent($('channel').value || 'main').replaceAll("'", '%27');

function show(pane, text, event) {
  const item = document.createElement('li');
  if (event) {
    const name = document.createElement('b');
    name.textContent = event;
    item.append(name, ' ');
  }
  item.append(text);
  add(pane, item);
}

function note(pane, text) {
  const item = document.createElement('li');
  item.className = 'note';
  item.append(text);
  add(pane, item);
}

function add(pane, item) {
  const list = $(pane).querySelector('ol');
  list.append(item);
  while (list.childElementCount > 100) list.firstElementChild.remove();
  list.scrollTop = list.scrollHeight;
}

function state(pane, text, good) {
  const small = $(pane).querySelector('small');
  small.textContent = text;
  small.className = good ? 'good' : 'bad';
}

// EventSource drops events without a listener for their name, so the page must
// know the names: those published here, and those that polling shows.
const events = new Set();
let source;

function listen(name) {
  source.addEventListener(name, e => show('sse', e.data, name));
}

// learn reports whether the name is new.
function learn(name) {
  if (!name || name === 'message' || events.has(name) || events.size === 100) return false;
  events.add(name);
  listen(name);
  return true;
}

// Each opener starts one transport and returns the function that stops it.
const open = {
  // The client of /peal.js; the others use the browser's own APIs.
  ws() {
    const client = new Peal(location.origin, {
      transports: ['ws'],
      onState: (now, {error}) => state('ws', now === 'live' || !error ? now : now + ': ' + error.message, now === 'live'),
    });
    client.subscribe($('channel').value || 'main', {
      onMessage: m => show('ws', typeof m.data === 'string' ? m.data : m.data.byteLength + ' bytes'),
      onGap: gap => show('ws', 'gap ' + JSON.stringify(gap), true),
      onState: (now, error) => { if (now === 'stopped') state('ws', error.message, false); },
    });
    return () => client.close();
  },

  sse() {
    const mine = source = new EventSource('/sse?' + query());
    events.forEach(listen);
    source.onopen = () => state('sse', 'live', true);
    source.onerror = () => state('sse', mine.readyState === EventSource.CLOSED ? 'refused' : 'reconnecting', false);
    source.onmessage = e => show('sse', e.data);
    source.addEventListener('gap', e => note('sse', 'gap ' + e.data));
    return () => mine.close();
  },

  poll() {
    const abort = new AbortController();
    (async () => {
      let cursor = '';
      while (!abort.signal.aborted) {
        try {
          state('poll', 'waiting', true);
          const response = await fetch('/poll?' + query() + '&cursor=' + encodeURIComponent(cursor), {signal: abort.signal, cache: 'no-store'});
          const body = await response.json();
          if (!response.ok) throw new Error(body.error.message);
          cursor = body.cursor;
          for (const gap of body.gap || []) note('poll', 'gap ' + JSON.stringify(gap));
          for (const m of body.messages) {
            show('poll', 'data' in m ? m.data : m.data_base64, m.event);
            if (learn(m.event)) note('sse', `an event named ${m.event} was published: EventSource needs addEventListener('${m.event}', …). This page listens for it from now on.`);
          }
        } catch (e) {
          if (abort.signal.aborted) return;
          state('poll', e instanceof TypeError ? 'server unreachable, retrying' : e.message, false);
          await new Promise(done => setTimeout(done, 1000 + 2000 * Math.random()));
        }
      }
    })();
    return () => abort.abort();
  },
};

let stops = [];
function restart() {
  stops.forEach(stop => stop());
  for (const pane in open) $(pane).querySelector('ol').replaceChildren();
  stops = Object.values(open).map(start => start());
  snippets();
}

$('channel').addEventListener('change', () => { $('result').value = ''; restart(); });

$('publish').addEventListener('submit', async event => {
  event.preventDefault();
  const name = $('event').value;
  learn(name);
  try {
    const response = await fetch('/publish?' + query() + (name && '&event=' + encodeURIComponent(name)), {method: 'POST', headers: {'Content-Type': 'text/plain'}, body: $('data').value});
    const body = await response.json();
    $('result').value = response.ok ? 'published, cursor ' + body.cursor : body.error.message;
    if (response.ok) $('data').value = '';
  } catch (e) {
    $('result').value = e.message;
  }
  $('data').focus();
});

function snippets() {
  // A server listens on 0.0.0.0, but clients cannot connect to that address.
  const http = location.origin.replace(/^http:..(0\.0\.0\.0|\[::\])/, 'http://localhost'), ws = http.replace(/^http/, 'ws'), q = query();
  const texts = {
    'Browser: the client': `<script src="${http}/peal.js"><\/script>\n<script>\n  const peal = new Peal('${http}');\n  peal.subscribe(${JSON.stringify($('channel').value || 'main')}, {\n    onMessage: m => console.log(m.data),\n  });\n<\/script>`,
    'Browser: WebSocket': `const socket = new WebSocket('${ws}/ws?${q}');\nsocket.onmessage = e => console.log(e.data);\nsocket.onopen = () => socket.send('hello');`,
    'Browser: server-sent events': `const source = new EventSource('${http}/sse?${q}');\nsource.onmessage = e => console.log(e.data);\n// Messages published with &event=price need a listener for that name.\nsource.addEventListener('price', e => console.log('price', e.data));`,
    'Browser: long polling': `for (let cursor = '', failures = 0;;) {\n  try {\n    const response = await fetch(\n      '${http}/poll?${q}&cursor=' + cursor);\n    if (!response.ok) throw new Error(response.status);\n    const body = await response.json();\n    cursor = body.cursor;\n    failures = 0;\n    body.messages.forEach(m => console.log(m.data));\n  } catch (e) {                      // retry after a random time\n    const limit = Math.min(30, 2 ** ++failures);\n    await new Promise(r => setTimeout(r, 1000 * limit * Math.random()));\n  }\n}`,
    'curl': `curl -d hello '${http}/publish?${q}'\ncurl -d 42 '${http}/publish?${q}&event=price'\ncurl -N '${http}/sse?${q}'\ncurl '${http}/poll?${q}&format=raw'`,
    'PHP': `file_get_contents('${http}/publish?${q}', false,\n  stream_context_create(['http' => [\n    'method' => 'POST',\n    'header' => 'Content-Type: text/plain',\n    'content' => 'hello',\n  ]]));`,
  };
  $('snippets').replaceChildren(...Object.entries(texts).map(([title, text]) => {
    const copy = $('snippet').content.cloneNode(true);
    copy.querySelector('span').textContent = title;
    copy.querySelector('code').textContent = text;
    copy.querySelector('button').onclick = async e => {
      try {
        await navigator.clipboard.writeText(text);
        e.target.textContent = 'Copied';
      } catch {
        e.target.textContent = 'Select the text';
      }
      setTimeout(() => { e.target.textContent = 'Copy'; }, 1500);
    };
    return copy;
  }));
}

restart();
