import type { Inside, Sharing } from './sharing.js';
import { Tabs } from './tabs.js';

/**
 * For Options.share: one connection for all tabs of this browser that use it with
 * the same URL. In a browser without BroadcastChannel or Web Locks (which need TLS
 * or localhost), each tab has its own.
 */
export function share(inside: Inside): Sharing | undefined {
  return typeof BroadcastChannel === 'function' && globalThis.navigator?.locks ? new Tabs(inside) : undefined;
}
