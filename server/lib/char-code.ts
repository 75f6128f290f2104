/** The SDK's: it must not depend on the broker, and both need it. */
export { charCodeAt } from "@taskqueue/sdk/char-code.js";
