import type { Channel } from './channel.js';
import type { Tokens } from './token.js';
import type { PealError } from './types.js';

/** One attempt at one transport, from opening to its end. It ends once and is not opened again. */
export interface Link {
  /** The set of channels has changed. */
  change(): void;
  /** Check soon whether the server still responds. */
  check(): void;
  /** Ends it without a report to the Host. */
  close(): void;
  /** Uses the new token of the Host from now on. */
  renew?(): void;
  /** The token with which the server knows a WebSocket. */
  token?: string;
  /** Sends a publication, if this transport can; its result comes by the callback, or never. */
  publish?(fields: object, done: (cursor?: string, error?: PealError) => void): void;
}

/** The part of its connection that a Link uses. */
export interface Host {
  /** The URL of the server without a slash at the end. */
  readonly url: string;
  readonly tokens: Tokens;
  /** Names this client to the server in all requests that receive messages. */
  readonly session: string;
  /** The name and info of the client, as parameters of a URL. */
  readonly me?: { client?: string; info?: string };
  /** By name; those that have stopped are not in it. */
  readonly channels: ReadonlyMap<string, Channel>;
  /** The link works. */
  up(link: Link): void;
  /** The server will end the link soon, because its token expires. */
  expiring(link: Link): void;
  /** The link has ended by itself. */
  down(link: Link, error: PealError): void;
}
