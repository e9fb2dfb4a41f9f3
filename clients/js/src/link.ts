import type { Channel } from './channel.js';
import type { PealError } from './types.js';

/** One attempt at one transport, from opening to its end. It ends once and is not opened again. */
export interface Link {
  /** The set of channels has changed. */
  change(): void;
  /** Find out soon whether the other side is there. */
  check(): void;
  /** Ends it without a word to the Host. */
  close(): void;
  /** Sends a publication, if this transport can; its answer comes by the callback, or never. */
  publish?(fields: object, done: (cursor?: string, error?: PealError) => void): void;
}

/** What a Link may do to the connection it belongs to. */
export interface Host {
  /** The URL of the server without a slash at the end. */
  readonly url: string;
  readonly token: string | undefined;
  /** How the client names itself, as parameters of a URL. */
  readonly me?: { client?: string; info?: string };
  /** By name; those that have stopped are not in it. */
  readonly channels: ReadonlyMap<string, Channel>;
  /** The link works. */
  up(link: Link): void;
  /** The link has ended by itself. */
  down(link: Link, error: PealError): void;
}
