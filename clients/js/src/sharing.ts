import type { Channel } from './channel.js';
import type { Connection } from './connection.js';
import type { Host, Link } from './link.js';
import type { Subscription } from './peal.js';
import type { Handlers, PealError } from './types.js';
import type { WireError } from './wire.js';

/** The part of the client that the code for sharing uses. */
export interface Inside {
  /** Of the server. */
  name: string;
  connection: Connection;
  subscribe(name: string, handlers: Handlers): Subscription;
  error(e: WireError): PealError;
}

/** One connection for several tabs, as the client sees it. */
export interface Sharing {
  /** Creates the link of a tab that does not lead; undefined if this tab holds the connection itself. */
  readonly follow: ((host: Host) => Link) | undefined;
  /** The state of the connection has changed. */
  tell(): void;
  /** Feeds a channel with a start position from a subscribed one, by these handlers. */
  branch(c: Channel, trunk: Channel): Handlers;
  close(): void;
}
