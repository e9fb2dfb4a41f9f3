// The build for <script src="…/peal.js">: Peal and PealError are global.
import { Peal, PealError } from './index.js';

Object.assign(globalThis, { Peal, PealError });
