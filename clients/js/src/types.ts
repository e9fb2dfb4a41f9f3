import type { Inside, Sharing } from './sharing.js';

/** A message as it was published. */
export interface Message {
  channel: string;
  /** Where the channel stands with this message; opaque. Good to resume from, on any transport. */
  cursor: string;
  /** When the server accepted it, in milliseconds since 1970. */
  time: number;
  /** The event name it was published with, if any. */
  event?: string;
  /** The published text, or the bytes of what is not text. */
  data: string | Uint8Array;
}

/** Messages of a channel are gone for good: load its state anew, then go on. */
export interface Gap {
  channel: string;
  /** Missing where the cursor meant nothing to the server. */
  from?: string;
  to: string;
  /** 'discarded', 'unknown_cursor' or 'slow'; there may be more one day. */
  reason: string;
  /** With 'slow': how many were passed over. */
  skipped?: number;
}

/** A client that named itself; its connections are one member. */
export interface Member {
  client: string;
  info?: string;
}

/** How the members of a channel have changed. */
export interface Presence {
  channel: string;
  /** Members there are now. */
  count: number;
  /** All of them, newly come last; missing where there are more than 100. */
  members?: Member[];
  /** Who has come, or has other info. Empty where only `members` or `joined` is known. */
  join: Member[];
  leave: Member[];
  /** How many, where there are too many to name them. */
  joined?: number;
  left?: number;
}

/** A page of the members of a channel, by client. */
export interface PresencePage {
  channel: string;
  cursor: string;
  count: number;
  /** Connections without a name. */
  anonymous: number;
  members: Member[];
  /** There are more: ask with `after` set to it. */
  next?: string;
}

/** Which page of the members. */
export interface WhichPage {
  /** Behind this client; from the first without it. */
  after?: string;
  /** 100 without it, at most 1,000. */
  limit?: number;
}

/**
 * What a channel is doing. 'waiting': not received now, but taken up again by
 * itself. 'live': everything from here on comes. 'stopped': for good, see the error.
 */
export type ChannelState = 'waiting' | 'live' | 'stopped';

/** What the connection is doing; 'idle' before the first subscription or publication. */
export type State = 'idle' | 'connecting' | 'live' | 'waiting' | 'stopped';

/** 'tab' is another tab of this browser that has the connection; see Options.share. */
export type Transport = 'ws' | 'sse' | 'poll' | 'tab';

export interface StateDetail {
  /** With 'live' and 'connecting'. */
  transport?: Transport;
  /** Why, with 'waiting' and 'stopped'. */
  error?: PealError;
  /** With 'waiting': the next attempt, in milliseconds from now. */
  retryIn?: number;
}

export interface Handlers {
  onMessage?: (message: Message) => void;
  onGap?: (gap: Gap) => void;
  /** In peal-client/presence, peal-presence.js. Once when the channel is live, then whenever somebody comes or goes. */
  onPresence?: (presence: Presence) => void;
  onState?: (state: ChannelState, error?: PealError) => void;
}

/** Where a subscription begins; with neither, from now on. */
export interface Start {
  /** After this cursor; 'earliest' for all that is retained. */
  cursor?: string;
  /** With the newest so many messages. */
  last?: number;
}

export interface Token {
  token: string;
  /** Milliseconds since 1970. Without it, the `exp` of a JWT counts. */
  expires?: number;
}

export interface Options {
  /**
   * Gives the token, first and whenever a new one is due. null: this user may
   * not, which stops the connection. Throwing: could not be had now, tried again.
   */
  getToken?: () => Promise<string | Token | null>;
  onState?: (state: State, detail: StateDetail) => void;
  /** The name under which this client is listed on its channels: the id of a user or device, 1 to 200 bytes. */
  client?: string;
  /** What others are to know of it; at most 1 KiB. */
  info?: string;
  /** Which transports, in the order they are tried. Default: ws, sse, poll. */
  transports?: Array<'ws' | 'sse' | 'poll'>;
  /** `share` of peal-client/share: one connection for all tabs of this browser that have it and the same URL. */
  share?: (inside: Inside) => Sharing | undefined;
  /** At most so many publications wait for an answer; default 100. */
  publishQueue?: number;
  /** A publication waits so long for its answer, in milliseconds; default 60,000. */
  publishTimeout?: number;
  /** WebSocket, where it is not global (Node 20). */
  WebSocket?: typeof WebSocket;
}

export interface PublishOptions {
  event?: string;
  /** Made up if missing. The same key twice is one message. */
  idempotencyKey?: string;
}

/** What went wrong: a code for programs, a sentence for people. */
export class PealError extends Error {
  /** @internal The server said: not before so many milliseconds. */
  after?: number;
  /** @internal The server is there but not now; no other transport would do better. */
  busy?: boolean;
  /** @internal Do not come back unchanged. */
  final?: boolean;

  constructor(
    /** The server's ('bad_channel', …), or 'network', 'timeout', 'unauthorised', 'closed', 'queue_full', 'already_subscribed'. */
    readonly code: string,
    message: string,
    /** @internal */
    hints?: { after?: number; busy?: boolean; final?: boolean },
  ) {
    super(message);
    Object.assign(this, hints);
  }
}
