/** The SDK's: it must not depend on the broker, and both need it. */
export { hashOfText, hashOfToken, Table } from "@taskqueue/sdk/table.js";
