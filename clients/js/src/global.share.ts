// The build for <script src="…/peal-share.js">, behind peal.js: share is Peal.share.
import { share } from './share.js';

declare const Peal: object;
Object.assign(Peal, { share });
