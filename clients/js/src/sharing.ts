import type { Channel } from './channel.js';
import type { Connection } from './connection.js';
import type { Host, Link } from './link.js';
import type { Subscription } from './peal.js';
import type { Handlers, PealError } from './types.js';
import type { WireError } from './wire.js';

/** What the client shows of itself to who shares its connection. */
export interface Inside {
  /** Of the server. */
  name: string;
  connection: Connection;
  subscribe(name: string, handlers: Handlers): Subscription;
  error(e: WireError): PealError;
}

/** One connection for several tabs, as the client sees it. */
export interface Sharing {
  /** Makes the link of a tab that does not lead; undefined where this one has the connection itself. */
  readonly follow: ((host: Host) => Link) | undefined;
  /** The state of the connection has changed. */
  tell(): void;
  /** Feeds a channel that begins somewhere from one that is received, by these handlers. */
  branch(c: Channel, trunk: Channel): Handlers;
  close(): void;
}
