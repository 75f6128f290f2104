/** What the SDK calls itself to brokers. A test compares it with package.json. */
export const VERSION = "0.1.0";
export const SDK_NAME = `taskqueue-node/${VERSION}`;
