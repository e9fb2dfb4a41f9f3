export { Peal } from './peal.js';
export type { Subscription } from './peal.js';
export { PealError } from './types.js';
export type {
  ChannelState,
  Gap,
  Handlers,
  Message,
  Options,
  PublishOptions,
  Start,
  State,
  StateDetail,
  Token,
  Transport,
} from './types.js';
