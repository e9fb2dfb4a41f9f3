/** Whether this is the build with presence; build.mjs says. */
declare const PRESENCE: boolean;
