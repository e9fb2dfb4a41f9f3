// Builds the client: dist/peal.mjs, dist/presence.mjs, dist/share.mjs and dist/sign.mjs (ESM), dist/peal.js, dist/peal-presence.js and dist/peal-share.js (for script tags),
// types, and the copies that the server embeds. With --check it leaves those as
// they are, fails if they are not what the sources give, or the client is too
// large, and runs the unit tests.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const limit = 6.36 * 1024; // of the client, gzipped, without presence and what shares it between tabs; 49 bytes of it route messages of several channels
const check = process.argv.includes('--check');
process.chdir(fileURLToPath(new URL('.', import.meta.url)));
const embedded = '../../server/httpapi/page/';
const scripts = ['peal.js', 'peal-presence.js', 'peal-share.js'];

// Members that are seen by nobody outside get short names. A name stands here
// only if it is in no public type, on no wire, and in nothing of the platform:
// what Node has of that is looked through; the rest (Web Locks, storage) is in use
// with names that are not here.
const inside = `after again all alone answered apply asked asking bad become begin best branch bring busy by catchUp changed channels check current end
	connection deadline down drop ended even evening expiring failures fallback fields final flush follow followers forget frame guard
	 hand handlers hear heard held hold inside key ladder later leading liveSince me make missed most notBefore
	open outer patience pending plan poke post posting probe probeTimer probes publisher queue refusals
	refuse refused relays renew rest restart retry roster round run rung say seats seen sent settle sharing sift skipGap
	sleep socket stage stand stop stopped subscription takeAhead tell timer tokens turn untried up using wait wake
	who why options within waiting worked working`.split(/\s+/);
for (const name of Object.getOwnPropertyNames(globalThis)) {
  const { prototype } = Object(globalThis[name]);
  const clash = inside.find((member) => prototype && typeof prototype === 'object' && member in prototype);
  if (clash) throw new Error(`${clash} is a member of ${name}: it must keep its name`);
}
const common = { bundle: true, minify: true, target: 'es2022', mangleProps: new RegExp(`^(${inside.join('|')})$`) };

rmSync('dist', { recursive: true, force: true });
execFileSync('node_modules/.bin/tsc', { stdio: 'inherit' });

// Without presence first: the shortest names are for what is limited. One cache: share meets either of the others on a page.
const cache = {};
async function make(PRESENCE, options) {
  const { mangleCache } = await build({ ...common, define: { PRESENCE }, outdir: 'dist', mangleCache: cache, ...options });
  Object.assign(cache, mangleCache);
}
const iife = { format: 'iife' };
const esm = { format: 'esm', outExtension: { '.js': '.mjs' } };
await make('false', { ...iife, entryPoints: { peal: 'src/global.ts' } });
await make('false', { ...esm, entryPoints: { peal: 'src/index.ts' } });
await make('true', { ...iife, entryPoints: { 'peal-presence': 'src/global.ts' } });
await make('true', { ...iife, entryPoints: { 'peal-share': 'src/global.share.ts' } });
await make('true', { ...esm, entryPoints: { presence: 'src/index.ts', share: 'src/share.ts' } });
await build({ ...common, ...esm, mangleProps: undefined, outdir: 'dist', entryPoints: { sign: 'src/sign.ts' } });

function size(name) {
  const bytes = gzipSync(readFileSync('dist/' + name), { level: 9 }).length;
  console.log(`${name}: ${bytes} bytes gzipped`);
  return bytes;
}
size('peal-share.js');
size('peal-presence.js');
if (Math.max(size('peal.js'), size('peal.mjs')) > limit) {
  console.error(`the client is larger than ${limit} bytes`);
  process.exit(1);
}

if (!check) {
  for (const name of scripts) writeFileSync(embedded + name, readFileSync('dist/' + name));
  process.exit(0);
}
for (const name of scripts) {
  if (readFileSync('dist/' + name).equals(readFileSync(embedded + name))) continue;
  console.error(`server/httpapi/page/${name} is not what clients/js/src gives: npm run build`);
  process.exit(1);
}

rmSync('.build', { recursive: true, force: true });
mkdirSync('.build');
const tests = readdirSync('test').filter((name) => name.endsWith('.test.ts'));
const entryPoints = tests.map((name) => 'test/' + name);
await build({ define: { PRESENCE: 'true' }, bundle: true, platform: 'node', format: 'esm', outExtension: { '.js': '.mjs' }, sourcemap: 'inline', entryPoints, outdir: '.build' });
const run = spawnSync(process.execPath, ['--test', ...tests.map((name) => '.build/' + name.replace(/ts$/, 'mjs'))], { stdio: 'inherit' });
process.exit(run.status ?? 1);
