export { Peal } from './peal.js';
export type { Subscription } from './peal.js';
export { PealError } from './types.js';
export type {
  ChannelState,
  Gap,
  Handlers,
  Member,
  Message,
  Options,
  Presence,
  PresencePage,
  PublishOptions,
  Start,
  State,
  StateDetail,
  Transport,
  WhichPage,
} from './types.js';
