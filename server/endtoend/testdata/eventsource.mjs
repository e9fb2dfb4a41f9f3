// Subscribes with one of the npm packages that stand in for EventSource, and
// prints what it hears, a line each. Arguments: the package, the URL, the folder
// in whose node_modules the package is.
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [name, url, folder] = process.argv.slice(2);
const require = createRequire(resolve(folder, 'package.json'));
const say = (...words) => console.log(words.join(' '));

if (name === '@microsoft/fetch-event-source') {
  // It is made for pages.
  globalThis.window = globalThis;
  globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
  const { fetchEventSource } = require(name);
  await fetchEventSource(url, {
    onmessage: (e) => say(e.event === '' ? 'message' : e.event, e.data),
    onclose() { throw new Error('come back'); },
    onerror: () => {},
  });
} else {
  const { EventSource, EventSourcePolyfill } = name === 'eventsource'
    ? await import(pathToFileURL(require.resolve(name)).href)
    : require(name);
  const source = new (EventSourcePolyfill ?? EventSource)(url);
  source.onmessage = (e) => say('message', e.data);
  source.onerror = () => {}; // it comes back
  for (const event of ['peal.cursor', 'gap']) source.addEventListener(event, (e) => say(event, e.data));
}
